"""Measure how fast vectors are written, read back, and looked up.

    python benchmarks/storage.py [--count 1000000] [--vectors smooth] [--real FILE.npy] [--library DIR]

The photos do not exist, everything else is real: each has a content, a segment, a vector, a file and metadata, and
goes through Writer.commit. Another library's photos then get vectors of a second model. Read back: Reader.vectors
over all of them. Rebuilt: the exhaustive index from the database, written to disk. Looked up: the vectors and the
photos behind 40 ids, as a search does. CPU seconds are the process's own; DIR is kept, and used again if it is there.
"""

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import faiss
import numpy as np

from benchmarks.synthetic import BATCH, fill, photo, random_unit
from benchmarks.vectors import DIM, KINDS, generator
from core.types import Space
from store.flat import FlatIndex
from store.reader import Reader, StoredSpace
from store.writer import Writer

SPACE = Space(name="synthetic", revision="1", dim=DIM, shared_dim=DIM)
SECOND = 50_000
"""Photos that a second model gets vectors of."""
LOOKED_UP = 40
"""What a search for 10 photos fetches."""
LOOK_UPS = 500


@contextmanager
def timed(what: str, count: int) -> Iterator[None]:
    wall, cpu = time.perf_counter(), time.process_time()
    yield
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    print(f"{what:36}{wall:8.1f} s{cpu:8.1f} s CPU{count / wall:12,.0f} a second{count / cpu:12,.0f} a CPU second")


def insert(folder: Path, count: int, kind: str, real: Path | None) -> None:
    wall, cpu = fill(folder, SPACE, count, generator(kind, real).blocks(count))
    print(f"{'photos inserted':36}{wall:8.1f} s{cpu:8.1f} s CPU{count / wall:12,.0f} a second", end="")
    print(f"{count / cpu:12,.0f} a CPU second")


def insert_second(folder: Path) -> None:
    """Give a second model vectors of photos that are there; their ids are their numbers."""
    fill(folder, SPACE, SECOND)
    rows = np.concatenate(list(random_unit(SECOND, DIM)))
    with Writer(folder) as library:
        space_id = library.add_space(replace(SPACE, name="second"))
        root_id = next(iter(library.roots()))
        photos = [photo(root_id, number, row) for number, row in enumerate(rows, 1)]
        batch = [replace(known, file_id=number, embedded=None, about=None) for number, known in enumerate(photos, 1)]
        with timed("vectors of a second model", SECOND):
            for start in range(0, SECOND, BATCH):
                library.commit(space_id, batch[start : start + BATCH])


def percentiles(call: Callable[[list[int]], object], ids: np.ndarray, what: str) -> None:
    rng = np.random.default_rng(0)
    values = []
    for _ in range(LOOK_UPS):
        wanted = rng.choice(ids, LOOKED_UP).tolist()
        started = time.perf_counter()
        call(wanted)
        values.append((time.perf_counter() - started) * 1000)
    print(f"{what:36}p50 {np.percentile(values, 50):.2f} ms, p95 {np.percentile(values, 95):.2f} ms")


def read(folder: Path, space: StoredSpace, reader: Reader) -> None:
    with timed("vectors read back", reader.newest_vector(space.id)):
        ids = np.concatenate([ids for ids, _ in reader.vectors(space)])
    faiss.omp_set_num_threads(1)
    with timed("exhaustive index rebuilt and saved", len(ids)):
        FlatIndex.of(reader.vectors(space), space.dim).save(folder / "benchmark.tmp")
    (folder / "benchmark.tmp").unlink()
    percentiles(lambda wanted: reader.vectors_by_id(space, wanted), ids, f"vectors of {LOOKED_UP} ids")
    percentiles(reader.assets, ids, f"photos of {LOOKED_UP} ids")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=1_000_000)
    parser.add_argument("--vectors", choices=KINDS, default="smooth")
    parser.add_argument("--real", type=Path, help="the file of builtin vectors")
    parser.add_argument("--library", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.library or Path(scratch, "first")
        if not (folder / "library.db").exists():
            insert(folder, options.count, options.vectors, options.real)
            insert_second(Path(scratch, "second"))
        Writer(folder).close()  # brings an earlier one up to date
        with Reader(folder) as reader:
            space = reader.space(SPACE.name)
            if space is None:
                raise SystemExit(f"{folder} is no library of this benchmark")
            read(folder, space, reader)


if __name__ == "__main__":
    main()
