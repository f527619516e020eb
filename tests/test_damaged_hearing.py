"""Damage to what a library knows of recordings: found, mended, and all of it back after the next run."""

import contextlib
import random
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import glimpse
from core.diagnosis import Diagnosis, State
from core.errors import QueryError
from core.settings import Settings
from core.types import Kind
from store.pages import Pages
from tests.conftest import paint
from tests.damage import DAMAGES as DAMAGES_OF_FILES
from tests.damage import PAGE, damaged_copy, flip_bits
from tests.films import chirp, silence, tone, write_film, write_sound
from tests.killing import opened
from tests.recordings import BLUE, GREEN, LOW, RED, ask, names, pairs
from tests.test_doctor import edit, overwrite, problems, root_of, states

Damage = Callable[[bytearray, random.Random], None]
STATE = (
    "SELECT f.path, c.kind, c.heard, p.name, s.kind, s.start, s.end, hex(v.vector) FROM files f "
    "JOIN contents c ON c.id = f.content_id LEFT JOIN segments s ON s.content_id = c.id "
    "LEFT JOIN vectors v ON v.segment_id = s.id LEFT JOIN spaces p ON p.id = v.space_id "
    "WHERE c.kind != 'photo' AND (v.id IS NOT NULL OR c.kind = 'audio') ORDER BY f.path, s.kind, s.start"
)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> Path:
    """A folder with in/ and a library of it, with so many segments that they fill several pages."""
    place = tmp_path_factory.mktemp("whole")
    (place / "in").mkdir()
    shots = [(colour, 1.0) for colour in (RED, GREEN, BLUE)]
    for number in range(6):
        colours = [((40 * number, 5, 5), 1.0), *shots * 12]
        write_film(place / "in" / f"film{number}.mp4", colours, size=(32, 32), rate=2, gop=2, sound=tone(10, LOW))
    for number in range(4):
        write_sound(place / "in" / f"long{number}.flac", chirp(100 + number, 100, 3500, rate=8000), 8000)
    write_sound(place / "in" / "silent.wav", silence(2))
    paint(place / "in" / "red.png", RED)
    with glimpse.Library(Settings(place / "library", cache, "fake")) as library:
        library.index([place / "in"])
    return place


@pytest.fixture
def library(whole: Path, tmp_path: Path, cache: Path) -> Iterator[glimpse.Library]:
    shutil.copytree(whole / "library", tmp_path / "library")
    with glimpse.Library(Settings(tmp_path / "library", cache, "fake")) as library:
        yield library


@pytest.fixture
def before(library: glimpse.Library) -> list[tuple[object, ...]]:
    return ask(library, STATE)


DAMAGES = {
    "a frame's vector": ("UPDATE vectors SET vector = zeroblob(6) WHERE segment_id = ({})", "frame"),
    "a window's vector": ("UPDATE vectors SET vector = zeroblob(6) WHERE segment_id = ({})", "window"),
    "a frame": ("DELETE FROM segments WHERE id = ({})", "frame"),
    "a window": ("DELETE FROM segments WHERE id = ({})", "window"),
}


@pytest.mark.parametrize("which", ["min(id)", "max(id)", "min(id) + 3"])
@pytest.mark.parametrize("damage", DAMAGES)
def test_what_is_lost_of_a_recording_comes_back(
    library: glimpse.Library, before: list[tuple[object, ...]], damage: str, which: str
) -> None:
    statement, kind = DAMAGES[damage]
    one = f"SELECT {which} FROM segments WHERE kind = '{kind}'"
    edit(library.settings.library, "PRAGMA foreign_keys = OFF", statement.format(one))
    assert problems(library.doctor()) == ["vectors" if "vector" in damage else "references"]
    library.doctor(repair=True)
    assert set(problems(library.doctor())) <= {"photos"}
    report = library.index()
    assert (report.failed, report.gone) == (0, 0)
    assert library.doctor().healthy
    assert ask(library, STATE) == before


@pytest.mark.parametrize("leaf", range(5))
def test_a_lost_page_of_segments_comes_back(
    library: glimpse.Library, before: list[tuple[object, ...]], leaf: int
) -> None:
    folder = library.settings.library
    with contextlib.closing(Pages(folder / "library.db", PAGE)) as pages:
        leaves = list(pages.leaves(root_of(folder, "segments")))
    overwrite(folder, leaves[leaf % len(leaves)], bytes(PAGE))
    assert states(library.doctor(repair=True))["structure"] is State.REPAIRED
    library.index()
    assert library.doctor().healthy
    assert ask(library, STATE) == before


def test_a_repair_encodes_no_film_that_is_whole(
    library: glimpse.Library, monkeypatch: pytest.MonkeyPatch, before: list[tuple[object, ...]]
) -> None:
    encoded: list[int] = []
    monkeypatch.setattr("encoders.fake.FakeEncoder.encode_images", lambda _, pixels: encoded.append(len(pixels)))
    overwrite(library.settings.library, root_of(library.settings.library, "runs"), bytes(PAGE))
    library.doctor(repair=True)
    library.index()
    assert encoded == []
    assert ask(library, STATE) == before


def check_a_damage(whole: Path, work: Path, cache: Path, damage: Damage, seed: int) -> None:
    """Damage a library with recordings, repair it and index; compare."""
    folder = damaged_copy(whole, work, damage, seed)
    with glimpse.Library(Settings(folder, cache, "fake")) as library:
        library.doctor(repair=True)
        library.index([whole / "in"])
        assert library.doctor().healthy
        after = ask(library, STATE)
    with glimpse.Library(Settings(whole / "library", cache, "fake")) as library:
        expected = ask(library, STATE)
    if damage is flip_bits:  # a bit of a value that is still one is noticed by nobody
        assert len(after) == len(expected)
    else:
        assert after == expected


@pytest.mark.parametrize("damage", DAMAGES_OF_FILES)
def test_a_damaged_library_hears_and_sees_again(whole: Path, tmp_path: Path, cache: Path, damage: Damage) -> None:
    check_a_damage(whole, tmp_path, cache, damage, 0)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(1, 25))
@pytest.mark.parametrize("damage", DAMAGES_OF_FILES)
def test_a_damaged_library_hears_and_sees_again_and_again(
    whole: Path, tmp_path: Path, cache: Path, damage: Damage, seed: int
) -> None:
    check_a_damage(whole, tmp_path, cache, damage, seed)


# --- what learned to hear


@pytest.fixture(scope="module")
def educated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("educated")
    (place / "deaf").touch()
    pairs(place / "in", 9)
    with opened(place) as library:
        library.learn_sound([place / "in"])
    return place


@pytest.fixture
def taught(educated: Path, tmp_path: Path) -> Iterator[glimpse.Library]:
    shutil.copytree(educated / "library", tmp_path / "library")
    (tmp_path / "deaf").touch()
    with opened(tmp_path) as library:
        yield library


def hearing(diagnosis: Diagnosis) -> list[tuple[State, str]]:
    return [(found.state, found.text) for found in diagnosis.findings if found.check == "hearing"]


def test_a_tower_that_is_damaged_is_told_and_forgotten(taught: glimpse.Library, tmp_path: Path) -> None:
    assert hearing(taught.doctor()) == [(State.OK, "what was learned is whole")]
    expected = taught.search("red")
    folder = taught.settings.library
    with contextlib.closing(sqlite3.connect(folder / "library.db")) as db, db:
        ((key, weights),) = db.execute("SELECT id, weights FROM towers").fetchall()
        damaged = bytearray(weights)
        damaged[len(damaged) // 2] ^= 1
        db.execute("UPDATE towers SET weights = ? WHERE id = ?", (bytes(damaged), key))
    taught.close()
    assert {hit.kind for hit in taught.search("red", plus=["red"])} == {Kind.PHOTO}  # which need no ear
    unknown = write_sound(tmp_path / "unknown.wav", tone(1, 260))
    with pytest.raises(QueryError, match="the learned tower is damaged; run `glimpse learn-sound` again"):
        taught.similar(unknown)
    assert problems(taught.doctor()) == ["hearing"]
    assert states(taught.doctor(repair=True))["hearing"] is State.REPAIRED
    assert taught.doctor().healthy
    assert names(taught.search("red", kind="photo", k=1))[0].startswith("red")
    assert taught.learn_sound() is not None
    assert taught.search("red") == expected


def test_a_rebuilt_library_hears_as_before(taught: glimpse.Library) -> None:
    expected, towers = taught.search("red"), ask(taught, "SELECT revision, weights, report FROM towers")
    overwrite(taught.settings.library, root_of(taught.settings.library, "means"), bytes(PAGE))
    assert states(taught.doctor(repair=True))["structure"] is State.REPAIRED
    assert ask(taught, "SELECT revision, weights, report FROM towers") == towers
    taught.index()
    assert taught.search("red") == expected


def test_a_backup_hears(taught: glimpse.Library, educated: Path, tmp_path: Path) -> None:
    (tmp_path / "backup").mkdir()
    taught.backup(tmp_path / "backup" / "library")
    (tmp_path / "backup" / "deaf").touch()
    with opened(tmp_path / "backup") as copy:
        assert copy.search("red") == taught.search("red")
        unknown = write_sound(tmp_path / "unknown.wav", tone(1, 260))
        assert names(copy.similar(unknown, k=3)) == names(taught.similar(unknown, k=3))
        assert copy.look_inside().units()


def test_a_model_goes_with_its_ear(library: glimpse.Library) -> None:
    folder = library.settings.library
    edit(
        folder,
        "INSERT INTO spaces (name, revision, dim) VALUES ('other', '1', 3)",
        "INSERT INTO spaces (name, revision, dim, modality) VALUES ('sound:other', '1', 3, 'sound')",
        "INSERT INTO vectors (space_id, segment_id, vector) SELECT p.id, v.segment_id, v.vector FROM vectors v "
        "JOIN spaces p ON (p.name = 'other' AND v.space_id = 1) OR (p.name = 'sound:other' AND v.space_id = 2)",
    )
    rows = int(str(ask(library, "SELECT count(*) FROM vectors")[0][0]))
    assert library.drop_model("other") == rows // 2
    assert ask(library, "SELECT name FROM spaces ORDER BY name") == [("fake",), ("sound:fake",)]
    assert names(library.search("red", k=1, kind="audio"))
