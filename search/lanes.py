"""Where hits come from: pictures and sounds lie in Spaces of their own, and each is a lane of a search."""

from collections.abc import Callable, Collection
from dataclasses import dataclass

import numpy as np

from core.types import Ids, Kind, Vector, Vectors
from store.reader import Asset, Reader
from store.vectors import VectorIndex

OVERFETCH = 4
FETCH_AT_LEAST = 40
"""Candidates fetched for k hits: some share a content, some are gone, and fp16 ranks a few anew."""
FETCH_OF_EACH = 2000
"""Candidates fetched by each of several vectors: what is best by their product may be far behind in both."""
NAMED_BESIDE = 8
"""Candidates that are named beside the k best, in case some are gone or share a content: naming takes longest."""

Scores = Callable[[Vectors], Vector]
"""From stored unit rows, shape (n, dim), a number for each."""


@dataclass(frozen=True)
class Lane:
    """One Space to look into.

    towards: the unit vectors that candidates are fetched by; scores: what orders them; standing: what orders them
    beside those of another lane (search/standing.py); confidence: how sure each is, 0..1; names, contributions: of
    what a score consists; among: the only ids that may be found, None for all; tells: there are enough vectors for a
    confidence to say whether something is there; ends: what is not sure is no hit.
    """

    index: VectorIndex
    towards: tuple[Vector, ...]
    scores: Scores
    standing: Scores
    confidence: Scores
    names: tuple[str, ...]
    contributions: Callable[[Vectors], Vectors]
    among: Ids | None = None
    tells: bool = True
    ends: bool = True


@dataclass(frozen=True)
class Found:
    """The best part of a content that a lane found; row: its stored vector."""

    asset: Asset
    score: float
    row: Vector


@dataclass(frozen=True)
class Wanted:
    """Which contents may be found: not those that were asked with, by id or path; kind: None for all."""

    own: Collection[object]
    kind: Kind | None = None

    def allows(self, asset: Asset) -> bool:
        """Say whether a content may be among the hits."""
        if self.kind is not None and asset.kind is not self.kind:
            return False
        return asset.content_id not in self.own and not any(path in self.own for path in asset.paths)


def find(lane: Lane, reader: Reader, k: int, wanted: Wanted, exact: bool) -> list[Found]:
    """Fetch more and more candidates until k contents are left, best first by exact score, ties by id."""
    count = max(OVERFETCH * k, FETCH_AT_LEAST if len(lane.towards) == 1 else FETCH_OF_EACH)
    while True:
        fetched = [lane.index.search(toward, count, lane.among, exact) for toward in lane.towards]
        candidates = fetched[0] if len(fetched) == 1 else np.unique(np.concatenate(fetched))
        ids, stored = reader.vectors_by_id(lane.index.space, candidates)
        rows = stored.astype(np.float32)
        scores = lane.scores(rows) if len(rows) else np.empty(0, np.float32)
        found = _contents(reader, *_best(ids, scores, rows, k + NAMED_BESIDE), wanted)
        if len(found) < k:
            found = _contents(reader, ids, scores, rows, wanted)
        if len(found) >= k or all(len(some) < count for some in fetched):  # enough, or no more
            return found[:k]
        count *= 4


def _contents(reader: Reader, ids: Ids, scores: Vector, rows: Vectors, wanted: Wanted) -> list[Found]:
    """Name what is behind vectors, each content once, best first."""
    assets = reader.assets(ids)
    best: dict[int, Found] = {}
    for vector_id, score, row in zip(ids.tolist(), scores.tolist(), rows, strict=True):
        asset = assets.get(vector_id)
        if asset is None or not wanted.allows(asset):
            continue
        if asset.content_id not in best or best[asset.content_id].score < score:
            best[asset.content_id] = Found(asset, score, row)
    return sorted(best.values(), key=lambda one: (-one.score, one.asset.content_id))


def _best(ids: Ids, scores: Vector, rows: Vectors, count: int) -> tuple[Ids, Vector, Vectors]:
    """Return the `count` best, and whatever scores as much as the last of them."""
    if len(ids) <= count:
        return ids, scores, rows
    best = scores >= np.partition(scores, -count)[-count]
    return ids[best], scores[best], rows[best]
