"""Kill a process at a step of its work, or have a step fail: functions are patched by name in the child.

What is tested has no hooks for it. A server imports everything once and forks a child for each run, so that a run to
be hurt starts in no time. In the child, a function is replaced by one that sends SIGKILL to its own process around
its n-th call, or raises an error.
"""

import contextlib
import errno
import importlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import sqlalchemy as sa
from sqlalchemy.engine import Engine

import glimpse
import indexer.pipeline
import store.growth
import store.vectors
from core.errors import GlimpseError, LibraryError
from core.settings import Settings
from media import isolated
from store.writer import Writer
from tests.conftest import ROOT, paint
from tests.films import tone, write_film
from tests.plain_user import InThread
from tests.recordings import Deaf

BEFORE, AFTER, HALF = "before", "after", "half"
"""When to kill: before a call, after it, or after it with only half of the file that it wrote on the disk."""
FEW = 3
"""New vectors for which no index file is written anew."""
MARK = "GLIMPSE_TEST_RUN"
"""Names a run in the environment of its processes, by which those that outlive it are found."""


ERRORS = {
    "no room": OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)),
    "no quota": OSError(errno.EDQUOT, os.strerror(errno.EDQUOT)),
    "broken": OSError(errno.EIO, os.strerror(errno.EIO)),
    "read-only": OSError(errno.EROFS, os.strerror(errno.EROFS)),
    "database full": sqlite3.OperationalError("database or disk is full"),
    "database broken": sqlite3.OperationalError("disk I/O error"),
    "database locked": sqlite3.OperationalError("database is locked"),
}
"""What a step may fail with."""


@dataclass(frozen=True)
class Fault:
    """What is to happen to a run: around a call of a function, before an SQL statement, or in time.

    function: its dotted name; call, statement: which one, from 1; seconds: after the run began; error: one of ERRORS,
    raised instead of killing the run.
    """

    function: str | None = None
    call: int = 1
    when: str = AFTER
    statement: int | None = None
    seconds: float | None = None
    error: str | None = None


@dataclass(frozen=True)
class Ended:
    """How a run ended.

    status: that of subprocess, 2 after a GlimpseError, which is `said`; statements: how many it
    executed, unless it was killed.
    """

    status: int
    seconds: float
    statements: int = 0
    said: str = ""


class Killer:
    """The server's other end."""

    def __init__(self) -> None:
        environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}  # a fork wants no threads
        environment["PYTHONPATH"] = str(ROOT / "tests" / "no_network")
        self._server = subprocess.Popen(
            [sys.executable, "-m", "tests.killing"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT, text=True, env=environment,
        )  # fmt: skip

    def run(self, act: str, place: Path, fault: Fault | None = None, real: bool = False, mark: str = "") -> Ended:
        """Do one of ACTS in a process of its own; real: with decode processes rather than decoding threads."""
        asked = {"act": act, "place": str(place), "fault": asdict(fault or Fault()), "real": real, "mark": mark}
        assert self._server.stdin
        assert self._server.stdout
        self._server.stdin.write(json.dumps(asked) + "\n")
        self._server.stdin.flush()
        return Ended(**json.loads(self._server.stdout.readline()))

    def close(self) -> None:
        """End the server."""
        self._server.communicate()


# In the server


def settings(place: Path) -> Settings:
    """Return the settings of every run: one file at a time, three photos a batch."""
    return Settings(place / "library", place / "cache", "fake", workers=1, batch_size=3)


def opened(place: Path) -> glimpse.Library:
    """Open a library; where there is a file "deaf", with a model that has to be taught to hear."""
    library = glimpse.Library(settings(place))
    if (place / "deaf").exists():
        library._encoder, library._loaded = Deaf(), "fake"
    return library


def do_index(place: Path) -> None:
    """Index the photos."""
    with opened(place) as library:
        library.index([place / "photos"])


def do_learn(place: Path) -> None:
    """Teach a library to hear, and have it hear."""
    with opened(place) as library:
        library.learn_sound()


def do_prune(place: Path) -> None:
    """Forget what is gone."""
    with glimpse.Library(settings(place)) as library:
        library.prune()


def do_search(place: Path) -> None:
    """Search a library that has no index file, which makes one."""
    with patch.object(store.vectors, "TAIL", FEW), glimpse.Library(settings(place)) as library:
        library.search("red")


def do_grow(place: Path) -> None:
    """Index with tiers that grow for a handful of photos: in the middle of the run, and at its end with training."""
    with (
        patch.multiple(store.growth, FEW_NEW=FEW, GROWN=1.1, WANTED=-1.0),
        patch.object(indexer.pipeline, "MANY_NEW", 6),
        glimpse.Library(replace(settings(place), tier="ivf")) as library,
    ):
        library.index([place / "photos"])


def do_open(place: Path) -> None:
    """Open a library for writing, which brings it up to date."""
    Writer(place / "library").close()


def do_drop(place: Path) -> None:
    """Forget a model, unless that was done already."""
    with Writer(place / "library") as library, contextlib.suppress(LibraryError):
        library.drop("other")


ACTS: dict[str, Callable[[Path], None]] = {
    "index": do_index,
    "learn": do_learn,
    "prune": do_prune,
    "search": do_search,
    "grow": do_grow,
    "drop": do_drop,
    "open": do_open,
}


def main() -> None:
    """Serve: one line of JSON in, a run, one line out."""
    real_process = isolated.DecodeProcess
    warm_up()
    for line in sys.stdin:
        asked = json.loads(line)
        out, into = os.pipe()
        began = time.monotonic()
        pid = os.fork()
        if pid == 0:
            isolated.DecodeProcess = real_process if asked["real"] else InThread  # type: ignore[misc]
            _child(asked, into)
        os.close(into)
        if asked["fault"]["seconds"] is not None:
            time.sleep(asked["fault"]["seconds"])
            os.kill(pid, signal.SIGKILL)
        with open(out, encoding="utf-8") as told:
            more = json.loads(told.read() or "{}")
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        print(json.dumps(asdict(Ended(status, time.monotonic() - began, **more))), flush=True)


def warm_up() -> None:
    """Import whatever a run imports, and leave no thread behind."""
    isolated.DecodeProcess = InThread  # type: ignore[misc]
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch)
        (place / "photos").mkdir()
        paint(place / "photos" / "a.png", (255, 0, 0))
        write_film(place / "photos" / "a.mkv", [((255, 0, 0), 0.5)], sound=tone(0.5))
        for act in ("index", "search", "prune", "grow"):
            ACTS[act](place)
    isolated.close_idle()
    while threading.active_count() > 1:
        time.sleep(0.01)


def _child(asked: dict[str, Any], into: int) -> None:
    """Do what was asked for in this process, which ends here."""
    os.environ[MARK] = asked["mark"]
    fault = Fault(**asked["fault"])
    count = _count_statements(fault.statement, fault.error)
    if fault.function is not None:
        arm(fault)
    status, said = 1, ""
    try:
        ACTS[asked["act"]](Path(asked["place"]))
        status = 0
    except GlimpseError as error:
        status, said = 2, str(error)
    except BaseException:
        traceback.print_exc()
    finally:
        os.write(into, json.dumps({"statements": count[0], "said": said}).encode())
        if asked["real"]:
            isolated.close_idle()
        os._exit(status)


def _count_statements(last: int | None, error: str | None) -> list[int]:
    """Count SQL statements, and let it happen before the one with this number."""
    count = [0]

    @sa.event.listens_for(Engine, "before_cursor_execute")
    def before(*_: object) -> None:
        count[0] += 1
        if count[0] == last:
            happen(error)

    return count


def arm(fault: Fault) -> None:
    """Let it happen around the n-th call of a function."""
    owner, name = resolve(fault.function or "")
    original = getattr(owner, name)
    lock, calls = threading.Lock(), [0]

    def patched(*args: Any, **options: Any) -> Any:
        with lock:
            calls[0] += 1
            mine = calls[0] == fault.call
        if mine and fault.when == BEFORE:
            happen(fault.error)
        result = original(*args, **options)
        if mine:
            if fault.when == HALF:
                (path,) = [value for value in args if isinstance(value, Path)]
                os.truncate(path, path.stat().st_size // 2)
            happen(fault.error)
        return result

    setattr(owner, name, patched)


def resolve(function: str) -> tuple[Any, str]:
    """Return the module or class that a dotted name's last part is in, and that part."""
    *parents, name = function.split(".")
    for end in range(len(parents), 0, -1):
        with contextlib.suppress(ModuleNotFoundError):
            owner: Any = importlib.import_module(".".join(parents[:end]))
            for parent in parents[end:]:
                owner = getattr(owner, parent)
            return owner, name
    raise ModuleNotFoundError(function)


def happen(error: str | None) -> None:
    """Raise one of ERRORS, or be killed: nothing is flushed, closed or cleaned up."""
    if error is not None:
        raise ERRORS[error]
    os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(60)  # another thread must not come further while the signal is on its way


def outliving(mark: str) -> Iterator[int]:
    """Yield the processes that still run with a mark in their environment; Linux only."""
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if f"{MARK}={mark}".encode() in (entry / "environ").read_bytes().split(b"\0"):
                yield int(entry.name)


if __name__ == "__main__":
    main()
