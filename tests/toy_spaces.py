"""Two made-up spaces whose true map is known, with what keeps real ones apart: a gap between kinds, and noise."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from core.types import Vectors
from encoders.base import unit

Matrix = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Toy:
    """Texts in both spaces, sounds in one, the pictures that belong to them in the other, and the true map."""

    sound_texts: Vectors
    joint_texts: Vectors
    sounds: Vectors
    pictures: Vectors
    true_map: Matrix

    def recall(self, matrix: npt.ArrayLike, mean: Vectors | None = None) -> float:
        """Return how many sounds have their own picture nearest, R@1; mean: what to centre sounds with."""
        mean = self.sounds.mean(axis=0) if mean is None else mean
        mapped = unit(((self.sounds - mean) @ np.asarray(matrix)).astype(np.float32))
        sought = unit(self.pictures - self.pictures.mean(axis=0))
        return float(np.mean((mapped @ sought.T).argmax(axis=1) == np.arange(len(sought))))


def toy(
    seed: int = 0, texts: int = 4000, pairs: int = 1000, sound_dim: int = 128, joint_dim: int = 128,
    shared_dim: int | None = None, gap: float = 1.0, noise: float = 1.0,
) -> Toy:  # fmt: skip
    """Make a pair of spaces.

    What a text or a sound is about are 48 numbers of falling weight; each space turns them its own way, adds an
    offset for the kind (`gap`, as long as the meaning itself at 1) and noise, and scales to length 1.
    """
    dice = np.random.default_rng(seed)
    weights = np.linspace(1, 0.3, 48)
    shared = joint_dim if shared_dim is None else shared_dim
    into_sound, into_joint = (weights[:, None] * _frame(dice, 48, dim) for dim in (sound_dim, shared))

    def rows(about: Matrix, into: Matrix) -> Vectors:
        dim = into.shape[1]
        size = float(np.linalg.norm(weights))
        offset = gap * size * _frame(dice, 1, dim)
        spread = noise * size / dim**0.5 * dice.standard_normal((len(about), dim))
        return unit((about @ into + offset + spread).astype(np.float32))

    said, heard = dice.standard_normal((texts, 48)), dice.standard_normal((pairs, 48))
    behind = ((0, 0), (0, joint_dim - shared))
    return Toy(
        sound_texts=rows(said, into_sound),
        joint_texts=np.pad(rows(said, into_joint), behind),
        sounds=rows(heard, into_sound),
        pictures=np.pad(rows(heard, into_joint), behind),
        true_map=np.pad(np.linalg.pinv(into_sound) @ into_joint, behind),
    )


def _frame(dice: np.random.Generator, count: int, dim: int) -> Matrix:
    """Return orthonormal rows at random, shape (count, dim)."""
    return np.linalg.qr(dice.standard_normal((dim, count)))[0].T
