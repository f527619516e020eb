"""What readers and the writer of a library share: names of files, the schema's number, what errors mean."""

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import xxhash

from core.errors import LibraryError

DATABASE = "library.db"
LOCK = "write.lock"
INDEX = "index"
PREVIEWS = "previews"
REPAIR = "see what can be saved: glimpse doctor"
CHECK_CELLS = "cell_size_check = ON"
"""Has SQLite look twice at every page it reads, so that a damaged one is an error and not a wrong row."""
DAMAGE = (
    "not a database",
    "malformed",
    "unsupported file format",
    "decode to utf-8",
    "disk i/o",
    "no such column",
    "constraint failed",
)
"""What SQLite says of a file that is not what was written."""
NEWEST = "0003"
"""The newest schema: the last revision in migrations/versions."""
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
        raise LibraryError(_sentence(folder, str(error))) from error
    except UnicodeDecodeError as error:
        raise LibraryError(f"{folder / DATABASE} is damaged (a text that is none); {REPAIR}") from error
    except OSError as error:
        raise LibraryError(f"cannot use {folder} as a library: {(error.strerror or str(error)).lower()}") from error
    except Exception as error:
        # SQLAlchemy wraps the driver's error in its own, whose import readers are spared.
        cause = getattr(error, "orig", None)
        if not isinstance(cause, sqlite3.Error):
            raise
        raise LibraryError(_sentence(folder, str(cause))) from error


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


def _sentence(folder: Path, text: str) -> str:
    if "full" in text:
        return f"the disk that holds {folder} is full; free some space and run the command again"
    if any(sign in text.lower() for sign in DAMAGE):
        return f"{folder / DATABASE} is damaged ({text}); {REPAIR}"
    if "no such table" in text:
        return f"there is no library in {folder} yet ({text}); make one with: glimpse index FOLDER"
    if "readonly" in text or "unable to open" in text:
        return f"cannot write to {folder / DATABASE}: {text}"
    if "locked" in text:
        return f"{folder / DATABASE} is busy; try again when the other program has finished"
    return f"{folder / DATABASE}: {text}"
