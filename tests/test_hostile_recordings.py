"""Sounds and films as a hurried person and an enemy bring them: cut short, mislabelled, built to lead astray."""

import os
from pathlib import Path

import numpy as np
import pytest

from core.errors import QueryError, TemporaryMediaError
from core.types import Space
from encoders.heard import heard, statistics
from encoders.learned import LearnedEncoder, Weights
from media.isolated import decode_process
from media.labels import labels
from media.recording import open_recording
from search.grammar import modality_of
from tests.films import tone, write_film
from tests.samples import BLUE, RED

SHOTS = [(RED, 2.0), (BLUE, 2.0)]


@pytest.mark.parametrize("heard", [True, False])
@pytest.mark.parametrize(("name", "options"), [("a.mp4", {"movflags": "faststart"}), ("a.mkv", {}), ("a.webm", {})])
def test_a_film_that_is_cut_short_says_so_before_it_is_decoded(
    name: str, options: dict[str, str], heard: bool, tmp_path: Path
) -> None:
    path = write_film(tmp_path / name, SHOTS, sound=tone(4.0) if heard else None, options=options)
    whole = path.read_bytes()
    for part in (1.0, 0.9, 0.6):
        path.write_bytes(whole[: round(len(whole) * part)])
        with open_recording(path) as recording:
            assert recording.damaged == (part < 1)


def test_notes_that_a_camera_leaves_behind_the_film_are_no_damage(tmp_path: Path) -> None:
    path = write_film(tmp_path / "a.mp4", SHOTS)
    path.write_bytes(path.read_bytes() + b"SEFHj\0\0\0notes of our own, which are no box")
    with open_recording(path) as recording:
        assert not recording.damaged


def test_a_film_that_is_sent_as_it_is_made_knows_no_length_and_is_whole(tmp_path: Path) -> None:
    path = write_film(tmp_path / "a.mkv", SHOTS, options={"live": "1"})
    with open_recording(path) as recording:
        assert not recording.damaged


def test_a_film_that_begins_late_is_as_long_as_it_plays(tmp_path: Path) -> None:
    path = write_film(tmp_path / "a.mkv", SHOTS, start=1000.0)
    with open_recording(path) as recording:
        assert labels(recording.container).duration == pytest.approx(4.0, abs=0.05)


def test_looking_inside_a_ridge_takes_it_apart_once(monkeypatch: pytest.MonkeyPatch) -> None:
    one = heard(tone(1.0, rate=16000), 16000)
    assert one is not None
    count = statistics(one.mel).size
    tensors = {
        "mean": np.zeros(count, np.float32),
        "scale": np.ones(count, np.float32),
        "weights": np.eye(count, 40, dtype=np.float32),
    }
    joint = Space("toy", "1", 40, 40, centred=True)
    tower = LearnedEncoder(Weights("ridge", joint.key, 16000, "", tensors), joint, "1")
    taken, svd = [], np.linalg.svd
    monkeypatch.setattr(np.linalg, "svd", lambda *rest, **named: taken.append(1) or svd(*rest, **named))
    shapes = {tower.activations(tone(seconds, rate=16000))[1].shape[1] for seconds in (1.0, 2.0, 3.0)}
    assert shapes == {tower.units} and len(taken) == 1


def test_a_stop_does_not_wait_for_the_end_of_a_long_file(tmp_path: Path) -> None:
    long = tmp_path / "a.wav"
    with long.open("wb") as file:  # hours of silence, in no room
        size = 4 << 30
        header = b"RIFF" + (size + 36).to_bytes(5, "little")[:4] + b"WAVEfmt \x10\0\0\0\1\0\1\0"
        rate, beat = (8000).to_bytes(4, "little"), (16000).to_bytes(4, "little")
        file.write(header + rate + beat + b"\2\0\x10\0data" + (size - 1).to_bytes(4, "little"))
        file.truncate(size)
    with decode_process() as process:
        process.open(os.fsencode(write_film(tmp_path / "b.mp4", SHOTS)))  # it has started
    with decode_process(lambda: True) as process, pytest.raises(TemporaryMediaError, match="stopped"):
        process.open(os.fsencode(long))
        process.preview(256)
    with decode_process() as process:
        assert process.open(os.fsencode(tmp_path / "b.mp4")).size == (64, 48)


@pytest.mark.parametrize(
    "data", [b"#EXTM3U\n#EXTINF:10,\nfile:///etc/passwd\n", b"ffconcat version 1.0\nfile 'b.mp4'\n"]
)
def test_a_playlist_that_is_called_a_film_is_refused_as_one(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(data)
    with pytest.raises(QueryError, match=r"a\.mp4 cannot be used as a recording: not a sound or film"):
        modality_of(path)
