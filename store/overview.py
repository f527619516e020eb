"""What a library has, for people who ask: its status, its failures, what is known of one file."""

import json
import os
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

from core.types import Failure, Info, Kind, Metadata, Modality, Place, SpaceStatus, Status
from store.indexfile import FLAT, IVF
from store.names import INDEX, VECTOR_DTYPE
from store.previews import Previews
from store.reader import Reader, StoredSpace, full_path
from store.recordings import unheard
from store.records import TILE, TILES_AT_FIRST
from store.tagging import effective, verdicts_of


def failures(reader: Reader) -> list[Failure]:
    """Return the files that cannot be read, by path."""
    rows = reader.rows(
        "SELECT r.path, f.path, f.failure FROM files f JOIN roots r ON r.id = f.root_id "
        "WHERE f.failure IS NOT NULL AND NOT f.gone"
    )
    return sorted((Failure(full_path(root, path), why) for root, path, why in rows), key=lambda f: f.path)


def status(reader: Reader) -> Status:
    """Count what is in the library."""
    space = reader.space()
    last = reader.rows("SELECT finished, summary FROM runs ORDER BY id DESC LIMIT 1")
    previews, preview_bytes = Previews(reader.folder).count()
    own = sum(_size(path) for path in (*reader.folder.glob("*"), *(reader.folder / INDEX).glob("*")))
    return Status(
        library=reader.folder,
        model=space.name if space else "none",
        files=reader.tally("files WHERE content_id IS NOT NULL AND NOT gone"),
        companions=reader.tally("files WHERE primary_id IS NOT NULL AND NOT gone"),
        gone=reader.tally("files WHERE gone AND primary_id IS NULL"),
        contents=reader.tally("contents"),
        kinds=dict(reader.rows("SELECT kind, count(*) FROM contents GROUP BY kind ORDER BY count(*) DESC, kind")),
        failures=reader.tally("files WHERE failure IS NOT NULL AND NOT gone"),
        damaged=reader.tally("contents WHERE damaged"),
        bytes=own + preview_bytes,
        previews=previews,
        preview_bytes=preview_bytes,
        roots=tuple(Path(os.fsdecode(row[0])) for row in reader.rows("SELECT path FROM roots ORDER BY path")),
        spaces=tuple(_spaces(reader, space)),
        last_run={"finished": last[0][0], **json.loads(last[0][1])} if last else None,
        tiles=_tiles(reader),
    )


def _spaces(reader: Reader, current: StoredSpace | None) -> Iterator[SpaceStatus]:
    """Count what the library has of each model."""
    for key, name, revision, dim, precision, self_test, modality in reader.rows(
        "SELECT id, name, revision, dim, precision, self_test, modality FROM spaces ORDER BY id"
    ):
        tiles = reader.tally(
            "segments s CROSS JOIN vectors v ON v.segment_id = s.id AND v.space_id = ? WHERE s.kind = ?", key, TILE
        )
        yield SpaceStatus(
            model=name,
            revision=revision,
            current=current is not None and key == current.id,
            vectors=reader.tally("vectors WHERE space_id = ?", key),
            missing=unheard(reader, key) if modality == Modality.SOUND else reader.missing(key),
            from_previews=reader.tally("vectors WHERE space_id = ? AND from_preview", key),
            precision=precision,
            self_test=json.loads(self_test) if self_test else None,
            index=_index_of(reader, StoredSpace(key, name, revision, dim)),
            modality=Modality(modality),
            tiles=tiles,
            tile_bytes=tiles * dim * np.dtype(VECTOR_DTYPE).itemsize,
        )


def _tiles(reader: Reader) -> str:
    rows = reader.rows("SELECT tiles FROM library")
    return str((rows and rows[0][0]) or TILES_AT_FIRST)


def _index_of(reader: Reader, space: StoredSpace) -> dict[str, Any]:
    """Return which index files answer for a space, and what was measured of them."""
    flat, ivf = (reader.index_file(space, tier) for tier in (FLAT, IVF))
    if flat is None:
        return {"tier": "none", "covers": 0}
    covers = {"covers": reader.count(space) - reader.count(space, after=flat.last)}
    if ivf is not None and ivf.last == flat.last:
        return {"tier": IVF, **covers, **{name: ivf.facts.get(name) for name in ("lists", "nprobe", "recall")}}
    return {"tier": "exhaustive", **covers, "refused": flat.facts.get("refused") or None}


def info(reader: Reader, path: Path) -> Info | None:
    """Return what is known about the file at an absolute path, None where the library does not know it."""
    full = os.fsencode(path)
    for root_id, root in reader.rows("SELECT id, path FROM roots ORDER BY length(path) DESC"):
        if not full.startswith(os.path.join(root, b"")):
            continue
        rows = reader.rows(
            "SELECT f.id, f.content_id, c.kind, c.width, c.height, c.damaged, f.failure, p.path FROM files f "
            "LEFT JOIN contents c ON c.id = f.content_id LEFT JOIN files p ON p.id = f.primary_id "
            "WHERE f.root_id = ? AND f.path = ? AND NOT f.gone",
            root_id,
            full[len(os.path.join(root, b"")) :],
        )
        if rows:
            file_id, content_id, kind, width, height, damaged, failure, primary = rows[0]
            metadata, place = _about(reader, file_id, content_id)
            return Info(
                path=path,
                id=content_id,
                size=None if content_id is None or kind == Kind.AUDIO else (width, height),
                metadata=metadata,
                place=place,
                models=_models_of(reader, content_id),
                companions=tuple(reader.companions([file_id]).get(file_id, ())),
                belongs_to=None if primary is None else full_path(root, primary),
                failure=failure,
                damaged=bool(damaged),
                kind=None if kind is None else Kind(kind),
            )
    return None


def _about(reader: Reader, file_id: int, content_id: int | None) -> tuple[Metadata, Place | None]:
    """Return the effective metadata of a file, and the name of its place."""
    columns = [field.name for field in fields(Metadata) if field.name != "keywords"]
    names = ", ".join(f'"{column}"' for column in columns)
    found = reader.rows(f"SELECT town, region, country, {names} FROM metadata WHERE file_id = ?", file_id)  # noqa: S608
    rows = reader.rows(
        "SELECT t.name FROM file_tags ft JOIN tags t ON t.id = ft.tag_id WHERE ft.file_id = ? ORDER BY ft.id",
        file_id,
    )
    said = {} if content_id is None else verdicts_of(reader, [content_id]).get(content_id, {})
    keywords = tuple(effective([row[0] for row in rows], said))
    if not found:
        return Metadata(keywords=keywords), None
    town, region, country, *values = found[0]
    known = dict(zip(columns, values, strict=True))
    metadata = Metadata(**{**known, "motion": bool(known["motion"]), "keywords": keywords})
    return metadata, None if town is None else Place(town, region, country)


def _models_of(reader: Reader, content_id: int | None) -> tuple[str, ...]:
    rows = reader.rows(
        "SELECT DISTINCT p.name FROM spaces p JOIN vectors v ON v.space_id = p.id "
        "JOIN segments s ON s.id = v.segment_id WHERE s.content_id = ? ORDER BY p.id",
        content_id,
    )
    return tuple(row[0] for row in rows)


def _size(path: Path) -> int:
    """Return the bytes of a file, 0 for a folder or a file that has just vanished (SQLite's own come and go)."""
    try:
        return path.stat().st_size if path.is_file() else 0
    except OSError:
        return 0
