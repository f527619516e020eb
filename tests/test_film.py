"""Frames of films: which are kept, when they are seen, and how they are shown."""

import io
import os
import tracemalloc
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

from core.errors import MediaError
from core.types import Fit, Frame, ImageInput, Pixels
from media import film
from media.film import frames, preview, still
from media.playback import Playback
from media.recording import Recording, open_recording
from media.reel import Reel
from tests.films import Shot, tone, write_film, write_sound
from tests.samples import BLACK, BLUE, GREEN, RED, STORED, WHITE, YELLOW, scene

WANT = ImageInput(16, Fit.SQUASH)
T = Image.Transpose


def frame_at(recording: Recording, seconds: float, want: ImageInput) -> Pixels:
    """Return what `still` shows of a moment, before it is a picture."""
    reel = Reel(recording)
    return reel.pixels(reel.at(seconds), want)


def striped(seed: int) -> Image.Image:
    """Return a picture like no other: four colours at random, in stripes."""
    values = np.random.default_rng(seed).integers(0, 256, (1, 4, 3), dtype=np.uint8)
    return Image.fromarray(values).resize((64, 48), Image.Resampling.NEAREST)


SCENE, OTHER = scene((64, 48)), striped(0)


def kept(path: Path, want: ImageInput = WANT) -> list[Frame]:
    with open_recording(path) as recording:
        found = list(frames(recording, want))
        assert not recording.damaged
        return found


def starts(found: Sequence[Frame]) -> list[float]:
    return [round(frame.span.start, 3) for frame in found]


def colour(frame: Frame) -> list[int]:
    return [int(value) for value in frame.pixels[8, 8]]


def near(found: Any, wanted: Any, within: float = 6) -> bool:
    return bool(np.abs(np.asarray(found, float) - np.asarray(wanted, float)).max() <= within)


# --- which frames are kept


@pytest.mark.parametrize("name", ["a.mp4", "a.mov", "a.mkv", "a.webm", "a.3gp", "a.avi"])
def test_shots_are_found_where_they_are(tmp_path: Path, name: str) -> None:
    shots: list[Shot] = [(RED, 3.0), (GREEN, 2.0), (BLUE, 4.0)]
    found = kept(write_film(tmp_path / name, shots, sound=tone(9.0)))
    empty = 0.1 if name == "a.avi" else 0.0  # FFmpeg begins an AVI with a frame without pixels
    assert starts(found) == [0.0, 3.0 + empty, 5.0 + empty]
    assert near([colour(frame) for frame in found], [RED, GREEN, BLUE])
    assert [frame.span.end for frame in found[:2]] == [frame.span.start for frame in found[1:]]
    assert found[2].span.end == pytest.approx(9.0, abs=0.15)


@pytest.mark.parametrize(
    ("shots", "options", "times"),
    [
        ([(SCENE, 12.0)], {"gop": 10}, [0.0, 5.0, 10.0]),  # nothing changes: every five seconds
        ([(SCENE, 12.0)], {"gop": 30}, [0.0, 6.0]),  # at the keyframes that there are
        ([(SCENE, 20.0)], {"gop": 49}, [0.0, 9.8, 19.6]),
        ([(SCENE, 34.0)], {"gop": 1000}, [0.0, 5.0, 10.0, 15.0, 20.0, 25.0, 30.0]),  # no keyframe but the first
        ([(SCENE, 7.0), (OTHER, 6.0), (striped(1), 9.0)], {"gop": 1000}, [0.0, 5.0, 7.0, 12.0, 13.0, 18.0]),
        ([(SCENE, 0.3)], {"gop": 1, "times": [0.0, 4.5, 10.5]}, [0.0, 4.5, 10.5]),  # or ten seconds would go by
        ([(SCENE, 0.5)], {"times": [0.0, 0.1, 17.0, 40.0, 40.2]}, [0.0, 17.0, 40.0]),  # a slow screen
        ([(SCENE, 0.1)], {}, [0.0]),
        ([(SCENE, 0.1), (OTHER, 0.1)], {}, [0.0]),  # a shot of a tenth of a second
        ([(SCENE, 1.0), (OTHER, 1.0)], {}, [0.0, 1.0]),
        ([(BLACK, 2.0), (SCENE, 2.0)], {"gop": 1000}, [2.0]),  # black is passed over, and what is behind it seen
        ([(SCENE, 3.0), (WHITE, 3.0), (SCENE, 3.0)], {}, [0.0, 6.0]),
        ([(BLACK, 6.0)], {}, [0.0, 5.0]),  # unless there is nothing else
        ([(BLACK, 1.0), (RED, 1.0)], {}, [0.0, 1.0]),
    ],
)
def test_frames_are_kept_at_changes_and_every_few_seconds(
    tmp_path: Path, shots: list[Shot], options: dict[str, Any], times: list[float]
) -> None:
    assert starts(kept(write_film(tmp_path / "a.mp4", shots, **options))) == times


def test_a_frame_lasts_until_the_next_and_the_last_to_the_end(tmp_path: Path) -> None:
    path = write_film(tmp_path / "a.mp4", [(SCENE, 6.0), (OTHER, 2.0)], sound=tone(11.0))
    spans = [frame.span for frame in kept(path)]
    assert [span.start for span in spans] == [0.0, 5.0, 6.0]
    assert [span.end for span in spans[:2]] == [5.0, 6.0]
    assert spans[2].end == pytest.approx(11.0, abs=0.05)


@pytest.mark.parametrize("start", [0.5, 100.0])
@pytest.mark.parametrize("name", ["a.mp4", "a.mkv"])
def test_time_begins_where_the_film_begins(tmp_path: Path, name: str, start: float) -> None:
    path = write_film(tmp_path / name, [(SCENE, 2.0), (OTHER, 2.0)], start=start, sound=tone(4.0))
    with open_recording(path) as recording:
        assert recording.start == pytest.approx(start, abs=0.05)
        found = list(frames(recording, WANT))
        assert [frame.span.start for frame in found] == pytest.approx([0.0, 2.0], abs=0.05)
        assert near(frame_at(recording, found[1].span.start, WANT), found[1].pixels, 0)


def test_time_may_begin_before_zero(tmp_path: Path) -> None:
    options = {"avoid_negative_ts": "disabled"}  # FFmpeg then does not tell when the first frames are seen
    path = write_film(tmp_path / "a.mkv", [(SCENE, 2.0), (OTHER, 2.0)], start=-1.0, sound=tone(4.0), options=options)
    with open_recording(path) as recording:
        assert recording.start < -1
        assert starts(list(frames(recording, WANT))) == pytest.approx([1.0, 2.0], abs=0.03)


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.avi"])
def test_frames_may_lie_in_another_order(tmp_path: Path, name: str) -> None:
    encoding = {"bf": "2"} if name == "a.avi" else {"preset": "medium", "bf": "3"}
    path = write_film(tmp_path / name, [(SCENE, 2.0), (OTHER, 4.0)], encoding=encoding)
    with open_recording(path) as recording:
        found = list(frames(recording, WANT))
        assert starts(found) == pytest.approx([0.0, 2.0], abs=0.21 if name == "a.avi" else 0)
        assert near(frame_at(recording, 5.9, WANT), found[1].pixels)
        assert near(frame_at(recording, 1.9, WANT), found[0].pixels)


def test_a_long_film_has_frames_further_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_film(tmp_path / "a.mp4", [(SCENE, 40.0)])
    assert len(kept(path)) == 8
    monkeypatch.setattr(film, "MOST_FRAMES", 20)  # then 18 s are long
    assert starts(kept(path)) == [0.0, 12.0, 24.0, 36.0]
    shots: list[Shot] = [(striped(seed), 1.0) for seed in range(40)]
    assert len(kept(write_film(path, shots))) == 20


def test_a_film_that_lies_about_its_length_has_no_more_frames_either(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_film(tmp_path / "a.mp4", [(SCENE, 40.0)])
    monkeypatch.setattr(film, "MOST_FRAMES", 3)
    for claimed, times in ((1.0, [0.0, 5.0, 10.0]), (1e12, [0.0])):
        monkeypatch.setattr(Recording, "duration", claimed)
        assert starts(kept(path)) == times


def test_memory_does_not_grow_with_the_film(tmp_path: Path) -> None:
    path = write_film(tmp_path / "a.mp4", [(striped(seed), 1.0) for seed in range(60)], size=(320, 240))
    want = ImageInput(224, Fit.SQUASH)
    with open_recording(path) as recording:
        found = frames(recording, want)
        next(found)
        tracemalloc.start()
        try:
            assert sum(1 for _ in found) > 50
            assert tracemalloc.get_traced_memory()[1] < 10 * 3 * 224 * 224
        finally:
            tracemalloc.stop()


# --- how they are shown


CORNERS = ((3, 3), (3, 12), (12, 3), (12, 12))


def corners(path: Path) -> list[Any]:
    """Return the colours in the four quarters of a film's first frame."""
    pixels = kept(path)[0].pixels
    return [pixels[corner] for corner in CORNERS]


UPRIGHT_CORNERS = [RED, GREEN, BLUE, YELLOW]
TURNED = {  # degrees counterclockwise that a player turns it by, and whether it then mirrors it: how it lies
    (0, False): None,
    (90, False): T.ROTATE_270,
    (180, False): T.ROTATE_180,
    (270, False): T.ROTATE_90,
    (0, True): T.FLIP_LEFT_RIGHT,
    (180, True): T.FLIP_TOP_BOTTOM,
    (90, True): STORED[7],
    (270, True): STORED[5],
}


@pytest.mark.parametrize(("turn", "stored"), TURNED.items())
def test_a_film_is_shown_upright(tmp_path: Path, turn: tuple[int, bool], stored: T | None) -> None:
    image = scene() if stored is None else scene().transpose(stored)
    path = write_film(tmp_path / "a.mp4", [(image, 0.5)], size=image.size, rotation=turn[0], mirrored=turn[1])
    assert near(corners(path), UPRIGHT_CORNERS)
    with open_recording(path) as recording:
        assert Image.open(io.BytesIO(still(recording, 0, 512))).size == (96, 64)


@pytest.mark.parametrize(
    ("sar", "rotation", "size"),
    [
        (Fraction(2), 0, (128, 48)),
        (Fraction(1, 2), 0, (64, 96)),
        (Fraction(64, 45), 90, (48, 91)),
        (Fraction(1000), 0, (64, 48)),  # damage
    ],
)
def test_pixels_need_not_be_square(tmp_path: Path, sar: Fraction, rotation: int, size: tuple[int, int]) -> None:
    path = write_film(tmp_path / "a.mp4", [(SCENE, 0.5)], sar=sar, rotation=rotation)
    with open_recording(path) as recording:
        assert Image.open(io.BytesIO(preview(recording, 512))).size == size


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("a.mp4", {"size": (65, 49), "pixels": "yuv444p"}),
        ("a.mkv", {"codec": "ffv1", "pixels": "yuv420p", "size": (33, 17)}),
        ("a.mkv", {"codec": "ffv1", "pixels": "bgr0"}),
        ("a.mp4", {"codec": "libx265", "pixels": "yuv420p10le"}),
        ("a.mov", {"codec": "prores_ks", "pixels": "yuv422p10le"}),
        ("a.mov", {"codec": "mjpeg", "pixels": "yuvj444p"}),
        ("a.mov", {"codec": "qtrle", "pixels": "rgb24"}),
        ("a.mkv", {"codec": "mpeg2video"}),
        ("a.mkv", {"codec": "libsvtav1", "size": (64, 64), "encoding": {"preset": "12"}}),
        ("a.webm", {}),
    ],
)
def test_colours_stay(tmp_path: Path, name: str, options: dict[str, Any]) -> None:
    path = write_film(tmp_path / name, [(scene(), 0.5)], **options)
    assert near(corners(path), UPRIGHT_CORNERS, 10)


@pytest.mark.parametrize(
    ("form", "code", "tags", "wanted"),
    [  # (Y, Cb, Cr), and the matrix, range, transfer and primaries that are written in the file
        ("yuv420p", (63, 102, 240), (1, 1, 1, 1), RED),  # BT.709
        ("yuv420p", (81, 90, 240), (6, 1, 6, 6), RED),  # BT.601
        ("yuv420p", (54, 99, 255), (1, 2, 1, 1), RED),  # full range
        ("yuv420p", (81, 90, 240), (14, 1, 2, 2), RED),  # a matrix that FFmpeg cannot do is taken for none
        ("yuv420p", (126, 128, 128), (1, 1, 1, 1), (128, 128, 128)),
        ("yuv420p", (128, 128, 128), (1, 2, 1, 1), (128, 128, 128)),
        ("yuv420p10le", (573, 512, 512), (9, 1, 16, 9), (243, 243, 243)),  # PQ: paper, 203 nits
        ("yuv420p10le", (721, 512, 512), (9, 1, 16, 9), (253, 253, 253)),  # 1,000 nits
        ("yuv420p10le", (321, 512, 512), (9, 1, 16, 9), (58, 58, 58)),  # 8.4 nits
        ("yuv420p10le", (721, 512, 512), (9, 1, 18, 9), (243, 243, 243)),  # HLG: paper, 75 %
    ],
)
def test_colours_are_those_of_the_film(
    tmp_path: Path, form: str, code: tuple[int, int, int], tags: tuple[int, int, int, int], wanted: Any
) -> None:
    path = tmp_path / "a.mkv"
    with av.open(str(path), "w") as out:
        stream = out.add_stream("ffv1", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 64, form
        context = stream.codec_context
        context.colorspace, context.color_range, context.color_trc, context.color_primaries = tags
        frame = av.VideoFrame(64, 64, form)
        frame.colorspace, frame.color_range, frame.color_trc, frame.color_primaries = tags
        for value, plane in zip(code, frame.planes, strict=True):
            depth = np.uint16 if "10" in form else np.uint8
            plane.update(np.full(plane.buffer_size // depth().itemsize, value, depth).tobytes())
        frame.pts = 0
        out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    assert near(colour(kept(path)[0]), wanted, 3)


@pytest.mark.parametrize(
    ("size", "code", "wanted"), [((64, 64), (81, 90, 240), RED), ((960, 720), (63, 102, 240), RED)]
)
def test_where_nobody_names_the_colours_the_size_does(
    tmp_path: Path, size: tuple[int, int], code: tuple[int, int, int], wanted: Any
) -> None:
    path = tmp_path / "a.mkv"
    with av.open(str(path), "w") as out:
        stream = out.add_stream("ffv1", rate=10)
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        frame = av.VideoFrame(*size, "yuv420p")
        for value, plane in zip(code, frame.planes, strict=True):
            plane.update(bytes([value]) * plane.buffer_size)
        frame.pts = 0
        out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    assert near(colour(kept(path)[0]), RED, 3)


def test_what_shows_through_is_white(tmp_path: Path) -> None:
    path = tmp_path / "a.mov"
    with av.open(str(path), "w") as out:
        stream = out.add_stream("qtrle", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "argb"
        clear = np.zeros((64, 64, 4), np.uint8)
        clear[:, :32] = (255, 255, 0, 0)  # alpha first
        frame = av.VideoFrame.from_ndarray(clear, format="argb")
        out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    pixels = kept(path)[0].pixels
    assert near(pixels[8, 3], RED) and near(pixels[8, 12], WHITE)


def test_of_two_fields_one_is_shown(tmp_path: Path) -> None:
    combed = np.zeros((48, 64, 3), np.uint8)
    combed[::2] = 200
    encoding = {"flags": "+ildct+ilme", "top": "1"}
    path = write_film(tmp_path / "a.mkv", [(Image.fromarray(combed), 0.5)], codec="mpeg2video", encoding=encoding)
    found = kept(path, ImageInput(48, Fit.SQUASH))[0].pixels
    assert found.std() < 5 and (found.mean() > 190 or found.mean() < 10)


# --- a moment


def test_what_is_seen_at_a_moment(tmp_path: Path) -> None:
    shots: list[Shot] = [(RED, 3.0), (GREEN, 3.0), (BLUE, 3.0)]
    for gop, name in ((7, "a.mp4"), (1000, "b.mp4"), (7, "c.mkv"), (10, "d.webm")):
        with open_recording(write_film(tmp_path / name, shots, gop=gop)) as recording:
            for seconds, wanted in ((4.0, GREEN), (0.0, RED), (2.95, RED), (3.0, GREEN), (8.9, BLUE), (3.0, GREEN)):
                assert near(frame_at(recording, seconds, WANT)[8, 8], wanted), (name, seconds)
            assert near(frame_at(recording, 1e6, WANT)[8, 8], BLUE)
            assert near(frame_at(recording, -5.0, WANT)[8, 8], RED)


def test_a_moment_shows_the_frame_that_was_kept(tmp_path: Path) -> None:
    for name in ("a.mp4", "a.mkv"):
        path = write_film(tmp_path / name, [(striped(seed), 1.7) for seed in range(12)], gop=14, rate=7)
        with open_recording(path) as recording:
            for frame in list(frames(recording, WANT)):
                assert near(frame_at(recording, frame.span.start, WANT), frame.pixels, 0)


def test_a_preview_is_worth_looking_at(tmp_path: Path) -> None:
    cases: list[tuple[list[Shot], Any]] = [
        ([(BLACK, 5.0), (SCENE, 5.0)], RED),
        ([(SCENE, 1.0), (BLACK, 9.0)], RED),
        ([(OTHER, 1.0), (SCENE, 9.0)], RED),  # some way in
        ([(BLACK, 1.0), (BLUE, 1.0)], BLACK),  # nothing is: the beginning
    ]
    for shots, wanted in cases:
        with open_recording(write_film(tmp_path / "a.mp4", shots, size=(320, 240))) as recording:
            image = Image.open(io.BytesIO(preview(recording, 160)))
            assert image.format == "WEBP" and image.size == (160, 120)
            assert near(image.convert("RGB").getpixel((20, 20)), wanted, 12)


# --- damage


@pytest.mark.parametrize("name", ["a.mkv", "a.mp4"])
def test_of_a_film_that_is_cut_short_there_is_what_there_is(tmp_path: Path, name: str) -> None:
    shots: list[Shot] = [(striped(seed), 2.0) for seed in range(10)]
    path = write_film(tmp_path / name, shots, size=(320, 240), options={"movflags": "faststart"})
    whole = starts(kept(path))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with open_recording(path) as recording:
        found = list(frames(recording, WANT))
    assert 3 <= len(found) < len(whole)
    assert starts(found) == whole[: len(found)]


def test_damage_in_the_middle_costs_only_itself(tmp_path: Path) -> None:
    shots: list[Shot] = [(striped(seed), 2.0) for seed in range(10)]
    for name in ("a.mkv", "a.mp4"):
        path = write_film(tmp_path / name, shots, size=(320, 240), options={"movflags": "faststart"})
        whole = starts(kept(path))
        data = bytearray(path.read_bytes())
        middle = len(data) // 2
        data[middle : middle + len(data) // 5] = np.random.default_rng(0).bytes(len(data) // 5)
        path.write_bytes(data)
        with open_recording(path) as recording:
            found = starts(list(frames(recording, WANT)))
            assert recording.damaged
        assert found[:3] == whole[:3] and whole[-1] in found and len(found) < len(whole)


def test_a_film_of_which_nothing_is_left_has_a_reason(tmp_path: Path) -> None:
    path = write_film(tmp_path / "a.mp4", [(SCENE, 2.0)], options={"movflags": "faststart"})
    data = bytearray(path.read_bytes())
    start = data.index(b"mdat") + 4
    data[start:] = bytes(len(data) - start)
    path.write_bytes(data)
    with open_recording(path) as recording:
        for work in (
            lambda: list(frames(recording, WANT)),
            lambda: preview(recording, 64),
            lambda: still(recording, 1, 64),
        ):
            with pytest.raises(MediaError, match="damaged: none of its pictures can be decoded"):
                work()


def test_a_sound_has_no_frames(tmp_path: Path) -> None:

    with (
        open_recording(write_sound(tmp_path / "a.wav", tone(1.0))) as recording,
        pytest.raises(MediaError, match="no pictures"),
    ):
        list(frames(recording, WANT))


def test_frames_that_are_too_large_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("media.frame.MEGAPIXELS_COSTLY", 0.003)
    with (
        open_recording(write_film(tmp_path / "a.mp4", [(SCENE, 1.0)])) as recording,
        pytest.raises(MediaError, match="64 x 48 pixels are more than the limit"),
    ):
        list(frames(recording, WANT))


def test_frames_that_take_long_are_handed_over_one_by_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_film(tmp_path / "a.mp4", [(SCENE, 20.0)])
    played = Playback(os.fsencode(path), lambda: None)
    try:
        assert [len(lot) for lot in played.frames(WANT)] == [4]
        monkeypatch.setattr("media.playback.LOT_SECONDS", -1.0)
        assert [len(lot) for lot in played.frames(WANT)] == [1, 1, 1, 1]
    finally:
        played.close()
