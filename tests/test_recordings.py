"""Sounds and films are told by their content, opened by one demuxer, and refused with a reason."""

import os
import re
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import av
import pytest
import soundfile
from PIL import Image

from core.errors import MediaError, TemporaryMediaError
from core.types import Kind
from media.kinds import (
    EXTENSIONS,
    HEAD_BYTES,
    RECORDINGS,
    expected_media,
    expected_recording,
    photo_format,
    recording_format,
)
from media.recording import open_recording
from media.sound import windows
from tests.conftest import ROOT
from tests.films import chirp, tone, write_film, write_sound
from tests.samples import saved, scene

RED = (255, 0, 0)


def reason(path: Path) -> str:
    """Return why a file cannot be gone through."""
    with pytest.raises(MediaError) as raised, open_recording(path) as recording:
        list(windows(recording, 16_000))
    assert str(raised.value).isprintable()
    return str(raised.value)


# --- what it is

MADE = {
    "a.wav": "wav", "a.aiff": "aiff", "a.flac": "flac", "a.mp3": "mp3", "a.ogg": "ogg", "a.opus": "ogg",
    "a.m4a": "mov", "a.aac": "aac", "a.mka": "matroska", "a.mp4": "mov", "a.mov": "mov", "a.m4v": "mov",
    "a.3gp": "mov", "a.mkv": "matroska", "a.webm": "matroska", "a.avi": "avi",
}  # fmt: skip


def made(path: Path) -> Path:
    if path.suffix in (".mp4", ".mov", ".m4v", ".3gp", ".mkv", ".webm", ".avi"):
        size = (176, 144) if path.suffix == ".3gp" else (64, 48)
        return write_film(path, [(RED, 0.5)], size=size, sound=tone(0.5))
    return write_sound(path, tone(0.5))


@pytest.mark.parametrize(("name", "kind"), MADE.items())
def test_content_tells_the_demuxer_whatever_the_name(name: str, kind: str, tmp_path: Path) -> None:
    path = made(tmp_path / name)
    head = path.read_bytes()[:HEAD_BYTES]
    assert recording_format(head, name) == recording_format(head, "a.jpg") == kind
    assert photo_format(head, name) is None
    with open_recording(path.rename(tmp_path / "named.jpg")) as recording:
        assert recording.container.format.name == kind
        assert recording.has_sound
        film = path.suffix in (".mp4", ".mov", ".m4v", ".3gp", ".mkv", ".webm", ".avi")
        assert recording.kind is (Kind.VIDEO if film else Kind.AUDIO)
        assert recording.duration == pytest.approx(0.5, abs=0.11)


HEADS = {
    "w64": (b"riff.\x91\xcf\x11\xa5\xd6(\xdb\x04\xc1\0\0" + bytes(16), "w64"),
    "RF64": (b"RF64\xff\xff\xff\xffWAVEds64", "wav"),
    "AIFC": (b"FORM\0\0\0\x40AIFCFVER", "aiff"),
    "a MIDI in RIFF": (b"RIFF\0\0\0\x40RMIDdata", None),
    "an image in FORM": (b"FORM\0\0\0\x40ILBMBMHD", None),
    "MP3 without a tag": (b"\xff\xfb\x90\x64" + bytes(28), "mp3"),
    "MP3 of a low rate": (b"\xff\xe3\x18\xc4" + bytes(28), "mp3"),
    "a reserved bit rate": (b"\xff\xfb\xf0\x64" + bytes(28), None),
    "a reserved sample rate": (b"\xff\xfb\x9c\x64" + bytes(28), None),
    "UTF-16": ("\ufeffhello, world, hello".encode("utf-16-le"), None),
    "all ones": (b"\xff" * 32, None),
    "a JPEG": (b"\xff\xd8\xff\xe0\0\x10JFIF", None),
    "an old QuickTime": (b"\0\0\0\x08wide\0\1\2\3mdat", "mov"),
    "a large one": (b"\x40\1\2\3mdat" + bytes(20), "mov"),
    "words that look like a box": (b"get free beer", None),
    "a HEIC": (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", None),
    "a CR3": (b"\0\0\0\x18ftypcrx \0\0\0\1crx isom", None),
    "an AVIF sequence": (b"\0\0\0\x18ftypavis\0\0\0\0msf1miaf", None),
    "a JPEG XL": (b"\0\0\0\x0cJXL \r\n\x87\n\0\0\0\x14ftypjxl ", None),
    "an ID3 tag": (b"ID3\4\0\0\0\0\x02\1TIT2", "mp3"),
    "ID3, not a tag": (b"ID3\4\0\0\xff\xff\xff\xffTIT2", None),
    "a playlist": (b"#EXTM3U\n#EXT-X-VERSION:3\n", None),
    "a list of files": (b"ffconcat version 1.0\nfile a.mp3", None),
    "a session (SDP)": (b"v=0\no=- 0 0 IN IP4 127.0.0.1\n", None),
    "nothing": (b"", None),
}


@pytest.mark.parametrize("name", HEADS)
def test_heads(name: str) -> None:
    head, kind = HEADS[name]
    assert recording_format(head[:HEAD_BYTES]) == kind


def test_no_photo_is_taken_for_a_recording() -> None:
    for kind in ("JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP", "AVIF", "HEIF"):
        assert recording_format(saved(scene(), kind)[:HEAD_BYTES]) is None


def test_what_names_promise() -> None:
    assert expected_recording("a.MP3") and expected_recording("a.b.webm") and not expected_recording("mp3")
    assert expected_media("a.jpg") and expected_media("a.opus") and not expected_media("a.txt")
    names = [name for kinds in (EXTENSIONS, RECORDINGS) for group in kinds.values() for name in group]
    assert len(names) == len(set(names))


@pytest.mark.parametrize(
    ("options", "size"),
    [
        ({}, (64, 48)),
        ({"rotation": 90}, (48, 64)),
        ({"rotation": 180}, (64, 48)),
        ({"rotation": 270}, (48, 64)),
        ({"sar": Fraction(4, 3)}, (85, 48)),
        ({"sar": Fraction(2, 1), "rotation": 90}, (48, 128)),
    ],
)
def test_the_size_is_that_of_what_is_seen(options: dict[str, object], size: tuple[int, int], tmp_path: Path) -> None:
    write_film(tmp_path / "a.mp4", [(RED, 0.5)], sound=tone(0.5), **options)  # type: ignore[arg-type]
    with open_recording(tmp_path / "a.mp4") as recording:
        assert recording.size == size
        assert len(list(windows(recording, 16_000))) == 1  # nobody has moved on in it


def test_the_picture_of_a_cover_is_no_film(tmp_path: Path) -> None:
    cover = saved(Image.new("RGB", (64, 64), RED), "JPEG")
    frame = b"\0image/jpeg\0\3\0" + cover
    frame = b"APIC" + struct.pack(">IH", len(frame), 0) + frame
    size = bytes(len(frame) >> shift & 0x7F for shift in (21, 14, 7, 0))
    sound = write_sound(tmp_path / "plain.mp3", tone(1.0), options={"id3v2_version": "0"}).read_bytes()
    (tmp_path / "a.mp3").write_bytes(b"ID3\3\0\0" + size + frame + sound)
    with open_recording(tmp_path / "a.mp3") as recording:
        assert recording.container.streams.video
        assert (recording.kind, recording.size) == (Kind.AUDIO, (0, 0))


@pytest.mark.parametrize("suffix", [".aac", ".flac"])
def test_a_tag_may_stand_before_other_formats(suffix: str, tmp_path: Path) -> None:
    sound = write_sound(tmp_path / f"a{suffix}", tone(1.0)).read_bytes()
    (tmp_path / "a.mp3").write_bytes(b"ID3\4\0\0\0\0\0\x64" + bytes(100) + sound)
    with open_recording(tmp_path / "a.mp3") as recording:
        assert recording.container.format.name == suffix[1:]
        assert len(list(windows(recording, 16_000))) == 1


def test_a_film_without_sound_and_one_whose_times_begin_later(tmp_path: Path) -> None:
    write_film(tmp_path / "a.mkv", [(RED, 1.0)], start=3.0)
    with open_recording(tmp_path / "a.mkv") as recording:
        assert (recording.kind, recording.has_sound, list(windows(recording, 16_000))) == (Kind.VIDEO, False, [])
        assert recording.duration == pytest.approx(1.0, abs=0.11)


# --- what is wrong with it


def cut(path: Path, part: float) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * part)])


def patched(path: Path, before: bytes, after: bytes) -> None:
    data = path.read_bytes()
    assert before in data
    path.write_bytes(data.replace(before, after))


BAD: dict[str, tuple[Callable[[Path], object], str]] = {
    "nothing.mp3": (lambda p: p.write_bytes(b""), r"the file is empty \(0 bytes\)"),
    "text.mp3": (lambda p: p.write_bytes(b"hello, world" * 9), r"not a sound or film in a known format \(WAV"),
    "header.wav": (lambda p: cut(write_sound(p, tone(1.0)), 0.0004), "damaged: it begins like WAV"),
    "no samples.wav": (lambda p: soundfile.write(p, tone(0.0), 8000), "there is not a single sample of sound in it"),
    "cut.flac": (lambda p: cut(write_sound(p, chirp(9.0)), 0.01), "the file is cut short"),
    "cut.m4a": (lambda p: cut(write_sound(p, tone(1.0)), 0.5), "the file is cut short"),
    "cut.mp4": (lambda p: cut(write_film(p, [(RED, 1.0)]), 0.5), "the file is cut short"),
    "cut.ogg": (lambda p: cut(write_sound(p, tone(1.0)), 0.02), "the file is cut short"),
    "only frames.aac": (lambda p: p.write_bytes(b"\xff\xf1\x50\x80\x02\x1f\xfc" + b"\xde" * 9), "damaged: "),
    "common.m4a": (lambda p: patched(write_sound(p, tone(1.0)), b"mp4a", b"enca"), r"it is encrypted \(protected"),
    "shop.m4p": (
        lambda p: patched(write_sound(p.with_suffix(".m4a"), tone(1.0)).rename(p), b"mp4a", b"drms"),
        r"it is encrypted \(protected against copying\)",
    ),
    "film.mp4": (
        lambda p: write_film(p, [(RED, 1.0)], options={
            "encryption_scheme": "cenc-aes-ctr", "encryption_key": "00" * 16, "encryption_kid": "00" * 16
        }),
        r"it is encrypted \(protected against copying\)",
    ),
    "nothing in it.m4a": (
        lambda p: p.write_bytes(b"\0\0\0\x10ftypM4A \0\0\0\0" + b"\0\0\0\x08moov" + b"\0\0\0\x08mdat"),
        "there are no sound and no pictures in it",
    ),
    "unknown.mka": (
        lambda p: patched(write_sound(p, tone(1.0)), b"A_FLAC", b"A_QUAK"),
        "it needs a decoder that there is none of: unknown audio codec",
    ),
    "slow.wav": (lambda p: write_sound(p, tone(9.0, 1.0, rate=8), 8), "a sample rate of 8 Hz is none of sound"),
    "fast.wav": (
        lambda p: write_sound(p, tone(0.01, rate=4_000_000), 4_000_000), "a sample rate of 4000000 Hz"
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_bad_recordings_have_a_reason(name: str, tmp_path: Path) -> None:
    make, said = BAD[name]
    make(tmp_path / name)
    assert re.match(said, reason(tmp_path / name)), reason(tmp_path / name)


def test_what_is_no_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.mp3")
    assert reason(tmp_path / "a.mp3") == "not a regular file"
    assert reason(tmp_path) == "not a regular file"
    with pytest.raises(TemporaryMediaError, match="no such file"), open_recording(tmp_path / "gone.mp3"):
        pass


def test_a_file_that_changes_meanwhile_is_tried_again(tmp_path: Path) -> None:
    path = write_sound(tmp_path / "a.wav", tone(12.0))
    with pytest.raises(TemporaryMediaError, match="changed while it was read"), open_recording(path) as recording:
        going = windows(recording, 16_000)
        next(going)
        os.utime(path, ns=(0, 12345))
        list(going)


def test_a_disk_that_fails_is_no_damage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_sound(tmp_path / "a.wav", tone(12.0))
    read = os.pread

    def failing(descriptor: int, count: int, at: int) -> bytes:
        if at > 500_000:
            raise OSError(5, "Input/output error")
        return read(descriptor, count, at)

    monkeypatch.setattr(os, "pread", failing)
    with pytest.raises(TemporaryMediaError, match="input/output error"), open_recording(path) as recording:
        list(windows(recording, 16_000))


def test_a_mistake_of_ours_is_not_the_files(tmp_path: Path) -> None:
    path = write_sound(tmp_path / "a.wav", tone(1.0))
    with pytest.raises(MediaError, match="damaged: boom"), open_recording(path):
        raise ValueError("boom")
    with pytest.raises(KeyboardInterrupt), open_recording(path):
        raise KeyboardInterrupt


# --- nothing but the file itself is opened


@pytest.fixture
def listening() -> Iterator[tuple[str, list[object]]]:
    """An address on this machine, and whoever has called there."""
    callers: list[object] = []
    with socket.socket(socket.AF_UNIX) as server:
        name = f"/tmp/{os.getpid()}.glimpse-test"
        server.bind(name)
        server.listen()
        thread = threading.Thread(target=lambda: callers.append(server.accept()), daemon=True)
        thread.start()
        yield name, callers
        os.unlink(name)


def test_a_list_of_other_files_stays_shut(tmp_path: Path, listening: tuple[str, list[object]]) -> None:
    address, callers = listening
    secret = write_sound(tmp_path / "secret.ts.mp3", tone(2.0))
    lists = {
        "hls": f"#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n{secret}\n#EXT-X-ENDLIST\n",
        "concat": f"ffconcat version 1.0\nfile '{secret}'\n",
        "hls to a socket": f"#EXTM3U\n#EXTINF:2,\nunix:{address}\n#EXT-X-ENDLIST\n",
        "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\nc=IN IP4 127.0.0.1\nm=audio 5004 RTP/AVP 0\n",
    }
    (tmp_path / "a.ffconcat").write_text(lists["concat"], encoding="utf-8")
    with av.open(str(tmp_path / "a.ffconcat"), options={"safe": "0"}) as opened:  # FFmpeg itself would
        assert opened.streams.audio
    for suffix in (".m3u8", ".mp3", ".mp4", ".ogg", ".mkv", ".flac"):
        for text in lists.values():
            path = tmp_path / f"list{suffix}"
            path.write_text(text, encoding="utf-8")
            assert reason(path).startswith("not a sound or film")
            path.write_bytes(b"ID3\4\0\0\0\0\0\0" + text.encode())  # which names a demuxer
            assert reason(path)
    assert callers == []


def alias(path: Path) -> bytes:
    """Return a data reference to another file, as QuickTime on the Macintosh wrote it."""
    name = os.fsencode(path)
    record = bytes(10) + b"\4disk" + bytes(23) + bytes(12) + b"\1a" + bytes(62) + bytes(16) + bytes(4) + bytes(16)
    record += struct.pack(">HH", 2, len(name)) + name + bytes(len(name) % 2) + b"\xff\xff\0\0"
    return struct.pack(">I4sI", 12 + len(record), b"alis", 0) + record


def referring(data: bytes, other: Path) -> bytes:
    """Return the boxes of a film whose sound and pictures are to be found in another file."""
    out, at = b"", 0
    while at + 8 <= len(data):
        size, kind = struct.unpack_from(">I4s", data, at)
        inside = data[at + 8 : at + size]
        if kind in (b"moov", b"trak", b"mdia", b"minf", b"dinf"):
            inside = referring(inside, other)
        elif kind == b"dref":
            inside = struct.pack(">II", 0, 1) + alias(other)
        if kind != b"mdat":
            out += struct.pack(">I4s", 8 + len(inside), kind) + inside
        at += size
    return out


def test_a_film_that_lies_in_another_file_is_not_fetched_from_there(tmp_path: Path) -> None:
    film = write_film(tmp_path / "secret.mov", [(RED, 1.0)], sound=tone(1.0))
    path = tmp_path / "a.mov"
    path.write_bytes(referring(film.read_bytes(), film))
    with av.open(str(path), options={"enable_drefs": "1", "use_absolute_path": "1"}) as opened:
        assert sum(frame.samples for frame in opened.decode(audio=0)) > 40_000  # FFmpeg can
    with open_recording(path) as recording:
        assert list(windows(recording, 16_000)) == []
    film.rename(tmp_path / "elsewhere.mov")
    with open_recording(path) as recording:
        assert list(windows(recording, 16_000)) == []


def test_nobody_is_told_what_ffmpeg_thinks(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = write_sound(tmp_path / "a.mp3", tone(3.0))
    data = bytearray(path.read_bytes())
    data[5000:9000:7] = bytes(len(data[5000:9000:7]))
    path.write_bytes(data)
    with open_recording(path) as recording:
        list(windows(recording, 16_000))
    assert capfd.readouterr() == ("", "")


def test_photos_do_without_ffmpeg() -> None:
    import subprocess
    import sys

    code = "import sys, media.isolated, media.worker, media.kinds, media.photo; sys.exit('av' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
