"""Random lives of libraries with recordings: whatever happened, it ends as a new library of the same files would."""

import contextlib
import random
import shutil
import sqlite3
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

import encoders.ears
import glimpse
from core.settings import Settings
from core.types import Samples, Space
from encoders.fake import FakeSounds
from media import isolated
from tests.conftest import paint
from tests.plain_user import InThread
from tests.recordings import GREEN, RED
from tests.scenes import XMP

NAMES = (
    "a.ogg", "b.flac", "c.mp4", "d.mkv", "e.jpg", "f", "g.wav", "h.webm", "deep/i.mp3", "deep/j.mp4", "deep/k.png",
)  # fmt: skip
STATE = (
    "SELECT f.path, hex(c.digest), c.kind, c.width, c.damaged, f.failure, f.failure IS NULL AND f.beside IS NULL, "
    "m.title, m.rating, m.duration FROM files f LEFT JOIN contents c ON c.id = f.content_id "
    "LEFT JOIN metadata m ON m.file_id = f.id AND f.failure IS NULL "
    "WHERE NOT f.gone AND (f.content_id IS NOT NULL OR f.failure IS NOT NULL) ORDER BY f.path"
)
VECTORS = (
    "SELECT hex(c.digest), p.name, p.revision, s.kind, s.start, s.end, v.from_preview, hex(v.vector) FROM vectors v "
    "JOIN spaces p ON p.id = v.space_id JOIN segments s ON s.id = v.segment_id "
    "JOIN contents c ON c.id = s.content_id ORDER BY 1, 2, 3, 4, 5"
)


class Version(FakeSounds):
    """A version of the fake ear, each of which hears tones as another colour."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.space = Space("sound:fake", str(number), 3, 3)
        self._number = number

    def _bands(self, samples: Samples) -> list[float]:
        bands = super()._bands(samples)
        return bands[self._number :] + bands[: self._number]


@pytest.fixture(scope="module")
def contents(made: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What files may hold."""
    folder = tmp_path_factory.mktemp("contents")
    paint(folder / "red.png", RED)
    paint(folder / "green.jpg", GREEN)
    there = [*made.iterdir(), *folder.iterdir()]
    held = {path.name: path.read_bytes() for path in there if path.name != "long.flac"}
    return {**held, "torn film": held["film.mp4"][:-9000], "torn sound": held["low.flac"][:400], "junk": b"OggS" * 9}


class Life:
    """A folder, a library of it, and what may happen to both."""

    def __init__(self, place: Path, contents: dict[str, bytes], chance: random.Random) -> None:
        self.place, self.contents, self.chance = place, contents, chance
        self.folder = place / "in"
        (self.folder / "deep").mkdir(parents=True)
        self.library = glimpse.Library(Settings(place / "library", place / "cache", "fake", workers=1, batch_size=2))
        self.ear: Version | None = Version(0)

    def step(self) -> None:
        there = [self.folder / name for name in NAMES if (self.folder / name).exists()]
        free = [self.folder / name for name in NAMES if not (self.folder / name).exists()]
        happens = self.chance.choice(
            ["write"] * 6 + ["rename", "rename", "copy", "delete", "swap", "sidecar", "ear", "prune", "previews"]
        )
        if happens == "write":
            self.chance.choice(there + free).write_bytes(self.chance.choice(list(self.contents.values())))
        elif happens == "ear":
            self.ear = self.chance.choice([None, Version(0), Version(1), Version(2)])
            self.library.close()  # who hears is asked once
        elif happens == "previews":
            shutil.rmtree(self.place / "library" / "previews", ignore_errors=True)
        elif happens == "prune" and self.library.exists():
            self.library.prune()
        elif there and happens == "delete":
            self.chance.choice(there).unlink()
        elif there and free and happens in ("rename", "copy"):
            one, other = self.chance.choice(there), self.chance.choice(free)
            one.rename(other) if happens == "rename" else shutil.copy(one, other)
        elif len(there) > 1 and happens == "swap":
            one, other = self.chance.sample(there, 2)
            one.rename(self.folder / "aside")
            other.rename(one)
            (self.folder / "aside").rename(other)
        elif there and happens == "sidecar":
            beside = Path(f"{self.chance.choice(there)}.xmp")
            beside.write_text(XMP.format(stars=self.chance.randint(1, 5), word="summer"), encoding="utf-8")
        if self.chance.random() < 0.5:
            self.index(stop=self.chance.choice([None, None, self.chance.randint(1, 12)]))

    def index(self, stop: int | None = None) -> None:
        """Bring the library up to date, or be stopped when that was asked so often."""
        asked = count(1)
        with hearing(self.ear):
            self.library.index([self.folder], stop=lambda: stop is not None and next(asked) > stop)
            self.library.search("red")

    def end(self) -> None:
        """Compare the library with a new one of the same files."""
        self.ear = self.chance.choice([Version(0), Version(1), None])
        self.library.close()
        self.index()
        self.library.prune()
        with hearing(self.ear):
            self.library.index()
            assert self.library.index().encoded == 0
            assert self.library.doctor().healthy
            with glimpse.Library(Settings(self.place / "new", self.place / "cache", "fake")) as new:
                new.index([self.folder])
                for mine, its in zip(self.known(self.library), self.known(new), strict=True):
                    assert [row for row in mine if row not in its] == [row for row in its if row not in mine] == []
                for words in ("red", "blue"):
                    assert self.found(self.library, words) == self.found(new, words)
        self.library.close()

    def known(self, library: glimpse.Library) -> tuple[list[object], list[object]]:
        with contextlib.closing(sqlite3.connect(library.settings.library / "library.db")) as db:
            vectors = db.execute(VECTORS).fetchall()
            if self.ear is None:  # what was heard before is kept
                vectors = [row for row in vectors if row[1] == "fake"]
            return db.execute(STATE).fetchall(), vectors

    def found(self, library: glimpse.Library, words: str) -> list[tuple[object, ...]]:
        hits = library.search(words, k=1000, cut=False)
        return sorted((hit.path, hit.also, hit.start or 0, hit.by_name, round(hit.score, 3)) for hit in hits)


@contextlib.contextmanager
def hearing(ear: Version | None) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(encoders.ears, "sound_encoder", lambda *_, **__: ear)
        patch.setattr(isolated, "DecodeProcess", InThread)
        yield


def live(place: Path, contents: dict[str, bytes], seed: int, steps: int) -> None:
    life = Life(place, contents, random.Random(seed))
    for _ in range(steps):
        life.step()
    life.end()


@pytest.mark.parametrize("seed", range(6))
def test_any_life_ends_with_what_is_there(tmp_path: Path, contents: dict[str, bytes], seed: int) -> None:
    live(tmp_path, contents, seed, 30)


@pytest.mark.long
def test_very_many_lives(tmp_path: Path, contents: dict[str, bytes]) -> None:
    first = random.SystemRandom().randrange(10**9)
    for seed in range(first, first + 60):
        print(f"seed {seed}")
        live(tmp_path / str(seed), contents, seed, 60)
