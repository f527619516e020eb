"""Pictures without end from a few (seeded crops, turns, colours, blur, two pictures in one), and their vectors."""

import io
import os
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageEnhance, ImageFilter, ImageOps

from core.types import ImageInput, Pixels
from encoders.registry import load
from glimpse.defaults import settings
from media.photo import thumbnail
from media.pixels import shrunk, square
from search.tags import TagBank

SIDE = 320
"""Longer side in px of the pictures to work on: little more than the model wants; every step costs pixels."""
SUFFIXES = (".jpg", ".png", ".webp")


def load_pictures(folders: Sequence[Path]) -> list[Image.Image]:
    """Return the pictures below folders, by path, small and RGB over white."""
    paths = sorted(p for folder in folders for p in folder.rglob("*") if p.suffix in SUFFIXES)
    return [Image.open(io.BytesIO(thumbnail(p.read_bytes(), p.name, SIDE))).convert("RGB") for p in paths]


def augmented(pictures: Sequence[Image.Image], rng: np.random.Generator, want: ImageInput) -> Pixels:
    """Return a new picture as the indexer would hand it to the encoder, shape (want.size, want.size, 3)."""
    image = _changed(pictures[int(rng.integers(len(pictures)))], rng)
    other = rng.random()
    if other < 0.4:
        second = _changed(pictures[int(rng.integers(len(pictures)))], rng)
        image = _beside(image, second) if other < 0.2 else _upon(image, second, rng)
    return square(shrunk(image, want, None, 1), want)


def _changed(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Cut out a part, turn it, and change its colours."""
    width, height = image.size
    part = rng.uniform(0.4, 1.0, 2)
    left, top = rng.uniform(0, 1, 2) * (1 - part) * image.size
    image = image.crop((int(left), int(top), int(left + part[0] * width) + 1, int(top + part[1] * height) + 1))
    if rng.random() < 0.5:
        image = ImageOps.mirror(image)
    if rng.random() < 0.4:
        grey = (int(rng.integers(256)),) * 3
        image = image.rotate(rng.uniform(-40, 40), Image.Resampling.BILINEAR, expand=True, fillcolor=grey)
    for enhancer in (ImageEnhance.Color, ImageEnhance.Brightness, ImageEnhance.Contrast):
        if rng.random() < 0.4:
            image = enhancer(image).enhance(rng.uniform(0.4, 1.6))
    if rng.random() < 0.3:  # other colours: red, green and blue change places
        image = Image.merge("RGB", [image.getchannel(int(channel)) for channel in rng.permutation(3)])
    if rng.random() < 0.2:
        image = image.filter(ImageFilter.BoxBlur(rng.uniform(0.5, 4)))
    return image


def _beside(left: Image.Image, right: Image.Image) -> Image.Image:
    """Put two pictures next to each other, at the same height."""
    right = right.resize((max(1, right.width * left.height // right.height), left.height))
    both = Image.new("RGB", (left.width + right.width, left.height))
    both.paste(left, (0, 0))
    both.paste(right, (left.width, 0))
    return both


def _upon(below: Image.Image, above: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Put a small picture somewhere upon a large one."""
    below = below.resize((SIDE, SIDE))
    above.thumbnail((int(SIDE * rng.uniform(0.3, 0.7)),) * 2)
    below.paste(above, (int(rng.integers(SIDE - above.width + 1)), int(rng.integers(SIDE - above.height + 1))))
    return below


def encode(folders: Sequence[Path], count: int, path: Path) -> None:
    """Encode augmented pictures with the built-in model until FILE.npy has `count` fp16 rows, on one thread."""
    os.cpu_count = lambda: 1  # the encoder takes as many threads
    cache = settings().cache
    encoder = load("builtin", cache)
    want, dim, size = encoder.image_input, encoder.space.dim, encoder.batch_size
    np.save(texts_path(path), TagBank(encoder, cache).vectors)
    pictures = load_pictures(folders)
    if not path.exists():
        np.lib.format.open_memmap(path, "w+", np.float16, (count, dim))
    rows = np.load(path, mmap_mode="r+")
    started, first = time.perf_counter(), ready(rows)
    for start in range(first, len(rows), size):
        rng = np.random.default_rng(start)
        batch = [augmented(pictures, rng, want) for _ in rows[start : start + size]]
        rows[start : start + size] = encoder.encode_images(np.stack(batch))
        if start // size % 100 == 0:
            rate = (start + len(batch) - first) / (time.perf_counter() - started)
            print(f"{start + len(batch):,} of {len(rows):,}, {rate:.0f} a second", flush=True)


def texts_path(path: Path) -> Path:
    """Return where the vectors of the tags lie, beside those of the pictures."""
    return path.with_name(f"{path.stem}_texts.npy")


def ready(rows: npt.NDArray[np.float16]) -> int:
    """Return how many rows were written: those behind are zeros."""
    low, high = 0, len(rows)
    while low < high:
        middle = (low + high) // 2
        low, high = (middle + 1, high) if rows[middle].any() else (low, middle)
    return low
