"""Open sounds and films with FFmpeg: by the one demuxer that their first bytes name, and nothing beside the file."""

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import Any

import av
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.stream import Disposition, Stream
from av.video.stream import VideoStream

from core.errors import GlimpseError, MediaError, TemporaryMediaError
from core.types import Kind
from media.boxes import is_cut_short, is_encrypted, is_matroska_cut_short
from media.files import OpenFile, Reader, open_file
from media.kinds import HEAD_BYTES, RECORDINGS, recording_format

CUT_SHORT = "the file is cut short"
_SECOND = 1_000_000
"""FFmpeg counts the time of a container in microseconds."""
_NAMES = {"mov": "MP4 or QuickTime", "matroska": "Matroska or WebM", "ogg": "Ogg", "aac": "AAC"}
_ATTACHED = Disposition.attached_pic | Disposition.timed_thumbnails
_BUFFER = 1 << 16

av.logging.restore_default_callback()  # or Python would be asked from FFmpeg's own threads
av.logging.set_libav_level(av.logging.PANIC)


@dataclass
class Recording:
    """An open sound or film.

    container: FFmpeg's, to be gone through once; sound, video: its streams that count, None where there is none.
    seconds: of sound decoded so far, which headers do not always tell; damaged: something in it could not be decoded,
    or is missing at the end. Both are filled by whoever decodes.
    """

    container: InputContainer
    file: OpenFile
    reader: Reader
    sound: AudioStream | None
    video: VideoStream | None
    seconds: float = 0.0
    damaged: bool = False

    @property
    def kind(self) -> Kind:
        """Return VIDEO where something moves, AUDIO where there is only sound: the picture of a cover is no film."""
        return Kind.VIDEO if self.video else Kind.AUDIO

    @property
    def has_sound(self) -> bool:
        """Say whether there is a track of sound."""
        return self.sound is not None

    @property
    def duration(self) -> float | None:
        """Return the length in seconds, as the file tells it, or None."""
        said = (self.container.duration or 0) / _SECOND
        if self.container.format.name == "matroska":  # which tells when it ends
            said -= self.start
        return said if said > 0 else None

    @property
    def start(self) -> float:
        """Return the time at which players begin, in seconds of FFmpeg's."""
        return (self.container.start_time or 0) / _SECOND

    @cached_property
    def size(self) -> tuple[int, int]:
        """Return the upright (width, height) of a film in square pixels, (0, 0) for sound.

        How it lies is told by the first frame: it is decoded aside, and `container` stays where it is.
        """
        if not self.video:
            return (0, 0)
        context = self.video.codec_context
        width, height, turned = context.width, context.height, 0
        ratio = self.video.sample_aspect_ratio or Fraction(1)
        with contextlib.suppress(Exception), _opened(self.file, self.container.format.name) as (container, _):
            frame = next(container.decode(container.streams[self.video.index]))
            width, height, turned = frame.width, frame.height, frame.rotation  # type: ignore[union-attr]
        if Fraction(1, 10) <= ratio <= 10:
            width = round(width * ratio)
        return (height, width) if turned % 180 else (width, height)


@contextlib.contextmanager
def open_recording(path: bytes | str | Path) -> Iterator[Recording]:
    """Open a sound or a film for reading; raises MediaError, TemporaryMediaError where the next run may succeed.

    Whatever a decoder raises inside the block becomes a MediaError, too.
    """
    path = os.fsencode(path)
    with open_file(path) as file, recording_in(file, os.fsdecode(os.path.basename(path))) as recording:
        yield recording


@contextlib.contextmanager
def recording_in(file: OpenFile, name: str) -> Iterator[Recording]:
    """Open what is in a file that is open; `name` as in `recording_format`. Several may be open at once."""
    kind = check_recording(file, name)
    reader: Reader | None = None
    try:
        with _opened(file, kind) as (container, reader):
            recording = _recording(container, file, reader)
            yield recording
            reader.check()
    except GlimpseError:
        raise
    except Exception as error:  # a decoder fed with rubbish may raise anything
        if reader:
            reader.check()
        file.check_unchanged()
        raise named(error, file, kind) from error


def check_recording(file: OpenFile, name: str) -> str:
    """Return which of RECORDINGS a file is; raises MediaError."""
    reader = Reader(file)
    try:
        head = reader.read(HEAD_BYTES)
        kind = recording_format(head, name)
        if head[:3] == b"ID3" and kind:
            size = head[6] << 21 | head[7] << 14 | head[8] << 7 | head[9]
            reader.seek(10 + size)
            kind = recording_format(reader.read(HEAD_BYTES), name) or kind
    except OSError:
        reader.check()
        raise
    if kind is None:
        names = (_NAMES.get(kind, kind.upper()) for kind in RECORDINGS)
        raise MediaError(f"not a sound or film in a known format ({', '.join(names)})")
    return kind


@contextlib.contextmanager
def _opened(file: OpenFile, kind: str) -> Iterator[tuple[InputContainer, Reader]]:
    """Open a container by one demuxer, which may open nothing else: no playlist, no reference, no address."""
    reader = Reader(file)
    options = {"format_whitelist": av.ContainerFormat(kind, "r").name, "protocol_whitelist": "none"}
    container = av.open(
        reader, "r", format=kind, options=options, metadata_errors="replace", buffer_size=_BUFFER, io_open=_refuse
    )
    with container:
        yield container, reader


def _refuse(url: str, flags: int, options: dict[str, str]) -> Any:
    raise MediaError("damaged: it refers to another file")


def _recording(container: InputContainer, file: OpenFile, reader: Reader) -> Recording:
    """Choose the streams; raises MediaError where none can be decoded."""
    films = [stream for stream in container.streams.video if not stream.disposition & _ATTACHED]
    best = container.streams.best("video")
    video = best if best in films else next(iter(films), None)
    # FFmpeg calls none the best of those whose rate and channels it does not know.
    sound = container.streams.best("audio") or next(iter(container.streams.audio), None)
    both = [stream for stream in (video, sound) if stream is not None]
    is_mov = container.format.name == "mov"
    is_short = {"mov": is_cut_short, "matroska": is_matroska_cut_short}.get(container.format.name)
    short = is_short is not None and is_short(file)
    if not both:
        raise MediaError(CUT_SHORT if short else "there are no sound and no pictures in it")
    if is_mov and is_encrypted(file):
        raise MediaError("it is encrypted (protected against copying)")
    readable = [stream for stream in both if stream.codec_context is not None]
    if not readable:
        raise MediaError(f"it needs a decoder that there is none of: {_codec(both[0])}")
    return Recording(
        container,
        file,
        reader,
        sound if isinstance(sound, AudioStream) and sound in readable else None,
        video if isinstance(video, VideoStream) and video in readable else None,
        damaged=short,
    )


def _codec(stream: Stream) -> str:
    return getattr(stream, "name", None) or f"unknown {stream.type} codec"


def named(error: Exception, file: OpenFile, kind: str) -> MediaError:
    """Say in a person's words why a decoder failed."""
    name = _NAMES.get(kind, kind.upper())
    if isinstance(error, MemoryError):
        return TemporaryMediaError("not enough memory to decode it")
    if isinstance(error, EOFError) or (kind == "mov" and is_cut_short(file)):
        return MediaError(CUT_SHORT)
    if isinstance(error, av.error.PatchWelcomeError):
        return MediaError(f"it is written in a way of {name} that FFmpeg cannot decode")
    if isinstance(error, av.error.FFmpegError):
        return MediaError(f"damaged: it begins like {name} and cannot be read as that")
    return MediaError(f"damaged: {' '.join(str(error).split()) or type(error).__name__}")
