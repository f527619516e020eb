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
    """What is looked for: a unit vector, the mean to take from what is stored first, and a scale for scores.

    whole: the vector has a part that only pictures have; otherwise that part of others takes no part, either.
    """

    vector: Vector
    image_mean: Vector | None = None
    scale: float = 1.0
    whole: bool = True

    def scores(self, rows: Vectors) -> Vector:
        """Return the cosine to each photo, shape (n,), from stored unit rows, shape (n, dim)."""
        scores: Vector = np.clip((self.centred(rows) @ self.vector) * np.float32(self.scale), -1, 1)
        return scores

    def centred(self, rows: Vectors) -> Vectors:
        """Return stored rows without their mean, at length 1: fp16 rounds lengths, too."""
        return unit(rows if self.image_mean is None else rows - self.image_mean)


def compose(
    terms: Sequence[Term],
    vectors: Sequence[Vector],
    space: Space,
    means: Mapping[Modality, Vector | None],
    centre: bool = False,
) -> Target:
    """Weigh and sum the terms' unit vectors; raises QueryError if they cancel out.

    means: the mean vector of each modality, None where it is not known (it is then taken as zero), or where vectors
    come centred, as those of sound do. centre: also a single term, to compare it with sound.
    The part of a picture that texts cannot see takes part only while every term has one.
    """
    shared = space.shared_dim
    whole = shared == space.dim or all(vector[shared:].any() for vector in vectors)
    if not whole:
        vectors = [leading(vector, shared) for vector in vectors]
    mixed = len(terms) > 1 or any(term.modality is Modality.SOUND for term in terms)
    centred = space.centred or not (centre or mixed)
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
        scale=1.0 if whole else 1.0 / space.shared_norm,
        whole=whole,
    )


def leading(rows: Vectors, shared_dim: int) -> Vectors:
    """Return unit rows of the leading block alone, zero behind it."""
    blocks = np.zeros_like(rows)
    blocks[..., :shared_dim] = rows[..., :shared_dim]
    return unit(blocks)
