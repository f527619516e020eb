"""Log-mel spectrograms, in numpy: what CLAP's own extractor computes, and what learned towers hear.

Slaney's mel scale and area-normalised triangles (Slaney 1998, Auditory Toolbox), as librosa and transformers have
them; power spectra of Hann windows with reflected edges, 10 log10 of at least 1e-10. Spectra are taken in double
precision: beside a pure tone, single precision adds more than there is.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

from core.types import Samples

Mel = npt.NDArray[np.float32]
"""Log-mel spectrogram in dB, shape (frames, bands)."""
_LINEAR = 200.0 / 3
"""Hz of one mel below 1,000 Hz; above, 27 mels multiply the frequency by 6.4."""
_BREAK = 1000.0
_STEP = np.log(6.4) / 27


@dataclass(frozen=True)
class MelSpec:
    """How a log-mel spectrogram is made; rate, low, high: Hz; fft, hop: samples."""

    rate: int = 48_000
    fft: int = 1024
    hop: int = 480
    bands: int = 64
    low: float = 50.0
    high: float = 14_000.0


def log_mel(samples: Samples, spec: MelSpec) -> Mel:
    """Return the log-mel spectrogram of samples at `spec.rate`, shape (1 + n // hop, bands), in dB; n must be > 0."""
    half = spec.fft // 2
    padded = np.pad(samples, half, mode="reflect" if len(samples) > half else "edge")
    frames = np.lib.stride_tricks.sliding_window_view(padded, spec.fft)[:: spec.hop]
    spectrum = np.fft.rfft(frames * _hann(spec.fft), axis=1)
    power = np.square(spectrum.real) + np.square(spectrum.imag)
    mel = power.astype(np.float32) @ filters(spec)
    decibels: Mel = (10 * np.log10(np.maximum(mel, 1e-10))).astype(np.float32)
    return decibels


@cache
def filters(spec: MelSpec) -> Mel:
    """Return the filter bank, shape (1 + fft // 2, bands): triangles of equal area."""
    edges = _to_hz(np.linspace(_to_mel(spec.low), _to_mel(spec.high), spec.bands + 2))
    frequencies = np.linspace(0, spec.rate / 2, 1 + spec.fft // 2)
    widths = np.diff(edges)
    slopes = edges[None, :] - frequencies[:, None]
    up, down = -slopes[:, :-2] / widths[:-1], slopes[:, 2:] / widths[1:]
    bank: Mel = (np.maximum(0, np.minimum(up, down)) * (2 / (edges[2:] - edges[:-2]))).astype(np.float32)
    return bank


@cache
def _hann(size: int) -> npt.NDArray[np.float64]:
    window: npt.NDArray[np.float64] = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(size) / size)
    return window


def _to_mel(hz: float) -> float:
    return hz / _LINEAR if hz < _BREAK else _BREAK / _LINEAR + float(np.log(hz / _BREAK)) / _STEP


def _to_hz(mel: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    start = _BREAK / _LINEAR
    return np.where(mel < start, mel * _LINEAR, _BREAK * np.exp(_STEP * (mel - start)))
