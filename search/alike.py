"""What "much alike" means, in one place: a photo's copies, resized, saved anew or edited a little, and bursts.

Two photos are compared if the cosine of their vectors is at least LIKE. They are much alike if their previews
correlate, or if they were taken within BURST seconds of each other. Where one has no preview, or both are of one
colour, their vectors alone must be as near as ALONE. Measured in docs/dupes.md.
"""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import numpy as np
import numpy.typing as npt

from core.types import Halves, Ids, Vector, Vectors
from media.thumbs import SIDE, Grey, grey
from store.copies import digests, moments
from store.previews import Previews
from store.reader import Reader

LIKE, ALONE = 0.85, 0.97
CORRELATED = 0.95
BURST = 3.0
TILE = 2048
"""Rows of a block of cosines, and its columns."""

Places = npt.NDArray[np.intp]
Flags = npt.NDArray[np.bool_]
_UNSEEN, _NONE, _FLAT, _SEEN = range(4)


def pairs(rows: Halves | Vectors, least: float = LIKE) -> Iterator[tuple[Places, Places, Vector]]:
    """Yield the places i < j of all pairs of unit rows with a cosine of at least `least`, and the cosines."""
    for top in range(0, len(rows), TILE):
        some = rows[top : top + TILE].astype(np.float32)
        for left in range(top, len(rows), TILE):
            others = some if left == top else rows[left : left + TILE].astype(np.float32)
            cosines = some @ others.T
            near = cosines >= least
            i, j = np.nonzero(np.triu(near, 1) if left == top else near)
            yield i + top, j + left, cosines[i, j]


class Alike:
    """Photos that are compared; previews are looked at once somebody asks."""

    def __init__(self, reader: Reader, contents: Ids) -> None:
        """Take the ids of contents; from now on, each is known by its place among them."""
        self._digests = digests(reader, contents.tolist())
        self._contents = contents
        self._previews = Previews(reader.folder)
        taken = moments(reader, contents.tolist())
        self._times = np.array([_seconds(taken.get(key)) for key in contents.tolist()], np.float64)
        self._greys = np.zeros((len(contents), SIDE * SIDE), np.float16)
        self._state = np.full(len(contents), _UNSEEN, np.int8)

    def copies(self, i: Places, j: Places, cosines: Vector) -> Flags:
        """Say of pairs of LIKE vectors, by their places, whether one is a copy of the other."""
        self._look(np.unique(np.concatenate([i, j])))
        one, other = self._state[i], self._state[j]
        correlations = np.einsum("nd,nd->n", self._greys[i].astype(np.float32), self._greys[j].astype(np.float32))
        told = (one != other) | (one == _SEEN)
        told &= (one != _NONE) & (other != _NONE)
        return np.where(told, correlations >= CORRELATED, cosines >= ALONE)

    def bursts(self, i: Places, j: Places) -> Flags:
        """Say of pairs of LIKE vectors whether they were taken within BURST seconds of each other."""
        found: Flags = np.abs(self._times[i] - self._times[j]) <= BURST
        return found

    def _look(self, places: Places) -> None:
        """Read the previews of photos that have not been seen yet."""
        unseen = places[self._state[places] == _UNSEEN]
        if not len(unseen):
            return
        with ThreadPoolExecutor(os.cpu_count()) as several:
            for place, seen in zip(unseen.tolist(), several.map(self._grey, unseen.tolist()), strict=True):
                self._state[place] = _NONE if seen is None else _SEEN if seen.any() else _FLAT
                if seen is not None:
                    self._greys[place] = seen

    def _grey(self, place: int) -> Grey | None:
        digest = self._digests.get(int(self._contents[place]))
        preview = None if digest is None else self._previews.read(digest)
        return None if preview is None else grey(preview)


class Links:
    """What hangs together: a union-find over places."""

    def __init__(self, count: int) -> None:
        self._above = np.arange(count)

    def tops(self, places: Places) -> Places:
        """Return one number for all that hang together, of each place."""
        tops = self._above[places]
        while not np.array_equal(higher := self._above[tops], tops):
            tops = higher
        return tops

    def join(self, i: Places, j: Places) -> None:
        """Link pairs of places."""
        above = self._above
        for one, other in zip(i.tolist(), j.tolist(), strict=True):
            while above[one] != one:
                above[one] = one = above[above[one]]
            while above[other] != other:
                above[other] = other = above[above[other]]
            above[max(one, other)] = min(one, other)

    def groups(self) -> list[Places]:
        """Return all groups of several, each ascending, by their first."""
        tops = self.tops(np.arange(len(self._above)))
        order = np.argsort(tops, kind="stable")
        parts = np.split(order, np.flatnonzero(np.diff(tops[order])) + 1)
        return [part for part in parts if len(part) > 1]


MANY = 1 << 16
"""Pairs that are looked at together: those that already hang together by then are not looked at any more."""


def link(links: Links, alike: Alike, i: Places, j: Places, cosines: Vector) -> None:
    """Link those of some pairs of LIKE vectors that are much alike."""
    for start in range(0, len(i), MANY):
        one, other, cosine = i[start : start + MANY], j[start : start + MANY], cosines[start : start + MANY]
        apart = links.tops(one) != links.tops(other)
        one, other, cosine = one[apart], other[apart], cosine[apart]
        if len(one):
            much = alike.bursts(one, other)
            much[~much] = alike.copies(one[~much], other[~much], cosine[~much])
            links.join(one[much], other[much])


def around(rows: Halves | Vectors) -> Iterator[list[int]]:
    """Split what hangs together into groups around their best: the places of each, its best first.

    rows: unit vectors of what hangs together, the best first. A chain is one group as far as it stays LIKE the best;
    what is farther off may have a best of its own.
    """
    left = np.arange(len(rows))
    while len(left) > 1:
        some = rows[left].astype(np.float32)
        near = some @ some[0] >= LIKE
        near[0] = True
        if near.sum() > 1:
            yield left[near].tolist()
        left = left[~near]


def _seconds(taken: str | None) -> float:
    """Return a time in seconds, to be compared with others; NaN where it is not known."""
    try:
        return datetime.fromisoformat(taken or "").replace(tzinfo=UTC).timestamp()
    except ValueError:
        return float("nan")
