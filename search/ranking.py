"""Rankings of contents: what lanes found becomes one list, and several lists become one."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from core.types import Vector, Vectors
from search.cutoff import BEST, CUT
from search.fusion import fused as by_rank
from search.fusion import settled
from search.lanes import Found, Lane
from store.reader import Asset


@dataclass(frozen=True)
class Ranked:
    """A content with what is known of it as an answer; nothing but an asset for what only passes a filter.

    row: its stored vector in the Space with the id `lane`, None where it has none; tells: there is enough beside it
    for `confidence` to mean anything; shown: it belongs into a list that ends.
    """

    asset: Asset
    score: float = 0.0
    confidence: float | None = None
    row: Vector | None = None
    lane: int = 0
    contributions: tuple[tuple[str, float], ...] = ()
    by_name: bool = False
    tells: bool = True
    shown: bool = True

    @property
    def sureness(self) -> float:
        """What orders contents that were found in different ways: a filter is certain, words are as good as shown."""
        if self.confidence is None:
            return CUT if self.by_name else 1.0
        return max(self.confidence, CUT) if self.by_name else self.confidence

    def is_sure(self) -> bool:
        """Say whether this is what was meant, or has the words."""
        return self.sureness >= CUT


def best_rows(ranked: Sequence[Ranked]) -> dict[int, Vectors]:
    """Return, by lane, the rows that confidences in it are judged by."""
    found: dict[int, list[Vector]] = {}
    for one in ranked:
        if one.row is not None:
            found.setdefault(one.lane, []).append(one.row)
    return {lane: np.stack(rows[:BEST]) for lane, rows in found.items()}


def merged(
    lanes: Sequence[Lane], found: Sequence[list[Found]], explain: bool, judges: Mapping[int, Vectors]
) -> list[Ranked]:
    """Return what all lanes found, each content once: by score, or beside another lane by standing.

    judges: by lane, better rows than those found that confidences are judged by, where not all was looked at.

    What is better by score in a lane stays before what is worse: photos come in one order, whether or not there are
    sounds, and the first of many are the first of few.
    """
    filled = [(turn, lane, some) for turn, (lane, some) in enumerate(zip(lanes, found, strict=True)) if some]
    listed = [_ranked(lane, some, explain, judges) for _, lane, some in filled]
    if len(filled) < 2:
        return [one for some in listed for one in some]
    ranked: list[tuple[float, int, int, Ranked]] = []
    for (turn, lane, some), ones in zip(filled, listed, strict=True):
        standings = np.minimum.accumulate(lane.standing(np.stack([one.row for one in some]))).tolist()
        ranked += [(-standings[rank], turn, rank, one) for rank, one in enumerate(ones)]
    best: dict[int, Ranked] = {}
    for *_, one in sorted(ranked, key=lambda entry: entry[:3]):
        best.setdefault(one.asset.content_id, one)
    return list(best.values())


def _ranked(lane: Lane, found: list[Found], explain: bool, judges: Mapping[int, Vectors]) -> list[Ranked]:
    rows = np.stack([one.row for one in found])
    space = lane.index.space.id
    beside = judges.get(space, rows[:0])
    # What is better by score is never less sure.
    sure = np.minimum.accumulate(lane.confidence(np.concatenate([beside, rows]))[len(beside) :]).tolist()
    said = lane.contributions(rows).tolist() if explain else [()] * len(found)
    return [
        Ranked(
            one.asset,
            one.score,
            confidence,
            one.row,
            space,
            tuple(zip(lane.names, contributions, strict=True)) if explain else (),
            tells=lane.tells,
            shown=confidence >= CUT or not (lane.tells and lane.ends),
        )
        for one, confidence, contributions in zip(found, sure, said, strict=True)
    ]


def intersection(rankings: Sequence[list[Ranked]]) -> list[Ranked]:
    """Return what is in all rankings, each as sure as where it is least sure, the surest first."""
    tables = [{one.asset.content_id: one for one in ranking} for ranking in rankings]
    found = []
    for key in sorted(set.intersection(*(set(table) for table in tables))):
        least = min((table[key] for table in tables), key=lambda one: one.sureness)
        found.append(replace(least, shown=all(table[key].shown for table in tables)))
    return by_sureness(found)


def union(rankings: Iterable[list[Ranked]]) -> list[Ranked]:
    """Return what is in any ranking, each as sure as where it is surest, the surest first."""
    best: dict[int, Ranked] = {}
    for one in (one for ranking in rankings for one in ranking):
        key = one.asset.content_id
        if key not in best or (one.shown, one.sureness) > (best[key].shown, best[key].sureness):
            best[key] = one
    return by_sureness(best.values())


def by_sureness(some: Iterable[Ranked]) -> list[Ranked]:
    """Return the surest first, ties by score, and otherwise as they were."""
    return sorted(some, key=lambda one: (-one.sureness, -one.score))


def fused(meant: list[Ranked], named: Mapping[int, tuple[Asset, float]], scored: list[Ranked]) -> list[Ranked]:
    """Return what was found by meaning and what was found by its words, in one list, by reciprocal rank.

    named: by content, with how well the words fit; scored: what of it has a vector.
    """
    known = {one.asset.content_id: one for one in (*scored, *meant)}
    ranks = ((key, rank) for key, (_, rank) in named.items())
    order = settled(ranks, {key: one.score for key, one in known.items()})
    written = {
        key: replace(known.get(key) or Ranked(asset), by_name=True, shown=True) for key, (asset, _) in named.items()
    }
    everything = known | written
    return [everything[key] for key in by_rank([one.asset.content_id for one in meant], order)]
