"""What a reader asks about recordings and films."""

from pathlib import Path

import numpy as np

from core.types import Halves, Ids, Kind, Modality
from store.names import HEARD
from store.reader import Reader, StoredSpace, full_path, matrix
from store.records import WINDOW


def of_kind(reader: Reader, space: StoredSpace, kind: Kind) -> Ids:
    """Return the ids, ascending, of the vectors of all recordings of a kind."""
    rows = reader.rows(
        "SELECT v.id FROM contents c JOIN segments s ON s.content_id = c.id "
        "JOIN vectors v ON v.segment_id = s.id AND v.space_id = ? WHERE c.kind != 'photo' AND c.kind = ?",
        space.id,
        kind,
    )
    return np.unique(np.fromiter((row[0] for row in rows), np.int64, len(rows)))


def has(reader: Reader, kind: Kind) -> bool:
    """Say whether there are recordings of a kind."""
    return bool(reader.rows("SELECT 1 FROM contents WHERE kind != 'photo' AND kind = ? LIMIT 1", kind))


def has_recordings(reader: Reader) -> bool:
    """Say whether there is anything but photos."""
    return bool(reader.rows("SELECT 1 FROM contents WHERE kind != 'photo' LIMIT 1"))


def has_sound(reader: Reader) -> bool:
    """Say whether there is any space of sound."""
    return bool(reader.rows("SELECT 1 FROM spaces WHERE modality = ?", Modality.SOUND))


def heard(reader: Reader, space: StoredSpace) -> object:
    """Return what changes when something else hears for a space of pictures, or has heard more."""
    taught = reader.rows("SELECT revision FROM towers WHERE space_id = ?", space.id)
    sounds = reader.rows(
        "SELECT s.id, m.count FROM spaces s LEFT JOIN means m ON m.space_id = s.id WHERE s.modality = ?",
        Modality.SOUND,
    )
    return taught, sounds


def paths(reader: Reader) -> list[Path]:
    """Return one path of each recording, by id."""
    rows = reader.rows(
        "SELECT r.path, f.path FROM contents c JOIN files f ON f.id = "
        "(SELECT min(g.id) FROM files g WHERE g.content_id = c.id AND NOT g.gone) "
        "JOIN roots r ON r.id = f.root_id WHERE c.kind != 'photo' ORDER BY c.id"
    )
    return [full_path(root, path) for root, path in rows]


def recording(reader: Reader, digest: bytes, space: StoredSpace) -> tuple[int, Halves] | None:
    """Return id and vectors, by time, of the recording with these bytes, None if the library does not know it."""
    found = reader.rows("SELECT id FROM contents WHERE digest = ? AND kind != ?", digest, Kind.PHOTO)
    if not found:
        return None
    rows = reader.rows(
        "SELECT v.id, v.vector FROM segments s JOIN vectors v ON v.segment_id = s.id AND v.space_id = ? "
        "WHERE s.content_id = ? ORDER BY s.start",
        space.id,
        found[0][0],
    )
    return int(found[0][0]), matrix(rows, space.dim)[1]


def tower(reader: Reader, space: StoredSpace) -> bytes | None:
    """Return the weights of what learned to hear for a space of pictures, None where nothing has."""
    rows = reader.rows("SELECT weights FROM towers WHERE space_id = ?", space.id)
    return bytes(rows[0][0]) if rows else None


def unheard(reader: Reader, space_id: int | None) -> int:
    """Return how many recordings that are there lack vectors in a space of sound, None: where there is none."""
    there = (
        "SELECT c.digest FROM contents c WHERE c.kind != 'photo' "
        "AND EXISTS (SELECT 1 FROM files f WHERE f.content_id = c.id AND NOT f.gone)"
    )
    if space_id is None:
        return reader.tally(f"({there})")
    return len(reader.rows(f"{there} EXCEPT {HEARD}", space_id, WINDOW))
