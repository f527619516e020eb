"""One indexer and many searchers at once: nobody waits, nobody fails, nothing committed is missed."""

import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

import glimpse
from core.settings import Settings
from core.types import Pixels, Progress, Vectors
from encoders.fake import FakeEncoder
from indexer.pipeline import index
from search.engine import open_engine
from search.grammar import parse_query
from store.writer import Writer
from tests.conftest import ROOT, paint

PHOTOS = 120
EVERYTHING = parse_query("red")


class SlowEncoder(FakeEncoder):
    """Leave the searchers time between two commits."""

    def encode_images(self, pixels: Pixels) -> Vectors:
        time.sleep(0.03)
        return super().encode_images(pixels)


def settings(place: Path) -> Settings:
    return Settings(place / "library", place / "cache", "fake", batch_size=4)


def index_slowly(place: str) -> None:
    """Index in a process of its own, telling how many photos are committed."""
    here = Path(place)

    def tell(progress: Progress) -> None:
        print(progress.done, flush=True)

    with Writer(here / "library") as library:
        index(library, SlowEncoder(), [here / "photos"], settings(here), tell)


def search_until_all_are_there(place: str) -> None:
    """Search in a process of its own until every photo is found; their number may only grow."""
    with glimpse.Library(settings(Path(place))) as library:
        print("ready", flush=True)
        before = 0
        while before < PHOTOS:
            count = len(library.search("red", k=2 * PHOTOS))
            assert count >= before
            assert library.status().files >= count
            before = count
            time.sleep(0.02)


def start(function: str, place: Path) -> "subprocess.Popen[str]":
    code = f"from tests.test_concurrency import {function}; {function}({str(place)!r})"
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", code],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT, text=True,
    )  # fmt: skip


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with a library that knows one photo, and photos/ with many more."""
    (tmp_path / "photos").mkdir()
    paint(tmp_path / "photos" / "000.png", (255, 0, 0), (8, 8))
    with glimpse.Library(settings(tmp_path)) as library:
        library.index([tmp_path / "photos"])
    for number in range(1, PHOTOS):
        paint(tmp_path / "photos" / f"{number:03}.png", (255, 2 * number, 0), (8, 8))
    return tmp_path


@pytest.fixture
def short_tail(monkeypatch: pytest.MonkeyPatch) -> None:
    """Write the index file again and again."""
    monkeypatch.setattr("store.vectors.TAIL", 10)


@pytest.mark.usefixtures("short_tail")
def test_what_is_committed_is_found_at_once_by_every_thread(place: Path) -> None:
    engines = [open_engine(place / "library", FakeEncoder(), place / "cache") for _ in range(2)]
    committed, errors, searches = [0], [], [0]

    def search(number: int) -> None:
        try:
            while committed[0] < PHOTOS - 1:
                at_least = committed[0]
                hits = engines[number % 2].search(EVERYTHING, 2 * PHOTOS)
                assert at_least + 1 <= len(hits) <= PHOTOS  # one was there before
                assert len({hit.id for hit in hits}) == len(hits)
                searches[0] += 1
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=search, args=(number,)) for number in range(4)]
    with start("index_slowly", place) as indexer:
        for thread in threads:
            thread.start()
        assert indexer.stdout is not None
        for line in indexer.stdout:
            committed[0] = int(line)
        committed[0] = PHOTOS
        for thread in threads:
            thread.join()
        assert indexer.stderr is not None
        assert (indexer.wait(), indexer.stderr.read()) == (0, "")
    assert errors == []
    assert searches[0] > 20
    for engine in engines:
        assert len(engine.search(EVERYTHING, 2 * PHOTOS)) == PHOTOS
        engine.reader.close()


def test_processes_that_search_while_another_indexes(place: Path) -> None:
    with start("search_until_all_are_there", place) as one, start("search_until_all_are_there", place) as other:
        for searcher in (one, other):
            assert searcher.stdout is not None
            assert searcher.stdout.readline() == "ready\n"
        with start("index_slowly", place) as indexer:
            assert indexer.communicate(timeout=60)[1] == ""
        for searcher in (one, other):
            assert searcher.communicate(timeout=60) == ("", "")
            assert searcher.returncode == 0
    assert indexer.returncode == 0


@pytest.mark.usefixtures("short_tail")
def test_prune_beside_searchers(place: Path) -> None:
    with glimpse.Library(settings(place)) as library:
        library.index()
    engine = open_engine(place / "library", FakeEncoder(), place / "cache")
    stop = threading.Event()
    errors: list[BaseException] = []

    def search() -> None:
        while not stop.is_set():
            assert len(engine.search(EVERYTHING, 10)) == 10

    def run() -> None:
        try:
            search()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    with glimpse.Library(settings(place)) as library:
        for number in range(0, 100, 10):
            for victim in range(number, number + 10):
                (place / "photos" / f"{victim:03}.png").unlink()
            library.index()
            library.prune()
    stop.set()
    for thread in threads:
        thread.join()
    assert errors == []
    assert len(engine.search(EVERYTHING, 1000)) == PHOTOS - 100
    engine.reader.close()
