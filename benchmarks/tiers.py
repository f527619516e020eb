"""Measure the index of a large library: recall, latency, filters, cold processes.

    python benchmarks/tiers.py --folder DIR [--count 1000000] [--kinds smooth clustered builtin] [--real FILE.npy]

Makes a library of each kind of vectors in DIR (benchmarks/vectors.py; 4 GB for a million, used again next time), lets
the end of an index run give its index the shape that it wants, and then asks it 500 image-like and 500 text-like
queries, none of which took part in that. Recall is recall@10 against a scan of all vectors, after re-scoring. Filters
let through random photos, or a region: those nearest to a photo drawn by chance, as whole folders often are; then the
queries lie elsewhere. Times are of one process, one thread, medians; "all" is a whole question but for the encoding
of its words. Cold: whole `glimpse search` processes and `python -c "import torch"` in turn, medians.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from benchmarks.synthetic import fill
from benchmarks.usage import measure
from benchmarks.vectors import Generator, generator
from core.query import Options, Query, Sum, Term
from core.types import Ids, Modality, Vector, Vectors
from encoders.registry import load
from glimpse.defaults import settings
from search.compose import Target
from search.engine import Engine
from store.growth import Growth
from store.ivf import CANDIDATES
from store.overview import status
from store.reader import Reader
from store.recall import AT, NOBODY, Nearest, recall
from store.vectors import VectorIndex
from store.writer import Writer

QUERIES = 500
FOR_GROWTH = 1000
SHARES = (0.001, 0.01, 0.1, 0.5)
FILTERED = 100
"""Queries for each filter."""


def made(folder: Path, kind: Generator, count: int, tier: str) -> None:
    """Fill a library unless it is there, and give its index its shape."""
    space = load("builtin", settings().cache).space
    if not (folder / "library.db").exists():
        wall, cpu = fill(folder, space, count, kind.blocks(count))
        print(f"written: {count / wall:,.0f} photos a second with all their rows, {count / cpu:,.0f} a CPU second")
    with Writer(folder) as library:
        library.tier(tier)
        wall, cpu = time.perf_counter(), time.process_time()
        told = lambda progress: print(f"  {progress.stage}", flush=True)  # noqa: E731
        Growth(library, space, lambda: kind.texts(FOR_GROWTH), told).grow()
    print(f"index: {time.perf_counter() - wall:.0f} s, {time.process_time() - cpu:.0f} CPU s")


def best(reader: Reader, index: VectorIndex, query: Vector, candidates: Ids) -> Ids:
    """Return the ten best of the candidates by the stored vectors, as a search does."""
    ids, rows = reader.vectors_by_id(index.space, candidates)
    return ids[np.argsort(-Target(query).scores(rows.astype(np.float32)), kind="stable")[:AT]]


def ask(
    reader: Reader, index: VectorIndex, queries: Vectors, among: Ids | None = None, exact: bool = False
) -> tuple[np.ndarray, list[float]]:
    """Return the ten best of each query, and how many milliseconds each took."""
    found, took = [], []
    for query in queries:
        started = time.perf_counter()
        ids = best(reader, index, query, index.search(query, CANDIDATES, among, exact))
        took.append((time.perf_counter() - started) * 1000)
        found.append(np.pad(ids, (0, AT - len(ids)), constant_values=NOBODY))
    return np.array(found), took


def truth(reader: Reader, index: VectorIndex, queries: Vectors, among: Ids | None = None) -> np.ndarray:
    nearest = Nearest(queries, np.full(len(queries), NOBODY))
    for ids, rows in reader.vectors(index.space):
        kept = np.ones(len(ids), bool) if among is None else np.isin(ids, among, assume_unique=True)
        if kept.any():
            nearest.add(ids[kept], rows[kept])
    return nearest.ids()


def region(reader: Reader, index: VectorIndex, size: int) -> Ids:
    """Return the ids of the vectors nearest to one of them."""
    last = reader.newest_vector(index.space.id)
    centre = reader.vectors_by_id(index.space, [last // 3])[1][0].astype(np.float32)
    blocks = [(ids, rows.astype(np.float32) @ centre) for ids, rows in reader.vectors(index.space)]
    scores = np.concatenate([scores for _, scores in blocks])
    ids = np.concatenate([ids for ids, _ in blocks])
    return np.sort(ids[np.argpartition(-scores, size - 1)[:size]])


def in_one_process(folder: Path, kind: Generator) -> None:
    images, texts = kind.queries(QUERIES), kind.texts(FOR_GROWTH + QUERIES)[FOR_GROWTH:]
    with Reader(folder) as reader:
        space = reader.space()
        assert space is not None
        index = VectorIndex(reader, space)
        (told,) = status(reader).spaces
        print(f"index: {told.index}")
        print(f"{'':34}{'recall@10':>10}{'p50 ms':>9}{'p95 ms':>9}")
        for name, queries in (("image-like", images), ("text-like", texts)):
            right = truth(reader, index, queries)
            for exact in (False, True):
                ask(reader, index, queries[:20], None, exact)
                found, took = ask(reader, index, queries[: 100 if exact else None], None, exact)
                row(f"{name}{', --exact' if exact else ''}", recall(found, right[: len(found)]), took)
        engine = Engine(reader, load("builtin", settings().cache), index, settings().cache)
        row("text-like, all of a search", None, timed(engine, texts))
        count = len(index)
        mixed = np.concatenate([images[: FILTERED // 2], texts[: FILTERED // 2]])
        for share in SHARES:
            size = round(share * count)
            drawn = np.sort(np.random.default_rng(0).choice(count, size, replace=False) + 1)
            for name, among in (("random", drawn), ("a region", region(reader, index, size))):
                right = truth(reader, index, mixed, among)
                ask(reader, index, mixed[:5], among)
                found, took = ask(reader, index, mixed, among)
                row(f"filter: {share:.1%} of all, {name}", recall(found, right), took)


def timed(engine: Engine, vectors: Vectors) -> list[float]:
    """Return the milliseconds of whole searches whose words are encoded already."""
    took = []
    coming = iter(vectors)
    engine.encoder.encode_texts = lambda _: next(coming)[None]  # type: ignore[method-assign, assignment]
    for _ in vectors:
        started = time.perf_counter()
        engine.answer(Query(Sum((Term(Modality.TEXT, "words"),))), Options(AT))
        took.append((time.perf_counter() - started) * 1000)
    return took


def row(name: str, found: float | None, took: Sequence[float]) -> None:
    shown = "" if found is None else f"{found:.3f}"
    print(f"{name:34}{shown:>10}{np.percentile(took, 50):9.2f}{np.percentile(took, 95):9.2f}", flush=True)


def cold(folders: dict[str, Path], runs: int) -> None:
    script = str(Path(sys.executable).with_name("glimpse"))
    commands = {name: [script, "search", "a cat", "--library", str(folder)] for name, folder in folders.items()}
    commands["import torch"] = [sys.executable, "-c", "import torch"]
    usages: dict[str, list] = {name: [] for name in commands}  # type: ignore[type-arg]
    for turn in range(runs + 1):
        for name, command in commands.items():
            usage = measure(command)
            if turn:  # the first turn warms the page cache
                usages[name].append(usage)
    wall: Callable[[str], float] = lambda name: statistics.median(u.wall for u in usages[name])  # noqa: E731
    print(f"\ncold processes, {runs} runs in turn{'':8}{'wall s':>9}{'/ torch':>9}{'CPU s':>8}{'MB':>7}")
    for name, measured in usages.items():
        cpu, megabytes = statistics.median(u.cpu for u in measured), max(u.megabytes for u in measured)
        print(f"{name:40}{wall(name):9.3f}{wall(name) / wall('import torch'):9.2f}{cpu:8.2f}{megabytes:7.0f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--count", type=int, default=1_000_000)
    parser.add_argument("--kinds", nargs="+", default=["smooth", "clustered", "builtin"])
    parser.add_argument("--real", type=Path)
    parser.add_argument("--tier", default="auto")
    parser.add_argument("--runs", type=int, default=9)
    options = parser.parse_args()
    folders = {}
    for name in options.kinds:
        kind = generator(name, options.real)
        print(f"\n{kind.label}; {options.count:,} vectors")
        folders[name] = options.folder / f"{name}-{options.count}"
        made(folders[name], kind, options.count, options.tier)
        in_one_process(folders[name], kind)
    cold(folders, options.runs)


if __name__ == "__main__":
    main()
