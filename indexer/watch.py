"""Wait for photos to come, change and go: the operating system tells, and a clock for all that it does not see."""

import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from core.types import StopRequested
from indexer.ignore import IGNORE_FILE
from indexer.pairs import is_movie
from indexer.scan import ignored
from media.kinds import expected_media, extension
from media.sidecar import is_sidecar

QUIET_MS, PATIENCE_MS = 1_000, 10_000
"""A change is told after that much quiet, so that a folder being copied is one change, but never later than that."""
TICK_MS = 500
AGAIN = 30.0
"""Seconds after which to try again what could not be done."""


def watch(
    folders: Sequence[Path],
    changed: Callable[[], bool],
    stop: StopRequested,
    every: float,
    note: Callable[[str], None] = lambda _: None,
    skip: Path | None = None,
) -> None:
    """Call `changed` at once, whenever photos in folders have changed, and `every` so many seconds, until stopped.

    changed: returns whether it could do its work; if not, its next turn comes soon.
    Folders may vanish and come back, which is a change. Nobody hears of changes on network drives: that is what the
    clock is for. note: told, once, why there is nothing but the clock; skip: the library's folder, which every run
    changes.
    """
    told: set[str] = set()
    real_skip = None if skip is None else Path(os.path.realpath(skip))

    def tell_once(text: str) -> None:
        if text not in told:
            told.add(text)
            note(text)

    due = time.monotonic()
    while not stop():
        places = _places(folders)
        for changes in _ticks(list(places), stop, tell_once):
            if stop() or _places(folders) != places:
                break
            told_of = (change for change in changes if real_skip is None or not change[1].is_relative_to(real_skip))
            if time.monotonic() >= due or any(matters(*change, places) for change in told_of):
                wait = every if changed() else min(every, AGAIN)
                due = time.monotonic() + wait
        due = min(due, time.monotonic())


def matters(change: str, path: Path, folders: Iterable[Path]) -> bool:
    """Say whether a change in one of some folders may concern an index; change: "added", "modified" or "deleted".

    Of what has gone nobody can ask any more whether it was a folder; its name has to tell. A guess that is wrong is
    made good by the next look at everything.
    """
    below = next((path.relative_to(folder) for folder in folders if path.is_relative_to(folder)), Path(path.name))
    names = [os.fsencode(part) for part in below.parts]
    if not names:  # one of the folders itself
        return change != "modified"
    if any(map(ignored, names[:-1])):
        return False
    return names[-1] == IGNORE_FILE or (not ignored(names[-1]) and _telling(change, path))


def _telling(change: str, path: Path) -> bool:
    """Say whether a name is one of a photo, of what belongs to photos, or of a folder that came or went."""
    suffix = extension(path)
    if expected_media(path) or is_sidecar(suffix.encode()) or is_movie(suffix[1:].encode()):
        return True
    if change == "deleted":
        return not path.name.endswith("~") and (suffix == "" or " " in suffix or suffix[1:].isdigit())
    return change == "added" and path.is_dir()


def _ticks(
    folders: Sequence[Path], stop: StopRequested, note: Callable[[str], None]
) -> Iterator[list[tuple[str, Path]]]:
    """Yield, about once a second, what has changed meanwhile: how, and where; ends when told to stop."""
    import watchfiles

    class Stop:
        def is_set(self) -> bool:
            return stop()

    if folders:
        try:
            for changes in watchfiles.watch(
                *folders,
                watch_filter=None,  # it would hold back the ticks, too
                debounce=PATIENCE_MS,
                step=QUIET_MS,
                rust_timeout=TICK_MS,
                yield_on_timeout=True,
                stop_event=Stop(),
                force_polling=False,
                ignore_permission_denied=True,
            ):
                yield [(change.name, Path(path)) for change, path in changes]
            return
        except FileNotFoundError:  # one vanished this very moment
            time.sleep(TICK_MS / 1000)
            return
        except OSError as error:
            note(f"changes cannot be watched ({_why(error)}); looking again from time to time instead")
    while not stop():
        time.sleep(TICK_MS / 1000)
        yield []


def _places(folders: Iterable[Path]) -> dict[Path, tuple[int, int]]:
    """Return where the folders that are there really lie, and what tells each from another one put in its place."""
    there = {}
    for folder in folders:
        real = Path(os.path.realpath(folder))  # macOS tells of changes by such names
        try:
            stat = os.stat(real)
        except OSError:
            continue
        there[real] = (stat.st_dev, stat.st_ino)
    return there


def _why(error: OSError) -> str:
    return (error.strerror or str(error)).lower()
