"""Read a film: its keyframes, those between where they are needed, and what is seen at a moment."""

import contextlib
import itertools
from collections.abc import Iterator
from typing import NamedTuple, Protocol, TypeAlias

import av
from av.container import InputContainer
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from core.errors import MediaError
from core.types import ImageInput, Pixels
from media.frame import Screen, check_size
from media.pixels import shrunk, square, webp

THUMBNAIL = 32
"""Side in px of a coarse look at a frame."""

_HELD_BYTES = 64 << 20
"""Of packets that wait for the next keyframe, so that it is known whether those between are needed."""
_BROKEN_READS = 100
_LATE = 1e-3
"""Seconds by which a moment may have been rounded."""
_FRAMES_TO_MOMENT = 5_000
"""Most frames that are decoded on the way from a keyframe to a moment: some 20 s."""

_Packet: TypeAlias = "Packet[VideoStream]"


class Film(Protocol):
    """What is needed of an open recording; duration, start: seconds, of the file's own clock; damaged: to be told."""

    damaged: bool

    @property
    def container(self) -> InputContainer:
        """FFmpeg's view of the file."""

    @property
    def video(self) -> VideoStream | None:
        """The stream of pictures."""

    @property
    def duration(self) -> float | None:
        """How long the file says that it is, or None."""

    @property
    def start(self) -> float:
        """When the film begins."""


class Look(NamedTuple):
    """A decoded frame, its time in seconds from the beginning of the film, and a coarse look at it."""

    time: float
    frame: VideoFrame
    thumbnail: Pixels


class Reel:
    """A film's stream of pictures: where it begins, what can be decoded of it, how it is shown.

    end: seconds from the beginning to the end of what was read.
    """

    def __init__(self, recording: Film) -> None:
        if recording.video is None:
            raise MediaError("there are no pictures in it")
        self._film, self._stream = recording, recording.video
        self._stream.codec_context.skip_frame = "NONREF"  # a third faster, without frames that no other is made from
        self._screen = Screen(self._stream.sample_aspect_ratio)
        check_size(self._stream.width, self._stream.height)
        self._tick = float(self._stream.time_base or 0) or 1e-3
        self._beat = 1 / float(self._stream.average_rate or 25)
        self._clock = self.end = 0.0
        self._short: MemoryError | None = None

    def looks(self, shortest: float, far: float) -> Iterator[Look]:
        """Yield frames that may be worth a vector, from the beginning on.

        Keyframes at least `shortest` seconds apart; where there is none for `far` seconds, all that lie between.
        """
        last = -shortest
        for packets, gap in self._portions(far):
            if packets and packets[0].is_keyframe:
                time = self._time(packets[0])
                if gap and time - last < shortest:
                    continue
                last = time
            yield from itertools.starmap(self._look, self._decoded(packets, gap))

    def keyframes(self, start: float) -> Iterator[Look]:
        """Yield keyframes from the one before a moment on."""
        for packet in self._packets(start):
            if packet.is_keyframe:
                yield from itertools.starmap(self._look, self._decoded([packet], True))

    def at(self, seconds: float) -> VideoFrame:
        """Return the frame that is seen at a moment, to a few frames; exactly one of `looks` at its own time.

        A file whose index leads astray is read from its beginning.
        """
        for start in (seconds, 0.0):
            seen: VideoFrame | None = None
            for time, frame in itertools.islice(self._all(start), _FRAMES_TO_MOMENT):
                if time > seconds + _LATE:
                    seen = seen or (None if start else frame)
                    break
                seen = frame
            if seen:
                return seen
        raise self.nothing()

    def nothing(self) -> Exception:
        """Return the reason where no frame came out."""
        return self._short or MediaError("damaged: none of its pictures can be decoded")

    def pixels(self, frame: VideoFrame, want: ImageInput) -> Pixels:
        """Return a frame's pixels for an encoder, shape (want.size, want.size, 3)."""
        image, turn = self._screen.image(frame)
        return square(shrunk(image, want, None, turn), want)

    def webp(self, frame: VideoFrame, size: int) -> bytes:
        """Return a frame whose longer side is at most `size` px."""
        image, turn = self._screen.image(frame)
        return webp(image, size, None, turn)

    def _look(self, time: float, frame: VideoFrame) -> Look:
        return Look(time, frame, self._screen.thumbnail(frame, THUMBNAIL))

    def _portions(self, far: float) -> Iterator[tuple[list[_Packet], bool]]:
        """Yield what is to be decoded, and whether a gap comes behind it.

        Packets wait until the next keyframe comes; then the first of them is enough. Where none comes for `far`
        seconds, all are needed, and so are those before the second keyframe: films begin in black.
        """
        held: list[_Packet] = []
        size, whole, keys = 0, True, 0
        for packet in self._packets(0.0):
            if packet.is_keyframe:
                yield held[:1], True
                keys += 1
                held, size, whole = [], 0, keys == 1
            held.append(packet)
            size += packet.size
            if whole or size > _HELD_BYTES or self._time(packet) - self._time(held[0]) > far:
                yield held, False
                held, size, whole = [], 0, True
        yield held[:1], True

    def _all(self, start: float) -> Iterator[tuple[float, VideoFrame]]:
        """Yield all frames, and their times, from the keyframe before a moment on."""
        for packet in self._packets(start):
            yield from self._decoded([packet], False)
        yield from self._decoded([], True)

    def _packets(self, start: float) -> Iterator[_Packet]:
        """Yield packets from the keyframe before a moment on; what cannot be read is passed over."""
        for seconds in (start, 0.0):
            with contextlib.suppress(av.FFmpegError, OverflowError):
                self._film.container.seek(round((self._film.start + seconds) / self._tick), stream=self._stream)
                break
        self._stream.codec_context.flush_buffers()
        self._clock = start
        for _ in range(_BROKEN_READS):
            try:
                for packet in self._film.container.demux(self._stream):
                    if packet.size:
                        self.end = max(self.end, self._time(packet) + (packet.duration or 0) * self._tick)
                        yield packet
                return
            except av.FFmpegError as error:
                self._passed_over(error)

    def _decoded(self, packets: list[_Packet], gap: bool) -> Iterator[tuple[float, VideoFrame]]:
        """Yield frames and their times; with a gap behind them, what the decoder still holds, too."""
        for packet in [*packets, *[None] * gap]:
            if packet:
                self._clock = self._time(packet) - self._beat
            try:
                found = self._stream.decode(packet)
            except av.FFmpegError as error:
                self._passed_over(error)
                continue
            for frame in found:
                # Not frame.time: what comes out at the end has lost its time base.
                self._clock = self._clock + self._beat if frame.pts is None else self._seconds(frame.pts)
                self._film.damaged |= frame.is_corrupt
                if not frame.is_corrupt:
                    yield max(0.0, self._clock), frame
        if gap:
            self._stream.codec_context.flush_buffers()

    def _passed_over(self, error: Exception) -> None:
        """Note damage; of which FFmpeg may say that memory is short, since nothing is large enough for it."""
        self._film.damaged = True
        if isinstance(error, MemoryError):
            self._short = error

    def _time(self, packet: _Packet) -> float:
        """Return a packet's time in seconds from the beginning; where nobody says, the next one after the last."""
        stamp = packet.dts if packet.pts is None else packet.pts
        return self._clock + self._beat if stamp is None else self._seconds(stamp)

    def _seconds(self, stamp: int) -> float:
        return stamp * self._tick - self._film.start
