"""Parts of a large library within which near vectors lie, so that not every photo is compared with every other."""

from collections.abc import Iterator

import numpy as np

from core.types import Ids, Progress, ProgressCallback, Vectors
from encoders.base import unit
from store.reader import Reader, StoredSpace

AT_ONCE = 20_000
"""Photos that are simply all compared."""
CELL = 4_000
"""Photos for each cell of more."""
NEAREST = 3
"""Cells that each photo lies in: of two that are near, nearly always one is shared (docs/dupes.md)."""
ROUNDS, SAMPLES = 4, 32
"""Rounds of k-means, and samples for each cell."""


def cells(reader: Reader, space: StoredSpace, ids: Ids, progress: ProgressCallback) -> Iterator[Ids]:
    """Yield parts of some vectors, by their ids (ascending): near vectors are in one of them together, or nearly all.

    By k-means of a sample, each vector in the NEAREST cells. All in one where there are few. Holds 4 bytes for each
    vector and cell that it lies in, and the sample.
    """
    if len(ids) <= AT_ONCE:
        progress(Progress("comparing photos"))
        yield ids
        return
    count = len(ids) // CELL
    centres = _centres(reader.sample(space, SAMPLES * count).astype(np.float32), count)
    homes = np.zeros((len(ids), NEAREST), np.int32)
    for some, vectors in reader.vectors(space):
        places = np.searchsorted(ids, some)
        known = ids[np.minimum(places, len(ids) - 1)] == some
        near = vectors[known].astype(np.float32) @ centres.T
        homes[places[known]] = np.argpartition(-near, NEAREST - 1, axis=1)[:, :NEAREST]
        progress(Progress("sorting photos", int(places[-1]) + 1, len(ids)))
    for cell in range(count):
        progress(Progress("comparing photos", cell, count))
        yield ids[(homes == cell).any(axis=1)]


def _centres(rows: Vectors, count: int) -> Vectors:
    """Return unit centres of rows by k-means on the sphere, shape (count, dim); the same for the same rows."""
    centres = rows[np.random.default_rng(len(rows)).choice(len(rows), count, replace=False)]
    for _ in range(ROUNDS):
        homes = np.argmax(rows @ centres.T, axis=1)
        sums = np.zeros_like(centres)
        np.add.at(sums, homes, rows)
        centres = np.where(np.bincount(homes, minlength=count)[:, None] > 0, sums, centres)
        centres = unit(centres.astype(np.float32))
    return centres
