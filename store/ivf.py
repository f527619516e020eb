"""The inverted-file tier: 8-bit codes in lists around k-means centroids, of which a query probes a few.

Scores are those of the codes: whoever asks re-scores the candidates from the stored vectors.
"""

import math
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from core.types import Halves, Ids, Vector, Vectors
from store.native import Found, GpuIndex, Selector, faiss, on_gpu, search

PER_LIST = 50
"""Vectors that a centroid is trained on."""
ROUNDS = 10
"""Iterations of k-means."""
_BY_LISTS = 1
"""FAISS's mode in which threads share the lists of a query; by default they share queries, and one has one thread."""
CANDIDATES = 40
"""Neighbours fetched for ten results (search/engine.py), for which `nprobe` is tuned; it grows with their number."""
SAMPLED = 20_000
"""Ids of a filter by which is told in which lists it has how much."""


def lists_for(count: int) -> int:
    """Return how many lists `count` vectors want: 4 sqrt(N), fewer where each would be trained on too little."""
    return max(1, min(round(4 * math.sqrt(count)), count // PER_LIST))


class IvfIndex:
    """An inverted file over 8-bit codes; scores are approximate inner products of unit vectors."""

    def __init__(self, index: Any, last: int = 0) -> None:
        """last: the highest id in a file, beyond which ids are damage; 0: there is no file."""
        self._index = index
        self._last = last

    @classmethod
    def trained(cls, sample: Vectors, lists: int) -> "IvfIndex":
        """Train an empty index: spherical k-means for the lists, the range of each dimension for the codes."""
        dim = sample.shape[1]
        kmeans = faiss.Kmeans(
            dim, lists, niter=ROUNDS, spherical=True, seed=1, max_points_per_centroid=PER_LIST,
            min_points_per_centroid=1,
        )  # fmt: skip
        kmeans.train(sample)
        centroids = faiss.IndexFlatIP(dim)
        centroids.add(kmeans.centroids)
        kind = faiss.ScalarQuantizer.QT_8bit
        index = faiss.IndexIVFScalarQuantizer(centroids, dim, lists, kind, faiss.METRIC_INNER_PRODUCT)
        index.train(sample)
        return cls(index)

    @classmethod
    def mapped(cls, path: Path, last: int) -> "IvfIndex":
        """Open a file of ids up to `last` by memory map: a query reads the lists that it probes, and no more."""
        index = faiss.read_index(str(path), faiss.IO_FLAG_MMAP_IFC)
        index.parallel_mode = _BY_LISTS
        return cls(index, last)

    @classmethod
    def loaded(cls, path: Path) -> "IvfIndex":
        """Read a whole file, to add to it."""
        return cls(faiss.read_index(str(path)))

    def add(self, ids: Ids, vectors: Halves) -> None:
        """Add ids, shape (n,), and fp16 rows, shape (n, dim); not to a mapped one."""
        self._index.add_with_ids(vectors.astype(np.float32), ids)

    def remove(self, ids: Ids) -> None:
        """Remove ids, those that are there; not from a mapped one."""
        if len(ids):
            self._index.remove_ids(Selector(ids).native)

    def save(self, path: Path) -> None:
        """Write the index to a file."""
        faiss.write_index(self._index, str(path))

    def bulk(self, size: int) -> tuple[int, int]:
        """Return where in a saved file of `size` bytes codes and ids lie: what cannot lead FAISS astray."""
        return size - len(self) * (self._index.code_size + 8), size

    def __len__(self) -> int:
        return int(self._index.ntotal)

    @property
    def lists(self) -> int:
        """Number of lists."""
        return int(self._index.nlist)

    def search(self, query: Vector, k: int, nprobe: int, selector: Selector | None = None) -> Found:
        """Return ids and scores of the k nearest vectors that the nearest `nprobe` lists hold, best first."""
        sel = {"sel": selector.native} if selector else {}
        parameters = faiss.SearchParametersIVF(nprobe=min(nprobe, self.lists), **sel)
        return search(self._index, query, min(k, len(self)), parameters)

    def probes(self, query: Vector, among: Ids, share: float) -> int:
        """Return how many of the nearest lists hold a share, 0..1, of the ids that a filter lets through.

        The nearest lists may hold none of them: what lies in one folder often lies together elsewhere.
        """
        some = among[:: max(1, len(among) // SAMPLED)]
        held = np.bincount(self._homes[some[some < len(self._homes)]], minlength=self.lists)
        order = self._index.quantizer.search(query.reshape(1, -1), self.lists)[1][0]
        reached = np.cumsum(held[order])
        return min(self.lists, int(np.searchsorted(reached, share * reached[-1])) + 1)

    @cached_property
    def _homes(self) -> npt.NDArray[np.int32]:
        """The list of each id, by id; list 0 for ids that are not there."""
        homes = np.zeros(self._last + 1, np.int32)
        inverted = self._index.invlists
        for number in range(self.lists):
            if size := inverted.list_size(number):
                ids = faiss.rev_swig_ptr(inverted.get_ids(number), size)
                homes[ids[(ids >= 0) & (ids <= self._last)]] = number
        return homes

    def candidates(self, queries: Vectors, k: int, nprobe: int) -> npt.NDArray[np.int64]:
        """Return the ids of the k nearest for each of many queries, shape (n, k), -1 where there are none."""
        parameters = faiss.SearchParametersIVF(nprobe=min(nprobe, self.lists))
        ids: npt.NDArray[np.int64] = self._index.search(queries, k, params=parameters)[1]
        return ids

    def on_gpu(self, nprobe: int) -> GpuIndex | None:
        """Return a copy on the GPU that probes `nprobe` lists, where there is one."""
        self._index.nprobe = nprobe
        return on_gpu(self._index)
