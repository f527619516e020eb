"""When the index changes its shape: at the end of an index run, and never in a query.

Below LIMIT bytes of vectors the exhaustive index answers, above it an inverted file, provided that it finds enough of
the true nearest: of photos that it was not trained on, and of tags, since texts lie off the photos' manifold and some
indexes that look well on photos lose most answers to texts.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from core.types import Progress, ProgressCallback, Space, Vectors
from store.flat import FlatIndex
from store.indexfile import FLAT, IVF, sweep, verify, write
from store.ivf import PER_LIST, IvfIndex, lists_for
from store.names import INDEX
from store.reader import Halves, Ids, Reader, StoredSpace
from store.recall import NOBODY, IdTable, Nearest, recall, without_own

if TYPE_CHECKING:
    from store.writer import Writer

LIMIT = 300_000_000
"""Bytes of fp16 vectors up to which the exhaustive index answers: 300,000 of 512 dimensions, 13 ms a query."""
FEW_NEW = 2048
"""New vectors at the end of a run for which the files are not written anew: they are scanned beside them."""
MANY_NEW = 20_000
"""New vectors after which a run has the files written anew, while it goes on."""
DEAD = 0.1
"""Share of deleted vectors from which on the files are written without them."""
GROWN = 2.0
"""How many times the vectors that an inverted file was trained on may grow before it is trained anew."""
WANTED = 0.98
"""Least recall@10 of an inverted file; it is tuned for a little more, on other queries than it is judged by."""
TUNED_FOR = 0.987
CANDIDATES = 40
"""Neighbours fetched for ten results, which are then re-scored from the stored vectors (search/engine.py)."""
PHOTOS, TEXTS = 256, 1024
"""Queries for the measurement: so many photos, and at most so many tags."""
FIRST_PROBE = 16
STEP = 1.25
"""How the number of lists to probe grows while it is tuned."""


@dataclass
class Growth:
    """Keeps the index files of one space in the shape that its vectors want.

    texts: returns the vectors of the tags, unit rows of shape (n, dim); asked only where they are needed.
    """

    library: "Writer"
    space: Space
    texts: Callable[[], Vectors]
    progress: ProgressCallback

    def grow(self, train: bool = True) -> None:
        """Write the index files anew if there is a reason to; raises OSError or RuntimeError where that fails.

        train: may change the tier, and take minutes for that.
        """
        with Reader(self.library.folder) as reader:
            space = reader.space(self.space.name, self.space.revision)
            if space is not None:
                _Files(self.library, reader, space, self.texts, self.progress).grow(train)


class _Files:
    """The index files of a space as they are, and as they should be."""

    def __init__(
        self,
        library: "Writer",
        reader: Reader,
        space: StoredSpace,
        texts: Callable[[], Vectors],
        progress: ProgressCallback,
    ) -> None:
        self._library, self._reader, self._space = library, reader, space
        self._texts, self._progress = texts, progress
        self._folder = reader.folder / INDEX
        self._last = reader.newest_vector(space.id)
        self._count = reader.count(space)
        self._dead = reader.tombstones(space)[1]
        self._flat = reader.index_file(space, FLAT)
        twin = reader.index_file(space, IVF)
        self._ivf = twin if twin and self._flat and twin.last == self._flat.last else None

    def grow(self, train: bool) -> None:
        """Write the files anew if that is due."""
        covered = self._flat.last if self._flat else 0
        new = self._reader.count(self._space, after=covered)
        dead = int(np.count_nonzero(self._dead <= covered))
        ivf = self._wants_ivf() and (train or self._ivf is not None)
        if self._flat is None and self._count <= FEW_NEW:
            sweep(self._folder, self._space.id, keep=set())
        elif new > FEW_NEW or dead > DEAD * self._count or (train and ivf != (self._ivf is not None)):
            self._write(ivf, train)
        else:
            self._tidy(self._count - new)
            return
        self._library.forget_tombstones(self._space.id, self._last)

    def _tidy(self, covered: int) -> None:
        """Make good what a run did not come to that was killed behind its writing; covered: vectors up to LAST."""
        sweep(self._folder, self._space.id, {file.path for file in (self._flat, self._ivf) if file})
        if self._flat and len(self._dead) and self._flat.facts["vectors"] == covered:  # it has none of them
            self._library.forget_tombstones(self._space.id, self._flat.last)

    def _fingerprint(self, vector_id: int) -> str | None:
        return self._reader.fingerprint(self._space, vector_id)

    def _wants_ivf(self) -> bool:
        """Say whether an inverted file should answer: by size or by hand, but not soon after one fell short."""
        chosen = self._reader.tier()
        large = 2 * self._count * self._space.dim > LIMIT
        wanted = chosen == IVF or (chosen is None and large)
        return wanted and self._count > FEW_NEW and self._count > GROWN * self._refused().get("vectors", 0)

    def _refused(self) -> dict[str, Any]:
        """Return what is known of an inverted file that was found wanting."""
        return (self._flat.facts.get("refused") or {}) if self._flat else {}

    def _write(self, ivf: bool, train: bool) -> None:
        """Write the inverted file, if there is to be one, then the exhaustive one, which makes both count."""
        keep: set[Path] = set()
        refused = self._refused()
        if ivf:
            index, facts = self._inverted(train)
            if min(facts["recall"].values()) >= WANTED:
                keep.add(self._save(IVF, index, facts))
                refused = {}
            else:
                refused = facts
            del index  # half a gigabyte for a million photos
        self._progress(Progress("writing the index"))
        flat = FlatIndex.of(self._rows(), self._space.dim)
        keep.add(self._save(FLAT, flat, {"vectors": len(flat), "refused": refused}))
        sweep(self._folder, self._space.id, keep)

    def _save(self, tier: str, index: FlatIndex | IvfIndex, facts: dict[str, Any]) -> Path:
        stamp = self._fingerprint(self._last) or ""
        facts = {**facts, "deaths": self._reader.deaths()}
        return write(self._folder, tier, (self._space.id, self._last, stamp), index.save, index.bulk, facts).path

    def _rows(self) -> Iterator[tuple[Ids, Halves]]:
        return self._reader.vectors(self._space)

    def _inverted(self, train: bool) -> tuple[IvfIndex, dict[str, Any]]:
        """Return an inverted file of all vectors, and what was measured of it."""
        queries, own, texts = self._queries()
        old = self._ivf
        fits = old is not None and (not train or self._count <= GROWN * old.facts["trained"])
        if old is not None and fits and verify(old.path):
            index, trained = IvfIndex.loaded(old.path), int(old.facts["trained"])
            index.remove(self._dead)
            after = old.last
        else:
            lists = lists_for(self._count)
            self._progress(Progress(f"training an index of {lists:,} lists for {self._count:,} photos"))
            index, trained, after = IvfIndex.trained(self._sample(lists, own), lists), self._count, 0
        nearest = Nearest(queries, own)
        self._progress(Progress("filling the index, and measuring what it finds"))
        for ids, rows in self._rows():
            nearest.add(ids, rows)
            new = ids > after
            if new.any():
                index.add(ids[new], rows[new])
        measured = tuned(index, queries, own, nearest.ids(), texts)
        return index, {"vectors": len(index), "trained": trained, "lists": index.lists, **measured}

    def _queries(self) -> tuple[Vectors, Ids, int]:
        """Return queries, the id of each or NOBODY, and the place from which on they are texts."""
        drawn = np.random.default_rng(self._last).integers(1, self._last + 1, 8 * PHOTOS)
        ids, rows = self._reader.vectors_by_id(self._space, np.unique(drawn))
        some = np.linspace(0, len(ids) - 1, min(PHOTOS, len(ids) // 4)).astype(int)
        texts = self._texts()
        texts = texts[np.linspace(0, len(texts) - 1, min(TEXTS, len(texts))).astype(int)]
        own = np.concatenate([ids[some], np.full(len(texts), NOBODY)])
        return np.concatenate([rows[some].astype(np.float32), texts]), own, len(some)

    def _sample(self, lists: int, held_out: Ids) -> Vectors:
        """Return every so many vectors, PER_LIST for each list, without those that it will be judged by."""
        step = max(1, self._count // (lists * PER_LIST))
        sample, seen = [], 0
        for ids, rows in self._rows():
            chosen = ((np.arange(len(ids)) + seen) % step == 0) & ~np.isin(ids, held_out)
            sample.append(rows[chosen].astype(np.float32))
            seen += len(ids)
        return np.concatenate(sample)


def tuned(index: IvfIndex, queries: Vectors, own: Ids, truth: IdTable, texts: int) -> dict[str, Any]:
    """Find how many lists to probe on every other query, and measure recall@10 on the rest, which has to be met, too.

    own: the id of each query among the vectors, or NOBODY; truth: ids of the nearest, shape (n, 10); texts: the
    place from which on queries are texts. Probes a quarter of the lists at most: more costs what a full scan does.
    """
    kinds = {"photos": slice(0, texts), "texts": slice(texts, None)}
    probes = min(FIRST_PROBE, index.lists)
    while True:
        found = without_own(index.candidates(queries, CANDIDATES + 1, probes), own)
        tuning, judging = (
            {kind: recall(found[part][half::2], truth[part][half::2]) for kind, part in kinds.items()}
            for half in (0, 1)
        )
        more = round(STEP * probes)
        enough = min(tuning.values()) >= TUNED_FOR and min(judging.values()) >= WANTED
        if enough or 4 * more > index.lists:
            return {"nprobe": probes, "recall": judging}
        probes = more
