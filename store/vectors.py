"""Nearest vectors of one space: files that can be deleted at any time, and an exact tail beside them.

Which file answers depends on how many vectors there are (store/growth.py) and on what is asked: the inverted file
finds the nearest of all, the exhaustive one whatever wants to be exact.
"""

import contextlib
import math
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from core.types import Halves, Ids, Vector
from store.flat import FlatIndex
from store.indexfile import FLAT, IVF, IndexFile, sweep, write
from store.ivf import CANDIDATES, IvfIndex
from store.names import INDEX
from store.native import GPU_K, NOTHING, Found, GpuIndex, Selector, tune
from store.reader import Reader, StoredSpace

TAIL = 2048
"""Rows scanned beside the files before somebody looks for newer ones, or makes the first."""
FEW = 20_000
"""Ids of a filter up to which all of them are compared: no slower than the inverted file, and exact."""
MOST = 1 / 2
"""Share of the lists above which the exhaustive index answers: it takes as long."""
REPAID = 1.0
"""Seconds of searching on the processor after which the index is copied to a GPU: that takes about as long."""
SEEN, SEEN_SHARE = 40_000, 1 / 8
"""Of more, the inverted file looks at so many, or at this share of them, whichever is more."""


class VectorIndex:
    """The nearest vectors of a space, always as the database has them now."""

    def __init__(self, reader: Reader, space: StoredSpace) -> None:
        self._reader = reader
        self.space = space
        self._folder = reader.folder / INDEX
        self._lock = threading.RLock()
        self._flat, self._tail = FlatIndex.of((), space.dim), FlatIndex.of((), space.dim)
        self._ivf: IvfIndex | None = None
        self._nprobe = 0
        self._path: Path | None = None
        self._covered = 0  # highest id in the files
        self._newest = 0  # highest id in files or tail
        self._deleted = self._dead = np.empty(0, np.int64)  # _dead: gone photos, too
        self._alive: Selector | None = None
        self._buried = 0  # number of the last tombstone seen
        self._version = -1  # of the database that all this is as new as
        self._gpu: GpuIndex | None = None
        self._spent = 0.0  # seconds that the processor took for what a GPU could have done
        tune(space.dim)
        self._open_files()
        self.refresh()

    def __len__(self) -> int:
        return len(self._flat) + len(self._tail) - len(self._dead)

    @property
    def tier(self) -> str:
        """The tier that answers plain questions: "flat" or "ivf"."""
        return FLAT if self._ivf is None else IVF

    def search(self, query: Vector, k: int, among: Ids | None = None, exact: bool = False) -> Ids:
        """Return the ids of the k nearest vectors, in no particular order, or all if there are fewer.

        among: only these ids, ascending; exact: look at every vector, whatever it takes.
        """
        with self._lock:
            self.refresh()
            if among is not None and len(among) == 0:
                return NOTHING[0]
            selector = self._alive if among is None else Selector(among)
            main = self._search_main(query, k, among, exact, selector)
            found = [main, self._tail.search(query, k, selector)]
        ids = np.concatenate([ids for ids, _ in found])
        scores = np.concatenate([scores for _, scores in found])
        return ids if len(ids) <= k else ids[np.argpartition(-scores, k - 1)[:k]]

    def _search_main(self, query: Vector, k: int, among: Ids | None, exact: bool, selector: Selector | None) -> Found:
        """Ask the index that suits: the inverted file where it is good, the GPU where there is no filter."""
        few = among is not None and len(among) <= FEW
        ivf = None if exact or few or self._share(k) > MOST else self._ivf
        deep = self._ivf is not None and k > CANDIDATES  # the copy on a GPU probes what was tuned
        plain = among is None and not exact and not deep
        if plain and (found := self._search_gpu(query, k)):
            return found
        started = time.perf_counter()
        found = self._search_cpu(ivf, query, k, among, selector)
        if plain:
            self._spent += time.perf_counter() - started
        return found

    def _search_gpu(self, query: Vector, k: int) -> Found | None:
        """Ask the GPU; None where there is none, or it gives too little."""
        gpu = self._on_gpu()
        if gpu is None or k + len(self._dead) > GPU_K:
            return None
        try:
            ids, scores = gpu.search(query, min(k + len(self._dead), len(self._flat)))
        except RuntimeError:  # another program took its memory
            self._gpu = None
            return None
        alive = ~np.isin(ids, self._dead)
        ids, scores = ids[alive][:k], scores[alive][:k]
        return (ids, scores) if len(ids) >= min(k, self._there(None)) else None

    def _search_cpu(
        self, ivf: IvfIndex | None, query: Vector, k: int, among: Ids | None, selector: Selector | None
    ) -> Found:
        """Ask the inverted file, where there is one to ask, and the exhaustive one where that gives too little."""
        if ivf is not None:
            found = ivf.search(query, k, self._probes(ivf, query, k, among), selector)
            if len(found[0]) >= min(k, self._there(among)):
                return found  # otherwise the lists probed have not that many
        return self._flat.search(query, k, selector)

    def _share(self, k: int) -> float:
        """Return which share of the lists is to be probed for k neighbours: it was tuned for those of ten results."""
        return 0.0 if self._ivf is None else self._nprobe / self._ivf.lists * max(1.0, k / CANDIDATES)

    def _probes(self, ivf: IvfIndex, query: Vector, k: int, among: Ids | None) -> int:
        """Return how many lists to probe: more under a filter, since the nearest may hold little that passes."""
        if among is None:
            return round(self._share(k) * ivf.lists)
        return ivf.probes(query, among, min(1.0, max(self._share(k), SEEN_SHARE, SEEN / len(among))))

    def _there(self, among: Ids | None) -> int:
        """Return how many vectors a search of the files could find."""
        if among is None:
            return len(self._flat) - int(np.count_nonzero(self._dead <= self._covered))
        return int(np.count_nonzero(among <= self._covered))

    def _on_gpu(self) -> GpuIndex | None:
        """Return the index on the GPU where there is one, once searches have taken as long as the copy would."""
        if self._spent > REPAID and len(self._flat) > TAIL:
            self._spent = -math.inf  # once
            self._gpu = self._flat.on_gpu() if self._ivf is None else self._ivf.on_gpu(self._nprobe)
        return self._gpu

    def refresh(self) -> None:
        """Take in what was committed since; make a file where there is none, so that the next process need not."""
        with self._lock:
            version = self._reader.version()
            if version == self._version:
                return
            self._version = version
            self._refresh_dead()
            newest = self._reader.newest_vector(self.space.id)
            if newest <= self._newest:
                return
            if newest - self._covered > TAIL:
                self._open_files()
                if self._path is None:
                    self._answer_from(*self._made())
                    self._open_twin()
            for ids, vectors in self._reader.vectors(self.space, after=self._newest):
                self._tail.add(ids, vectors)
                self._newest = int(ids[-1])

    def _refresh_dead(self) -> None:
        """Take note of vectors that were deleted, or whose photos are gone: they would be in the way of others."""
        self._buried, dead = self._reader.tombstones(self.space, self._buried)
        self._deleted = np.union1d(self._deleted, dead)
        dead = np.union1d(self._deleted, self._reader.gone(self.space))
        if not np.array_equal(dead, self._dead):
            self._dead = dead
            self._alive = Selector(dead, but=True) if len(dead) else None

    def _made(self) -> tuple[FlatIndex, IndexFile | None, int]:
        """Build the exhaustive index; returns it, its file if the disk took it, and its last id."""
        last = 0

        def rows() -> Iterator[tuple[Ids, Halves]]:
            nonlocal last
            for ids, vectors in self._reader.vectors(self.space):
                last = int(ids[-1])
                yield ids, vectors

        self._flat = FlatIndex.of((), self.space.dim)  # lets go of the old one first
        flat = FlatIndex.of(rows(), self.space.dim)
        with contextlib.suppress(OSError, RuntimeError):  # a read-only or full disk: searching goes on without
            made_from = (self.space.id, last, self._fingerprint(last) or "")
            facts = {"vectors": len(flat), "deaths": self._reader.deaths()}
            file = write(self._folder, FLAT, made_from, flat.save, flat.bulk, facts)
            twin = self._reader.index_file(self.space, IVF)
            sweep(self._folder, self.space.id, {file.path, *((twin.path,) if twin else ())}, last)
            return FlatIndex.mapped(file.path), file, last
        return flat, None, last

    def _open_files(self) -> None:
        """Open the files that cover most, unless they are open: an inverted file counts only beside its twin."""
        with contextlib.suppress(RuntimeError):
            file = self._reader.index_file(self.space, FLAT)
            if file is None or file.path == self._path:
                return
            self._answer_from(FlatIndex.mapped(file.path), file, file.last)
            self._open_twin()

    def _open_twin(self) -> None:
        """Open the inverted file that belongs to the exhaustive one."""
        with contextlib.suppress(RuntimeError):
            twin = self._reader.index_file(self.space, IVF)
            if twin is not None and twin.last == self._covered and self._path is not None:
                self._ivf, self._nprobe = IvfIndex.mapped(twin.path, twin.last), int(twin.facts["nprobe"])

    def _fingerprint(self, vector_id: int) -> str | None:
        return self._reader.fingerprint(self.space, vector_id)

    def _answer_from(self, flat: FlatIndex, file: IndexFile | None, last: int) -> None:
        """Answer from an exhaustive index up to id `last`, and begin a new tail behind it."""
        self._flat, self._path = flat, file.path if file else None
        self._ivf, self._gpu, self._spent = None, None, 0.0
        self._tail = FlatIndex.of((), self.space.dim)
        self._covered = self._newest = last
