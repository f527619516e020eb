"""Write a batch of an index run: contents, segments, vectors, files, metadata, tags; in the caller's transaction."""

import json
from collections.abc import Iterator, Sequence, Set
from dataclasses import asdict
from typing import Any

from sqlalchemy import bindparam, delete, insert, select, update
from sqlalchemy.engine import Connection

from core.errors import LibraryError
from core.types import Metadata, Vector
from store.names import VECTOR_DTYPE
from store.records import Taken
from store.schema import contents, file_tags, files, metadata_of, segments, tags, vectors

PHOTO = "photo"
FROM_FILE = "file"
"""Where a tag comes from: keywords in the photo or beside it."""
_MANY = 500
"""Rows asked for in one IN (...)."""


def write_batch(db: Connection, space_id: int, batch: Sequence[Taken]) -> None:
    """Write what was found out about files; a content without a `size` must be there already."""
    read = [taken for taken in batch if taken.digest is not None]
    content_ids = _content_ids(db, read)
    _add_vectors(db, space_id, content_ids, read)
    _write_files(db, content_ids, batch)
    _write_metadata(db, batch)


def _content_ids(db: Connection, read: Sequence[Taken]) -> dict[bytes, int]:
    """Return the id of each content, adding those that are new."""
    by_digest = {taken.digest: taken for taken in read if taken.digest is not None}
    ids: dict[bytes, int] = {}
    for part in parts(list(by_digest)):
        rows = db.execute(select(contents.c.digest, contents.c.id).where(contents.c.digest.in_(part)))
        ids.update({row.digest: row.id for row in rows})
    new = []
    for digest, taken in by_digest.items():
        if digest not in ids:
            if taken.size is None:
                raise LibraryError(f"a content that is not there was to be used again: {digest.hex()}")
            width, height = taken.size
            row = {"digest": digest, "kind": PHOTO, "size": taken.stat.size, "width": width, "height": height}
            new.append({**row, "damaged": taken.damaged})
    if new:
        rows = db.execute(insert(contents).returning(contents.c.digest, contents.c.id), new)
        ids.update({row.digest: row.id for row in rows})
    told = [
        {"key": ids[digest], "told": json.dumps(_said(taken.embedded), ensure_ascii=False)}
        for digest, taken in by_digest.items()
        if taken.embedded is not None
    ]
    if told:
        db.execute(update(contents).where(contents.c.id == bindparam("key")).values(metadata=bindparam("told")), told)
    return ids


def _add_vectors(db: Connection, space_id: int, content_ids: dict[bytes, int], read: Sequence[Taken]) -> None:
    """Add the vectors that the space does not have yet, each behind a segment of its content."""
    new: dict[tuple[int, str], tuple[Vector, bool]] = {
        (content_ids[t.digest], kind): (vector, t.from_preview)
        for t in read
        if t.digest is not None
        for kind, vector in t.vectors.items()
    }
    ids: dict[tuple[int, str], int] = {}
    for part in parts(list({content_id for content_id, _ in new})):
        query = select(segments).where(segments.c.content_id.in_(part))
        ids.update({(row.content_id, row.kind): row.id for row in db.execute(query)})
    missing = [{"content_id": content_id, "kind": kind} for content_id, kind in new if (content_id, kind) not in ids]
    if missing:
        columns = (segments.c.content_id, segments.c.kind, segments.c.id)
        rows = db.execute(insert(segments).returning(*columns), missing)
        ids.update({(row.content_id, row.kind): row.id for row in rows})
    there: set[int] = set()
    for part in parts([ids[key] for key in new]):
        query = select(vectors.c.segment_id).where(vectors.c.segment_id.in_(part), vectors.c.space_id == space_id)
        there.update(db.execute(query).scalars())
    rows_to_add = [
        {
            "space_id": space_id,
            "segment_id": ids[key],
            "vector": vector.astype(VECTOR_DTYPE).tobytes(),
            "from_preview": from_preview,
        }
        for key, (vector, from_preview) in new.items()
        if ids[key] not in there
    ]
    if rows_to_add:
        db.execute(insert(vectors), rows_to_add)


def _write_files(db: Connection, content_ids: dict[bytes, int], batch: Sequence[Taken]) -> None:
    """Insert or update the rows of the files themselves."""
    added, changed, troubled = [], [], []
    primaries = _file_ids(db, [(taken.root_id, taken.primary) for taken in batch if taken.primary is not None])
    for taken in batch:
        content_id = content_ids[taken.digest] if taken.digest is not None else None
        primary_id = None if taken.primary is None else primaries[taken.root_id, taken.primary]
        row = {
            "root_id": taken.root_id, "path": taken.path, "content_id": content_id,
            "size": taken.stat.size, "mtime_ns": taken.stat.mtime_ns,
            "inode": taken.stat.inode, "device": taken.stat.device,
            "gone": False, "failure": taken.failure, "retry": taken.retry, "primary_id": primary_id,
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


def _file_ids(db: Connection, places: Sequence[tuple[int, bytes]]) -> dict[tuple[int, bytes], int]:
    """Return the ids of files by root id and path below it."""
    found: dict[tuple[int, bytes], int] = {}
    for part in parts(list(places)):
        query = select(files.c.root_id, files.c.path, files.c.id).where(files.c.path.in_([path for _, path in part]))
        found |= {(row.root_id, row.path): row.id for row in db.execute(query)}
    return found


def _write_metadata(db: Connection, batch: Sequence[Taken]) -> None:
    """Replace what is known about files, their tags included."""
    told = {(taken.root_id, taken.path): taken.about for taken in batch if taken.about is not None}
    if not told:
        return
    ids = _file_ids(db, list(told))
    about = {ids[place]: what for place, what in told.items()}
    for part in parts(list(about)):
        db.execute(delete(metadata_of).where(metadata_of.c.file_id.in_(part)))
        db.execute(delete(file_tags).where(file_tags.c.file_id.in_(part), file_tags.c.source == FROM_FILE))
    rows = []
    for file_id, what in about.items():
        columns = {name: value for name, value in asdict(what.metadata).items() if name != "keywords"}
        place = asdict(what.place) if what.place else dict.fromkeys(("town", "region", "country"))
        rows.append({"file_id": file_id, **columns, **place})
    db.execute(insert(metadata_of), rows)
    beside = [{"key": file_id, "hash": what.beside} for file_id, what in about.items()]
    db.execute(update(files).where(files.c.id == bindparam("key")).values(beside=bindparam("hash")), beside)
    tag_ids = _tag_ids(db, {word for what in about.values() for word in what.metadata.keywords})
    tagged = [
        {"file_id": file_id, "tag_id": tag_ids[word], "source": FROM_FILE}
        for file_id, what in about.items()
        for word in dict.fromkeys(what.metadata.keywords)
    ]
    if tagged:
        db.execute(insert(file_tags), tagged)


def _tag_ids(db: Connection, names: Set[str]) -> dict[str, int]:
    """Return the ids of tags by name, adding those that are new."""
    ids: dict[str, int] = {}
    for part in parts(sorted(names)):
        ids |= {row.name: row.id for row in db.execute(select(tags).where(tags.c.name.in_(part)))}
    new = [{"name": name} for name in sorted(names) if name not in ids]
    if new:
        ids |= {row.name: row.id for row in db.execute(insert(tags).returning(tags.c.name, tags.c.id), new)}
    return ids


def _said(metadata: Metadata) -> dict[str, Any]:
    """Return what metadata says, without what it does not."""
    return {name: value for name, value in asdict(metadata).items() if value not in (None, (), False)}


def parts(ids: list[Any]) -> Iterator[list[Any]]:
    """Cut a list into parts that fit into one IN (...)."""
    for start in range(0, len(ids), _MANY):
        yield ids[start : start + _MANY]
