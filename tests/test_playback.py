"""Sounds and films in the decode process: as they are without it, in pieces, and whatever happens costs one file."""

import os
import random
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import xxhash
from PIL import Image

from core.errors import MediaError, TemporaryMediaError
from core.types import Fit, ImageInput, Kind, Window
from media import isolated, worker
from media.files import BLOCK, Reader, open_file
from media.isolated import DecodeProcess, close_idle, decode_process
from media.recording import open_recording
from media.sound import windows
from tests.conftest import paint
from tests.films import chirp, noise, silence, tone, write_film, write_sound
from tests.plain_user import InThread
from tests.test_sound_files import pixels, spans

RED, BLUE = (255, 0, 0), (0, 0, 255)
WANT = ImageInput(32, Fit.SQUASH)


def all_windows(process: DecodeProcess, rate: int = 16_000) -> list[Window]:
    return [window for lot in process.windows(rate) for window in lot]


def test_a_sound_is_what_it_is_without_a_process(process: DecodeProcess, tmp_path: Path) -> None:
    path = write_sound(tmp_path / "a.mp3", noise(32.0, 24_000), 24_000)
    found = process.open(os.fsencode(path))
    assert (found.digest, found.stat.size) == (xxhash.xxh3_128_digest(path.read_bytes()), path.stat().st_size)
    assert (found.kind, found.size, found.has_sound) == (Kind.AUDIO, (0, 0), True)
    assert found.metadata.duration == pytest.approx(32.0, abs=0.1)
    with open_recording(path) as recording:
        expected = list(windows(recording, 16_000))
    for _ in range(2):  # as often as one likes
        ours = all_windows(process)
        assert spans(ours) == spans(expected)
        assert all(np.array_equal(a.samples, b.samples) for a, b in zip(ours, expected, strict=True))
        assert process.seconds == pytest.approx(32.0, abs=0.1)
        assert not process.damaged


def test_a_film_has_frames_and_windows(process: DecodeProcess, tmp_path: Path) -> None:
    path = write_film(tmp_path / "a.mp4", [(RED, 3.0), (BLUE, 4.0)], sound=tone(7.0), rotation=90)
    found = process.open(os.fsencode(path))
    assert (found.kind, found.size, found.has_sound) == (Kind.VIDEO, (48, 64), True)
    frames = [frame for lot in process.frames(WANT) for frame in lot]
    assert frames[0].span.start == 0
    assert frames[0].pixels.shape == (32, 32, 3)
    assert all_windows(process)[0].span.start == pytest.approx(0, abs=0.05)
    preview = process.preview(64)
    assert preview
    (tmp_path / "a.webp").write_bytes(preview)
    with Image.open(tmp_path / "a.webp") as shown:
        assert shown.size == (48, 64)


def test_a_spectrogram_is_the_same_before_windows_and_after(process: DecodeProcess, tmp_path: Path) -> None:
    path = write_sound(tmp_path / "a.flac", np.concatenate([silence(6.0), tone(6.0)]))
    process.open(os.fsencode(path))
    before = process.preview(512)
    all_windows(process)
    assert process.preview(512) == before
    assert pixels(before).shape == (160, 512)
    assert pixels(process.preview(256)).shape == (80, 256)
    write_sound(tmp_path / "b.flac", silence(3.0))
    process.open(os.fsencode(tmp_path / "b.flac"))  # not the one before
    assert pixels(process.preview(512)).max() < 20


def test_whoever_has_enough_may_stop(process: DecodeProcess, tmp_path: Path) -> None:
    long = write_sound(tmp_path / "a.wav", noise(200.0, 8000), 8000)
    other = write_sound(tmp_path / "b.wav", tone(3.0))
    paint(tmp_path / "c.png", RED)
    process.open(os.fsencode(long))
    first = process.windows(8000)
    assert spans(next(first))[0] == (0, 10)
    assert len(all_windows(process, 8000)) == 39  # from the beginning, again
    with pytest.raises(RuntimeError, match="another pass"):
        next(first)
    stopped = process.windows(8000)
    next(stopped)
    stopped.close()
    process.open(os.fsencode(other))
    assert len(all_windows(process)) == 1
    next(process.windows(8000))
    process.read(os.fsencode(tmp_path / "c.png"))
    assert process.decode("c.png", WANT, 0).size == (32, 24)


@pytest.mark.parametrize("size", [2, 64 << 20])
def test_what_is_no_recording_is_refused(size: int, process: DecodeProcess, tmp_path: Path) -> None:
    (tmp_path / "a.mp3").write_bytes(b"x" * size)
    with pytest.raises(MediaError, match="not a sound or film"):
        process.open(os.fsencode(tmp_path / "a.mp3"))
    with pytest.raises(TemporaryMediaError, match="no such file"):
        process.open(os.fsencode(tmp_path / "gone.mp3"))
    with pytest.raises(MediaError):
        list(process.windows(8000))


def test_damage_is_told_at_the_end(process: DecodeProcess, tmp_path: Path) -> None:
    path = write_sound(tmp_path / "a.flac", noise(40.0, 8000), 8000)
    path.write_bytes(path.read_bytes()[:300_000])
    process.open(os.fsencode(path))
    assert spans(all_windows(process, 8000))[0] == (0, 10)
    assert process.damaged
    assert 10 < process.seconds < 38
    process.open(os.fsencode(write_sound(tmp_path / "b.wav", tone(1.0))))
    assert (process.damaged, process.seconds) == (False, 0)


def test_a_file_that_changes_is_tried_again(process: DecodeProcess, tmp_path: Path) -> None:
    path = write_sound(tmp_path / "a.wav", noise(200.0, 8000), 8000)
    process.open(os.fsencode(path))
    going = process.windows(8000)
    next(going)
    os.utime(path, ns=(0, 12345))
    with pytest.raises(TemporaryMediaError, match="changed while it was read"):
        list(going)
    process.open(os.fsencode(path))
    os.replace(write_sound(tmp_path / "b.wav", tone(1.0)), path)
    assert len(all_windows(process)) == 39  # of what was hashed


@pytest.mark.parametrize(
    ("name", "kind", "said"),
    [
        ("crash.wav", MediaError, r"its decoder crashed \(signal 6\)"),
        ("leave.wav", MediaError, r"its decoder crashed \(exit code 3\)"),
        ("killed.wav", TemporaryMediaError, "its decoder was killed"),
        ("hang.wav", MediaError, "decoding it took more than 3 s"),
        ("babble.wav", MediaError, r"its decoder crashed \(it talks nonsense\)"),
    ],
)
def test_what_happens_in_the_middle_costs_one_file(
    bad: None, process: DecodeProcess, tmp_path: Path, name: str, kind: type, said: str
) -> None:
    for each in (name, "good.wav"):
        write_sound(tmp_path / each, noise(60.0, 8000), 8000)
    process.open(os.fsencode(tmp_path / name))
    going = process.windows(8000)
    assert len(next(going)) == 4
    with pytest.raises(MediaError, match=said) as raised:
        next(going)
    assert type(raised.value) is kind
    with pytest.raises(MediaError, match="its decoder crashed before"):
        process.preview(512)
    process.open(os.fsencode(tmp_path / "good.wav"))
    assert len(all_windows(process, 8000)) == 11


def test_a_slow_disk_has_time_as_long_as_bytes_come(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a thread, whose disk can be slowed: 5 MB take 2 s, and a second without any is too long."""
    path = write_sound(tmp_path / "a.wav", noise(50.0))
    read = os.pread

    def slowly(descriptor: int, count: int, at: int) -> bytes:
        if count >= BLOCK:
            time.sleep(0.4)
        return read(descriptor, count, at)

    process = InThread()
    monkeypatch.setattr(worker, "ALIVE_SECONDS", 0.1)
    monkeypatch.setattr(isolated, "READ_SECONDS", 1.0)
    monkeypatch.setattr(os, "pread", slowly)
    began = time.monotonic()
    assert process.open(os.fsencode(path)).stat.size > 4 << 20
    assert time.monotonic() - began > 1.5
    monkeypatch.setattr(worker, "ALIVE_SECONDS", 100.0)
    with pytest.raises(TemporaryMediaError, match="reading it took more than 1 s"):
        process.open(os.fsencode(path))


def test_bytes_that_come_again_are_no_sign_of_life(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(bytes(5 * BLOCK // 2))
    said: list[float] = []
    with open_file(str(path)) as file:
        file.alive = lambda: said.append(time.monotonic())
        reader = Reader(file)
        for _ in range(3):
            reader.seek(0)
            while reader.read(BLOCK // 4):
                pass
    assert len(said) == 3


def test_whatever_a_file_says_there_is_sound_or_a_reason(process: DecodeProcess, tmp_path: Path) -> None:
    samples = chirp(1.0, rate=16_000)
    seeds = [
        write_sound(tmp_path / f"a.{kind}", samples, 16_000, channels=2)
        for kind in ("wav", "flac", "ogg", "m4a", "aac", "aiff", "mka", "mp3")
    ]
    seeds += [write_film(tmp_path / f"a.{kind}", [(RED, 0.5)], sound=tone(0.5)) for kind in ("mp4", "mkv", "avi")]
    dice = random.Random(5)
    ended = 0
    for number in range(165):
        seed = seeds[number % len(seeds)]
        data = bytearray(seed.read_bytes())
        for _ in range(dice.choice([1, 5, 50])):
            at = dice.randrange(dice.choice([200, len(data)]))
            data[at : at + 4] = dice.choice([b"\xff\xff\xff\xff", b"\0\0\0\0", dice.randbytes(1), dice.randbytes(9)])
        path = tmp_path / f"mutant{seed.suffix}"
        path.write_bytes(data)
        try:
            process.open(os.fsencode(path))
            for window in all_windows(process):
                assert np.abs(window.samples).max() <= 1  # nor is there one that is no number
                assert 0 <= window.span.start < window.span.end
            ended += 1
        except MediaError as error:
            assert str(error).isprintable()
            assert "crash" not in str(error)
            assert "Error" not in str(error)
    assert 40 < ended < 165


def open_files(process: DecodeProcess) -> set[str]:
    assert process._child is not None
    folder = Path(f"/proc/{process._child.pid}/fd")
    return {os.readlink(link) for link in folder.iterdir() if link.is_symlink()}


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_a_drive_can_be_taken_away(tmp_path: Path) -> None:
    close_idle()
    path = write_sound(tmp_path / "a.wav", noise(60.0, 8000), 8000)
    with decode_process() as process:
        process.open(os.fsencode(path))
        next(process.windows(8000))
        assert str(path) in open_files(process)
    assert str(path) not in open_files(process)
    with decode_process() as again:
        assert again is process
        assert again.open(os.fsencode(path)).has_sound


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_an_hour_takes_no_more_memory_than_a_minute(process: DecodeProcess, tmp_path: Path) -> None:
    def peak(seconds: float) -> int:
        process.open(os.fsencode(write_sound(tmp_path / f"{seconds}.wav", noise(seconds, 8000), 8000)))
        for _ in process.windows(48_000):
            pass
        assert process._child is not None
        status = Path(f"/proc/{process._child.pid}/status").read_text(encoding="ascii")
        (line,) = [line for line in status.splitlines() if line.startswith("VmHWM")]
        return int(line.split()[1]) * 1024

    before = peak(60.0)
    assert peak(900.0) - before < 20 << 20
