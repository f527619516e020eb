"""Show what is much alike as one, or prefer what is unlike: rankings with something else in every place."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from core.types import Kind, Vectors
from search.alike import Alike, Links, around, link, pairs
from search.ranking import Ranked
from store.copies import vectors_of
from store.reader import Reader

RELEVANCE = 0.5
"""Lambda of `diverse`: 1 leaves the ranking as it is, 0 looks only for what is unlike all before it."""


def collapsed(reader: Reader, ranked: Sequence[Ranked]) -> tuple[list[Ranked], dict[int, int]]:
    """Return a ranking with photos that are much alike as one, the best placed, and how many more each stands for.

    By the vectors of whole photos in the library's own Space, whatever found them. The numbers are by content, of
    those that stand for others; see search/alike.py.
    """
    space = reader.space()
    ids = [one.asset.content_id for one in ranked if one.asset.kind is Kind.PHOTO]
    if space is None or len(ids) < 2:
        return list(ranked), {}
    contents, vectors = vectors_of(reader, space, ids)
    order = {key: place for place, key in enumerate(contents.tolist())}
    best_first = [order[key] for key in ids if key in order]
    contents, vectors = contents[best_first], vectors[best_first]
    links, alike = Links(len(contents)), Alike(reader, contents)
    for i, j, cosines in pairs(vectors):
        link(links, alike, i, j, cosines)
    counts: dict[int, int] = {}
    hidden: set[int] = set()
    for members in links.groups():
        for group in around(vectors[members]):
            best, *others = contents[members[group]].tolist()
            counts[best] = len(others)
            hidden.update(others)
    return [one for one in ranked if one.asset.content_id not in hidden], counts


def diverse(ranked: Sequence[Ranked], k: int) -> list[Ranked]:
    """Return a ranking whose first k are relevant and unlike each other; the first hit stays the first.

    Maximal marginal relevance (Carbonell and Goldstein, SIGIR 1998, section 2): next comes the hit with the greatest
    RELEVANCE * relevance - (1 - RELEVANCE) * the greatest cosine (at least 0) to any hit before it. Relevance is the
    place in the ranking, 1 of the first, 0 behind the last: scores of words, pictures and sounds have no scale in
    common. Rows of different lanes do not compare, so each lane is ordered by itself, in the places that its hits
    had; hits without a row keep theirs.
    """
    shown = list(ranked)
    for lane in {one.lane for one in ranked if one.row is not None}:
        lined = {place: one.row for place, one in enumerate(ranked) if one.row is not None and one.lane == lane}
        places = list(lined)
        wanted = sum(place < k for place in places)
        rows = np.stack(list(lined.values()))
        relevance = 1 - np.array(places) / len(ranked)
        for place, pick in zip(places, _unlike(rows, relevance, wanted), strict=True):
            shown[place] = ranked[places[pick]]
    return shown


def _unlike(rows: Vectors, relevance: npt.NDArray[np.float64], wanted: int) -> list[int]:
    """Return the places of rows, the first `wanted` of them by marginal relevance, the others as they were."""
    picked: list[int] = []
    likeness = np.zeros(len(rows))
    left = np.ones(len(rows), bool)
    while len(picked) < wanted:
        marginal = RELEVANCE * relevance - (1 - RELEVANCE) * likeness
        pick = int(np.argmax(np.where(left, marginal, -np.inf)))
        picked.append(pick)
        left[pick] = False
        np.maximum(likeness, rows @ rows[pick], out=likeness)
    return [*picked, *np.flatnonzero(left).tolist()]
