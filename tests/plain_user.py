"""Run a function of a test as a user whom permissions bind: root may read and write everything."""

import contextlib
import importlib
import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest

import glimpse
from core.settings import Settings
from media import isolated
from media.worker import serve
from tests.conftest import ROOT, paint
from tests.mounted import glimpse_says

NOBODY = 65534


class InThread(isolated.DecodeProcess):
    """Decodes in a thread, which is the same user as we are; a process of its own could not read this Python."""

    def _started(self) -> Connection:
        if self._connection is None:
            self._connection, theirs = Pipe()
            threading.Thread(target=self._serve, args=(theirs,), daemon=True).start()
        return self._connection

    def _serve(self, connection: Connection) -> None:
        with contextlib.suppress(EOFError, OSError):
            serve(connection)


def as_plain_user(function: Callable[[Path], Any]) -> Any:
    """Call a module's function with an empty folder, in a process of its own; returns its JSON-ready result."""
    if not hasattr(os, "setuid"):
        pytest.skip("this system has no user ids")
    if os.getuid() == 0 and not all(place.stat().st_mode & 0o001 for place in (ROOT, *ROOT.parents)):
        pytest.skip(f"another user cannot enter {ROOT}")
    with tempfile.TemporaryDirectory() as place:
        os.chmod(place, 0o777)
        command = [sys.executable, "-m", "tests.plain_user", function.__module__, function.__name__, place]
        done = subprocess.run(command, capture_output=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return json.loads(done.stdout)


def main(module: str, name: str, place: str) -> None:
    function = getattr(importlib.import_module(module), name)
    if os.getuid() == 0:
        with tempfile.TemporaryDirectory() as scratch:
            _import_everything(Path(scratch))  # the other user may not be able to read this Python
        isolated.close_idle()
        isolated.DecodeProcess = InThread  # type: ignore[misc]
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)
    print(json.dumps(function(Path(place))))


def _import_everything(scratch: Path) -> None:
    paint(scratch / "a.png", (255, 0, 0))
    with glimpse.Library(Settings(scratch / "library", scratch / "cache", "fake")) as library:
        library.index([scratch])
        library.search("red", plus=["blue"])
        library.similar(scratch / "a.png")
        library.prune()
    glimpse_says("status", "--library", scratch / "library")
    for command in ("info", "similar", "tag"):
        glimpse_says(command, scratch / "a.png", "--library", scratch / "library")


if __name__ == "__main__":
    main(*sys.argv[1:])
