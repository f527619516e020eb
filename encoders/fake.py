"""An encoder that can be computed by hand, for tests of everything around the models."""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np

from core.types import Fit, ImageInput, Pixels, ProgressCallback, Samples, Space, Vectors
from encoders.base import BATCH_SIZE, unit

COLOURS = {"red": (1, 0, 0), "green": (0, 1, 0), "blue": (0, 0, 1), "yellow": (1, 1, 0), "white": (1, 1, 1)}


class FakeEncoder:
    """Embed a photo as the direction of its mean colour, a text as the sum of the colours it names.

    A red photo is [1, 0, 0], "red blue" is [1, 0, 1] / sqrt(2); no colour at all is grey, [1, 1, 1] / sqrt(3).
    """

    batch_size = BATCH_SIZE

    def __init__(self) -> None:
        self.space = Space(name="fake", revision="1", dim=3, shared_dim=3)
        self.image_input = ImageInput(size=8, fit=Fit.SQUASH)

    def encode_images(self, pixels: Pixels) -> Vectors:
        """Return the direction of each photo's mean colour, shape (n, 3)."""
        return _grey_if_zero(pixels.astype(np.float32).mean(axis=(1, 2)))

    def sounds(self) -> "FakeSounds":
        """Return what hears in the same space."""
        return FakeSounds()

    def prepare_texts(self) -> None:
        """Do nothing: there is nothing to open."""

    def encode_texts(self, texts: Sequence[str]) -> Vectors:
        """Return the direction of the sum of the colours each text names, shape (n, 3)."""
        rows = [[COLOURS.get(word, (0, 0, 0)) for word in text.lower().split() or [""]] for text in texts]
        return _grey_if_zero(np.array([np.sum(row, axis=0) for row in rows], dtype=np.float32).reshape(-1, 3))


class FakeSounds:
    """Embed a sound as the power below 500 Hz, up to 2,000 Hz, and above, which is its colour.

    A low tone is red, [1, 0, 0], a middle one green, a high one blue; silence is grey.
    """

    rate = 8000
    batch_size = BATCH_SIZE

    def __init__(self) -> None:
        self.space = Space(name="sound:fake", revision="1", dim=3, shared_dim=3)

    def encode_sounds(self, windows: Sequence[Samples]) -> Vectors:
        """Return the direction of each sound's power in three bands, shape (n, 3)."""
        rows = [self._bands(samples) for samples in windows]
        return _grey_if_zero(np.array(rows, dtype=np.float32).reshape(-1, 3))

    def _bands(self, samples: Samples) -> list[float]:
        power = np.abs(np.fft.rfft(samples)) ** 2
        hertz = np.fft.rfftfreq(len(samples), 1 / self.rate)
        edges = (0, 500, 2000, self.rate)
        bands = [float(power[(hertz >= low) & (hertz < high)].sum()) for low, high in pairwise(edges)]
        return [band if band > 1e-3 * sum(bands) else 0.0 for band in bands]  # what leaks from a tone


def _grey_if_zero(rows: Vectors) -> Vectors:
    return unit(np.where(rows.any(axis=1, keepdims=True), rows, 1.0).astype(np.float32))


def load(cache: Path, progress: ProgressCallback | None = None) -> FakeEncoder:
    """Return the fake encoder; it needs no cache."""
    return FakeEncoder()
