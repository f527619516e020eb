"""Measure `glimpse index` where nothing has changed, and where a folder was renamed.

    python benchmarks/rescan.py [--files 100000] [--runs 3] [--model builtin]

Makes small files, no two with the same bytes, 500 to a folder and 20 folders to a year, and a library that knows
them: rows with the files' own sizes, times and inodes, and random vectors, written as an index run writes them. Then
`glimpse index` as whole processes: with nothing changed, and after a year was renamed. CPU seconds are user and
system time of the process, all threads, as the kernel counts them; the least is what walking the folders takes alone,
with one stat a file. Checks that nothing was encoded and that every renamed file was recognised.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import xxhash

from benchmarks.synthetic import random_unit
from core.types import FileStat, Metadata, Space
from encoders.registry import load
from glimpse.defaults import settings
from store.records import WHOLE, Taken
from store.writer import Writer

FILES_PER_FOLDER, FOLDERS_PER_YEAR = 500, 20


def make_files(photos: Path, count: int) -> Iterator[tuple[bytes, bytes]]:
    """Write `count` files; yields each one's path below `photos` and its bytes."""
    for number in range(count):
        folder = number // FILES_PER_FOLDER
        path = Path(f"{2000 + folder // FOLDERS_PER_YEAR}", f"{folder:04}", f"IMG_{number:06}.jpg")
        if number % FILES_PER_FOLDER == 0:
            (photos / path).parent.mkdir(parents=True)
        data = b"\xff\xd8\xff" + str(number).encode()
        (photos / path).write_bytes(data)
        yield os.fsencode(path), data


def fill(library: Path, space: Space, photos: Path, count: int) -> None:
    """Make a library that knows the files that are there now."""
    with Writer(library) as writer:
        space_id = writer.add_space(space)
        root = os.fsencode(photos)
        root_id = writer.add_root(root, [])
        writer.add_sources({root: True})
        files = make_files(photos, count)
        for rows in random_unit(count, space.dim):
            batch = [
                Taken(
                    root_id,
                    path,
                    FileStat.of(os.stat(os.path.join(root, path))),
                    digest=xxhash.xxh3_128_digest(data),
                    size=(4000, 3000),
                    vectors={WHOLE: row},
                    embedded=Metadata(),
                )
                for row, (path, data) in zip(rows, files, strict=False)
            ]
            writer.commit(space_id, batch)


def cpu_of(command: list[str]) -> tuple[float, float, dict[str, Any]]:
    """Run a command; returns its CPU seconds, its wall seconds, and the JSON that it prints last."""
    started = time.perf_counter()
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert child.stdout
    printed = child.stdout.read()
    _, status, usage = os.wait4(child.pid, 0)
    if status:
        raise SystemExit(f"{command} ended with {os.waitstatus_to_exitcode(status)}")
    wall = time.perf_counter() - started
    return usage.ru_utime + usage.ru_stime, wall, json.loads(printed.splitlines()[-1]) if printed else {}


def expect(report: dict[str, Any], **counts: int) -> None:
    """End the program unless a run's report says so."""
    names = ("added", "changed", "moved", "gone", "unchanged", "failed", "encoded")
    wanted = {name: counts.get(name, 0) for name in names}
    if {name: report[name] for name in names} != wanted:
        raise SystemExit(f"expected {wanted}, got {report}")


LEAST = """
import os, sys
def walk(folder):
    with os.scandir(folder) as entries:
        for entry in entries:
            walk(entry.path) if entry.is_dir(follow_symlinks=False) else entry.stat(follow_symlinks=False)
walk(os.fsencode(sys.argv[1]))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=100_000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--model", default="builtin")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        photos, library = Path(scratch, "photos"), Path(scratch, "library")
        fill(library, load(options.model, settings().cache).space, photos, options.files)
        script = str(Path(sys.executable).with_name("glimpse"))
        index = [script, "index", "--json", "--library", str(library), "--model", options.model]
        cpu_of(index)  # makes the index file
        years = sorted(photos.iterdir())
        moved = min(options.files, FILES_PER_FOLDER * FOLDERS_PER_YEAR)
        results: dict[str, list[tuple[float, float]]] = {}
        for _ in range(options.runs):
            cpu, wall, report = cpu_of(index)
            expect(report, unchanged=options.files)
            results.setdefault("nothing changed", []).append((cpu, wall))
            years[0] = years[0].rename(photos / f"again {years[0].name}")
            cpu, wall, report = cpu_of(index)
            expect(report, moved=moved, unchanged=options.files - moved)
            results.setdefault(f"a folder of {moved:,} renamed", []).append((cpu, wall))
            cpu, wall, _ = cpu_of([sys.executable, "-c", LEAST, str(photos)])
            results.setdefault("the least: one stat a file", []).append((cpu, wall))
        print(f"{options.files:,} files, {options.model}, medians of {options.runs} runs")
        print(f"{'':36}{'CPU s':>8}{'wall s':>8}")
        for name, runs in results.items():
            cpu, wall = (statistics.median(column) for column in zip(*runs, strict=True))
            print(f"{name:36}{cpu:8.2f}{wall:8.2f}")


if __name__ == "__main__":
    main()
