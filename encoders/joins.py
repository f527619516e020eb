"""How sound comes into the joint space where its encoder puts it there already."""

from dataclasses import dataclass

from core.types import Vector, Vectors
from encoders.base import unit


@dataclass(frozen=True)
class MeanJoin:
    """Join a sound space that is part of the joint space: only the gap between the two kinds is taken away.

    mean: of the library's sounds, shape (dim,), not of unit length; None where nobody knows it yet. Sounds lie in a
    corner of their own (Liang et al. 2022, arXiv 2203.02053), so each kind is centred with its own mean.
    """

    mean: Vector | None = None

    def rows(self, stored: Vectors) -> Vectors:
        """Return unit rows of shape (n, dim), comparable with centred pictures and texts."""
        return unit(stored if self.mean is None else stored - self.mean)

    def toward(self, target: Vector) -> Vector:
        """Return the direction among stored rows that leads to a joint vector: itself, at length 1.

        The mean is the same for all of them, so that it hardly changes which come first.
        """
        return unit(target)
