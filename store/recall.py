"""How many of the true nearest neighbours an index finds: recall@10 against an exhaustive search."""

import numpy as np
import numpy.typing as npt

from core.types import Halves, Ids, Vectors
from store.native import faiss

AT = 10
NOBODY = -1

IdTable = npt.NDArray[np.int64]
"""One row of ids per query."""


class Nearest:
    """The AT nearest of many queries, exactly, from blocks of rows that come one after another."""

    def __init__(self, queries: Vectors, own: Ids) -> None:
        """queries: unit rows, shape (n, dim); own: the id of each among the rows, which does not count, or NOBODY."""
        self._queries = queries
        self._own = own
        self._ids: IdTable = np.full((len(queries), 0), NOBODY, np.int64)
        self._scores = np.zeros((len(queries), 0), np.float32)

    def add(self, ids: Ids, vectors: Halves) -> None:
        """Compare the queries with ids, shape (m,), and fp16 rows, shape (m, dim)."""
        k = min(AT + 1, len(ids))
        rows = vectors.astype(np.float32)
        scores, places = faiss.knn(self._queries, rows, k, metric=faiss.METRIC_INNER_PRODUCT)
        scores = np.concatenate([self._scores, scores], axis=1)
        found = np.concatenate([self._ids, ids[places]], axis=1)
        best = np.argsort(-scores, axis=1, kind="stable")[:, : AT + 1]
        self._scores = np.take_along_axis(scores, best, axis=1)
        self._ids = np.take_along_axis(found, best, axis=1)

    def ids(self) -> IdTable:
        """Return the ids of the nearest, shape (n, AT or fewer), without the queries themselves."""
        return without_own(self._ids, self._own)[:, :AT]


def without_own(ids: IdTable, own: Ids) -> IdTable:
    """Return the rows without each query's own id, shape (n, k - 1): without the last where it is not among them."""
    last = np.argsort(ids == own[:, None], axis=1, kind="stable")
    return np.take_along_axis(ids, last, axis=1)[:, : max(ids.shape[1] - 1, 0)]


def recall(found: IdTable, truth: IdTable) -> float:
    """Return the share of `truth`, shape (n, AT), that is among `found`, shape (n, any)."""
    hit = (truth[:, :, None] == found[:, None, :]).any(axis=2)
    return float(hit.mean()) if hit.size else 1.0
