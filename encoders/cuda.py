"""Encode many photos on a GPU: open_clip's image tower in torch, in bf16. Imports torch only where there is one."""

import contextlib
import ctypes
import sys
import time
from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np

from core.types import Pixels, Progress, ProgressCallback, Vectors
from encoders.base import Encoder
from encoders.openclip import OpenClipEncoder

FIRST, MOST = 32, 256
"""Photos to a batch where the search for the best size begins and ends: 256 hold 50 MB of pixels at 256 px."""
WORTH = 1.05
"""A batch twice as large has to bring more than this many times the photos a second."""
IN_FLIGHT = 2
"""Batches on their way: the pixels of one are copied while another is computed."""


def has_cuda() -> bool:
    """Say whether there is an NVIDIA GPU, by asking its driver: importing torch takes seconds."""
    try:
        driver = ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
        count = ctypes.c_int()
        return driver.cuInit(0) == 0 and driver.cuDeviceGetCount(ctypes.byref(count)) == 0 and count.value > 0
    except (OSError, AttributeError):
        return False


def bulk(encoder: Encoder, progress: ProgressCallback | None = None) -> Encoder:
    """Return an encoder of the same Space for many photos: on the GPU where there is one, else the encoder itself.

    Takes seconds with a GPU: torch is imported, the model is loaded, batch sizes are tried.
    """
    if not isinstance(encoder, OpenClipEncoder) or not has_cuda():
        return encoder

    def tell(error: Exception) -> None:
        if progress:
            reason = " ".join(str(error).split())[:200]
            progress(Progress(f"{encoder.space.name} goes on without the GPU: {reason}"))

    try:
        from encoders.openclip_export import load_image_tower

        tower = load_image_tower(encoder.source)
        towers = CudaTowers(tower, encoder.image_input.size, encoder.encode_images, tell)
    except Exception as error:  # an old driver, a GPU that is full, weights that were moved: the CPU can do it
        tell(error)
        return encoder
    return encoder.with_images(towers, batch_size=IN_FLIGHT * towers.batch)


class CudaTowers:
    """An image tower on a GPU, fed with as large batches as pay."""

    def __init__(
        self,
        tower: Any,
        size: int,
        instead: Callable[[Pixels], Vectors],
        tell: Callable[[Exception], None] = lambda _: None,
        device: str = "cuda",
    ) -> None:
        """Move a tower to the GPU and find its batch size.

        tower: a module whose `features` turns pixels (n, size, size, 3), uint8, into rows of any length; instead:
        encodes what the GPU cannot; tell: told why, once. Raises RuntimeError where the tower does not fit.
        """
        import torch

        self._torch = torch
        self._device = torch.device(device)
        self._copying = torch.cuda.Stream(self._device) if device == "cuda" else None  # type: ignore[no-untyped-call]
        self._tower = tower.to(self._device)
        self._instead, self._tell = instead, tell
        self._given_up = False
        self._shape = (size, size, 3)
        self.batch = best_batch(self.rate, torch.OutOfMemoryError)

    def images(self, pixels: Pixels) -> Vectors:
        """Return unit rows for photos; in smaller batches where memory is short, without the GPU where it fails."""
        while not self._given_up:
            try:
                return self._rows(pixels, self.batch)
            except self._torch.OutOfMemoryError as error:
                self._torch.cuda.empty_cache()
                if self.batch == 1:
                    self._give_up(error)
                self.batch = max(1, self.batch // 2)
            except RuntimeError as error:
                self._give_up(error)
        return self._instead(pixels)

    def _give_up(self, error: Exception) -> None:
        self._given_up = True
        self._tell(error)

    def _rows(self, pixels: Pixels, batch: int) -> Vectors:
        """Encode in batches, of which two are on their way."""
        torch = self._torch
        parts: list[Any] = []
        flying: deque[Any] = deque()
        with torch.inference_mode():
            for start in range(0, len(pixels), batch):
                parts.append(self._encoded(self._copied(pixels[start : start + batch])))
                if self._copying is not None:
                    flying.append(torch.cuda.current_stream(self._device).record_event())
                    if len(flying) == IN_FLIGHT:
                        flying.popleft().synchronize()
            rows: Vectors = torch.cat(parts).cpu().numpy()
        return rows

    def _copied(self, pixels: Pixels) -> Any:
        """Return pixels on the device; the copy runs beside what is computed there."""
        torch = self._torch
        pinned = torch.empty(pixels.shape, dtype=torch.uint8, pin_memory=self._copying is not None)
        pinned.numpy()[...] = pixels
        with torch.cuda.stream(self._copying) if self._copying is not None else contextlib.nullcontext():
            there = pinned.to(self._device, non_blocking=True)
        if self._copying is not None:
            computing = torch.cuda.current_stream(self._device)
            computing.wait_stream(self._copying)
            there.record_stream(computing)
        return there

    def _encoded(self, pixels: Any) -> Any:
        """Return unit rows on the device: bf16 up to the last step, which takes the length in fp32."""
        torch = self._torch
        with torch.autocast(self._device.type, torch.bfloat16):
            rows = self._tower.features(pixels)
        return torch.nn.functional.normalize(rows.float(), dim=-1)

    def rate(self, batch: int) -> float:
        """Return photos a second in batches of a size, the better of two turns after one that warms up."""
        # Noise, since a GPU multiplies zeros faster than photos.
        pixels = np.random.default_rng(0).integers(0, 256, (IN_FLIGHT * batch, *self._shape), dtype=np.uint8)
        times = []
        for _ in range(3):
            started = time.perf_counter()
            self._rows(pixels, batch)
            times.append(time.perf_counter() - started)
        return len(pixels) / min(times[1:])


def best_batch(rate: Callable[[int], float], out_of_memory: type[Exception]) -> int:
    """Return a batch size: doubled from 32 up to 256 while photos a second grow by more than 5 % and memory lasts.

    rate: photos a second for a size; may raise `out_of_memory`, at 32 too, where 16 is returned untried.
    """
    best, most = FIRST // 2, 0.0
    size = FIRST
    while size <= MOST:
        try:
            got = rate(size)
        except out_of_memory:
            break
        if got <= WORTH * most:
            break
        best, most = size, got
        size *= 2
    return best
