"""Libraries of synthetic vectors, written through the same door as real ones."""

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from core.types import FileStat, Metadata, Space, Vectors
from encoders.base import unit
from store.records import WHOLE, Taken
from store.writer import Writer

BATCH = 5000


def random_unit(count: int, dim: int, seed: int = 0) -> Iterator[Vectors]:
    """Yield random unit rows in batches: no clusters, the worst case for a cache and none for an exact index."""
    rng = np.random.default_rng(seed)
    for start in range(0, count, BATCH):
        yield unit(rng.standard_normal((min(BATCH, count - start), dim), dtype=np.float32))


def fill(folder: Path, space: Space, count: int) -> None:
    """Make a library with `count` photos that do not exist, each with a random vector."""
    with Writer(folder) as library:
        space_id = library.add_space(space)
        root_id = library.add_root(b"/synthetic", [])
        number = 0
        for rows in random_unit(count, space.dim):
            batch = []
            for row in rows:
                number += 1
                digest = hashlib.blake2b(str(number).encode(), digest_size=16).digest()
                stat = FileStat(1000 + number, number, number, 1)
                path = f"{number // 1000:05}/{number:08}.jpg".encode()
                row_of = Taken(root_id, path, stat, digest=digest, size=(4000, 3000), vectors={WHOLE: row})
                batch.append(replace(row_of, embedded=Metadata()))
            library.commit(space_id, batch)
