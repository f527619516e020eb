"""One question being answered: each way to fit it becomes a ranking; what was worked out is kept while that lasts."""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from core.errors import QueryError
from core.query import Filter, Node, Options, Sum
from core.types import Ids, Kind, Vectors
from search.cutoff import BEST
from search.lanes import Wanted, find
from search.ranking import Ranked, best_rows, fused, intersection, merged
from search.sets import Way, countries_for, folder_of, kind_of
from store.reader import Asset, StoredSpace
from store.recordings import has, of_kind

if TYPE_CHECKING:
    from search.engine import Asked, Engine

DEPTH = 1000
"""Hits of each sum that are looked at where several are joined, or where all that was found is to be ordered anew."""
NAMED = 300
"""Contents that have the words of a question and are looked at: many fit equally well."""
MEANT = 100
"""Hits by meaning that are put beside those, at least: the first of many are to be the first of few."""


@dataclass
class Seeking:
    """What is sought, in a library opened for search; own: ids and paths of what was asked with."""

    engine: "Engine"
    asked: "Mapping[Sum, Asked]"
    own: set[object]
    options: Options
    _told: bool = False
    _passing: dict[Node | None, Ids] = field(default_factory=dict)
    _matching: dict[tuple[int, Node], Ids | None] = field(default_factory=dict)

    def ranked(self, way: Way, depth: int) -> list[Ranked]:
        """Return what fits one way to answer, the best first, some `depth` of it."""
        folder = folder_of(way.filter)
        if folder is not None and not self.engine.reader.knows(folder):
            raise QueryError(f"the library knows nothing in {folder}; see which folders it has: glimpse status")
        unwanted = {key for some in way.without for key in self._shown(some, way.filter)}
        if not way.sums:
            return self._listed(way.filter, unwanted, depth)
        if len(way.sums) == 1:
            found = self._list(way.sums[0], way.filter, depth + len(unwanted) if unwanted else depth)
        else:
            found = self._in_all(way)
        return [one for one in found if one.asset.content_id not in unwanted]

    def _in_all(self, way: Way) -> list[Ranked]:
        """Return what several sums find, each ranked by all of them: it may lie far behind in another."""
        first = [self._list(some, way.filter, DEPTH) for some in way.sums]
        ids = sorted({one.asset.content_id for ranking in first for one in ranking})
        each = [
            self._list(some, way.filter, len(ids), contents=ids, beside=ranking)
            for some, ranking in zip(way.sums, first, strict=True)
        ]
        return intersection(each)

    def _listed(self, among: Node | None, unwanted: set[int], depth: int) -> list[Ranked]:
        """Return what passes a filter, the newest first."""
        from store.listing import assets_of

        passing = self._contents(among)
        left_out = unwanted | {key for key in self.own if isinstance(key, int)}
        wanted = passing[~np.isin(passing, list(left_out))] if left_out else passing
        return [Ranked(asset) for asset in assets_of(self.engine.reader, wanted.tolist(), depth)]

    def _shown(self, some: Sum, among: Node | None) -> set[int]:
        """Return all contents that the list of a sum would show, however many."""
        kind, rest = kind_of(among)
        deep = DEPTH
        while True:
            meant = self._meant(some, kind, rest, deep)
            if len(meant) < deep or not meant[-1].is_sure():
                break
            deep *= 4
        return {one.asset.content_id for one in meant if one.is_sure()} | self._named(some, kind, rest).keys()

    def _list(
        self,
        some: Sum,
        among: Node | None,
        k: int,
        contents: list[int] | None = None,
        beside: Sequence[Ranked] = (),
    ) -> list[Ranked]:
        """Return what is meant by a sum, the best first, and what has its words written on it.

        among: what passes this filter; contents: and is one of these; beside: the list without that choice.
        """
        kind, rest = kind_of(among)
        named = self._named(some, kind, rest, contents)
        meant = self._meant(some, kind, rest, max(k, MEANT) if named else k, contents, beside)
        if not named:
            return meant
        known = {one.asset.content_id for one in meant}
        others = sorted(named.keys() - known)
        scored = self._meant(some, kind, rest, len(others), others, beside or meant)
        return fused(meant, named, scored)

    def _named(
        self, some: Sum, kind: Kind | None, rest: Node | None, contents: list[int] | None = None
    ) -> dict[int, tuple[Asset, float]]:
        """Return what has all the words written on it, and how well they fit, by content."""
        words = self.asked[some].words
        if words is None:
            return {}
        from store.words import assets, found

        reader, wanted = self.engine.reader, Wanted(self.own, kind)
        if contents is None and rest is not None:
            contents = self._contents(rest).tolist()
        ranks = dict(found(reader, words, NAMED, contents))
        there = assets(reader, words, ranks) if ranks else {}
        return {key: (there[key], rank) for key, rank in ranks.items() if key in there and wanted.allows(there[key])}

    def _meant(
        self,
        some: Sum,
        kind: Kind | None,
        rest: Node | None,
        k: int,
        contents: list[int] | None = None,
        beside: Sequence[Ranked] = (),
    ) -> list[Ranked]:
        """Return what is nearest to a sum, the best first; beside: what is judged by, where that is not all."""
        if not k:
            return []
        among = functools.partial(self._among, rest=rest, contents=contents)
        lanes = self.engine.lanes(self.asked[some], kind, self.options.rule, among, tell=not self._told)
        self._told = True
        # No fewer than the confidence of the first is judged by.
        wanted, count = Wanted(self.own, kind), max(k, BEST)
        found = [find(lane, self.engine.reader, count, wanted, self.options.exact) for lane in lanes]
        judges: dict[int, Vectors] = best_rows(beside) if contents is not None else {}
        return merged(lanes, found, self.options.explain, judges)[:k]

    def _contents(self, node: Node | None) -> Ids:
        """Return the contents that pass a filter, all for None."""
        from store.filters import contents

        if node not in self._passing:
            self._passing[node] = contents(self.engine.reader, node, countries_for(node))
        return self._passing[node]

    def _among(
        self, space: StoredSpace, kind: Kind | None, rest: Node | None, contents: list[int] | None
    ) -> Ids | None:
        """Return the ids that a kind, a filter and a choice of contents leave in a Space, None for all."""
        reader = self.engine.reader
        left: list[Ids | None] = []
        if contents is not None:
            left.append(reader.of_contents(space, contents))
        if rest is not None:
            left.append(self._vectors(space, rest))
        if kind is not None and (kind is not Kind.AUDIO or has(reader, Kind.VIDEO)):
            left.append(of_kind(reader, space, kind))
        some = [ids for ids in left if ids is not None]
        return functools.reduce(np.intersect1d, some) if some else None

    def _vectors(self, space: StoredSpace, node: Node) -> Ids | None:
        """Return the vectors that a filter leaves, None for all."""
        from store.filters import matching

        if (space.id, node) not in self._matching:
            reader, folder = self.engine.reader, folder_of(node)
            if folder is not None and isinstance(node, Filter):  # which may be all there is, and then costs nothing
                found = reader.within(space, folder)
            else:
                found = matching(reader, space, node, countries_for(node))
            self._matching[space.id, node] = found
        return self._matching[space.id, node]
