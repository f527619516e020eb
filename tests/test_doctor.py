"""Damaged libraries: every command says so in one sentence, and the doctor saves what can be saved."""

import hashlib
import json
import os
import random
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock

import glimpse
from core.diagnosis import Diagnosis, State
from core.errors import GlimpseError, LibraryBusyError, LibraryError
from core.settings import Settings
from core.types import Metadata
from store.checkup import damaged_vectors
from store.layout import layouts
from store.names import fingerprint
from store.pages import Pages
from store.reader import Reader
from tests import old_libraries
from tests.conftest import run
from tests.damage import DAMAGES, DIM, PAGE, PHOTOS, alike, damaged_copy, fill, flip_bits, open_library, same, state

SHORT, LONG = 4, 43
"""Seeds for each kind of damage: some 28 damages, or 300."""
Command = Callable[[glimpse.Library, Path], object]
COMMANDS: dict[str, Command] = {
    "search": lambda library, photos: library.search("red"),
    "status": lambda library, photos: (library.status(), library.failures()),
    "info": lambda library, photos: library.info(photos / "01.png"),
    "tag": lambda library, photos: library.suggest_tags(photos / "01.png"),
    "index": lambda library, photos: library.index(),
    "prune": lambda library, photos: library.prune(),
}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> Path:
    """A folder with photos/ and the library of them, both as they should be."""
    return fill(tmp_path_factory.mktemp("sound"), cache)


@pytest.fixture
def folder(place: Path, tmp_path: Path) -> Path:
    """A sound library, for one test to damage."""
    shutil.copytree(place / "library", tmp_path / "library")
    return tmp_path / "library"


@pytest.fixture
def library(folder: Path, cache: Path) -> Iterator[glimpse.Library]:
    with open_library(folder, cache) as opened:
        yield opened


def edit(folder: Path, *statements: str) -> None:
    with closing(sqlite3.connect(folder / "library.db")) as db:
        for statement in statements:
            db.execute(statement)
        db.commit()


def overwrite(folder: Path, page: int, content: bytes) -> None:
    """Write over the beginning of a page, the first is 1."""
    with (folder / "library.db").open("rb+") as file:
        file.seek(PAGE * (page - 1))
        file.write(content)


def root_of(folder: Path, name: str) -> int:
    with closing(sqlite3.connect(folder / "library.db")) as db:
        return int(db.execute("SELECT rootpage FROM sqlite_master WHERE name = ?", (name,)).fetchone()[0])


def states(diagnosis: Diagnosis) -> dict[str, State]:
    order = list(State)
    worst: dict[str, State] = {}
    for found in diagnosis.findings:
        worst[found.check] = max(worst.get(found.check, State.OK), found.state, key=order.index)
    return worst


def problems(diagnosis: Diagnosis) -> list[str]:
    return [found.check for found in diagnosis.findings if found.state is State.PROBLEM]


def contents(folder: Path) -> dict[str, str]:
    """Return a hash of each file, without what SQLite's readers make and leave."""
    return {
        str(path): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.endswith(("-shm", "-wal"))
    }


# --- whatever happens to the database


def check_a_damage(place: Path, work: Path, cache: Path, damage: Callable[..., None], seed: int) -> None:
    """Damage a library; have every command answer or say what is wrong; repair it and index; compare."""
    folder = damaged_copy(place, work, damage, seed)
    for name, command in COMMANDS.items():
        spare = work / name
        shutil.copytree(folder, spare)
        with open_library(spare, cache) as library:
            try:
                command(library, place / "photos")
            except GlimpseError as error:
                assert "\n" not in str(error)
        shutil.rmtree(spare)
    with open_library(folder, cache) as library:
        before = contents(folder)
        found = library.doctor()
        assert contents(folder) == before
        assert library.doctor(repair=True).healthy == found.healthy
        assert [name for name in problems(library.doctor()) if name != "photos"] == []
        state(folder)
        library.search("red", k=PHOTOS) if library.status().contents else None
        library.index([place / "photos"])
        assert library.doctor().healthy
        assert len(library.search("red", k=2 * PHOTOS)) == PHOTOS
    agree = alike if damage is flip_bits else same  # a bit of a value that is still one is noticed by nobody
    assert agree(state(folder), state(place / "library"))


@pytest.mark.parametrize("seed", range(SHORT))
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_library_is_told_repaired_and_filled(
    place: Path, tmp_path: Path, cache: Path, damage: Callable[..., None], seed: int
) -> None:
    check_a_damage(place, tmp_path, cache, damage, seed)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(SHORT, LONG))
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_library_is_told_repaired_and_filled_again_and_again(
    place: Path, tmp_path: Path, cache: Path, damage: Callable[..., None], seed: int
) -> None:
    check_a_damage(place, tmp_path, cache, damage, seed)


def _cut_off(folder: Path) -> None:
    os.truncate(folder / "library.db", 0)


def _cut_in_half(folder: Path) -> None:
    os.truncate(folder / "library.db", (folder / "library.db").stat().st_size // 2)


def _rubbish(folder: Path) -> None:
    overwrite(folder, 1, random.Random(1).randbytes(PAGE))


def _no_magic(folder: Path) -> None:
    overwrite(folder, 1, b"S")
    overwrite(folder, 1, bytes(100))


@pytest.mark.parametrize("damage", [_cut_off, _cut_in_half, _rubbish, _no_magic])
@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_names_the_damage_and_the_doctor(
    library: glimpse.Library, place: Path, damage: Callable[[Path], None], name: str
) -> None:
    damage(library.settings.library)
    with pytest.raises(LibraryError, match=r"is damaged.*glimpse doctor$"):
        COMMANDS[name](library, place / "photos")


@pytest.mark.parametrize(
    "table", ["spaces", "library", "roots", "sources", "segments", "tags", "file_tags", "means", "runs", "metadata"]
)
def test_a_lost_page_that_others_make_up_for_costs_no_vector(
    library: glimpse.Library, place: Path, table: str
) -> None:
    folder = library.settings.library
    edit(folder, "INSERT INTO tags (name) VALUES ('x')", "INSERT INTO file_tags VALUES (1, 1, 1, 'file')")
    root = root_of(folder, table)
    overwrite(folder, root, bytes(PAGE))
    assert states(library.doctor(repair=True))["structure"] is State.REPAIRED
    report = library.index()
    assert (report.encoded, report.gone) == (0, 0)
    assert len(library.search("red", k=PHOTOS)) == PHOTOS
    assert same(state(folder), state(place / "library"))
    assert library.status().model == "fake"


def test_the_root_of_a_table_is_lost_and_its_rows_are_not(library: glimpse.Library) -> None:
    """The page that knows where all others are: SQLite cannot come to any row any more."""
    root = root_of(library.settings.library, "vectors")
    with closing(Pages(library.settings.library / "library.db", PAGE)) as pages:
        assert len(list(pages.leaves(root))) > 3
    overwrite(library.settings.library, root, bytes(PAGE))
    found = library.doctor(repair=True)
    assert (found.saved["vectors"], found.lost["vectors"]) == (PHOTOS + 2, 0)


def test_a_damaged_database_is_kept_with_its_log(library: glimpse.Library) -> None:
    folder = library.settings.library
    with closing(sqlite3.connect(folder / "library.db", isolation_level=None)) as db:
        db.execute("INSERT INTO tags (name) VALUES ('only in the log')")
        log = (folder / "library.db-wal").read_bytes()
        assert log
        broken = bytearray((folder / "library.db").read_bytes())
    broken[: 2 * PAGE] = bytes(2 * PAGE)
    (folder / "library.db").write_bytes(broken)
    (folder / "library.db-wal").write_bytes(log)
    found = library.doctor(repair=True)
    assert found.copy is not None
    assert found.copy.read_bytes() == broken
    assert Path(f"{found.copy}-wal").read_bytes() == log
    assert found.saved["tags"] == 1


def test_a_table_without_a_page_that_fits_is_lost_and_said_to_be(library: glimpse.Library, place: Path) -> None:
    folder = library.settings.library
    with closing(Pages(folder / "library.db", PAGE)) as pages:
        leaves = list(pages.leaves(root_of(folder, "vectors")))
        lost = len(list(pages.rows(leaves[1])))  # no animations, which have two vectors
    overwrite(folder, leaves[1], bytes(PAGE))
    found = library.doctor(repair=True)
    assert found.lost["vectors"] == lost
    after = library.doctor()
    assert [f.remedy for f in after.findings if f.state is State.PROBLEM] == ["glimpse index"]
    assert library.index().encoded == lost
    assert same(state(folder), state(place / "library"))


def test_animations_come_back_with_both_their_frames(library: glimpse.Library, place: Path) -> None:
    folder = library.settings.library
    edit(folder, "DELETE FROM vectors WHERE segment_id IN (SELECT id FROM segments WHERE kind = 'middle')")
    overwrite(folder, root_of(folder, "runs"), bytes(PAGE))
    library.doctor(repair=True)
    assert library.index().encoded == 2
    assert same(state(folder), state(place / "library"))


@pytest.mark.parametrize("content", [b"rubbish" * 100, b"\x37\x7f\x06\x82" + bytes(60)])
def test_a_log_that_is_none_is_told_and_emptied(library: glimpse.Library, place: Path, content: bytes) -> None:
    log = library.settings.library / "library.db-wal"
    log.write_bytes(content)
    assert states(library.doctor())["database"] is State.PROBLEM
    assert log.read_bytes() == content
    assert states(library.doctor(repair=True))["database"] is State.REPAIRED
    assert library.doctor().healthy
    assert same(state(library.settings.library), state(place / "library"))


@pytest.mark.parametrize("schema", old_libraries.SCHEMAS)
def test_a_library_of_an_earlier_version_is_repaired_too(schema: str, tmp_path: Path, cache: Path) -> None:
    """Its rows are shorter, and so they are written into a database of its own version first."""
    folder = old_libraries.load(schema, tmp_path)
    query = "SELECT r.path, f.path, v.space_id, v.vector FROM files f JOIN roots r ON r.id = f.root_id "
    query += (
        "JOIN segments s ON s.content_id = f.content_id JOIN vectors v ON v.segment_id = s.id ORDER BY f.id, v.id"
    )

    def rows() -> list[tuple[object, ...]]:
        with closing(sqlite3.connect(folder / "library.db")) as db:
            return db.execute(query).fetchall()

    before = rows()
    with glimpse.Library(Settings(folder, cache, "fake")) as library:
        assert library.doctor().healthy
        assert f"schema {schema}" in library.doctor().findings[0].text
        overwrite(folder, root_of(folder, "runs"), bytes(PAGE))
        assert library.doctor(repair=True).lost["vectors"] == 0
        assert rows() == before
        assert library.doctor().healthy
        assert library.search("red", k=1)[0].path.name == "red again.bmp"


# --- what SQLite does not mind


def test_a_broken_index_is_built_anew_in_its_place(library: glimpse.Library, place: Path) -> None:
    folder = library.settings.library
    edit(folder, "PRAGMA writable_schema = ON", "CREATE TABLE x AS SELECT sql FROM sqlite_master WHERE 0")
    edit(folder, "DROP TABLE x")
    edit(
        folder,
        "PRAGMA writable_schema = ON",
        "CREATE INDEX empty ON files (size) WHERE size < 0",
        "UPDATE sqlite_master SET sql = 'CREATE INDEX empty ON files (size)' WHERE name = 'empty'",
    )
    found = library.doctor()
    assert problems(found) == ["structure"]
    assert "indexes anew" in next(f.remedy for f in found.findings if f.state is State.PROBLEM)
    repaired = library.doctor(repair=True)
    assert (states(repaired)["structure"], repaired.copy) == (State.REPAIRED, None)
    assert same(state(folder), state(place / "library"))


def test_where_a_row_and_an_index_disagree_the_photo_is_read_again(library: glimpse.Library, place: Path) -> None:
    folder = library.settings.library
    with closing(sqlite3.connect(folder / "library.db")) as db:
        digest = db.execute("SELECT digest FROM contents WHERE id = 7").fetchone()[0]
    data = bytearray((folder / "library.db").read_bytes())
    with closing(Pages(folder / "library.db", PAGE)) as pages:
        (leaf,) = pages.leaves(root_of(folder, "contents"))
    data[data.index(digest, PAGE * (leaf - 1)) + 3] ^= 8
    (folder / "library.db").write_bytes(data)
    assert states(library.doctor(repair=True))["structure"] is State.REPAIRED
    library.index()
    assert alike(state(folder), state(place / "library"))
    assert [row[4] for row in state(folder)] == [row[4] for row in state(place / "library")]


@pytest.mark.parametrize(
    ("statement", "check"),
    [
        ("UPDATE contents SET digest = 'no' WHERE id = 3", "values"),
        ("UPDATE contents SET metadata = '{\"taken' WHERE id = 3", "values"),
        ("UPDATE files SET gone = 7 WHERE id = 3", "values"),
        ("UPDATE files SET path = x'' WHERE id = 3", "values"),
        ("UPDATE files SET content_id = 999 WHERE id = 3", "references"),
        ("DELETE FROM segments WHERE id = 3", "references"),
        ("UPDATE runs SET summary = CAST(x'7bff7d' AS TEXT)", "values"),
        ("UPDATE sources SET walk = '{\"exclude\": 3'", "values"),
        ("UPDATE library SET current_space_id = NULL", "folders"),
        ("DELETE FROM sources", "folders"),
        ("UPDATE vectors SET vector = x'0000' WHERE id = 3", "vectors"),
        ("UPDATE vectors SET vector = zeroblob(1024) WHERE id = 3", "vectors"),
    ],
)
def test_rows_that_nobody_wrote_are_found_and_mended(
    library: glimpse.Library, place: Path, statement: str, check: str
) -> None:
    folder = library.settings.library
    edit(folder, "PRAGMA foreign_keys = OFF", statement)
    assert problems(library.doctor()) == [check]
    assert states(library.doctor(repair=True))[check] is State.REPAIRED
    library.index([place / "photos"])
    assert library.doctor().healthy
    assert same(state(folder), state(place / "library"))


UNIT = np.full(4, 0.5, "<f2")


@pytest.mark.parametrize(
    ("vector", "damaged"),
    [
        (UNIT, False),
        (UNIT * np.float16(-1), False),
        ([0.5, 0.5, 0.5, -0.5], False),  # a sign: the vector is another, and just as long
        ([1, 0, 0, 0], False),
        ([0.5, 0.5, 0.5, 1], True),  # the last bit of an exponent
        ([0.5, 0.5, 0.5, 0.75], True),  # the first of a mantissa
        ([0.5, 0.5, 0.5, np.nan], True),
        ([0.5, 0.5, 0.5, np.inf], True),
        ([0, 0, 0, 0], True),
        ([0.5, 0.5, 0.5], True),
        ([], True),
    ],
)
def test_a_vector_is_as_long_as_it_should_be(vector: list[float], damaged: bool) -> None:
    assert damaged_vectors([(7, np.array(vector, "<f2").tobytes())], 4) == [7] * damaged


def test_every_unit_vector_passes_and_what_is_not_noticed_hardly_matters() -> None:
    """Of 2,000 flipped bits in vectors of 512 numbers: which are noticed, and how far the others turn a vector."""
    rng = np.random.default_rng(1)
    rows = rng.normal(size=(2000, DIM))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    halves = rows.astype("<f2")
    assert damaged_vectors([(n, row.tobytes()) for n, row in enumerate(halves)], DIM) == []
    bits = rng.integers(0, 16, 2000)
    flipped = halves.copy()
    flipped.view("<u2")[np.arange(2000), rng.integers(0, DIM, 2000)] ^= (1 << bits).astype("<u2")
    noticed = np.zeros(2000, bool)
    noticed[damaged_vectors([(n, row.tobytes()) for n, row in enumerate(flipped)], DIM)] = True
    share = [noticed[bits == bit].mean() for bit in range(16)]
    assert share[14] == 1  # of an exponent
    assert min(share[9:15]) > 0.3
    assert max(share[:5]) == share[15] == 0  # the last five places, and signs
    assert 0.25 < noticed.mean() < 0.35
    cosines = (halves[~noticed].astype(float) * flipped[~noticed].astype(float)).sum(1)
    assert cosines.min() > 0.9


def test_an_unexpected_error_is_blamed_on_damage_only_where_there_is_some(
    library: glimpse.Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(reader: Reader) -> None:
        raise TypeError("a mistake of ours")

    monkeypatch.setattr("store.overview.status", failing)
    with pytest.raises(TypeError):
        library.status()
    edit(library.settings.library, "UPDATE files SET gone = 'x' WHERE id = 3")
    with pytest.raises(LibraryError, match=r"is damaged: rows say what was never written: 1 of files; .*doctor$"):
        library.status()


# --- beside the database


def test_a_damaged_vector_leaves_the_index_files_too(library: glimpse.Library, place: Path) -> None:
    """Their names say by a hash of their last vector which database they belong to."""
    folder = library.settings.library
    edit(folder, "UPDATE vectors SET vector = zeroblob(1024) WHERE id = 3")
    library.doctor(repair=True)
    with closing(sqlite3.connect(folder / "library.db")) as db:
        assert db.execute("SELECT space_id, vector_id, fingerprint FROM tombstones").fetchall() == [
            (1, 3, fingerprint(bytes(1024)))
        ]


def test_a_sound_library_is_healthy_and_left_alone(library: glimpse.Library) -> None:
    before = contents(library.settings.library)
    found = library.doctor()
    assert found.healthy
    assert all(finding.state is State.OK for finding in found.findings)
    assert contents(library.settings.library) == before
    assert library.doctor(repair=True).healthy
    assert contents(library.settings.library) == before


def test_previews_that_are_damaged_go_and_foreign_ones_stay(library: glimpse.Library) -> None:
    folder = library.settings.library / "previews"
    first, second, *_ = sorted(folder.glob("*/*.webp"))
    whole = first.read_bytes()
    first.write_bytes(whole[:-1])
    second.write_bytes(b"rubbish")
    foreign = second.with_name(f"{'0' * 30}.webp")
    foreign.write_bytes(whole)
    old_scratch, new_scratch = (second.with_name(f"{'0' * 30}.{name}") for name in ("a1", "b2"))
    for path in (old_scratch, new_scratch):
        path.write_bytes(b"half a")
    os.utime(old_scratch, (0, time.time() - 7200))
    assert problems(library.doctor()) == ["previews"]
    assert "3 files" in next(f.text for f in library.doctor().findings if f.state is State.PROBLEM)
    library.doctor(repair=True)
    assert [path.exists() for path in (first, second, foreign, old_scratch, new_scratch)] == [
        False, False, True, False, True,
    ]  # fmt: skip
    assert library.doctor().healthy
    assert states(library.doctor())["previews"] is State.NOTE


def test_index_files_and_leftovers_are_deleted(library: glimpse.Library) -> None:
    index = library.settings.library / "index"
    index.mkdir(exist_ok=True)
    (index / "1-7-01234567-0123456789abcdef.flat").write_bytes(b"rubbish")
    left = [index / "ab.tmp", library.settings.library / "x.repair.tmp"]
    left[0].write_bytes(b"x")
    left[1].mkdir()
    (left[1] / "library.db").write_bytes(b"x")
    assert problems(library.doctor()) == ["index"]
    for path in left:
        os.utime(path, (0, time.time() - 7200))
    assert problems(library.doctor()) == ["index", "leftovers"]
    library.doctor(repair=True)
    assert library.doctor().healthy
    assert list(index.iterdir()) == []
    assert not left[1].exists()


def test_a_folder_that_is_not_there_is_no_damage(library: glimpse.Library, place: Path) -> None:
    away = place / "away"
    (place / "photos").rename(away)
    try:
        found = library.doctor()
    finally:
        away.rename(place / "photos")
    assert (found.healthy, states(found)["folders"]) == (True, State.NOTE)


def test_a_library_that_is_written_to_is_looked_over_and_not_repaired(library: glimpse.Library) -> None:
    with FileLock(library.settings.library / "write.lock"):
        assert states(library.doctor())["lock"] is State.NOTE
        with pytest.raises(LibraryBusyError, match="another glimpse is writing"):
            library.doctor(repair=True)


def test_no_room_is_told(library: glimpse.Library, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(library.settings.library)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1_000_000))
    assert problems(library.doctor(repair=True)) == ["disk"]


def test_a_model_that_is_not_there_is_told(folder: Path, cache: Path) -> None:
    edit(folder, "UPDATE spaces SET name = 'small'")
    with glimpse.Library(Settings(folder, cache)) as library:
        found = library.doctor()
    assert [(f.check, f.remedy) for f in found.findings if f.state is State.PROBLEM] == [
        ("model", "glimpse models get small")
    ]


def test_the_command(folder: Path) -> None:
    arguments = ("doctor", "--library", folder)
    done = run(*arguments)
    assert (done.returncode, done.stdout.count(b"\nok ")) == (0, 13)
    edit(folder, "UPDATE vectors SET vector = zeroblob(1024) WHERE id = 3")
    told = run(*arguments, "--json")
    shown = json.loads(told.stdout)
    assert (told.returncode, shown["healthy"], shown["copy"], shown["saved"]) == (1, False, None, {})
    assert {"check", "state", "text", "remedy"} == set(shown["findings"][0])
    done = run(*arguments, "--repair")
    assert done.returncode == 1
    assert b"repaired vectors     1 of 62 vectors are damaged\n" in done.stdout
    assert run(*arguments).returncode == 1  # the photo has no vector yet
    missing = run("doctor", "--library", folder / "nowhere")
    assert (missing.returncode, missing.stdout) == (2, b"")
    assert missing.stderr.startswith(b"glimpse: there is no library in ")


# --- the pages themselves


def test_raw_pages_hold_what_sqlite_says(tmp_path: Path) -> None:
    """Rows longer than a page, negative ids, every kind of value, pages that are only in the log, deleted rows."""
    rng = random.Random(5)
    path = tmp_path / "any.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("PRAGMA page_size = 1024")
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, a, b)")
        made = [None, 0, 1, -1, 2**63 - 1, -(2**63), 3.5, -1e300, "", "näme", b"", rng.randbytes(5000), "x" * 1000]
        for number in range(-20, 400):
            db.execute("INSERT INTO t VALUES (?, ?, ?)", (number, rng.choice(made), rng.choice(made)))
        db.execute("DELETE FROM t WHERE id % 3 = 0 OR id BETWEEN 100 AND 250")
        db.execute("PRAGMA wal_checkpoint")
        db.execute("UPDATE t SET a = 'only in the log' WHERE id % 7 = 0")
        with closing(Pages(path, 4096)) as pages:
            assert pages.page_size == 1024
            root = db.execute("SELECT rootpage FROM sqlite_master").fetchone()[0]
            found = [row for number in pages.leaves(root) for row in pages.rows(number)]
            assert pages.free()
        assert [(row[0], *row[1][1:]) for row in found if row] == db.execute("SELECT * FROM t ORDER BY id").fetchall()


def test_rubbish_makes_no_rows_and_no_errors(tmp_path: Path) -> None:
    rng = random.Random(6)
    path = tmp_path / "rubbish.db"
    for _ in range(60):
        path.write_bytes(b"".join(bytes([rng.choice([13, 5])]) + rng.randbytes(1023) for _ in range(8)))
        with closing(Pages(path, 1024)) as pages:
            for number in range(10):
                list(pages.leaves(number))
                list(pages.rows(number))
            pages.free()


def test_a_row_of_each_table_is_told_from_those_of_the_others(library: glimpse.Library) -> None:
    """The doctor finds the tables of pages that nothing points to any more by what is in them."""
    edit(
        library.settings.library,
        "INSERT INTO tags (name) VALUES ('x')",
        "INSERT INTO file_tags (file_id, tag_id, source) VALUES (1, 1, 'file')",
        "UPDATE library SET preview = 512",
    )
    with closing(sqlite3.connect(library.settings.library / "library.db")) as db:
        known = layouts(db)
        for name in known:
            for row in db.execute(f"SELECT * FROM {name}"):
                assert [other for other, layout in known.items() if layout.fits(row[1:])] == [name]


def test_metadata_that_is_known_is_what_a_row_may_say() -> None:
    from store.layout import RULES

    assert RULES["contents", "metadata"](json.dumps({"taken": "2020", "keywords": ["a"]}))
    assert not RULES["contents", "metadata"](json.dumps({"takem": "2020"}))
    assert {"taken", "keywords"} <= set(Metadata.__dataclass_fields__)


@pytest.mark.parametrize("name", ["index", "previews"])
def test_a_folder_that_cannot_be_looked_into_is_not_called_healthy(library: glimpse.Library, name: str) -> None:
    shutil.rmtree(library.settings.library / name, ignore_errors=True)
    (library.settings.library / name).touch()
    found = library.doctor()
    assert not found.healthy
    assert [(f.check, f.remedy) for f in found.findings if f.state is State.PROBLEM] == [(name, "move it away")]


def test_a_folder_where_an_index_file_should_be_is_deleted(library: glimpse.Library) -> None:
    odd = library.settings.library / "index" / "1-60-0badcafe-0badcafe0badcafe.ivf"
    (odd / "x").mkdir(parents=True)
    assert not library.doctor().healthy
    library.doctor(repair=True)
    assert not odd.exists()
    assert library.doctor().healthy
