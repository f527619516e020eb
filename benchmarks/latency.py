"""Measure how long a search takes, cold and warm, beside what it cannot be faster than.

    python benchmarks/latency.py [--sizes 1000 10000 100000] [--runs 11] [--models builtin local-dir:FOLDER]

Cold: whole processes, wall time, the commands in turn (A B C A B C ...), medians and ratios from one run, and the
largest resident set. They are `glimpse search`, `python -c "import torch"`, and a bare process that imports faiss,
onnxruntime and tokenizers.
Warm: p50 and p95 of 200 text queries in one process, and of a numpy scan (fp32 product, argpartition).
The vectors are synthetic; the model, the library and the commands are the real ones.
"""

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

import glimpse
from benchmarks.synthetic import fill, random_unit
from benchmarks.usage import measure
from encoders.registry import load
from glimpse.defaults import settings

WORDS = [
    "a cat",
    "a dog on the beach",
    "snow",
    "a red car",
    "birthday cake",
    "sunset over the sea",
    "an old bridge",
    "two horses",
]


def cold(folders: dict[tuple[str, int], Path], runs: int) -> None:
    script = str(Path(sys.executable).with_name("glimpse"))
    commands = {
        f"glimpse search, {short(model)}, {size:,} photos": [
            script,
            "search",
            "a cat",
            "--all",
            "--library",
            str(folder),
        ]
        for (model, size), folder in folders.items()
    }
    bare, torch = "import faiss, onnxruntime, tokenizers", "import torch"
    commands |= {name: [sys.executable, "-c", name] for name in (bare, torch)}
    times: dict[str, list[float]] = {name: [] for name in commands}
    megabytes: dict[str, float] = {}
    for turn in range(runs + 1):
        for name, command in commands.items():
            usage = measure(command)
            megabytes[name] = usage.megabytes
            if turn:  # the first turn warms the page cache
                times[name].append(usage.wall)
    medians = {name: statistics.median(values) for name, values in times.items()}
    print(f"\ncold processes, wall seconds, {runs} alternating runs")
    print(f"{'':52}{'min':>7}{'median':>8}{'max':>7}{'/ torch':>9}{'/ bare':>8}{'MB':>7}")
    for name, values in times.items():
        ratios = f"{medians[name] / medians[torch]:9.2f}{medians[name] / medians[bare]:8.2f}"
        print(f"{name:52}{min(values):7.3f}{medians[name]:8.3f}{max(values):7.3f}{ratios}{megabytes[name]:7.0f}")


def percentiles(call: Callable[[str], object], queries: int = 200) -> str:
    for word in WORDS:
        call(word)
    values = []
    for number in range(queries):
        started = time.perf_counter()
        call(f"{WORDS[number % len(WORDS)]} {number}")
        values.append((time.perf_counter() - started) * 1000)
    return f"{np.percentile(values, 50):8.2f}{np.percentile(values, 95):8.2f}"


def warm(folders: dict[tuple[str, int], Path]) -> None:
    print(f"\none process, milliseconds a query{'':17}{'p50':>8}{'p95':>8}")
    dims = {}
    for model in dict.fromkeys(model for model, _ in folders):
        for (_, size), folder in ((key, folder) for key, folder in folders.items() if key[0] == model):
            with glimpse.Library(settings(folder)) as library:
                took = percentiles(lambda text: library.search(text, k=10))
            print(f"text query, {short(model)}, {size:,} photos".ljust(50) + took)
        encoder = load(model, settings().cache)
        dims[model] = encoder.space.dim
        took = percentiles(lambda text: encoder.encode_texts([text]))  # noqa: B023
        print(f"of which encoding the words, {short(model)}".ljust(50) + took)
    for model, size in folders:
        matrix = np.concatenate(list(random_unit(size, dims[model])))
        query = matrix[0]

        def scan(_: str) -> object:
            return np.argpartition(-(matrix @ query), 10)[:10]  # noqa: B023

        print(f"numpy scan alone, {dims[model]} dimensions, {size:,} photos".ljust(50) + percentiles(scan))


def short(model: str) -> str:
    """Return the name of a model without the folders before it."""
    return model.rpartition("/")[2]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[1_000, 10_000, 100_000])
    parser.add_argument("--runs", type=int, default=11)
    parser.add_argument("--models", nargs="+", default=["builtin"])
    options = parser.parse_args()
    print(f"{os.cpu_count()} processors, Python {sys.version.split()[0]}")
    with tempfile.TemporaryDirectory() as scratch:
        folders = {}
        for number, model in enumerate(options.models):
            space = load(model, settings().cache).space
            for size in options.sizes:
                folder = folders[model, size] = Path(scratch, f"{number}-{size}")
                started = time.perf_counter()
                fill(folder, space, size)
                seconds = time.perf_counter() - started
                with glimpse.Library(settings(folder)) as library:
                    library.search("a cat")
                print(f"{short(model)}: {size:,} photos written in {seconds:.1f} s")
        cold(folders, options.runs)
        warm(folders)


if __name__ == "__main__":
    main()
