"""What learned towers hear of a window of sound: the loud frames of a log-mel spectrogram, at one level.

Recordings differ in level, in the silence around the sound, and in how quiet that is: none of it says what sounds.
On 45 recordings with pictures, this much is worth more than any choice of strength (docs/benchmarks.md).
"""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from core.types import WINDOW_SECONDS, Samples
from encoders.mel import Mel, MelSpec, log_mel

RATE = 32_000
"""Hz that learned towers are made for; others are taken, too."""
BANDS = 64
FRAME_SECONDS = 0.016
FRAMES = int(WINDOW_SECONDS / FRAME_SECONDS)
"""Frames in a whole window."""
RANGE = 60.0
"""dB below the loudest point of a window, under which all is one floor."""
_LOUD = 30.0
"""dB below the loudest point within which a frame counts as heard."""
_SILENT = -90.0
"""dB of the loudest point of a window that holds nothing; log-mel begins at -100."""
Rows = npt.NDArray[np.float32]


class Heard(NamedTuple):
    """The frames that were heard: mel (m, bands), -RANGE..0 dB, and which frames of the window they are, (m,)."""

    mel: Mel
    frames: npt.NDArray[np.int64]


def spec(rate: int) -> MelSpec:
    """Return how spectrograms are made at `rate` Hz: frames of 32 ms, one every 16 ms, whatever the rate."""
    hop = round(rate * FRAME_SECONDS)
    return MelSpec(rate=rate, fft=2 * hop, hop=hop, bands=BANDS, low=50.0, high=min(14_000.0, rate / 2))


def heard(samples: Samples, rate: int) -> Heard | None:
    """Return what is heard of samples of any length, None of silence; samples that are no numbers are silent."""
    if not len(samples):
        return None
    mel = log_mel(np.nan_to_num(samples, posinf=0, neginf=0), spec(rate))
    loudest = float(mel.max())
    if loudest < _SILENT:
        return None
    frames = np.flatnonzero(mel.max(axis=1) >= loudest - _LOUD)
    return Heard(np.maximum(mel[frames] - loudest, -RANGE), frames)


def statistics(mel: Mel) -> Rows:
    """Return mean, deviation, maximum and mean absolute change of each band, shape (4 * bands,)."""
    change = np.abs(np.diff(mel, axis=0)).mean(axis=0) if len(mel) > 1 else np.zeros(mel.shape[1], np.float32)
    return np.concatenate([mel.mean(axis=0), mel.std(axis=0), mel.max(axis=0), change]).astype(np.float32)


def filled(mel: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return FRAMES frames of the same type: a short sound is repeated, a long one cut."""
    repeats = -(-FRAMES // len(mel))
    return np.tile(mel, (repeats, 1))[:FRAMES]
