"""The library's database: how it is made, shared, protected, and what is in it byte by byte."""

import contextlib
import hashlib
import os
import shutil
import sqlite3
import struct
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

import glimpse
import store.batch
from core.errors import LibraryBusyError, LibraryError
from core.settings import Settings
from core.types import FileStat, Metadata, Space
from store.names import DATABASE, DERIVED, NEWEST
from store.overview import status
from store.reader import Reader
from store.records import WHOLE, Taken
from store.schema import metadata
from store.writer import Writer
from tests.conftest import COLOURS, paint
from tests.plain_user import as_plain_user

SPACE = Space(name="hand", revision="1", dim=3, shared_dim=3)
STAT = FileStat(size=5, mtime_ns=1, inode=2, device=3)


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[Writer]:
    with Writer(tmp_path / "written") as opened:
        yield opened


@pytest.fixture
def standing(library: glimpse.Library, photos: Path) -> Path:
    """The folder of a library that knows the four colours and is closed."""
    library.index([photos])
    library.close()
    return library.settings.library


def ask(folder: Path, sql: str) -> list[Any]:
    with contextlib.closing(sqlite3.connect(folder / DATABASE)) as db:
        return db.execute(sql).fetchall()


def taken(root_id: int, name: str, vector: tuple[float, float, float]) -> Taken:
    """Return a photo whose content is its name."""
    digest = hashlib.md5(name.encode()).digest()
    row = np.array(vector, dtype=np.float32)
    return Taken(root_id, name.encode(), STAT, digest=digest, size=(4, 3), vectors={WHOLE: row})


def fill(writer: Writer, *batch: tuple[str, tuple[float, float, float]]) -> int:
    """Commit photos in one batch; returns the space's id."""
    space_id = writer.add_space(SPACE)
    root_id = next(iter(writer.roots()), None) or writer.add_root(b"/r", ())
    writer.commit(space_id, [taken(root_id, name, vector) for name, vector in batch])
    return space_id


# How it is made


def test_a_new_library_is_in_wal_mode_with_large_pages_and_a_version(writer: Writer) -> None:
    assert ask(writer.folder, "PRAGMA page_size") == [(16384,)]
    assert ask(writer.folder, "PRAGMA journal_mode") == [("wal",)]
    assert ask(writer.folder, "SELECT version_num FROM alembic_version") == [(NEWEST,)]


def foreign_keys(db: sa.Connection) -> set[tuple[object, ...]]:
    """Return (table, column, target, target's column, on delete) of every foreign key."""
    return {
        (table, row[3], row[2], row[4], row[6])
        for table in metadata.tables
        for row in db.exec_driver_sql(f"PRAGMA foreign_key_list({table})")
    }


def is_told(name: str | None, kind: str, _: object) -> bool:
    """Say whether a table is one of the schema's, and not derived from those."""
    return kind != "table" or not str(name).startswith(DERIVED)


def test_the_migrations_make_what_the_schema_says(writer: Writer) -> None:
    engine = sa.create_engine(f"sqlite:///{writer.folder / DATABASE}")
    with engine.connect() as db:
        context = MigrationContext.configure(db, opts={"compare_type": True, "include_name": is_told})
        # Foreign keys are compared below: SQLAlchemy does not see what a column added later does on delete.
        assert [step for step in compare_metadata(context, metadata) if not step[0].endswith("_fk")] == []
        migrated = foreign_keys(db)
    fresh = sa.create_engine("sqlite://")
    metadata.create_all(fresh)
    with fresh.connect() as db:
        assert migrated == foreign_keys(db)
    engine.dispose()


def test_the_migrations_make_ids_that_are_never_used_again(writer: Writer) -> None:
    made = dict(ask(writer.folder, "SELECT name, sql FROM sqlite_master WHERE type = 'table'"))
    assert all("AUTOINCREMENT" in str(made[table]) for table in metadata.tables)


def test_the_newest_version_is_the_last_migration() -> None:
    names = [path.name for path in Path(store.writer.__file__).with_name("migrations").glob("versions/m*.py")]
    assert max(names).startswith(f"m{NEWEST}")


def test_opening_again_changes_nothing(standing: Path) -> None:
    before = ask(standing, "SELECT sql FROM sqlite_master")
    with Writer(standing):
        pass
    assert ask(standing, "SELECT sql FROM sqlite_master") == before


@pytest.mark.parametrize("opened", [Writer, Reader])
def test_a_newer_schema_is_refused_with_a_sentence(standing: Path, opened: type[Writer] | type[Reader]) -> None:
    with contextlib.closing(sqlite3.connect(standing / DATABASE)) as db, db:
        db.execute("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(LibraryError, match=r"newer glimpse \(schema 9999, .*; update glimpse: pip install"):
        opened(standing)


# Who may use it when


def test_a_second_writer_is_refused_until_the_first_has_closed(tmp_path: Path) -> None:
    with Writer(tmp_path / "l"), pytest.raises(LibraryBusyError, match="another glimpse is writing"):
        Writer(tmp_path / "l")
    Writer(tmp_path / "l").close()


def test_a_writer_that_could_not_open_leaves_no_lock(tmp_path: Path) -> None:
    (tmp_path / "l").mkdir()
    (tmp_path / "l" / DATABASE).write_bytes(b"garbage" * 1000)
    for _ in range(2):
        with pytest.raises(LibraryError, match="damaged"):
            Writer(tmp_path / "l")


def test_a_reader_sees_the_last_commit_while_a_writer_is_in_a_transaction(standing: Path) -> None:
    with Writer(standing) as writer, writer._begin() as db, Reader(standing) as reader:
        db.execute(sa.text("UPDATE files SET gone = 1"))
        assert status(reader).files == 4
    with Reader(standing) as reader:
        assert status(reader).files == 0


def test_searching_does_not_write_the_database(library: glimpse.Library, standing: Path, photos: Path) -> None:
    database = standing / DATABASE
    before = (hashlib.md5(database.read_bytes()).digest(), database.stat().st_mtime_ns)
    library.search("red", plus=["blue"])
    library.similar(photos / "red.png")
    library.suggest_tags(photos / "red.png")
    library.status()
    library.failures()
    library.close()
    assert (hashlib.md5(database.read_bytes()).digest(), database.stat().st_mtime_ns) == before


def test_a_reader_cannot_write(standing: Path) -> None:
    with Reader(standing) as reader, pytest.raises(sqlite3.OperationalError, match="readonly"):
        reader._db.execute("DELETE FROM files")


def read_only(place: Path) -> dict[str, object]:
    (place / "photos").mkdir()
    for name, colour in COLOURS.items():
        paint(place / "photos" / f"{name}.png", colour)
    folder = place / "library"
    with glimpse.Library(Settings(folder, place / "cache", "fake")) as library:
        library.index([place / "photos"])
    told: dict[str, object] = {}
    for name, inside in (("bare", []), ("with index/", [folder / "index"])):
        for path in inside:
            path.mkdir(exist_ok=True)
            path.chmod(0o555)
        for path in folder.glob("*"):
            path.chmod(0o555 if path.is_dir() else 0o444)
        folder.chmod(0o555)
        store.vectors.TAIL = 0
        with glimpse.Library(Settings(folder, place / "nothing" / "cache", "fake")) as library:
            told[name] = [hit.path.name for hit in library.search("red", k=1, plus=["red"])]
            try:
                library.index([place / "photos"])
            except LibraryError as error:
                told["writing"] = str(error).replace(str(place), "")
        folder.chmod(0o755)
    return told


def test_a_read_only_library_answers_and_refuses_to_be_written() -> None:
    told = as_plain_user(read_only)
    assert told["bare"] == told["with index/"] == ["red.png"]
    assert told["writing"] == "cannot use /library as a library: permission denied"


def unfinished_and_read_only(place: Path) -> str:
    folder = place / "library"
    paint(place / "red.png", (255, 0, 0))
    with glimpse.Library(Settings(folder, place / "cache", "fake")) as library:
        library.index([place / "red.png"])
    (folder / f"{DATABASE}-wal").write_bytes(b"x" * 100)
    (folder / f"{DATABASE}-shm").unlink(missing_ok=True)
    folder.chmod(0o555)
    try:
        with glimpse.Library(Settings(folder, place / "cache", "fake")) as library:
            library.search("red")
    except LibraryError as error:
        return str(error).replace(str(place), "")
    finally:
        folder.chmod(0o755)
    return "answered"


def test_a_read_only_library_that_was_not_closed_says_what_to_do() -> None:
    assert as_plain_user(unfinished_and_read_only) == (
        "/library cannot be written to and was not closed cleanly; "
        "run any glimpse command once where it can be written to"
    )


def test_a_library_killed_as_it_was_made_is_rolled_back_by_whoever_comes_first(
    standing: Path, tmp_path: Path
) -> None:
    """SQLite turns a new database to WAL by way of a journal, which somebody who may only read cannot roll back."""
    with contextlib.closing(sqlite3.connect(standing / DATABASE, isolation_level=None)) as db:
        for statement in (
            "PRAGMA journal_mode = DELETE",
            "PRAGMA cache_size = 1",
            "BEGIN",
            "UPDATE files SET gone = 1",
        ):
            db.execute(statement)
        db.execute("CREATE TABLE more AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 99) "
                   "SELECT randomblob(9999) FROM n")  # fmt: skip
        shutil.copytree(standing, tmp_path / "killed")
        db.execute("ROLLBACK")
    assert (tmp_path / "killed" / f"{DATABASE}-journal").stat().st_size > 0
    with Reader(tmp_path / "killed") as reader:
        assert status(reader).files == 4


# What may be wrong with it


def cut(data: bytes) -> bytes:
    return data[: len(data) // 2 // 16384 * 16384]


def scratch(data: bytes) -> bytes:
    return data[:16384] + b"\xa5" * (len(data) - 16384)


DAMAGES = {
    "garbage": lambda data: b"garbage!" * 4096,
    "truncated": cut,
    "cut in the header": lambda data: data[:60],
    "overwritten": scratch,
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_database_is_told_in_one_line(standing: Path, library: glimpse.Library, damage: str) -> None:
    database = standing / DATABASE
    database.write_bytes(DAMAGES[damage](database.read_bytes()))
    for use in (lambda: library.search("red"), library.status, library.index):
        with pytest.raises(LibraryError) as caught:
            use()
        assert "is damaged" in str(caught.value)
        assert "\n" not in str(caught.value)


def test_no_library_is_told_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(LibraryError, match=r"there is no library in .*; make one with: glimpse index FOLDER"):
        Reader(tmp_path)


def test_a_file_where_the_folder_should_be(tmp_path: Path) -> None:
    (tmp_path / "l").touch()
    with pytest.raises(LibraryError, match=r"cannot use .* as a library: file exists"):
        Writer(tmp_path / "l")


def test_a_commit_is_all_or_nothing(writer: Writer, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(writer, ("first", (1, 0, 0)))

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(store.batch, "_write_files", fail)
    with pytest.raises(LibraryError, match="is full; free some space"):
        fill(writer, ("second", (0, 1, 0)), ("third", (0, 0, 1)))
    for table in ("contents", "segments", "vectors", "files"):
        assert ask(writer.folder, f"SELECT count(*) FROM {table}") == [(1,)]
    monkeypatch.undo()
    fill(writer, ("second", (0, 1, 0)))
    assert ask(writer.folder, "SELECT count(*) FROM files") == [(2,)]


def test_a_content_that_is_not_there_cannot_be_used_again(writer: Writer) -> None:
    space_id = writer.add_space(SPACE)
    root_id = writer.add_root(b"/r", ())
    with pytest.raises(LibraryError, match="not there"):
        writer.commit(space_id, [Taken(root_id, b"x", STAT, digest=b"0" * 16)])


# What is in it


def test_vectors_are_fp16_little_endian(writer: Writer) -> None:
    fill(writer, ("a", (1.0, -0.5, 0.0)), ("b", (0.1, 0.2, 0.97)))
    rows = ask(writer.folder, "SELECT vector FROM vectors ORDER BY id")
    assert rows == [(b"\x00\x3c\x00\xb8\x00\x00",), (struct.pack("<3e", 0.1, 0.2, 0.97),)]


def test_a_content_keeps_its_digest_kind_and_sizes(writer: Writer) -> None:
    fill(writer, ("a", (1, 0, 0)))
    rows = ask(writer.folder, "SELECT digest, kind, size, width, height FROM contents")
    assert rows == [(hashlib.md5(b"a").digest(), "photo", 5, 4, 3)]
    assert ask(writer.folder, "SELECT kind FROM segments") == [("whole",)]


def test_a_zero_that_is_written_in_a_photo_is_not_nothing(writer: Writer) -> None:
    said = Metadata(offset=0, latitude=0.0, altitude=0.0, rating=0, keywords=("a", "b"))
    photo = replace(taken(writer.add_root(b"/r", ()), "a", (1, 0, 0)), embedded=said)
    space_id = writer.add_space(SPACE)
    assert photo.digest is not None
    for embedded in (said, replace(said, offset=60), Metadata()):  # of a new content, and of one that is there
        file_id = next((known.id for known in writer.known_files(frozenset()).values()), None)
        writer.commit(space_id, [replace(photo, file_id=file_id, embedded=embedded)])
        assert writer.embedded([photo.digest]) == {photo.digest: embedded}


def test_old_and_new_in_one_batch_get_what_each_lacks(writer: Writer) -> None:
    """A second model's vectors of a photo that is there, beside a photo that is new to both."""
    fill(writer, ("old", (1, 0, 0)))
    second = writer.add_space(replace(SPACE, name="second"))
    (known,) = writer.known_files(frozenset()).values()
    root_id = next(iter(writer.roots()))
    batch = [replace(taken(root_id, "old", (0, 1, 0)), file_id=known.id), taken(root_id, "new", (0, 0, 1))]
    for _ in range(2):  # what is there is not written again
        writer.commit(second, batch)
        batch = [
            replace(photo, file_id=n, vectors={WHOLE: np.ones(3, np.float32)}) for n, photo in enumerate(batch, 1)
        ]
    assert ask(writer.folder, "SELECT id, path, content_id FROM files") == [(1, b"old", 1), (2, b"new", 2)]
    assert ask(writer.folder, "SELECT id, content_id, kind FROM segments") == [(1, 1, WHOLE), (2, 2, WHOLE)]
    rows = ask(writer.folder, "SELECT space_id, segment_id, vector FROM vectors ORDER BY id")
    assert [(space, segment, struct.unpack("<3e", blob)) for space, segment, blob in rows] == [
        (1, 1, (1, 0, 0)),
        (2, 1, (0, 1, 0)),
        (2, 2, (0, 0, 1)),
    ]


def test_ids_of_what_was_pruned_are_not_used_again(writer: Writer) -> None:
    fill(writer, ("a", (1, 0, 0)), ("b", (0, 1, 0)))
    writer.mark_gone([1, 2])
    writer.prune()
    fill(writer, ("c", (0, 0, 1)))
    for table in ("contents", "segments", "vectors", "files"):
        assert ask(writer.folder, f"SELECT id FROM {table}") == [(3,)]


def test_the_mean_is_kept_where_the_space_wants_it(writer: Writer) -> None:
    space_id = fill(writer, ("a", (1, 0, 0)), ("b", (0, 0, 1)))
    writer.finish(SPACE, space_id, {}, complete=True)
    (row,) = ask(writer.folder, "SELECT modality, count, mean FROM means")
    assert row == ("image", 2, struct.pack("<3f", 0.5, 0, 0.5))


def test_a_centred_space_has_no_mean(writer: Writer) -> None:
    centred = Space(name="hand", revision="1", dim=3, shared_dim=3, centred=True)
    writer.finish(centred, fill(writer, ("a", (1, 0, 0))), {}, complete=True)
    assert ask(writer.folder, "SELECT count(*) FROM means") == [(0,)]


def test_more_rows_than_sqlite_takes_variables(writer: Writer) -> None:
    batch = [(f"{number}", (1.0, 0.0, 0.0)) for number in range(1201)]
    fill(writer, *batch)
    with Reader(writer.folder) as reader:
        assets = reader.assets(range(1, 1202))
        assert len(assets) == 1201
        assert assets[1201].paths == (Path("/r/1200"),)
        space = reader.space()
        assert space is not None
        assert len(reader.vectors_by_id(space, range(1202))[0]) == 1201


def test_looking_up_a_few_does_not_walk_over_the_others(writer: Writer) -> None:
    fill(writer, *((str(number), (1, 0, 0)) for number in range(3000)))
    steps: list[None] = []
    with Reader(writer.folder) as reader:
        space = reader.space()
        assert space is not None
        reader._db.set_progress_handler(lambda: steps.append(None), 100)
        assert reader.newest_vector(space.id) == 3000
        some = list(range(2000, 2040))  # with few, SQLite finds the right way by itself
        assert reader.vectors_by_id(space, reversed(some))[0].tolist() == some
        assert sorted(reader.assets(some)) == some
    assert len(steps) < 60  # of 100 operations of SQLite's machine each


def test_status_does_not_mind_files_that_vanish_while_it_counts(
    standing: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Reader(standing) as reader:
        expected = sum(path.stat().st_size for path in standing.rglob("*") if path.is_file())
        glob = Path.glob
        monkeypatch.setattr(Path, "glob", lambda path, pattern: [*glob(path, pattern), path / "vanished"])
        is_file = Path.is_file
        monkeypatch.setattr(Path, "is_file", lambda path: path.name == "vanished" or is_file(path))
        assert status(reader).bytes == expected


def test_a_full_disk_is_told_as_one(writer: Writer) -> None:
    with pytest.raises(LibraryError, match="is full; free some space"), writer._begin() as db:
        db.execute(sa.text("PRAGMA max_page_count = 1"))
        for _ in range(100):
            db.execute(sa.text("INSERT INTO roots (path) VALUES (:path)"), {"path": os.urandom(16000)})


def test_a_model_that_was_never_used_has_no_space(standing: Path) -> None:
    with Reader(standing) as reader:
        assert reader.space("other") is None
        assert reader.space("fake", "other revision") is None
        assert reader.space("fake") == reader.space("fake", "1") == reader.space()
