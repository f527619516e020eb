"""Measure how well sound that was never heard before finds its own picture, after learning from the other pairs.

    python benchmarks/sound.py CORPUS [--seeds 5] [--folds 9] [--one-out] [--network] [--model builtin]

CORPUS holds captions.tsv (tab-separated, header: file, category, sound, ...), pictures and sounds. Labels are only
used to score. The pairs are parted into folds, by each seed anew; what learns from the others is given the sounds of
a fold, and all pictures are ranked for each. A recording counts by its best window; a silent one finds nothing, and
is counted.

R@10: the share that finds its own picture among the first ten; MRR: mean reciprocal rank; precision@5: the share of
the five nearest other pictures that have the very same category. Mean over seeds, and the spread between them.

`shipped` is what `glimpse learn-sound` makes of so many pairs. `ridge` is what it is held to: closed form, from mean,
deviation, maximum and mean absolute change of 64 log-mel bands of the whole window, strength chosen the same way
inside the folds. The interval of the difference is a paired bootstrap over recordings (95 %, 10,000 draws).
--network trains the network on every fold, however few pairs there are; --one-out leaves out one recording at a time.
"""

import argparse
import csv
import dataclasses
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from core.types import Samples, Space, Vectors
from encoders.base import Encoder, unit
from encoders.examples import Examples
from encoders.heard import RATE, statistics
from encoders.learned import open_learned
from encoders.learning import learn
from encoders.mel import MelSpec, log_mel
from encoders.plan import Plan
from encoders.registry import load
from encoders.ridge import fit
from glimpse.defaults import settings
from media.recording import open_recording
from media.sound import windows
from search.pictures import encode_photo, read_query
from search.tags import TagBank

Scores = npt.NDArray[np.float32]
"""Of each recording with each picture, shape (n, n)."""
_NOTHING = np.float32(-2)
_PLAIN = MelSpec(rate=RATE, fft=1024, hop=320)


@dataclass(frozen=True)
class Pairs:
    """sounds: the windows of each recording; pictures: (n, dim); tags: (k, dim)."""

    categories: npt.NDArray[Any]
    sounds: list[list[Samples]]
    pictures: Vectors
    tags: Vectors
    joint: Space


Fold = Callable[[Pairs, Sequence[int]], Callable[[Sequence[Samples]], Vectors]]
"""Learn from the pairs with these numbers; return what encodes windows."""


def read_pairs(folder: Path, encoder: Encoder, cache: Path) -> Pairs:
    with (folder / "captions.tsv").open(encoding="utf-8", newline="") as file:
        rows = csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
        paired = [row for row in rows if row["sound"]]
    paths = [folder / row["file"] for row in paired]
    pictures = np.stack([encode_photo(read_query(path), path, encoder) for path in paths])
    sounds = [_windows(folder / row["sound"]) for row in paired]
    tags = TagBank(encoder, cache).vectors
    if not encoder.space.centred:
        pictures, tags = (unit(rows - rows.mean(axis=0)) for rows in (pictures, tags))
    return Pairs(np.array([row["category"] for row in paired]), sounds, pictures, tags, encoder.space)


def _windows(path: Path) -> list[Samples]:
    with open_recording(path) as recording:
        return [window.samples for window in windows(recording, RATE)]


def shipped(plan: Plan) -> Fold:
    def learned(pairs: Pairs, numbers: Sequence[int]) -> Callable[[Sequence[Samples]], Vectors]:
        with tempfile.TemporaryDirectory() as folder:
            examples = Examples(Path(folder), RATE)
            for number in numbers:
                for window in pairs.sounds[number]:
                    examples.add(window, pairs.pictures[number], number)
            place = Path(folder, "checkpoint")
            found = learn(examples, pairs.tags, pairs.joint, place, lambda _: None, lambda: False, plan=plan)
        if found is None:
            raise RuntimeError("stopped, though nobody asked to")
        return open_learned(found.weights, pairs.joint).encode_sounds

    return learned


def ridge(pairs: Pairs, numbers: Sequence[int]) -> Callable[[Sequence[Samples]], Vectors]:
    def features(sounds: Sequence[Samples]) -> Vectors:
        return np.stack([statistics(log_mel(window, _PLAIN)) for window in sounds])

    chosen = [(number, window) for number in numbers for window in pairs.sounds[number]]
    groups = np.array([number for number, _ in chosen])
    targets = unit(pairs.pictures[groups, : pairs.joint.shared_dim])
    found, _ = fit(features([window for _, window in chosen]), targets, groups)
    behind = pairs.joint.dim - pairs.joint.shared_dim
    return lambda sounds: np.pad(found.rows(features(sounds)), ((0, 0), (0, behind)))


def scores(pairs: Pairs, way: Fold, parts: Sequence[npt.NDArray[np.int64]]) -> Scores:
    """Return the scores of each recording by what learned without it."""
    found = np.full((len(pairs.sounds), len(pairs.pictures)), _NOTHING, np.float32)
    for part in parts:
        encode = way(pairs, [number for number in range(len(pairs.sounds)) if number not in part])
        for number in part:
            if pairs.sounds[number]:
                found[number] = (encode(pairs.sounds[number]) @ pairs.pictures.T).max(axis=0)
    return found


def own_ranks(found: Scores) -> npt.NDArray[np.int64]:
    ranks: npt.NDArray[np.int64] = (found >= np.diag(found)[:, None]).sum(axis=1)
    return ranks


def precision(found: Scores, categories: npt.NDArray[Any]) -> float:
    others = found.copy()
    np.fill_diagonal(others, -np.inf)
    nearest = np.argsort(-others, axis=1, kind="stable")[:, :5]
    same = categories[nearest] == categories[:, None]
    return float((same & (others.max(axis=1) > _NOTHING)[:, None]).mean())


def report(name: str, runs: Sequence[Scores], categories: npt.NDArray[Any]) -> None:
    ranks = np.stack([own_ranks(found) for found in runs])
    figures = [
        (ranks <= 10).mean(axis=1),
        (1 / ranks).mean(axis=1),
        np.array([precision(found, categories) for found in runs]),
    ]
    print(f"{name:16}" + "".join(f"{values.mean():11.3f} ±{values.std():.3f}" for values in figures), flush=True)


def interval(ours: Sequence[Scores], theirs: Sequence[Scores]) -> None:
    first, second = (np.stack([own_ranks(found) for found in runs]) for runs in (ours, theirs))
    hits = ((first <= 10).astype(float) - (second <= 10)).mean(axis=0)
    reciprocal = (1 / first - 1 / second).mean(axis=0)
    draws = np.random.default_rng(0).integers(0, len(hits), (10_000, len(hits)))
    for name, gains in (("R@10", hits), ("MRR", reciprocal)):
        low, high = np.quantile(gains[draws].mean(axis=1), (0.025, 0.975))
        print(f"shipped - ridge, {name}: {gains.mean():+.3f}, 95 % from {low:+.3f} to {high:+.3f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--folds", type=int, default=9)
    parser.add_argument("--one-out", action="store_true")
    parser.add_argument("--network", action="store_true")
    parser.add_argument("--model", default="builtin")
    options = parser.parse_args()
    cache = settings().cache
    pairs = read_pairs(options.corpus, load(options.model, cache), cache)
    count = len(pairs.sounds)
    seeds = 1 if options.one_out else options.seeds
    folds = count if options.one_out else min(options.folds, count)
    parted = [np.array_split(np.random.default_rng(seed).permutation(count), folds) for seed in range(seeds)]
    silent = sum(not found for found in pairs.sounds)
    print(f"{options.corpus.name}: {count} pairs, {silent} silent; {options.model}; {folds} folds, {seeds} seeds")
    print(f"{'':16}{'R@10':>11}{'MRR':>17}{'precision@5':>21}")
    same = (pairs.categories[:, None] == pairs.categories[None, :]).sum(axis=1) - 1
    print(f"{'chance':16}{min(1, 10 / count):11.3f}{np.mean(1 / np.arange(1, count + 1)):18.3f}"
          f"{same.mean() / (count - 1):18.3f}")  # fmt: skip
    ways: dict[str, Fold] = {"ridge": ridge, "shipped": shipped(Plan())}
    if options.network:
        ways["with network"] = shipped(dataclasses.replace(Plan(), network_from=0))
    runs = {name: [scores(pairs, way, parts) for parts in parted] for name, way in ways.items()}
    for name, found in runs.items():
        report(name, found, pairs.categories)
    interval(runs["shipped"], runs["ridge"])


if __name__ == "__main__":
    main()
