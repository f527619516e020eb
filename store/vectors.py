"""Nearest vectors of one space: FAISS over a file that can be deleted at any time, and an exact tail.

The file holds the vectors up to some id, exhaustively, as fp16; rows that came later are scanned beside it. Its
name says what it was made from, so that a stale or damaged one is never trusted, and one rename puts it in place.
"""

import contextlib
import mmap
import os
import threading
import time
from collections.abc import Iterable, Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import numpy.typing as npt
import xxhash

from core.errors import GlimpseError
from core.types import Vector
from store.names import INDEX
from store.reader import Halves, Ids, Reader, StoredSpace


def _refuse_two_faiss() -> None:
    """Refuse faiss-cpu and faiss-gpu side by side: they overwrite each other's files without a word."""
    spec = find_spec("faiss")
    places = spec.submodule_search_locations if spec else None
    # A look at the folder: importlib.metadata would cost a search 20 ms.
    names = os.listdir(Path(places[0]).parent) if places else []
    found = {name.partition("-")[0] for name in names if name.startswith("faiss_") and name.endswith(".dist-info")}
    if {"faiss_cpu", "faiss_gpu"} <= found:
        raise GlimpseError(
            "faiss-cpu and faiss-gpu are both installed and break each other; run: "
            "pip uninstall -y faiss-cpu faiss-gpu && pip install --upgrade --force-reinstall glimpse-search"
        )


_refuse_two_faiss()
import faiss  # noqa: E402

TAIL = 2048
"""Rows scanned beside the file before it is written anew."""
GPU_K = 2048
"""The most neighbours that FAISS finds on a GPU."""
GPU_SCRATCH = 64 << 20
"""Bytes that FAISS may reserve on a GPU beside the vectors."""


class FlatIndex:
    """All vectors, exhaustively, as fp16; scores are inner products of unit vectors."""

    def __init__(self, index: "faiss.Index") -> None:
        self._index = index
        self._gpu: faiss.Index | None = None
        self._searches = 0

    @classmethod
    def of(cls, blocks: Iterable[tuple[Ids, Halves]], dim: int) -> "FlatIndex":
        """Build from blocks of ids, shape (n,), and fp16 rows, shape (n, dim)."""
        kind = faiss.ScalarQuantizer.QT_fp16
        index = faiss.IndexIDMap(faiss.IndexScalarQuantizer(dim, kind, faiss.METRIC_INNER_PRODUCT))
        for ids, vectors in blocks:
            index.add_with_ids(vectors.astype(np.float32), ids)
        return cls(index)

    @classmethod
    def mapped(cls, path: Path) -> "FlatIndex":
        """Open a file by memory map, so that processes share what they read of it."""
        return cls(faiss.read_index(str(path), faiss.IO_FLAG_MMAP_IFC))

    def save(self, path: Path) -> None:
        """Write the index to a file."""
        faiss.write_index(self._index, str(path))

    def __len__(self) -> int:
        return int(self._index.ntotal)

    @property
    def dim(self) -> int:
        """Length of a vector."""
        return int(self._index.d)

    def search(self, query: Vector, k: int) -> tuple[Ids, npt.NDArray[np.float32]]:
        """Return ids and scores of the k nearest vectors (fewer if there are fewer), best first."""
        k = min(k, len(self))
        if k == 0:
            return np.empty(0, np.int64), np.empty(0, np.float32)
        scores, ids = self._device(k).search(query.reshape(1, -1), k)
        there = ids[0] >= 0  # FAISS fills up with -1
        return ids[0][there], scores[0][there]

    def _device(self, k: int) -> "faiss.Index":
        """Return the index on the GPU where there is one, from the second search on: a single one never repays it."""
        self._searches += 1
        if self._searches == 2 and len(self) > TAIL and getattr(faiss, "get_num_gpus", lambda: 0)() > 0:
            options = faiss.GpuClonerOptions()
            options.useFloat16 = True
            resources = faiss.StandardGpuResources()
            resources.setTempMemory(GPU_SCRATCH)
            with contextlib.suppress(RuntimeError):  # no room on the card: the CPU goes on
                self._gpu = faiss.index_cpu_to_gpu(resources, 0, self._index, options)
        return self._gpu if self._gpu is not None and k <= GPU_K else self._index


class VectorIndex:
    """The nearest vectors of a space, always as the database has them now."""

    def __init__(self, reader: Reader, space: StoredSpace) -> None:
        self._reader = reader
        self.space = space
        self._folder = reader.folder / INDEX
        self._main = FlatIndex.of((), space.dim)
        self._tail = self._main
        self._covered = 0  # highest id in the main index
        self._newest = 0  # highest id in main or tail
        self._lock = threading.RLock()
        self._open_file()
        self.refresh()

    def __len__(self) -> int:
        return len(self._main) + len(self._tail)

    def search(self, query: Vector, k: int) -> Ids:
        """Return the ids of the k nearest vectors, in no particular order, or all if there are fewer."""
        with self._lock:
            self.refresh()
            found = [part.search(query, k) for part in (self._main, self._tail)]
        ids = np.concatenate([ids for ids, _ in found])
        scores = np.concatenate([scores for _, scores in found])
        return ids if len(ids) <= k else ids[np.argpartition(-scores, k - 1)[:k]]

    def refresh(self) -> None:
        """Take in what was committed since, and write the file anew once the tail has grown long."""
        with self._lock:
            space = self._reader.space(self.space.name, self.space.revision)
            if space is not None and space.epoch != self.space.epoch:  # vectors were deleted: begin again
                self.space = space
                self._forget()
            newest = self._reader.newest_vector(self.space.id)
            if newest == self._newest:
                return
            if newest - self._covered > TAIL:
                self._rebuild()
            else:
                self._tail = FlatIndex.of(self._reader.vectors(self.space, after=self._covered), self.space.dim)
                self._newest = newest

    def _forget(self) -> None:
        self._main = FlatIndex.of((), self.space.dim)
        self._tail, self._covered, self._newest = self._main, 0, 0

    def _rebuild(self) -> None:
        """Put all vectors into the main index, and into a file if the disk takes it."""
        self._tail = FlatIndex.of((), self.space.dim)
        self._main = self._tail  # lets go of the old one first
        last = 0

        def blocks() -> Iterator[tuple[Ids, Halves]]:
            nonlocal last
            for ids, vectors in self._reader.vectors(self.space):
                last = int(ids[-1])
                yield ids, vectors

        self._main = FlatIndex.of(blocks(), self.space.dim)
        self._covered = self._newest = last
        with contextlib.suppress(OSError, RuntimeError):  # a read-only or full disk: searching goes on without
            self._save()

    def _save(self) -> None:
        self._folder.mkdir(exist_ok=True)
        scratch = self._folder / f"{os.urandom(8).hex()}.tmp"
        try:
            self._main.save(scratch)
            with scratch.open("rb+") as file:
                os.fsync(file.fileno())
            stamp = f"{self._stamp(self._covered)}-{checksum(scratch)}"
            old = list(self._folder.glob(f"{self.space.id}-*.faiss"))
            new = self._folder / f"{stamp}.faiss"
            scratch.replace(new)
        finally:
            scratch.unlink(missing_ok=True)
        hour_ago = time.time() - 3600
        old += [path for path in self._folder.glob("*.tmp") if path.stat().st_mtime < hour_ago]  # of killed processes
        for path in old:
            with contextlib.suppress(OSError):
                if path != new:  # another process may have made the same
                    path.unlink()

    def _open_file(self) -> None:
        """Open the file if it was made from this database and is whole; otherwise everything is tail."""
        for path in sorted(self._folder.glob(f"{self.space.id}-*.faiss"), reverse=True):
            with contextlib.suppress(OSError, RuntimeError, ValueError, IndexError, OverflowError):
                covered = int(path.stem.split("-")[2])
                stamp, _, told = path.stem.rpartition("-")
                if stamp != self._stamp(covered) or told != checksum(path):
                    continue
                self._main = FlatIndex.mapped(path)
                self._covered = covered
                return

    def _stamp(self, covered: int) -> str:
        """Name what a file was made from: space, epoch, last id, and that row's own bytes (a restored backup!)."""
        _, last = self._reader.vectors_by_id(self.space, [covered])
        return f"{self.space.id}-{self.space.epoch}-{covered}-{xxhash.xxh32_hexdigest(last.tobytes())}"


def checksum(path: Path) -> str:
    """Return XXH3-64 over the whole file: 100,000 vectors take some 10 ms, and a flipped bit is noticed."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return xxhash.xxh3_64_hexdigest(content)
