"""Open library.db for reading, wherever it lies: beside a writer, on a read-only disk, on a full one."""

import os
import sqlite3
from pathlib import Path
from urllib.parse import quote

from core.errors import LibraryError
from store.names import CHECK_CELLS, DATABASE, DATABASE_ERRORS, has_no_room

_CACHE = 64 << 10
"""KiB of pages that a reader keeps; with SQLite's own 2,000 it would read the upper ones of a tree each time.

The file is not mapped, though that halves the time of a look-up: a process ends when the drive behind a map goes."""


def connect(folder: Path) -> tuple[sqlite3.Connection, bool]:
    """Connect read-only; returns the connection, and whether it takes the file for one that nobody changes.

    That is where even WAL's side files cannot be made: on a read-only disk, or a full one.
    """
    database = folder / DATABASE
    uri = f"file:{quote(os.fsencode(database.absolute()))}?mode=ro"
    try:
        return _opened(uri), False
    except DATABASE_ERRORS as error:
        writable = os.access(folder, os.W_OK)
        if writable and database.with_name(f"{DATABASE}-journal").exists():
            _opened(uri.replace("?mode=ro", "?mode=rw")).close()  # killed as it was made: rolls that back
            return _opened(uri), False
        if writable and not (has_no_room(folder) and "I/O" in str(error)):
            raise
        log = database.with_name(f"{DATABASE}-wal")
        if log.exists() and log.stat().st_size:
            if writable:
                raise
            raise LibraryError(
                f"{folder} cannot be written to and was not closed cleanly; "
                f"run any glimpse command once where it can be written to"
            ) from None
        return _opened(f"{uri}&immutable=1"), True


def _opened(uri: str) -> sqlite3.Connection:
    """Connect, and look whether there is something to read."""
    db = sqlite3.connect(uri, uri=True, check_same_thread=False, isolation_level=None, timeout=30)
    try:
        db.execute(f"PRAGMA {CHECK_CELLS}")
        db.execute(f"PRAGMA cache_size = -{_CACHE}")
        db.execute("SELECT count(*) FROM sqlite_master")
    except DATABASE_ERRORS:
        db.close()
        raise
    return db
