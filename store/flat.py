"""The exhaustive tier: all vectors as fp16, every one looked at. Exact, and what the other tier is measured by."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from core.types import Halves, Ids, Vector
from store.native import Found, GpuIndex, Selector, faiss, on_gpu, search

_IDS_HEADER = 8
"""Bytes that FAISS writes before the ids, which end the file."""


class FlatIndex:
    """All vectors, exhaustively, as fp16; scores are inner products of unit vectors."""

    def __init__(self, index: Any) -> None:
        self._index = index

    @classmethod
    def of(cls, blocks: Iterable[tuple[Ids, Halves]], dim: int) -> "FlatIndex":
        """Build from blocks of ids, shape (n,), and fp16 rows, shape (n, dim)."""
        kind = faiss.ScalarQuantizer.QT_fp16
        index = cls(faiss.IndexIDMap(faiss.IndexScalarQuantizer(dim, kind, faiss.METRIC_INNER_PRODUCT)))
        for ids, vectors in blocks:
            index.add(ids, vectors)
        return index

    @classmethod
    def mapped(cls, path: Path) -> "FlatIndex":
        """Open a file by memory map, so that processes share what they read of it."""
        return cls(faiss.read_index(str(path), faiss.IO_FLAG_MMAP_IFC))

    def add(self, ids: Ids, vectors: Halves) -> None:
        """Add ids, shape (n,), and fp16 rows, shape (n, dim); not to a mapped one."""
        self._index.add_with_ids(vectors.astype(np.float32), ids)

    def save(self, path: Path) -> None:
        """Write the index to a file."""
        faiss.write_index(self._index, str(path))

    def bulk(self, size: int) -> tuple[int, int]:
        """Return where in a saved file of `size` bytes the codes lie: what cannot lead FAISS astray."""
        end = size - _IDS_HEADER - 8 * len(self)
        return end - 2 * self.dim * len(self), end

    def __len__(self) -> int:
        return int(self._index.ntotal)

    @property
    def dim(self) -> int:
        """Length of a vector."""
        return int(self._index.d)

    def search(self, query: Vector, k: int, selector: Selector | None = None) -> Found:
        """Return ids and scores of the k nearest vectors (fewer if there are fewer), best first."""
        parameters = faiss.SearchParameters(sel=selector.native) if selector else None
        return search(self._index, query, min(k, len(self)), parameters)

    def on_gpu(self) -> GpuIndex | None:
        """Return a copy on the GPU, where there is one."""
        return on_gpu(self._index)
