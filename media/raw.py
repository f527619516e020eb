"""Show RAW photos: the preview that the camera made, else the sensor's own pixels at half their size."""

import io
from dataclasses import dataclass
from typing import Any

import numpy as np

from core.errors import MediaError
from core.types import Pixels
from media.pillow import open_header

SMALLEST_PREVIEW = 256
"""A preview whose shorter side, in px, is less than this is passed over: encoders would see it enlarged."""
_TAIL = 1024
_TURNS = (1, 2, 4, 3, 5, 8, 6, 7)
"""EXIF orientation for LibRaw's flip: bit 0 mirrors left and right, bit 1 top and bottom, bit 2 swaps the axes."""


@dataclass(frozen=True)
class Shown:
    """What there is to see of a RAW photo.

    picture: a JPEG, or pixels; orientation: EXIF's number of how to turn it; size: upright (width, height) of the
    sensor's picture.
    """

    picture: bytes | Pixels
    orientation: int
    size: tuple[int, int]


def show_raw(data: bytes, megapixels: int) -> Shown | None:
    """Return the preview of a RAW photo or, where it has none, its sensor's pixels; None where LibRaw knows it not.

    megapixels: the limit for a sensor whose own pixels are needed. Raises MediaError, MemoryError.
    """
    import rawpy

    try:
        with rawpy.imread(io.BytesIO(data)) as raw:
            width, height = raw.sizes.width, raw.sizes.height
            size = (height, width) if raw.sizes.flip & 4 else (width, height)
            found = _preview(raw, data)
            if found is not None:
                return Shown(*found, size)
            if width * height > megapixels * 1_000_000:
                raise MediaError(f"no preview, and {width} x {height} pixels are more than {megapixels} megapixels")
            # LibRaw turns it upright. The camera's white balance is what its owner saw.
            return Shown(raw.postprocess(half_size=True, use_camera_wb=True).squeeze(), 1, size)
    except rawpy.LibRawFileUnsupportedError:
        return None
    except (rawpy.LibRawUnsufficientMemoryError, rawpy.LibRawMemPoolOverflowError) as error:
        raise MemoryError from error
    except rawpy.LibRawIOError as error:  # all its input is in memory
        raise MediaError("the file is cut short") from error
    except rawpy.LibRawError as error:
        reason = error.args[0] if error.args else type(error).__name__
        raise MediaError(f"damaged: {reason.decode() if isinstance(reason, bytes) else reason}") from error


def _preview(raw: Any, data: bytes) -> tuple[bytes | Pixels, int] | None:
    """Return the largest preview and its orientation, or None where there is none that is whole and large enough."""
    import rawpy

    turn = _TURNS[raw.sizes.flip & 7]
    try:
        thumb = raw.extract_thumb()
        # Of a file that is cut short, LibRaw hands out what it found in memory: another photo's preview, perhaps.
        if bytes(memoryview(thumb.data).cast("B")[-_TAIL:]) not in data:
            return None
        if thumb.format is rawpy.ThumbFormat.BITMAP:
            pixels = np.squeeze(thumb.data)
            shows = pixels.dtype == np.uint8 and min(pixels.shape[:2]) >= SMALLEST_PREVIEW
            return (pixels, turn) if shows else None
        with open_header(thumb.data, "JPEG") as image:
            # Of its own, or written into it by LibRaw; EXIF without it says nothing about how the camera was held.
            own = image.getexif().get(0x0112)
            turn = own if own in _TURNS else turn
            return (thumb.data, turn) if min(image.size) >= SMALLEST_PREVIEW else None
    except (rawpy.LibRawUnsufficientMemoryError, rawpy.LibRawMemPoolOverflowError):
        raise
    except Exception:  # none, of an unknown kind, or damaged: the sensor's pixels are still there
        return None
