"""Ridge regression from statistics of sound to vectors: closed form, its strength chosen by leaving groups out.

With X the standardised features (n, d), Y the targets, both centred, X'X = V diag(s) V', lambda = strength n d:

    W = V diag(1 / (s + lambda)) V'X'Y          H = X V diag(1 / (s + lambda)) V'X' + 1/n

and a fit without the group g, with its mean of Y, gives Y_g - (I - H_gg)^-1 (Y - X W)_g (Allen 1974, for blocks).
Targets have no mean to be added: each kind of media is compared without its own.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from core.types import Vectors
from encoders.base import unit
from encoders.retrieval import MOST, Groups, likelihood, sample

Rows = npt.NDArray[np.float32]
STRENGTHS = tuple(float(s) for s in 10.0 ** np.arange(-4, 1.1, 0.5))
"""Shares of the features' total variance that are added to each direction of it."""


@dataclass(frozen=True)
class Ridge:
    """A map from features to unit vectors; mean, scale: shape (d,); weights: (d, dim)."""

    mean: Rows
    scale: Rows
    weights: Rows

    def rows(self, features: Rows) -> Vectors:
        """Return unit rows, shape (n, dim), of features (n, d)."""
        return unit(((features - self.mean) / self.scale @ self.weights).astype(np.float32))

    @cached_property
    def directions(self) -> Rows:
        """Return what the map listens for, shape (d, min(d, dim)), what counts most first; found once, in seconds."""
        directions, sizes, _ = np.linalg.svd(self.weights, full_matrices=False)
        return np.asarray(directions * sizes)


def fit(features: Rows, targets: Vectors, groups: Groups) -> tuple[Ridge, float]:
    """Fit the map on rows of features (n, d) and targets (n, dim), 2 groups at least; return it and its strength.

    The strength is the one whose held-out predictions make the own target likeliest (retrieval.likelihood).
    """
    mean, scale = features.mean(axis=0), np.maximum(features.std(axis=0), 1e-4)
    x = ((features - mean) / scale).astype(np.float64)
    centred = targets - targets.mean(axis=0)
    values, v = np.linalg.eigh(x.T @ x)
    crossed = v.T @ (x.T @ centred)
    tried = _some(groups)
    parts = _parts(groups[tried])
    turned = x[tried] @ v

    def shrinkage(strength: float) -> npt.NDArray[np.float64]:
        shrunk: npt.NDArray[np.float64] = 1 / (np.maximum(values, 0) + strength * x.size)
        return shrunk

    def without(strength: float) -> Vectors:
        shrunk = shrinkage(strength)
        residuals = centred[tried] - turned @ (shrunk[:, None] * crossed)
        rows = centred[tried].astype(np.float64)
        for part in parts:
            own = turned[part] * shrunk @ turned[part].T + 1 / len(x)
            rest = centred[tried[part]].sum(axis=0) / (len(x) - len(part))  # how far the mean of the others lies off
            rows[part] += rest - np.linalg.solve(np.eye(len(part)) - own, residuals[part])
        return unit(rows.astype(np.float32))

    strength = max(STRENGTHS, key=lambda strength: likelihood(without(strength), targets[tried], groups[tried]))
    weights = v @ (shrinkage(strength)[:, None] * crossed)
    return Ridge(mean.astype(np.float32), scale.astype(np.float32), weights.astype(np.float32)), strength


def _some(groups: Groups) -> Groups:
    """Return the rows of as many whole groups as have about MOST rows, evenly drawn."""
    names, sizes = np.unique(groups, return_counts=True)
    chosen = names[sample(len(names), max(2, int(MOST / sizes.mean())))]
    return np.flatnonzero(np.isin(groups, chosen))


def _parts(groups: Groups) -> list[Groups]:
    """Return the rows of each group."""
    order = np.argsort(groups, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(groups[order])) + 1)
