"""Small films and sounds, made on the spot with FFmpeg's own encoders: the same bytes every time.

write_film(folder / "a.mp4", [(RED, 3.0), (scene(), 2.0)], sound=tone(5.0))
write_sound(folder / "a.flac", chirp(12.0))
"""

import heapq
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import av
import numpy as np
import numpy.typing as npt
import soundfile
from av.audio import AudioStream
from av.video import VideoStream
from PIL import Image

from core.types import Samples

Colour = tuple[int, int, int]
Shot = tuple[Colour | Image.Image, float]
"""What is to be seen, and for how many seconds; a picture is brought to the size of the film."""

RATE = 48_000
"""Samples a second, where nothing else is said."""

_VIDEO = {".mp4": "libx264", ".m4v": "libx264", ".mov": "libx264", ".mkv": "libx264", ".webm": "libvpx-vp9"}
_VIDEO |= {".3gp": "mpeg4", ".avi": "mpeg4"}
_SOUND_OF_FILMS = {".webm": "libopus", ".avi": "libmp3lame"}
_QUICK: Mapping[str, dict[str, str]] = {
    "libx264": {"preset": "ultrafast", "crf": "12"},
    "libx265": {"preset": "ultrafast", "crf": "12", "x265-params": "log-level=none:pools=none:frame-threads=1"},
    "libvpx-vp9": {"deadline": "realtime", "cpu-used": "8", "crf": "15", "b": "0"},
    "mpeg4": {"qmin": "2", "qmax": "2"},
}
"""Each encoder at its fastest that leaves colours where they were, to a few of 255."""

_SOUNDS = {
    ".wav": ("wav", ""),
    ".aiff": ("aiff", ""),
    ".flac": ("flac", "flac"),
    ".mp3": ("mp3", "libmp3lame"),
    ".ogg": ("ogg", "vorbis"),
    ".opus": ("opus", "libopus"),
    ".m4a": ("ipod", "aac"),
    ".aac": ("adts", "aac"),
    ".mka": ("matroska", "flac"),
}
_PCM = {8: "pcm_{}8", 16: "pcm_s16{}", 24: "pcm_s24{}", 32: "pcm_s32{}", -32: "pcm_f32{}"}
_LAYOUTS = {1: "mono", 2: "stereo", 4: "4.0", 6: "5.1", 8: "7.1"}


# --- what is heard


def tone(seconds: float, hertz: float = 440.0, rate: int = RATE, level: float = 0.5) -> Samples:
    """Return a sine whose peak is `level`, shape (n,)."""
    return (level * np.sin(2 * np.pi * hertz * _clock(seconds, rate))).astype(np.float32)


def chirp(seconds: float, low: float = 200.0, high: float = 8000.0, rate: int = RATE, level: float = 0.5) -> Samples:
    """Return a tone that rises evenly from `low` to `high` Hz."""
    time = _clock(seconds, rate)
    return (level * np.sin(2 * np.pi * (low * time + (high - low) / (2 * seconds) * time**2))).astype(np.float32)


def noise(seconds: float, rate: int = RATE, level: float = 0.25, seed: int = 0) -> Samples:
    """Return white noise, evenly spread over -level..level."""
    count = round(seconds * rate)
    return np.random.default_rng(seed).uniform(-level, level, count).astype(np.float32)


def silence(seconds: float, rate: int = RATE) -> Samples:
    """Return zeros."""
    return np.zeros(round(seconds * rate), np.float32)


def _clock(seconds: float, rate: int) -> npt.NDArray[np.float64]:
    return np.arange(round(seconds * rate)) / rate


def write_sound(
    path: Path,
    samples: Samples,
    rate: int = RATE,
    *,
    channels: int = 1,
    bits: int = 16,
    codec: str | None = None,
    metadata: Mapping[str, str] | None = None,
    options: Mapping[str, str] | None = None,
) -> Path:
    """Write a sound in the format of its name: wav, aiff, flac, mp3, ogg (Vorbis), opus, m4a, aac, mka.

    samples: shape (n,), the same in all channels, or (n, channels). bits: of WAV and AIFF, 8, 16, 24, 32, or -32 for
    floats; of FLAC 16 or 24. codec: FFmpeg's name of another encoder; options: of the container.
    """
    form, usual = _SOUNDS[path.suffix]
    samples = np.ascontiguousarray(samples if samples.ndim == 2 else np.repeat(samples[:, None], channels, axis=1))
    if usual == "vorbis" and codec is None:  # FFmpeg's own encoder of it is an experiment, and knows stereo alone
        with soundfile.SoundFile(path, "w", rate, samples.shape[1], format="OGG", subtype="VORBIS") as out:
            for key, value in (metadata or {}).items():
                setattr(out, key, value)
            for start in range(0, len(samples), RATE):  # libsndfile overflows its stack on much at once
                out.write(samples[start : start + RATE])
        return path
    if not usual:
        usual = _PCM[bits].format("u" if form == "wav" and bits == 8 else "s" if bits == 8 else "?")
        usual = usual.replace("?", "le" if form == "wav" else "be")
    with av.open(str(path), "w", format=form, options=dict(options or {})) as out:
        out.metadata.update(metadata or {})
        stream = _sound_stream(out, codec or usual, rate, samples.shape[1], bits)
        for packet in _encoded_sound(stream, samples, rate):
            out.mux(packet)
    return path


def _sound_stream(out: Any, codec: str, rate: int, channels: int, bits: int = 16) -> AudioStream:
    layout = _LAYOUTS.get(channels, f"{channels} channels")
    stream = cast(AudioStream, out.add_stream(codec, rate=rate, layout=layout))
    if codec == "flac":
        stream.codec_context.format = "s16" if bits == 16 else "s32"
        if bits == 24:
            stream.codec_context.options = {"bits_per_raw_sample": "24"}
    return stream


def _encoded_sound(stream: AudioStream, samples: Samples, rate: int) -> Iterator[Any]:
    """Yield packets; a block for the encoder at a time, so that hours need no memory."""
    resampler = av.AudioResampler(stream.format, stream.layout, rate)
    step = stream.codec_context.frame_size or 4096
    for start in range(0, len(samples), step):
        block = np.ascontiguousarray(samples[start : start + step].reshape(1, -1), dtype=np.float32)
        frame = av.AudioFrame.from_ndarray(block, format="flt", layout=stream.layout)
        frame.sample_rate, frame.pts, frame.time_base = rate, start, Fraction(1, rate)
        for ready in resampler.resample(frame):
            yield from stream.encode(ready)
    yield from stream.encode(None)


# --- what is seen


def write_film(
    path: Path,
    shots: Sequence[Shot],
    *,
    size: tuple[int, int] = (64, 48),
    rate: int = 10,
    gop: int = 10,
    cuts: bool = False,
    codec: str | None = None,
    pixels: str = "yuv420p",
    times: Sequence[float] | None = None,
    start: float = 0.0,
    rotation: int = 0,
    mirrored: bool = False,
    sar: Fraction | None = None,
    sound: Samples | None = None,
    sound_rate: int = RATE,
    metadata: Mapping[str, str] | None = None,
    options: Mapping[str, str] | None = None,
    encoding: Mapping[str, str] | None = None,
) -> Path:
    """Write a film in the container of its name: mp4, m4v, mov, mkv, webm, 3gp, avi.

    rate: frames a second. gop: a keyframe every so many frames, and, with `cuts`, at each change of shot that the
    encoder (libx264) sees. times: of the frames, in seconds, in place of the even ones (a variable frame rate);
    start: when film and sound begin. rotation: degrees counterclockwise that a player turns it by; mirrored: and
    then mirrors it from left to right. sar: of a pixel, width to height. sound: shape (n,), or (n, channels).
    options: of the container ("movflags": "use_metadata_tags" for Apple's keys); encoding: of the encoder.
    """
    name = codec or _VIDEO[path.suffix]
    with av.open(str(path), "w", options={"fflags": "+bitexact", **(options or {})}) as out:
        out.metadata.update(metadata or {})
        quick = {"threads": "1", "flags": "+bitexact", **_QUICK.get(name, {}), **(encoding or {})}
        if name in ("libx264", "mpeg4"):
            quick = {
                "keyint_min": "1",
                "sc_threshold": "40" if cuts else "1000000000" if name == "mpeg4" else "0",
                **quick,
            }
        film = cast(VideoStream, out.add_stream(name, rate=rate, options=quick))
        film.width, film.height, film.pix_fmt = *size, pixels
        film.gop_size = gop
        if sar:
            film.codec_context.sample_aspect_ratio = sar
        if rotation or mirrored:
            film.set_display_rotation(rotation, hflip=mirrored)
        streams = [_seen(film, shots, times, start)]
        if sound is not None:
            samples = sound.reshape(len(sound), -1)
            heard = _sound_stream(out, _SOUND_OF_FILMS.get(path.suffix, "aac"), sound_rate, samples.shape[1])
            streams.append(_shifted(_encoded_sound(heard, samples, sound_rate), start))
        for packet in heapq.merge(*streams, key=lambda packet: packet.dts * packet.time_base):
            out.mux(packet)
    return path


def _seen(film: VideoStream, shots: Sequence[Shot], times: Sequence[float] | None, start: float) -> Iterator[Any]:
    """Yield a film's packets."""
    rate = int(film.codec_context.framerate)
    base = Fraction(1, 1000) if times or start else Fraction(1, rate)
    film.codec_context.time_base = base
    for number, picture in enumerate(_pictures(shots, (film.width, film.height), rate)):
        frame = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format=film.pix_fmt)
        frame.pts, frame.time_base = round((start + (times[number] if times else number / rate)) / base), base
        yield from film.encode(frame)
    yield from film.encode(None)


def _shifted(packets: Iterator[Any], start: float) -> Iterator[Any]:
    """Yield packets of sound that begin `start` seconds later."""
    for packet in packets:
        shift = round(start / packet.time_base)
        packet.pts, packet.dts = packet.pts + shift, packet.dts + shift
        yield packet


def _pictures(shots: Sequence[Shot], size: tuple[int, int], rate: int) -> Iterator[npt.NDArray[np.uint8]]:
    for what, seconds in shots:
        image = what.resize(size) if isinstance(what, Image.Image) else Image.new("RGB", size, what)
        picture = np.array(image.convert("RGB"), dtype=np.uint8)
        for _ in range(round(seconds * rate)):
            yield picture
