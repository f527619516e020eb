"""Joins: how stored rows of sound come into the joint space."""

import numpy as np
import pytest

from core.types import Vectors
from encoders.base import unit
from encoders.joins import MeanJoin


def single(values: object) -> Vectors:
    return np.asarray(values, dtype=np.float32)


def random_rows(count: int, seed: int) -> Vectors:
    return unit(single(np.random.default_rng(seed).normal(size=(count, 16))))


def test_without_a_mean_rows_stay_as_they_are() -> None:
    rows = unit(single([[3, 4], [0, 1]]))
    assert np.allclose(MeanJoin().rows(rows), rows)
    assert MeanJoin().rows(rows.astype(np.float16)).dtype == np.float32


def test_the_mean_is_taken_away_and_the_rest_has_length_one() -> None:
    rows = single([[1, 0, 0], [0, 1, 0], [0.6, 0.8, 0]])
    joined = MeanJoin(single([0.6, 0, 0])).rows(rows)
    assert np.allclose(joined, [[1, 0, 0], [-0.6 / 1.36**0.5, 1 / 1.36**0.5, 0], [0, 1, 0]])


def test_a_row_that_is_the_mean_is_no_direction_rather_than_nonsense() -> None:
    mean = single([1, 0])
    assert not MeanJoin(mean).rows(mean[None]).any()


def test_no_rows_stay_none() -> None:
    assert MeanJoin(single([1, 0])).rows(np.zeros((0, 2), np.float32)).shape == (0, 2)


@pytest.mark.parametrize("mean", [None, single([0.9] + [0] * 15)])
def test_the_direction_leads_to_the_rows_with_the_highest_cosine(mean: Vectors | None) -> None:
    """With a gap of half their length, which every row has in common."""
    rows = random_rows(2000, seed=0)
    rows = rows if mean is None else unit(rows + mean)
    join = MeanJoin(None if mean is None else rows.mean(0))
    for target in random_rows(20, seed=1):
        toward = join.toward(3 * target)
        assert np.linalg.norm(toward) == pytest.approx(1)
        wanted = set(np.argsort(-join.rows(rows) @ target)[:10].tolist())
        fetched = set(np.argsort(-rows @ toward)[:100].tolist())
        assert len(wanted & fetched) >= 8


def test_sounds_and_pictures_rank_in_one_list_only_without_the_mean() -> None:
    """Each word's sound is the word, moved by a gap: a word that lies against it gets all pictures first."""
    words = random_rows(50, seed=2)
    words = unit(words - words.mean(0))
    sounds = unit(words + 3 * random_rows(1, seed=3))
    for mean, few, most in [(sounds.mean(0), 0.95, 1), (None, 0, 0.5)]:
        scores = words @ np.concatenate([words, MeanJoin(mean).rows(sounds)]).T
        first_two = np.sort(np.argsort(-scores, axis=1)[:, :2], axis=1)
        right = (first_two == np.stack([np.arange(50), np.arange(50, 100)], 1)).all(1).mean()
        assert few <= right <= most
