"""Draw the preview of a recording: what is heard when, low tones below and high ones above.

Columns are gathered while the sound goes by, in constant memory: where there are too many, two become one.
"""

import io
import math
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from core.types import Samples
from media.sound import Block

ROWS = 160
COLUMNS = 512
"""A picture's size in px."""
LOWEST, HIGHEST = 50.0, 16_000.0
"""Hz of the lowest row, and of the highest, or half the sample rate where that is less."""
_FINEST = 0.01
"""Seconds that a column holds, as long as they all have room."""
_RAREST = 0.1
"""Most seconds from one spectrum to the next; a column of a long recording holds many."""
_FASTEST = 23
"""Spectra of a second: of a power of two of samples near that, 43 ms at 48 kHz."""
_AT_ONCE = 10
"""Blocks that are drawn together."""
_TILT = 3.0
"""dB that an octave is raised above the one below it, as most sounds fall."""
_RANGE, _QUIETEST = 55.0, -85.0
"""dB from black to white, and how loud what is white must be, at least, where full scale is 0."""
_GLARE = 15.0
"""dB by which a few points may be louder than white."""
_COLOURS = {0.0: (10, 12, 30), 0.3: (46, 36, 104), 0.5: (122, 45, 126), 0.7: (215, 84, 88), 0.86: (250, 163, 84)}
_COLOURS[1.0] = (255, 245, 205)
"""By loudness; each brighter than the one before it, so that it reads without colours, too."""
_WEBP = {"quality": 80, "method": 4}

Powers = npt.NDArray[np.float32]
"""Power of each row, shape (n, ROWS); a tone of full scale has 1."""


class Spectrogram:
    """A picture in the making: `add` every block in order, then `webp`."""

    def __init__(self) -> None:
        self._squares = np.zeros((2 * COLUMNS, ROWS))  # sums over the spectra of a column, of their squared powers
        self._counts = np.zeros((2 * COLUMNS, 1), int)
        self._width = _FINEST  # seconds of a column
        self._rate, self._top = 0, HIGHEST
        self._coming: list[Samples] = []
        self._held: Samples = np.empty(0, np.float32)  # from where the next spectrum begins
        self._skip = 0  # samples to come that no spectrum wants
        self._at = 0.0  # seconds from the beginning to there
        self._end = 0.0

    def add(self, block: Block) -> None:
        """Take in what is heard next."""
        if not block.follows or block.rate != self._rate:
            self._finish()
            self._top = self._top if self._rate else min(HIGHEST, block.rate / 2)
            self._rate, self._at = block.rate, block.start
        self._coming.append(block.samples)
        self._end = block.start + len(block.samples) / block.rate
        if len(self._coming) >= _AT_ONCE:
            self._draw()

    def webp(self, size: int = COLUMNS) -> bytes | None:
        """Return the picture as WebP, `size` px wide; None if there was no sound. Ends it."""
        self._finish()
        if not self._rate:
            return None
        count = min(2 * COLUMNS, max(1, round(self._end / self._width)))
        octaves = np.log2(_frequencies(self._top) / 1000)
        # Squared, so that a bark in a quiet night is seen; a mean, so that noise is as bright in any column.
        powers = np.sqrt(self._squares[:count] / np.maximum(self._counts[:count], 1))
        decibels = 10 * np.log10(powers + 1e-20) + _TILT * octaves
        white = max(_QUIETEST, float(np.percentile(decibels, 99.8)), float(decibels.max()) - _GLARE)
        level = np.clip((decibels - white) / _RANGE + 1, 0, 1)
        pixels = _palette()[np.round(level.T[::-1] * 255).astype(np.uint8)]
        out = io.BytesIO()
        shape = (size, max(1, size * ROWS // COLUMNS))
        Image.fromarray(pixels).resize(shape, Image.Resampling.BICUBIC).save(out, "WEBP", **_WEBP)
        return out.getvalue()

    def _finish(self) -> None:
        """Draw what is at hand, however short."""
        if self._rate:
            self._coming.append(np.zeros(_length(self._rate) - 1, np.float32))
            self._draw()
        self._held, self._skip = np.empty(0, np.float32), 0

    def _draw(self) -> None:
        """Add the spectra that the samples at hand are enough for."""
        coming = np.concatenate([self._held, *self._coming])
        self._coming.clear()
        self._held, self._skip = coming[self._skip :], max(0, self._skip - len(coming))
        length = _length(self._rate)
        step = max(1, round(min(self._width / 2, _RAREST) * self._rate))
        if len(self._held) < length:
            return
        frames = np.lib.stride_tricks.sliding_window_view(self._held, length)[::step]
        powers = _spectra(frames, self._rate, self._top)
        moments = self._at + np.arange(len(frames)) * step / self._rate
        while moments[-1] >= 2 * COLUMNS * self._width:
            for sums in (self._squares, self._counts):
                sums[:COLUMNS] = sums[::2] + sums[1::2]
                sums[COLUMNS:] = 0
            self._width *= 2
        columns = (moments / self._width).astype(int)
        np.add.at(self._squares, columns, np.square(powers, dtype=np.float64))
        np.add.at(self._counts, columns, 1)
        gone = len(frames) * step
        self._skip = max(0, gone - len(self._held))
        self._held = self._held[gone:]
        self._at += gone / self._rate


def picture(blocks: Iterable[Block], size: int = COLUMNS) -> bytes | None:
    """Return the spectrogram of blocks as WebP, `size` px wide and 5/16 of that high; None if there are none."""
    drawn = Spectrogram()
    for block in blocks:
        drawn.add(block)
    return drawn.webp(size)


def _spectra(frames: npt.NDArray[np.float32], rate: int, top: float) -> Powers:
    spectrum = np.fft.rfft(frames * _window(frames.shape[1]), axis=1)
    power: Powers = np.square(spectrum.real) + np.square(spectrum.imag)
    rows: Powers = power @ _filters(rate, top)
    return rows


@lru_cache(maxsize=4)
def _window(length: int) -> Samples:
    """Return Hann's window, by which a tone of full scale has the power 1."""
    window: Samples = (np.hanning(length + 1)[:-1] / (length / 4)).astype(np.float32)
    return window


def _length(rate: int) -> int:
    """Return the samples of a spectrum."""
    return 1 << round(math.log2(rate / _FASTEST))


def _frequencies(top: float) -> npt.NDArray[np.float64]:
    """Return the Hz of each row."""
    return np.geomspace(LOWEST, top, ROWS)


@lru_cache(maxsize=4)
def _filters(rate: int, top: float) -> Powers:
    """Return what takes bins of a spectrum to rows, shape (bins, ROWS): means of triangles, at least a bin wide."""
    rows = _frequencies(top)
    bins = np.fft.rfftfreq(_length(rate), 1 / rate)
    widths = np.maximum(np.gradient(rows), rate / _length(rate))
    weights = np.maximum(0, 1 - np.abs(bins[:, None] - rows) / widths)
    filters: Powers = (weights / np.maximum(weights.sum(axis=0), 1e-9)).astype(np.float32)
    return filters


@lru_cache(maxsize=1)
def _palette() -> npt.NDArray[np.uint8]:
    """Return 256 colours, shape (256, 3)."""
    levels = np.linspace(0, 1, 256)
    channels: Any = zip(*_COLOURS.values(), strict=True)
    return np.stack([np.interp(levels, list(_COLOURS), channel) for channel in channels], axis=1).astype(np.uint8)
