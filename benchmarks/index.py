"""Measure indexing, end to end, against the least that it can do.

    python benchmarks/index.py [--photos DIR] [--count 300] [--runs 3]
    python benchmarks/index.py --stages [--models builtin local-dir:FOLDER] [--formats JPEG HEIC PNG RAW] [--count 60]

Without --photos, makes `count` JPEGs of 12 megapixels (3 MB each) out of data/demo: enlarged, with grain, no two with
the same bytes. In turn, as whole processes: `glimpse index` into a new library, the same with nothing changed, and
benchmarks/standalone.py, once with Pillow (draft) and onnxruntime, once with the decoding alone. Wall and CPU seconds
(user and system, all threads, decode processes included) are the kernel's figures for each process, memory the
largest resident set of one process.

With --stages, CPU time a photo by stage instead, for every model, every precision that it has here, and every format
(benchmarks/stages.py; benchmarks/random_model.py writes a model of full size).
"""

import argparse
import os
import statistics
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.usage import Usage, measure
from core.resources import data_path
from encoders.builtin import export_folder
from encoders.runtime import ensure_export
from glimpse.defaults import settings

SCENES = 12


def make_photos(folder: Path, count: int) -> None:
    """Write photos that cost a decoder what a phone's do; a tail behind the image makes the bytes unique."""
    rng = np.random.default_rng(0)
    sources = sorted(path for path in data_path("demo").iterdir() if path.suffix in (".png", ".jpg"))
    folder.mkdir(parents=True)
    for number in range(min(SCENES, count)):
        with Image.open(sources[number % len(sources)]) as image:
            large = np.asarray(image.convert("RGB").resize((4032, 3024), Image.Resampling.BICUBIC), dtype=np.int16)
        grain = rng.normal(0, 6, (*large.shape[:2], 1)).astype(np.int16)
        path = folder / f"scene{number}.jpg"
        Image.fromarray(np.clip(large + grain, 0, 255).astype(np.uint8)).save(path, quality=90)
    scenes = [path.read_bytes() for path in sorted(folder.iterdir())]
    for number in range(SCENES, count):
        (folder / f"photo{number:05}.jpg").write_bytes(scenes[number % len(scenes)] + str(number).encode())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path)
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--stages", action="store_true")
    parser.add_argument("--models", nargs="+", default=["builtin"])
    parser.add_argument("--formats", nargs="+", default=["JPEG", "HEIC", "PNG", "RAW"])
    options = parser.parse_args()
    if options.stages:
        from benchmarks.stages import measure as measure_stages

        with tempfile.TemporaryDirectory() as scratch:
            make_photos(Path(scratch, "scenes"), SCENES)
            scenes = sorted(Path(scratch, "scenes").iterdir())
            measure_stages(scenes, options.models, options.formats, options.count)
        return
    graph = str(ensure_export("encoders.builtin_export", export_folder(settings().cache)).path("image.onnx"))
    with tempfile.TemporaryDirectory() as scratch:
        photos = options.photos or Path(scratch, "photos")
        if options.photos is None:
            make_photos(photos, options.count)
        files = [path for path in photos.rglob("*") if path.is_file()]
        megabytes = sum(path.stat().st_size for path in files) / 1e6
        print(f"{len(files)} files, {megabytes:,.0f} MB, {os.cpu_count()} processors, medians of {options.runs} runs")
        script = str(Path(sys.executable).with_name("glimpse"))
        standalone = [sys.executable, str(Path(__file__).with_name("standalone.py"))]
        results: dict[str, list[Usage]] = {}
        for turn in range(options.runs):
            library = str(Path(scratch, f"library{turn}"))
            index = [script, "index", str(photos), "--library", library]
            for name, command in (
                ("glimpse index", index),
                ("glimpse index, nothing changed", index),
                ("Pillow (draft) + onnxruntime", [*standalone, "embed", graph, str(photos)]),
                ("decoding alone, a pool of threads", [*standalone, "decode", graph, str(photos)]),
            ):
                results.setdefault(name, []).append(measure(command))
    print(f"{'':36}{'photos/s':>9}{'CPU ms/photo':>14}{'processors':>12}{'MB':>7}")
    for name, usages in results.items():
        wall, cpu, memory = (
            statistics.median(getattr(u, key) for u in usages) for key in ("wall", "cpu", "megabytes")
        )
        print(f"{name:36}{len(files) / wall:9.1f}{cpu / len(files) * 1000:14.1f}{cpu / wall:12.2f}{memory:7.0f}")
    ours, _, least, decoding = results.values()
    cpu_ratio = statistics.median(a.cpu / b.cpu for a, b in zip(ours, least, strict=True))
    use_ratio = statistics.median((a.cpu / a.wall) / (b.cpu / b.wall) for a, b in zip(ours, decoding, strict=True))
    print(f"CPU time against the least: {cpu_ratio:.2f}   processor use against decoding alone: {use_ratio:.2f}")


if __name__ == "__main__":
    main()
