"""How a student or a head is trained, and on which rows."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.int64]
"""Numbers of rows, shape (n,)."""


@dataclass(frozen=True)
class Plan:
    """How long and how fast: the rate rises, then falls as a cosine over `epochs`.

    patience: epochs without a better held-out likelihood before it ends; batch: rows at a time; steps: batches in an
    epoch at least, few rows come several times; network_from: recordings from which a network is tried at all
    (docs/benchmarks.md).
    """

    epochs: int = 40
    patience: int = 10
    batch: int = 32
    steps: int = 20
    rate: float = 2e-3
    decay: float = 0.05
    network_from: int = 200


class Split(NamedTuple):
    """Rows to learn from, and rows to stop by and to choose by, of other recordings."""

    train: Numbers
    held_out: Numbers


def parted(groups: Numbers, parts: int, seed: int) -> list[Numbers]:
    """Return the rows in so many parts of about as many groups each, drawn by the seed; a group is never divided."""
    names = np.random.default_rng(seed).permutation(np.unique(groups))
    return [np.flatnonzero(np.isin(groups, part)) for part in np.array_split(names, parts)]
