"""A bridge from a space of sounds into a joint space of pictures and texts, fitted on texts alone.

Both spaces have a text tower. The same captions go through both; with X and Y their vectors, each side centred with
its own mean, ridge regression (Hoerl and Kennard 1970) gives the map

    W = (X'X + alpha trace(X'X)/d I)^-1 X'Y          bridged = unit((sound - mean of sounds) W)

Sounds lie apart from the texts of their own space, as pictures lie apart from theirs, and so each kind is centred
with its own mean: the texts' mean in place of the sounds' would leave that gap in every row (docs/benchmarks.md).
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from core.errors import ModelError
from core.types import Progress, ProgressCallback, Space, Vector, Vectors
from encoders.base import Encoder, Join, unit
from encoders.captions import captions
from encoders.captions import version as captions_version
from encoders.kept import keep, kept

RECIPE = 1
"""Raised whenever the same texts would give another bridge."""
ALPHAS = (1e-3, 3e-3, 1e-2, 3e-2, 0.1, 0.3, 1.0, 3.0, 10.0)
FOLDS = 10
"""One text in so many is held out to choose alpha by."""

_RUN = 64
_BLOCK = 512
"""Texts whose vectors lie in one file: what an interruption costs at most."""
_ROWS = 4096
"""Rows that are taken to float64 at a time: all of them would take a gigabyte in a wide space."""
_FLAT = 1e-6
"""Variance below which vectors of different texts say nothing: a tower that answers all of them alike."""
_Matrix = npt.NDArray[np.float64]


class TextTower(Protocol):
    """What a bridge asks of an encoder, of sounds or of pictures: the vectors of texts."""

    space: Space

    def encode_texts(self, texts: Sequence[str]) -> Vectors:
        """Encode texts into unit rows of shape (n, dim)."""
        ...


@dataclass(frozen=True, eq=False)
class Bridge:
    """A map of centred sounds into a joint space.

    matrix: shape (d_sound, d_joint), zero in the columns that texts do not fill; alpha: the strength of the ridge;
    recall: the share of held-out texts that the map took nearest to themselves, 0..1; count: texts it was fitted on;
    version: changes whenever another bridge between the two spaces would be made.
    """

    matrix: npt.NDArray[np.float32]
    alpha: float
    recall: float
    count: int
    version: str = ""

    def join(self, mean: Vector) -> Join:
        """Return the way of stored sounds into the joint space; mean: that of sounds, never that of texts."""
        return _Bridged(self.matrix, mean)


@dataclass(frozen=True, eq=False)
class _Bridged:
    """A Join: sounds are centred, then mapped."""

    matrix: npt.NDArray[np.float32]
    mean: Vector

    def rows(self, stored: Vectors) -> Vectors:
        """Return unit rows of shape (n, joint dim); stored rows are scaled first, since fp16 rounds lengths, too."""
        centred: Vectors = unit(stored.astype(np.float32)) - self.mean
        mapped: Vectors = centred @ self.matrix
        return unit(mapped)

    def toward(self, target: Vector) -> Vector:
        """Return the unit direction among stored rows in which the cosine to a joint vector grows."""
        direction: Vector = self.matrix @ target
        return unit(direction)


def open_bridge(sound: TextTower, joint: Encoder, cache: Path, progress: ProgressCallback | None = None) -> Bridge:
    """Return the bridge from a sound encoder's space into a joint one, made once and then kept in the cache.

    The first time takes minutes, since both encode all captions; what an interrupted one has encoded is not done
    again, nor what another bridge has. Raises ModelError where a text tower is damaged.
    """
    version = hashlib.sha256(repr((RECIPE, captions_version())).encode()).hexdigest()[:8]
    path = cache / "bridges" / f"{sound.space.key}--{joint.space.key}--{version}.npz"
    found = kept(path)
    if found is not None and found["matrix"].shape == (sound.space.dim, joint.space.dim):
        return Bridge(found["matrix"], float(found["alpha"]), float(found["recall"]), int(found["count"]), version)
    texts = captions()
    ours, theirs = (text_vectors(tower, texts, cache, progress) for tower in (sound, joint))
    if progress:
        progress(Progress(f"fitting a bridge from {sound.space.name} to {joint.space.name}"))
    bridge = fit(ours, theirs, joint.space.shared_dim, version)
    keep(path, matrix=bridge.matrix, alpha=bridge.alpha, recall=bridge.recall, count=bridge.count)
    return bridge


def text_vectors(
    tower: TextTower, texts: Sequence[str], cache: Path, progress: ProgressCallback | None = None
) -> Vectors:
    """Return a unit row per text, shape (n, dim), rounded to fp16 as they are kept in the cache, in blocks.

    Texts of one length lie in one block, so that little is padded. A block is named by its texts, so that it is never
    taken for that of others.
    """
    folder = cache / "captions" / tower.space.key
    order = sorted(range(len(texts)), key=lambda i: (len(texts[i]), texts[i]))
    rows = np.zeros((len(texts), tower.space.dim), np.float16)
    for start in range(0, len(texts), _BLOCK):
        places = order[start : start + _BLOCK]
        block = [texts[i] for i in places]
        path = folder / f"{hashlib.sha256(chr(10).join(block).encode()).hexdigest()[:16]}.npz"
        found = kept(path)
        if found is not None and found["rows"].shape == (len(block), tower.space.dim):
            rows[places] = found["rows"]
            continue
        if progress:
            progress(Progress(f"encoding captions with {tower.space.name} (once)", start, len(texts)))
        rows[places] = tower.encode_texts(block)
        keep(path, rows=rows[places])
    return unit(rows.astype(np.float32))


def fit(sound_texts: Vectors, joint_texts: Vectors, shared_dim: int, version: str = "") -> Bridge:
    """Fit the map of one text tower's rows, shape (n, d_sound), to another's of the same texts, shape (n, d_joint).

    shared_dim: the leading columns of the joint space that texts fill; those behind stay zero. Alpha is the one that
    finds most held-out texts, the larger of two that find as many. Texts are held out in runs: captions of one thing
    stand together, and one whose sisters were seen says little about things that were not.
    Raises ModelError where a tower gives every text the same vector, or vectors that are no numbers.
    """
    x, y = sound_texts, joint_texts[:, :shared_dim]
    if len(x) != len(y) or len(x) < 2 * FOLDS:
        raise ValueError(f"{len(x)} and {len(y)} texts: a bridge needs the same texts on both sides, at least 20")
    for side, rows in (("sound", x), ("photo", y)):
        if not rows.var(axis=0).sum() > _FLAT:  # nor with NaN
            raise ModelError(
                f"the {side} model gives every text the same vector, or none; its files are damaged, get it again"
            )
    held = _held_out(len(x))
    ridge = _Ridge(x[~held], y[~held])
    asked, sought = x[held] - ridge.mean_x, y[held] - ridge.mean_y
    found = {alpha: _recall(asked @ ridge.solve(alpha), sought) for alpha in ALPHAS}
    alpha = max(ALPHAS, key=lambda strength: (found[strength], strength))
    matrix = np.zeros((x.shape[1], joint_texts.shape[1]), np.float32)
    matrix[:, :shared_dim] = _Ridge(x, y).solve(alpha)
    return Bridge(matrix, alpha, found[alpha], len(x), version)


def _held_out(count: int) -> npt.NDArray[np.bool_]:
    """Mark a tenth of the rows, in runs."""
    run = min(_RUN, count // FOLDS)
    marked: npt.NDArray[np.bool_] = np.arange(count) // run % FOLDS == FOLDS - 1
    return marked


class _Ridge:
    """Ridge regression of y on x, each centred, in float64; one eigendecomposition of X'X serves every alpha."""

    def __init__(self, x: Vectors, y: Vectors) -> None:
        self.mean_x, self.mean_y = x.mean(axis=0, dtype=np.float64), y.mean(axis=0, dtype=np.float64)
        gram, crossed = np.zeros((x.shape[1], x.shape[1])), np.zeros((x.shape[1], y.shape[1]))
        for start in range(0, len(x), _ROWS):
            rows = x[start : start + _ROWS] - self.mean_x
            gram += rows.T @ rows
            crossed += rows.T @ (y[start : start + _ROWS] - self.mean_y)
        self._values, self._directions = np.linalg.eigh(gram)
        self._crossed = self._directions.T @ crossed

    def solve(self, alpha: float) -> _Matrix:
        """Return the map, shape (dim of x, dim of y)."""
        strength = alpha * self._values.mean()  # trace / d
        solved: _Matrix = self._directions @ (self._crossed / (self._values + strength)[:, None])
        return solved


def _recall(rows: _Matrix, sought: _Matrix) -> float:
    """Return the share of rows whose nearest among those sought, by cosine, is the one of the same number."""
    scores = unit(rows.astype(np.float32)) @ unit(sought.astype(np.float32)).T
    return float(np.mean(scores.argmax(axis=1) == np.arange(len(rows))))
