"""The reader of a library: what a search asks of library.db, without ever writing to it.

Plain sqlite3 and not SQLAlchemy: importing that takes as long as everything else in a cold search together
(docs/design.md, "Reading"). Readers need no lock and never wait for the writer (WAL).
"""

import os
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from core.errors import LibraryError, NoLibraryError, OldLibraryError
from core.types import (
    Box,
    Halves,
    Ids,
    Kind,
    Span,
    Vector,
)
from store.connection import connect
from store.indexfile import IndexFile, find
from store.names import (
    DATABASE,
    INDEX,
    NEWEST,
    REPAIR,
    VECTOR_DTYPE,
    check_size,
    check_version,
    explain,
    fingerprint,
    identity,
)
from store.previews import PREVIEW_SIZE
from store.records import WHOLE

_MANY = 500
_BLOCK = 8192
IN_A_ROW = 16
"""Vectors of a sample that lie side by side."""
_WITHIN = (
    "SELECT v.id FROM files f JOIN segments s ON s.content_id = f.content_id "
    "JOIN vectors v ON v.segment_id = s.id AND v.space_id = ?"
)


@dataclass(frozen=True)
class StoredSpace:
    """A space of the library."""

    id: int
    name: str
    revision: str
    dim: int


@dataclass(frozen=True)
class Asset:
    """What a vector belongs to: a content, the paths where it lies now (never empty), and what belongs to those.

    span: the part of a recording that the vector is of, None for photos; box: that of a photo, None for the whole.
    """

    content_id: int
    kind: Kind
    paths: tuple[Path, ...]
    companions: tuple[Path, ...]
    span: Span | None = None
    box: Box | None = None


class Reader:
    """A library opened for reading, by any number of threads; safe beside a writer and on a read-only disk."""

    def __init__(self, folder: Path) -> None:
        """Open library.db; raises LibraryError if there is none, or if it is damaged or too new."""
        self.folder = folder
        self._lock = threading.Lock()
        with explain(folder):
            there = (folder / DATABASE).is_file()
        if not there:
            raise NoLibraryError(f"there is no library in {folder}; make one with: glimpse index FOLDER")
        check_size(folder)
        with explain(folder):
            self._db, self._frozen = connect(folder)
        self._identity = identity(folder, self._frozen)
        try:
            version = self.rows("SELECT version_num FROM alembic_version")
            check_version(str(version[0][0]) if version else None, folder)
            if version and version[0][0] < NEWEST:
                raise OldLibraryError(f"{folder} was made by an earlier glimpse; bring it up to date: glimpse index")
        except LibraryError:
            self.close()
            raise

    def close(self) -> None:
        """Close the database."""
        self._db.close()

    def is_current(self) -> bool:
        """Say whether this still reads the library: it is there, and no other was put in its place."""
        return identity(self.folder, self._frozen) == self._identity

    def __enter__(self) -> "Reader":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def space(self, name: str | None = None, revision: str | None = None) -> StoredSpace | None:
        """Return the newest space of a model (in that revision), the current one for None; None if there is none."""
        columns = "SELECT s.id, s.name, s.revision, s.dim FROM spaces s"
        if name is None:
            rows = self.rows(f"{columns} JOIN library l ON l.current_space_id = s.id")
        else:
            asked = f"{columns} WHERE s.name = ? AND s.revision = coalesce(?, s.revision) ORDER BY s.id DESC LIMIT 1"
            rows = self.rows(asked, name, revision)
        if rows and not (isinstance(rows[0][3], int) and rows[0][3] > 0):
            raise LibraryError(f"{self.folder / DATABASE} is damaged: a model is not what was stored; {REPAIR}")
        return StoredSpace(*rows[0]) if rows else None

    def newest_vector(self, space_id: int) -> int:
        """Return the highest id of a vector of the space, 0 if it has none."""
        newest = "SELECT id FROM vectors WHERE space_id = ? ORDER BY id DESC LIMIT 1"
        rows = self.rows(newest, space_id)
        return int(rows[0][0]) if rows else 0

    def count(self, space: StoredSpace, after: int = 0) -> int:
        """Return how many vectors of the space have an id above `after`."""
        return self.tally("vectors WHERE space_id = ? AND id > ?", space.id, after)

    def vectors(self, space: StoredSpace, after: int = 0) -> Iterator[tuple[Ids, Halves]]:
        """Yield ids, ascending, and vectors of all rows whose id is above `after`, some thousands at a time."""
        # From the beginning, by the table itself; the newest by the index, lest another model's rows be walked over.
        source = "vectors" if after else "vectors NOT INDEXED"
        sql = f"SELECT id, vector FROM {source} WHERE space_id = ? AND id > ? ORDER BY id LIMIT ?"  # noqa: S608
        while rows := self.rows(sql, space.id, after, _BLOCK):
            ids, halves = matrix(rows, space.dim)
            if ids[0] <= after or (np.diff(ids) <= 0).any():  # or a damaged table would be gone through for ever
                raise LibraryError(f"{DATABASE} is damaged: its vectors are in no order; {REPAIR}")
            after = int(ids[-1])
            yield ids, halves

    def vectors_by_id(self, space: StoredSpace, ids: Iterable[int]) -> tuple[Ids, Halves]:
        """Return ids, ascending, and vectors of those of `ids` that are still there."""
        # + keeps SQLite from the index on space_id, by which it would look at every row of the space for each search.
        rows = self.where_in("SELECT id, vector FROM vectors WHERE +space_id = ? AND id IN", ids, space.id)
        return matrix(sorted(rows), space.dim)

    def of_contents(self, space: StoredSpace, contents: Iterable[int]) -> Ids:
        """Return the ids, ascending, of the vectors of some contents."""
        rows = self.where_in(
            "SELECT v.id FROM segments s JOIN vectors v ON v.segment_id = s.id AND v.space_id = ? "
            "WHERE s.content_id IN",
            contents,
            space.id,
        )
        return np.unique(np.fromiter((row[0] for row in rows), np.int64))

    def sample(self, space: StoredSpace, count: int) -> Halves:
        """Return vectors of the space from all over it, some `count`, the same ones as long as it does not grow."""
        newest, there = self.newest_vector(space.id), self.count(space)
        if there <= count:
            blocks = [vectors for _, vectors in self.vectors(space)]
            return np.concatenate(blocks) if blocks else np.empty((0, space.dim), np.float16)
        # By numbers drawn from all that there ever were: some are gone, or of another model. A few in a row each: a
        # disk drive takes as long for one as for sixteen.
        runs = max(1, count * newest // there // IN_A_ROW)
        starts = np.random.default_rng(newest).choice(max(1, newest - IN_A_ROW), runs, replace=False)
        drawn = np.unique(starts[:, None] + np.arange(1, IN_A_ROW + 1))
        return self.vectors_by_id(space, drawn)[1][:count]

    def fingerprint(self, space: StoredSpace, vector_id: int) -> str | None:
        """Return a hash of a vector, also of one that was deleted since; None if the space never had it."""
        rows = self.rows("SELECT vector FROM vectors WHERE id = ? AND space_id = ?", vector_id, space.id)
        if rows:
            return fingerprint(rows[0][0])
        rows = self.rows(
            "SELECT fingerprint FROM tombstones WHERE space_id = ? AND vector_id = ?", space.id, vector_id
        )
        return str(rows[0][0]) if rows else None

    def tombstones(self, space: StoredSpace, after: int = 0) -> tuple[int, Ids]:
        """Return the ids of vectors that were deleted, and the number of the last such note, from `after` on."""
        rows = self.rows(
            "SELECT id, vector_id FROM tombstones WHERE space_id = ? AND id > ? ORDER BY id", space.id, after
        )
        return (rows[-1][0] if rows else after), np.array([row[1] for row in rows], np.int64)

    def gone(self, space: StoredSpace) -> Ids:
        """Return the ids of the vectors of photos whose files are all gone, in no order."""
        rows = self.rows(
            # CROSS: from the few files that are gone, and not from all the vectors.
            "SELECT v.id FROM files f CROSS JOIN segments s ON s.content_id = f.content_id "
            "CROSS JOIN vectors v ON v.segment_id = s.id AND v.space_id = ? WHERE f.gone "
            "AND NOT EXISTS (SELECT 1 FROM files g WHERE g.content_id = f.content_id AND NOT g.gone)",
            space.id,
        )
        return np.fromiter((row[0] for row in rows), np.int64, len(rows))

    def version(self) -> int:
        """Return a number that changes whenever somebody else commits something."""
        return int(self.rows("PRAGMA data_version")[0][0])

    def deaths(self) -> int:
        """Return how many vectors were ever deleted, whether or not somebody still knows which."""
        rows = self.rows("SELECT seq FROM sqlite_sequence WHERE name = 'tombstones'")
        return int(rows[0][0]) if rows else 0

    def index_file(self, space: StoredSpace, tier: str) -> IndexFile | None:
        """Return the index file of a tier that covers most of a space, None where there is none to be trusted."""
        found = find(self.folder / INDEX, space.id, tier, partial(self.fingerprint, space), self.deaths())
        return next(found, None)

    def within(self, space: StoredSpace, folder: Path) -> Ids | None:
        """Return the ids, ascending, of the vectors of all photos in a folder or below it; None where that is all."""
        found: list[Any] = []
        roots = {key: path_below(os.fsencode(folder), root) for key, root in self.rows("SELECT id, path FROM roots")}
        if roots and set(roots.values()) == {b""}:
            return None
        for root_id, below in roots.items():
            if below == b"":
                found += self.rows(f"{_WITHIN} WHERE f.root_id = ? AND NOT f.gone", space.id, root_id)
            elif below is not None:
                behind = below[:-1] + b"0"  # the byte after "/"
                below_root = f"{_WITHIN} WHERE f.root_id = ? AND f.path > ? AND f.path < ? AND NOT f.gone"
                found += self.rows(below_root, space.id, root_id, below, behind)
        return np.unique(np.fromiter((row[0] for row in found), np.int64, len(found)))

    def knows(self, folder: Path) -> bool:
        """Say whether anything is known in a folder, or below it."""
        for root_id, root in self.rows("SELECT id, path FROM roots"):
            below = path_below(os.fsencode(folder), root)
            there = "SELECT 1 FROM files f WHERE f.root_id = ? AND f.content_id IS NOT NULL AND NOT f.gone"
            if below == b"" and self.rows(f"{there} LIMIT 1", root_id):
                return True
            inside = f"{there} AND f.path > ? AND f.path < ? LIMIT 1"
            if below and self.rows(inside, root_id, below, below[:-1] + b"0"):
                return True
        return False

    def tier(self) -> str | None:
        """Return the tier of the index that somebody chose, None where that is left to the size."""
        rows = self.rows("SELECT tier FROM library")
        return rows[0][0] if rows else None

    def assets(self, vector_ids: Iterable[int]) -> dict[int, Asset]:
        """Return what each vector belongs to; those whose files are all gone are left out."""
        rows = self.where_in(
            "SELECT v.id, c.id, c.kind, s.start, s.end, s.left, s.top, s.right, s.bottom, r.path, f.path, f.id "
            "FROM vectors v JOIN segments s ON s.id = v.segment_id "
            "JOIN contents c ON c.id = s.content_id JOIN files f ON f.content_id = c.id AND NOT f.gone "
            "JOIN roots r ON r.id = f.root_id WHERE v.id IN",
            vector_ids,
        )
        paths: dict[tuple[Any, ...], dict[int, Path]] = {}
        for *part, root, path, file_id in rows:
            paths.setdefault(tuple(part), {})[file_id] = full_path(root, path)
        beside = self.companions({file_id for places in paths.values() for file_id in places})
        return {
            vector_id: Asset(
                content_id,
                Kind(kind),
                tuple(sorted(places.values())),
                tuple(sorted(path for file_id in places for path in beside.get(file_id, ()))),
                None if start is None or end is None else Span(start, end),
                None if None in box else (box[0], box[1], box[2], box[3]),
            )
            for (vector_id, content_id, kind, start, end, *box), places in paths.items()
        }

    def companions(self, file_ids: Iterable[int]) -> dict[int, list[Path]]:
        """Return, by file, what belongs to it: a RAW, a Live Photo's movie."""
        found: dict[int, list[Path]] = {}
        for file_id, root, path in self.where_in(
            "SELECT f.primary_id, r.path, f.path FROM files f JOIN roots r ON r.id = f.root_id "
            "WHERE NOT f.gone AND f.primary_id IN",
            file_ids,
        ):
            found.setdefault(file_id, []).append(full_path(root, path))
        return found

    def digest(self, content_id: int) -> bytes | None:
        """Return the hash of a content's bytes, by which its preview is found; None if it is gone."""
        rows = self.rows("SELECT digest FROM contents WHERE id = ?", content_id)
        return rows[0][0] if rows else None

    def content(self, digest: bytes, space: StoredSpace) -> tuple[int, Vector | None] | None:
        """Return id and vector of the content with these bytes, None if the library does not know them."""
        rows = self.rows(
            "SELECT c.id, v.vector FROM contents c LEFT JOIN segments s ON s.content_id = c.id AND s.kind = ? "
            "LEFT JOIN vectors v ON v.segment_id = s.id AND v.space_id = ? WHERE c.digest = ?",
            WHOLE,
            space.id,
            digest,
        )
        if not rows:
            return None
        content_id, blob = rows[0]
        vector = None if blob is None else np.frombuffer(blob, VECTOR_DTYPE).astype(np.float32)
        return content_id, vector

    def missing(self, space_id: int) -> int:
        """Return how many of the photos and films that are there have no vector in a space of pictures."""
        return self.tally(
            "(SELECT DISTINCT f.content_id FROM files f JOIN contents c ON c.id = f.content_id AND c.kind != ? "
            "WHERE NOT f.gone "
            "EXCEPT SELECT s.content_id FROM segments s JOIN vectors v ON v.segment_id = s.id WHERE v.space_id = ?)",
            Kind.AUDIO,
            space_id,
        )

    def preview_size(self) -> int:
        """Return the longer side in px of the previews that this library stores, 0 for none."""
        rows = self.rows("SELECT preview FROM library")
        return PREVIEW_SIZE if not rows or rows[0][0] is None else int(rows[0][0])

    def mean(self, space: StoredSpace, modality: str) -> Vector | None:
        """Return the mean vector of a modality, None where the library has none."""
        return self.counted_mean(space, modality)[1]

    def counted_mean(self, space: StoredSpace, modality: str) -> tuple[int, Vector | None]:
        """Return the mean vector of a modality, and of how many vectors it is."""
        rows = self.rows("SELECT count, mean FROM means WHERE space_id = ? AND modality = ?", space.id, modality)
        return (int(rows[0][0]), np.frombuffer(rows[0][1], np.float32)) if rows else (0, None)

    def tally(self, what: str, *values: object) -> int:
        """Count the rows of `what`: a table with whatever follows it in SQL."""
        return int(self.rows(f"SELECT count(*) FROM {what}", *values)[0][0])  # noqa: S608 (our own words)

    def rows(self, sql: str, *values: object) -> list[Any]:
        """Run a statement, with values by place; raises LibraryError."""
        # One statement at a time: one that starts beside another would see what that one sees, not the newest commit.
        with self._lock, explain(self.folder):
            return self._db.execute(sql, values).fetchall()

    def where_in(self, sql: str, ids: Iterable[int], *values: object) -> Iterator[Any]:
        """Run `sql (?, ?, ...)` over ids in parts, since SQLite limits the variables of a statement."""
        wanted = [int(i) for i in ids]
        for start in range(0, len(wanted), _MANY):
            part = wanted[start : start + _MANY]
            yield from self.rows(f"{sql} ({','.join('?' * len(part))})", *values, *part)


def path_below(folder: bytes, root: bytes) -> bytes | None:
    """Return what leads from a root to a folder, with a slash behind it: b"" for the root and what it lies in.

    None where they have nothing to do with each other, though links be followed.
    """
    for one, other in ((folder, root), (os.path.realpath(folder), os.path.realpath(root))):
        inner, outer = os.path.join(one, b""), os.path.join(other, b"")
        if outer.startswith(inner):
            return b""
        if inner.startswith(outer):
            return inner[len(outer) :]
    return None


def matrix(rows: Sequence[tuple[int, bytes]], dim: int) -> tuple[Ids, Halves]:
    """Return ids and vectors of rows; raises LibraryError for one of another size."""
    try:
        ids = np.fromiter((row[0] for row in rows), np.int64, len(rows))
        halves = np.frombuffer(b"".join([row[1] for row in rows]), VECTOR_DTYPE).reshape(len(rows), dim)
    except (TypeError, ValueError) as error:
        raise LibraryError(f"{DATABASE} is damaged: a vector is not what was stored; {REPAIR}") from error
    return ids, halves


def full_path(root: bytes, path: bytes) -> Path:
    """Return where a file lies."""
    return Path(os.fsdecode(os.path.join(root, path)))
