"""Libraries of earlier versions: nothing is lost or encoded again, and reading one needs no other command."""

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.config import Config

import glimpse
from core.errors import LibraryError
from core.settings import Settings
from core.types import FileStat
from media.files import read_file
from store import migrations
from store.names import NEWEST
from tests.conftest import COLOURS, run
from tests.test_file_life import counts

VECTORS = {"red": (1, 0, 0), "green": (0, 1, 0), "blue": (0, 0, 1), "white": (0.57735, 0.57735, 0.57735)}


def fill_old(place: Path, photos: Path) -> None:
    """Make a library of schema 0001 with the four photos, as version 0.1.0 wrote it, and a HEIC it could not read."""
    import numpy as np

    place.mkdir()
    engine = sa.create_engine(f"sqlite:///{place / 'library.db'}")
    config = Config()
    config.set_main_option("script_location", str(Path(str(migrations.__file__)).parent))
    with engine.begin() as db:
        config.attributes["connection"] = db
        command.upgrade(config, "0001")
    engine.dispose()
    (photos / "later.heic").write_bytes(b"\0\0\0\x18ftypheic and so on")
    with contextlib.closing(sqlite3.connect(place / "library.db")) as db:
        db.execute("INSERT INTO spaces (name, revision, dim, epoch) VALUES ('fake', '1', 3, 'ab')")
        db.execute("INSERT INTO library (current_space_id) VALUES (1)")
        db.execute("INSERT INTO sources (path, folder) VALUES (?, 1)", (bytes(photos),))
        db.execute("INSERT INTO roots (path) VALUES (?)", (bytes(photos),))
        for number, name in enumerate(COLOURS, 1):
            file = read_file(str(photos / f"{name}.png"))
            db.execute(
                "INSERT INTO contents VALUES (?, ?, 'photo', ?, 32, 24)", (number, file.digest, file.stat.size)
            )
            there = (number, f"{name}.png".encode(), number, *file.stat)
            db.execute("INSERT INTO files VALUES (?, 1, ?, ?, ?, ?, ?, ?, 0, NULL, 0)", there)
            db.execute("INSERT INTO segments VALUES (?, ?, 'whole')", (number, number))
            vector = np.array(VECTORS[name], "<f2").tobytes()
            db.execute("INSERT INTO vectors VALUES (?, 1, ?, ?)", (number, number, vector))
        stat = FileStat.of((photos / "later.heic").stat())
        failed = (5, b"later.heic", *stat, "HEIC photos are not supported yet")
        db.execute("INSERT INTO files VALUES (?, 1, ?, NULL, ?, ?, ?, ?, 0, ?, 0)", failed)
        db.commit()


@pytest.fixture
def old(tmp_path: Path, photos: Path) -> Path:
    """A library of schema 0001."""
    fill_old(tmp_path / "library", photos)
    return tmp_path / "library"


@pytest.fixture
def library(old: Path, cache: Path) -> Iterator[glimpse.Library]:
    with glimpse.Library(Settings(old, cache)) as opened:
        yield opened


def version(library: Path) -> str:
    with contextlib.closing(sqlite3.connect(library / "library.db")) as db:
        return str(db.execute("SELECT version_num FROM alembic_version").fetchone()[0])


def test_an_old_library_answers_at_once(library: glimpse.Library, old: Path, photos: Path) -> None:
    assert library.search("red")[0].path == photos / "red.png"
    assert version(old) == NEWEST
    assert (library.status().files, library.status().spaces[0].vectors) == (4, 4)


@pytest.mark.parametrize("asked", [["status"], ["info", "red.png"], ["search", "red"], ["status", "--errors"]])
def test_every_command_reads_an_old_library(old: Path, photos: Path, asked: list[str]) -> None:
    assert run(*asked, "--library", old, cwd=photos).returncode == 0


def test_nothing_is_encoded_again_and_the_rest_is_filled_in(library: glimpse.Library, photos: Path) -> None:
    report = library.index()
    assert (report.unchanged, report.encoded, report.added, report.gone) == (4, 0, 0, 0)
    assert {failure.path.name: failure.reason for failure in report.failures} == {
        "later.heic": "damaged: its header cannot be read"  # it was tried again
    }
    assert library.status().previews == 4
    assert library.info(photos / "red.png").metadata.taken_from == "modified"
    assert [hit.id for hit in library.search("red")] == [1, 4, 2, 3]
    assert counts(library.index()) == {"unchanged": 4, "failed": 1}


def test_a_dry_run_leaves_an_old_library_alone(library: glimpse.Library, old: Path) -> None:
    before = (old / "library.db").read_bytes()
    with pytest.raises(LibraryError, match="was made by an earlier glimpse; bring it up to date: glimpse index"):
        library.index(dry_run=True)
    assert (old / "library.db").read_bytes() == before
