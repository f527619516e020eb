"""Kill a run of `write` or `undo` at its n-th call of the system, for every n; one process that forks."""

import itertools
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from core.types import Failure
from media.rewrite import LOG, UNDONE, Change, undo, write

CALLS = ("open", "fsync", "replace", "unlink", "chmod", "lstat", "stat", "close", "rename", "mkdir")
CHANGES = {"old": (b"before", b"after"), "new": (None, b"made"), "last": (b"1", b"2")}


def state(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in sorted(folder.iterdir())}


def forked(work: Callable[[], object], deadly: int) -> bool:
    """Do work in a child that dies right before its call number `deadly`; says whether it died."""
    if child := os.fork():
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    counter = itertools.count()

    def guarded(call: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*arguments: Any, **options: Any) -> Any:
            if next(counter) == deadly:
                os._exit(9)
            return call(*arguments, **options)

        return wrapped

    for name in CALLS:
        setattr(os, name, guarded(getattr(os, name)))
    work()
    os._exit(0)


def fresh(place: Path) -> tuple[Path, Path]:
    photos, log = place / "photos", place / "undo"
    photos.mkdir(parents=True)
    for name, (before, _) in CHANGES.items():
        if before is not None:
            (photos / name).write_bytes(before)
    return photos, log


def run(photos: Path, log: Path) -> None:
    changes = [Change(photos / name, before, after) for name, (before, after) in CHANGES.items()]
    assert not [one for one in write(changes, log) if isinstance(one, Failure)]


def undo_all(log: Path) -> list[str]:
    found = [*log.glob("*" + LOG), *log.glob("*" + UNDONE)]
    return [one.reason for each in found for one in undo(each) if isinstance(one, Failure)]


def main(place: Path) -> None:
    told = []
    for deadly in itertools.count():
        photos, log = fresh(place / f"write-{deadly}")
        died = forked(lambda at=photos, to=log: run(at, to), deadly)
        after_kill = state(photos)
        told.append(["write", after_kill, undo_all(log), state(photos)])
        if not died:
            break
    for deadly in itertools.count():
        photos, log = fresh(place / f"undo-{deadly}")
        run(photos, log)
        died = forked(lambda to=log: undo_all(to), deadly)
        after_kill = state(photos)
        told.append(["undo", after_kill, undo_all(log), state(photos)])
        if not died:
            break
    print(json.dumps(told))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
