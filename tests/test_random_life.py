"""Any history of files, models, crashes and damages, in any order: what is found is what is there."""

import contextlib
import os
import random
import shutil
import sqlite3
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from hypothesis import HealthCheck, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

import glimpse
from core.errors import LibraryError, QueryError
from core.types import Hit, IndexReport
from store.previews import Previews
from tests import life
from tests.life import BYTES, CLOSE, DIGESTS, MODELS, PHOTOS, direction, inside

FOLDERS = ["photos", "photos/a", "photos/a/b", "photos/c", "more", "more/e"]
FILES = [f"{folder}/{name}" for folder in FOLDERS for name in ("x.jpg", "y.png", "z")]
PATTERNS = [(), ("y.*",), ("x.jpg", "z")]
BEGINNING = ["red", "orange", "white"]
QUERIES = {"red": (1, 0, 0), "blue": (0, 0, 1), "red blue": (1, 0, 1)}

files = st.sampled_from(FILES)
folders = st.sampled_from(FOLDERS)
contents = st.sampled_from(sorted(BYTES))
models = st.sampled_from(sorted(MODELS))
own_or_other = st.sampled_from([None, *MODELS])
dice = st.integers(0, 1000)
steps = st.integers(1, 60)


class Life(RuleBasedStateMachine):
    """Files in a dict, path to content, and what the library knows, beside the files themselves and the library."""

    kills: ClassVar[bool] = False
    """Whether a crash is a process of its own that is killed."""
    counts: ClassVar[Counter[str]] = Counter()
    encoded: ClassVar[Counter[str]]
    base: ClassVar[str]

    @initialize()
    def begin(self) -> None:
        self.place = Path(tempfile.mkdtemp(dir=self.base))
        (self.place / "photos").mkdir()
        self.clock = 1_600_000_000
        self.there: dict[str, str] = {}
        self.movies: set[str] = set()
        self.trash: dict[str, str] = {}
        self.away: dict[str, str] = {}
        self.backup: life.Seen | None = None
        self.exclude: tuple[str, ...] | None = None
        self.touched = True
        self.library = glimpse.Library(life.settings(self.place))
        with glimpse.Library(life.settings(self.place, "fake")) as library:
            library.index([self.place / "photos"])
        self.seen = life.look(self.place)
        for folder, content in zip(["photos", "photos/a", "more"], BEGINNING, strict=True):
            self.add_or_change(f"{folder}/x.jpg", content)
        self.index_one_folder("fake", "photos")
        self.index_one_folder("fake", "more")

    def teardown(self) -> None:
        if hasattr(self, "library"):
            self.library.close()
            shutil.rmtree(self.place)

    # Files

    def can_write(self, path: str) -> bool:
        return not (self.away and inside(f"{path}/", "more"))

    def room(self, path: str) -> Path:
        full = self.place / path
        full.parent.mkdir(parents=True, exist_ok=True)
        return full

    def tick(self, path: str) -> None:
        """Give a file a time of its own, so that a time never stands for two contents."""
        self.clock += 1
        os.utime(self.place / path, (self.clock, self.clock))

    def choose(self, number: int, among: dict[str, str]) -> str:
        return sorted(among)[number % len(among)]

    @rule(path=files, content=contents)
    def add_or_change(self, path: str, content: str) -> None:
        if self.can_write(path):
            self.room(path).write_bytes(BYTES[content])
            self.tick(path)
            self.there[path] = content

    @precondition(lambda self: self.there)
    @rule(number=dice, goal=files)
    def move(self, number: int, goal: str) -> None:
        if self.can_write(goal):
            source = self.choose(number, self.there)
            (self.place / source).rename(self.room(goal))
            self.there[goal] = self.there.pop(source)

    @precondition(lambda self: len(self.there) > 1)
    @rule(number=dice, other=dice)
    def exchange_or_touch(self, number: int, other: int) -> None:
        one, two = self.choose(number, self.there), self.choose(other, self.there)
        if one == two:
            self.tick(one)
        else:
            (self.place / one).rename(self.place / "aside")
            (self.place / two).rename(self.place / one)
            (self.place / "aside").rename(self.place / two)
            self.there[one], self.there[two] = self.there[two], self.there[one]

    @precondition(lambda self: self.there)
    @rule(number=dice, goal=files, keep_time=st.booleans())
    def copy(self, number: int, goal: str, keep_time: bool) -> None:
        source = self.choose(number, self.there)
        if self.can_write(goal) and source != goal:
            shutil.copy2(self.place / source, self.room(goal))
            if not keep_time:
                self.tick(goal)
            self.there[goal] = self.there[source]

    @precondition(lambda self: self.there)
    @rule(number=dice)
    def delete(self, number: int) -> None:
        path = self.choose(number, self.there)
        (self.place / path).rename(self.place / path.replace("/", "-"))
        self.trash[path] = self.there.pop(path)

    @precondition(lambda self: self.trash)
    @rule(number=dice)
    def restore(self, number: int) -> None:
        path = self.choose(number, self.trash)
        if self.can_write(path):
            (self.place / path.replace("/", "-")).rename(self.room(path))
            self.there[path] = self.trash.pop(path)

    @rule(folder=folders)
    def movie_comes_or_goes(self, folder: str) -> None:
        movie = f"{folder}/x.mp"  # of a phone of Google's: alone, it is nothing
        if movie in self.movies:
            (self.place / movie).unlink()
            self.movies.remove(movie)
        elif self.can_write(movie):
            self.room(movie).write_bytes(b"a movie")
            self.tick(movie)
            self.movies.add(movie)

    @rule(source=folders, goal=st.sampled_from(["photos/d", "more/e/f", "photos/c", "photos/a/b"]))
    def rename_folder(self, source: str, goal: str) -> None:
        there = (self.place / source).is_dir() and not (self.place / goal).exists()
        if there and source != "photos" and not inside(goal, source) and self.can_write(goal):
            (self.place / source).rename(self.room(goal))
            for path in [path for path in self.there if inside(path, source)]:
                self.there[goal + path[len(source) :]] = self.there.pop(path)
            inside_it = {movie for movie in self.movies if inside(movie, source)}
            self.movies = self.movies - inside_it | {goal + movie[len(source) :] for movie in inside_it}

    @rule()
    def unplug_or_plug_in(self) -> None:
        if self.away:
            (self.place / "unplugged").rename(self.place / "more")
            self.there |= self.away
            self.movies |= self.away_movies
            self.away = {}
        elif any(inside(path, "more") for path in self.there):
            (self.place / "more").rename(self.place / "unplugged")
            self.away = {path: self.there.pop(path) for path in [*self.there] if inside(path, "more")}
            self.away_movies = {movie for movie in self.movies if inside(movie, "more")}
            self.movies -= self.away_movies

    # What is done with the library

    def do(self, model: str | None, crash: int | None, action: str, *arguments: object) -> object:
        """Change the library; returns what it says, None where it died before it came to its end."""
        self.touched = True
        if crash and self.kills:
            died = life.act_and_be_killed(self.place, model, crash, action, *arguments)
        else:
            died = False
            library = glimpse.Library(life.settings(self.place, model)) if model else self.library
            try:
                with life.dying(crash, life.raise_death):
                    told = life.act(library, action, *arguments)
            except life.Death:
                died = True
            if died or library is not self.library:
                library.close()
        if not died and not (crash and self.kills):
            return told
        self.counts["crashes"] += died
        self.reopen()
        return None

    def index_like(self, model: str | None, folder: str, exclude: tuple[str, ...] | None, crash: int | None) -> None:
        exclude = exclude if exclude is not None else self.exclude if folder else None
        named = {folder: exclude} if folder else dict.fromkeys(self.seen.sources, exclude)
        told = {path: self.seen.sources.get(path) if said is None else said for path, said in named.items()}
        before = self.seen._replace(sources=self.seen.sources | told)
        run = life.foresee(before, self.place, self.there, self.movies, model or self.seen.current, folder)
        encoded = self.encoded["photos"]
        report = self.do(model, crash, "index", str(self.place / folder) if folder else "", exclude)
        after = life.look(self.place)
        self.counts["index runs"] += 1
        if isinstance(report, IndexReport):
            life.check_index(before, after, run, report)
            assert self.encoded["photos"] - encoded == len(run.needed)
        else:
            assert after.sources in (self.seen.sources, before.sources)
            life.check_dead_run(before, after, run)
        self.seen = after
        self.exclude = next(iter(after.sources.values()))

    @rule(names=st.lists(files, min_size=1, max_size=4, unique=True), number=dice, model=own_or_other)
    def add_and_index(self, names: list[str], number: int, model: str | None) -> None:
        for turn, path in enumerate(names):
            self.add_or_change(path, sorted(BYTES)[(number + turn) % len(BYTES)])
        self.index_like(model, "", None, None)

    @rule(model=own_or_other)
    def index(self, model: str | None) -> None:
        self.index_like(model, "", None, None)

    @rule(model=own_or_other, folder=folders)
    def index_one_folder(self, model: str | None, folder: str) -> None:
        if (self.place / folder).is_dir():
            self.index_like(model, folder, None, None)

    @rule(exclude=st.sampled_from(PATTERNS))
    def leave_out(self, exclude: tuple[str, ...]) -> None:
        self.index_like(None, "", exclude, None)

    @rule(model=own_or_other, folder=st.sampled_from(["", "", *FOLDERS]), crash=steps)
    def crash_while_indexing(self, model: str | None, folder: str, crash: int) -> None:
        if (self.place / folder).is_dir():
            self.index_like(model, folder, None, crash)

    @rule(crash=st.one_of(st.none(), st.none(), st.integers(1, 16)))
    def prune(self, crash: int | None) -> None:
        gone = sum(is_gone for _, is_gone in self.seen.rows.values())
        count = self.do(None, crash, "prune")
        after = life.look(self.place)
        left = {path: row for path, row in self.seen.rows.items() if not row[1]}
        kept = {content for content, _ in left.values() if content}
        pruned = self.seen._replace(
            rows=left,
            contents=kept,
            pairs=after.pairs,
            vectors={
                model: {content: key for content, key in ids.items() if content in kept}
                for model, ids in self.seen.vectors.items()
            },
        )
        assert after == pruned or (count is None and after == self.seen)
        assert count in (gone, None)
        if count is not None:
            stored = {path.parent.name + path.stem for path in (self.place / "library/previews").glob("*/*.webp")}
            assert stored <= {DIGESTS[content].hex() for content in kept}
        self.seen = after

    def library_of(self, somebody: bool) -> glimpse.Library:
        return glimpse.Library(life.settings(self.place)) if somebody else self.library

    @rule(model=models, anyway=st.booleans(), crash=st.one_of(st.none(), st.integers(1, 10)), somebody=st.booleans())
    def switch_model(self, model: str, anyway: bool, crash: int | None, somebody: bool) -> None:
        used = self.seen._replace(current=model)
        if model not in self.seen.vectors or (self.seen.missing(model) and not anyway):
            with pytest.raises(LibraryError, match=f"glimpse index --model {model}"):
                self.library.use_model(model, anyway)
        elif crash:
            self.do(None, crash, "use", model, anyway)
            assert life.look(self.place) in (self.seen, used)
        else:
            self.touched = True
            self.library_of(somebody).use_model(model, anyway)
            assert life.look(self.place) == used
        self.seen = life.look(self.place)

    @rule(model=models, crash=st.one_of(st.none(), st.integers(1, 10)), somebody=st.booleans())
    def drop_model(self, model: str, crash: int | None, somebody: bool) -> None:
        dropped = self.seen._replace(vectors={name: ids for name, ids in self.seen.vectors.items() if name != model})
        if model not in self.seen.vectors or model == self.seen.current:
            with pytest.raises(
                LibraryError, match=r"another first|no photos in|nothing in the library is indexed with"
            ):
                self.library.drop_model(model)
        elif crash:
            self.do(None, crash, "drop", model)
            assert life.look(self.place) in (self.seen, dropped)
        else:
            self.touched = True
            assert self.library_of(somebody).drop_model(model) == len(self.seen.vectors[model])
            assert life.look(self.place) == dropped
        self.seen = life.look(self.place)

    @rule()
    def reopen(self) -> None:
        self.touched = True
        self.library.close()
        self.library = glimpse.Library(life.settings(self.place))

    # What may happen to it

    def index_files(self) -> Iterator[Path]:
        self.touched = True
        return (path for path in sorted((self.place / "library" / "index").glob("*")) if path.is_file())

    @rule(number=dice, how=st.sampled_from(["delete", "flip", "cut", "empty", "all", "keep", "bring back"]))
    def spoil_index_files(self, number: int, how: str) -> None:
        folder, kept, there = self.place / "library" / "index", self.place / "kept", list(self.index_files())
        if how == "all":
            shutil.rmtree(folder, ignore_errors=True)
        elif how == "keep":
            shutil.copytree(folder, kept, dirs_exist_ok=True)
        elif how == "bring back" and kept.is_dir():  # as from an old copy of the disk
            shutil.copytree(kept, folder, dirs_exist_ok=True)
        elif there:
            path = there[number % len(there)]
            data = bytearray(path.read_bytes())
            path.unlink()  # whoever has it open goes on with what it was
            if how != "delete":
                data[number % len(data)] ^= 0x10
                path.write_bytes({"flip": data, "cut": data[: len(data) // 2]}.get(how, b""))

    @rule(content=st.sampled_from([None, *sorted(PHOTOS)]))
    def delete_previews(self, content: str | None) -> None:
        if content is None:
            shutil.rmtree(self.place / "library" / "previews", ignore_errors=True)
        else:
            Previews(self.place / "library").path(DIGESTS[content]).unlink(missing_ok=True)

    @rule(restore=st.booleans())
    def back_up_or_restore(self, restore: bool) -> None:
        database, backup = self.place / "library" / "library.db", self.place / "backup.db"
        if not restore or self.backup is None:
            with (
                contextlib.closing(sqlite3.connect(database)) as db,
                contextlib.closing(sqlite3.connect(backup)) as copy,
            ):
                db.backup(copy)
            self.backup = self.seen
        else:
            self.library.close()
            for name in ("library.db-wal", "library.db-shm"):
                (self.place / "library" / name).unlink(missing_ok=True)
            shutil.copy(backup, database)
            self.seen = self.backup
            self.exclude = next(iter(self.seen.sources.values()))
            self.reopen()

    # What must be so at every step

    @invariant()
    def the_model_is_the_folder(self) -> None:
        if hasattr(self, "seen"):
            on_disk = {
                os.path.relpath(path, self.place)
                for root in ("photos", "more")
                for path in (self.place / root).rglob("*")
                if path.is_file()
            }
            assert on_disk == self.there.keys() | self.movies

    @invariant()
    def what_is_found_is_what_is_known(self) -> None:
        if hasattr(self, "seen") and self.touched:  # or nothing has changed but photos
            self.touched = False
            self.check_search(self.library, self.seen.current, *QUERIES)
            for model in self.seen.vectors:
                asked = None if model == self.seen.current else model
                with glimpse.Library(life.settings(self.place, asked)) as fresh:
                    self.check_search(fresh, model, "red blue")
            self.check_status()

    @precondition(lambda self: self.there)
    @rule(number=dice)
    def ask_with_a_photo(self, number: int) -> None:
        path = self.choose(number, self.there)
        if self.there[path] in PHOTOS:
            expected = self.expected(self.seen.current, direction(self.seen.current, self.there[path]))
            own = {self.there[path], self.seen.live.get(path)}
            self.compare(
                self.library.similar(self.place / path, k=1000),
                {path: known for path, known in expected.items() if known[0] not in own},
            )

    def expected(self, model: str, query: np.ndarray) -> dict[str, tuple[str, float]]:
        """Return content and score of each file that a model must find."""
        return {
            path: (content, float(direction(model, content) @ query))
            for path, content in self.seen.live.items()
            if content in self.seen.vectors[model]
        }

    @rule(folder=folders, exact=st.booleans())
    def ask_within_a_folder(self, folder: str, exact: bool) -> None:
        known = self.expected(self.seen.current, np.array([1, 0, 0], np.float32))
        below = {path for path in known if inside(path, folder)}
        if not below:
            with pytest.raises(QueryError, match="the library knows nothing in"):
                self.library.search("red", within=self.place / folder)
        else:
            contents = {known[path][0] for path in below}
            hits = self.library.search("red", k=1000, within=self.place / folder, exact=exact)
            self.compare(hits, {path: row for path, row in known.items() if row[0] in contents})
            assert self.library.search("red", k=1, within=self.place / folder, exact=exact) == hits[:1]

    def check_search(self, library: glimpse.Library, model: str, *asked: str) -> None:
        for text in asked:
            colour = QUERIES[text]
            query = np.array(colour, np.float32) / np.linalg.norm(colour)
            hits = library.search(text, k=1000)
            self.compare(hits, self.expected(model, query))
            assert library.search(text, k=2) == library.search(text, k=2, exact=True) == hits[:2]
            self.counts["searches"] += 3

    def compare(self, hits: list[Hit], expected: dict[str, tuple[str, float]]) -> None:
        """Hold hits to what must be found: each path once, each content once, best first."""
        found = [(os.path.relpath(path, self.place), hit) for hit in hits for path in (hit.path, *hit.also)]
        assert sorted(path for path, _ in found) == sorted(expected)
        assert len({expected[path][0] for path in expected}) == len({hit.id for hit in hits}) == len(hits)
        for path, hit in found:
            assert hit.score == pytest.approx(expected[path][1], abs=CLOSE)
            assert expected[path][0] == expected[os.path.relpath(hit.path, self.place)][0]
        for hit in hits:
            paths = {os.path.relpath(path, self.place) for path in (hit.path, *hit.also)}
            beside = sorted(movie for photo, movie in self.seen.pairs if photo in paths)
            assert [os.path.relpath(path, self.place) for path in hit.companions] == beside
        assert hits == sorted(hits, key=lambda hit: (-hit.score, hit.id))

    def check_status(self) -> None:
        with glimpse.Library(life.settings(self.place)) as fresh:
            status = fresh.status()
        live = list(self.seen.live.values())
        assert (status.model, status.contents) == (self.seen.current, len(self.seen.contents))
        assert (status.files, status.failures) == (len(live) - live.count(None), live.count(None))
        assert status.gone == len(self.seen.rows) - len(live)
        assert {space.model: (space.vectors, space.missing, space.current) for space in status.spaces} == {
            model: (len(ids), self.seen.missing(model), model == self.seen.current)
            for model, ids in self.seen.vectors.items()
        }


class LifeWithKills(Life):
    kills = True


def run(machine: type[Life], **options: object) -> None:
    """Run many histories, and say how much happened in them."""
    machine.counts = Counter()
    with tempfile.TemporaryDirectory() as machine.base, life.small_world() as machine.encoded:
        run_state_machine_as_test(
            machine,
            settings=settings(
                deadline=None, database=None, print_blob=True, suppress_health_check=list(HealthCheck), **options
            ),  # type: ignore[arg-type]
        )
    print(dict(machine.counts))


def test_any_history_ends_with_what_is_there() -> None:
    run(Life, max_examples=16, stateful_step_count=25, derandomize=True)


@pytest.mark.long
@pytest.mark.parametrize(("machine", "examples"), [(Life, 400), (LifeWithKills, 60)])
def test_very_many_histories(machine: type[Life], examples: int) -> None:
    chosen = random.SystemRandom().randrange(2**32)
    print(f"seed {chosen}")
    run(seed(chosen)(machine), max_examples=examples, stateful_step_count=40)
