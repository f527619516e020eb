"""Learning from sound, where the right answer is known: tones, noises and chirps that stand for coloured shapes."""

import dataclasses
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from core.errors import GlimpseError, ModelError
from core.types import Progress, Space, Vectors
from encoders.base import unit
from encoders.cuda import has_cuda
from encoders.examples import Examples
from encoders.learned import Head, Weights, open_head, open_learned
from encoders.learning import FEWEST, Frozen, Learned, learn
from encoders.plan import Plan, parted
from tests.toy_sounds import DIM, RATE, SHAPES, pairs, pictures

JOINT = Space("toy", "1", DIM + 8, DIM, shared_norm=0.5**0.5, centred=True)
"""The last eight dimensions are for pictures alone."""
SOUND = Space("toy clap", "1", 12, 12)
STATIC = SHAPES[:4]
"""Shapes that statistics can tell apart."""
QUICK = Plan(epochs=3, batch=8, steps=2, network_from=8)


def widened(rows: Vectors) -> Vectors:
    return np.concatenate([rows, np.ones((len(rows), JOINT.dim - DIM), np.float32)], axis=1)


def example_set(folder: Path, count: int, shapes: tuple[str, ...] = STATIC, windows: int = 1) -> Examples:
    examples = Examples(folder / "examples", RATE)
    sounds, targets, _ = pairs(count, 1, shapes)
    for number, (one, target) in enumerate(zip(sounds, widened(targets), strict=True)):
        assert examples.add(one, target, number // windows)
    return examples


def learned(
    examples: Examples,
    checkpoint: Path,
    plan: Plan | None = None,
    stop: Callable[[], bool] = lambda: False,
    seed: int = 0,
    progress: Callable[[Progress], None] = lambda _: None,
    frozen: Frozen | None = None,
) -> Learned | None:
    tags = np.pad(pictures(), ((0, 0), (0, JOINT.dim - DIM)))
    return learn(examples, tags, JOINT, checkpoint, progress, stop, seed=seed, frozen=frozen, plan=plan)


def finished(*arguments: object, **named: object) -> Learned:
    result = learned(*arguments, **named)  # type: ignore[arg-type]
    assert result is not None
    return result


def recall(weights: bytes, shapes: tuple[str, ...], count: int = 100) -> float:
    """Return R@1 on sounds never heard before, among the pictures of all shapes and colours."""
    sounds, _, classes = pairs(count, 99, shapes)
    rows = open_learned(weights, JOINT).encode_sounds(sounds)
    return float(((rows[:, :DIM] @ pictures().T).argmax(axis=1) == classes).mean())


@pytest.fixture(scope="module", autouse=True)
def small_network() -> Iterator[None]:
    """A network of the same make with a few layers: tracing the real one takes most of a minute."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("encoders.student.SMALL", "test_efficientnet")
        yield


@pytest.fixture(scope="module", autouse=True)
def on_the_processor() -> Iterator[None]:
    """Learn where the same examples give the same bytes, on a machine with a GPU, too."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("torch.cuda.is_available", lambda: False)
        yield


@pytest.fixture(scope="module")
def ridge(tmp_path_factory: pytest.TempPathFactory) -> Learned:
    folder = tmp_path_factory.mktemp("ridge")
    return finished(example_set(folder, 64), folder / "checkpoint")


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> tuple[Examples, Learned, list[Progress]]:
    """Examples, what an undisturbed run makes of them, and what it told meanwhile."""
    folder = tmp_path_factory.mktemp("network")
    examples, told = example_set(folder, 32, windows=2), list[Progress]()
    return examples, finished(examples, folder / "checkpoint", QUICK, progress=told.append), told


def test_shapes_and_colours_are_heard(ridge: Learned) -> None:
    assert recall(ridge.weights, STATIC) >= 0.9


def test_the_report_is_plain_and_honest(ridge: Learned) -> None:
    report = json.loads(json.dumps(ridge.report))
    assert (report["kind"], report["pairs"], report["recordings"], report["held_out"]) == ("ridge", 64, 64, 64)
    assert report["found"]["chance"] == {"R@1": 0.0156, "R@5": 0.0781, "R@10": 0.1562, "median_rank": 32.5}
    for way in ("sound_to_picture", "picture_to_sound"):
        assert report["found"]["ridge"][way]["R@10"] > 0.9


def test_what_cannot_be_learned_is_not_reported_as_learned(tmp_path: Path) -> None:
    examples = Examples(tmp_path / "examples", RATE)
    sounds, targets, _ = pairs(60, 1, STATIC)
    for number, target in enumerate(np.random.default_rng(0).permutation(widened(targets))):
        examples.add(sounds[number], target, number)
    found = finished(examples, tmp_path / "checkpoint").report["found"]
    assert found["ridge"]["sound_to_picture"]["R@10"] < 2 * found["chance"]["R@10"]


def test_small_sets_are_learned_without_torch_and_exactly_again(ridge: Learned, tmp_path: Path) -> None:
    again = finished(example_set(tmp_path, 64), tmp_path / "checkpoint")
    assert again == ridge
    assert not (tmp_path / "checkpoint").exists()  # there was nothing to be interrupted


def test_a_tower_is_a_sound_encoder(ridge: Learned, network: tuple[Examples, Learned, list[Progress]]) -> None:
    sounds, _, _ = pairs(5, 3, STATIC)
    for weights in (ridge.weights, network[1].weights):
        encoder = open_learned(weights, JOINT)
        space = encoder.space
        assert (space.name, space.dim, space.shared_dim, space.centred) == ("sound:toy", JOINT.dim, JOINT.dim, True)
        assert encoder.rate == RATE
        rows = encoder.encode_sounds(sounds)
        np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-5)
        assert not rows[:, DIM:].any()  # what pictures alone fill
        np.testing.assert_allclose(encoder.encode_sounds(sounds[2:3])[0], rows[2], atol=1e-5)
        silence = np.zeros(RATE, np.float32)
        assert not encoder.encode_sounds([silence]).any()
        assert encoder.encode_sounds([]).shape == (0, JOINT.dim)


def test_moments_are_told_in_order_of_time(ridge: Learned, network: tuple[Examples, Learned, list[Progress]]) -> None:
    long = np.concatenate(pairs(4, 3, STATIC)[0])
    for weights in (ridge.weights, network[1].weights):
        encoder = open_learned(weights, JOINT)
        times, values = encoder.activations(long)
        assert values.shape[0] == len(times) > 3 and values.shape[1] > 10
        assert (np.diff(times) >= 0).all() and times[0] >= 0 and times[-1] <= len(long) / RATE
        assert np.isfinite(values).all() and values.std() > 0
        times, values = encoder.activations(np.zeros(RATE, np.float32))
        assert values.shape == (0, encoder.activations(long)[1].shape[1]) and times.shape == (0,)


def test_a_network_tells_how_it_goes(network: tuple[Examples, Learned, list[Progress]]) -> None:
    _, result, told = network
    assert set(result.report["found"]) == {"ridge", "network", "both", "chance"}
    assert any("loss" in step.detail and "held-out R@10" in step.detail for step in told)
    assert all(0 <= step.done <= step.total for step in told if step.total)


def test_an_interrupted_run_ends_as_an_undisturbed_one(
    network: tuple[Examples, Learned, list[Progress]], tmp_path: Path
) -> None:
    examples, whole, _ = network
    for calls in (0, 4, 4, 5):  # before and within the first epochs, and in the last training
        left = iter([False] * calls)
        assert learned(examples, tmp_path / "checkpoint", QUICK, lambda left=left: next(left, True)) is None
    assert finished(examples, tmp_path / "checkpoint", QUICK) == whole


def test_another_runs_checkpoint_and_a_damaged_one_are_not_taken_up(
    network: tuple[Examples, Learned, list[Progress]], tmp_path: Path
) -> None:
    examples, whole, _ = network
    calls = iter(range(10**6))
    checkpoint = tmp_path / "checkpoint"
    assert learned(examples, checkpoint, QUICK, lambda: next(calls) == 5, seed=1) is None
    (left,) = checkpoint.iterdir()
    left.write_bytes(left.read_bytes()[:-100])
    assert finished(examples, checkpoint, QUICK).weights == whole.weights


def test_too_few_recordings_are_refused_with_the_remedy(tmp_path: Path) -> None:
    examples = example_set(tmp_path, 4 * (FEWEST - 1), windows=4)
    with pytest.raises(GlimpseError, match=r"learn from 7 recordings.* 8 are needed; name more folders"):
        learned(examples, tmp_path / "checkpoint")


def test_one_recording_is_refused_however_long(tmp_path: Path) -> None:
    with pytest.raises(GlimpseError, match="learn from 1 "):
        learned(example_set(tmp_path, 40, windows=40), tmp_path / "checkpoint")


def test_the_fewest_recordings_are_learned_from(tmp_path: Path) -> None:
    assert finished(example_set(tmp_path, FEWEST), tmp_path / "checkpoint").report["recordings"] == FEWEST


def test_silence_is_no_example(tmp_path: Path) -> None:
    examples = Examples(tmp_path, RATE)
    assert not examples.add(np.zeros(RATE, np.float32), np.ones(4, np.float32), 0)
    assert len(examples) == 0


@pytest.mark.parametrize("target", [np.full(4, np.nan), np.zeros(4)], ids=["no numbers", "no direction"])
def test_damaged_vectors_are_refused(target: np.ndarray, tmp_path: Path) -> None:
    with pytest.raises(GlimpseError, match="recording 3 has a damaged vector"):
        Examples(tmp_path, RATE).add(pairs(1, 0)[0][0], target.astype(np.float32), 3)


def test_a_group_is_never_divided() -> None:
    groups = np.repeat(np.arange(23), 3)
    parts = parted(groups, 5, seed=0)
    assert sorted(np.concatenate(parts).tolist()) == list(range(69))
    assert sum(len(set(groups[part])) for part in parts) == 23


DAMAGED = "the learned tower is damaged"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda weights: b"", DAMAGED),
        (lambda weights: b"no tower at all" * 50, DAMAGED),
        (lambda weights: weights[: len(weights) // 2], DAMAGED),
        (lambda weights: weights[:-9] + bytes([weights[-9] ^ 1]) + weights[-8:], DAMAGED),
    ],
    ids=["empty", "something else", "cut short", "one bit"],
)
def test_damaged_weights_are_refused(change: Callable[[bytes], bytes], reason: str, ridge: Learned) -> None:
    with pytest.raises(ModelError, match=reason):
        open_learned(change(ridge.weights), JOINT)


def test_weights_of_another_space_or_kind_or_a_later_version_are_refused(
    ridge: Learned, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ModelError, match=r"belongs to toy-1, not to toy-2"):
        open_learned(ridge.weights, dataclasses.replace(JOINT, revision="2"))
    with pytest.raises(ModelError, match=DAMAGED):
        open_head(ridge.weights, JOINT, SOUND)
    wrong = Weights("ridge", JOINT.key, RATE, "", {name: np.ones((3, 3), np.float32) for name in ("mean", "weights")})
    with pytest.raises(ModelError, match=DAMAGED):
        open_learned(wrong.pack(), JOINT)
    monkeypatch.setattr("encoders.learned.RECIPE", 2)
    later = wrong.pack()
    monkeypatch.undo()
    with pytest.raises(ModelError, match="later version"):
        open_learned(later, JOINT)


@pytest.fixture
def turned(tmp_path: Path) -> tuple[Examples, Frozen]:
    """Rows of a frozen tower whose bridge is off by a rotation, and examples with the true vectors."""
    rng = np.random.default_rng(5)
    known = rng.normal(size=(12, JOINT.dim)).astype(np.float32)
    known[:, DIM:] = 0
    mean = np.full(12, 0.3, np.float32)
    rows = unit(rng.normal(size=(120, 12)).astype(np.float32) * 0.3 + mean)
    rotation = np.linalg.qr(np.eye(12) + 0.5 * rng.normal(size=(12, 12)))[0].astype(np.float32)
    examples = Examples(tmp_path / "examples", RATE)
    one = pairs(1, 0)[0][0][: RATE // 4]
    for number, target in enumerate(unit((rows - mean) @ known)):
        examples.add(one, target, number)
    return examples, Frozen(rows, SOUND, mean, rotation @ known)


def test_a_head_begins_as_the_bridge_and_mends_it(turned: tuple[Examples, Frozen], tmp_path: Path) -> None:
    examples, frozen = turned
    result = finished(examples, tmp_path / "checkpoint", Plan(epochs=15), frozen=frozen)
    assert result.report["kind"] == "head"
    before, after = (result.report["found"][kind]["sound_to_picture"]["R@1"] for kind in ("bridge", "head"))
    assert after > before + 0.1
    head = open_head(result.weights, JOINT, SOUND)
    rows, targets = head.rows(frozen.rows), examples.targets
    assert not rows[:, DIM:].any()
    assert rows.shape == (120, JOINT.dim) and (rows * targets).sum(axis=1).mean() > 0.8
    toward = head.toward(targets[0])
    assert np.linalg.norm(toward) == pytest.approx(1, abs=1e-5)
    assert np.argmax(unit(frozen.rows - frozen.mean) @ toward) in np.argsort(-rows @ targets[0])[:10]
    with pytest.raises(ModelError, match="is for toy-clap-1, not toy-clap-2"):
        open_head(result.weights, JOINT, dataclasses.replace(SOUND, revision="2"))


@pytest.mark.skipif(not has_cuda(), reason="there is no NVIDIA GPU")
def test_a_head_that_is_trained_on_a_real_gpu_mends_the_bridge(
    turned: tuple[Examples, Frozen], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    examples, frozen = turned
    result = finished(examples, tmp_path / "checkpoint", Plan(epochs=15), frozen=frozen)
    before, after = (result.report["found"][kind]["sound_to_picture"]["R@1"] for kind in ("bridge", "head"))
    assert after > before + 0.1


def test_a_new_head_is_the_bridge() -> None:
    import torch

    from encoders.student import head

    rng = np.random.default_rng(0)
    bridge, rows = (rng.normal(size=(count, 12)).astype(np.float32) for count in (12, 5))
    with torch.inference_mode():
        np.testing.assert_allclose(head(bridge, 0)(torch.from_numpy(rows))[0], unit(rows @ bridge), atol=1e-6)


def test_a_head_in_numpy_is_what_was_trained() -> None:
    import torch

    from encoders.student import head

    rng = np.random.default_rng(0)
    mean = rng.normal(size=12).astype(np.float32)
    rows = unit(rng.normal(size=(5, 12)).astype(np.float32))
    trained = head(rng.normal(size=(12, 7)).astype(np.float32), 0)
    torch.nn.init.normal_(trained.outer.weight, generator=torch.Generator().manual_seed(0))
    inner, outer = (layer.weight.detach().numpy().T for layer in (trained.inner, trained.outer))
    numpy = Head(mean, trained.bridge.numpy(), inner, outer)
    with torch.inference_mode():
        np.testing.assert_allclose(trained(torch.from_numpy(rows - mean))[0], numpy.rows(rows), atol=1e-5)


@pytest.mark.long
def test_a_network_hears_the_order_of_things(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("encoders.student.SMALL", "mobilenetv3_small_100")
    result = finished(example_set(tmp_path, 240, SHAPES), tmp_path / "checkpoint", Plan(epochs=12))
    assert result.report["kind"] in ("network", "both")
    assert recall(result.weights, SHAPES) >= 0.95
    assert recall(result.weights, SHAPES[3:]) >= 0.9  # rising and falling: their statistics are the same
