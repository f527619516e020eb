"""A backup is a library of its own, complete or not there at all, whoever writes meanwhile."""

import os
import shutil
import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from filelock import FileLock

import glimpse
from core.errors import LibraryBusyError, LibraryError
from core.settings import Settings
from core.types import FileStat, Progress
from store import backup as backups
from store.records import WHOLE, Taken
from store.writer import Writer
from tests import old_libraries
from tests.conftest import paint, run


@pytest.fixture
def indexed(library: glimpse.Library, photos: Path) -> glimpse.Library:
    library.index([photos])
    return library


def names(library: Path) -> list[str]:
    with glimpse.Library(Settings(library, library, "fake")) as opened:
        return [hit.path.name for hit in opened.search("red", k=100)]


def files(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} - {"write.lock", "library.db-shm", "library.db-wal"}


def test_a_backup_is_a_library_that_answers(indexed: glimpse.Library, tmp_path: Path) -> None:
    made = indexed.backup(tmp_path / "backup")
    assert made == tmp_path / "backup"
    assert files(made) == {"library.db", "BACKUP.txt"}
    shutil.rmtree(indexed.settings.library)
    assert names(made)[0] == "red.png"
    assert "glimpse search --library" in (made / "BACKUP.txt").read_text()


def test_a_library_that_is_put_back_goes_on(indexed: glimpse.Library, photos: Path, tmp_path: Path) -> None:
    indexed.backup(tmp_path / "backup")
    indexed.close()
    (indexed.settings.library).rename(tmp_path / "old")
    shutil.copytree(tmp_path / "backup", indexed.settings.library)
    paint(photos / "pink.png", (255, 99, 99))
    report = indexed.index()
    assert (report.added, report.encoded, report.unchanged) == (1, 1, 4)
    assert indexed.doctor().healthy


def test_a_second_backup_takes_the_place_of_the_first(indexed: glimpse.Library, photos: Path, tmp_path: Path) -> None:
    made = indexed.backup(tmp_path / "backup")
    assert len(names(made)) == 4
    paint(photos / "pink.png", (255, 99, 99))
    indexed.index()
    indexed.backup(made)
    assert "pink.png" in names(made)
    assert files(made) <= {"library.db", "BACKUP.txt", "index", "tags"}


def test_what_was_written_to_a_backup_does_not_meet_the_next(
    indexed: glimpse.Library, photos: Path, tmp_path: Path
) -> None:
    """A log beside the old database would be played over the new one."""
    made = indexed.backup(tmp_path / "backup")
    with closing(sqlite3.connect(made / "library.db", isolation_level=None)) as db:
        db.execute("PRAGMA wal_autocheckpoint = 0")
        for number in range(50):
            db.execute("INSERT INTO tags (name) VALUES (?)", (f"{number}" * 500,))
        log = (made / "library.db-wal").read_bytes()
    (made / "library.db-wal").write_bytes(log)
    paint(photos / "pink.png", (255, 99, 99))
    indexed.index()
    indexed.backup(made)
    assert not (made / "library.db-wal").exists()
    with closing(sqlite3.connect(made / "library.db")) as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert db.execute("SELECT count(*) FROM tags").fetchone() == (0,)
        assert db.execute("SELECT count(*) FROM files").fetchone() == (5,)


def test_a_backup_beside_an_index_run_is_one_of_its_commits(
    indexed: glimpse.Library, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every page is copied by itself, and between two there is a commit of three photos at least."""
    monkeypatch.setattr(backups, "STEP", 1)
    folder = indexed.settings.library
    with Writer(folder) as writer:
        (root_id,) = writer.roots()
        space_id = 1

        def commit(number: int) -> None:
            rows = [
                Taken(
                    root_id, f"{number}-{n}.png".encode(), FileStat(1, 1, 1, 1), digest=os.urandom(16),
                    size=(1, 1), vectors={WHOLE: indexed._load("fake").encode_texts(["red"])[0]},
                )
                for n in range(3)
            ]  # fmt: skip
            writer.commit(space_id, rows)

        steps: list[Progress] = []

        def progress(step: Progress) -> None:
            steps.append(step)
            commit(len(steps))

        indexed.backup(tmp_path / "backup", progress=progress)
    assert len([step for step in steps if step.stage == "copying the library"]) > 20
    assert steps[0].total == 4
    with closing(sqlite3.connect(tmp_path / "backup" / "library.db")) as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert db.execute("SELECT (SELECT count(*) FROM files), (SELECT count(*) FROM vectors)").fetchone() == (4, 4)
    assert len(names(folder)) > 60


def test_backups_and_searches_beside_a_writer_agree(indexed: glimpse.Library, photos: Path, tmp_path: Path) -> None:
    stop = threading.Event()

    def index() -> None:
        with glimpse.Library(indexed.settings) as library:
            for number in range(100):
                if stop.is_set():
                    return
                paint(photos / f"{number}.png", (255, number, 0))
                library.index()

    thread = threading.Thread(target=index)
    thread.start()
    try:
        counts = [len(names(indexed.backup(tmp_path / "backup"))) for _ in range(5)]
    finally:
        stop.set()
        thread.join()
    assert counts == sorted(counts)


# --- refused


def _elsewhere(place: Path) -> Path:
    (place / "Pictures").mkdir()
    (place / "Pictures" / "a.jpg").touch()
    return place / "Pictures"


def _other_library(place: Path) -> Path:
    (place / "other").mkdir()
    shutil.copy(place / "library" / "library.db", place / "other")
    return place / "other"


def _file(place: Path) -> Path:
    (place / "file").touch()
    return place / "file"


@pytest.mark.parametrize(
    ("target", "sentence"),
    [
        (lambda place: place / "library", "is the library itself or inside it"),
        (lambda place: place / "library" / "backup", "is the library itself or inside it"),
        (lambda place: place, "is a folder with other things in it, and is not replaced"),
        (_elsewhere, "is a folder with other things in it, and is not replaced"),
        (_other_library, "is a library that is no backup, and is not replaced"),
        (_file, "is a file; name a folder"),
        (lambda place: place / "usb" / "backup", "there is no folder .*usb; connect the drive"),
        (lambda place: _file(place) / "backup", "there is no folder .*file; connect the drive"),
    ],
)
def test_nothing_else_is_replaced(
    indexed: glimpse.Library, tmp_path: Path, target: Callable[[Path], Path], sentence: str
) -> None:
    indexed.close()
    chosen = target(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(LibraryError, match=sentence):
        indexed.backup(chosen)
    assert sorted(tmp_path.rglob("*")) == before


def test_an_empty_folder_and_a_link_to_one_will_do(indexed: glimpse.Library, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "empty")
    indexed.backup(tmp_path / "link")
    assert names(tmp_path / "empty")
    (tmp_path / "to-library").symlink_to(indexed.settings.library)
    with pytest.raises(LibraryError, match="is the library itself"):
        indexed.backup(tmp_path / "to-library")


def test_two_backups_to_one_folder_do_not_meet(indexed: glimpse.Library, tmp_path: Path) -> None:
    made = indexed.backup(tmp_path / "backup")
    with FileLock(made / "write.lock"), pytest.raises(LibraryBusyError):
        indexed.backup(made)


# --- what goes wrong leaves the last backup


def _damaged(library: Path, _: pytest.MonkeyPatch) -> None:
    with closing(sqlite3.connect(library / "library.db")) as db:
        (root,) = db.execute("SELECT rootpage FROM sqlite_master WHERE name = 'vectors'").fetchone()
    with (library / "library.db").open("rb+") as file:
        file.seek(16384 * (root - 1))
        file.write(b"\xff" * 16384)


def _full(_: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage("/")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1_000_000))


def _full_at_the_end(_: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_room(_: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(backups, "flush", no_room)


@pytest.mark.parametrize(
    ("trouble", "sentence"),
    [
        (_damaged, "is damaged, and no backup was made .*glimpse doctor$"),
        (_full, "is too full: the backup takes"),
        (_full_at_the_end, "is full; free some space"),
    ],
)
@pytest.mark.parametrize("earlier", [True, False])
def test_the_last_backup_stays_when_the_next_fails(
    indexed: glimpse.Library,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    trouble: Callable[[Path, pytest.MonkeyPatch], None],
    sentence: str,
    earlier: bool,
) -> None:
    indexed.close()
    if earlier:
        indexed.backup(tmp_path / "backup")
        before = (tmp_path / "backup" / "library.db").read_bytes()
    trouble(indexed.settings.library, monkeypatch)
    with pytest.raises(LibraryError, match=sentence):
        indexed.backup(tmp_path / "backup")
    assert (tmp_path / "backup").exists() == earlier
    if earlier:
        assert files(tmp_path / "backup") == {"library.db", "BACKUP.txt"}
        assert (tmp_path / "backup" / "library.db").read_bytes() == before


def test_what_a_killed_backup_left_is_taken_away(indexed: glimpse.Library, tmp_path: Path) -> None:
    (tmp_path / "backup").mkdir()
    (tmp_path / "backup" / "library.db.0123456789abcdef.tmp").write_bytes(b"half a library")
    assert files(indexed.backup(tmp_path / "backup")) == {"library.db", "BACKUP.txt"}


# --- the rest


def test_previews_come_along_if_asked_for(indexed: glimpse.Library, photos: Path, tmp_path: Path) -> None:
    here = indexed.settings.library / "previews"
    made = indexed.backup(tmp_path / "backup", previews=True)
    names_of = lambda folder: {path.name for path in folder.glob("*/*.webp")}  # noqa: E731
    assert names_of(made / "previews") == names_of(here)
    (photos / "red.png").unlink()
    paint(photos / "pink.png", (255, 99, 99))
    indexed.index()
    indexed.prune()
    indexed.backup(made, previews=True)
    assert names_of(made / "previews") == names_of(here)
    assert len(names_of(here)) == 4


def test_a_library_of_an_earlier_version_is_copied_as_it_is(tmp_path: Path, cache: Path) -> None:
    old = old_libraries.load("0001", tmp_path)
    with glimpse.Library(Settings(old, cache, "fake")) as library:
        made = library.backup(tmp_path / "backup")
    for folder in (old, made):
        with closing(sqlite3.connect(folder / "library.db")) as db:
            assert db.execute("SELECT version_num FROM alembic_version").fetchone() == ("0001",)


def test_no_library_is_told(library: glimpse.Library, tmp_path: Path) -> None:
    with pytest.raises(LibraryError, match="there is no library in"):
        library.backup(tmp_path / "backup")
    assert not (tmp_path / "backup").exists()


def test_the_command(indexed: glimpse.Library, tmp_path: Path) -> None:
    indexed.close()
    done = run("backup", "backup", "--library", indexed.settings.library, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, f"{tmp_path / 'backup'}\n".encode())
    assert b" 1.000" in run("search", "red", "--library", tmp_path / "backup").stdout
    refused = run("backup", tmp_path, "--library", indexed.settings.library)
    assert (refused.returncode, refused.stdout, refused.stderr.count(b"\n")) == (2, b"", 1)


def test_a_backup_that_was_put_back_and_lives_on_is_not_replaced(
    indexed: glimpse.Library, tmp_path: Path, photos: Path
) -> None:
    """Its folder came with the mark of a backup; whatever is written to it is no backup any more."""
    indexed.backup(tmp_path / "restored")
    with glimpse.Library(Settings(tmp_path / "restored", indexed.settings.cache)) as restored:
        restored.search("red")
        indexed.backup(tmp_path / "restored")  # searched only: still one
        restored.index()
    with pytest.raises(LibraryError, match="is a library that is no backup"):
        indexed.backup(tmp_path / "restored")


def test_the_backup_of_another_library_is_not_replaced(
    indexed: glimpse.Library, tmp_path: Path, photos: Path
) -> None:
    indexed.backup(tmp_path / "backup")
    with glimpse.Library(Settings(tmp_path / "other", indexed.settings.cache, "fake")) as other:
        other.index([photos])
        with pytest.raises(LibraryError, match=f"is a backup of another library, {indexed.settings.library}; "):
            other.backup(tmp_path / "backup")
    indexed.backup(tmp_path / "backup")
