"""Embedding arithmetic: several terms become one unit vector.

Each term is centred with the mean of its own modality before it is weighed and summed, or the gap between the
modalities would outweigh everything else (Kiros et al. 2014 for the arithmetic; GR-CLIP, arXiv 2507.19054, for
the centring).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from core.errors import QueryError
from core.types import Modality, Space, Term, Vector, Vectors
from encoders.base import unit

_CANCELLED = 1e-3


@dataclass(frozen=True)
class Target:
    """What photos are compared with: a unit vector, the mean to take from photos first, and a scale for scores."""

    vector: Vector
    image_mean: Vector | None = None
    scale: float = 1.0

    def scores(self, rows: Vectors) -> Vector:
        """Return the cosine to each photo, shape (n,), from stored unit rows, shape (n, dim)."""
        if self.image_mean is not None:
            rows = rows - self.image_mean
        rows = unit(rows)  # fp16 rounds lengths too
        scores: Vector = np.clip((rows @ self.vector) * np.float32(self.scale), -1, 1)
        return scores


def compose(
    terms: Sequence[Term], vectors: Sequence[Vector], space: Space, means: Mapping[Modality, Vector | None]
) -> Target:
    """Weigh and sum the terms' unit vectors; raises QueryError if they cancel out.

    means: the mean vector of each modality, None where it is not known (it is then taken as zero).
    The part of a picture that texts cannot see takes part only while every term is a picture.
    """
    pictures_only = all(term.modality is Modality.IMAGE for term in terms)
    if not pictures_only:
        vectors = [_shared(vector, space.shared_dim) for vector in vectors]
    centred = len(terms) == 1 or space.centred
    total = np.zeros(space.dim, dtype=np.float32)
    for term, vector in zip(terms, vectors, strict=True):
        mean = None if centred else means[term.modality]
        total += term.weight * (vector if mean is None else unit(vector - mean))
    weights = sum(abs(term.weight) for term in terms)
    if float(np.linalg.norm(total)) < _CANCELLED * weights:
        raise QueryError("the terms cancel each other out; nothing is left to look for")
    return Target(
        unit(total),
        image_mean=None if centred else means[Modality.IMAGE],
        scale=1.0 if pictures_only else 1.0 / space.shared_norm,
    )


def _shared(vector: Vector, shared_dim: int) -> Vector:
    """Return the unit vector of the leading block alone."""
    block = np.zeros_like(vector)
    block[:shared_dim] = vector[:shared_dim]
    return unit(block)
