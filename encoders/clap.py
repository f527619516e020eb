"""CLAP: sounds and texts in a space of their own, on onnxruntime: `clap_export` makes two graphs of it, once.

Where the model cannot be exported, its towers run in torch, in this process: the same vectors, a slower start.
"""

import hashlib
import importlib
import json
import os
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
import numpy.typing as npt
import onnxruntime
from onnxruntime import InferenceSession
from tokenizers import Tokenizer

from core.errors import ModelError
from core.types import Progress, ProgressCallback, Samples, Space, Vectors
from encoders.hub import cached, digest, refuse_code
from encoders.mel import Mel, MelSpec, log_mel
from encoders.runtime import Export, ensure_export

if TYPE_CHECKING:
    from encoders.registry import Preset

EXPORTER = "encoders.clap_export"
RECIPE = 1
"""Raised whenever the vectors change, so that old ones are not compared with new ones."""
MAX_TOKENS = 77
"""Where a text is cut: the model was trained on no more (`laion_clap`, hook.py)."""
WEIGHTS = "model.safetensors"
BESIDE = ("config.json", "preprocessor_config.json")
"""What is needed besides the weights and the tokenizer."""
WORDS = ("tokenizer.json", "vocab.json", "merges.txt")
"""The tokenizer: the first of these, or else the other two."""
WORDS_BESIDE = ("tokenizer_config.json", "special_tokens_map.json")
_BATCH = 16
"""Texts that run through the tower together: more are no faster, and take memory. Sounds go one by one, as fast."""


class Towers(Protocol):
    """What turns spectrograms and texts into unit rows."""

    def sounds(self, mels: Mel) -> Vectors:
        """Return unit rows for spectrograms of shape (n, frames, bands)."""
        ...

    def texts(self, texts: Sequence[str]) -> Vectors:
        """Return unit rows for texts."""
        ...


class OnnxTowers:
    """The exported graphs, each opened by the first who needs it; the token table is mapped, not read."""

    def __init__(self, export: Export) -> None:
        self._export = export

    def sounds(self, mels: Mel) -> Vectors:
        """Return unit rows for spectrograms of shape (n, frames, bands)."""
        rows: Vectors = self._sound_tower.run(None, {"mels": mels})[0]
        return rows

    def texts(self, texts: Sequence[str]) -> Vectors:
        """Return unit rows for texts."""
        session, tokenizer, table = self._text_tower
        ids, mask = token_ids(tokenizer, texts)
        inputs = {"embeddings": table[ids].astype(np.float32), "ids": ids, "mask": mask}
        rows: Vectors = session.run(None, inputs)[0]
        return rows

    @cached_property
    def _sound_tower(self) -> InferenceSession:
        return self._export.session("sound.onnx", threads=os.cpu_count() or 1)

    @cached_property
    def _text_tower(self) -> tuple[InferenceSession, Tokenizer, npt.NDArray[np.float16]]:
        session = self._export.session("text.onnx", threads=os.cpu_count() or 1)
        with self._export.reading():
            tokenizer = Tokenizer.from_file(str(self._export.path("tokenizer.json")))
            return session, tokenizer, np.load(self._export.path("tokens.npy"), mmap_mode="r")


class ClapEncoder:
    """Encode sounds, and texts about sounds, with CLAP."""

    batch_size = 8  # 2 MB of samples each, and half a second of a core

    def __init__(self, space: Space, export: Export, towers: Towers) -> None:
        self.space, self.export = space, export
        self._spec = MelSpec(**export.manifest["spec"])
        self._length = int(export.manifest["length"])
        self._towers = towers
        self.rate = self._spec.rate

    def encode_sounds(self, windows: Sequence[Samples]) -> Vectors:
        """Encode windows of at most ten seconds, of any lengths, into unit rows of shape (n, dim)."""
        parts = [self._towers.sounds(self._mel(window)[None]) for window in windows]
        return np.concatenate([self._none(), *parts])

    def encode_texts(self, texts: Sequence[str]) -> Vectors:
        """Encode texts into unit rows of shape (n, dim)."""
        parts = [self._towers.texts(texts[i : i + _BATCH]) for i in range(0, len(texts), _BATCH)]
        return np.concatenate([self._none(), *parts])

    def _mel(self, window: Samples) -> Mel:
        return log_mel(repeated(window, self._length), self._spec)

    def _none(self) -> Vectors:
        return np.zeros((0, self.space.dim), dtype=np.float32)


def repeated(window: Samples, length: int) -> Samples:
    """Return a window as often as it fits into `length` samples, then zeros: what transformers calls `repeatpad`.

    What is longer is cut behind them, where transformers would take a part by chance.
    """
    tiled = np.tile(window, length // max(1, len(window))) if len(window) <= length else window[:length]
    return np.pad(tiled, (0, length - len(tiled))).astype(np.float32, copy=False)


def token_ids(tokenizer: Tokenizer, texts: Sequence[str]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return token ids and what of them is no padding (1), both of shape (n, length of the longest text)."""
    found = tokenizer.encode_batch([plain(text) for text in texts])
    rows = [[encoding.ids for encoding in found], [encoding.attention_mask for encoding in found]]
    ids, mask = np.array(rows, dtype=np.int64)
    return ids, mask


def plain(text: str) -> str:
    """Return a text without what is no character: a command line may hold bytes that are no UTF-8."""
    return text.encode(errors="replace").decode()


def load(cache: Path, progress: ProgressCallback | None, preset: "Preset") -> ClapEncoder:
    """Load the model from the Hugging Face cache, exporting it to `cache` the first time; raises ModelError."""
    folder = _snapshot(preset)
    parts = (RECIPE, MAX_TOKENS, [(path.name, digest(path, cache / "hashes")) for path in _files(folder)])
    revision = hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:12]
    name = f"sound:{preset.name}"
    place = cache / "models" / f"{Space(name, revision, 1, 1).key}-ort{onnxruntime.__version__}"
    export = ensure_export(EXPORTER, place, progress, [str(folder), _remedy(preset, folder)])
    dim = int(export.manifest["dim"])
    space = Space(name, revision, dim, shared_dim=dim)
    reason = export.manifest["torch"]
    if not reason:
        return ClapEncoder(space, export, OnnxTowers(export))
    if progress:
        progress(Progress(f"{preset.name} runs in torch, which takes seconds to start: {reason}"))
    return ClapEncoder(space, export, importlib.import_module(EXPORTER).TorchTowers(folder, _remedy(preset, folder)))


def _snapshot(preset: "Preset") -> Path:
    """Return the folder of the model's files once all of them are there and none asks for code; raises ModelError."""
    weights = cached(preset.repo, WEIGHTS)
    if weights is None:
        raise ModelError(preset.missing)
    folder = weights.parent
    words = WORDS[:1] if (folder / WORDS[0]).is_file() else WORDS[1:]
    for name in (*BESIDE, *words):
        if not (folder / name).is_file():
            raise ModelError(f"{folder} lacks {name}; {_remedy(preset, folder)}")
    refuse_code(folder)
    return folder


def _files(folder: Path) -> list[Path]:
    """Return every file that decides the vectors."""
    names = (WEIGHTS, *BESIDE, *WORDS, *WORDS_BESIDE)
    return [folder / name for name in names if (folder / name).is_file()]


def _remedy(preset: "Preset", snapshot: Path) -> str:
    """Say how to get sound files; the whole folder must go, or the same bytes would be taken again."""
    return f"delete {snapshot.parent.parent} and run: glimpse models get {preset.name}"
