"""Words, photos, sounds and films find each other, alone and mixed, from the command line and from Python.

The model is `fake`, whose answers are computed by hand: what is red, green and blue to the eye is low, middle and
high to the ear, and words are given those colours here. Fire is red and crackles low, a forest is green and its birds
sing in the middle, the sea is blue and hisses high; by night, all is lit by a fire.
"""

import json
import re
import shlex
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

import glimpse
from core.settings import Settings
from core.types import Samples, Tag
from encoders import fake
from glimpse import cli
from tests.conftest import ROOT, paint
from tests.films import tone, write_film, write_sound

FIRE, FOREST, SEA = (255, 0, 0), (0, 255, 0), (0, 0, 255)
LOW, MIDDLE, HIGH = 200.0, 1000.0, 3000.0
MEANT = {
    "campfire": (1, 0, 0), "night": (1, 0, 0), "forest": (0, 1, 0), "birdsong": (0, 1, 0), "beach": (0, 0, 1),
    "waves": (0, 0, 1),
}  # fmt: skip
MIXTURES = ((1, 1, 0), (1, 0, 1), (0, 1, 1))
COLOURS = {
    "fire": FIRE, "forest": FOREST, "sea": SEA, "forest-at-night": (255, 255, 0), "sea-at-night": (255, 0, 255),
    "lagoon": (0, 255, 255),
}  # fmt: skip


class Words(dict[str, tuple[int, int, int]]):
    """The words of this world; all others of some length are a mixture of two colours, by chance."""

    def get(self, word: str, default: Any = None) -> Any:
        if word in self or len(word) < 4:
            return super().get(word, default)
        return MIXTURES[zlib.crc32(word.encode()) % 3]


def heard(colour: tuple[int, int, int]) -> Samples:
    """Return a second of sound of a colour: a tone for each part."""
    tones = [tone(1.0, hertz, level=0.3) for part, hertz in zip(colour, (LOW, MIDDLE, HIGH), strict=True) if part]
    return np.sum(tones, axis=0, dtype=np.float32)


class Case(NamedTuple):
    """What is asked on the command line and in Python, and what comes first; start: of the moment in a film, seconds.

    first: names; where there are several, nothing else comes before any of them.
    """

    command: str
    ask: Callable[[glimpse.Library], list[Any]]
    first: set[str]
    start: float | None = None

    @property
    def tag(self) -> bool:
        return self.command.startswith("glimpse tag")


CASES = {
    "words to photos": Case(
        "glimpse search 'waves at night' --kind photo",
        lambda library: library.search("waves at night", kind="photo"),
        {"sea-at-night.jpg"},
    ),
    "words to sounds": Case(
        "glimpse search birdsong --kind audio",
        lambda library: library.search("birdsong", kind="audio"),
        {"forest.ogg"},
    ),
    "words to films": Case(
        "glimpse search 'a campfire' --kind video",
        lambda library: library.search("a campfire", kind="video"),
        {"camping.mp4"},
        3.0,
    ),
    "a photo to photos": Case(
        "glimpse search beach.jpg --kind photo",
        lambda library: library.search("beach.jpg", kind="photo"),
        {"sea.jpg"},
    ),
    "a photo to sounds": Case(
        "glimpse search beach.jpg --kind audio",
        lambda library: library.search("beach.jpg", kind="audio"),
        {"sea.ogg"},
    ),
    "a photo to films": Case(
        "glimpse search beach.jpg --kind video",
        lambda library: library.search("beach.jpg", kind="video"),
        {"sailing.mp4"},
        0.0,
    ),
    "a photo to tags": Case("glimpse tag beach.jpg", lambda library: library.suggest_tags("beach.jpg"), {"beach"}),
    "a sound to photos": Case(
        "glimpse search waves.ogg --kind photo",
        lambda library: library.search("waves.ogg", kind="photo"),
        {"sea.jpg"},
    ),
    "a sound to sounds": Case(
        "glimpse similar waves.ogg --kind audio",
        lambda library: library.similar("waves.ogg", kind="audio"),
        {"sea.ogg"},
    ),
    "a sound to films": Case(
        "glimpse search birds.ogg --kind video",
        lambda library: library.search("birds.ogg", kind="video"),
        {"camping.mp4"},
        0.0,
    ),
    "a sound to tags": Case(
        "glimpse tag birds.ogg", lambda library: library.suggest_tags("birds.ogg"), {"birdsong"}
    ),
    "a film to photos": Case(
        "glimpse search diving.mp4 --kind photo",
        lambda library: library.search("diving.mp4", kind="photo"),
        {"sea.jpg"},
    ),
    "a film to sounds": Case(
        "glimpse search diving.mp4 --kind audio",
        lambda library: library.search("diving.mp4", kind="audio"),
        {"sea.ogg"},
    ),
    "a film to films": Case(
        "glimpse similar diving.mp4 --kind video",
        lambda library: library.similar("diving.mp4", kind="video"),
        {"sailing.mp4"},
        0.0,
    ),
    "a film to tags": Case("glimpse tag diving.mp4", lambda library: library.suggest_tags("diving.mp4"), {"beach"}),
    "a tag to anything": Case(
        "glimpse search birdsong",
        lambda library: library.search("birdsong"),
        {"forest.jpg", "forest.ogg", "camping.mp4"},
    ),
    "a sound and words": Case(
        "glimpse search waves.ogg --plus 'at night'",
        lambda library: library.search("waves.ogg", plus=["at night"]),
        {"sea-at-night.jpg", "sea-at-night.ogg"},
    ),
    "a photo, words and a sound": Case(
        "glimpse search beach-at-night.jpg --minus night --plus birds.ogg",
        lambda library: library.search("beach-at-night.jpg", minus=["night"], plus=["birds.ogg"]),
        {"lagoon.jpg"},
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> Path:
    """A folder to stand in, with files to ask with, and a library of other files."""
    here = tmp_path_factory.mktemp("world")
    media = here / "Media"
    media.mkdir()
    for name, colour in COLOURS.items():
        paint(media / f"{name}.jpg", colour)
        write_sound(media / f"{name}.ogg", heard(colour))
    birds, crackling = tone(3.0, MIDDLE), tone(3.0, LOW)
    write_film(media / "camping.mp4", [(FOREST, 3.0), (FIRE, 3.0)], sound=np.concatenate([birds, crackling]))
    write_film(media / "sailing.mp4", [(SEA, 3.0)], sound=tone(3.0, HIGH))
    paint(here / "beach.jpg", SEA, (48, 48))
    paint(here / "beach-at-night.jpg", (255, 0, 255), (48, 48))
    write_sound(here / "waves.ogg", tone(2.0, HIGH))
    write_sound(here / "birds.ogg", tone(2.0, MIDDLE))
    write_film(here / "diving.mp4", [(SEA, 2.0)], sound=tone(2.0, HIGH))
    with glimpse.Library(Settings(here / "library", cache, model="fake")) as library:
        assert library.index([media]).failures == []
    return here


@pytest.fixture(autouse=True)
def words(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, world: Path) -> None:
    """Give words their colours, and stand where the files are."""
    monkeypatch.setattr(fake, "COLOURS", Words(MEANT))
    monkeypatch.setenv("GLIMPSE_CACHE", str(tmp_path / "cache"))  # of tags
    monkeypatch.setenv("GLIMPSE_LIBRARY", str(world / "library"))
    monkeypatch.chdir(world)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_the_command(case: Case, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", [*shlex.split(case.command), "--json"])
    assert cli.run() == 0
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    if "tags" in found[0]:
        assert {found[0]["tags"][0]["tag"]} == case.first
    else:
        check(case, [(Path(hit["path"]), hit.get("start")) for hit in found])


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_from_python(case: Case) -> None:
    with glimpse.open() as library:
        found = case.ask(library)
    if isinstance(found[0], Tag):
        assert {found[0].name} == case.first
    else:
        check(case, [(hit.path, hit.start) for hit in found])


def check(case: Case, found: list[tuple[Path, float | None]]) -> None:
    assert {path.name for path, _ in found[: len(case.first)]} == case.first
    assert case.start is None or found[0][1] == case.start


def test_the_readme_shows_each_pair() -> None:
    section = (ROOT / "README.md").read_text(encoding="utf-8").split("\n## Any modality finds any other\n")[1]
    table = re.findall(r"^\| (.+?) \| `(.+?)` \|$", section.split("\n## ")[0], re.MULTILINE)
    assert dict(table) == {name: case.command for name, case in CASES.items()}
