"""What there is to compare: files with the same bytes, and what is known of contents that look alike."""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from core.types import Halves, Ids, Kind
from store.reader import Reader, StoredSpace, full_path, matrix, path_below
from store.records import WHOLE


def present(reader: Reader, folder: Path | None = None) -> Ids:
    """Return the photos that are there, ascending; folder: in it."""
    return np.unique(
        np.array(
            [row[0] for row in _files(reader, "DISTINCT c.id", folder, f"AND c.kind = '{Kind.PHOTO}'")], np.int64
        )
    )


def repeated(reader: Reader, folder: Path | None = None) -> list[int]:
    """Return the contents that lie in several files, ascending; folder: several of those in it."""
    counts: dict[int, int] = {}
    for key, count in _files(reader, "c.id, count(*)", folder, "GROUP BY c.id"):
        counts[key] = counts.get(key, 0) + count
    return sorted(key for key, count in counts.items() if count > 1)


def _files(reader: Reader, columns: str, folder: Path | None, then: str = "") -> Iterator[Any]:
    """Yield columns of the files that are there, of each root by itself where a folder is given."""
    source = (
        f"SELECT {columns} FROM files f JOIN contents c ON c.id = f.content_id "  # noqa: S608 (our own words)
        "WHERE NOT f.gone"
    )
    if folder is None:
        yield from reader.rows(f"{source} {then}")
        return
    for root_id, root in reader.rows("SELECT id, path FROM roots"):
        below = path_below(os.fsencode(folder), root)
        if below is not None:
            inside = f"{source} AND f.root_id = ? AND f.path >= ? {'AND f.path < ?' if below else ''} {then}"
            behind = (below[:-1] + b"0",) if below else ()  # the byte after "/"
            yield from reader.rows(inside, root_id, below, *behind)


def wholes(reader: Reader, space: StoredSpace) -> tuple[Ids, Ids]:
    """Return the ids of the vectors of whole photos in a space, ascending, and of their contents, shapes (n,)."""
    rows = reader.rows(
        "SELECT v.id, s.content_id FROM segments s JOIN vectors v ON v.segment_id = s.id AND v.space_id = ? "
        "JOIN contents c ON c.id = s.content_id AND c.kind = ? WHERE s.kind = ? ORDER BY v.id",
        space.id,
        Kind.PHOTO,
        WHOLE,
    )
    pairs = np.array(rows, np.int64).reshape(-1, 2)
    return pairs[:, 0], pairs[:, 1]


def vectors_of(reader: Reader, space: StoredSpace, contents: Iterable[int]) -> tuple[Ids, Halves]:
    """Return the contents of those that have a vector of the whole photo, ascending, and these vectors."""
    rows = reader.where_in(
        "SELECT s.content_id, v.vector FROM segments s JOIN vectors v ON v.segment_id = s.id AND v.space_id = ? "
        "WHERE s.kind = ? AND s.content_id IN",
        contents,
        space.id,
        WHOLE,
    )
    return matrix(sorted(rows), space.dim)


def digests(reader: Reader, contents: Iterable[int]) -> dict[int, bytes]:
    """Return the hashes by which previews are found."""
    return dict(reader.where_in("SELECT id, digest FROM contents WHERE id IN", contents))


def described(reader: Reader, contents: Iterable[int]) -> dict[int, tuple[Kind, bytes, tuple[int, int], int]]:
    """Return the kind of each content, its digest, its upright width and height in px, and its bytes."""
    rows = reader.where_in("SELECT id, kind, digest, width, height, size FROM contents WHERE id IN", contents)
    return {key: (Kind(kind), digest, (width, height), size) for key, kind, digest, width, height, size in rows}


def moments(reader: Reader, contents: Iterable[int]) -> dict[int, str]:
    """Return when contents were taken, ISO 8601, of those of which that is known to the second.

    Not when a file was changed, which is when it was copied; midnight to the second stands for a whole day.
    """
    rows = reader.where_in(
        "SELECT f.content_id, m.taken FROM files f JOIN metadata m ON m.file_id = f.id "
        "WHERE NOT f.gone AND m.taken_from != 'modified' AND m.taken LIKE '____-__-__T__:__:__%' "
        "AND m.taken NOT LIKE '%T00:00:00' AND f.content_id IN",
        contents,
    )
    found: dict[int, str] = {}
    for key, when in rows:
        found[key] = min(when, found.get(key, when))
    return found


def places(
    reader: Reader, contents: Iterable[int], folder: Path | None = None
) -> dict[int, list[tuple[Path, tuple[Path, ...]]]]:
    """Return where contents lie now, each path with the files that belong to it; folder: in it only."""
    inside = None if folder is None else {row[0] for row in _files(reader, "f.id", folder)}
    rows = reader.where_in(
        "SELECT f.content_id, f.id, r.path, f.path FROM files f JOIN roots r ON r.id = f.root_id "
        "WHERE NOT f.gone AND f.content_id IN",
        contents,
    )
    files = [row for row in rows if inside is None or row[1] in inside]
    beside = reader.companions({row[1] for row in files})
    found: dict[int, list[tuple[Path, tuple[Path, ...]]]] = {}
    for key, file_id, root, path in files:
        found.setdefault(key, []).append((full_path(root, path), tuple(sorted(beside.get(file_id, ())))))
    return found
