"""Libraries of synthetic vectors, written through the same door as real ones."""

import hashlib
import itertools
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from core.types import FileStat, Metadata, Space, Vector, Vectors
from encoders.base import unit
from store.records import WHOLE, About, Taken
from store.writer import Writer

BATCH = 5000


def random_unit(count: int, dim: int, seed: int = 0) -> Iterator[Vectors]:
    """Yield random unit rows in batches: no clusters, the worst case for a cache and none for an exact index."""
    rng = np.random.default_rng(seed)
    for start in range(0, count, BATCH):
        yield unit(rng.standard_normal((min(BATCH, count - start), dim), dtype=np.float32))


def fill(folder: Path, space: Space, count: int, blocks: Iterable[Vectors] | None = None) -> tuple[float, float]:
    """Make a library with `count` photos that do not exist, each with metadata.

    blocks: their vectors, as a generator of benchmarks/vectors.py yields them; None for random ones. Returns wall and
    CPU seconds of the commits alone.
    """
    wall = cpu = 0.0
    with Writer(folder) as library:
        space_id = library.add_space(space)
        root_id = library.add_root(b"/synthetic", [])
        rows = itertools.chain.from_iterable(blocks or random_unit(count, space.dim))
        photos = (photo(root_id, number, row) for number, row in enumerate(itertools.islice(rows, count), 1))
        while batch := list(itertools.islice(photos, BATCH)):
            wall, cpu = wall - time.perf_counter(), cpu - time.process_time()
            library.commit(space_id, batch)
            wall, cpu = wall + time.perf_counter(), cpu + time.process_time()
    return wall, cpu


def photo(root_id: int, number: int, row: Vector) -> Taken:
    """Make up what an index run would have found out about a photo."""
    metadata = Metadata(taken=f"20{number % 20:02}-06-01T12:30:00", camera="Pixel 8", rating=number % 6)
    return Taken(
        root_id,
        f"{number // 1000:05}/{number:08}.jpg".encode(),
        FileStat(1000 + number, number, number, 1),
        digest=hashlib.blake2b(str(number).encode(), digest_size=16).digest(),
        size=(4000, 3000),
        vectors={WHOLE: row},
        embedded=metadata,
        about=About(metadata),
    )
