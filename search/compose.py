"""Embedding arithmetic: several terms become one unit vector, or two that are ranked by together.

Each term is centred with the mean of its own modality before it is weighed and summed, or the gap between the
modalities would outweigh everything else (Kiros et al. 2014 for the arithmetic; GR-CLIP, arXiv 2507.19054, for
the centring).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from core.errors import QueryError
from core.query import Rule, Term
from core.types import Modality, Space, Vector, Vectors
from encoders.base import unit
from search.rules import mixed_parts

_CANCELLED = 1e-3


@dataclass(frozen=True)
class Target:
    """What is looked for: a unit vector, the mean to take from what is stored first, and a scale for scores.

    whole: the vector has a part that only pictures have; otherwise that part of others takes no part, either. parts:
    what each term adds to the vector, shape (terms, dim); they sum up to it.
    """

    vector: Vector
    image_mean: Vector | None = None
    scale: float = 1.0
    whole: bool = True
    parts: Vectors = field(default_factory=lambda: np.empty((0, 0), np.float32))

    def scores(self, rows: Vectors) -> Vector:
        """Return the cosine to each photo, shape (n,), from stored unit rows, shape (n, dim)."""
        scores: Vector = np.clip((self.centred(rows) @ self.vector) * np.float32(self.scale), -1, 1)
        return scores

    def contributions(self, rows: Vectors) -> Vectors:
        """Return what each term adds to each score, shape (n, terms), from stored unit rows."""
        found: Vectors = (self.centred(rows) @ self.parts.T) * np.float32(self.scale)
        return found

    def leading(self, shared_dim: int) -> "Target":
        """Return the same without the part that only pictures have."""
        parts = np.zeros_like(self.parts)
        parts[:, :shared_dim] = self.parts[:, :shared_dim]
        length = max(float(np.linalg.norm(self.vector[:shared_dim])), _CANCELLED)
        return replace(self, vector=leading(self.vector, shared_dim), parts=parts / np.float32(length))

    def centred(self, rows: Vectors) -> Vectors:
        """Return stored rows without their mean, at length 1: fp16 rounds lengths, too."""
        return unit(rows if self.image_mean is None else rows - self.image_mean)


def compose(
    terms: Sequence[Term],
    vectors: Sequence[Vector],
    space: Space,
    means: Mapping[Modality, Vector | None],
    centre: bool = False,
    rule: Rule = Rule.ADD,
) -> Target:
    """Mix the terms' unit vectors by a rule of one vector; raises QueryError if they cancel out.

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
    units = np.stack(
        [_centred(v, None if centred else means[t.modality]) for t, v in zip(terms, vectors, strict=True)]
    )
    weights = np.array([term.weight for term in terms], np.float32)
    parts = mixed_parts(rule, units, weights)
    total = parts.sum(axis=0)
    length = float(np.linalg.norm(total))
    if length < _CANCELLED * float(np.abs(weights).sum()):
        raise QueryError("the terms cancel each other out; nothing is left to look for")
    return Target(
        unit(total),
        image_mean=None if centred else means[Modality.IMAGE],
        scale=1.0 if whole else 1.0 / space.shared_norm,
        whole=whole,
        parts=parts / np.float32(length),
    )


def _centred(vector: Vector, mean: Vector | None) -> Vector:
    return vector if mean is None else unit(vector - mean)


def leading(rows: Vectors, shared_dim: int) -> Vectors:
    """Return unit rows of the leading block alone, zero behind it."""
    blocks = np.zeros_like(rows)
    blocks[..., :shared_dim] = rows[..., :shared_dim]
    return unit(blocks)
