"""Run a function of a test where it may mount what it likes: in a user and mount namespace of its own, Linux only."""

import contextlib
import importlib
import io
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from tests.conftest import ROOT

UNSHARE = ["unshare", "--user", "--map-root-user", "--mount"]


def where_mounts_are_own(function: Callable[[Path], Any]) -> Any:
    """Call a module's function with an empty folder, in a process of its own; returns its JSON-ready result."""
    probe = [*UNSHARE, "mount", "-t", "tmpfs", "tmpfs", "/mnt"]
    if shutil.which("unshare") is None or subprocess.run(probe, capture_output=True, check=False).returncode:
        pytest.skip("this system lets nobody mount in a namespace of their own (unshare --user --mount)")
    with tempfile.TemporaryDirectory() as place:
        command = [sys.executable, "-m", "tests.mounted", function.__module__, function.__name__, place]
        done = subprocess.run([*UNSHARE, *command], capture_output=True, cwd=ROOT, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def mount(*arguments: str | Path) -> None:
    """Run mount."""
    subprocess.run(["mount", *arguments], check=True)


def mount_memory(folder: Path, megabytes: float) -> None:
    """Put a disk of some megabytes, which is in memory, at a folder that is made."""
    folder.mkdir(exist_ok=True)
    mount("-t", "tmpfs", "-o", f"size={int(megabytes * 1024)}k", "tmpfs", folder)


def unmount(folder: Path) -> None:
    """Take away what is mounted, though it is in use: what a pulled plug does."""
    subprocess.run(["umount", "--lazy", folder], check=True)


@dataclass(frozen=True)
class Said:
    """What a command said, and how it ended."""

    code: int
    out: str
    err: str

    @property
    def sentence(self) -> str:
        """Return the error of a command that ended with 2, which is one line without a traceback."""
        assert self.code == 2, self
        (line,) = [line for line in self.err.splitlines() if line.startswith("glimpse: ")]
        assert "unexpected" not in line, line
        assert "Traceback" not in self.err
        return line.removeprefix("glimpse: ")


def glimpse_says(*arguments: str | Path) -> Said:
    """Run the command line in this process."""
    from glimpse.cli import run

    out, err = io.TextIOWrapper(io.BytesIO(), encoding="utf-8"), io.StringIO()
    with (
        patch.object(sys, "argv", ["glimpse", *map(str, arguments)]),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        code = run()
        out.flush()
    return Said(code, out.buffer.getvalue().decode(), err.getvalue())


def main(module: str, name: str, place: str) -> None:
    function = getattr(importlib.import_module(module), name)
    print(json.dumps(function(Path(place))))


if __name__ == "__main__":
    main(*sys.argv[1:])
