"""A run that is killed or stopped at any instant costs at most the batch in flight."""

import contextlib
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import glimpse
from core.errors import LibraryError
from core.settings import Settings
from core.types import Pixels, Progress, Vectors
from encoders.fake import FakeEncoder
from indexer.pipeline import index
from store.writer import Writer
from tests.conftest import ROOT, paint, run

PHOTOS = 60
BATCH = 4
STATE = """
    SELECT r.path, f.path, f.gone, f.failure, hex(c.digest), hex(v.vector) FROM files f
    JOIN roots r ON r.id = f.root_id LEFT JOIN contents c ON c.id = f.content_id
    LEFT JOIN segments s ON s.content_id = c.id LEFT JOIN vectors v ON v.segment_id = s.id ORDER BY r.path, f.path
"""


class SlowEncoder(FakeEncoder):
    """Take long enough over a batch to be killed in the middle."""

    def encode_images(self, pixels: Pixels) -> Vectors:
        time.sleep(0.02)
        return super().encode_images(pixels)


def settings(place: Path) -> Settings:
    return Settings(place / "library", place / "cache", "fake", batch_size=BATCH)


def child(place: str) -> None:
    """Index in a process of its own, telling every step."""
    here = Path(place)
    print("ready", flush=True)
    with Writer(here / "library") as library:
        tell: Callable[[Progress], None] = lambda progress: print(progress.done, flush=True)  # noqa: E731
        index(library, SlowEncoder(), [here / "photos"], settings(here), tell)


def kill_a_run(place: Path, lines: int, seconds: float = 0.0) -> int:
    """Start a run, kill it so many lines and seconds later, and return how many photos it had told of."""
    command = [sys.executable, "-c", f"from tests.test_crash import child; child({str(place)!r})"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT, text=True) as process:
        assert process.stdout is not None
        told = [process.stdout.readline() for _ in range(lines)]
        time.sleep(seconds)
        process.send_signal(signal.SIGKILL)
        told += process.stdout.readlines()
    return max((int(line) for line in told if line.strip().isdigit()), default=0)


def ask(place: Path, sql: str) -> list[tuple[object, ...]]:
    with contextlib.closing(sqlite3.connect(place / "library" / "library.db")) as db:
        return db.execute(sql).fetchall()


def encoded(place: Path) -> int:
    """Return the number of vectors, 0 where the run did not come as far as a library."""
    with contextlib.suppress(sqlite3.OperationalError):
        return int(str(ask(place, "SELECT count(*) FROM vectors")[0][0]))
    return 0


def finish(place: Path) -> int:
    """Run to the end; returns how many photos were encoded."""
    with glimpse.Library(settings(place)) as library:
        return library.index([place / "photos"]).encoded


def fill(place: Path) -> Path:
    """Make photos/ of 60 colours in a folder."""
    (place / "photos").mkdir()
    for number in range(PHOTOS):
        paint(place / "photos" / f"{number:02}.png", (255, 4 * number, 0), (8, 8))
    return place


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with photos/ of 60 colours, none of them indexed."""
    return fill(tmp_path)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[object, ...]]:
    """What a library of these photos holds in the end, without the folder's name."""
    place = fill(tmp_path_factory.mktemp("undisturbed"))
    assert finish(place) == PHOTOS
    return [row[1:] for row in ask(place, STATE)]


RANDOM = random.Random(20240229)
INSTANTS = [
    *[(1, RANDOM.uniform(0, 0.08)) for _ in range(4)],  # while the library is made
    (2, 0.0),
    (3, 0.0),
    (9, 0.0),
    (PHOTOS // BATCH + 2, 0.0),  # the last batch is told, the run is not finished
    *[(2, RANDOM.uniform(0, 0.5)) for _ in range(4)],
]


@pytest.mark.parametrize(("lines", "seconds"), INSTANTS)
def test_a_killed_run_loses_at_most_the_batch_in_flight(
    place: Path, undisturbed: list[tuple[object, ...]], lines: int, seconds: float
) -> None:
    told = kill_a_run(place, lines, seconds)
    kept = encoded(place)
    assert told <= kept <= told + BATCH
    assert finish(place) == PHOTOS - kept
    assert ask(place, "PRAGMA integrity_check") == [("ok",)]
    assert ask(place, "PRAGMA foreign_key_check") == []
    assert [row[1:] for row in ask(place, STATE)] == undisturbed


def test_a_search_right_after_a_kill_answers(place: Path) -> None:
    told = kill_a_run(place, 5)
    with glimpse.Library(settings(place)) as library:
        hits = library.search("red", k=PHOTOS, cut=False)
    assert told <= len(hits) <= told + BATCH
    assert [hit.path for hit in hits] == sorted(hit.path for hit in hits)  # the higher the number, the less red
    assert ask(place, "PRAGMA integrity_check") == [("ok",)]


def test_a_run_killed_again_and_again_comes_to_its_end(place: Path, undisturbed: list[tuple[object, ...]]) -> None:
    before = -1
    for _ in range(4):
        kill_a_run(place, 5)
        assert encoded(place) > before or before == PHOTOS
        before = encoded(place)
    finish(place)
    assert [row[1:] for row in ask(place, STATE)] == undisturbed


def test_a_library_that_was_only_begun_is_none_yet(tmp_path: Path) -> None:
    (tmp_path / "library").mkdir()
    (tmp_path / "library" / "library.db").touch()
    with (
        glimpse.Library(Settings(tmp_path / "library", tmp_path / "cache", "fake")) as library,
        pytest.raises(LibraryError, match=r"there is no library in .* yet"),
    ):
        library.search("red")


# Stopped in good order


def stop_after(batches: int) -> tuple[Callable[[Progress], None], Callable[[], bool]]:
    """Return a progress callback and the stop request that it turns on."""
    seen: list[Progress] = []
    return seen.append, lambda: len([step for step in seen if step.done]) >= batches


@pytest.mark.parametrize("batches", [1, 3])
def test_a_stopped_run_finishes_its_batch_and_the_next_goes_on(
    place: Path, undisturbed: list[tuple[object, ...]], batches: int
) -> None:
    progress, stop = stop_after(batches)
    with glimpse.Library(settings(place)) as library:
        report = library.index([place / "photos"], progress, stop)
        assert (report.interrupted, report.encoded, report.added) == (True, batches * BATCH, batches * BATCH)
        assert len(library.search("red", k=PHOTOS, cut=False)) == batches * BATCH
        last_run = library.status().last_run
        assert last_run is not None
        assert last_run["interrupted"]
        report = library.index()
        assert (report.interrupted, report.encoded, report.unchanged) == (
            False, PHOTOS - batches * BATCH, batches * BATCH,
        )  # fmt: skip
    assert [row[1:] for row in ask(place, STATE)] == undisturbed


def test_a_stop_in_the_middle_of_a_batch_commits_what_was_read(place: Path) -> None:
    seen: list[Progress] = []
    with glimpse.Library(settings(place)) as library:
        report = library.index([place / "photos"], seen.append, lambda: seen != [] and seen[-1].done > 8)
    assert report.interrupted
    assert 0 < report.encoded < PHOTOS
    assert encoded(place) == report.encoded


def test_a_run_stopped_before_it_began_changes_nothing(place: Path) -> None:
    finish(place)
    before = ask(place, STATE)
    (place / "photos" / "00.png").unlink()
    with glimpse.Library(settings(place)) as library:
        report = library.index(stop=lambda: True)
    assert (report.interrupted, report.gone, report.unchanged) == (True, 0, 0)
    assert ask(place, STATE) == before


def test_a_stopped_run_takes_no_file_for_gone_that_may_have_moved(place: Path) -> None:
    finish(place)
    content = (place / "photos" / "00.png").read_bytes()
    (place / "photos" / "00.png").unlink()
    for number in range(8):
        paint(place / "photos" / f"new{number}.png", (0, 0, 10 * number), (8, 8))
    (place / "photos" / "zz.png").write_bytes(content)
    progress, stop = stop_after(1)
    with glimpse.Library(settings(place)) as library:
        first = library.index((), progress, stop)
        second = library.index()
    assert (first.gone, first.moved + second.moved, second.gone) == (0, 1, 0)


@pytest.mark.parametrize("begun", [b"", "without tables"])
def test_a_library_whose_making_was_killed_is_made_by_the_next_run(place: Path, begun: bytes | str) -> None:
    (place / "library").mkdir()
    database = place / "library" / "library.db"
    if begun == b"":
        database.touch()
    else:
        with contextlib.closing(sqlite3.connect(database)) as db:
            db.execute("PRAGMA journal_mode = WAL")
            db.execute("VACUUM")
    for more in (["--dry-run"], []):
        done = run("index", place / "photos", "--model", "fake", "--library", place / "library", *more)
        assert (done.returncode, b"60 added" in done.stdout) == (0, True), done.stderr
    assert run("search", "red", "--library", place / "library").returncode == 0


def test_the_model_need_not_be_named_for_that(place: Path, cache: Path) -> None:
    (place / "library").mkdir()
    with contextlib.closing(sqlite3.connect(place / "library" / "library.db")) as db:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("VACUUM")
    with glimpse.Library(Settings(place / "library", cache)) as library:
        assert library.index([place / "photos"]).added == PHOTOS
