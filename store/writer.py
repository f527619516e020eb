"""The writer of a library: the only code that changes library.db, one transaction a batch."""

import contextlib
import json
import os
import sqlite3
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import sqlalchemy as sa
from sqlalchemy import bindparam, delete, exists, insert, select, update
from sqlalchemy.engine import URL, Connection, Engine

from core.errors import LibraryError
from core.types import FileStat, Kind, Metadata, Modality, Space, Vector, Walk
from store import models, verdicts, words
from store.batch import parts, write_batch
from store.lock import write_lock
from store.names import (
    CHECK_CELLS,
    DATABASE,
    HEARD,
    MARK,
    VECTOR_DTYPE,
    check_size,
    explain,
    fingerprint,
    identity,
    tower_revision,
)
from store.previews import PREVIEW_SIZE, Previews
from store.records import FRAME, MIDDLE, TILE, TILES_AT_FIRST, WHOLE, WINDOW, KnownFile, Source, Taken, Unread
from store.schema import (
    contents,
    files,
    library,
    means,
    roots,
    runs,
    segments,
    sources,
    spaces,
    tombstones,
    towers,
    vectors,
)
from store.tagging import Verdict
from store.versions import migrate

PAGE_SIZE = 16384
CACHE = 64 << 10
"""KiB of pages kept: digests come in no order, so that each batch needs all of their index (30 MB for a million)."""
BUSY_SECONDS = 30.0
"""How long to wait while another program writes to the database, which none of ours does meanwhile."""


class Writer:
    """A library opened for writing; made where there is none. One process at a time; readers need no lock."""

    def __init__(self, folder: Path) -> None:
        """Take the write lock, then open; raises LibraryBusyError or LibraryError."""
        self.folder = folder
        with explain(folder):
            folder.mkdir(parents=True, exist_ok=True)
        check_size(folder)
        self._lock = write_lock(folder)
        self._engine = new_engine(folder / DATABASE)
        self._rehearsal: Connection | None = None
        try:
            with explain(folder):
                migrate(self._engine, folder)
        except BaseException:
            self.close()
            raise
        if (folder / MARK).exists():  # it is a library that lives from now on
            with contextlib.suppress(OSError):
                (folder / MARK).unlink()
        self._identity = identity(folder)

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

    def add_space(self, space: Space, modality: Modality = Modality.IMAGE) -> int:
        """Add a space unless it is there, as the current one if it is the first of pictures; returns its id."""
        same = (spaces.c.name == space.name) & (spaces.c.revision == space.revision)
        with self._begin() as db:
            space_id = db.execute(select(spaces.c.id).where(same)).scalar()
            if space_id is None:
                values = {
                    "name": space.name, "revision": space.revision, "dim": space.dim, "modality": modality.value
                }  # fmt: skip
                space_id = db.execute(insert(spaces).values(values)).inserted_primary_key[0]  # type: ignore[index]
            if modality is Modality.IMAGE and db.execute(select(library.c.id)).first() is None:
                db.execute(insert(library).values(current_space_id=space_id))
        return int(space_id)

    def sources(self) -> dict[bytes, Source]:
        """Return the paths that people asked to index, and how each is walked."""
        with self._begin() as db:
            return {
                row.path: Source(row.folder, _walk_of(row.walk))
                for row in db.execute(select(sources.c.path, sources.c.folder, sources.c.walk))
            }

    def add_sources(self, paths: Mapping[bytes, bool], walk: Walk | None = None) -> None:
        """Remember paths that were asked for, and whether each is a folder; walk: None leaves it as it is."""
        known = self.sources()
        said = walk or Walk()
        new = [
            {"path": path, "folder": paths[path], "walk": json.dumps(asdict(said))}
            for path in paths.keys() - known.keys()
        ]
        with self._begin() as db:
            if new:
                db.execute(insert(sources), new)
            for path in paths.keys() & known.keys():
                merged = json.dumps(asdict(said.over(known[path].walk)))
                db.execute(update(sources).where(sources.c.path == path).values(walk=merged))

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
        query = (
            "SELECT f.root_id, f.path, f.id, f.size, f.mtime_ns, f.inode, f.device, c.digest, f.gone, f.failure, "
            "f.retry, c.metadata IS NOT NULL, f.primary_id, f.beside FROM files f LEFT JOIN contents c "
            "ON c.id = f.content_id"
        )
        with self._begin() as db:  # the driver's own rows: SQLAlchemy's take three times as long
            return {
                (root_id, path): KnownFile(
                    key, FileStat(size, mtime_ns, inode, device), digest, digest in encoded,
                    gone != 0, failure, retry != 0, described != 0, primary, beside,
                )
                for root_id, path, key, size, mtime_ns, inode, device, digest, gone, failure, retry, described,
                primary, beside in _driver(db).execute(query)
            }  # fmt: skip

    def encoded_digests(self, space_id: int) -> set[bytes]:
        """Return the digests of all photos, and of all films, that have vectors in a space; 16 bytes each."""
        query = (
            "SELECT DISTINCT c.digest FROM vectors v JOIN segments s ON s.id = v.segment_id JOIN contents c "
            "ON c.id = s.content_id WHERE v.space_id = ? AND s.kind IN (?, ?)"
        )
        with self._begin() as db:
            return {digest for (digest,) in _driver(db).execute(query, (space_id, WHOLE, FRAME))}

    def heard_digests(self, sound_id: int | None) -> set[bytes]:
        """Return the digests of all recordings that have all their vectors in a space of sound, or are silent.

        None: there is no such space, and all have what they can have.
        """
        with self._begin() as db:
            return {digest for (digest,) in _driver(db).execute(HEARD, (sound_id, WINDOW))}

    def films(self) -> set[bytes]:
        """Return the digests of all films."""
        with self._begin() as db:
            query = "SELECT digest FROM contents WHERE kind != 'photo' AND kind = ?"
            return {digest for (digest,) in _driver(db).execute(query, (Kind.VIDEO,))}

    def tower(self, space_id: int) -> bytes | None:
        """Return the weights of what learned to hear for a space of pictures, None where nothing has."""
        with self._begin() as db:
            return db.execute(select(towers.c.weights).where(towers.c.space_id == space_id)).scalar()

    def set_tower(self, space_id: int, weights: bytes, report: Mapping[str, Any]) -> None:
        """Keep what has learned to hear for a space of pictures, in the place of what did before."""
        said = {"weights": weights, "report": json.dumps(report)}
        row = {"space_id": space_id, "revision": tower_revision(weights), **said}
        with self._begin() as db:
            db.execute(delete(towers).where(towers.c.space_id == space_id))
            db.execute(insert(towers).values(row))

    def animated_digests(self) -> frozenset[bytes]:
        """Return the digests of all contents that have a middle frame."""
        query = "SELECT c.digest FROM segments s JOIN contents c ON c.id = s.content_id WHERE s.kind = ?"
        with self._begin() as db:
            return frozenset(digest for (digest,) in _driver(db).execute(query, (MIDDLE,)))

    def embedded(self, digests: Iterable[bytes]) -> dict[bytes, Metadata]:
        """Return what is written in photos themselves, as far as it was read."""
        found: dict[bytes, Metadata] = {}
        with self._begin() as db:
            for part in parts(list(digests)):
                query = select(contents.c.digest, contents.c.metadata).where(contents.c.digest.in_(part))
                found |= {row.digest: _metadata_of(row.metadata) for row in db.execute(query) if row.metadata}
        return found

    def commit(self, space_id: int, batch: Sequence[Taken], sound_id: int | None = None) -> None:
        """Write a batch in one transaction: contents, segments, vectors, files, metadata and failures.

        space_id: where pictures go; sound_id: where sound goes.
        """
        with self._begin() as db:
            write_batch(db, space_id, batch, sound_id)

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

        A run that is `complete` puts a new version of the current model in the place of the old one, which answers
        until then; another model waits for `use`.
        """
        with self._begin() as db:
            current = db.execute(select(spaces.c.name).join_from(library, spaces)).scalar()
            if complete and current == space.name:
                db.execute(update(library).values(current_space_id=space_id))
            row = {"space_id": space_id, "finished": time.time(), "summary": json.dumps(summary)}
            db.execute(insert(runs).values(row))
        self.set_mean(space, space_id, Modality.IMAGE)

    def set_mean(self, space: Space, space_id: int, modality: Modality) -> None:
        """Write down the mean of a space's vectors, unless its encoder has centred them."""
        mean = None if space.centred else self._mean(space_id, space.dim)
        if mean is None:
            return
        count, value = mean
        with self._begin() as db:
            db.execute(delete(means).where(means.c.space_id == space_id))
            row = {"space_id": space_id, "modality": modality, "count": count, "mean": value.tobytes()}
            db.execute(insert(means).values(row))

    def preview_size(self, said: int | None) -> int:
        """Return the longer side in px of previews to store, 0 for none; said: remembered from now on unless None."""
        with self._begin() as db:
            if said is not None:
                db.execute(update(library).values(preview=said))
            kept = db.execute(select(library.c.preview)).scalar()
        return PREVIEW_SIZE if kept is None else int(kept)

    def ocr(self, said: bool | None) -> bool:
        """Return whether text in photos is read; said: remembered from now on unless None."""
        with self._begin() as db:
            if said is not None:
                db.execute(update(library).values(ocr=said))
            return bool(db.execute(select(library.c.ocr)).scalar())

    def unread(self) -> list[Unread]:
        """Return the photos in which nobody has looked for text, and one path of each that is not gone."""
        query = (
            "SELECT c.id, c.digest, r.path, f.path FROM contents c JOIN files f ON f.id = "
            "(SELECT min(g.id) FROM files g WHERE g.content_id = c.id AND NOT g.gone) "
            "JOIN roots r ON r.id = f.root_id WHERE c.text IS NULL AND c.kind = ? ORDER BY c.id"
        )
        with self._begin() as db:
            rows = _driver(db).execute(query, (Kind.PHOTO,))
            return [Unread(key, digest, os.path.join(root, path)) for key, digest, root, path in rows]

    def set_texts(self, texts: Mapping[int, str]) -> None:
        """Write down what can be read in photos, by the ids of their contents."""
        if texts:
            with self._begin() as db:
                rows = [(text, key) for key, text in texts.items()]
                db.exec_driver_sql("UPDATE contents SET text = ? WHERE id = ?", rows)

    def tier(self, said: str | None) -> None:
        """Remember the tier of the index that somebody chose, "auto" for whatever fits its size; None: no word."""
        if said is not None:
            with self._begin() as db:
                db.execute(update(library).values(tier=None if said == "auto" else said))

    def tiles(self) -> str:
        """Return which photos have vectors of parts: "none", "wide", "all"."""
        with self._begin() as db:
            return str(db.execute(select(library.c.tiles)).scalar() or TILES_AT_FIRST)

    def set_tiles(self, said: str, without: Iterable[int]) -> None:
        """Remember which photos have vectors of parts, and forget those of the contents that are to be `without`."""
        with self._begin() as db:
            db.execute(update(library).values(tiles=said))
            for part in parts(list(without)):
                theirs = (segments.c.kind == TILE) & segments.c.content_id.in_(part)
                _bury(db, theirs)
                db.execute(delete(segments).where(theirs))

    def tiled(self) -> list[tuple[int, int, int]]:
        """Return id, width and height of all photos that have vectors of parts in any space."""
        query = "SELECT id, width, height FROM contents WHERE id IN (SELECT content_id FROM segments WHERE kind = ?)"
        with self._begin() as db:
            return _driver(db).execute(query, (TILE,)).fetchall()

    def tile_counts(self, space_id: int, least: int, ratio: float) -> Iterator[tuple[bytes, int, int, int]]:
        """Yield digest, width, height and number of tiles in a space of the photos that may have some.

        least: px of the shorter side; ratio: of the longer to the shorter, at least. What is cut short has none.
        """
        query = (
            "SELECT digest, width, height, (SELECT count(*) FROM segments s JOIN vectors v ON v.segment_id = s.id "
            "AND v.space_id = ? WHERE s.content_id = c.id AND s.kind = ?) FROM contents c "
            "WHERE c.kind = ? AND NOT damaged AND min(width, height) >= ? "
            "AND max(width, height) >= ? * min(width, height)"
        )
        with self._begin() as db:
            yield from _driver(db).execute(query, (space_id, TILE, Kind.PHOTO, least, ratio))

    def forget_tombstones(self, space_id: int, last: int) -> None:
        """Forget the deletions of vectors up to id `last`: no index file has them any more."""
        old = (tombstones.c.space_id == space_id) & (tombstones.c.vector_id <= last)
        with self._begin() as db:
            db.execute(delete(tombstones).where(old))

    def precision(self, space_id: int) -> tuple[str, bool]:
        """Return the precision in which a space's photos are encoded, and whether it was tested and chosen."""
        with self._begin() as db:
            row = db.execute(select(spaces.c.precision, spaces.c.self_test).where(spaces.c.id == space_id)).one()
        return row.precision, row.self_test is not None

    def set_precision(self, space_id: int, precision: str, self_test: Sequence[Mapping[str, Any]]) -> None:
        """Write down in which precision a space's photos are encoded from now on, and the measurements behind it."""
        values = {"precision": precision, "self_test": json.dumps(list(self_test))}
        with self._begin() as db:
            db.execute(update(spaces).where(spaces.c.id == space_id).values(values))

    def use(self, model: str, anyway: bool = False) -> None:
        """Make a model's newest space the one that answers.

        Raises LibraryError where it lacks photos, unless that is to be `anyway`: some may be out of reach for good.
        """
        with self._begin() as db:
            models.use(db, model, anyway)

    def drop(self, model: str) -> int:
        """Forget all vectors of a model, those of its own ear too, and give their room back; returns their number.

        Raises LibraryError for the model that answers.
        """
        with self._begin() as db:
            count = models.drop(db, self.folder, model)
        with contextlib.suppress(sqlite3.OperationalError), self._engine.connect() as db:
            _driver(db).execute("VACUUM")  # where there is no room for it, the pages are used again
        return count

    def drop_older(self, sound_id: int, model: str) -> None:
        """Forget what earlier versions of a sound encoder made, and what a model learned before it had this one.

        To be called when a run has heard all that it saw.
        """
        with self._begin() as db:
            models.drop_older(db, self.folder, sound_id, model)

    def judge(self, content_ids: Collection[int], tag: str, verdict: Verdict) -> int:
        """Note what somebody says of a tag for contents; returns how many gained or lost it; raises QueryError."""
        with self._begin() as db:
            return verdicts.judge(db, content_ids, tag, verdict)

    def rename_tag(self, old: str, new: str) -> int:
        """Rename a tag and all below it; returns how many contents had it; raises LibraryError, QueryError."""
        with self._begin() as db:
            return verdicts.rename(db, old, new)

    def prune(self) -> int:
        """Forget files that are gone, and contents, vectors and previews that no file needs; returns the files."""
        with self._begin() as db:
            of_photos = files.c.gone & files.c.primary_id.is_(None)
            forgotten = db.execute(select(sa.func.count()).select_from(files).where(of_photos)).scalar_one()
            db.execute(delete(files).where(files.c.gone))
            # What belonged to one of them, and is no photo itself.
            nothing = files.c.content_id.is_(None) & files.c.failure.is_(None) & files.c.primary_id.is_(None)
            db.execute(delete(files).where(nothing))
            db.execute(delete(roots).where(~exists().where(files.c.root_id == roots.c.id)))
            orphans = ~exists().where(files.c.content_id == contents.c.id)
            _bury(db, orphans)
            db.execute(delete(contents).where(orphans))
            verdicts.forget_unused(db)
            kept = set(db.execute(select(contents.c.digest)).scalars())
        Previews(self.folder).sweep(kept)
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
    def rehearsal(self) -> Iterator[None]:
        """Undo at the end whatever is written meanwhile."""
        with explain(self.folder), self._engine.connect() as db, db.begin() as all_of_it:
            self._rehearsal = db
            try:
                yield
            finally:
                self._rehearsal = None
                all_of_it.rollback()

    @contextlib.contextmanager
    def _begin(self) -> Iterator[Connection]:
        """Open a transaction and name what goes wrong in it."""
        with explain(self.folder):
            if self._rehearsal is not None:
                yield self._rehearsal
                return
            with self._engine.begin() as db:
                yield db
                words.refresh(_driver(db))
                self._must_be_there()

    def _must_be_there(self) -> None:
        """Raise LibraryError where the library has gone: SQLite would go on, and write into a file without a name."""
        if identity(self.folder) != self._identity:
            raise LibraryError(
                f"{self.folder} has gone while it was written to: moved, deleted, or on a drive that is away; "
                f"put it back and run the command again"
            )


def _metadata_of(text: str) -> Metadata:
    said = json.loads(text)
    return Metadata(**{**said, "keywords": tuple(said.get("keywords", ()))})


def _walk_of(text: str | None) -> Walk:
    said = json.loads(text) if text else {}
    exclude = said.get("exclude")
    return Walk(**{**said, "exclude": None if exclude is None else tuple(exclude)})


def _driver(db: Connection) -> sqlite3.Connection:
    """Return the connection below SQLAlchemy's."""
    driver: sqlite3.Connection = db.connection.driver_connection  # type: ignore[assignment]
    return driver


def _bury(db: Connection, which: sa.ColumnElement[bool]) -> None:
    """Note the vectors of contents that will be deleted: index files still have them."""
    query = select(vectors.c.id, vectors.c.space_id, vectors.c.vector).join_from(vectors, segments).join(contents)
    for part in db.execute(query.where(which).execution_options(yield_per=5000)).partitions():
        notes = [
            {"space_id": row.space_id, "vector_id": row.id, "fingerprint": fingerprint(row.vector)} for row in part
        ]
        db.execute(insert(tombstones), notes)


def new_engine(database: Path) -> Engine:
    """Return an engine whose transactions include the schema, and begin by taking SQLite's write lock."""
    engine = sa.create_engine(URL.create("sqlite", database=str(database)))

    @sa.event.listens_for(engine, "connect")
    def on_connect(connection: sqlite3.Connection, _: object) -> None:
        connection.isolation_level = None  # the driver's own BEGIN would come too late for CREATE TABLE
        for pragma in (
            f"page_size = {PAGE_SIZE}",
            f"cache_size = -{CACHE}",
            "journal_mode = WAL",
            "synchronous = FULL",
            "foreign_keys = ON",
            f"busy_timeout = {int(BUSY_SECONDS * 1000)}",
            CHECK_CELLS,
        ):
            connection.execute(f"PRAGMA {pragma}")

    @sa.event.listens_for(engine, "begin")
    def on_begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    return engine
