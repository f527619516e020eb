"""The ridge: an oracle for what is left out, strengths that fit the noise, few rows and many; and ranks by hand."""

import numpy as np
import pytest

from core.types import Samples
from encoders import ridge
from encoders.base import unit
from encoders.heard import FRAMES, RANGE, RATE, filled, heard, statistics
from encoders.retrieval import chance, figures, likelihood, ranks
from tests.toy_sounds import sound


@pytest.mark.parametrize("sizes", [(1,) * 12, (3, 1, 5, 2, 4)], ids=["single rows", "groups"])
def test_what_is_left_out_is_what_a_fit_without_it_says(
    sizes: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(len(sizes)), sizes)
    features = rng.normal(size=(len(groups), 20)).astype(np.float32)
    targets = unit(rng.normal(size=(len(groups), 6)).astype(np.float32))
    seen: list[np.ndarray] = []
    monkeypatch.setattr(ridge, "likelihood", lambda rows, *_: seen.append(rows) or 0.0)
    monkeypatch.setattr(ridge, "STRENGTHS", (0.03,))
    fitted, strength = ridge.fit(features, targets, groups)
    x = (features - features.mean(axis=0)) / features.std(axis=0)
    for group in range(len(sizes)):
        a, b = x[groups != group], targets[groups != group]
        a, away = a - a.mean(axis=0), x[groups == group] - a.mean(axis=0)
        weights = np.linalg.solve(a.T @ a + strength * x.size * np.eye(20), a.T @ (b - b.mean(axis=0)))
        np.testing.assert_allclose(seen[0][groups == group], unit(away @ weights), atol=1e-4)
    weights = np.linalg.solve(x.T @ x + strength * x.size * np.eye(20), x.T @ (targets - targets.mean(axis=0)))
    np.testing.assert_allclose(fitted.rows(features), unit(x @ weights), atol=1e-4)


def test_noise_asks_for_a_stronger_ridge() -> None:
    rng = np.random.default_rng(1)
    latent = rng.normal(size=(60, 4))
    strengths = []
    for noise in (0.01, 1.0):
        features = latent @ rng.normal(size=(4, 40)) + noise * rng.normal(size=(60, 40))
        targets = latent @ rng.normal(size=(4, 8)) + noise * rng.normal(size=(60, 8))
        strengths.append(ridge.fit(np.float32(features), unit(np.float32(targets)), np.arange(60))[1])
    assert strengths[0] < strengths[1]


@pytest.mark.parametrize(("count", "least"), [(3, -1.0), (40, 0.95), (5_000, 0.99)])
def test_a_known_map_is_found_from_few_rows_and_from_many(count: int, least: float) -> None:
    rng = np.random.default_rng(2)
    known = rng.normal(size=(8, 5)).astype(np.float32)
    features = rng.normal(size=(count, 8)).astype(np.float32)
    fitted, _ = ridge.fit(features, unit(features @ known), np.arange(count))
    new = rng.normal(size=(50, 8)).astype(np.float32)
    cosine = float((fitted.rows(new) * unit(new @ known)).sum(axis=1).mean())
    assert cosine > least


def test_features_that_never_change_do_no_harm() -> None:
    rng = np.random.default_rng(3)
    features = rng.normal(size=(30, 6)).astype(np.float32)
    features[:, 2] = 7
    fitted, _ = ridge.fit(features, unit(features[:, :3] - [[0, 0, 7]]), np.arange(30))
    assert np.isfinite(fitted.rows(features)).all()


ROWS = unit(np.float32([[1, 0], [1, 0.1], [0, 1]]))
TARGETS = unit(np.float32([[1, 0.3], [1, 0], [0, 1]]))


@pytest.mark.parametrize(
    ("groups", "expected"),
    [([0, 1, 2], [2, 1, 1]), ([0, 0, 2], [1, 1, 1])],
    ids=["every one a rival", "two windows of one recording"],
)
def test_ranks(groups: list[int], expected: list[int]) -> None:
    assert ranks(ROWS, TARGETS, np.array(groups)).tolist() == expected


def test_equal_vectors_find_nothing() -> None:
    same = np.tile(np.float32([[1, 0]]), (9, 1))
    groups = np.arange(9)
    assert ranks(same, same, groups).tolist() == [9] * 9
    assert likelihood(same, same, groups) == pytest.approx(-np.log(9))


def test_figures_and_chance() -> None:
    found = figures(ROWS, TARGETS, np.arange(3))
    assert found["sound_to_picture"] == {"R@1": 0.6667, "R@5": 1.0, "R@10": 1.0, "median_rank": 1.0}
    assert chance(np.arange(40)) == {"R@1": 0.025, "R@5": 0.125, "R@10": 0.25, "median_rank": 20.5}
    assert chance(np.repeat(np.arange(20), 2))["R@1"] == round(1 / 39, 4)  # one's own other window is no rival


CHIRP = sound("rising", 1, np.random.default_rng(0))


@pytest.mark.parametrize(
    "other",
    [CHIRP * 0.1, np.concatenate([np.zeros(RATE, np.float32), CHIRP])],
    ids=["twenty decibels lower", "after a second of silence"],
)
def test_level_and_silence_are_not_heard(other: Samples) -> None:
    first, second = heard(CHIRP, RATE), heard(other, RATE)
    assert first is not None and second is not None
    difference = np.abs(statistics(first.mel) - statistics(second.mel))
    assert difference.mean() < 1.0  # dB; what lies in the first frame after the silence differs


def test_what_is_heard_lies_in_its_range_and_knows_its_frames() -> None:
    one = heard(np.concatenate([np.zeros(RATE, np.float32), CHIRP]), RATE)
    assert one is not None
    assert one.mel.max() == 0 and one.mel.min() >= -RANGE
    assert len(one.mel) == len(one.frames) and one.frames[0] >= RATE / 512 - 2


@pytest.mark.parametrize(
    "samples",
    [np.zeros(0), np.zeros(RATE), np.full(RATE, np.nan)],
    ids=["nothing", "zeros", "no numbers"],
)
def test_silence(samples: np.ndarray) -> None:
    assert heard(samples.astype(np.float32), RATE) is None


@pytest.mark.parametrize("count", [2, 100, 5_000])
def test_sounds_of_any_length_have_statistics_and_fill_a_window(count: int) -> None:
    one = heard(np.random.default_rng(0).normal(size=count).astype(np.float32), RATE)
    assert one is not None
    assert np.isfinite(statistics(one.mel)).all()
    assert filled(one.mel).shape == (FRAMES, one.mel.shape[1])
