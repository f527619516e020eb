"""Libraries of earlier versions: nothing is lost or encoded again, whatever happens to the upgrade."""

import contextlib
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

import glimpse
import glimpse.api
import store.writer
from core.errors import LibraryBusyError, LibraryError, OldLibraryError
from core.settings import Settings
from encoders.fake import FakeEncoder
from glimpse.cli import cli
from glimpse.cli import run as run_command
from store.names import DATABASE, NEWEST
from store.reader import Reader
from store.schema import metadata
from store.writer import Writer
from tests import old_libraries
from tests.conftest import ROOT, run
from tests.life import Death, dying
from tests.old_libraries import SCHEMAS
from tests.plain_user import as_plain_user
from tests.test_file_life import Mirrored, counts
from tests.test_store import foreign_keys, is_told

Rows = dict[str, tuple[list[str], list[tuple[Any, ...]]]]
"""By table, its columns and its rows."""
MODELS = {"fake": FakeEncoder, "mirrored": Mirrored}
QUERIES = {"red": (1, 0, 0), "blue": (0, 0, 1), "yellow": (1, 1, 0)}

EARLIER = pytest.mark.parametrize("schema", [schema for schema in SCHEMAS if schema < NEWEST], indirect=True)


@pytest.fixture(autouse=True)
def two_models(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("encoders.registry.load", lambda name, *_: MODELS[name]())


@pytest.fixture(params=SCHEMAS)
def schema(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def old(tmp_path: Path, schema: str) -> Path:
    """A library as the version of that schema left it, and the album beside it."""
    return old_libraries.load(schema, tmp_path)


@pytest.fixture
def library(old: Path, cache: Path) -> Iterator[glimpse.Library]:
    with glimpse.Library(Settings(old, cache)) as opened:
        yield opened


def connect(folder: Path) -> "contextlib.closing[sqlite3.Connection]":
    return contextlib.closing(sqlite3.connect(folder / DATABASE))


def version(folder: Path) -> str:
    with connect(folder) as db:
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert db.execute("PRAGMA foreign_key_check").fetchall() == []
        return str(db.execute("SELECT version_num FROM alembic_version").fetchone()[0])


def content(folder: Path) -> Rows:
    """Return all that is in a database."""
    with connect(folder) as db:
        tables = [name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")]
        found = {}
        for table in tables:
            rows = db.execute(f"SELECT * FROM {table}")
            found[table] = ([column[0] for column in rows.description], sorted(rows.fetchall(), key=repr))
        return found


def lost(before: Rows, after: Rows) -> list[tuple[str, tuple[Any, ...]]]:
    """Return the rows of before that are not there any more, as far as their columns are."""
    missing = []
    for table, (columns, rows) in before.items():
        if table in ("alembic_version", "sqlite_sequence"):
            continue
        now, later = after[table]
        shared = [column for column in columns if column in now and (table, column) != ("files", "retry")]
        kept = {tuple(row[now.index(column)] for column in shared) for row in later}
        picked = [tuple(row[columns.index(column)] for column in shared) for row in rows]
        missing += [(table, row) for row in picked if row not in kept]
    return missing


def answers(folder: Path, model: str, query: str) -> dict[str, float]:
    """Return the score of every file that a model must find, from the rows alone."""
    asked = np.array(QUERIES[query], np.float32) / np.linalg.norm(QUERIES[query])
    scores: dict[str, float] = {}
    with connect(folder) as db:
        for root, path, vector in db.execute(
            "SELECT r.path, f.path, v.vector FROM files f JOIN roots r ON r.id = f.root_id "
            "JOIN segments s ON s.content_id = f.content_id JOIN vectors v ON v.segment_id = s.id "
            "JOIN spaces p ON p.id = v.space_id WHERE NOT f.gone AND p.name = ?",
            (model,),
        ):
            row = np.frombuffer(vector, "<f2").astype(np.float32)
            name = os.fsdecode(os.path.join(root, path))
            scores[name] = max(scores.get(name, -1), float(row @ asked / np.linalg.norm(row)))
    return scores


def found(folder: Path, model: str | None, query: str) -> dict[str, float]:
    with glimpse.Library(Settings(folder, folder / "cache", model)) as library:
        hits = library.search(query, k=1000)
    return {str(path): hit.score for hit in hits for path in (hit.path, *hit.also)}


# What becomes of it


def test_every_schema_has_a_library_here() -> None:
    """Before a new migration is added: python -m tests.old_libraries"""
    made = {path.stem[1:5] for path in Path(store.writer.__file__).with_name("migrations").glob("versions/m*.py")}
    assert made - {NEWEST} <= set(SCHEMAS) <= made


def test_there_is_something_in_every_table(old: Path) -> None:
    empty = {table for table, (_, rows) in content(old).items() if not rows}
    assert empty <= {"tombstones"}  # which a run forgets as soon as no index file has what they are of


def test_nothing_is_lost_by_an_upgrade(old: Path) -> None:
    before = content(old)
    Writer(old).close()
    assert version(old) == NEWEST
    assert lost(before, content(old)) == []


def test_it_is_then_what_the_schema_says(old: Path) -> None:
    Writer(old).close()
    engine = sa.create_engine(f"sqlite:///{old / DATABASE}")
    with engine.connect() as db:
        context = MigrationContext.configure(db, opts={"compare_type": True, "include_name": is_told})
        assert [step for step in compare_metadata(context, metadata) if not step[0].endswith("_fk")] == []
        migrated = foreign_keys(db)
    engine.dispose()
    fresh = sa.create_engine("sqlite://")
    metadata.create_all(fresh)
    with fresh.connect() as db:
        assert migrated == foreign_keys(db)
    fresh.dispose()


def test_ids_are_not_used_again_after_an_upgrade(old: Path) -> None:
    before = dict(content(old)["sqlite_sequence"][1])
    Writer(old).close()
    after = dict(content(old)["sqlite_sequence"][1])
    assert {table: last for table, last in before.items() if after.get(table, 0) < last} == {}


@pytest.mark.parametrize("query", QUERIES)
@pytest.mark.parametrize("model", [None, *MODELS])
def test_an_old_library_answers_at_once_as_before(old: Path, model: str | None, query: str) -> None:
    expected = answers(old, model or "fake", query)
    assert len(expected) >= 7
    assert found(old, model, query) == pytest.approx(expected, abs=1e-3)
    assert version(old) == NEWEST
    assert answers(old, model or "fake", query) == expected


@pytest.mark.parametrize("asked", [["status"], ["info", "red.bmp"], ["search", "red"], ["status", "--errors"]])
def test_every_command_reads_an_old_library(old: Path, asked: list[str]) -> None:
    done = run(*asked, "--library", old, cwd=old.parent / "album")
    assert (done.returncode, done.stderr) == (0, b"")


def test_nothing_is_encoded_again_and_the_rest_is_filled_in(library: glimpse.Library, old: Path, schema: str) -> None:
    expected = {(model, query): answers(old, model, query) for model in MODELS for query in QUERIES}
    report = library.index()
    assert (report.encoded, report.added, report.gone, report.changed, report.moved) == (0, 0, 0, 0, 0)
    assert {failure.path.name for failure in report.failures} == {"broken.bmp", "later.heic"}
    assert {failure.reason for failure in report.failures} == {  # it was tried again
        "damaged: its header cannot be read", "the file is cut short",
    }  # fmt: skip
    for model, query in expected:
        assert found(old, model, query) == pytest.approx(expected[model, query], abs=1e-3)
    album = old.parent / "album"
    about = library.info(album / "red.bmp")
    assert (about.metadata.rating, about.metadata.keywords) == (4, ("holiday", "tower"))
    assert about.place is not None
    assert about.place.country == "FR"
    assert library.info(album / "pair.jpg").companions == (album / "pair.cr2",)
    described = "metadata" in old_libraries.HERE.joinpath(f"{schema}.sql").read_text(encoding="utf-8")
    assert library.status().previews == (0 if described else 7)  # made of what has to be read for its metadata
    second = counts(library.index())
    assert second == {"unchanged": library.status().files, "failed": 2}
    with glimpse.Library(Settings(old, old / "cache", "mirrored")) as other:
        assert other.index().encoded == 0


def test_what_was_said_holds(old: Path, library: glimpse.Library, schema: str) -> None:
    said = "exclude" in old_libraries.HERE.joinpath(f"{schema}.sql").read_text(encoding="utf-8")
    (old.parent / "more" / "another.gif").write_bytes(old_libraries.bmp(9, 9, 9))
    library.index()
    names = {Path(path).name for path in found(old, None, "red")}
    assert names & {"drawing.gif", "another.gif"} == (set() if said else {"drawing.gif", "another.gif"})


@EARLIER
def test_a_dry_run_leaves_an_old_library_alone(library: glimpse.Library, old: Path) -> None:
    before = (old / DATABASE).read_bytes()
    with pytest.raises(LibraryError, match="was made by an earlier glimpse; bring it up to date: glimpse index"):
        library.index(dry_run=True)
    assert (old / DATABASE).read_bytes() == before


# Who else is there meanwhile


def test_who_reads_an_old_library_goes_on_while_it_is_brought_up_to_date(old: Path) -> None:
    with contextlib.closing(sqlite3.connect(f"file:{old / DATABASE}?mode=ro", uri=True, isolation_level=None)) as db:
        db.execute("BEGIN")
        before = db.execute("SELECT * FROM files ORDER BY id").fetchall()
        Writer(old).close()
        assert db.execute("SELECT * FROM files ORDER BY id").fetchall() == before
        db.execute("COMMIT")
        assert db.execute("SELECT count(*) FROM files").fetchone() == (len(before),)
    assert version(old) == NEWEST


def test_many_open_an_old_library_at_the_same_moment(old: Path) -> None:
    command = [sys.executable, "-m", "glimpse", "status", "--library", str(old)]
    crowd = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(4)]
    told = [(*process.communicate(timeout=60), process.returncode) for process in crowd]
    assert [(error, code) for _, error, code in told] == [(b"", 0)] * 4
    assert len({shown for shown, _, _ in told}) == 1
    assert version(old) == NEWEST


@EARLIER
def test_a_reader_waits_for_the_one_who_brings_it_up_to_date(
    old: Path, library: glimpse.Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    turns = []

    class Busy(Writer):
        def __init__(self, folder: Path) -> None:
            turns.append(folder)
            if len(turns) < 3:
                raise LibraryBusyError("another glimpse is writing")
            super().__init__(folder)

    monkeypatch.setattr(store.writer, "Writer", Busy)
    assert library.status().files >= 7
    assert len(turns) == 3


@EARLIER
def test_a_reader_does_not_wait_for_ever(
    old: Path, library: glimpse.Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(glimpse.api, "PATIENCE", 0.2)
    monkeypatch.setattr(store.writer, "migrate", lambda *_: None)  # an earlier version holds it
    with Writer(old), pytest.raises(LibraryBusyError, match="another glimpse is writing"):
        library.status()


# What may go wrong


def steps(old: Path) -> int:
    """Return how many statements an upgrade takes."""
    count = 0

    def take(*_: object) -> None:
        nonlocal count
        count += 1

    sa.event.listen(sa.Engine, "before_cursor_execute", take)
    sa.event.listen(sa.Engine, "commit", take)
    try:
        Writer(old).close()
    finally:
        sa.event.remove(sa.Engine, "before_cursor_execute", take)
        sa.event.remove(sa.Engine, "commit", take)
    return count


def raise_full() -> None:
    raise sqlite3.OperationalError("database or disk is full")


def raise_death() -> None:
    raise Death


@pytest.mark.parametrize(
    ("fail", "raised"), [(raise_full, LibraryError), (raise_death, Death)], ids=["full disk", "death"]
)
def test_an_upgrade_that_fails_at_any_step_leaves_the_old_library(
    old: Path, schema: str, fail: Callable[[], None], raised: type[BaseException]
) -> None:
    whole = old.with_name("copy")
    shutil.copytree(old, whole)
    before, count = content(old), steps(whole)
    for step in range(1, count + 1):
        with pytest.raises(raised) as caught, dying(step, fail):
            Writer(old)
        assert raised is Death or "is full; free some space and run the command again" in str(caught.value)
        assert version(old) == schema
        assert content(old) == before
        if schema < NEWEST:
            with pytest.raises(OldLibraryError):
                Reader(old)
    Writer(old).close()
    assert content(old) == content(whole)


def killed_at(old: Path, step: int) -> bool:
    """Open a library in a process that kills itself before the step-th statement; says whether it came to that."""
    code = (
        "import os, sys; from pathlib import Path; from tests.life import dying; from store.writer import Writer\n"
        "with dying(int(sys.argv[2]), lambda: os.kill(os.getpid(), 9)): Writer(Path(sys.argv[1])).close()"
    )
    command = [sys.executable, "-c", code, str(old), str(step)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, check=False)
    assert done.returncode in (0, -signal.SIGKILL), done.stderr
    return done.returncode != 0


@EARLIER
@pytest.mark.parametrize("every", [12, pytest.param(1, marks=pytest.mark.long)])
def test_an_upgrade_that_is_killed_is_whole_or_did_not_happen(old: Path, schema: str, every: int) -> None:
    before, step, kills = content(old), every, 0
    while killed_at(old, step):
        assert version(old) == schema
        assert content(old) == before
        step, kills = step + every, kills + 1
    print(f"{kills} kills between the statements of the upgrade from {schema} to {NEWEST}")
    assert kills > 0
    assert version(old) == NEWEST
    assert lost(before, content(old)) == []


def read_only(place: Path) -> dict[str, str]:
    told = {}
    for schema in SCHEMAS:
        (place / schema).mkdir()
        folder = old_libraries.load(schema, place / schema)
        for path in (*folder.glob("*"), folder):
            path.chmod(0o555 if path.is_dir() else 0o444)
        try:
            with glimpse.Library(Settings(folder, place / "cache", "fake")) as library:
                told[schema] = library.search("green", k=1)[0].path.name
        except LibraryError as error:
            told[schema] = str(error).replace(str(folder), "HERE")
        folder.chmod(0o755)
    return told


def test_a_read_only_library_of_an_earlier_version_says_what_to_do() -> None:
    told = as_plain_user(read_only)
    sentence = (
        "HERE was made by an earlier glimpse and cannot be written to; "
        "run any glimpse command once where it can be written to"
    )
    assert told == {schema: "green.bmp" if schema == NEWEST else sentence for schema in SCHEMAS}


# Newer ones

COMMANDS: dict[str, list[list[str]]] = {
    "index": [["index"], ["index", "album"], ["index", "--dry-run"], ["index", "--watch"]],
    "search": [["search", "red"], ["search", "./album/red.bmp"], ["search", "red", "--model", "fake"]],
    "similar": [["similar", "album/red.bmp"]],
    "tag": [["tag", "album/red.bmp"]],
    "dupes": [["dupes"], ["dupes", "--exact"]],
    "learn-sound": [["learn-sound"], ["learn-sound", "--explain", "all"]],
    "info": [["info", "album/red.bmp"]],
    "status": [["status"], ["status", "--json"], ["status", "--errors"]],
    "models": [["models", "use", "mirrored"], ["models", "drop", "mirrored"]],
    "prune": [["prune"]],
    "backup": [["backup", "copy"]],
    "doctor": [["doctor"], ["doctor", "--repair"]],
    "demo": [],  # has a library of its own
}


def test_every_command_is_in_the_table() -> None:
    assert COMMANDS.keys() == cli.commands.keys()


@pytest.mark.parametrize("asked", [asked for several in COMMANDS.values() for asked in several], ids=" ".join)
def test_every_command_refuses_a_newer_library_with_a_sentence(
    tmp_path: Path, asked: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    newer = old_libraries.load(SCHEMAS[-1], tmp_path)
    with connect(newer) as db:
        db.execute("UPDATE alembic_version SET version_num = '9999'")
        db.commit()
    before = content(newer)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["glimpse", *asked, "--library", str(newer)])
    assert run_command() == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err == (
        f"glimpse: {newer / DATABASE} was made by a newer glimpse (schema 9999, this one knows {NEWEST}); "
        f"update glimpse: pip install --upgrade glimpse-search\n"
    )
    assert content(newer) == before
