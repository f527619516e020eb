"""When the index changes its shape: at the end of an index run, and never in a query.

Below LIMIT bytes of vectors the exhaustive index answers, above it an inverted file, provided that it finds enough of
the true nearest: of photos that it was not trained on, and of tags, since texts lie off the photos' manifold and some
indexes that look well on photos lose most answers to texts.
"""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from core.types import Halves, Ids, Progress, ProgressCallback, Space, StopRequested, Vectors
from store.flat import FlatIndex
from store.indexfile import FLAT, IVF, sweep, verify, write
from store.ivf import CANDIDATES, PER_LIST, IvfIndex, lists_for
from store.names import INDEX
from store.reader import Reader, StoredSpace
from store.recall import NOBODY, IdTable, Nearest, recall, without_own

if TYPE_CHECKING:
    from store.writer import Writer

LIMIT = 300_000_000
"""Bytes of fp16 vectors up to which the exhaustive index answers: 300,000 of 512 dimensions."""
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
PHOTOS, TEXTS = 256, 1024
"""Queries for the measurement: so many photos, and at most so many tags."""
FIRST_PROBE = 16
STEP = 1.25
"""How the number of lists to probe grows while it is tuned."""


@dataclass
class Growth:
    """Keeps the index files of one space in the shape that its vectors want.

    texts: returns the vectors of the tags, unit rows of shape (n, dim); asked only where they are needed.
    stop: asked between blocks of vectors.
    """

    library: "Writer"
    space: Space
    texts: Callable[[], Vectors]
    progress: ProgressCallback
    stop: StopRequested = lambda: False

    def grow(self, train: bool = True, again: bool = False) -> str:
        """Write the index files anew if there is a reason to; raises OSError or RuntimeError where that fails.

        train: may change the tier, and take minutes for that; again: though an inverted file fell short before.
        Leaves everything as it was when `stop` turns true. Returns why there is no inverted file though somebody
        asked for one, "" where there is nothing to say.
        """
        with Reader(self.library.folder) as reader, contextlib.suppress(_Stopped):
            space = reader.space(self.space.name, self.space.revision)
            if space is not None:
                files = _Files(self, reader, space)
                files.grow(train, again)
                return files.excuse() if again else ""
        return ""


class _Stopped(Exception):  # noqa: N818
    """Somebody asked to stop."""


class _Files:
    """The index files of a space as they are, and as they should be."""

    def __init__(self, growth: Growth, reader: Reader, space: StoredSpace) -> None:
        self._library, self._reader, self._space = growth.library, reader, space
        self._texts, self._progress, self._stop = growth.texts, growth.progress, growth.stop
        self._folder = reader.folder / INDEX
        self._last = reader.newest_vector(space.id)
        self._count = reader.count(space)
        self._dead = reader.tombstones(space)[1]
        self._flat = reader.index_file(space, FLAT)
        twin = reader.index_file(space, IVF)
        self._ivf = twin if twin and self._flat and twin.last == self._flat.last else None
        self._refused: dict[str, Any] = (self._flat.facts.get("refused") if self._flat else None) or {}

    def grow(self, train: bool, again: bool) -> None:
        """Write the files anew if that is due."""
        if again:
            self._refused = {}
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

    def excuse(self) -> str:
        """Say why there is no inverted file, "" if that would not be missed."""
        if self._count <= FEW_NEW:
            return f"an inverted file is made from {FEW_NEW + 1:,} photos on; every photo is compared until then"
        if self._refused:
            return "an inverted file found too little (glimpse status tells); every photo is compared instead"
        return ""

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
        return wanted and self._count > FEW_NEW and self._count > GROWN * self._refused.get("vectors", 0)

    def _write(self, ivf: bool, train: bool) -> None:
        """Write the inverted file, if there is to be one, then the exhaustive one, which makes both count."""
        keep = {path for path in (self._write_ivf(train),) if path} if ivf else set()
        self._progress(Progress("writing the index"))
        flat = FlatIndex.of(self._rows(), self._space.dim)
        keep.add(self._save(FLAT, flat, {"vectors": len(flat), "refused": self._refused}))
        sweep(self._folder, self._space.id, keep)

    def _write_ivf(self, train: bool) -> Path | None:
        """Write an inverted file that finds enough, if need be by training it anew; returns None if it does not."""
        old = self._ivf
        if old and (not train or self._count <= GROWN * old.facts["trained"]) and verify(old.path):
            index = IvfIndex.loaded(old.path)
            index.remove(self._dead)
            facts = self._filled(index, old.last, old.facts["trained"], np.array(old.facts["held_out"], np.int64))
            if _is_good(facts):
                return self._save(IVF, index, facts)
            del index  # half a gigabyte for a million photos
        if not train:  # at the end of the run
            return None
        lists, held_out = lists_for(self._count), self._held_out()
        self._progress(Progress(f"training an index of {lists:,} lists for {self._count:,} photos"))
        index = IvfIndex.trained(self._sample(lists, held_out), lists)
        facts = self._filled(index, 0, self._count, held_out)
        self._refused = {} if _is_good(facts) else {name: facts[name] for name in facts if name != "held_out"}
        return self._save(IVF, index, facts) if _is_good(facts) else None

    def _save(self, tier: str, index: FlatIndex | IvfIndex, facts: dict[str, Any]) -> Path:
        stamp = self._fingerprint(self._last) or ""
        facts = {**facts, "deaths": self._reader.deaths()}
        return write(self._folder, tier, (self._space.id, self._last, stamp), index.save, index.bulk, facts).path

    def _rows(self) -> Iterator[tuple[Ids, Halves]]:
        for block in self._reader.vectors(self._space):
            if self._stop():
                raise _Stopped
            yield block

    def _filled(self, index: IvfIndex, after: int, trained: int, held_out: Ids) -> dict[str, Any]:
        """Add the vectors with ids above `after`, and measure what the index finds of all."""
        held_out, photos = self._reader.vectors_by_id(self._space, held_out)
        texts = self._texts()
        texts = texts[np.linspace(0, len(texts) - 1, min(TEXTS, len(texts))).astype(int)]
        queries = np.concatenate([photos.astype(np.float32), texts])
        own = np.concatenate([held_out, np.full(len(texts), NOBODY)])
        nearest = Nearest(queries, own)
        self._progress(Progress("filling the index, and measuring what it finds"))
        for ids, rows in self._rows():
            nearest.add(ids, rows)
            new = ids > after
            if new.any():
                index.add(ids[new], rows[new])
        measured = tuned(index, queries, own, nearest.ids(), texts=len(photos))
        found = {"vectors": len(index), "trained": trained, "lists": index.lists, "held_out": held_out.tolist()}
        return {**found, **measured}

    def _held_out(self) -> Ids:
        """Draw the photos that the index will be judged by, and must not be trained on."""
        drawn = np.random.default_rng(self._last).integers(1, self._last + 1, 8 * PHOTOS)
        ids, _ = self._reader.vectors_by_id(self._space, np.unique(drawn))
        held_out: Ids = ids[np.linspace(0, len(ids) - 1, min(PHOTOS, len(ids) // 4)).astype(int)]
        return held_out

    def _sample(self, lists: int, held_out: Ids) -> Vectors:
        """Return every so many vectors, PER_LIST for each list, without those that it will be judged by."""
        step = max(1, self._count // (lists * PER_LIST))
        sample, seen = [], 0
        for ids, rows in self._rows():
            chosen = ((np.arange(len(ids)) + seen) % step == 0) & ~np.isin(ids, held_out)
            sample.append(rows[chosen].astype(np.float32))
            seen += len(ids)
        return np.concatenate(sample)


def _is_good(facts: dict[str, Any]) -> bool:
    return bool(min(facts["recall"].values()) >= WANTED)


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
