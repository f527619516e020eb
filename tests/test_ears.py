"""What hearing costs those who search: nothing where there are only photos, and nothing heavy elsewhere."""

import contextlib
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

import glimpse
from core.settings import Settings
from search.engine import NO_EAR
from store.reader import Reader
from tests.conftest import DEMO
from tests.films import noise, tone, write_sound

HEAVY = ("torch", "transformers", "open_clip", "timm", "av", "PIL", "soundfile", "soxr", "scipy", "sqlalchemy")


def imported(library: Path, *arguments: str) -> str:
    """Return what a search from the command line prints, and last which heavy libraries it has imported."""
    code = (
        f"import sys, glimpse.cli; sys.argv = ['glimpse', 'search', *sys.argv[1:], '--library', {str(library)!r}];"
        f"code = glimpse.cli.run(); print(code, [name for name in {HEAVY} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, check=True, text=True)
    return done.stdout


@pytest.fixture(scope="module")
def taught(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> Path:
    """A library of the built-in model that has learned to hear two things."""
    place = tmp_path_factory.mktemp("taught")
    media = place / "media"
    media.mkdir()
    for number in range(10):
        kind = number % 2
        with Image.open(DEMO / ("cat.png", "rocket.jpg")[kind]) as picture:
            picture.convert("RGB").resize((200 + number, 200)).save(media / f"{number}.png")
        sound = noise(1.0, seed=number) if kind else tone(1.0, 300.0 + 20 * number)
        write_sound(media / f"{number}.wav", sound)
    with glimpse.Library(Settings(place / "library", cache, model="builtin")) as library:
        report = library.learn_sound([media])
    assert report and report["kind"] == "ridge"
    return place / "library"


@pytest.mark.parametrize("options", [[], ["--kind", "audio"], ["--plus", "night"]], ids=str)
def test_words_need_nothing_heavy_where_something_was_learned(taught: Path, options: list[str]) -> None:
    *hits, last = imported(taught, "a rocket", *options).splitlines()
    assert [hit for hit in hits if ".wav" in hit]
    assert last == "0 []"


def test_what_was_learned_answers(taught: Path, cache: Path) -> None:
    with glimpse.Library(Settings(taught, cache)) as library:
        hits = library.search("a rocket", k=5, kind="audio")
        assert {int(hit.path.stem) % 2 for hit in hits} == {1}
        hits = library.search(str(DEMO / "rocket.jpg"), k=5, kind="audio")
        assert {int(hit.path.stem) % 2 for hit in hits} == {1}
        media = taught.parent / "media"
        hits = library.search(str(media / "1.wav"), k=5, kind="photo")
        assert {int(hit.path.stem) % 2 for hit in hits} == {1}
        names = [{tag.name for tag in library.suggest_tags(media / name)} for name in ("1.wav", "1.png", "0.png")]
        assert names[0] & names[1] and not names[0] & names[2]


# --- photos alone


@pytest.fixture
def no_ears(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Nothing may look for what hears."""

    def refuse(*_: object) -> None:
        raise AssertionError("somebody looked for ears")

    monkeypatch.setattr("encoders.ears.sound_encoder", refuse)
    monkeypatch.setattr("search.hearing.open_ear", refuse)
    yield


def test_a_library_of_photos_looks_for_no_ears(library: glimpse.Library, photos: Path, no_ears: None) -> None:
    library.index([photos])
    assert library.search("red", plus=["blue"])
    assert library.similar(photos / "red.png")
    assert library.search("red", kind="photo")
    assert library.index().unchanged == 4


def test_without_ears_a_question_by_sound_is_one_line(
    library: glimpse.Library, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("encoders.ears.sound_encoder", lambda *_, **__: None)
    sound = write_sound(tmp_path / "a.wav", tone(1.0))
    library.index([photos, sound])
    for ask in (library.search, library.similar, library.suggest_tags):
        with pytest.raises(glimpse.GlimpseError) as raised:
            ask(str(sound))
        assert str(raised.value) == NO_EAR.format("fake")
    assert library.search("red")[0].path.name == "red.png"
    assert [hit.by_name for hit in library.search("a", kind="audio")] == [True]


def test_what_is_asked_of_the_database_is_found_by_an_index(
    library: glimpse.Library, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half a million photos must not be walked over to learn that none of them is a recording."""
    library.index([photos])
    asked: dict[str, tuple[object, ...]] = {}
    rows = Reader.rows

    def watching(self: Reader, sql: str, *values: object) -> object:
        asked[sql] = values
        return rows(self, sql, *values)

    monkeypatch.setattr(Reader, "rows", watching)
    for kind in (None, "photo", "audio", "video"):
        library.search("red", kind=kind)
    with contextlib.closing(sqlite3.connect(library.settings.library / "library.db")) as db:
        for sql, values in asked.items():
            if "contents" not in sql:
                continue
            plan = [step[-1] for step in db.execute(f"EXPLAIN QUERY PLAN {sql}", values)]
            walks = [step for step in plan if step.startswith("SCAN") and "ix_contents_recordings" not in step]
            walks = [step for step in walks if "VIRTUAL TABLE INDEX" not in step]  # FTS5 walks over matches alone
            assert not walks, (sql, plan)
    assert [sql for sql in asked if "kind != 'photo'" in sql]
