"""A decode process that goes wrong on purpose, by the name of the file: for tests/test_isolated.py."""

import os
import time

import media.worker
from media.files import FileBytes, read_file


def _misbehave(path: str | bytes) -> FileBytes:
    name = os.path.basename(os.fsdecode(path))
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
    return read_file(path)


def _descriptor() -> int:
    import sys

    return int(sys.argv[-1])


media.worker.read_file = _misbehave

if __name__ == "__main__":
    media.worker.main()
