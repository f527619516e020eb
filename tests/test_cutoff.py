"""How sure hits are: in made-up spaces where it is known what a library has."""

import numpy as np
import pytest

from core.types import Vector, Vectors
from encoders.base import unit
from search.cutoff import BEST, CUT, Nulls, confidences

THINGS, DIM = 20, 64
DICE = np.random.default_rng(11)
AXES = np.linalg.qr(DICE.standard_normal((DIM, DIM)))[0][:THINGS]


def about(things: list[int], noise: float, seed: int) -> Vectors:
    """Return a unit row for each thing, with noise of that length."""
    dice = np.random.default_rng(seed)
    rows = AXES[things] + noise * dice.standard_normal((len(things), DIM)) / DIM**0.5
    return unit(rows.astype(np.float32))


WORDS = about(DICE.integers(0, THINGS, 1000).tolist(), 0.5, 1)
LIBRARY = about([number % 10 for number in range(200)], 1.0, 2)
"""Twenty pictures of each of the first ten things."""
PRESENT, ABSENT = about(list(range(10)), 0.3, 3), about(list(range(10, THINGS)), 0.3, 4)


def ranked(question: Vector, library: Vectors, k: int = 50) -> Vectors:
    best: Vectors = library[np.argsort(-(library @ question), kind="stable")[:k]]
    return best


def best_of(questions: Vectors, library: Vectors, nulls: Nulls) -> Vector:
    return np.array([confidences(q, ranked(q, library), nulls)[0] for q in questions])


def test_what_is_there_is_kept_and_what_is_not_is_not() -> None:
    nulls = Nulls(WORDS, LIBRARY)
    assert (best_of(PRESENT, LIBRARY, nulls) > CUT).mean() >= 0.9
    assert (best_of(ABSENT, LIBRARY, nulls) < CUT).mean() >= 0.9


def test_a_list_ends_where_the_thing_ends() -> None:
    nulls = Nulls(WORDS, LIBRARY)
    for question in PRESENT:
        sure = confidences(question, ranked(question, LIBRARY, 200), nulls)
        assert 18 <= (sure >= CUT).sum() <= 80  # there are twenty, and two hundred in all


def test_the_better_score_is_never_less_sure() -> None:
    nulls = Nulls(WORDS, LIBRARY)
    for question in np.concatenate([PRESENT, ABSENT]):
        rows = DICE.permutation(LIBRARY)
        sure = confidences(question, rows, nulls)
        in_order = sure[np.argsort(-(rows @ question), kind="stable")]
        assert (np.diff(in_order) <= 0).all()
        assert ((sure >= 0) & (sure <= 1)).all()


def test_equal_scores_are_equally_sure() -> None:
    rows = np.repeat(LIBRARY[:3], 4, axis=0)
    sure = confidences(PRESENT[0], rows, Nulls(WORDS, LIBRARY)).reshape(3, 4)
    assert np.ptp(sure, axis=1) == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize("question", [PRESENT[4], ABSENT[4]], ids=["there", "not there"])
def test_how_many_are_shown_does_not_matter(question: Vector) -> None:
    nulls = Nulls(WORDS, LIBRARY)
    few, many = (confidences(question, ranked(question, LIBRARY, k), nulls) for k in (BEST, 100))
    assert few == pytest.approx(many[:BEST], abs=1e-5)


def test_a_model_whose_cosines_are_a_fifth_is_as_sure() -> None:
    """Pictures of half the models have much that no text says: it shortens every cosine alike."""
    beside = unit(DICE.standard_normal((len(LIBRARY), 32)).astype(np.float32))
    small = np.hstack([LIBRARY * 0.2, beside * 0.96**0.5])
    behind = ((0, 0), (0, 32))
    questions = np.concatenate([PRESENT, ABSENT])
    plain = best_of(questions, LIBRARY, Nulls(WORDS, LIBRARY))
    shrunk = best_of(np.pad(questions, behind), small, Nulls(np.pad(WORDS, behind), small))
    assert shrunk == pytest.approx(plain, abs=1e-3)


def test_many_pictures_make_a_chance_likelier() -> None:
    few, many = Nulls(WORDS, LIBRARY), Nulls(WORDS, LIBRARY, count=500_000)
    for question in ABSENT[:5]:
        rows = ranked(question, LIBRARY)
        assert confidences(question, rows, many)[0] < confidences(question, rows, few)[0]


ZERO = np.zeros(DIM, np.float32)
DEGENERATE = {
    "no hit": (PRESENT[0], LIBRARY[:0], Nulls(WORDS, LIBRARY)),
    "one vector": (PRESENT[0], LIBRARY[:1], Nulls(WORDS, LIBRARY[:1])),
    "no sample": (PRESENT[0], LIBRARY[:3], Nulls(WORDS, LIBRARY[:0])),
    "all equal": (PRESENT[0], np.repeat(LIBRARY[:1], 9, axis=0), Nulls(WORDS, np.repeat(LIBRARY[:1], 9, axis=0))),
    "zero question": (ZERO, LIBRARY, Nulls(WORDS, LIBRARY)),
    "zero rows": (PRESENT[0], np.zeros((7, DIM), np.float32), Nulls(WORDS, np.zeros((7, DIM), np.float32))),
    "one word": (PRESENT[0], LIBRARY, Nulls(WORDS[:1], LIBRARY)),
    "equal words": (PRESENT[0], LIBRARY, Nulls(np.repeat(WORDS[:1], 50, axis=0), LIBRARY)),
    "the question is a word": (WORDS[0], LIBRARY, Nulls(WORDS, LIBRARY)),
    "the question is a picture": (LIBRARY[0], LIBRARY, Nulls(WORDS, LIBRARY)),
}


@pytest.mark.parametrize(("question", "rows", "nulls"), DEGENERATE.values(), ids=DEGENERATE)
def test_there_is_always_a_number(question: Vector, rows: Vectors, nulls: Nulls) -> None:
    sure = confidences(question, rows, nulls)
    assert sure.shape == (len(rows),)
    assert np.isfinite(sure).all()
