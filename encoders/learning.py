"""Learn where sound belongs among pictures, from a person's own recordings, and say honestly how well that went.

The teacher is the tower of pictures: each window of sound goes with the vector of what was seen with it (SoundNet,
Aytar et al. 2016). Few recordings teach a ridge regression; from some hundreds on a network is trained as well, and
whichever does best on recordings that were held out is taken, or both together. Torch is only imported for that.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np

from core.errors import GlimpseError
from core.types import Progress, ProgressCallback, Space, StopRequested, Vector, Vectors
from encoders.base import unit
from encoders.examples import Examples
from encoders.learned import NETWORK, RECIPE, Weights
from encoders.plan import Numbers, Plan, Split, parted
from encoders.retrieval import chance, figures, likelihood
from encoders.ridge import Ridge, fit

FEWEST = 8
"""Recordings that are needed at least: fewer say nothing about others, and nobody could tell how well it went."""
_FOLDS = 10
"""Each recording is held out once where that is cheap: a ridge, and a head on few recordings."""
_HELD_OUT = 7
"""One recording in so many is held out for the report, and another to stop and choose by, where it is not."""
_LARGE = 20_000
"""Windows from which the larger network is taken."""
Rower = Callable[[Numbers], Vectors]
"""Return what was learned makes of the rows with these numbers, unit rows."""


class Frozen(NamedTuple):
    """A frozen sound encoder under a head: its rows (n, d) of the examples, its space, and its bridge.

    mean: of its sounds, (d,); bridge: (d, joint dim).
    """

    rows: Vectors
    space: Space
    mean: Vector
    bridge: Vectors


@dataclass(frozen=True)
class Learned:
    """What was learned, for `open_learned` (or `open_head`), and how well it does on recordings it did not hear.

    report, JSON-ready: kind; pairs, recordings; held_out: recordings; found: for each way that was tried, for
    "chance", and "bridge" where there is one, R@1, R@5, R@10 and median rank, from sound to picture and back.
    """

    weights: bytes
    report: dict[str, Any]


class _Stopped(Exception):  # noqa: N818, it is no error
    """Somebody asked to stop."""


class _Way(Protocol):
    """Something to learn with.

    folds: parts that the recordings are divided into, of which the first `tested` are each held out once; epochs:
    how many were best, for each training so far.
    """

    folds: int
    tested: int
    epochs: list[int]

    def learn(self, split: Split, name: str, until: int | None = None) -> dict[str, Rower]:
        """Learn from a split; return each candidate by its kind."""
        ...

    def weights(self, kind: str) -> Weights:
        """Return what was learned last, of this kind."""
        ...


def learn(
    examples: Examples,
    tags: Vectors,
    joint: Space,
    checkpoint: Path,
    progress: ProgressCallback,
    stop: StopRequested,
    seed: int = 0,
    frozen: Frozen | None = None,
    plan: Plan | None = None,
) -> Learned | None:
    """Learn a tower from examples, or a head upon `frozen`; None where `stop` said so.

    tags: centred unit rows (k, dim) of the joint space. checkpoint: a folder, made when needed, from which the same
    call goes on after an interruption, and ends as if there had been none; remove it once the weights are kept.
    On a CPU, the same examples and seed give the same bytes. Raises GlimpseError where fewer than FEWEST recordings
    have sound.
    """
    plan = plan or Plan()
    groups = examples.groups
    count = len(np.unique(groups))
    if count < FEWEST:
        raise GlimpseError(
            f"cannot learn from {count} recording{'s' * (count != 1)} with sound and picture, {FEWEST} are needed; "
            "name more folders with films, or put a picture beside each sound, of the same name (frog.ogg, frog.png)"
        )
    width = joint.shared_dim  # sound fills what texts fill
    taught = _Taught(unit(examples.targets[:, :width]), unit(tags[:, :width]), groups)
    runs = _Runs(checkpoint, progress, stop, seed, plan, _fingerprint(examples, taught, frozen, plan, seed))
    way: _Way = _Heads(taught, frozen, joint, runs) if frozen else _Towers(examples, taught, joint, runs, count)
    try:
        kind, found, held_out = _measured(way, taught, seed)
        everything = Split(np.arange(len(groups)), np.arange(0))
        progress(Progress("learning from everything"))
        way.learn(everything, "all", round(float(np.median(way.epochs))) if way.epochs else None)
    except _Stopped:
        return None
    report = {"kind": kind, "pairs": len(groups), "recordings": count, "held_out": held_out, "found": found}
    return Learned(way.weights(kind).pack(), report)


class _Taught(NamedTuple):
    targets: Vectors
    tags: Vectors
    groups: Numbers


class _Runs(NamedTuple):
    """What every training of one call shares."""

    checkpoint: Path
    progress: ProgressCallback
    stop: StopRequested
    seed: int
    plan: Plan
    fingerprint: str


def _measured(way: _Way, taught: _Taught, seed: int) -> tuple[str, dict[str, Any], int]:
    """Return the best kind, the figures of each on recordings held out, and of how many those are."""
    parts = parted(taught.groups, way.folds, seed)
    rows: dict[str, list[Vectors]] = {}
    scores: dict[str, list[float]] = {}
    for test in range(way.tested):
        inner = (test + 1) % len(parts)
        rest = np.concatenate([part for number, part in enumerate(parts) if number not in (test, inner)])
        split = Split(np.sort(rest), parts[inner])
        for kind, rower in way.learn(split, f"fold {test}").items():
            rows.setdefault(kind, []).append(rower(parts[test]))
            score = likelihood(rower(split.held_out), taught.targets[split.held_out], taught.groups[split.held_out])
            scores.setdefault(kind, []).append(score)
    held_out = np.concatenate([parts[test] for test in range(way.tested)])
    targets, groups = taught.targets[held_out], taught.groups[held_out]
    found = {kind: figures(np.concatenate(many), targets, groups) for kind, many in rows.items()}
    best = max(scores, key=lambda kind: float(np.mean(scores[kind])))
    return best, found | {"chance": chance(groups)}, len(np.unique(groups))


class _Towers:
    """A ridge, and from some hundreds of recordings on a network, and both."""

    def __init__(self, examples: Examples, taught: _Taught, joint: Space, runs: _Runs, count: int) -> None:
        self._examples, self._taught, self._joint, self._runs = examples, taught, joint, runs
        self._statistics = examples.statistics
        self._deep = count >= runs.plan.network_from
        self.folds, self.tested = (_HELD_OUT, 1) if self._deep else (min(_FOLDS, count),) * 2
        self.epochs: list[int] = []
        self._tensors: dict[str, Any] = {}

    def learn(self, split: Split, name: str, until: int | None = None) -> dict[str, Rower]:
        """Fit the ridge, then train the network; where there is no network, nothing need be kept to stop it by."""
        numbers = split.train if self._deep else np.concatenate(split)
        if self._runs.stop():
            raise _Stopped
        ridge, _ = fit(self._statistics[numbers], self._taught.targets[numbers], self._taught.groups[numbers])
        self._tensors = _ridge_tensors(ridge)
        ways: dict[str, Rower] = {"ridge": lambda chosen: ridge.rows(self._statistics[chosen])}
        if self._deep:
            network = ways["network"] = self._network(split, name, until)
            ways["both"] = lambda chosen: unit(ways["ridge"](chosen) + network(chosen))
        return ways

    def weights(self, kind: str) -> Weights:
        """Return the tower of this kind that was learned last."""
        tensors = {
            name: value
            for name, value in self._tensors.items()
            if kind == "both" or (name == NETWORK) == (kind == "network")
        }
        return Weights(kind, self._joint.key, self._examples.rate, "", tensors)

    def _network(self, split: Split, name: str, until: int | None) -> Rower:
        from encoders.distillation import spectrograms
        from encoders.student import graph, student
        from encoders.training import encode

        inputs = spectrograms(self._examples.mels())
        large = len(self._taught.groups) >= _LARGE
        network = student(self._taught.targets.shape[1], large, self._runs.seed)
        self.epochs.append(_train(network, inputs, self._taught, split, self._runs, name, until))
        if until is not None:
            self._tensors[NETWORK] = np.frombuffer(graph(network), np.uint8)
        return lambda chosen: encode(network, inputs, chosen)


class _Heads:
    """The bridge as it is, and a head that begins there."""

    def __init__(self, taught: _Taught, frozen: Frozen, joint: Space, runs: _Runs) -> None:
        self._taught, self._frozen, self._joint, self._runs = taught, frozen, joint, runs
        count = len(np.unique(taught.groups))
        many = count >= runs.plan.network_from
        self.folds, self.tested = (_HELD_OUT, 1) if many else (min(_FOLDS, count),) * 2
        self.epochs: list[int] = []
        self._rows = (unit(frozen.rows) - frozen.mean).astype(np.float32)
        bridge = frozen.bridge[:, : joint.shared_dim]
        length = np.linalg.norm(self._rows @ bridge, axis=1).mean()
        self._bridge = (bridge / max(float(length), 1e-6)).astype(np.float32)
        self._tensors: dict[str, Any] = {}

    def learn(self, split: Split, name: str, until: int | None = None) -> dict[str, Rower]:
        """Train the head from the bridge on."""
        from encoders.distillation import frozen
        from encoders.student import head
        from encoders.training import encode

        inputs = frozen(self._rows)
        residual = head(self._bridge, self._runs.seed)
        self.epochs.append(_train(residual, inputs, self._taught, split, self._runs, name, until))
        behind = ((0, 0), (0, self._joint.dim - self._joint.shared_dim))
        self._tensors = {
            "mean": self._frozen.mean.astype(np.float32),
            "bridge": np.pad(self._bridge, behind),
            "inner": residual.inner.weight.detach().cpu().numpy().T.copy(),
            "outer": np.pad(residual.outer.weight.detach().cpu().numpy().T, behind),
        }
        return {
            "bridge": lambda chosen: unit(self._rows[chosen] @ self._bridge),
            "head": lambda chosen: encode(residual, inputs, chosen),
        }

    def weights(self, kind: str) -> Weights:
        """Return the head; where the bridge alone was better, one that adds nothing to it."""
        tensors = self._tensors if kind == "head" else self._tensors | {"outer": self._tensors["outer"] * 0}
        return Weights("head", self._joint.key, 0, self._frozen.space.key, tensors)


def _train(model: Any, inputs: Any, taught: _Taught, split: Split, runs: _Runs, name: str, until: int | None) -> int:
    """Train a model and return its best epoch."""
    from encoders.distillation import Taught
    from encoders.training import Run, train

    stage = "learning from everything" if until else "learning, some held out"
    path = runs.checkpoint / f"{name.replace(' ', '-')}.safetensors"
    run = Run(stage, runs.seed, path, f"{runs.fingerprint} {name} {until}", runs.progress, runs.stop, until)
    best = train(model, inputs, Taught(*taught), split, runs.plan, run)
    if best is None:
        raise _Stopped
    return best


def _ridge_tensors(ridge: Ridge) -> dict[str, Any]:
    return {"mean": ridge.mean, "scale": ridge.scale, "weights": ridge.weights}


def _fingerprint(examples: Examples, taught: _Taught, frozen: Frozen | None, plan: Plan, seed: int) -> str:
    """Return what the result depends on, in one word."""
    digest = hashlib.sha256(repr((RECIPE, plan, seed, examples.rate)).encode())
    for array in (*taught, examples.statistics, *((frozen.rows, frozen.mean, frozen.bridge) if frozen else ())):
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()[:16]
