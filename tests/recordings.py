"""Sounds and films that the fake model hears and sees as colours, and what is told of them."""

import contextlib
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path

import av
import numpy as np
from PIL import Image

import glimpse
from core.types import ImageInput, IndexReport, Kind, Pixels, Samples, Space, Vectors
from encoders.fake import FakeEncoder
from tests.films import silence, tone, write_film, write_sound

RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)
LOW, MIDDLE, HIGH = 300.0, 1000.0, 3000.0
"""Tones that the fake model hears as red, green and blue."""


def _joined(*parts: Samples) -> Samples:
    return np.concatenate(parts)


def blinded(path: Path) -> Path:
    """Have no picture of an MP4 decode: its packets are zeros."""
    data = bytearray(path.read_bytes())
    with av.open(str(path)) as film:
        for packet in film.demux(video=0):
            if packet.pos is not None:
                data[packet.pos : packet.pos + packet.size] = bytes(packet.size)
    path.write_bytes(data)
    return path


CALL = {"title": "Night call", "artist": "Ann Otter"}
MAKE: dict[str, Callable[[Path], Path]] = {
    "low.flac": lambda path: write_sound(path, tone(3, LOW)),
    "middle.mp3": lambda path: write_sound(path, tone(3, MIDDLE)),
    "high.ogg": lambda path: write_sound(
        path, tone(3, HIGH), metadata={"title": "Night call", "artist": "Ann Otter"}
    ),
    "long.flac": lambda path: write_sound(path, _joined(tone(10, LOW), tone(12, HIGH))),
    "silent.wav": lambda path: write_sound(path, silence(3)),
    "film.mp4": lambda path: write_film(
        path, [(RED, 3.0), (BLUE, 3.0)], sound=tone(6, MIDDLE), metadata={"title": "The pond"}
    ),
    "mute.mp4": lambda path: write_film(path, [(GREEN, 2.0), (RED, 2.0)]),
    "hushed.mp4": lambda path: write_film(path, [(BLUE, 2.0)], sound=silence(2)),
    "voice.mp4": lambda path: write_sound(path.with_suffix(".m4a"), tone(3, HIGH)).rename(path),
    "blind.mp4": lambda path: blinded(write_film(path, [(RED, 3.0)], sound=tone(3, LOW))),
}
"""Sounds and films by their names, each made once."""


class Deaf:
    """The fake model without its ear: one that has to be taught."""

    batch_size = 8

    def __init__(self) -> None:
        self._fake = FakeEncoder()
        self.space: Space = self._fake.space
        self.image_input: ImageInput = self._fake.image_input

    def encode_images(self, pixels: Pixels) -> Vectors:
        return self._fake.encode_images(pixels)

    def encode_texts(self, texts: Sequence[str]) -> Vectors:
        return self._fake.encode_texts(texts)

    def prepare_texts(self) -> None:
        """Do nothing."""


PITCHES = {"red": (RED, 250.0), "green": (GREEN, 1000.0), "blue": (BLUE, 4000.0)}
"""Colours, and the tones that go with them in `pairs`."""


def pairs(folder: Path, count: int, seed: int = 0, films: bool = False) -> Path:
    """Make so many pictures of three colours, each with a tone beside it, or as the picture of a film."""
    dice = np.random.default_rng(seed)
    folder.mkdir(exist_ok=True)
    for number in range(count):
        name, (colour, hertz) = list(PITCHES.items())[number % 3]
        red, green, blue = (int(min(255, value * 0.8 + dice.integers(0, 50))) for value in colour)
        seen = red, green, blue
        sound = tone(1 + dice.uniform(0, 1), hertz * 2 ** dice.uniform(-0.3, 0.3), level=dice.uniform(0.05, 0.8))
        if films:
            write_film(folder / f"{name}{number}.mp4", [(seen, 1.0)], sound=sound)
        else:
            Image.new("RGB", (32, 24), seen).save(folder / f"{name}{number}.png")
            write_sound(folder / f"{name}{number}.ogg", sound)
    return folder


def counts(report: IndexReport) -> dict[str, int]:
    """Return what a run counted, without the zeros."""
    names = ("added", "changed", "moved", "gone", "unchanged", "failed", "encoded", "damaged")
    return {name: getattr(report, name) for name in names if getattr(report, name)}


def reasons(report: IndexReport) -> dict[str, str]:
    return {failure.path.name: failure.reason for failure in report.failures}


def told(hits: list[glimpse.Hit]) -> list[tuple[str, Kind, float | None, float | None]]:
    """Return what was found and when, without scores."""
    ends = [None if hit.end is None else round(hit.end, 1) for hit in hits]
    return [(hit.path.name, hit.kind, hit.start, end) for hit, end in zip(hits, ends, strict=True)]


def names(hits: list[glimpse.Hit]) -> list[str]:
    return [hit.path.name for hit in hits]


def ask(library: glimpse.Library, sql: str) -> list[tuple[object, ...]]:
    with contextlib.closing(sqlite3.connect(library.settings.library / "library.db")) as db:
        return db.execute(sql).fetchall()


def segments(library: glimpse.Library, path: Path) -> list[tuple[object, ...]]:
    """Return space, kind, start and end of every vector of a recording, by time."""
    return ask(
        library,
        "SELECT p.name, s.kind, round(s.start, 1), round(s.end, 1) FROM vectors v "
        "JOIN segments s ON s.id = v.segment_id JOIN spaces p ON p.id = v.space_id "
        f"WHERE s.content_id = {library.info(path).id} ORDER BY s.start, s.kind",
    )
