"""Say how sure a hit is, so that a list can end where what was asked for ends.

A cosine says little by itself: some pictures are near to every question, some questions near to every picture, and
every model has a range of its own. So nothing here is a cosine; all is counted in standard deviations among ordinary
words, which every library can be asked about: a word is a question, and it is also what a picture might be.

    logit = a - 2 |a| (1 - r)        a = 2 tanh(q / 2)        q = .5 (z - x) + 2 e + .4 p - 2.3 ln v - 1.8

z  how far the question stands out among words, seen from the best hits, in units of v;
r  how far the score of a hit lies above the mean of the library, as a share of how far the best does;
v  how much the question's standing varies over words taken for pictures: specific questions vary more;
e  evidence: how well the library answers the words nearest to the question, more than it answers words at large;
p  how far the question stands out for what the hit shows put into words, where the noise of pictures is gone;
x  what the largest of n standard normal numbers is expected to be: of many pictures, one is near by chance.

Only r belongs to a single hit, so that confidences follow the order of the scores; and a list ends half-way between
its best hit and the mean of the library. The weights come from questions with and without an answer
(benchmarks/cutoff.py; docs/cutoff.md has what else was tried). They are for words: a picture has pictures like it
nearly everywhere, and is rarely told that there is none.
"""

from dataclasses import dataclass
from functools import cached_property
from statistics import NormalDist

import numpy as np

from core.types import Vector, Vectors
from encoders.base import unit

CUT = 0.5
"""Hits below this confidence are left out by default."""
SAMPLE = 1000
"""Rows of a library that are enough to know what it has."""
ENOUGH = 100
"""Vectors that a library needs before anything is left out: of fewer, too much would be. There are confidences all
the same."""
BEST = 5
"""Hits that a question is judged by, and rows of the library that a word is."""

WEIGHTS = np.array([0.5, 2.0, 0.4, -2.3], np.float32)
"""Of `signs`."""
_BIAS = 1.8
_MOST = 2.0
"""The most that a question counts for."""
_NEIGHBOURS = 30
_EVERY = 2
"""One word in so many is enough to say what is ordinary."""
_FLAT = 1e-6
_LEAST_SPREAD = 0.5
"""A question of which no word knows anything would seem to stand out everywhere."""


@dataclass(frozen=True)
class Nulls:
    """What a question's scores are held against; everything in it is worked out once, when it is first needed.

    words: centred unit rows of ordinary words in the joint Space, shape (k, dim); rows: centred unit rows of at most
    SAMPLE of the vectors that are searched, drawn evenly, shape (m, dim); count: how many are searched, 0 for m.
    """

    words: Vectors
    rows: Vectors
    count: int = 0

    @cached_property
    def expected(self) -> float:
        """The largest of `count` standard normal numbers, as expected."""
        return NormalDist().inv_cdf(1 - 1 / (max(self.count, len(self.rows), 1) + 1))

    @cached_property
    def few(self) -> Vectors:
        """Words enough to say what is ordinary."""
        return np.ascontiguousarray(self.words[::_EVERY])

    def spread(self, questions: Vectors) -> Vector:
        """Return how much the standing of questions, shape (n, dim), varies over words taken for pictures."""
        middle, width = self._as_pictures
        varies: Vector = ((self.few @ questions.T - middle) / width).std(axis=0)
        return np.maximum(varies, _LEAST_SPREAD)

    def evidence(self, question: Vector) -> float:
        """Return how well the library answers the words nearest to a question, over words at large."""
        if not len(self.rows):
            return 0.0
        count = min(_NEIGHBOURS, len(self.words))
        nearest = np.argpartition(self.words @ question, -count)[-count:]
        return float(self._answered(self.words[nearest]).mean()) - self._ordinary

    def _answered(self, questions: Vectors) -> Vector:
        """Return the mean standing of the best rows of the library for each question, in units of its spread."""
        middle, width = self._in_library
        standings = (questions @ self.rows.T - middle.T) / width.T
        best = np.partition(standings, -min(BEST, len(self.rows)), axis=1)[:, -BEST:]
        answered: Vector = best.mean(axis=1) / self.spread(questions)
        return answered

    @cached_property
    def _ordinary(self) -> float:
        return float(np.median(self._answered(self.few[::2])))

    @cached_property
    def _in_library(self) -> tuple[Vectors, Vectors]:
        return _frame(self.rows @ self.few.T)

    @cached_property
    def _as_pictures(self) -> tuple[Vectors, Vectors]:
        return _frame(self.few @ self.few.T)


def confidences(vector: Vector, rows: Vectors, nulls: Nulls) -> Vector:
    """Return how sure each hit is, 0..1, shape (n,); the better score is never less sure.

    vector: the question, centred and unit, shape (dim,); rows: centred unit rows of its hits, shape (n, dim), in any
    order. The BEST of them decide about the question: hand over that many, though fewer are shown.
    """
    if not len(rows):
        return np.empty(0, np.float32)
    scores = rows @ vector
    best = rows[np.argsort(-scores, kind="stable")[:BEST]]
    about = _MOST * np.tanh((float(WEIGHTS @ signs(vector, best, nulls)) - _BIAS) / _MOST)
    logits = about - 2 * abs(about) * (1 - _shares(scores, nulls.rows @ vector))
    sure: Vector = (1 / (1 + np.exp(-np.maximum(logits, -50)))).astype(np.float32)
    return sure


def signs(vector: Vector, best: Vectors, nulls: Nulls) -> Vector:
    """Return what speaks for an answer to a question, shape (4,): z - x, e, p and ln v, from its best hits."""
    ordinary = best @ nulls.few.T
    middle, width = _frame(ordinary)
    spread = float(nulls.spread(vector[None])[0])
    stands = float(((best @ vector - middle[:, 0]) / width[:, 0]).max()) / spread
    shown = _in_words(vector, (ordinary - middle) / width, nulls.few)
    return np.array([stands - nulls.expected, nulls.evidence(vector), shown, np.log(spread)], np.float32)


def _shares(scores: Vector, library: Vector) -> Vector:
    """Return how far scores lie above the mean of the library, as shares of how far the best does."""
    mean = float(library.mean()) if len(library) else 0.0
    best = float(scores.max()) - mean
    found: Vector = (scores - mean) / best if best > _FLAT else np.ones_like(scores)
    return found


def _in_words(question: Vector, standings: Vectors, words: Vectors) -> float:
    """Return how far a question stands out for what hits show in words: the mean of words by how they stand out."""
    weights = np.exp(standings - standings.max(axis=1, keepdims=True))
    shown = unit(weights @ words)
    middle, width = _frame(shown @ words.T)
    return float(((shown @ question - middle[:, 0]) / width[:, 0]).mean())


def _frame(scores: Vectors) -> tuple[Vectors, Vectors]:
    """Return mean and standard deviation of each row, shape (n, 1)."""
    return scores.mean(axis=1, keepdims=True), np.maximum(scores.std(axis=1, keepdims=True), _FLAT)
