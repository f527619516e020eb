"""Write a batch of an index run: contents, segments, vectors, files, metadata, tags; in the caller's transaction.

The transaction holds the only write lock, so the ids of new rows are counted on from the last one, and nothing is
looked up that was only just added.
"""

import itertools
import json
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import fields
from operator import attrgetter
from typing import Any

from sqlalchemy import Insert, Table, Update, bindparam, delete, insert, select, update
from sqlalchemy.dialects import sqlite
from sqlalchemy.engine import Connection

from core.errors import LibraryError
from core.types import Metadata, Place, Vector
from store.names import VECTOR_DTYPE
from store.records import Taken
from store.schema import contents, file_tags, files, metadata_of, segments, tags, vectors

PHOTO = "photo"
FROM_FILE = "file"
"""Where a tag comes from: keywords in the photo or beside it."""
_MANY = 500
"""Rows asked for in one IN (...)."""
_METADATA = tuple(field.name for field in fields(Metadata))
_PLACE = tuple(field.name for field in fields(Place))
# dataclasses.asdict copies every value deeply, which took longer than all of SQLite.
_metadata_values = attrgetter(*_METADATA)
_place_values = attrgetter(*_PLACE)
_json = json.JSONEncoder(ensure_ascii=False).encode
_NAMED = sqlite.dialect(paramstyle="named")


def write_batch(db: Connection, space_id: int, batch: Sequence[Taken]) -> None:
    """Write what was found out about files; a content without a `size` must be there already."""
    read = {taken.digest: taken for taken in batch if taken.digest is not None}
    known = _known_contents(db, list(read))
    content_ids = known | _add_contents(db, {digest: taken for digest, taken in read.items() if digest not in known})
    _write_embedded(db, known, read)
    _add_vectors(db, space_id, content_ids, set(known.values()), batch)
    file_ids = _write_files(db, content_ids, batch)
    _write_metadata(db, file_ids, batch)


def _known_contents(db: Connection, digests: list[bytes]) -> dict[bytes, int]:
    """Return the ids of the contents that are there."""
    ids: dict[bytes, int] = {}
    for part in parts(digests):
        rows = db.execute(select(contents.c.digest, contents.c.id).where(contents.c.digest.in_(part)))
        ids.update((digest, key) for digest, key in rows)
    return ids


def _add_contents(db: Connection, new: Mapping[bytes, Taken]) -> dict[bytes, int]:
    """Add contents and return their ids."""
    ids = dict(zip(new, _new_ids(db, contents), strict=False))
    rows = []
    for digest, taken in new.items():
        if taken.size is None:
            raise LibraryError(f"a content that is not there was to be used again: {digest.hex()}")
        width, height = taken.size
        rows.append({
            "id": ids[digest], "digest": digest, "kind": PHOTO, "size": taken.stat.size, "width": width,
            "height": height, "damaged": taken.damaged, "metadata": _said(taken.embedded),
        })  # fmt: skip
    _write(db, insert(contents), rows)
    return ids


def _write_embedded(db: Connection, known: Mapping[bytes, int], read: Mapping[bytes, Taken]) -> None:
    """Note what is written in photos that were there before."""
    told = [
        {"key": key, "metadata": _said(read[digest].embedded)}
        for digest, key in known.items()
        if read[digest].embedded is not None
    ]
    _write(db, _by_key(contents), told)


def _add_vectors(
    db: Connection, space_id: int, content_ids: Mapping[bytes, int], known: Set[int], batch: Sequence[Taken]
) -> None:
    """Add the vectors that the space does not have yet, each behind a segment of its content."""
    given: dict[tuple[int, str], tuple[Vector, bool]] = {
        (content_ids[taken.digest], kind): (vector, taken.from_preview)
        for taken in batch
        if taken.digest is not None
        for kind, vector in taken.vectors.items()
    }
    ids: dict[tuple[int, str], int] = {}
    there: set[int] = set()
    for part in parts(sorted({content_id for content_id, _ in given} & known)):
        query = select(segments.c.content_id, segments.c.kind, segments.c.id).where(segments.c.content_id.in_(part))
        ids.update({(content_id, kind): key for content_id, kind, key in db.execute(query)})
    for part in parts([key for place, key in ids.items() if place in given]):
        query = select(vectors.c.segment_id).where(vectors.c.segment_id.in_(part), vectors.c.space_id == space_id)
        there.update(db.execute(query).scalars())
    new = dict(zip((place for place in given if place not in ids), _new_ids(db, segments), strict=False))
    rows = [{"id": key, "content_id": content_id, "kind": kind} for (content_id, kind), key in new.items()]
    _write(db, insert(segments), rows)
    ids |= new
    rows = [
        {
            "space_id": space_id,
            "segment_id": ids[place],
            "vector": vector.astype(VECTOR_DTYPE).tobytes(),
            "from_preview": from_preview,
        }
        for place, (vector, from_preview) in given.items()
        if ids[place] not in there
    ]
    _write(db, insert(vectors), rows)


def _write_files(db: Connection, content_ids: Mapping[bytes, int], batch: Sequence[Taken]) -> list[int]:
    """Insert or update the rows of the files themselves, and return their ids, one for each of the batch."""
    ids, added, changed, troubled = [], [], [], []
    primaries = _file_ids(db, [(taken.root_id, taken.primary) for taken in batch if taken.primary is not None])
    new_ids = _new_ids(db, files)
    for taken in batch:
        size, mtime_ns, inode, device = taken.stat
        key = next(new_ids) if taken.file_id is None else taken.file_id
        row = {
            "key": key, "root_id": taken.root_id, "path": taken.path,
            "content_id": None if taken.digest is None else content_ids[taken.digest],
            "size": size, "mtime_ns": mtime_ns, "inode": inode, "device": device,
            "gone": False, "failure": taken.failure, "retry": taken.retry,
            "primary_id": None if taken.primary is None else primaries[taken.root_id, taken.primary],
        }  # fmt: skip
        ids.append(key)
        if taken.file_id is None:
            added.append({**row, "beside": taken.about.beside if taken.about else None})
        elif taken.failure is not None and taken.retry:
            # It may be readable next time: what is known of it stays until then.
            troubled.append({"key": key, "gone": False, "failure": taken.failure, "retry": True})
        else:
            changed.append(row)
    _write(db, insert(files).values(id=bindparam("key")), added)
    _write(db, _by_key(files), changed)
    _write(db, _by_key(files), troubled)
    return ids


def _file_ids(db: Connection, places: Sequence[tuple[int, bytes]]) -> dict[tuple[int, bytes], int]:
    """Return the ids of files by root id and path below it."""
    found: dict[tuple[int, bytes], int] = {}
    for root_id in {root_id for root_id, _ in places}:  # without the root there is no index to find them by
        for part in parts([path for root, path in places if root == root_id]):
            query = select(files.c.path, files.c.id).where(files.c.root_id == root_id, files.c.path.in_(part))
            found |= {(root_id, path): key for path, key in db.execute(query)}
    return found


def _write_metadata(db: Connection, file_ids: Sequence[int], batch: Sequence[Taken]) -> None:
    """Replace what is known about files, their tags included."""
    of_batch = list(zip(file_ids, batch, strict=True))
    about = {key: taken.about for key, taken in of_batch if taken.about is not None}
    known = [key for key, taken in of_batch if taken.file_id is not None and taken.about is not None]
    for part in parts(known):
        db.execute(delete(metadata_of).where(metadata_of.c.file_id.in_(part)))
        db.execute(delete(file_tags).where(file_tags.c.file_id.in_(part), file_tags.c.source == FROM_FILE))
    rows = []
    for key, what in about.items():
        row = {"file_id": key, **dict(zip(_METADATA, _metadata_values(what.metadata), strict=True))}
        del row["keywords"]
        place = _place_values(what.place) if what.place else (None,) * len(_PLACE)
        rows.append({**row, **dict(zip(_PLACE, place, strict=True))})
    _write(db, insert(metadata_of), rows)
    _write(db, _by_key(files), [{"key": key, "beside": about[key].beside} for key in known])
    tag_ids = _tag_ids(db, {word for what in about.values() for word in what.metadata.keywords})
    tagged = [
        {"file_id": key, "tag_id": tag_ids[word], "source": FROM_FILE}
        for key, what in about.items()
        for word in dict.fromkeys(what.metadata.keywords)
    ]
    _write(db, insert(file_tags), tagged)


def _tag_ids(db: Connection, names: Set[str]) -> dict[str, int]:
    """Return the ids of tags by name, adding those that are new."""
    ids: dict[str, int] = {}
    for part in parts(sorted(names)):
        ids |= {row.name: row.id for row in db.execute(select(tags).where(tags.c.name.in_(part)))}
    new = [{"name": name} for name in sorted(names) if name not in ids]
    if new:
        ids |= {row.name: row.id for row in db.execute(insert(tags).returning(tags.c.name, tags.c.id), new)}
    return ids


def _said(metadata: Metadata | None) -> str | None:
    """Return what metadata says, without what it does not, as JSON; None where nobody looked."""
    if metadata is None:
        return None
    values = zip(_METADATA, _metadata_values(metadata), strict=True)
    return _json({name: value for name, value in values if value is not None and value is not False and value != ()})


def _by_key(table: Table) -> Update:
    """Return an update of the rows whose ids are given as `key`."""
    return update(table).where(table.c.id == bindparam("key"))


def _write(db: Connection, statement: Insert | Update, rows: Sequence[Mapping[str, Any]]) -> None:
    """Run a statement for each row, whose keys name columns, by the driver's own executemany.

    SQLAlchemy's takes three times as long a row, for conversions that none of our values needs.
    """
    if rows:
        sql = str(statement.compile(dialect=_NAMED, column_keys=list(rows[0])))
        db.exec_driver_sql(sql, list(rows))


def _new_ids(db: Connection, table: Table) -> Iterator[int]:
    """Count on from the highest id that a table ever had."""
    last = db.exec_driver_sql("SELECT seq FROM sqlite_sequence WHERE name = ?", (table.name,)).scalar()
    return itertools.count((last or 0) + 1)


def parts(ids: list[Any]) -> Iterator[list[Any]]:
    """Cut a list into parts that fit into one IN (...)."""
    for start in range(0, len(ids), _MANY):
        yield ids[start : start + _MANY]
