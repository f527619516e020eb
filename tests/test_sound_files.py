"""Sound comes in windows: the samples that another decoder finds, at the times where they are, whatever the file."""

import io
import re
import tracemalloc
from collections.abc import Callable, Iterable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
import pytest
import soundfile
import soxr
from PIL import Image

from core.types import Samples, Window
from media import sound
from media.kinds import RECORDINGS
from media.recording import open_recording
from media.sound import Block, blocks, gather, mono, windows
from media.spectrogram import COLUMNS, ROWS, Spectrogram, picture
from tests.conftest import ROOT
from tests.films import RATE, chirp, noise, silence, tone, write_sound

QUIET = 10 ** (-70 / 20)


def heard(path: Path, rate: int = RATE) -> tuple[list[Window], float, bool]:
    """Return the windows of a file, the seconds that were decoded, and whether it is damaged."""
    with open_recording(path) as recording:
        found = list(windows(recording, rate))
        return found, recording.seconds, recording.damaged


def spans(found: Iterable[Window]) -> list[tuple[float, float]]:
    return [(round(window.span.start, 3), round(window.span.end, 3)) for window in found]


def in_blocks(samples: Samples, rate: int, start: float = 0.0, size: int | None = None) -> list[Block]:
    """Cut samples into blocks, as decoding does."""
    size = size or rate // 10
    starts = range(0, len(samples), size)
    return [Block(start + at / rate, rate, samples[at : at + size], at > 0) for at in starts]


def joined(found: list[Window], rate: int) -> Samples:
    """Put windows together again, half of each at a time."""
    half = 5 * rate
    return np.concatenate([window.samples[:half] for window in found[:-1]] + [found[-1].samples])


# --- the right samples

FORMATS = {
    "a.wav": ({}, 1e-6),
    "8 bits.wav": ({"bits": 8}, 1e-6),
    "24 bits.wav": ({"bits": 24}, 1e-6),
    "32 bits.wav": ({"bits": 32}, 1e-6),
    "floats.wav": ({"bits": -32}, 1e-6),
    "a.aiff": ({}, 1e-6),
    "24 bits.aiff": ({"bits": 24}, 1e-6),
    "a.flac": ({}, 1e-6),
    "24 bits.flac": ({"bits": 24}, 1e-6),
    "a.mp3": ({}, 1e-3),
    "a.ogg": ({"channels": 2}, 1e-3),
    "stereo.wav": ({"channels": 2}, 1e-6),
    "stereo.mp3": ({"channels": 2}, 1e-3),
    "5.1.wav": ({"channels": 6}, 1e-6),
    "7.1.flac": ({"channels": 8}, 1e-6),
}


@pytest.mark.parametrize("name", FORMATS)
def test_the_samples_are_those_of_another_decoder(name: str, tmp_path: Path) -> None:
    options, tolerance = FORMATS[name]
    path = write_sound(tmp_path / name, chirp(13.0), **options)  # type: ignore[arg-type]
    found, seconds, damaged = heard(path)
    expected = soundfile.read(path, dtype="float32", always_2d=True)[0].mean(axis=1)
    assert not damaged
    assert spans(found)[0] == (0, 10)
    assert seconds == pytest.approx(len(expected) / RATE, abs=0.01)
    ours = joined(found, RATE)
    length = min(len(ours), len(expected))
    assert np.abs(ours[:length] - expected[:length]).max() < tolerance


@pytest.mark.parametrize("name", ["a.opus", "a.m4a", "a.aac", "a.mka"])
@pytest.mark.parametrize("rate", [RATE, 16_000])
def test_what_soundfile_cannot_read_is_what_was_written(name: str, rate: int, tmp_path: Path) -> None:
    samples = tone(12.0, 440.0)
    found, seconds, damaged = heard(write_sound(tmp_path / name, samples), rate)
    assert (spans(found)[0], damaged) == ((0, 10), False)
    assert seconds == pytest.approx(12.0, abs=0.05)
    middle = found[0].samples[rate : 9 * rate].astype(np.float64)
    assert np.argmax(np.abs(np.fft.rfft(middle))) / 8 == 440  # 8 s: an eighth of a Hz each
    assert middle.std() == pytest.approx(0.5 / 2**0.5, rel=0.02)


@pytest.mark.parametrize(("rate", "to"), [(44_100, 48_000), (48_000, 16_000), (11_025, 16_000), (192_000, 48_000)])
def test_resampling_in_pieces_is_resampling_at_once(rate: int, to: int) -> None:
    samples = chirp(11.0, 100.0, 4000.0, rate=rate)
    found = list(gather(in_blocks(samples, rate), to))
    expected = soxr.resample(samples, rate, to, quality="HQ")
    assert spans(found) == [(0, 10), (5, 11)]
    ours = joined(found, to)
    assert abs(len(ours) - len(expected)) <= 1
    length = min(len(ours), len(expected))
    assert np.abs(ours[:length] - expected[:length]).max() < 1e-4


@pytest.mark.parametrize(
    ("channels", "expected"),
    [
        ([[0.5, -0.5], [0.5, 0.5]], [0.5, 0.0]),
        ([[0, 128, 255]], [-1, 0, 0.9921875]),
        ([[-32768, 16384]], [-1, 0.5]),
        ([[-(2**31), 2**30], [2**30, 2**30]], [-0.25, 0.5]),
        ([[3.0, -3.0], [0.0, 0.0]], [1, -1]),  # clipped behind the mean, as players do
        ([[np.nan, np.inf, -np.inf, 1e30, -1e300, 0.25]], [0, 0, 0, 1, -1, 0.25]),
        ([[np.inf, np.inf], [-np.inf, 0.5]], [0, 0.25]),
    ],
)
def test_channels_become_one(channels: list[list[float]], expected: list[float]) -> None:
    kinds: dict[float, type] = {255: np.uint8, 16384: np.int16, 2**30: np.int32, -1e300: np.float64}
    kind = next((kind for value, kind in kinds.items() if value in channels[0]), np.float32)
    assert mono([np.array(channel, kind) for channel in channels]).tolist() == expected


def test_a_hundred_channels_are_still_sound(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.repeat(tone(1.0, rate=8000)[:, None], 100, axis=1), 8000)
    found, _, _ = heard(tmp_path / "a.wav", 8000)
    assert np.abs(found[0].samples - tone(1.0, rate=8000)).max() < 1e-4


# --- the right windows

LENGTHS: dict[float, list[tuple[float, float]]] = {
    0.5: [(0, 0.5)],
    9.99: [(0, 9.99)],
    10.0: [(0, 10)],
    10.05: [(0, 10)],  # a block that is left is not worth another
    10.2: [(0, 10), (5, 10.2)],
    15.0: [(0, 10), (5, 15)],
    17.5: [(0, 10), (5, 15), (10, 17.5)],
    20.0: [(0, 10), (5, 15), (10, 20)],
}


@pytest.mark.parametrize("seconds", LENGTHS)
@pytest.mark.parametrize("rate", [8_000, 11_025])
@pytest.mark.parametrize("to", [8_000, 12_000])
def test_windows_of_a_length(seconds: float, rate: int, to: int) -> None:
    found = list(gather(in_blocks(noise(seconds, rate), rate), to))
    assert [(pytest.approx(a, abs=1e-3), pytest.approx(b, abs=1e-3)) for a, b in LENGTHS[seconds]] == spans(found)
    for window in found:
        assert window.samples.dtype == np.float32
        assert len(window.samples) == pytest.approx((window.span.end - window.span.start) * to, abs=1)
    assert all(len(window.samples) == 10 * to for window in found if window.span.end - window.span.start == 10)


@pytest.mark.parametrize("size", [37, 799, 800, 100_000, 10**9])
def test_windows_do_not_depend_on_how_it_came(size: int) -> None:
    samples = noise(17.0, 8000)
    expected, found = (list(gather(in_blocks(samples, 8000, size=n), 8000)) for n in (None, size))
    assert spans(found) == spans(expected)
    assert all(np.array_equal(a.samples, b.samples) for a, b in zip(found, expected, strict=True))


SILENCES: dict[str, tuple[Callable[[], Samples], list[tuple[float, float]]]] = {
    "zeros": (lambda: silence(20.0, 8000), []),
    "dither at -90 dB": (lambda: noise(20.0, 8000, level=10 ** (-90 / 20) * 3**0.5), []),
    "a constant": (lambda: silence(20.0, 8000) + np.float32(0.3), []),
    "a constant and dither": (lambda: noise(20.0, 8000, level=3e-5) + np.float32(0.5), []),
    "a quiet room": (lambda: noise(12.0, 8000, level=10 ** (-70 / 20) * 3**0.5), [(0, 10), (5, 12)]),
    "one call of a bird": (
        lambda: np.concatenate([silence(12.0, 8000), tone(0.15, 3000.0, 8000, QUIET * 2), silence(13.0, 8000)]),
        [(5, 15), (10, 20)],
    ),
    "a click": (lambda: np.concatenate([silence(2.0, 8000), tone(0.01, rate=8000), silence(15.0, 8000)]), [(0, 10)]),
    "the end": (lambda: np.concatenate([silence(16.0, 8000), tone(1.0, rate=8000)]), [(10, 17)]),
}


@pytest.mark.parametrize("name", SILENCES)
@pytest.mark.parametrize("to", [8_000, 48_000])
def test_silence_is_left_out_and_quiet_sounds_are_not(name: str, to: int) -> None:
    make, expected = SILENCES[name]
    assert spans(gather(in_blocks(make(), 8000), to)) == expected


def test_a_gap_begins_windows_anew() -> None:
    samples = noise(12.0, 8000)
    stream = in_blocks(samples, 8000) + in_blocks(samples, 8000, start=60.0)
    found = list(gather(stream, 8000))
    assert spans(found) == [(0, 10), (5, 12), (60, 70), (65, 72)]
    assert np.array_equal(found[0].samples, found[2].samples)


def test_a_rate_that_changes_is_no_gap() -> None:
    stream = in_blocks(tone(7.0, rate=8000), 8000)
    stream += [Block(7 + b.start, b.rate, b.samples, True) for b in in_blocks(tone(7.0, rate=44_100), 44_100)]
    found = list(gather(stream, 16_000))
    assert spans(found) == [(0, 10), (5, 14)]
    spectrum = np.abs(np.fft.rfft(found[0].samples))
    assert np.argmax(spectrum) / 10 == 440
    assert len(found[1].samples) == pytest.approx(9 * 16_000, abs=2)


# --- the right times


def film_with_late_sound(path: Path, sound_at: float, film_at: float, gap: float = 0.0) -> Path:
    """Write a film whose sound begins at a time of its own, and pauses in the middle without any samples."""
    samples = tone(12.0, rate=8000)
    with av.open(str(path), "w") as out:
        film = out.add_stream("mpeg4", rate=10)
        film.width, film.height = 64, 48  # type: ignore[union-attr]
        heard = out.add_stream("pcm_s16le", rate=8000, layout="mono")
        for number in range(20):
            frame = av.VideoFrame(64, 48, "yuv420p")
            frame.pts, frame.time_base = round((film_at + number / 10) * 1000), Fraction(1, 1000)
            out.mux(film.encode(frame))  # type: ignore[union-attr]
        for at in range(0, len(samples), 800):
            part = av.AudioFrame.from_ndarray((samples[None, at : at + 800] * 32767).astype(np.int16), "s16", "mono")
            late = sound_at + (gap if at >= 6 * 8000 else 0)
            part.sample_rate, part.time_base, part.pts = 8000, Fraction(1, 8000), at + round(late * 8000)
            out.mux(heard.encode(part))  # type: ignore[union-attr]
    return path


@pytest.mark.parametrize(
    ("sound_at", "film_at", "gap", "expected"),
    [
        (0.0, 0.0, 0.0, [(0, 10), (5, 12)]),
        (2.5, 0.0, 0.0, [(2.5, 12.5), (7.5, 14.5)]),
        (7.0, 4.0, 0.0, [(3, 13), (8, 15)]),
        (4.0, 7.0, 0.0, [(0, 10), (5, 12)]),
        (0.0, 0.0, 0.7, [(0, 10), (5, 12)]),  # too little to matter
        (0.0, 0.0, 20.0, [(0, 6), (26, 32)]),
    ],
)
def test_times_are_those_of_the_film(
    sound_at: float, film_at: float, gap: float, expected: list[tuple[float, float]], tmp_path: Path
) -> None:
    path = film_with_late_sound(tmp_path / "a.mkv", sound_at, film_at, gap)
    found, seconds, damaged = heard(path, 8000)
    assert [(pytest.approx(a, abs=0.01), pytest.approx(b, abs=0.01)) for a, b in expected] == spans(found)
    assert seconds == pytest.approx(12.0)
    assert not damaged


@pytest.mark.parametrize("suffix", [".ogg", ".opus"])
def test_chained_files_go_on(suffix: str, tmp_path: Path) -> None:
    """Radio stations send one Ogg after another, and each begins at 0."""
    one = write_sound(tmp_path / f"one{suffix}", tone(7.0), channels=2).read_bytes()
    (tmp_path / f"a{suffix}").write_bytes(one * 3)
    found, seconds, damaged = heard(tmp_path / f"a{suffix}", 16_000)
    assert spans(found)[:2] == [(0, 10), (5, 15)]
    assert seconds == pytest.approx(21.0, abs=0.1)
    assert np.argmax(np.abs(np.fft.rfft(found[0].samples))) / 10 == pytest.approx(440, abs=0.2)
    assert not damaged


def test_a_chain_that_ffmpeg_cannot_follow_keeps_what_came_before(tmp_path: Path) -> None:
    parts = [
        write_sound(tmp_path / f"{rate}.ogg", tone(7.0, rate=rate), rate, channels=2) for rate in (44_100, 22_050)
    ]
    (tmp_path / "a.ogg").write_bytes(b"".join(part.read_bytes() for part in parts))
    found, seconds, damaged = heard(tmp_path / "a.ogg", 16_000)
    assert (spans(found), damaged) == ([(0, 7)], True)
    assert seconds == pytest.approx(7.0, abs=0.01)


# --- damage, and what is too much


def halved(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])


def holed(path: Path) -> None:
    data = bytearray(path.read_bytes())
    third = len(data) // 3
    data[third : 2 * third] = bytes(np.random.default_rng(0).integers(0, 255, third, dtype=np.uint8))
    path.write_bytes(data)


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.aiff", "a.mka", "fast.m4a"])
def test_what_is_cut_short_is_taken_as_far_as_it_goes(name: str, tmp_path: Path) -> None:
    path = write_sound(tmp_path / name, noise(24.0, 16_000), 16_000, options={"movflags": "faststart"})
    halved(path)
    found, seconds, damaged = heard(path, 16_000)
    assert damaged
    assert seconds == pytest.approx(12.0, abs=0.5)
    assert spans(found)[0] == (0, 10)
    assert found[-1].span.end == pytest.approx(seconds, abs=0.2)


@pytest.mark.parametrize("name", ["a.mp3", "a.ogg", "a.opus", "a.aac"])
def test_half_of_a_stream_is_a_stream(name: str, tmp_path: Path) -> None:
    path = write_sound(tmp_path / name, noise(24.0), channels=2)
    halved(path)
    found, seconds, damaged = heard(path, 16_000)
    assert spans(found)[0] == (0, 10)
    assert seconds == pytest.approx(12.0, abs=1.5)
    assert not damaged


@pytest.mark.parametrize("name", ["a.flac", "a.m4a", "a.mka", "a.ogg"])
def test_what_breaks_in_the_middle_keeps_what_came_before(name: str, tmp_path: Path) -> None:
    path = write_sound(tmp_path / name, noise(45.0), channels=2)
    holed(path)
    found, seconds, damaged = heard(path, 16_000)
    assert damaged
    assert 12 < seconds < 44
    assert spans(found)[0] == (0, 10)


@pytest.mark.parametrize("tag", [b"TAG" + bytes(125), b"APETAGEX" + bytes(24) + b"x" * 3000, bytes(5000)])
@pytest.mark.parametrize("name", ["a.mp3", "a.flac", "a.aac"])
def test_tags_at_the_end_are_no_damage(name: str, tag: bytes, tmp_path: Path) -> None:
    path = write_sound(tmp_path / name, tone(3.0))
    path.write_bytes(path.read_bytes() + tag)
    found, seconds, damaged = heard(path)
    assert (len(found), damaged) == (1, False)
    assert seconds == pytest.approx(3.0, abs=0.05)


@pytest.mark.parametrize("count", [1, 2, 100])
@pytest.mark.parametrize("rate", [1_000, 44_100, 192_000, 1_000_000])
def test_a_few_samples(count: int, rate: int, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.resize([0.5, -0.5], count), rate)
    found, seconds, damaged = heard(tmp_path / "a.wav", 16_000)
    assert seconds == count / rate
    assert not damaged
    assert len(found) <= 1  # one sample is no sound
    assert all(np.isfinite(window.samples).all() and len(window.samples) for window in found)


def test_a_header_that_claims_more_does_not_cost_more(tmp_path: Path) -> None:
    path = write_sound(tmp_path / "a.aiff", noise(3.0, 8000), 8000)
    data = bytearray(path.read_bytes())
    at = data.index(b"COMM") + 10
    data[at : at + 4] = (0x7FFF_FFF0).to_bytes(4)
    at = data.index(b"SSND") + 4
    data[at : at + 4] = (0xFFFF_FFE0).to_bytes(4)
    path.write_bytes(data)
    found, seconds, damaged = heard(path, 8000)
    assert (spans(found), damaged) == ([(0, 3)], True)
    assert seconds == pytest.approx(3.0, abs=0.01)


def test_what_does_not_end_ends(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sound, "LONGEST", 20.0)
    found, seconds, damaged = heard(write_sound(tmp_path / "a.flac", noise(40.0, 8000), 8000), 8000)
    assert seconds == pytest.approx(20.0, abs=0.6)
    assert spans(found)[:3] == [(0, 10), (5, 15), (10, 20)]
    assert not damaged
    bits = [Block(2.0 * n, 8000, noise(0.1, 8000), False) for n in range(100)]
    assert len(list(gather(bits, 8000))) == 4  # nor is each bit of it a window


def test_memory_does_not_grow_with_the_length(tmp_path: Path) -> None:
    def peak(seconds: float) -> int:
        path = write_sound(tmp_path / f"{seconds}.flac", noise(seconds, 8000), 8000)
        tracemalloc.start()
        with open_recording(path) as recording:
            drawn = Spectrogram()
            for block in blocks(recording):
                drawn.add(block)
        with open_recording(path) as recording:
            assert sum(1 for _ in windows(recording, 8000)) > seconds / 5 - 2
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most

    peak(20.0)
    assert peak(600.0) < peak(60.0) + 500_000


# --- the picture


def pixels(data: bytes | None) -> npt.NDArray[np.float64]:
    """Return how bright a picture is, shape (height, width), the lowest tone first."""
    assert data
    return np.asarray(Image.open(io.BytesIO(data)).convert("L"), np.float64)[::-1]


def test_a_spectrogram_shows_when_and_how_high() -> None:
    low, high = tone(4.0, 200.0), tone(4.0, 3200.0)
    shown = pixels(picture(in_blocks(np.concatenate([low, high]), RATE)))
    assert shown.shape == (ROWS, COLUMNS)
    rows = np.geomspace(50, 16_000, ROWS)
    assert rows[shown[:, 100].argmax()] == pytest.approx(200, rel=0.06)
    assert rows[shown[:, 400].argmax()] == pytest.approx(3200, rel=0.06)
    assert shown.max() > 200 > 60 > np.median(shown)


@pytest.mark.parametrize("seconds", [0.05, 1.0, 9.0, 11.0, 100.0])
def test_a_spectrogram_fills_its_width(seconds: float) -> None:
    shown = pixels(picture(in_blocks(noise(seconds, 8000), 8000)))
    assert shown.shape == (ROWS, COLUMNS)
    assert (shown[40:, 20:-40].mean(axis=0) > 60).all()  # without stripes


def test_spectrograms_of_nothing_and_of_silence() -> None:
    assert picture([]) is None
    assert pixels(picture(in_blocks(silence(3.0), RATE))).max() < 20
    assert pixels(picture(in_blocks(noise(3.0, level=1e-5), RATE))).mean() < 90


def test_a_spectrogram_of_any_rate_and_with_gaps() -> None:
    shown = pixels(picture([*in_blocks(noise(2.0, 8000), 8000), *in_blocks(noise(2.0), RATE, start=1e9)], 256))
    assert shown.shape == (80, 256)
    for rate in (1_000, 1_000_000):
        assert pixels(picture(in_blocks(noise(0.2, rate), rate))).mean() > 60


def test_a_short_bark_in_a_long_night_is_seen() -> None:
    night = noise(300.0, 8000, level=1e-4)
    night[150 * 8000 : 150 * 8000 + 1600] += tone(0.2, 1000.0, 8000)
    columns = pixels(picture(in_blocks(night, 8000))).max(axis=0)
    assert columns.argmax() == pytest.approx(COLUMNS / 2, abs=3)
    assert columns.max() > 2 * np.median(columns)


def test_the_page_names_every_format() -> None:
    page = (ROOT / "docs" / "recordings.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| [^|]+ \| (\.[^|]+) \| [^|]+ \| (\w+) \|$", page, re.MULTILINE)
    assert {demuxer: tuple(names.split()) for names, demuxer in rows} == RECORDINGS
