"""Measure how long it takes to find out what filters leave, in milliseconds.

    python benchmarks/filters.py [--files 500000] [--runs 5] [--library FOLDER]

Makes a library of files that do not exist, straight in its tables: 500 to a folder, a hundredth of them copies, a
hundredth gone, a hundredth sounds and another films of ten frames; cameras, lenses, places, ratings, sizes, tags and
times as of twenty years. --library: keep it there, and use it again. Then every filter, some together, and what lists
and orders without vectors: the median of the runs in one process, each as a whole question of `matching`, and how
many vectors are left.
"""

import argparse
import contextlib
import itertools
import json
import os
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from core.query import And, Days, Field, Filter, Has, Near, Node, Not, Or, Range, Shape
from core.types import Kind, Space
from store.filters import contents, matching
from store.listing import assets_of
from store.names import DATABASE
from store.reader import Reader
from store.writer import Writer

DIM = 512
CAMERAS = [("Google", "Pixel 8"), ("Apple", "iPhone 14 Pro"), ("NIKON CORPORATION", "NIKON D750"), (None, None)]
LENSES = ["Pixel 8 back camera 6.9mm f/1.68", "AF-S NIKKOR 50mm f/1.8G", "24-70mm F2.8 DG OS HSM | Art 017", None]
PLACES = [
    ("Vienna", "Vienna", "AT", 48.2, 16.4),
    ("Zürich", "Zurich", "CH", 47.4, 8.5),
    ("Rome", "Lazio", "IT", 41.9, 12.5),
]
SIZES = [(4032, 3024), (3024, 4032), (6000, 4000), (1080, 1080), (9000, 2200)]


def photo(number: int) -> dict[str, Any]:
    """Make up what is known of a file."""
    dice = np.random.default_rng(number)
    make, camera = CAMERAS[number // 700 % 4]
    town, region, country, latitude, longitude = PLACES[number // 300 % 3]
    taken = datetime(2004, 1, 1) + timedelta(minutes=number * 21)
    width, height = SIZES[number % 5]
    return {
        "kind": Kind.AUDIO if number % 100 == 1 else Kind.VIDEO if number % 100 == 2 else Kind.PHOTO,
        "path": f"{taken.year}/{('trip', 'Fotos für')[number // 500 % 5 == 0]} {number // 500}/IMG_{number:06}.jpg",
        "size": int(dice.integers(1_000_000, 9_000_000)),
        "width": width,
        "height": height,
        "taken": taken.isoformat(),
        "position": (latitude + dice.normal() / 20, longitude + dice.normal() / 20) if number % 2 else (None, None),
        "place": (town, region, country) if number % 2 else (None, None, None),
        "make": make,
        "camera": camera,
        "lens": LENSES[number // 700 % 4],
        "rating": number % 7 if number % 7 < 6 else None,
    }


def rows(count: int) -> Iterator[tuple[str, list[tuple[object, ...]]]]:
    """Yield statements with the rows that they write, 10,000 files at a time."""
    tags = [f"Places/Town {n}" for n in range(180)] + ["holiday", "family", *(f"topic {n}" for n in range(18))]
    yield "INSERT INTO roots (id, path) VALUES (?, ?)", [(1, b"/photos")]
    yield "INSERT INTO tags (id, name) VALUES (?, ?)", list(enumerate(tags, 1))
    segments = itertools.count(1)
    blob = np.random.default_rng(0).bytes(2 * DIM)
    for start in range(0, count, 10_000):
        made: dict[str, list[tuple[object, ...]]] = {name: [] for name in ("c", "f", "m", "t", "s", "v", "d")}
        for number in range(start, min(start + 10_000, count)):
            what, key = photo(number), number + 1
            copy = number % 100 == 50
            written = json.dumps({**{k: v for k, v in what.items() if k != "path"}, "description": "x" * 100})
            if not copy:
                row = (
                    key,
                    key.to_bytes(16, "big"),
                    what["kind"],
                    what["size"],
                    what["width"],
                    what["height"],
                    written,
                )
                made["c"].append((*row, "invoice" if number % 20 == 0 else ""))
            content = key - 1 if copy else key
            made["f"].append((key, os.fsencode(what["path"]), content, what["size"], key, key, number % 100 == 99))
            where = (*what["position"], *what["place"])
            shot = (what["make"], what["camera"], what["lens"], what["rating"])
            made["m"].append((key, what["taken"], "modified" if number % 10 == 0 else "exif", *where, *shot))
            if number % 5 < 2:
                made["t"] += [(key, 1 + number // 300 % 180), (key, 181 + number // 1000 % 20)]
            if number % 200 == 0:
                made["d"].append((content, 181 + number // 1000 % 20, "removed"))
            if copy or what["kind"] is Kind.AUDIO:
                continue
            for second in range(10) if what["kind"] is Kind.VIDEO else [None]:
                segment = next(segments)
                film = second is not None
                made["s"].append((segment, key, "frame" if film else "whole", second, second and second + 1))
                made["v"].append((1, segment, blob))
        yield (
            "INSERT INTO contents (id, digest, kind, size, width, height, metadata, text) VALUES (?,?,?,?,?,?,?,?)",
            made["c"],
        )
        yield (
            "INSERT INTO files (id, root_id, path, content_id, size, mtime_ns, inode, device, gone, retry) "
            "VALUES (?,1,?,?,?,?,?,1,?,0)",
            made["f"],
        )
        yield (
            "INSERT INTO metadata (file_id, taken, taken_from, latitude, longitude, town, region, country, make, "
            "camera, lens, rating, motion) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,0)",
            made["m"],
        )
        yield "INSERT INTO file_tags (file_id, tag_id, source) VALUES (?,?,'file')", made["t"]
        yield "INSERT INTO verdicts (content_id, tag_id, verdict) VALUES (?,?,?)", made["d"]
        yield 'INSERT INTO segments (id, content_id, kind, start, "end") VALUES (?,?,?,?,?)', made["s"]
        yield "INSERT INTO vectors (space_id, segment_id, vector) VALUES (?,?,?)", made["v"]


def fill(folder: Path, count: int) -> None:
    """Make a library of `count` files."""
    space = Space(name="made-up", revision="1", dim=DIM, shared_dim=DIM)
    with Writer(folder) as library:
        library.add_space(space)
    with contextlib.closing(sqlite3.connect(folder / DATABASE)) as db:
        db.execute("INSERT OR REPLACE INTO library (id, current_space_id) VALUES (1, 1)")
        for statement, values in rows(count):
            db.executemany(statement, values)
        db.commit()
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")


ASKED: dict[str, Node] = {
    "tag:holiday": Filter(Field.TAG, "holiday"),
    "tag:places": Filter(Field.TAG, "places"),
    **{f"has:{what}": Filter(Field.HAS, what) for what in Has},
    "in:/photos/2010": Filter(Field.IN, "/photos/2010"),
    "in:2010": Filter(Field.IN, "2010"),
    "name:0001": Filter(Field.NAME, "0001"),
    "name:für": Filter(Field.NAME, "für"),
    "kind:photo": Filter(Field.KIND, Kind.PHOTO),
    "kind:video": Filter(Field.KIND, Kind.VIDEO),
    "date:2023-06": Filter(Field.DATE, Days("2023-06-01", "2023-07-01")),
    "date:2010..": Filter(Field.DATE, Days("2010-01-01")),
    "camera:pixel": Filter(Field.CAMERA, "pixel"),
    "lens:50mm": Filter(Field.LENS, "50mm"),
    "place:vienna": Filter(Field.PLACE, "vienna"),
    "near:48.21,16.37,5km": Filter(Field.NEAR, Near(48.21, 16.37, 5)),
    "near:48.21,16.37,2000km": Filter(Field.NEAR, Near(48.21, 16.37, 2000)),
    "rating:>=3": Filter(Field.RATING, Range(3)),
    "shape:portrait": Filter(Field.SHAPE, Shape.PORTRAIT),
    "size:>=12": Filter(Field.SIZE, Range(12)),
    "bytes:>5MB": Filter(Field.BYTES, Range(5e6, open_low=True)),
    "width:>=6000": Filter(Field.WIDTH, Range(6000)),
}
TOGETHER: dict[str, tuple[str, ...]] = {
    "few": ("tag:holiday", "date:2023-06", "rating:>=3"),
    "some": ("camera:pixel", "date:2010..", "rating:>=3"),
    "many": ("kind:photo", "has:place", "size:>=12"),
}


def measure(question: Callable[[], Any], runs: int) -> tuple[float, float, Any]:
    """Return medians of wall and CPU milliseconds, and the answer."""
    wall, cpu = [], []
    for _ in range(runs):
        started, used = time.perf_counter(), time.process_time()
        answer = question()
        wall.append(1e3 * (time.perf_counter() - started))
        cpu.append(1e3 * (time.process_time() - used))
    return statistics.median(wall), statistics.median(cpu), answer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=500_000)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--library", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        library = options.library or Path(scratch, "library")
        if not (library / DATABASE).exists():
            fill(library, options.files)
        asked = dict(ASKED)
        for parts in TOGETHER.values():
            asked[" ".join(parts)] = And(tuple(ASKED[part] for part in parts))
        asked["not kind:video"] = Not(ASKED["kind:video"])
        asked["tag:holiday or has:text"] = Or((ASKED["tag:holiday"], ASKED["has:text"]))
        with Reader(library) as reader:
            print(f"{reader.tally('files'):,} files, medians of {options.runs}")
            print(f"{'':48}{'wall ms':>9}{'CPU ms':>9}{'vectors':>10}")
            space = reader.space()
            assert space is not None
            for name, node in asked.items():
                wall, cpu, ids = measure(partial(matching, reader, space, node), options.runs)
                print(f"{name:48}{wall:9.0f}{cpu:9.0f}{'all' if ids is None else len(ids):>10}", flush=True)
            for name in ("tag:holiday", "date:2010.."):
                found = contents(reader, ASKED[name])
                wall, cpu, assets = measure(partial(assets_of, reader, found, 100), options.runs)
                print(f"{f'the newest 100 of {len(found):,}':48}{wall:9.0f}{cpu:9.0f}{len(assets):>10}")


if __name__ == "__main__":
    main()
