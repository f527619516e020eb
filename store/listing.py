"""What contents are shown as where no vector leads to them: in the order of time."""

import json
from collections.abc import Collection, Iterable
from pathlib import Path

from core.types import Kind
from store.reader import Asset, Reader, full_path


def taken_of(reader: Reader, content_ids: Iterable[int]) -> dict[int, str]:
    """Return when contents were taken, ISO 8601: the earliest of their files that are there; others are left out."""
    rows = reader.rows(
        "SELECT f.content_id, m.taken FROM json_each(?) j CROSS JOIN files f ON f.content_id = j.value "
        "CROSS JOIN metadata m ON m.file_id = f.id WHERE NOT f.gone AND m.taken IS NOT NULL",
        json.dumps([int(key) for key in content_ids]),
    )
    taken: dict[int, str] = {}
    for key, time in rows:
        taken[key] = min(time, taken.get(key, time))
    return taken


def assets_of(reader: Reader, content_ids: Iterable[int], k: int | None = None) -> list[Asset]:
    """Return the k newest contents, all for None: newest first, then by path, those without a date at the end.

    Whether or not they have vectors; those whose files are all gone are left out.
    """
    wanted = list(content_ids)
    taken = taken_of(reader, wanted)
    if k is not None and 0 < k < len(taken):
        oldest = sorted(taken.values(), reverse=True)[k - 1]
        wanted = [key for key, time in taken.items() if time >= oldest]
    found = sorted(assets(reader, wanted).values(), key=lambda asset: asset.paths)
    found.sort(key=lambda asset: taken.get(asset.content_id, ""), reverse=True)
    return found[:k]


def assets(reader: Reader, content_ids: Iterable[int], first: Collection[int] = ()) -> dict[int, Asset]:
    """Return what contents are, whether or not they have vectors; those whose files are all gone are left out.

    first: ids of files that are named before the others of their content.
    """
    rows = reader.where_in(
        "SELECT c.id, c.kind, r.path, f.path, f.id FROM contents c JOIN files f ON f.content_id = c.id "
        "JOIN roots r ON r.id = f.root_id WHERE NOT f.gone AND c.id IN",
        content_ids,
    )
    kinds: dict[int, Kind] = {}
    paths: dict[int, dict[int, Path]] = {}
    for content_id, kind, root, path, file_id in rows:
        kinds[content_id] = Kind(kind)
        paths.setdefault(content_id, {})[file_id] = full_path(root, path)
    beside = reader.companions(file_id for files in paths.values() for file_id in files)
    return {
        content_id: Asset(
            content_id,
            kinds[content_id],
            tuple(files[key] for key in sorted(files, key=lambda key: (key not in first, files[key]))),
            tuple(sorted(path for file_id in files for path in beside.get(file_id, ()))),
        )
        for content_id, files in paths.items()
    }
