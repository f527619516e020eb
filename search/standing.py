"""Compare hits of different modalities: how far does each stand out?

Cosines of pictures and of sounds have ranges of their own, and so has each picture: some are near to everything
(hubs). What compares is by how much a question is nearer to something than ordinary words are, in standard deviations
of those: the z-score of the question among the tags of the vocabulary, seen from the hit.
"""

import numpy as np

from core.types import Vector, Vectors

_FLAT = 1e-6


def standings(question: Vector, hits: Vectors, words: Vectors) -> Vector:
    """Return how far a question stands out for each hit, shape (n,).

    question: unit, shape (dim,); hits: unit rows, shape (n, dim); words: unit rows, shape (k, dim); all centred.
    """
    ordinary = hits @ words.T
    spread = np.maximum(ordinary.std(axis=1), _FLAT)
    found: Vector = ((hits @ question) - ordinary.mean(axis=1)) / spread
    return found
