"""What a library's own recordings can teach: sounds beside pictures of the same name, and films with sound."""

import os
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from core.types import Kind, Span, Vector
from store.names import VECTOR_DTYPE
from store.reader import Reader, StoredSpace, full_path
from store.records import FRAME, WHOLE

Seen = tuple[Span | None, Vector]
"""The vector of a picture, and when in the recording it was seen; None: all the time."""


@dataclass(frozen=True)
class Lesson:
    """A recording with what there was to see: the stored vectors of its frames, or of the picture beside it."""

    path: Path
    content_id: int
    seen: Sequence[Seen]

    def target(self, window: Span) -> Vector | None:
        """Return the mean of what was seen during a window, shape (dim,), None if nothing was."""
        during = [v for span, v in self.seen if span is None or (span.start < window.end and span.end > window.start)]
        return np.mean(during, axis=0, dtype=np.float32) if during else None


def lessons(reader: Reader, space: StoredSpace) -> list[Lesson]:
    """Return all recordings that can teach, by id; each content once."""
    return sorted([*_pairs(reader, space), *_films(reader, space)], key=lambda lesson: lesson.content_id)


def _pairs(reader: Reader, space: StoredSpace) -> list[Lesson]:
    """Return the sounds that lie beside pictures of the same name."""
    columns = (
        "SELECT r.path, f.path, f.content_id FROM contents c JOIN files f ON f.content_id = c.id AND NOT f.gone "
    )
    sounds: dict[bytes, list[tuple[Path, int]]] = defaultdict(list)
    rows = reader.rows(
        f"{columns} JOIN roots r ON r.id = f.root_id WHERE c.kind != 'photo' AND c.kind = ?",
        Kind.AUDIO,
    )
    for root, path, content_id in rows:
        sounds[_stem(root, path)].append((full_path(root, path), content_id))
    if not sounds:
        return []
    pictures: dict[bytes, list[int]] = defaultdict(list)
    rows = reader.rows(f"{columns} JOIN roots r ON r.id = f.root_id WHERE c.kind = ?", Kind.PHOTO)
    for root, path, content_id in rows:
        if (stem := _stem(root, path)) in sounds:
            pictures[stem].append(content_id)
    vectors = _whole(reader, space, {content_id for some in pictures.values() for content_id in some})
    found: dict[int, Lesson] = {}
    for stem, contents in pictures.items():
        seen = [(None, vectors[content_id]) for content_id in contents if content_id in vectors]
        for path, content_id in sounds[stem] if seen else ():
            found[content_id] = Lesson(path, content_id, seen)
    return list(found.values())


def _films(reader: Reader, space: StoredSpace) -> list[Lesson]:
    """Return the films with their frames."""
    rows = reader.rows(
        "SELECT c.id, r.path, f.path, s.start, s.end, v.vector FROM contents c "
        "JOIN segments s ON s.content_id = c.id AND s.kind = ? "
        "JOIN vectors v ON v.segment_id = s.id AND v.space_id = ? JOIN files f ON f.id = "
        "(SELECT min(g.id) FROM files g WHERE g.content_id = c.id AND NOT g.gone) JOIN roots r ON r.id = f.root_id "
        "WHERE c.kind != 'photo' AND c.kind = ? ORDER BY c.id, s.start",
        FRAME,
        space.id,
        Kind.VIDEO,
    )
    paths: dict[int, Path] = {}
    seen: dict[int, list[Seen]] = defaultdict(list)
    for content_id, root, path, start, end, vector in rows:
        paths[content_id] = full_path(root, path)
        seen[content_id].append((Span(start, end), _vector(vector)))
    return [Lesson(path, content_id, seen[content_id]) for content_id, path in paths.items()]


def _whole(reader: Reader, space: StoredSpace, contents: set[int]) -> dict[int, Vector]:
    """Return the vectors of photos."""
    rows = reader.where_in(
        "SELECT s.content_id, v.vector FROM vectors v JOIN segments s ON s.id = v.segment_id "
        "WHERE v.space_id = ? AND s.kind = ? AND s.content_id IN",
        sorted(contents),
        space.id,
        WHOLE,
    )
    return {content_id: _vector(blob) for content_id, blob in rows}


def _vector(blob: bytes) -> Vector:
    return np.frombuffer(blob, VECTOR_DTYPE).astype(np.float32)


def _stem(root: bytes, path: bytes) -> bytes:
    """Return a path without its extension; names that differ in case alone are one."""
    folder, name = os.path.split(os.path.join(root, path))
    return os.path.join(folder, os.path.splitext(name)[0].lower())
