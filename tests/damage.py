"""Libraries that are damaged, in ways that a seed decides, and what is in them afterwards."""

import random
import shutil
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

import glimpse
from core.settings import Settings
from core.types import Fit, ImageInput, Pixels, Space, Vectors
from encoders.fake import FakeEncoder
from store import words
from tests.conftest import paint

PHOTOS = 60
DIM = 512
PAGE = 16384
STATE = """
    SELECT r.path, f.path, f.gone, f.failure, hex(c.digest), c.width, s.kind, m.taken IS NULL,
        v.from_preview, v.vector
    FROM files f JOIN roots r ON r.id = f.root_id LEFT JOIN contents c ON c.id = f.content_id
    LEFT JOIN segments s ON s.content_id = c.id LEFT JOIN vectors v ON v.segment_id = s.id
    LEFT JOIN metadata m ON m.file_id = f.id ORDER BY r.path, f.path, s.kind
"""


Row = tuple[Any, ...]


class WideEncoder(FakeEncoder):
    """The fake encoder, turned into 512 dimensions, so that the vectors of 60 photos fill several pages."""

    def __init__(self) -> None:
        super().__init__()
        self.space = Space(name="fake", revision="wide", dim=DIM, shared_dim=DIM)
        self.image_input = ImageInput(size=8, fit=Fit.SQUASH)
        self._turn = np.linalg.qr(np.random.default_rng(3).normal(size=(DIM, 3)))[0].T

    def encode_images(self, pixels: Pixels) -> Vectors:
        return self._wide(super().encode_images(pixels))

    def encode_texts(self, texts: list[str]) -> Vectors:  # type: ignore[override]
        return self._wide(super().encode_texts(texts))

    def _wide(self, rows: Vectors) -> Vectors:
        """Turn rows, each by itself: the same, to the last bit, whatever is in its batch."""
        return np.stack([(row.astype(np.float64)[:, None] * self._turn).sum(0) for row in rows]).astype(np.float32)


def open_library(folder: Path, cache: Path) -> glimpse.Library:
    library = glimpse.Library(Settings(folder, cache, "fake"))
    library._encoder, library._loaded = WideEncoder(), "fake"
    return library


def fill(place: Path, cache: Path) -> Path:
    """Make photos/ with 60 pictures, two of them animations, and library/ of them, in a folder."""
    photos = place / "photos"
    photos.mkdir()
    for number in range(PHOTOS - 2):
        paint(photos / f"{number:02}.png", (255, 4 * number, 0), (8, 8))
    for number in range(2):
        frames = [Image.new("RGB", (8, 8), (0, 90 * number + 40 * i, 255)) for i in range(4)]
        frames[0].save(photos / f"{number}.gif", save_all=True, append_images=frames[1:])
    with open_library(place / "library", cache) as library:
        assert library.index([photos]).added == PHOTOS
    return place


def state(library: Path) -> list[Row]:
    with closing(sqlite3.connect(library / "library.db")) as db:
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert db.execute("PRAGMA foreign_key_check").fetchall() == []
        assert words.is_right(db)
        return db.execute(STATE).fetchall()


def cosine(one: bytes, other: bytes) -> float:
    return float(np.dot(*(np.frombuffer(vector, "<f2").astype(np.float64) for vector in (one, other))))


def same(one: Sequence[Row], other: Sequence[Row]) -> bool:
    """Compare two states, to the bit; but a vector that was made from a preview deviates."""
    if [row[:-2] for row in one] != [row[:-2] for row in other]:
        return False
    for (*_, preview, mine), (*_, its) in zip(one, other, strict=True):
        if mine != its and (not preview or None in (mine, its) or cosine(mine, its) < 0.99):
            return False
    return True


def alike(one: Sequence[Row], other: Sequence[Row]) -> bool:
    """Compare two states as a search sees them: the same photos, and vectors where they were."""
    mine, its = ({(row[1], row[6]): row[-1] for row in rows if not row[2]} for rows in (one, other))
    return mine.keys() == its.keys() and all(
        mine[key] and its[key] and cosine(mine[key], its[key]) > 0.9 for key in mine
    )


def _at(data: bytearray, number: int) -> slice:
    return slice(PAGE * number, PAGE * (number + 1))


def flip_bits(data: bytearray, rng: random.Random) -> None:
    for _ in range(rng.choice([1, 1, 2, 8, 64])):
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)


def flip_header(data: bytearray, rng: random.Random) -> None:
    """In what SQLite keeps about the file, or a page, and not in what rows say."""
    page = rng.randrange(len(data) // PAGE)
    start = PAGE * page + (100 if page == 0 and rng.random() < 0.5 else 0)
    data[start + rng.randrange(100)] ^= 1 << rng.randrange(8)


def zero_page(data: bytearray, rng: random.Random) -> None:
    data[_at(data, rng.randrange(len(data) // PAGE))] = bytes(PAGE)


def random_page(data: bytearray, rng: random.Random) -> None:
    data[_at(data, rng.randrange(len(data) // PAGE))] = rng.randbytes(PAGE)


def swap_pages(data: bytearray, rng: random.Random) -> None:
    one, two = (_at(data, n) for n in rng.sample(range(len(data) // PAGE), 2))
    data[one], data[two] = data[two], data[one]


def truncate(data: bytearray, rng: random.Random) -> None:
    del data[rng.randrange(len(data)) :]


def zero_some(data: bytearray, rng: random.Random) -> None:
    """A run of sectors, as a disk loses them."""
    start = 512 * rng.randrange(len(data) // 512)
    length = 512 * rng.randrange(1, 40)
    data[start : start + length] = bytes(len(data[start : start + length]))


DAMAGES: tuple[Callable[[bytearray, random.Random], None], ...] = (
    flip_bits, flip_header, zero_page, random_page, swap_pages, truncate, zero_some,
)  # fmt: skip


def damaged_copy(place: Path, to: Path, damage: Callable[[bytearray, random.Random], None], seed: int) -> Path:
    """Copy a library and damage the copy's database."""
    folder = to / "library"
    shutil.copytree(place / "library", folder)
    data = bytearray((folder / "library.db").read_bytes())
    damage(data, random.Random(seed))
    (folder / "library.db").write_bytes(data)
    return folder
