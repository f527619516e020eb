"""Kill a process at a step of its work: no hooks in what is tested, functions are patched by name in the child.

A server imports everything once and forks a child for each run, so that a run to be killed starts in no time. In the
child, a function is replaced by one that sends SIGKILL to its own process around its n-th call.
"""

import contextlib
import importlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tests.conftest import ROOT, paint

BEFORE, AFTER, HALF = "before", "after", "half"
"""When to kill: before a call, after it, or after it with only half of the file that it wrote on the disk."""
MARK = "GLIMPSE_TEST_RUN"
"""Names a run in the environment of its processes, by which those that outlive it are found."""


@dataclass(frozen=True)
class Kill:
    """When to kill a run: around the n-th call of a function (dotted name), before its n-th SQL statement, or in time.

    call, statement: from 1; seconds: after the run began.
    """

    function: str | None = None
    call: int = 1
    when: str = AFTER
    statement: int | None = None
    seconds: float | None = None


@dataclass(frozen=True)
class Ended:
    """How a run ended: status is that of subprocess; statements: how many it executed, if it came to its end."""

    status: int
    statements: int
    seconds: float


class Killer:
    """The server's other end."""

    def __init__(self) -> None:
        environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}  # a fork wants no threads
        environment["PYTHONPATH"] = str(ROOT / "tests" / "no_network")
        self._server = subprocess.Popen(
            [sys.executable, "-m", "tests.killing"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT, text=True, env=environment,
        )  # fmt: skip

    def run(self, act: str, place: Path, kill: Kill | None = None, real: bool = False, mark: str = "") -> Ended:
        """Do one of ACTS in a process of its own; real: with decode processes rather than decoding threads."""
        asked = {"act": act, "place": str(place), "kill": asdict(kill or Kill()), "real": real, "mark": mark}
        assert self._server.stdin
        assert self._server.stdout
        self._server.stdin.write(json.dumps(asked) + "\n")
        self._server.stdin.flush()
        return Ended(**json.loads(self._server.stdout.readline()))

    def close(self) -> None:
        """End the server."""
        self._server.communicate()


# In the server


def settings(place: Path) -> Any:
    """Return the settings of every run: one file at a time, three photos a batch."""
    from core.settings import Settings

    return Settings(place / "library", place / "cache", "fake", workers=1, batch_size=3)


def do_index(place: Path) -> None:
    """Index the photos."""
    import glimpse

    with glimpse.Library(settings(place)) as library:
        library.index([place / "photos"])


def do_prune(place: Path) -> None:
    """Forget what is gone."""
    import glimpse

    with glimpse.Library(settings(place)) as library:
        library.prune()


def do_search(place: Path) -> None:
    """Search with an index file that is behind, which is written anew."""
    import glimpse
    import store.vectors

    store.vectors.TAIL = 3
    with glimpse.Library(settings(place)) as library:
        library.search("red")


def do_open(place: Path) -> None:
    """Open a library for writing, which brings it up to date."""
    from store.writer import Writer

    Writer(place / "library").close()


ACTS: dict[str, Callable[[Path], None]] = {
    "index": do_index,
    "prune": do_prune,
    "search": do_search,
    "open": do_open,
}


def main() -> None:
    """Serve: one line of JSON in, a run, one line out."""
    from media import isolated

    real_process = isolated.DecodeProcess
    warm_up()
    for line in sys.stdin:
        asked = json.loads(line)
        out, into = os.pipe()
        began = time.monotonic()
        pid = os.fork()
        if pid == 0:
            isolated.DecodeProcess = real_process if asked["real"] else _in_thread()  # type: ignore[misc]
            _child(asked, into)
        os.close(into)
        if asked["kill"]["seconds"] is not None:
            time.sleep(asked["kill"]["seconds"])
            os.kill(pid, signal.SIGKILL)
        with open(out, encoding="ascii") as told:
            statements = int(told.read() or 0)
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        print(json.dumps(asdict(Ended(status, statements, time.monotonic() - began))), flush=True)


def warm_up() -> None:
    """Import whatever a run imports, and leave no thread behind."""
    from media import isolated

    isolated.DecodeProcess = _in_thread()  # type: ignore[misc]
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch)
        (place / "photos").mkdir()
        paint(place / "photos" / "a.png", (255, 0, 0))
        for act in ("index", "search", "prune"):
            ACTS[act](place)
    isolated.close_idle()
    while threading.active_count() > 1:
        time.sleep(0.01)


def _in_thread() -> Any:
    from tests.plain_user import InThread

    return InThread


def _child(asked: dict[str, Any], into: int) -> None:
    """Do what was asked for in this process, which ends here."""
    os.environ[MARK] = asked["mark"]
    kill = Kill(**asked["kill"])
    count = _count_statements(kill.statement)
    if kill.function is not None:
        patch(kill.function, kill.call, kill.when)
    status = 1
    try:
        ACTS[asked["act"]](Path(asked["place"]))
        os.write(into, str(count[0]).encode())
        status = 0
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        if asked["real"]:
            from media.isolated import close_idle

            close_idle()
        os._exit(status)


def _count_statements(last: int | None) -> list[int]:
    """Count SQL statements, and die before the one with this number."""
    import sqlalchemy as sa
    from sqlalchemy.engine import Engine

    count = [0]

    @sa.event.listens_for(Engine, "before_cursor_execute")
    def before(*_: object) -> None:
        count[0] += 1
        if count[0] == last:
            die()

    return count


def patch(function: str, call: int, when: str) -> None:
    """Have this process die around the n-th call of a function."""
    owner, name = resolve(function)
    original = getattr(owner, name)
    lock, calls = threading.Lock(), [0]

    def patched(*args: Any, **options: Any) -> Any:
        with lock:
            calls[0] += 1
            mine = calls[0] == call
        if mine and when == BEFORE:
            die()
        result = original(*args, **options)
        if mine:
            if when == HALF:
                (path,) = [value for value in args if isinstance(value, Path)]
                os.truncate(path, path.stat().st_size // 2)
            die()
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


def die() -> None:
    """Be killed: nothing is flushed, closed or cleaned up."""
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
