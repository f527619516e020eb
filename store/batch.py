"""Write a batch of an index run: contents, segments, vectors, files, metadata, tags; in the caller's transaction.

The transaction holds the only write lock, so the ids of new rows are counted on from the last one, and nothing is
looked up that was only just added.
"""

import itertools
import json
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import fields
from operator import attrgetter
from typing import Any, NamedTuple

from sqlalchemy import Insert, Table, Update, bindparam, delete, insert, select, update
from sqlalchemy.engine import Connection

from core.errors import LibraryError
from core.types import FileStat, Kind, Metadata, Place, Vector
from store.edits import carry
from store.names import VECTOR_DTYPE
from store.records import FRAME, TILE, WINDOW, Taken
from store.schema import contents, file_tags, files, metadata_of, segments, tags, vectors

FROM_FILE = "file"
"""Where a tag comes from: keywords in the photo or beside it."""
_MANY = 500
"""Rows asked for in one IN (...)."""
_COLUMNS = tuple(field.name for field in fields(Metadata) if field.name != "keywords")
_LATER = ("duration", "artist")
"""Those of them that stand behind the place in the table."""
_PLACE = tuple(field.name for field in fields(Place))
_NOWHERE = (None,) * len(_PLACE)
# dataclasses.asdict copies every value deeply, which took longer than all of SQLite.
_columns_of = attrgetter(*_COLUMNS)
_later_of = attrgetter(*_LATER)
_place_of = attrgetter(*_PLACE)
_json = json.JSONEncoder(ensure_ascii=False).encode


class _Part(NamedTuple):
    """What a segment is: a part of a content, from a time in seconds, or a box in shares of an upright photo."""

    content_id: int
    kind: str
    start: float | None = None
    left: float | None = None
    top: float | None = None
    right: float | None = None
    bottom: float | None = None


class _New(NamedTuple):
    """A vector to add."""

    space_id: int
    vector: Vector
    end: float | None = None
    from_preview: bool = False


def write_batch(db: Connection, space_id: int, batch: Sequence[Taken], sound_id: int | None = None) -> None:
    """Write what was found out about files; a content without a `size` must be there already.

    space_id: the space of pictures; sound_id: that of sound, where there is one.
    """
    read = {taken.digest: taken for taken in batch if taken.digest is not None}
    known = _known_contents(db, list(read))
    _write_embedded(db, {key: read[digest] for digest, key in known.items()})
    content_ids = known | _add_contents(db, {digest: taken for digest, taken in read.items() if digest not in known})
    _add_vectors(db, _new_vectors(space_id, sound_id, content_ids, batch), set(known.values()))
    heard = [(True, known[t.digest]) for t in batch if t.digest in known and t.recorded and t.recorded.heard]
    _write(db, _by_key(contents), ("heard", "key"), heard)
    replaced = _replaced(db, content_ids, batch)
    file_ids = _write_files(db, content_ids, batch)
    carry(db, space_id, replaced)
    _write_metadata(db, file_ids, batch)


def _known_contents(db: Connection, digests: list[bytes]) -> dict[bytes, int]:
    """Return the ids of the contents that are there."""
    ids: dict[bytes, int] = {}
    for part in parts(digests):  # the driver's words: SQLAlchemy takes longer over an IN than SQLite over the answer
        marks = ",".join("?" * len(part))
        rows = db.exec_driver_sql(f"SELECT digest, id FROM contents WHERE digest IN ({marks})", tuple(part))  # noqa: S608
        ids.update((digest, key) for digest, key in rows)
    return ids


def _write_embedded(db: Connection, known: Mapping[int, Taken]) -> None:
    """Note what is written in photos whose contents were there before."""
    rows = [(_said(taken.embedded), key) for key, taken in known.items() if taken.embedded is not None]
    _write(db, _by_key(contents), ("metadata", "key"), rows)


def _add_contents(db: Connection, new: Mapping[bytes, Taken]) -> dict[bytes, int]:
    """Add contents and return their ids."""
    ids = dict(zip(new, _new_ids(db, contents), strict=False))
    rows = []
    for digest, taken in new.items():
        if taken.size is None:
            raise LibraryError(f"a content that is not there was to be used again: {digest.hex()}")
        said = None if taken.embedded is None else _said(taken.embedded)
        kind = taken.recorded.kind if taken.recorded else Kind.PHOTO
        heard = taken.recorded is not None and taken.recorded.heard
        rows.append((ids[digest], digest, kind.value, taken.stat.size, *taken.size, taken.damaged, said, heard))
    columns = ("id", "digest", "kind", "size", "width", "height", "damaged", "metadata", "heard")
    _write(db, insert(contents), columns, rows)
    return ids


def _new_vectors(
    space_id: int, sound_id: int | None, content_ids: Mapping[bytes, int], batch: Sequence[Taken]
) -> dict[_Part, _New]:
    """Return the vectors of a batch by the segments that they are of."""
    new: dict[_Part, _New] = {}
    for taken in batch:
        if taken.digest is None:
            continue
        key = content_ids[taken.digest]
        for kind, vector in taken.vectors.items():
            new[_Part(key, kind)] = _New(space_id, vector, from_preview=taken.from_preview)
        for box, vector in taken.tiles:
            new[_Part(key, TILE, None, *box)] = _New(space_id, vector)
        if taken.recorded is not None:
            for span, vector in taken.recorded.frames:
                new[_Part(key, FRAME, span.start)] = _New(space_id, vector, span.end)
            for span, vector in taken.recorded.windows:
                if sound_id is None:
                    raise ValueError("a window of sound has no space to be in")
                new[_Part(key, WINDOW, span.start)] = _New(sound_id, vector, span.end)
    return new


def _add_vectors(db: Connection, given: Mapping[_Part, _New], known: Set[int]) -> None:
    """Add the vectors that their spaces do not have yet, each behind a segment of its content."""
    ids: dict[_Part, int] = {}
    there: set[tuple[int, int]] = set()
    for part in parts(sorted({place.content_id for place in given} & known)):
        known_parts = select(segments.c.id, *(segments.c[name] for name in _Part._fields))
        for key, *place in db.execute(known_parts.where(segments.c.content_id.in_(part))):
            ids[_Part(*place)] = key
    for part in parts(list(ids.values())):
        known_vectors = select(vectors.c.space_id, vectors.c.segment_id).where(vectors.c.segment_id.in_(part))
        there.update((space_id, segment_id) for space_id, segment_id in db.execute(known_vectors))
    new = dict(zip((place for place in given if place not in ids), _new_ids(db, segments), strict=False))
    columns = ("id", "content_id", "kind", "start", "end", "left", "top", "right", "bottom")
    rows = [(key, *place[:3], given[place].end, *place[3:]) for place, key in new.items()]
    _write(db, insert(segments), columns, rows)
    ids |= new
    added = [
        (one.space_id, ids[place], one.vector.astype(VECTOR_DTYPE).tobytes(), one.from_preview)
        for place, one in given.items()
        if (one.space_id, ids[place]) not in there
    ]
    _write(db, insert(vectors), ("space_id", "segment_id", "vector", "from_preview"), added)


def _replaced(db: Connection, content_ids: Mapping[bytes, int], batch: Sequence[Taken]) -> list[tuple[int, int]]:
    """Return which contents will take the place of which, as (old, new)."""
    now = {t.file_id: content_ids[t.digest] for t in batch if t.file_id is not None and t.digest is not None}
    found: list[tuple[int, int]] = []
    for part in parts(list(now)):
        before = select(files.c.id, files.c.content_id).where(files.c.id.in_(part), files.c.content_id.is_not(None))
        found += [(old, now[key]) for key, old in db.execute(before) if old != now[key]]
    return found


def _write_files(db: Connection, content_ids: Mapping[bytes, int], batch: Sequence[Taken]) -> list[int]:
    """Insert or update the rows of the files themselves, and return their ids, one for each of the batch."""
    ids: list[int] = []
    added, changed, troubled = [], [], []
    primaries = _file_ids(db, [(taken.root_id, taken.primary) for taken in batch if taken.primary is not None])
    new_ids = _new_ids(db, files)
    for taken in batch:
        key = next(new_ids) if taken.file_id is None else taken.file_id
        content_id = None if taken.digest is None else content_ids[taken.digest]
        primary_id = None if taken.primary is None else primaries[taken.root_id, taken.primary]
        ids.append(key)
        if taken.file_id is not None and taken.failure is not None and taken.retry:
            # It may be readable next time: what is known of it stays until then.
            troubled.append((False, taken.failure, True, key))
            continue
        row = (taken.root_id, taken.path, content_id, *taken.stat, False, taken.failure, taken.retry, primary_id)
        if taken.file_id is None:
            added.append((key, *row))
        else:
            changed.append((*row, key))
    columns = ("root_id", "path", "content_id", *FileStat._fields, "gone", "failure", "retry", "primary_id")
    _write(db, insert(files), ("id", *columns), added)
    _write(db, _by_key(files), (*columns, "key"), changed)
    _write(db, _by_key(files), ("gone", "failure", "retry", "key"), troubled)
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
    known = {key for key, taken in of_batch if taken.file_id is not None and taken.about is not None}
    for part in parts(list(known)):
        db.execute(delete(metadata_of).where(metadata_of.c.file_id.in_(part)))
        db.execute(delete(file_tags).where(file_tags.c.file_id.in_(part), file_tags.c.source == FROM_FILE))
    rows = [
        (
            key,
            *_columns_of(what.metadata)[: -len(_LATER)],
            *(_place_of(what.place) if what.place else _NOWHERE),
            *_later_of(what.metadata),
        )
        for key, what in about.items()
    ]
    _write(db, insert(metadata_of), ("file_id", *_COLUMNS[: -len(_LATER)], *_PLACE, *_LATER), rows)
    beside = [(what.beside, key) for key, what in about.items() if what.beside or key in known]  # a new row has none
    _write(db, _by_key(files), ("beside", "key"), beside)
    ids_of = tag_ids(db, {word for what in about.values() for word in what.metadata.keywords})
    tagged = [
        (key, ids_of[word], FROM_FILE)
        for key, what in about.items()
        for word in dict.fromkeys(what.metadata.keywords)
    ]
    _write(db, insert(file_tags), ("file_id", "tag_id", "source"), tagged)


def tag_ids(db: Connection, names: Set[str]) -> dict[str, int]:
    """Return the ids of tags by name, adding those that are new."""
    ids: dict[str, int] = {}
    for part in parts(sorted(names)):
        ids |= {row.name: row.id for row in db.execute(select(tags).where(tags.c.name.in_(part)))}
    new = [{"name": name} for name in sorted(names) if name not in ids]
    if new:
        ids |= {row.name: row.id for row in db.execute(insert(tags).returning(tags.c.name, tags.c.id), new)}
    return ids


def _said(metadata: Metadata) -> str:
    """Return what metadata says, without what it does not, as JSON."""
    said = {name: value for name, value in zip(_COLUMNS, _columns_of(metadata), strict=True) if value is not None}
    if not metadata.motion:
        del said["motion"]
    if metadata.keywords:
        said["keywords"] = metadata.keywords
    return _json(said)


def _by_key(table: Table) -> Update:
    """Return an update of the rows whose ids are given as `key`."""
    return update(table).where(table.c.id == bindparam("key"))


def _write(
    db: Connection, statement: Insert | Update, columns: Sequence[str], rows: Sequence[tuple[object, ...]]
) -> None:
    """Run a statement for each row by the driver's own executemany; columns: in the schema's order, `key` at the end.

    SQLAlchemy's takes three times as long a row, for conversions that none of our values needs.
    """
    if rows:
        compiled = statement.compile(dialect=db.dialect, column_keys=list(columns))
        if compiled.positiontup != list(columns):
            raise ValueError(f"not in the schema's order: {columns}")
        db.exec_driver_sql(str(compiled), rows)


def _new_ids(db: Connection, table: Table) -> Iterator[int]:
    """Count on from the highest id that a table ever had."""
    last = db.exec_driver_sql("SELECT seq FROM sqlite_sequence WHERE name = ?", (table.name,)).scalar()
    return itertools.count((last or 0) + 1)


def parts(ids: list[Any]) -> Iterator[list[Any]]:
    """Cut a list into parts that fit into one IN (...)."""
    for start in range(0, len(ids), _MANY):
        yield ids[start : start + _MANY]
