"""Find out what the hidden units of a network answer to, from what they do on many recordings.

After SoundNet (Aytar, Vondrick, Torralba: NIPS 2016, arXiv 1610.09001, section 5), which shows the clips that drive a
unit most. Here the clips are reduced to their moments, and named.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil, comb
from pathlib import Path

import numpy as np
import numpy.typing as npt

from core.types import HOP_SECONDS, WINDOW_SECONDS, Span, Vectors

NamesOf = Callable[[Vectors], Sequence[Sequence[str]]]
"""Returns the few best tags of each row, which is a vector of the joint Space."""
MOMENTS = 8
SHARED = 6
"""How many moments, and how many shared tags, a unit is shown with."""
CHANCE = 0.002
"""A tag is shared if chance would give it to so many of a unit's moments less often than this.

More than a third of them must have it, too: among a thousand rare tags, there are always some that two moments share.
With both, 3 in 100 units that answer to noise get a tag.
"""
_LEAST_SECONDS = 2.0
_SAMPLED, _EACH = 1000, 4
"""What is usual is measured on at most so many recordings, on so many moments of each."""

Numbers = npt.NDArray[np.floating]


@dataclass(frozen=True, eq=False)
class Recording:
    """What a network makes of a recording, step by step.

    times: seconds at which the steps begin, ascending, shape (m,); step: how long each lasts, in seconds.
    values: what each unit does, shape (m, units); vectors: rows of the joint Space, shape (m, dim).
    """

    path: Path
    times: Numbers
    step: float
    values: Numbers
    vectors: Vectors


@dataclass(frozen=True, eq=False)
class Moment:
    """Where a recording drives a unit most.

    span: the moment itself; shown: what lies around it, up to WINDOW_SECONDS; activation: the unit's value at its
    height. times, values: the unit over `shown`, shapes (m,); tags: what is heard at the height, best first.
    """

    path: Path
    span: Span
    shown: Span
    activation: float
    times: Numbers
    values: Numbers
    tags: tuple[str, ...] = ()


@dataclass(frozen=True)
class Shared:
    """A tag that a unit's moments share: the part of them that have it, and of any moments; 0..1."""

    tag: str
    share: float
    usual: float


@dataclass(frozen=True)
class Unit:
    """A hidden unit: its number, what its moments share, and the moments, the strongest first.

    strength: how far its strongest moments rise above all recordings, in standard deviations; 0 where none do, and
    then there are no moments.
    """

    number: int
    strength: float
    shared: tuple[Shared, ...] = ()
    moments: tuple[Moment, ...] = ()


def select(recordings: Sequence[Recording], names: NamesOf, count: int = MOMENTS) -> list[Unit]:
    """Return all units, the most selective first, each with up to `count` moments of as many recordings.

    Never more than half of the recordings, or there would be no others to rise above. They are gone through three
    times, one after another, so that a sequence may read them from a disk.
    """
    peaks, rows, kept = _peaks(recordings)
    if not kept:
        return []
    mean, spread = peaks.mean(axis=0), peaks.std(axis=0)
    top = np.argsort(-peaks, axis=0, kind="stable")[: max(1, min(count, len(kept) // 2))]
    height = np.take_along_axis(peaks, top, axis=0).mean(axis=0) - mean
    strength = np.divide(height, spread, out=np.zeros_like(height), where=spread > 1e-6 * np.abs(peaks).max(axis=0))
    wanted: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for unit in np.flatnonzero(strength > 0).tolist():
        for i in top[:, unit].tolist():
            if peaks[i, unit] > mean[unit]:
                wanted[i].append((unit, int(rows[i, unit])))
    moments = _moments(recordings, kept, wanted, names)
    usual = _usual([recordings[i] for i in kept[:: ceil(len(kept) / _SAMPLED)]], names) if moments else {}
    units = []
    for unit in np.argsort(-strength, kind="stable").tolist():
        found = tuple(sorted(moments[unit], key=lambda moment: -moment.activation))
        units.append(Unit(unit, float(strength[unit]), shared_tags([m.tags for m in found], usual), found))
    return units


def shared_tags(moments: Sequence[Sequence[str]], usual: dict[str, float]) -> tuple[Shared, ...]:
    """Return the tags that more moments have than chance explains, the one that it explains least first.

    moments: the tags of each; usual: the part of all moments that have a tag, for each tag, 0..1. The chance that so
    many or more of n moments have a tag is the tail of a binomial distribution.
    """
    n = len(moments)
    found = []
    for tag, count in Counter(tag for tags in moments for tag in set(tags)).items():
        b = usual[tag]
        chance = sum(comb(n, k) * b**k * (1 - b) ** (n - k) for k in range(count, n + 1))
        if count > max(1, n / 3) and chance < CHANCE:
            found.append((chance, tag, Shared(tag, count / n, b)))
    return tuple(shared for *_, shared in sorted(found, key=lambda row: row[:2])[:SHARED])


def _peaks(recordings: Sequence[Recording]) -> tuple[Numbers, npt.NDArray[np.int64], list[int]]:
    """Return each unit's greatest value in each recording, its row, shapes (n, units), and the recordings.

    Those without a step are left out.
    """
    peaks, rows, kept = [], [], []
    for i, recording in enumerate(recordings):
        if len(recording.times):
            rows.append(recording.values.argmax(axis=0))
            peaks.append(recording.values.max(axis=0).astype(np.float64))
            kept.append(i)
    return np.array(peaks), np.array(rows), kept


def _moments(
    recordings: Sequence[Recording], kept: list[int], wanted: dict[int, list[tuple[int, int]]], names: NamesOf
) -> dict[int, list[Moment]]:
    """Return the moments of each unit; wanted: (unit, row) by the place of a recording in `kept`."""
    moments: dict[int, list[Moment]] = defaultdict(list)
    for i in sorted(wanted):
        recording = recordings[kept[i]]
        used = sorted({row for _, row in wanted[i]})
        tags = dict(zip(used, map(tuple, names(recording.vectors[used])), strict=True))
        for unit, row in wanted[i]:
            moments[unit].append(_moment(recording, unit, row, tags[row]))
    return moments


def _moment(recording: Recording, unit: int, row: int, tags: tuple[str, ...]) -> Moment:
    """Return the moment around a row: as long as the unit stays above half of its height."""
    values, times, step = recording.values[:, unit].astype(np.float64), recording.times, recording.step
    shown = _around(float(times[row]) + step / 2, float(times[-1]) + step)
    below = np.flatnonzero(values < (values.min() + values[row]) / 2)
    first = below[below < row].max(initial=-1) + 1
    last = below[below > row].min(initial=len(values)) - 1
    start, end = float(times[first]), float(times[last]) + step
    wider = max(0.0, _LEAST_SECONDS - (end - start)) / 2
    span = Span(max(shown.start, start - wider), min(shown.end, end + wider))
    middles = times + step / 2
    seen = (middles >= shown.start) & (middles <= shown.end)
    return Moment(recording.path, span, shown, float(values[row]), middles[seen], values[seen], tags)


def _around(time: float, end: float) -> Span:
    """Return WINDOW_SECONDS around a time of a recording that lasts until `end`, less if it is shorter.

    They begin where windows do: moments that lie close together are shown by one and the same picture.
    """
    latest = max(0, ceil((end - WINDOW_SECONDS) / HOP_SECONDS))
    start = HOP_SECONDS * min(latest, max(0, round((time - WINDOW_SECONDS / 2) / HOP_SECONDS)))
    return Span(start, min(end, start + WINDOW_SECONDS))


def _usual(recordings: Sequence[Recording], names: NamesOf) -> dict[str, float]:
    """Return the part of all moments that have a tag, for every tag; each recording counts the same.

    One more recording that has them all is counted, so that what was not met is rare and not impossible.
    """
    total: dict[str, float] = defaultdict(float)
    for recording in recordings:
        rows = np.unique(np.linspace(0, len(recording.times) - 1, _EACH).round().astype(int))
        for tags in names(recording.vectors[rows]):
            for tag in set(tags):
                total[tag] += 1 / len(rows)
    n = len(recordings) + 1
    return defaultdict(lambda: 1 / n, {tag: (part + 1) / n for tag, part in total.items()})
