"""Waiting for changes: what counts as one, and that none is missed, with the operating system's help or without."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import watchfiles

import indexer.watch
from core.errors import LibraryBusyError
from core.types import IndexReport, Progress, ProgressCallback, Walk
from glimpse.cli import cli
from indexer.watch import matters, watch
from tests.conftest import paint

MATTERS = [
    ("added", "a.jpg", True),
    ("modified", "a.jpg", True),
    ("deleted", "in/a.HEIC", True),
    ("added", "a.jpg.part", False),
    ("added", "a.jpg.crdownload", False),
    ("added", "a.jpg~", False),
    ("deleted", "a.jpg~", False),
    ("added", ".a.jpg.Xy12", False),
    ("added", ".in/a.jpg", False),
    ("added", "@eaDir/a.jpg", False),
    ("modified", "a.jpg.xmp", True),
    ("modified", "a.JSON", True),
    ("added", "a.MOV", True),
    ("added", "a.MP~2", True),
    ("modified", "notes.txt", False),
    ("deleted", "notes.txt", False),
    ("deleted", "library.db-wal", False),
    ("modified", "in/.glimpseignore", True),
    ("deleted", ".glimpseignore", True),
    ("modified", ".in/.glimpseignore", False),
    ("added", "folder", True),
    ("modified", "folder", False),
    ("added", "folder.of.x", True),
    ("deleted", "gone folder", True),
    ("deleted", "2020.05 Vienna", True),
    ("deleted", "2020.05", True),
    ("deleted", "", True),
    ("modified", "", False),
]


@pytest.mark.parametrize(("change", "name", "expected"), MATTERS)
def test_which_changes_matter(tmp_path: Path, change: str, name: str, expected: bool) -> None:
    for folder in ("folder", "folder.of.x"):
        (tmp_path / folder).mkdir()
    assert matters(change, tmp_path / name, [Path("/elsewhere"), tmp_path]) is expected


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait a tenth of what a person would."""
    monkeypatch.setattr(indexer.watch, "QUIET_MS", 100)
    monkeypatch.setattr(indexer.watch, "TICK_MS", 50)
    monkeypatch.setattr(indexer.watch, "AGAIN", 0.1)


class Story:
    """What happens: one step each time that a change is told; ends with the last one, or fails after a while."""

    def __init__(self, *steps: Callable[[], object], answers: tuple[bool, ...] = ()) -> None:
        self.steps, self.answers = list(steps), list(answers)
        self.told = 0
        self.ends = time.monotonic() + 20

    def changed(self) -> bool:
        self.told += 1
        if self.steps:
            self.steps.pop(0)()
        return self.answers.pop(0) if self.answers else True

    def stop(self) -> bool:
        assert time.monotonic() < self.ends, f"nothing was told after {self.told} times"
        return not self.steps

    def run(self, *folders: Path, every: float = 600.0, skip: Path | None = None) -> list[str]:
        notes: list[str] = []
        watch(folders, self.changed, self.stop, every, notes.append, skip)
        return notes


def nothing() -> None:
    pass


def test_changes_are_told(tmp_path: Path) -> None:
    place = tmp_path / "photos"
    place.mkdir()
    story = Story(
        lambda: (place / "a.jpg").touch(),
        lambda: (place / "b.jpg.part").touch() or (place / "b.jpg.part").rename(place / "b.jpg"),
        lambda: (place / "in").mkdir(),
        lambda: (place / "in" / "c.jpg").touch(),
        lambda: (place / "in").rename(tmp_path / "out"),
        lambda: (tmp_path / "out").rename(place / "back"),
        lambda: shutil.rmtree(place),  # the folder itself
        lambda: place.mkdir(),
        lambda: (place / "d.jpg").touch(),
        nothing,
    )
    assert story.run(place, tmp_path / "never there") == []
    assert story.told == 10


def test_a_folder_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "link").symlink_to("photos")
    story = Story(lambda: (tmp_path / "photos" / "a.jpg").touch(), nothing)
    assert story.run(tmp_path / "link") == []


@pytest.mark.parametrize("name", ["a.jpg.part", "library/a.jpg", ".hidden/a.jpg"])
def test_what_does_not_matter_is_not_told(tmp_path: Path, name: str) -> None:
    for folder in ("library", ".hidden"):
        (tmp_path / folder).mkdir()
    seen: list[float] = []

    def look() -> bool:
        seen.append(time.monotonic())
        (tmp_path / name).write_text(str(len(seen)))
        return True

    watch([tmp_path], look, lambda: len(seen) > 1, every=1.0, skip=tmp_path / "library")
    assert seen[1] - seen[0] >= 1.0  # the clock's doing


@pytest.mark.parametrize("folders", [0, 1])
def test_the_clock_goes_on_where_nothing_can_be_watched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folders: int
) -> None:
    def full(*_: object, **__: object) -> Iterator[set[object]]:
        raise OSError("OS file watch limit reached. about [...]")
        yield

    monkeypatch.setattr(watchfiles, "watch", full)
    notes = Story(nothing, nothing, nothing).run(*[tmp_path][:folders], every=0.1)
    why = "changes cannot be watched (os file watch limit reached. about [...])"
    assert notes == [f"{why}; looking again from time to time instead"][:folders]


def test_what_could_not_be_done_is_tried_again_soon(tmp_path: Path) -> None:
    story = Story(nothing, nothing, answers=(False,))
    story.run(tmp_path)
    assert story.told == 2


# The command


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, object]]:
    """What `glimpse index` asks of the library, which does nothing."""
    asked: list[dict[str, object]] = []

    def index(self: object, paths: object, **options: object) -> IndexReport:
        del options["progress"], options["stop"]
        asked.append({"paths": paths, "preview": self.settings.preview, **options})  # type: ignore[attr-defined]
        return IndexReport()

    monkeypatch.setattr("glimpse.api.Library.index", index)
    return asked


SAID = [
    ([], {}),
    (["--exclude", "a", "--exclude", "!b/"], {"walk": Walk(("a", "!b/"))}),
    (["--hidden"], {"walk": Walk(hidden=True)}),
    (["--no-hidden"], {"walk": Walk(hidden=False)}),
    (["--follow-symlinks", "--no-hidden"], {"walk": Walk(hidden=False, follow_symlinks=True)}),
    (["--no-previews"], {"preview": 0}),
    (["--preview-size", "256"], {"preview": 256}),
    (["--dry-run"], {"dry_run": True}),
]


@pytest.mark.parametrize(("arguments", "changes"), SAID)
def test_what_is_said_reaches_the_library(
    calls: list[dict[str, object]], arguments: list[str], changes: dict[str, object]
) -> None:
    assert cli.main(["index", "x", *arguments, "--model", "fake"], standalone_mode=False) == 0
    assert calls == [{"paths": (Path("x"),), "walk": None, "dry_run": False, "preview": None, **changes}]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--no-previews", "--preview-size", "256"], "--no-previews and --preview-size exclude each other"),
        (["--watch", "--dry-run"], "--watch and --dry-run exclude each other"),
        (["--every", "60"], "--every goes with --watch"),
        (["--exclude", "!"], "'!' is not a pattern"),
        (["--preview-size", "0"], "0 is not in the range"),
    ],
)
def test_mistakes(calls: list[dict[str, object]], arguments: list[str], says: str) -> None:
    with pytest.raises(Exception, match=says):
        cli.main(["index", "x", *arguments], standalone_mode=False)
    assert calls == []


@contextlib.contextmanager
def watching(*arguments: str | Path) -> Iterator["subprocess.Popen[bytes]"]:
    command = [sys.executable, "-m", "glimpse", "index", "--watch", "--json", "--model", "fake", *arguments]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        yield child
    finally:
        child.kill()
        child.communicate()


def next_report(child: "subprocess.Popen[bytes]") -> dict[str, int]:
    assert child.stdout
    report = json.loads(child.stdout.readline())
    return {name: report[name] for name in ("added", "moved", "gone", "unchanged") if report[name]}


def test_the_command_keeps_a_library_up_to_date(tmp_path: Path, photos: Path) -> None:
    library = tmp_path / "library"
    with watching(photos, "--library", library) as child:
        assert next_report(child) == {"added": 4}
        paint(photos / "new.png", (250, 10, 10))
        assert next_report(child) == {"added": 1, "unchanged": 4}
        (photos / "new.png").rename(photos / "newer.png")
        assert next_report(child) == {"moved": 1, "unchanged": 4}
        command = [sys.executable, "-m", "glimpse", "prune", "--library", str(library)]
        assert subprocess.run(command, capture_output=True, check=False).returncode == 0  # nobody holds the lock
        child.send_signal(signal.SIGINT)
        out, errors = child.communicate(timeout=30)
    assert (child.returncode, out) == (0, b"")
    assert errors.count(b"reading folders") == 1


def test_a_busy_library_is_waited_for_and_only_news_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = [
        LibraryBusyError("another glimpse is writing"),
        IndexReport(added=1, notes=["a drive is away"]),
        LibraryBusyError("another glimpse is writing"),
        IndexReport(unchanged=1, notes=["a drive is away"]),
        IndexReport(gone=1),
    ]

    def index(self: object, paths: object, progress: ProgressCallback, **_: object) -> IndexReport:
        progress(Progress("reading folders"))
        answer = answers.pop(0)
        if not answers:
            os.kill(os.getpid(), signal.SIGINT)
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr("glimpse.api.Library.index", index)
    arguments = ["index", str(tmp_path), "--watch", "--every", "1", "--model", "fake"]
    assert cli.main(arguments, standalone_mode=False) == 0
    out, errors = capsys.readouterr()
    assert [line.partition(", 0 changed")[0] for line in out.splitlines()] == ["1 added", "0 added"]
    assert errors.count("another glimpse is writing") == 1
    assert errors.count("a drive is away") == 1
