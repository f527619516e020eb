"""Any model of open_clip, on onnxruntime: `openclip_export` makes two graphs of it, once; this module feeds them.

Where a model cannot be exported, its towers run in torch, in this process: the same vectors, a slower start.
"""

import copy
import importlib
import os
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
import numpy.typing as npt
import onnxruntime
from onnxruntime import InferenceSession

from core.types import Fit, ImageInput, Interpolation, Pixels, Progress, ProgressCallback, Space, Vectors
from encoders.base import BATCH_SIZE
from encoders.openclip_source import Source, find_source
from encoders.openclip_words import Words
from encoders.runtime import Export, Opening, ensure_export

if TYPE_CHECKING:
    from encoders.registry import Preset

EXPORTER = "encoders.openclip_export"
_FITS = {"squash": Fit.SQUASH, "shortest": Fit.CROP, "longest": Fit.LETTERBOX}
_BATCH = 16
"""Photos or texts that run through a tower together: more are no faster, and take memory."""


class Images(Protocol):
    """What turns pixels into unit rows."""

    def images(self, pixels: Pixels) -> Vectors:
        """Return unit rows for photos."""
        ...


class Towers(Images, Protocol):
    """What turns pixels and texts into unit rows."""

    def prepare_texts(self) -> None:
        """Begin to open what texts need."""
        ...

    def texts(self, texts: Sequence[str]) -> Vectors:
        """Return unit rows for texts."""
        ...


class OnnxImages:
    """An exported image tower, opened by the first photo: a text query never needs it."""

    def __init__(self, export: Export) -> None:
        self._export = export
        self._session: InferenceSession | None = None

    def images(self, pixels: Pixels) -> Vectors:
        """Return unit rows for photos."""
        if self._session is None:
            self._session = self._export.session("image.onnx", threads=os.cpu_count() or 1)
        rows: Vectors = self._session.run(None, {"pixels": pixels})[0]
        return rows


class OnnxTowers(OnnxImages):
    """The exported graphs; the token table beside them is mapped, not read: SigLIP 2's takes 400 MB."""

    def prepare_texts(self) -> None:
        """Begin to open the text tower, which needs no Python: a search imports FAISS meanwhile."""
        self._text_tower.start()

    def texts(self, texts: Sequence[str]) -> Vectors:
        """Return unit rows for texts."""
        session, words, table = self._text_tower.result()
        ids = words.ids(texts)
        if self._export.manifest.get("causal"):  # what is behind the end token changes nothing
            ids = ids[:, : max(2, int(ids.argmax(axis=1).max()) + 1)]
        inputs = {"embeddings": table[ids].astype(np.float32), "ids": ids}
        rows: Vectors = session.run(None, {entry.name: inputs[entry.name] for entry in session.get_inputs()})[0]
        return rows

    @cached_property
    def _text_tower(self) -> "Opening[tuple[InferenceSession, Words, npt.NDArray[np.float16]]]":
        return Opening(self._open_text)

    def _open_text(self) -> tuple[InferenceSession, Words, npt.NDArray[np.float16]]:
        few = bool(self._export.manifest.get("causal"))  # tokens: a question is short, and is not padded
        session = self._export.session("text.onnx", threads=os.cpu_count() or 1, prepack=not few)
        with self._export.reading():
            words = Words(self._export.folder, **self._export.manifest["words"])
            return session, words, np.load(self._export.path("tokens.npy"), mmap_mode="r")


class OpenClipEncoder:
    """Encode photos and texts with a model of open_clip."""

    def __init__(self, source: Source, export: Export, towers: Towers) -> None:
        self.source, self.export = source, export
        self.batch_size = BATCH_SIZE
        made = export.manifest
        dim = int(made["dim"])
        self.space = Space(source.name, source.revision, dim, shared_dim=dim)
        preprocess = made["preprocess"]
        self.image_input = ImageInput(
            size=int(made["size"]),
            fit=_FITS[preprocess["resize_mode"]],
            interpolation=Interpolation(preprocess["interpolation"]),
            margin=int(preprocess["fill_color"]),
        )
        self._images: Images = towers
        self._texts = towers
        self._at_once = _BATCH

    @property
    def exported(self) -> bool:
        """Whether photos go through the graph as it was exported, in fp32."""
        return isinstance(self._images, OnnxTowers)

    def with_images(self, images: Images, batch_size: int | None = None) -> "OpenClipEncoder":
        """Return the same encoder with another image tower, which gets batches whole where `batch_size` is given."""
        other = copy.copy(self)
        other._images = images
        if batch_size is not None:
            other.batch_size = other._at_once = batch_size
        return other

    def encode_images(self, pixels: Pixels) -> Vectors:
        """Encode photos of shape (n, size, size, 3) into unit rows of shape (n, dim)."""
        parts = [self._images.images(pixels[i : i + self._at_once]) for i in range(0, len(pixels), self._at_once)]
        return np.concatenate([self._none(), *parts])

    def prepare_texts(self) -> None:
        """Begin to open the text tower."""
        self._texts.prepare_texts()

    def encode_texts(self, texts: Sequence[str]) -> Vectors:
        """Encode texts into unit rows of shape (n, dim)."""
        parts = [self._texts.texts(texts[i : i + _BATCH]) for i in range(0, len(texts), _BATCH)]
        return np.concatenate([self._none(), *parts])

    def _none(self) -> Vectors:
        return np.zeros((0, self.space.dim), dtype=np.float32)


def export_folder(cache: Path, source: Source) -> Path:
    """Return where the exported towers lie: one folder per model, revision and runtime."""
    revision = Space(source.name, source.revision, 1, 1).key
    return cache / "models" / f"{revision}-ort{onnxruntime.__version__}"


def load(cache: Path, progress: ProgressCallback | None, preset: "Preset") -> OpenClipEncoder:
    """Load a model from this disk, exporting its towers to `cache` the first time; raises ModelError."""
    source = find_source(preset.name, preset.source, preset.missing, cache, progress)
    export = ensure_export(EXPORTER, export_folder(cache, source), progress, [source.to_json()])
    reason = export.manifest["torch"]
    if not reason:
        return OpenClipEncoder(source, export, OnnxTowers(export))
    if progress:
        progress(Progress(f"{source.name} runs in torch, which takes seconds to start: {reason}"))
    return OpenClipEncoder(source, export, importlib.import_module(EXPORTER).TorchTowers(source))
