"""A decode process that goes wrong on purpose, by the name of the file: for test_isolated.py and test_playback.py."""

import os
import time
from collections.abc import Iterator

import media.worker
from core.types import Window
from media.files import FileBytes, read_file
from media.playback import Playback


def _read(path: str | bytes) -> FileBytes:
    _misbehave(os.path.basename(os.fsdecode(path)))
    return read_file(path)


_well = Playback.windows


def _windows(playback: Playback, rate: int) -> Iterator[list[Window]]:
    """Go wrong in the middle."""
    for lot in _well(playback, rate):
        yield lot
        _misbehave(playback._name)


def _misbehave(name: str) -> None:
    if name.startswith("crash"):
        os.abort()
    if name.startswith("leave"):
        os._exit(3)
    if name.startswith("killed"):
        os.kill(os.getpid(), 9)
    if name.startswith("hang"):
        time.sleep(600)
    if name.startswith("babble"):
        os.write(_descriptor(), b"\xff" * 100)


def _descriptor() -> int:
    import sys

    return int(sys.argv[-1])


media.worker.read_file = _read
Playback.windows = _windows  # type: ignore[method-assign]

if __name__ == "__main__":
    media.worker.main()
