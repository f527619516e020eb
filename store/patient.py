"""A library that the doctor looks over, and what is wrong with it."""

import contextlib
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import mkdtemp
from typing import Self

from core.diagnosis import Finding
from core.types import Progress, ProgressCallback
from store import words
from store.connection import connect
from store.names import DATABASE, fingerprint
from store.salvage import Salvage, install, salvage

SCRATCH = ".repair.tmp"
"""How a folder ends in which a fresh database is made."""


@dataclass
class Patient:
    """A library that is looked over.

    version: of its schema, None where that cannot be read; sound: nothing was found that would have a check of rows
    fail; mending: it is to be repaired.
    """

    folder: Path
    progress: ProgressCallback
    mending: bool
    version: str | None = None
    sound: bool = True
    copy: Path | None = None
    salvaged: Salvage = field(default_factory=Salvage)
    _db: sqlite3.Connection | None = None

    @property
    def database(self) -> Path:
        """Where its database is."""
        return self.folder / DATABASE

    @property
    def db(self) -> sqlite3.Connection:
        """The database, opened for reading."""
        if self._db is None:
            self._db = connect(self.folder)[0]
            self._db.text_factory = _text
        return self._db

    def close(self) -> None:
        """Close the database, if it is open."""
        if self._db is not None:
            self._db.close()
            self._db = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextlib.contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """Open the database for a transaction.

        Vectors that are deleted in it are noted for the index files, and the index of words is kept up to date.
        """
        self.close()
        with contextlib.closing(sqlite3.connect(self.database, isolation_level=None, timeout=30)) as db:
            db.execute("PRAGMA synchronous = FULL")
            _bury_vectors(db)
            db.execute("BEGIN IMMEDIATE")
            try:
                yield db
                if words.exists(db):
                    words.refresh(db)
            except BaseException:
                db.execute("ROLLBACK")
                raise
            db.execute("COMMIT")

    def rebuild(self) -> str:
        """Save what can be read into a fresh database, and keep the damaged one; returns what was saved."""
        self.progress(Progress("saving what can be read"))
        self.close()
        scratch = Path(mkdtemp(suffix=SCRATCH, dir=self.folder))
        try:
            self.salvaged = salvage(self.folder, scratch)
            self.copy = install(self.folder, scratch)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
        self.sound = True
        return saved_text(self.salvaged, self.copy)


def _bury_vectors(db: sqlite3.Connection) -> None:
    """Have the connection leave a tombstone for every vector that it deletes, if the schema has any."""
    db.create_function("fingerprint", 1, lambda vector: fingerprint(vector if isinstance(vector, bytes) else b""))
    if db.execute("SELECT 1 FROM sqlite_master WHERE name = 'tombstones'").fetchone():
        db.execute(
            "CREATE TEMP TRIGGER bury AFTER DELETE ON main.vectors BEGIN INSERT INTO tombstones "
            "(space_id, vector_id, fingerprint) VALUES (OLD.space_id, OLD.id, fingerprint(OLD.vector)); END"
        )


def _text(raw: bytes) -> str | bytes:
    """Return a text of the database; one that is no UTF-8 stays bytes, which no text column takes."""
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw


def saved_text(found: Salvage, copy: Path) -> str:
    """Say in one line what was saved from a damaged database."""
    names = {"files": "files", "contents": "photos", "vectors": "vectors"}
    lost = {table: found.lost.get(table) for table in names}
    parts = [
        f"{found.saved.get(table, 0):,} {name}" + (f" ({lost[table]:,} lost)" if lost[table] else "")
        for table, name in names.items()
    ]
    tags = found.lost.get("verdicts")
    gone = f"; {tags:,} of the answers given about tags are lost" if tags else ""
    unknown = "; how many were lost nobody can tell" if None in lost.values() else ""
    again = "glimpse index" if found.saved.get("sources") else "glimpse index FOLDER"
    return (
        f"saved {', '.join(parts)}{unknown}{gone}; the damaged one is kept as {copy.name}; "
        f"what was lost of photos comes back with: {again}"
    )


@dataclass(frozen=True)
class Trouble:
    """Something wrong. remedy: what is to be done; mend: does it, and returns what was done, None: it cannot here."""

    text: str
    remedy: str
    mend: Callable[[], str] | None = None


Found = Iterator[Finding | Trouble]
Check = Callable[[Patient], Found]
