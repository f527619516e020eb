"""Any history of files, in any order: what is found is what is there."""

import os
import shutil
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, settings
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
from core.settings import Settings
from tests.conftest import paint

COLOURS = {1.0: (255, 0, 0), 0.71: (255, 255, 0), 0.58: (255, 255, 255), 0.45: (128, 255, 0), 0.0: (0, 0, 255)}
"""Colours by their score for "red"."""
FOLDERS = ["", "a", "a/b", "c"]
FILES = [f"{folder}/{name}".lstrip("/") for folder in FOLDERS for name in ("x.png", "y.png", "z")]

colours = st.sampled_from(sorted(COLOURS))
files = st.sampled_from(FILES)
folders = st.sampled_from(FOLDERS[1:])
dice = st.integers(0, 1000)


class FileLife(RuleBasedStateMachine):
    """Files of a folder in a dict, path to colour, beside the folder itself and its library."""

    @initialize()
    def begin(self) -> None:
        self.place = Path(tempfile.mkdtemp())
        self.root = self.place / "photos"
        self.root.mkdir()
        self.library = glimpse.Library(Settings(self.place / "library", self.place / "cache", "fake", batch_size=2))
        self.library.index([self.root])
        self.there: dict[str, float] = {}
        self.trash: dict[str, float] = {}
        self.ever: set[float] = set()

    def teardown(self) -> None:
        if hasattr(self, "library"):
            self.library.close()
            shutil.rmtree(self.place)

    def choose(self, number: int, among: dict[str, float]) -> str:
        return sorted(among)[number % len(among)]

    def make_room(self, path: str) -> Path:
        full = self.root / path
        full.parent.mkdir(parents=True, exist_ok=True)
        return full

    @rule(path=files, colour=colours)
    def add_or_change(self, path: str, colour: float) -> None:
        paint(self.make_room(path), COLOURS[colour], (8, 8))
        self.there[path] = colour

    @precondition(lambda self: self.there)
    @rule(number=dice, goal=files)
    def move(self, number: int, goal: str) -> None:
        source = self.choose(number, self.there)
        (self.root / source).rename(self.make_room(goal))
        self.there[goal] = self.there.pop(source)

    @precondition(lambda self: self.there)
    @rule(number=dice, goal=files)
    def copy(self, number: int, goal: str) -> None:
        source = self.choose(number, self.there)
        self.make_room(goal).write_bytes((self.root / source).read_bytes())
        self.there[goal] = self.there[source]

    @precondition(lambda self: self.there)
    @rule(number=dice)
    def delete(self, number: int) -> None:
        path = self.choose(number, self.there)
        (self.root / path).rename(self.place / path.replace("/", "-"))
        self.trash[path] = self.there.pop(path)

    @precondition(lambda self: self.trash)
    @rule(number=dice)
    def restore(self, number: int) -> None:
        path = self.choose(number, self.trash)
        (self.place / path.replace("/", "-")).rename(self.make_room(path))
        self.there[path] = self.trash.pop(path)

    @rule(source=folders, goal=st.sampled_from(["d", "e/f", "c", "a/b"]))
    def rename_folder(self, source: str, goal: str) -> None:
        inside_itself = goal.startswith(f"{source}/")
        if (self.root / source).is_dir() and not (self.root / goal).exists() and not inside_itself:
            (self.root / source).rename(self.make_room(goal))
            inside = {path for path in self.there if path.startswith(f"{source}/")}
            self.there |= {goal + path[len(source) :]: self.there.pop(path) for path in inside}

    @rule(folder=folders)
    def index_one_folder(self, folder: str) -> None:
        if (self.root / folder).is_dir():
            report = self.library.index([self.root / folder])
            inside = {path for path in self.there if path.startswith(f"{folder}/")}
            self.check_encoded(report.encoded, {self.there[path] for path in inside})
            assert {path: self.there[path] for path in inside}.items() <= self.found().items()

    @rule()
    def index(self) -> None:
        report = self.library.index()
        assert report.failed == 0
        self.check_encoded(report.encoded, set(self.there.values()))
        assert self.found() == self.there

    @rule()
    def index_and_prune(self) -> None:
        self.index()
        self.library.prune()
        self.ever = set(self.there.values())
        status = self.library.status()
        assert (status.gone, status.contents, status.spaces[0].vectors) == (0, len(self.ever), len(self.ever))
        assert self.found() == self.there
        if not self.there:
            self.library.index([self.root])  # prune forgets a folder without files

    def check_encoded(self, encoded: int, seen: set[float]) -> None:
        assert encoded == len(seen - self.ever)
        self.ever |= seen

    def found(self) -> dict[str, float]:
        """Return path and colour of all that a search finds; each content comes once, each path once."""
        hits = self.library.search("red", k=1000)
        paths = [(path, hit) for hit in hits for path in (hit.path, *hit.also)]
        found = {os.path.relpath(path, self.root): round(hit.score, 2) for path, hit in paths}
        assert len(found) == len(paths)
        assert len({hit.score for hit in hits}) == len(hits)
        return found

    @invariant()
    def the_model_is_the_folder(self) -> None:
        if hasattr(self, "root"):
            on_disk = {os.path.relpath(path, self.root) for path in self.root.rglob("*") if path.is_file()}
            assert on_disk == self.there.keys()


def test_any_history_ends_with_what_is_there() -> None:
    run_state_machine_as_test(
        FileLife,
        settings=settings(
            max_examples=25,
            stateful_step_count=15,
            deadline=None,
            derandomize=True,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
