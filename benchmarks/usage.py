"""What a whole process took: wall and CPU seconds, and memory."""

import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

_LAUNCH = """
import json, os, subprocess, sys, time
started = time.perf_counter()
child = subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
_, status, usage = os.wait4(child.pid, 0)
wall = time.perf_counter() - started
print(json.dumps([os.waitstatus_to_exitcode(status), wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss]))
"""


@dataclass(frozen=True)
class Usage:
    """wall, cpu: seconds, the latter of all threads and children; megabytes: the largest resident set."""

    wall: float
    cpu: float
    megabytes: float


def measure(command: list[str], folder: Path | None = None, environ: Mapping[str, str] | None = None) -> Usage:
    """Run a command; its parent is a small process, since Linux counts a parent's memory as its child's."""
    launcher = [sys.executable, "-S", "-c", _LAUNCH, *command]
    done = subprocess.run(launcher, cwd=folder, env=environ, capture_output=True, text=True, check=True)
    code, wall, cpu, memory = json.loads(done.stdout)
    if code:
        raise SystemExit(f"{command} ended with {code}")
    return Usage(wall, cpu, memory / (1e6 if sys.platform == "darwin" else 1e3))
