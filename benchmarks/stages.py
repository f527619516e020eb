"""Measure what indexing a photo costs, stage by stage, for models, precisions and formats. For benchmarks/index.py.

CPU milliseconds a photo: read and decode (with metadata and preview) is the CPU time of the decode processes; encode
and commit are measured around those calls in this process; rest is what else this process did.
"""

import resource
import struct
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from core.types import Pixels, Vectors
from encoders.base import Encoder
from encoders.precision import FP32, precisions, with_precision
from encoders.registry import load
from glimpse.defaults import settings
from indexer.pipeline import index
from media.isolated import close_idle
from store.writer import Writer
from tests.samples import dng, preview_page

SUFFIXES = {"JPEG": "jpg", "HEIC": "heic", "PNG": "png", "RAW": "dng"}


def write_as(kind: str, scenes: list[Path], folder: Path, count: int) -> None:
    """Write `count` photos of a format from JPEGs; bytes behind the picture make each file different."""
    folder.mkdir()
    made = []
    for number, scene in enumerate(scenes):
        path = folder / f"scene{number}.{SUFFIXES[kind]}"
        with Image.open(scene) as image:
            if kind == "JPEG":
                path.write_bytes(scene.read_bytes())
            elif kind == "HEIC":
                import pillow_heif

                pillow_heif.from_pillow(image).save(path, quality=70)
            elif kind == "PNG":
                image.save(path, compress_level=1)
            else:
                path.write_bytes(dng(image, preview=preview_page(image, jpeg=True)))
        made.append(path)
    for number in range(len(made), count):
        tail = str(number).encode()
        if kind == "HEIC":  # its readers want boxes
            tail = struct.pack(">I4s", 8 + len(tail), b"free") + tail
        data = made[number % len(made)].read_bytes()
        (folder / f"photo{number:05}.{SUFFIXES[kind]}").write_bytes(data + tail)


class Timed:
    """An encoder that adds up its own CPU seconds."""

    def __init__(self, encoder: Encoder) -> None:
        self._encoder, self.seconds = encoder, 0.0
        self.space, self.image_input, self.batch_size = encoder.space, encoder.image_input, encoder.batch_size

    def encode_images(self, pixels: Pixels) -> Vectors:
        return self._timed(self._encoder.encode_images, pixels)

    def prepare_texts(self) -> None:
        self._encoder.prepare_texts()

    def encode_texts(self, texts: Any) -> Vectors:
        return self._encoder.encode_texts(texts)

    def _timed(self, call: Callable[[Pixels], Vectors], pixels: Pixels) -> Vectors:
        started = time.process_time()
        rows = call(pixels)
        self.seconds += time.process_time() - started
        return rows


def stages(photos: Path, encoder: Encoder, preview: int) -> list[float]:
    """Return CPU milliseconds a photo: decode, encode, commit, rest, all."""
    timed, committed = Timed(encoder), 0.0
    with tempfile.TemporaryDirectory() as place, Writer(Path(place, "library")) as library:
        commit = library.commit

        def timed_commit(*arguments: Any) -> None:
            nonlocal committed
            started = time.process_time()
            commit(*arguments)
            committed += time.process_time() - started

        setattr(library, "commit", timed_commit)  # noqa: B010
        close_idle()
        children, own = cpu(resource.RUSAGE_CHILDREN), cpu(resource.RUSAGE_SELF)
        report = index(library, timed, [photos], replace(settings(Path(place)), preview=preview))
        close_idle()  # waits for them: only then are they counted
        decoded, own = cpu(resource.RUSAGE_CHILDREN) - children, cpu(resource.RUSAGE_SELF) - own
    parts = [decoded, timed.seconds, committed, own - timed.seconds - committed]
    return [1000 * part / report.encoded for part in [*parts, sum(parts)]]


def cpu(who: int) -> float:
    usage = resource.getrusage(who)
    return usage.ru_utime + usage.ru_stime


def measure(scenes: list[Path], models: list[str], formats: list[str], count: int) -> None:
    """Print a row for every model, precision and format."""
    print(f"\nCPU ms a photo, {count} photos of 12 megapixels a format")
    print(f"{'':44}{'decode':>8}{'encode':>8}{'commit':>8}{'rest':>8}{'all':>8}")
    with tempfile.TemporaryDirectory() as scratch:
        for kind in formats:
            write_as(kind, scenes, Path(scratch, kind), count)
        for model in models:
            encoder = load(model, settings().cache)
            variants = [FP32, *precisions(encoder)]
            for kind in formats:
                for precision in variants if kind == formats[0] else variants[:1]:
                    chosen = with_precision(encoder, precision)
                    chosen.encode_images(np.zeros((1, *[encoder.image_input.size] * 2, 3), np.uint8))  # opens it
                    row(f"{model.rpartition('/')[2]}, {precision}, {kind}", stages(Path(scratch, kind), chosen, 512))
        row("the last model, no previews", stages(Path(scratch, formats[0]), encoder, 0))


def row(name: str, values: list[float]) -> None:
    print(f"{name:44}" + "".join(f"{value:8.1f}" for value in values))
