"""What readers and the writer of a library share: names of files, the schema's number, what errors mean."""

import contextlib
import errno
import hashlib
import os
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import xxhash

from core.errors import LibraryError, NoLibraryError

DATABASE = "library.db"
LOCK = "write.lock"
INDEX = "index"
PREVIEWS = "previews"
MARK = "BACKUP.txt"
"""Tells people that a folder is a backup, and Glimpse that it may be replaced: until something is written to it."""
REPAIR = "see what can be saved: glimpse doctor"
CHECK_CELLS = "cell_size_check = ON"
"""Has SQLite look twice at every page it reads, so that a damaged one is an error and not a wrong row."""
DAMAGE = (
    "not a database",
    "malformed",
    "unsupported file format",
    "decode to utf-8",
    "no such column",
    "constraint failed",
)
"""What SQLite says of a file that is not what was written."""
NEWEST = "0005"
"""The newest schema: the last revision in migrations/versions."""
DERIVED = "words"
"""The index of words, and how all tables begin that can be made anew from the others: FTS5 has some beside it."""
SOUND = "sound:"
"""How the names of spaces of sound begin; what follows is the model that hears, or that learned to."""
HEARD = """
SELECT c.digest FROM contents c, (SELECT ? AS space, ? AS window) k
WHERE c.kind != 'photo' AND (k.space IS NULL OR (c.heard AND (
  NOT EXISTS (SELECT 1 FROM segments s WHERE s.content_id = c.id AND s.kind = k.window)
  OR EXISTS (SELECT 1 FROM segments s CROSS JOIN vectors v ON v.segment_id = s.id AND v.space_id = k.space
             WHERE s.content_id = c.id AND s.kind = k.window))))
"""
"""Recordings that have all their vectors in a space of sound, or are silent.

CROSS: from the few segments of one, and not from all the vectors of the space.
"""
SIDE_FILE = 1 << 16
"""Bytes that SQLite wants beside a database that is to be read, and some more."""
VECTOR_DTYPE = "<f2"
"""fp16, little-endian: half the bytes, and a deviation (1e-3) far below what separates two photos."""


DATABASE_ERRORS = (sqlite3.Error, UnicodeDecodeError)
"""What the driver raises; the second where it is to repeat a damaged name in a message of the first kind."""


def fingerprint(vector: bytes) -> str:
    """Return a hash of a stored vector, by which an index file knows the database that it was made from."""
    return xxhash.xxh32_hexdigest(vector)


@contextlib.contextmanager
def explain(folder: Path) -> Iterator[None]:
    """Turn errors of the database and the disk into LibraryErrors that say what to do."""
    try:
        yield
    except sqlite3.Error as error:
        raise _error(folder, str(error)) from error
    except UnicodeDecodeError as error:
        raise LibraryError(f"{folder / DATABASE} is damaged (a text that is none); {REPAIR}") from error
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise LibraryError(_full(folder)) from error
        raise LibraryError(f"cannot use {folder} as a library: {(error.strerror or str(error)).lower()}") from error
    except Exception as error:
        # SQLAlchemy wraps the driver's error in its own, whose import readers are spared.
        cause = getattr(error, "orig", None)
        if not isinstance(cause, sqlite3.Error):
            raise
        raise _error(folder, str(cause)) from error


def tower_revision(weights: bytes) -> str:
    """Return the revision of what learned to hear: a hash of its weights."""
    return hashlib.sha256(weights).hexdigest()[:8]


def identity(folder: Path, written: bool = False) -> tuple[int, ...] | None:
    """Return what tells a library's database from one put in its place, None where there is none.

    written: and from itself, after something was written to it.
    """
    database = folder / DATABASE
    try:
        stat = os.stat(database)
        if not written:
            return stat.st_dev, stat.st_ino
        log = database.with_name(f"{DATABASE}-wal")
        return stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, log.stat().st_size if log.exists() else 0
    except OSError:
        return None


def check_size(folder: Path) -> None:
    """Raise LibraryError if the database is empty and yet there was a library: SQLite would begin a new one."""
    database = folder / DATABASE
    with contextlib.suppress(OSError):
        if database.stat().st_size == 0 and any(any((folder / name).glob("*")) for name in (PREVIEWS, INDEX)):
            raise LibraryError(f"{database} is damaged (it is empty); {REPAIR}")


def check_version(version: str | None, folder: Path) -> None:
    """Raise LibraryError if a newer program made the database."""
    if version is not None and not version.isdigit():
        raise LibraryError(f"{folder / DATABASE} is damaged (schema '{version}'); {REPAIR}")
    if version is not None and version > NEWEST:
        raise LibraryError(
            f"{folder / DATABASE} was made by a newer glimpse (schema {version}, this one knows {NEWEST}); "
            f"update glimpse: pip install --upgrade glimpse-search"
        )


def _error(folder: Path, text: str) -> LibraryError:
    """Return what an error of SQLite means."""
    if f"no such table: {DERIVED}" in text:
        return LibraryError(f"{folder / DATABASE} is damaged ({text}); {REPAIR} --repair")
    if "no such table" in text:
        return NoLibraryError(f"there is no library in {folder} yet ({text}); make one with: glimpse index FOLDER")
    return LibraryError(_sentence(folder, text))


def _sentence(folder: Path, text: str) -> str:
    if "full" in text or ("I/O" in text and has_no_room(folder)):
        return _full(folder)
    if "I/O" in text:
        return (
            f"the disk that holds {folder} cannot be read or written ({text}); "
            f"is it still connected, and whole? If so, {REPAIR}"
        )
    if any(sign in text.lower() for sign in DAMAGE):
        return f"{folder / DATABASE} is damaged ({text}); {REPAIR}"
    if "readonly" in text or "unable to open" in text:
        if not os.access(folder / DATABASE, os.R_OK):
            return f"you may not read {folder / DATABASE}; whoever owns it can let you: chmod u+r"
        return f"cannot write to {folder / DATABASE}: {text}"
    if "locked" in text:
        return f"{folder / DATABASE} is busy; try again when the other program has finished"
    return f"{folder / DATABASE}: {text}"


def _full(folder: Path) -> str:
    return f"the disk that holds {folder} is full; free some space and run the command again"


def has_no_room(folder: Path) -> bool:
    """Say whether a disk has no room even for SQLite's smallest side file, which it calls an I/O error."""
    try:
        return shutil.disk_usage(folder).free < SIDE_FILE
    except OSError:
        return False
