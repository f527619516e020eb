"""How well sounds find their own pictures among those of other recordings."""

from typing import Any

import numpy as np
import numpy.typing as npt

from core.types import Vectors

Groups = npt.NDArray[np.int64]
"""Which recording each row is from, shape (n,): rows of one recording are neither rivals nor held apart."""
Ranks = npt.NDArray[np.int64]
TEMPERATURE = 0.1
MOST = 2_000
"""Rows that are compared with each other at most: the figures are as good, and the time does not grow."""


def ranks(rows: Vectors, targets: Vectors, groups: Groups) -> Ranks:
    """Return, for each row, the rank (from 1) of its own target among those of other groups.

    Ties count against it.
    """
    scores = rows @ targets.T
    rivals = groups[:, None] != groups[None, :]
    better: Ranks = ((scores >= np.diag(scores)[:, None]) & rivals).sum(axis=1) + 1
    return better


def likelihood(rows: Vectors, targets: Vectors, groups: Groups) -> float:
    """Return the mean log-likelihood of the own target: log softmax(cosine / TEMPERATURE) over the other groups' too.

    Smoother than any count of ranks, so that a choice among few pairs does not hang on one of them.
    """
    keep = sample(len(rows))
    scores = (rows[keep] @ targets[keep].T).astype(np.float64) / TEMPERATURE
    own = np.diag(scores)
    same = (groups[keep][:, None] == groups[keep][None, :]) & ~np.eye(len(keep), dtype=bool)
    scores[same] = -np.inf
    return float(np.mean(own - np.logaddexp.reduce(scores, axis=1)))


def figures(rows: Vectors, targets: Vectors, groups: Groups) -> dict[str, Any]:
    """Return R@1, R@5, R@10 and the median rank, both ways; JSON-ready, of at most MOST rows."""
    keep = sample(len(rows))
    rows, targets, groups = rows[keep], targets[keep], groups[keep]
    both = {"sound_to_picture": ranks(rows, targets, groups), "picture_to_sound": ranks(targets, rows, groups)}
    return {way: _summary(found) for way, found in both.items()}


def chance(groups: Groups) -> dict[str, float]:
    """Return what a random order reaches, in the same figures."""
    groups = groups[sample(len(groups))]
    candidates = (groups[:, None] != groups[None, :]).sum(axis=1) + 1
    recalls = {f"R@{k}": round(float(np.minimum(1, k / candidates).mean()), 4) for k in (1, 5, 10)}
    return recalls | {"median_rank": float(np.median((candidates + 1) / 2))}


def sample(n: int, most: int = MOST) -> npt.NDArray[np.int64]:
    """Return at most so many of n rows, evenly spread."""
    return np.linspace(0, n - 1, min(n, most)).astype(np.int64)


def _summary(found: Ranks) -> dict[str, float]:
    recalls = {f"R@{k}": round(float((found <= k).mean()), 4) for k in (1, 5, 10)}
    return recalls | {"median_rank": float(np.median(found))}
