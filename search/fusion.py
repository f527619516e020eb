"""Put what was found by meaning and what was found by words into one order.

Reciprocal rank fusion (Cormack, Clarke and Buettcher, SIGIR 2009): each list gives what stands at rank r in it
1 / (K + r), and what has most comes first. Scores do not enter: cosines and BM25 cannot be compared. So neither list
drowns the other, and what stands in both comes before what stands as high in one.
"""

from collections.abc import Iterable, Mapping, Sequence

K = 60
"""As in the paper: high enough that the first few ranks of one list do not decide alone."""


def fused(by_meaning: Sequence[int], by_words: Sequence[int]) -> list[int]:
    """Return the ids of both lists, each best first, in one order; at a tie, what was found by words comes first."""
    worth: dict[int, float] = {}
    for ranked in (by_words, by_meaning):  # dicts keep their order, and sorting does: words first
        for rank, key in enumerate(dict.fromkeys(ranked), 1):
            worth[key] = worth.get(key, 0.0) + 1 / (K + rank)
    return sorted(worth, key=worth.__getitem__, reverse=True)


def settled(by_words: Iterable[tuple[int, float]], scores: Mapping[int, float]) -> list[int]:
    """Return ids of (id, rank) by rank, the highest first; where it ties by score (none: last), then by id.

    Three hundred files in a folder "dog" have the same words, and which of them shows one is told by the pictures.
    """
    return [key for key, _ in sorted(by_words, key=lambda one: (-one[1], -scores.get(one[0], -2.0), one[0]))]
