"""One indexer and many searchers at once: nobody waits, nobody fails, nothing committed is missed."""

import contextlib
import json
import random
import shutil
import subprocess
import sys
import threading
import time
from collections import Counter
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import pytest

import glimpse
import store.vectors
from core.errors import LibraryBusyError
from core.query import Options
from core.settings import Settings
from core.types import Pixels, Progress, ProgressCallback, Vectors
from encoders.fake import FakeEncoder
from indexer.pipeline import index
from search.engine import open_engine
from search.grammar import parse_query
from store.writer import Writer
from tests.conftest import ROOT, paint, run
from tests.old_libraries import bmp

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
            count = len(library.search("red", k=2 * PHOTOS, cut=False))
            assert count >= before
            assert library.status().files >= count
            before = count
            time.sleep(0.02)


def start(function: str, place: Path, *more: object) -> "subprocess.Popen[str]":
    code = f"from tests.test_concurrency import {function}; {function}(*{(str(place), *more)!r})"
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
                hits = engines[number % 2].answer(EVERYTHING, Options(2 * PHOTOS, cut=False)).hits
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
        assert len(engine.answer(EVERYTHING, Options(2 * PHOTOS, cut=False)).hits) == PHOTOS
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
            assert len(engine.answer(EVERYTHING, Options(10, cut=False)).hits) == 10

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
    assert len(engine.answer(EVERYTHING, Options(1000, cut=False)).hits) == PHOTOS - 100
    engine.reader.close()


# A minute of everything

LASTING, FLEETING = "lasting", "fleeting"
"""Photos that come and stay, in the order of their numbers; photos that come, change, go, and are forgotten."""


@dataclass(frozen=True)
class News:
    """What the indexer tells the searchers, after it is so.

    written: lasting photos that may be found; lasting: that must be; fleeting: the number that is painted in each
    fleeting photo; turn: of the fleeting ones, odd while they change.
    """

    written: int = 0
    lasting: int = 0
    fleeting: dict[str, int] = field(default_factory=dict)
    turn: int = 0
    commits: int = 0
    over: bool = False

    def tell(self, place: Path) -> "News":
        (place / "news.new").write_text(json.dumps(asdict(self)), encoding="utf-8")
        (place / "news.new").replace(place / "news")
        return self


def heard(place: Path) -> News:
    return News(**json.loads((place / "news").read_text(encoding="utf-8")))


def picture(number: int) -> bytes:
    """Return a photo whose vector tells its number."""
    return bmp(255, number // 256, number % 256)


def score(number: int) -> float:
    return float(255 / (255**2 + (number // 256) ** 2 + (number % 256) ** 2) ** 0.5)


def live_for(place: str, seconds: float) -> None:
    """Add, change, delete and forget photos in a process of its own, telling what is committed."""
    here, dice = Path(place), random.Random(4)
    photos, news, until = here / "photos", heard(here), time.monotonic() + seconds
    store.vectors.TAIL = 16
    numbers = iter(range(30_000, 65_000))
    while time.monotonic() < until or news.commits < 12:
        news = replace(news, written=news.written + 12).tell(here)
        for number in range(news.written - 12, news.written):
            (photos / LASTING / f"{number:05}.bmp").write_bytes(picture(number))

        def tell(progress: Progress, before: News = news) -> None:
            nonlocal news
            if progress.total:
                lasting = max(news.lasting, before.lasting + progress.done)
                news = replace(news, lasting=lasting, commits=news.commits + 1).tell(here)

        index_when_free(here, LASTING, tell)
        news = replace(news, lasting=news.written, turn=news.turn + 1).tell(here)
        fleeting = dict(news.fleeting)
        for name in [f"{dice.randrange(40):02}.bmp" for _ in range(8)]:
            path = photos / FLEETING / name
            if name in fleeting and dice.random() < 0.5:
                path.unlink()
                del fleeting[name]
            else:
                fleeting[name] = next(numbers)
                path.write_bytes(picture(fleeting[name]))
        index_when_free(here, FLEETING)
        if dice.random() < 0.5:
            with contextlib.suppress(LibraryBusyError), glimpse.Library(settings(here)) as library:
                library.prune()
        if dice.random() < 0.2:
            shutil.rmtree(here / "library" / "index", ignore_errors=True)
        news = replace(news, fleeting=fleeting, turn=news.turn + 1, commits=news.commits + 1).tell(here)
    replace(news, over=True).tell(here)


def index_when_free(here: Path, folder: str, tell: ProgressCallback = lambda _: None) -> None:
    while True:
        with contextlib.suppress(LibraryBusyError), Writer(here / "library") as library:
            index(library, SlowEncoder(), [here / "photos" / folder], settings(here), tell)
            return
        time.sleep(0.05)


def check(found: list[tuple[str, float]], before: News, after: News) -> None:
    """Hold paths and scores to what was told before the search began and after it had ended."""
    assert max(Counter(path for path, _ in found).values()) == 1
    names: dict[str, dict[str, float]] = {LASTING: {}, FLEETING: {}}
    for path, value in found:
        folder, name = path.split("/")[-2:]
        names[folder][name] = value
    count = len(names[LASTING])
    assert before.lasting <= count <= after.written
    assert names[LASTING] == {f"{n:05}.bmp": pytest.approx(score(n), abs=2e-3) for n in range(count)}
    if before.turn == after.turn and before.turn % 2 == 0:
        assert names[FLEETING] == {n: pytest.approx(score(i), abs=2e-3) for n, i in before.fleeting.items()}


def search_for_ever(place: str) -> None:
    """Search in a process of its own until all is over; prints how often, and after how many different commits."""
    here, searches, commits = Path(place), Counter[str](), set()
    store.vectors.TAIL = 16
    with glimpse.Library(settings(here)) as kept:
        kept.search("red")
        print("ready", flush=True)
        while not (before := heard(here)).over:
            anew = searches["in an open library"] % 20 == 19 and searches["opened anew"] * 20 < sum(searches.values())
            library = glimpse.Library(settings(here)) if anew else kept
            hits = library.search("red", k=100_000, cut=False)
            check([(str(p), hit.score) for hit in hits for p in (hit.path, *hit.also)], before, heard(here))
            if anew:
                library.close()
            searches["opened anew" if anew else "in an open library"] += 1
            commits.add(before.commits)
            time.sleep(0.005)
    print(json.dumps([searches, len(commits)]))


@pytest.mark.parametrize(("many", "seconds"), [(2, 2), pytest.param(8, 60, marks=pytest.mark.long)])
def test_one_indexer_and_many_searchers(tmp_path: Path, many: int, seconds: float) -> None:
    """None missing, none twice, none stale: what was told before a search began is in what it finds."""
    for folder in (LASTING, FLEETING):
        (tmp_path / "photos" / folder).mkdir(parents=True)
    (tmp_path / "photos" / LASTING / "00000.bmp").write_bytes(picture(0))
    with glimpse.Library(settings(tmp_path)) as library:
        library.index([tmp_path / "photos"])
    News(written=1, lasting=1).tell(tmp_path)
    at = ("--library", tmp_path / "library")
    whole = Counter[str]()
    with contextlib.ExitStack() as stack:
        searchers = [stack.enter_context(start("search_for_ever", tmp_path)) for _ in range(many)]
        for searcher in searchers:
            assert searcher.stdout is not None
            assert searcher.stdout.readline() == "ready\n"
        indexer = stack.enter_context(start("live_for", tmp_path, seconds))
        while not (before := heard(tmp_path)).over and indexer.poll() is None:
            found = run("search", "red", "-k", "100000", "--all", "--json", *at)
            assert (found.returncode, found.stderr) == (0, b"")
            lines = [json.loads(line) for line in found.stdout.splitlines()]
            check([(p, hit["score"]) for hit in lines for p in (hit["path"], *hit["also"])], before, heard(tmp_path))
            whole["glimpse search"] += 1
            other = run("index", tmp_path / "photos" / LASTING, *at)
            busy = (
                f"glimpse: another glimpse is writing to {at[1]}; wait until it has finished, or stop it\n".encode()
            )
            assert other.returncode == 0 or (other.returncode, other.stderr) == (2, busy)
            whole["second indexer sent away" if other.returncode else "second indexer let in"] += 1
        assert (indexer.communicate(timeout=60), indexer.returncode) == (("", ""), 0)
        told = [(*searcher.communicate(timeout=60), searcher.returncode) for searcher in searchers]
    assert [(error, code) for _, error, code in told] == [("", 0)] * many
    searches, commits = zip(*(json.loads(line) for line, _, _ in told), strict=True)
    total = sum((Counter(each) for each in searches), whole)
    news = heard(tmp_path)
    print(f"{news.commits} commits, {news.lasting + len(news.fleeting)} photos at the end; {dict(total)}; "
          f"each searcher asked after {min(commits)} to {max(commits)} different commits; errors: 0")  # fmt: skip
    assert min(sum(each.values()) for each in searches) > 5
    assert min(commits) > 1
    with glimpse.Library(settings(tmp_path)) as library:
        hits = library.search("red", k=100_000, cut=False)
    check([(str(p), hit.score) for hit in hits for p in (hit.path, *hit.also)], news, news)
