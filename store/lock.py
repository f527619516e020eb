"""One writer at a time: a lock on a file, which the system lets go of when a process ends, however it ends."""

from pathlib import Path

from filelock import FileLock, Timeout

from core.errors import LibraryBusyError
from store.names import LOCK, explain


def write_lock(folder: Path) -> FileLock:
    """Take the write lock of a library; whoever takes it releases it. Raises LibraryBusyError or LibraryError."""
    lock = FileLock(folder / LOCK, timeout=0)
    with explain(folder):
        try:
            lock.acquire()
        except Timeout as error:  # an OSError too
            raise LibraryBusyError(
                f"another glimpse is writing to {folder}; wait until it has finished, or stop it"
            ) from error
    return lock
