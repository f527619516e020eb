"""Tones, noises and chirps that stand for coloured shapes, in a joint space where the right answer is known.

The shape is told by the kind of the sound, the colour by its pitch. A chirp that rises and one that falls have the
same statistics: only who hears the order of things tells them apart.
"""

import numpy as np

from core.types import Samples, Vectors
from encoders.base import unit

SHAPES = ("tone", "noise", "tremolo", "rising", "falling")
COLOURS = (220.0, 500.0, 1100.0, 2400.0)
"""Hz of the middle of each colour."""
RATE = 32_000
DIM = 24


def sound(shape: str, colour: int, rng: np.random.Generator, seconds: float = 0.0) -> Samples:
    """Return one example: pitch, level, length and beginning differ each time."""
    seconds = seconds or rng.uniform(0.8, 2.0)
    time = np.arange(int(seconds * RATE)) / RATE
    pitch = COLOURS[colour] * 2 ** rng.uniform(-0.2, 0.2)
    if shape == "noise":
        wave = _noise(len(time), pitch, rng)
    elif shape == "tone":
        wave = np.sin(2 * np.pi * pitch * time)
    elif shape == "tremolo":
        wave = np.sin(2 * np.pi * pitch * time) * (0.5 + 0.5 * np.sin(2 * np.pi * rng.uniform(6, 9) * time))
    else:
        phase = time % 0.4 / 0.4 - 0.5  # each sweep spans an octave
        sweep = pitch * 2 ** (phase if shape == "rising" else -phase)
        wave = np.sin(2 * np.pi * np.cumsum(sweep) / RATE)
    level = 10 ** rng.uniform(-2, -0.3)
    silence = np.zeros(int(rng.uniform(0, 0.4) * RATE))
    noise = rng.normal(0, 1e-3, len(silence) + len(wave))
    return (level * (np.concatenate([silence, wave]) + noise)).astype(np.float32)


def pictures(dim: int = DIM) -> Vectors:
    """Return one unit vector per shape and colour, shape (shapes * colours, dim): a sum of one part for each."""
    rng = np.random.default_rng(7)
    shapes, colours = rng.normal(size=(len(SHAPES), 1, dim)), rng.normal(size=(1, len(COLOURS), dim))
    rows = unit((shapes + colours).reshape(-1, dim).astype(np.float32))
    return unit(rows - rows.mean(axis=0))


def pairs(
    count: int, seed: int, shapes: tuple[str, ...] = SHAPES, spread: float = 0.1
) -> tuple[list[Samples], Vectors, list[int]]:
    """Return sounds, vectors of their pictures (each a little apart), and which of `pictures` it is."""
    rng = np.random.default_rng(seed)
    classes = [
        SHAPES.index(shapes[i % len(shapes)]) * len(COLOURS) + i // len(shapes) % len(COLOURS) for i in range(count)
    ]
    sounds = [sound(SHAPES[c // len(COLOURS)], c % len(COLOURS), rng) for c in classes]
    rows = pictures()[classes]
    return sounds, unit(rows + spread * unit(rng.normal(size=rows.shape).astype(np.float32))), classes


def _noise(count: int, pitch: float, rng: np.random.Generator) -> np.ndarray:
    spectrum = np.fft.rfft(rng.normal(size=count))
    frequencies = np.fft.rfftfreq(count, 1 / RATE)
    band = np.exp(-0.5 * (np.log2(np.maximum(frequencies, 1) / pitch) / 0.3) ** 2)
    wave = np.fft.irfft(spectrum * band, count)
    return wave / np.abs(wave).max()
