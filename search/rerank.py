"""Rank by pictures and by words at once: a product wants both to fit, where a sum lets one of them outweigh.

`basic` is BASIC (i-CIR, Psomas et al. 2025): the picture's vector is projected onto what words for things tell apart
and words for styles do not, both likenesses are brought to one range, and score = si st - .1 (si + st)^2.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from core.query import Rule
from core.types import Vector, Vectors
from encoders.base import unit

STYLE_SHARE, DIRECTIONS = 0.2, 250
"""Of BASIC: how much the spread of styles counts against that of things, and how many directions are kept."""
HARRIS = 0.1
"""Of BASIC: how much one likeness without the other counts against a hit."""
LEAST = 0.05
"""How far below nothing what is taken for no likeness lies at least: in a small library all may be a little alike."""


@dataclass(frozen=True)
class Product:
    """Two unit vectors and what their likenesses are brought to a range by.

    pictures, words: centred, shape (dim,); centred: makes stored rows comparable with them; floors: what is taken for
    no likeness, of pictures and of words; harris: 0 for the plain product.
    """

    pictures: Vector
    words: Vector
    centred: Callable[[Vectors], Vectors]
    floors: tuple[float, float] = (0.0, 0.0)
    harris: float = 0.0

    def scores(self, rows: Vectors) -> Vector:
        """Return the score of each stored row, shape (n,); 0 where one of the two does not fit at all."""
        return self._joined(*self._likenesses(rows))

    def contributions(self, rows: Vectors) -> Vectors:
        """Return what pictures and words add to each score, shape (n, 2): their Shapley values, which add up."""
        pictures, words = self._likenesses(rows)
        none = np.zeros_like(pictures)
        both = self._joined(pictures, words)
        alone, other = self._joined(pictures, none), self._joined(none, words)
        found: Vectors = np.stack([(both + alone - other) / 2, (both + other - alone) / 2], axis=1)
        return found

    def _likenesses(self, rows: Vectors) -> tuple[Vector, Vector]:
        rows = self.centred(rows)
        return tuple(
            np.maximum(0, (rows @ vector - floor) / (abs(floor) if floor else 1))
            for vector, floor in zip((self.pictures, self.words), self.floors, strict=True)
        )

    def _joined(self, pictures: Vector, words: Vector) -> Vector:
        joined: Vector = pictures * words - np.float32(self.harris) * (pictures + words) ** 2
        return joined


def product(
    rule: Rule,
    pictures: Vector,
    words: Vector,
    centred: Callable[[Vectors], Vectors],
    telling: Vectors,
    sample: Vectors,
) -> Product:
    """Return how a picture and words are ranked by together.

    pictures, words: centred unit vectors; telling: what `projector` returns; sample: centred unit rows of what is
    ranked, whose least likeness is taken for none.
    """
    if rule is Rule.PRODUCT:
        return Product(pictures, words, centred)
    pictures = unit(pictures @ telling)
    floors = [min(float((sample @ vector).min(initial=0)), -LEAST) for vector in (pictures, words)]
    return Product(pictures, words, centred, (floors[0], floors[1]), HARRIS)


def projector(things: Vectors, styles: Vectors) -> Vectors:
    """Return the projection onto the leading directions of C = (1-a) A'A/(n-1) - a B'B/(m-1), shape (dim, dim).

    things, styles: centred unit rows of words for what there is, and for how it looks.
    """
    spread = (1 - STYLE_SHARE) * (things.T @ things) / max(len(things) - 1, 1)
    spread = spread - STYLE_SHARE * (styles.T @ styles) / max(len(styles) - 1, 1)
    values, directions = np.linalg.eigh(spread)
    kept = directions[:, -DIRECTIONS:][:, values[-DIRECTIONS:] > 0]
    projection: Vectors = (kept @ kept.T).astype(np.float32)
    return projection
