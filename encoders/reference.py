"""Sounds that were never recorded: what stands for the mean of all sounds while a library has few of its own."""

from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import numpy as np
import numpy.typing as npt

from core.types import Progress, ProgressCallback, Samples, Vector
from encoders.base import SoundEncoder
from encoders.kept import keep, kept

RECIPE = 1
"""Raised whenever the sounds change."""
WEIGHT = 200
"""How many windows of a library weigh as much as the reference."""
COUNT = 240

_Signal = npt.NDArray[np.float64]


def sound_mean(count: int, mean: Vector | None, reference: Vector) -> Vector:
    """Return what to centre sounds with, shape (dim,): the mean of a library's windows, drawn towards the reference.

    count: how many windows `mean` is of; None where there are none. The few windows of a small library may be all of
    one thing, and centring with their mean would take away just that.
    """
    if mean is None or count == 0:
        return reference
    drawn: Vector = ((count * mean + WEIGHT * reference) / (count + WEIGHT)).astype(np.float32)
    return drawn


def reference_mean(encoder: SoundEncoder, cache: Path, progress: ProgressCallback | None = None) -> Vector:
    """Return the mean vector of the reference sounds, shape (dim,), made once per encoder and kept in the cache."""
    path = cache / "bridges" / f"{encoder.space.key}-reference{RECIPE}.npz"
    found = kept(path)
    if found is not None and found["mean"].shape == (encoder.space.dim,):
        known: Vector = found["mean"]
        return known
    total = np.zeros(encoder.space.dim)
    sounds, done = reference_sounds(encoder.rate), 0
    while batch := list(islice(sounds, encoder.batch_size)):
        if progress:
            progress(Progress(f"encoding reference sounds with {encoder.space.name} (once)", done, COUNT))
        total += encoder.encode_sounds(batch).sum(axis=0)
        done += len(batch)
    mean: Vector = (total / COUNT).astype(np.float32)
    keep(path, mean=mean)
    return mean


def reference_sounds(rate: int) -> Iterator[Samples]:
    """Yield COUNT sounds of 1 to 4 s at so many Hz, the same ones every time: tones, noises, and what is between."""
    for number in range(COUNT):
        dice = np.random.default_rng(number)
        seconds = np.arange(int(rate * dice.uniform(1, 4))) / rate
        signal = _KINDS[number % len(_KINDS)](dice, seconds)
        peak = np.abs(signal).max()
        yield (signal * (dice.uniform(0.1, 0.9) / max(peak, 1e-9))).astype(np.float32)


def _sine(turns: _Signal) -> _Signal:
    wave: _Signal = np.sin(2 * np.pi * turns)
    return wave


def _tone(dice: np.random.Generator, seconds: _Signal) -> _Signal:
    return _sine(_pitch(dice) * seconds)


def _chord(dice: np.random.Generator, seconds: _Signal) -> _Signal:
    """Harmonics that grow weaker, as of strings and pipes."""
    pitch, fall = _pitch(dice), dice.uniform(0.5, 2)
    harmonics = np.arange(1, 9)[:, None]
    wave: _Signal = (_sine(pitch * harmonics * seconds) / harmonics**fall).sum(axis=0)
    return wave


def _chirp(dice: np.random.Generator, seconds: _Signal) -> _Signal:
    """A glide between two pitches, again and again, as of birds and sirens."""
    low, high, speed = _pitch(dice), _pitch(dice), dice.uniform(0.3, 8)
    glide = low * (high / low) ** (seconds * speed % 1)
    return _sine(np.cumsum(glide) * seconds[1])


def _noise(dice: np.random.Generator, seconds: _Signal) -> _Signal:
    """Noise of some colour, from rumble to hiss: power falls as frequency to some exponent."""
    spectrum = np.fft.rfft(dice.standard_normal(len(seconds)))
    frequencies = np.maximum(np.fft.rfftfreq(len(seconds), seconds[1]), 20)
    return np.fft.irfft(spectrum * frequencies ** dice.uniform(-1.2, 0.6), len(seconds))


def _band(dice: np.random.Generator, seconds: _Signal) -> _Signal:
    """Noise around one pitch, as of wind."""
    spectrum = np.fft.rfft(dice.standard_normal(len(seconds)))
    frequencies = np.maximum(np.fft.rfftfreq(len(seconds), seconds[1]), 20)
    octaves = np.log2(frequencies / _pitch(dice)) / dice.uniform(0.1, 1.5)
    return np.fft.irfft(spectrum * np.exp(-(octaves**2)), len(seconds))


def _clicks(dice: np.random.Generator, seconds: _Signal) -> _Signal:
    """Knocks that ring for a moment, some regular, some as they come."""
    count = int(dice.uniform(1, 12) * seconds[-1]) + 1
    regular = dice.random() < 0.5
    times = np.linspace(0, 0.98, count) if regular else np.sort(dice.uniform(0, 0.98, count))
    train = np.zeros(len(seconds))
    train[(times * len(seconds)).astype(int)] = 1
    ring = _sine(_pitch(dice) * seconds) * np.exp(-seconds / dice.uniform(0.003, 0.15))
    return np.fft.irfft(np.fft.rfft(train) * np.fft.rfft(ring), len(seconds))


def _swelling(dice: np.random.Generator, seconds: _Signal) -> _Signal:
    """Noise or a chord that swells and fades, as of waves, breath and engines."""
    base = _noise if dice.random() < 0.5 else _chord
    return base(dice, seconds) * (1 + _sine(10 ** dice.uniform(-0.5, 1.5) * seconds))


def _vibrato(dice: np.random.Generator, seconds: _Signal) -> _Signal:
    """A tone that another one bends, as of voices and bells."""
    pitch, speed, depth = _pitch(dice), 10 ** dice.uniform(0, 2.5), dice.uniform(0.1, 1.5)
    return _sine(pitch * seconds + depth * _sine(speed * seconds))


def _melody(dice: np.random.Generator, seconds: _Signal) -> _Signal:
    """Notes of a scale, each struck and fading."""
    length = dice.uniform(0.15, 0.6)
    steps = dice.choice([0, 2, 4, 7, 9, 12], int(seconds[-1] / length) + 1)
    note = (seconds / length).astype(int)
    pitch = _pitch(dice) / 2 * 2 ** (steps[note] / 12)
    turns = np.cumsum(pitch) * seconds[1]
    struck: _Signal = (_sine(turns) + _sine(2 * turns) / 3) * np.exp(-(seconds % length) / dice.uniform(0.05, 0.5))
    return struck


def _mixture(dice: np.random.Generator, seconds: _Signal) -> _Signal:
    """Two of the others at once."""
    first, second = (kind(dice, seconds) for kind in (_melody, _noise))
    both: _Signal = first / np.abs(first).max() + second / np.abs(second).max() * dice.uniform(0.1, 1)
    return both


def _pitch(dice: np.random.Generator) -> float:
    """Return Hz between 80 and 4,000, all octaves alike."""
    return float(80 * 50 ** dice.random())


_KINDS: tuple[Callable[[np.random.Generator, _Signal], _Signal], ...] = (
    _tone, _chord, _chirp, _noise, _band, _clicks, _swelling, _vibrato, _melody, _mixture,
)  # fmt: skip
