"""Turn the sound of a recording into windows for an encoder: mono, resampled once, in constant memory.

Decoded frames become blocks of a tenth of a second, and blocks become windows, so that whoever wants more of the same
pass (a spectrogram) can look at the blocks as they go by.
"""

import itertools
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import soxr
from av.audio import AudioFrame, AudioStream
from av.audio.frame import format_dtypes
from av.error import FFmpegError
from av.stream import Discard

from core.errors import MediaError
from core.types import HOP_SECONDS, WINDOW_SECONDS, Kind, Samples, Span, Window
from media.files import Reader
from media.recording import CUT_SHORT, Recording

SILENCE = 10 ** (-75 / 20)
"""A window is silent if no tenth of a second in it has this root mean square around its mean: -75 dB of full scale.

Dither lies at -96 dB (16 bits), shaped dither some 15 dB higher, the room of a quiet recording at -60 dB. The loudest
tenth counts: the mean of ten seconds would lose the one call of a bird. Nothing is measured against the whole of a
recording, since nobody knows it before its end. Around the mean, since cheap recorders add a constant; before
resampling, so that every encoder gets the same windows.
"""
BLOCK_SECONDS = 0.1
LONGEST = 24 * 3600.0
"""Seconds of sound that are decoded of one recording; what comes after is left out."""
RATES = range(1_000, 1_000_001)
"""Sample rates, in Hz, at which something can be heard: old telephones to bat detectors."""
GAP = 1.0
"""Seconds that a track may jump forward before that is a gap, behind which windows begin anew."""
_MISSING = 0.02
"""Part of the length that a header tells, and may be missing at the end, before the file counts as cut short."""
_TELLS_LENGTH = {"w64", "flac", "aiff", "mov", "ogg", "matroska"}
"""Demuxers that know the length and need not guess it from the size of the file."""
_UNKNOWN = 0x7FFF_0000
"""A WAV of this size was written by somebody who did not know its end."""
_LOST = 0.2
"""Seconds that may be lost in packets before that is damage: many MP3s end with tags that are no sound."""


_TYPES = {**format_dtypes, "s64": "i8", "s64p": "i8"}
"""NumPy's names of FFmpeg's samples."""


@dataclass(frozen=True, slots=True)
class Block:
    """Up to BLOCK_SECONDS of mono sound; start: seconds from the beginning of the recording; rate: Hz.

    follows: it goes on where the block before it ended.
    """

    start: float
    rate: int
    samples: Samples
    follows: bool


def windows(recording: Recording, rate: int) -> Iterator[Window]:
    """Yield the windows of a recording's sound at `rate` Hz that are not silent, in order of time.

    A recording without sound has none. Raises MediaError where nothing can be decoded of what has only sound; what
    breaks in the middle keeps what came before, and fills `recording.damaged`.
    """
    return gather(blocks(recording), rate)


def gather(stream: Iterable[Block], rate: int) -> Iterator[Window]:
    """Yield the windows of blocks, resampled to `rate` Hz, without the silent ones.

    WINDOW_SECONDS each, one every HOP_SECONDS, counted in samples from the first one, or from the last gap; the last
    window before the end, or before a gap, may be shorter.
    """
    most = int(LONGEST / HOP_SECONDS)
    return itertools.islice(_gathered(stream, rate), most)


def _gathered(stream: Iterable[Block], rate: int) -> Iterator[Window]:
    run: _Run | None = None
    for block in stream:
        if run is None or not block.follows:
            if run:
                yield from run.finished()
            run = _Run(block.start, rate)
        yield from run.added(block)
    if run:
        yield from run.finished()


class _Run:
    """Sound without a gap, on its way into windows; times inside are seconds from its beginning."""

    def __init__(self, start: float, rate: int) -> None:
        self._start, self._rate = start, rate
        self._size, self._hop = round(WINDOW_SECONDS * rate), round(HOP_SECONDS * rate)
        self._held = np.empty(2 * self._size, np.float32)  # from the beginning of the next window
        self._filled = 0
        self._number = 0  # of the next window
        self._resampler: Any = None
        self._from_rate = 0
        self._before = 0.0  # seconds at other rates
        self._count = 0  # samples at this one
        self._loud: deque[tuple[float, float]] = deque()

    def added(self, block: Block) -> Iterator[Window]:
        """Take a block in, and yield the windows that are full."""
        if block.rate != self._from_rate:
            yield from self._resampled(np.empty(0, np.float32), last=True)
            self._before, self._count, self._from_rate = self._seconds(), 0, block.rate
            self._resampler = _resampler(block.rate, self._rate)
        begin = self._seconds()
        self._count += len(block.samples)
        if _deviation(block.samples) >= SILENCE:
            self._loud.append((begin, self._seconds()))
        yield from self._resampled(block.samples)

    def finished(self) -> Iterator[Window]:
        """Yield what is left: a last, shorter window if more than a block of it was in no other (AAC is padded)."""
        yield from self._resampled(np.empty(0, np.float32), last=True)
        ended = (self._number - 1) * HOP_SECONDS + WINDOW_SECONDS
        if self._filled and (self._number == 0 or self._seconds() > ended + BLOCK_SECONDS):
            yield from self._cut(min(self._filled, self._size))

    def _seconds(self) -> float:
        return self._before + (self._count / self._from_rate if self._from_rate else 0.0)

    def _resampled(self, samples: Samples, last: bool = False) -> Iterator[Window]:
        if self._resampler:
            samples = self._resampler.resample_chunk(samples, last)
        while len(samples):
            part = samples[: len(self._held) - self._filled]
            np.clip(part, -1, 1, out=self._held[self._filled : self._filled + len(part)])
            self._filled += len(part)
            samples = samples[len(part) :]
            while self._filled >= self._size:
                yield from self._cut(self._size)

    def _cut(self, count: int) -> Iterator[Window]:
        """Yield the next window unless it is silent, and go on to the one after it."""
        begin = self._number * HOP_SECONDS
        end = min(begin + WINDOW_SECONDS, self._seconds())
        while self._loud and self._loud[0][1] <= begin:
            self._loud.popleft()
        if self._loud and self._loud[0][0] < end:
            yield Window(Span(self._start + begin, self._start + end), self._held[:count].copy())
        self._number += 1
        left = max(0, self._filled - self._hop)
        self._held[:left] = self._held[self._hop : self._hop + left].copy()
        self._filled = left


def _resampler(from_rate: int, rate: int) -> Any:
    if from_rate == rate:
        return None
    return soxr.ResampleStream(from_rate, rate, 1, dtype="float32", quality="HQ")


def _deviation(samples: Samples) -> float:
    centred = samples - samples.mean()
    return float(np.sqrt(np.dot(centred, centred) / len(samples)))


def blocks(recording: Recording) -> Iterator[Block]:
    """Yield a recording's sound as it is decoded; see `windows` for what is raised."""
    joined: _Joined | None = None
    for frame in _frames(recording):
        time = frame.time - recording.start if frame.time is not None else None
        jumped = joined is None or (time is not None and time > joined.end + GAP)
        if joined is None or jumped or joined.form != _form(frame):
            if joined:
                yield from joined.rest()
            joined = _Joined(max(0.0, time or 0.0) if joined is None or jumped else joined.end, frame, not jumped)
        yield from joined.added(frame)
    if joined:
        yield from joined.rest()


def _form(frame: AudioFrame) -> tuple[int, str, int]:
    return frame.sample_rate, frame.format.name, frame.layout.nb_channels


class _Joined:
    """Frames of one form without a gap, on their way into blocks; `end`: where the last one ended, in seconds.

    Frames are short: what can be done to several at once is.
    """

    def __init__(self, start: float, frame: AudioFrame, follows: bool) -> None:
        self.form, self.end = _form(frame), start
        self._start, self._follows = start, follows
        self._rate, name, channels = self.form
        self._type, self._packed = np.dtype(_TYPES[name]), 1 if frame.format.is_planar else channels
        self._size = int(self._rate * BLOCK_SECONDS)
        self._planes: list[list[npt.NDArray[Any]]] = [[] for _ in range(1 if self._packed > 1 else channels)]
        self._rest: Samples = np.empty(0, np.float32)
        self._count = self._done = 0  # samples that wait, and those that are gone

    def added(self, frame: AudioFrame) -> Iterator[Block]:
        """Take a frame in, and yield the blocks that are full."""
        for parts, plane in zip(self._planes, frame.planes, strict=False):
            parts.append(np.frombuffer(memoryview(plane), self._type, frame.samples * self._packed))
        self._count += frame.samples
        self.end = self._start + (self._done + self._count) / self._rate
        if self._count >= self._size:
            whole = self._joined()
            full = len(whole) - len(whole) % self._size
            self._rest, self._count = whole[full:], len(whole) - full
            for at in range(0, full, self._size):
                yield self._block(whole[at : at + self._size])

    def rest(self) -> Iterator[Block]:
        """Yield the last block, which is not full."""
        if self._count:
            yield self._block(self._joined())

    def _joined(self) -> Samples:
        planes = [np.concatenate(parts) if parts else np.empty(0, self._type) for parts in self._planes]
        for parts in self._planes:
            parts.clear()
        if self._packed > 1:
            planes = [planes[0][channel :: self._packed] for channel in range(self._packed)]
        return np.concatenate([self._rest, mono(planes)])

    def _block(self, samples: Samples) -> Block:
        block = Block(self._start + self._done / self._rate, self._rate, samples, self._follows)
        self._done += len(samples)
        self._follows = True
        return block


def mono(channels: Sequence[npt.NDArray[Any]]) -> Samples:
    """Return the mean of channels of integers or floats, -1..1; what is no number is 0."""
    kind = channels[0].dtype.kind
    mixed: Samples = np.zeros(len(channels[0]), np.float32)
    for channel in channels:
        mixed += channel if kind != "f" else _finite(channel)
    mixed /= len(channels) * (1 if kind == "f" else 2.0 ** (8 * channels[0].dtype.itemsize - 1))
    return np.clip(mixed - 1 if kind == "u" else mixed, -1, 1)


def _finite(channel: npt.NDArray[np.floating[Any]]) -> Samples:
    """Return floats of any size as some whose sum is finite; a peak of 8 is clipped behind the mean all the same."""
    if np.abs(channel).max(initial=0) <= 8:  # not if any is no number
        return channel.astype(np.float32, copy=False)
    finite: Samples = np.clip(np.nan_to_num(channel, nan=0, posinf=0, neginf=0), -8, 8).astype(np.float32)
    return finite


def _frames(recording: Recording) -> Iterator[AudioFrame]:
    """Yield decoded frames as far as they come; what breaks fills `recording.damaged`."""
    stream = recording.sound
    if stream is None:
        return
    others = [other for other in recording.container.streams if other.index != stream.index]
    for other in others:
        other.discard = Discard.all  # the pictures of a film need not even be read
    try:
        for frame in _decoded(recording, stream):
            if frame.sample_rate not in RATES:
                raise MediaError(f"a sample rate of {frame.sample_rate} Hz is none of sound")
            if frame.samples:
                recording.seconds += frame.samples / frame.sample_rate
                yield frame
            if recording.seconds >= LONGEST:
                return
        recording.damaged |= _falls_short(recording, stream)
    except MediaError:
        if recording.kind is Kind.AUDIO and not recording.seconds:
            raise
        recording.damaged = True
    finally:
        for other in others:
            other.discard = Discard.default
    if recording.kind is Kind.AUDIO and not recording.seconds:
        raise MediaError(CUT_SHORT if recording.damaged else "there is not a single sample of sound in it")


def _decoded(recording: Recording, stream: AudioStream) -> Iterator[AudioFrame]:
    """Yield frames; raises MediaError where no more come, after an error that leaves none at all."""
    lost = 0.0
    try:
        for packet in recording.container.demux(stream):
            try:
                frames = packet.decode()
            except FFmpegError as error:
                if isinstance(error, MemoryError):
                    raise
                lost += float((packet.duration or 0) * packet.time_base) or BLOCK_SECONDS
                continue
            yield from frames
    except FFmpegError as error:
        recording.reader.check()
        if isinstance(error, MemoryError):
            raise
        recording.damaged = True
    recording.reader.check()
    recording.damaged |= lost > _LOST
    if lost and not recording.seconds:
        raise MediaError("damaged: its sound cannot be decoded")


def _falls_short(recording: Recording, stream: AudioStream) -> bool:
    """Say whether a header that knows the length tells of clearly more sound than there was."""
    kind = recording.container.format.name
    if kind == "wav":  # of which FFmpeg tells what is there
        head = Reader(recording.file).read(8)
        return recording.file.stat.size < int.from_bytes(head[4:], "little") < _UNKNOWN and head[:4] == b"RIFF"
    told = 0.0
    if stream.duration and stream.time_base:
        told = float(stream.duration * stream.time_base)
    elif recording.kind is Kind.AUDIO:
        told = recording.duration or 0.0
    return kind in _TELLS_LENGTH and recording.seconds < min(told, LONGEST) * (1 - _MISSING) - BLOCK_SECONDS
