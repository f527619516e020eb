"""The writer of a library: the only code that changes library.db, one transaction a batch."""

import contextlib
import json
import os
import secrets
import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import sqlalchemy as sa
from filelock import FileLock, Timeout
from sqlalchemy import bindparam, delete, exists, insert, select, update
from sqlalchemy.engine import URL, Connection, Engine

from core.errors import LibraryBusyError, LibraryError
from core.types import FileStat, Modality, Space, Vector
from store.names import DATABASE, LOCK, VECTOR_DTYPE, explain
from store.schema import contents, files, library, means, roots, runs, segments, sources, spaces, vectors
from store.versions import migrate

PHOTO = "photo"
WHOLE = "whole"
PAGE_SIZE = 16384
_MANY = 500
"""Rows asked for in one IN (...)."""


@dataclass(frozen=True, slots=True)
class KnownFile:
    """A file as the last run left it; `encoded`: its content has a vector in the space asked about."""

    id: int
    stat: FileStat
    digest: bytes | None
    encoded: bool
    gone: bool
    failure: str | None
    retry: bool


@dataclass(frozen=True, slots=True)
class Taken:
    """What an index run found out about one file.

    file_id: the row to update, None for a new one. Either `failure` says why the file could not be read, or
    `digest` names its content; new contents come with `size` (width, height), new vectors with `vector`.
    """

    root_id: int
    path: bytes
    stat: FileStat
    file_id: int | None = None
    digest: bytes | None = None
    size: tuple[int, int] | None = None
    vector: Vector | None = None
    failure: str | None = None
    retry: bool = False


class Writer:
    """A library opened for writing; made where there is none. One process at a time; readers need no lock."""

    def __init__(self, folder: Path) -> None:
        """Take the write lock, then open; raises LibraryBusyError or LibraryError."""
        self.folder = folder
        with explain(folder):
            folder.mkdir(parents=True, exist_ok=True)
        self._lock = FileLock(folder / LOCK, timeout=0)
        with explain(folder):
            try:
                self._lock.acquire()
            except Timeout as error:  # an OSError too
                raise LibraryBusyError(
                    f"another glimpse is writing to {folder}; wait until it has finished, or stop it"
                ) from error
        self._engine = _engine(folder / DATABASE)
        try:
            with explain(folder):
                migrate(self._engine, folder)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the database and let the next writer in."""
        self._engine.dispose()
        self._lock.release()

    def __enter__(self) -> "Writer":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def current_model(self) -> str | None:
        """Return the name of the current space, None in a new library."""
        with self._begin() as db:
            row = db.execute(select(spaces.c.name).join_from(library, spaces)).first()
        return None if row is None else str(row.name)

    def add_space(self, space: Space) -> int:
        """Add a space unless it is there, as the current one if it is the first; returns its id."""
        same = (spaces.c.name == space.name) & (spaces.c.revision == space.revision)
        with self._begin() as db:
            space_id = db.execute(select(spaces.c.id).where(same)).scalar()
            if space_id is None:
                values = {"name": space.name, "revision": space.revision, "dim": space.dim, "epoch": _epoch()}
                space_id = db.execute(insert(spaces).values(values)).inserted_primary_key[0]  # type: ignore[index]
            if db.execute(select(library.c.id)).first() is None:
                db.execute(insert(library).values(current_space_id=space_id))
        return int(space_id)

    def sources(self) -> dict[bytes, bool]:
        """Return the paths that people asked to index, and whether each was a folder."""
        with self._begin() as db:
            return {row.path: row.folder for row in db.execute(select(sources.c.path, sources.c.folder))}

    def add_sources(self, paths: Mapping[bytes, bool]) -> None:
        """Remember paths that somebody asked to index, and whether each is a folder."""
        new = [{"path": path, "folder": paths[path]} for path in paths.keys() - self.sources().keys()]
        if new:
            with self._begin() as db:
                db.execute(insert(sources), new)

    def roots(self) -> dict[int, bytes]:
        """Return the indexed folders by id."""
        with self._begin() as db:
            return {row.id: row.path for row in db.execute(select(roots.c.id, roots.c.path))}

    def add_root(self, path: bytes, inside: Sequence[tuple[int, bytes]]) -> int:
        """Add a folder to the indexed ones; roots `inside` it (id, path below it) become part of it."""
        with self._begin() as db:
            root_id = int(db.execute(insert(roots).values(path=path)).inserted_primary_key[0])  # type: ignore[index]
            for old, prefix in inside:
                rows = db.execute(select(files.c.id, files.c.path).where(files.c.root_id == old)).all()
                moved = [{"key": row.id, "below": os.path.join(prefix, row.path)} for row in rows]
                if moved:
                    values = {"root_id": root_id, "path": bindparam("below")}
                    db.execute(update(files).where(files.c.id == bindparam("key")).values(values), moved)
                db.execute(delete(roots).where(roots.c.id == old))
        return root_id

    def known_files(self, encoded: Set[bytes]) -> dict[tuple[int, bytes], KnownFile]:
        """Return every file ever seen and not pruned, gone ones included, by root id and path below it.

        encoded: the digests that have a vector (`encoded_digests`); to look each up in SQL would take for ever.
        """
        query = select(files, contents.c.digest).outerjoin_from(files, contents)
        with self._begin() as db:
            return {
                (row.root_id, row.path): KnownFile(
                    row.id,
                    FileStat(row.size, row.mtime_ns, row.inode, row.device),
                    row.digest,
                    row.digest in encoded,
                    row.gone,
                    row.failure,
                    row.retry,
                )
                for row in db.execute(query.execution_options(yield_per=5000))
            }

    def encoded_digests(self, space_id: int) -> set[bytes]:
        """Return the digests of all contents that have a vector in the space, 16 bytes each."""
        query = select(contents.c.digest).join_from(vectors, segments).join(contents)
        with self._begin() as db:
            return set(db.execute(query.where(vectors.c.space_id == space_id)).scalars())

    def commit(self, space_id: int, batch: Sequence[Taken]) -> None:
        """Write a batch in one transaction: contents, segments, vectors, files and failures."""
        read = [taken for taken in batch if taken.digest is not None]
        with self._begin() as db:
            content_ids = _content_ids(db, read)
            _add_vectors(db, space_id, content_ids, read)
            _write_files(db, content_ids, batch)

    def devices(self, root_id: int) -> set[int]:
        """Return the numbers of the devices where a root's files lay."""
        with self._begin() as db:
            return set(db.execute(select(files.c.device).distinct().where(files.c.root_id == root_id)).scalars())

    def mark_gone(self, file_ids: Iterable[int]) -> None:
        """Note that files are no longer where they were; they keep their vectors but are not found."""
        rows = [{"key": file_id} for file_id in file_ids]
        if rows:
            with self._begin() as db:
                db.execute(update(files).where(files.c.id == bindparam("key")).values(gone=True), rows)

    def finish(self, space: Space, space_id: int, summary: dict[str, Any], complete: bool) -> None:
        """Write down what a run did, and the mean picture where the space wants one.

        A run that is `complete` makes its space the current one; until then the one before answers.
        """
        mean = None if space.centred else self._mean(space_id, space.dim)
        with self._begin() as db:
            if complete:
                db.execute(update(library).values(current_space_id=space_id))
            row = {"space_id": space_id, "finished": time.time(), "summary": json.dumps(summary)}
            db.execute(insert(runs).values(row))
            if mean is not None:
                count, value = mean
                db.execute(delete(means).where(means.c.space_id == space_id))
                db.execute(
                    insert(means).values(
                        space_id=space_id, modality=Modality.IMAGE, count=count, mean=value.tobytes()
                    )
                )

    def prune(self) -> int:
        """Forget files that are gone, and contents and vectors that no file has any more; returns the files."""
        with self._begin() as db:
            forgotten = db.execute(delete(files).where(files.c.gone)).rowcount
            db.execute(delete(roots).where(~exists().where(files.c.root_id == roots.c.id)))
            orphans = ~exists().where(files.c.content_id == contents.c.id)
            if db.execute(delete(contents).where(orphans)).rowcount:
                for space_id in db.execute(select(spaces.c.id)).scalars().all():
                    db.execute(update(spaces).where(spaces.c.id == space_id).values(epoch=_epoch()))
        return int(forgotten)

    def _mean(self, space_id: int, dim: int) -> tuple[int, Vector] | None:
        """Return count and mean of all vectors of a space, float32."""
        total, count = np.zeros(dim, dtype=np.float64), 0
        query = select(vectors.c.vector).where(vectors.c.space_id == space_id)
        with self._begin() as db:
            for part in db.execute(query.execution_options(yield_per=5000)).scalars().partitions():
                total += np.frombuffer(b"".join(part), VECTOR_DTYPE).reshape(-1, dim).sum(0, dtype=np.float64)
                count += len(part)
        return (count, (total / count).astype(np.float32)) if count else None

    @contextlib.contextmanager
    def _begin(self) -> Iterator[Connection]:
        """Open a transaction and name what goes wrong in it."""
        with explain(self.folder), self._engine.begin() as db:
            yield db


def _content_ids(db: Connection, read: Sequence[Taken]) -> dict[bytes, int]:
    """Return the id of each content, adding those that are new."""
    by_digest = {taken.digest: taken for taken in read if taken.digest is not None}
    ids: dict[bytes, int] = {}
    for part in _parts(list(by_digest)):
        rows = db.execute(select(contents.c.digest, contents.c.id).where(contents.c.digest.in_(part)))
        ids.update({row.digest: row.id for row in rows})
    new = []
    for digest, taken in by_digest.items():
        if digest not in ids:
            if taken.size is None:
                raise LibraryError(f"a content that is not there was to be used again: {digest.hex()}")
            width, height = taken.size
            row = {"digest": digest, "kind": PHOTO, "size": taken.stat.size, "width": width, "height": height}
            new.append(row)
    if new:
        rows = db.execute(insert(contents).returning(contents.c.digest, contents.c.id), new)
        ids.update({row.digest: row.id for row in rows})
    return ids


def _add_vectors(db: Connection, space_id: int, content_ids: dict[bytes, int], read: Sequence[Taken]) -> None:
    """Add the vectors that the space does not have yet, each behind a segment of its content."""
    new = {content_ids[t.digest]: t.vector for t in read if t.digest is not None and t.vector is not None}
    whole: dict[int, int] = {}
    for part in _parts(list(new)):
        query = select(segments.c.content_id, segments.c.id).where(segments.c.content_id.in_(part))
        whole.update({row.content_id: row.id for row in db.execute(query.where(segments.c.kind == WHOLE))})
    missing = [{"content_id": content_id, "kind": WHOLE} for content_id in new if content_id not in whole]
    if missing:
        rows = db.execute(insert(segments).returning(segments.c.content_id, segments.c.id), missing)
        whole.update({row.content_id: row.id for row in rows})
    there: set[int] = set()
    for ids in _parts(list(whole.values())):
        query = select(vectors.c.segment_id).where(vectors.c.segment_id.in_(ids), vectors.c.space_id == space_id)
        there.update(db.execute(query).scalars())
    rows_to_add = [
        {"space_id": space_id, "segment_id": whole[key], "vector": vector.astype(VECTOR_DTYPE).tobytes()}
        for key, vector in new.items()
        if whole[key] not in there
    ]
    if rows_to_add:
        db.execute(insert(vectors), rows_to_add)


def _write_files(db: Connection, content_ids: dict[bytes, int], batch: Sequence[Taken]) -> None:
    """Insert or update the rows of the files themselves."""
    added, changed, troubled = [], [], []
    for taken in batch:
        content_id = content_ids[taken.digest] if taken.digest is not None else None
        row = {
            "root_id": taken.root_id, "path": taken.path, "content_id": content_id,
            "size": taken.stat.size, "mtime_ns": taken.stat.mtime_ns,
            "inode": taken.stat.inode, "device": taken.stat.device,
            "gone": False, "failure": taken.failure, "retry": taken.retry,
        }  # fmt: skip
        if taken.file_id is None:
            added.append(row)
        elif taken.failure is not None and taken.retry:
            # It may be readable next time: what is known of it stays until then.
            troubled.append({"key": taken.file_id, "failure": taken.failure, "retry": True, "gone": False})
        else:
            changed.append({"key": taken.file_id, **row})
    if added:
        db.execute(insert(files), added)
    for rows in (changed, troubled):
        if rows:
            names = [name for name in rows[0] if name != "key"]
            values: dict[str, Any] = {name: bindparam(f"new_{name}") for name in names}
            statement = update(files).where(files.c.id == bindparam("key")).values(values)
            db.execute(statement, [{"key": row["key"], **{f"new_{n}": row[n] for n in names}} for row in rows])


def _parts(ids: list[Any]) -> Iterator[list[Any]]:
    for start in range(0, len(ids), _MANY):
        yield ids[start : start + _MANY]


def _epoch() -> str:
    return secrets.token_hex(4)


def _engine(database: Path) -> Engine:
    """Return an engine whose transactions include the schema, and begin by taking SQLite's write lock."""
    engine = sa.create_engine(URL.create("sqlite", database=str(database)))

    @sa.event.listens_for(engine, "connect")
    def on_connect(connection: sqlite3.Connection, _: object) -> None:
        connection.isolation_level = None  # the driver's own BEGIN would come too late for CREATE TABLE
        for pragma in (
            f"page_size = {PAGE_SIZE}",
            "journal_mode = WAL",
            "synchronous = FULL",
            "foreign_keys = ON",
            "busy_timeout = 30000",
        ):
            connection.execute(f"PRAGMA {pragma}")

    @sa.event.listens_for(engine, "begin")
    def on_begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    return engine
