"""Teach a library to hear, from its recordings to what a search finds: a model that sees, and cannot hear."""

import json
import shutil
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import encoders.registry
import glimpse
import glimpse.cli
from core.errors import GlimpseError, LibraryError, QueryError
from core.settings import Settings
from core.types import Progress, ProgressCallback
from encoders.fake import FakeEncoder
from glimpse.progress import ProgressBar
from glimpse.render import learned_text
from tests.conftest import paint
from tests.films import silence, tone, write_film, write_sound
from tests.recordings import PITCHES, RED, Deaf, ask, counts, names, pairs


def load_deaf(model: str, cache: Path, progress: ProgressCallback | None = None) -> Deaf:
    return Deaf()


@pytest.fixture(autouse=True)
def deaf(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Have the fake model see alone, and keep what is half learned in the test's own cache."""
    monkeypatch.setattr(encoders.registry, "load", load_deaf)
    monkeypatch.setenv("GLIMPSE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("GLIMPSE_LIBRARY", str(tmp_path / "library"))


@pytest.fixture(scope="module")
def twelve(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pairs(tmp_path_factory.mktemp("pairs") / "in", 12)


@pytest.fixture(scope="module")
def undisturbed(
    twelve: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[dict[str, object], list[tuple[object, ...]]]:
    """What is reported and kept of learning from the twelve."""
    place = tmp_path_factory.mktemp("undisturbed")
    with (
        pytest.MonkeyPatch.context() as patch,
        glimpse.Library(Settings(place / "library", place / "cache", "fake")) as library,
    ):
        patch.setattr(encoders.registry, "load", load_deaf)
        report = library.learn_sound([twelve])
        assert report is not None
        return report, ask(library, "SELECT revision FROM towers")


@pytest.fixture
def library(tmp_path: Path) -> Iterator[glimpse.Library]:
    with glimpse.Library(Settings(tmp_path / "library", tmp_path / "cache", "fake")) as library:
        yield library


@pytest.fixture
def taught(library: glimpse.Library, twelve: Path) -> glimpse.Library:
    """A library that has learned from twelve pairs."""
    assert library.learn_sound([twelve]) is not None
    return library


def hears(library: glimpse.Library, folder: Path) -> None:
    """See that tones which nobody has heard find their colours, and colours them."""
    for name, (_, hertz) in PITCHES.items():
        unknown = write_sound(folder / "unknown.wav", tone(1.5, hertz * 1.1))
        assert all(hit.startswith(name) for hit in names(library.similar(unknown, k=3, kind="photo")))
        assert all(hit.startswith(name) for hit in names(library.search(name, k=3, kind="audio")))
        assert library.suggest_tags(unknown, k=5)[0].name.find(name) >= 0 or name == "green"


@pytest.mark.parametrize("films", [False, True], ids=["pairs", "films"])
def test_a_library_learns_and_then_hears(library: glimpse.Library, tmp_path: Path, films: bool) -> None:
    folder = pairs(tmp_path / "in", 12, films=films)
    if films:
        for name, (colour, hertz) in PITCHES.items():
            for number in range(3):
                paint(folder / f"{name}{number}.png", colour, (32 + number, 24))
                write_sound(folder / f"{name}{number} alone.ogg", tone(1, hertz))
    told: list[Progress] = []
    report = library.learn_sound([folder], progress=told.append)
    assert report is not None
    assert (report["kind"], report["recordings"], report["held_out"]) == ("ridge", 12, 12)
    assert report["found"]["ridge"]["sound_to_picture"]["R@5"] > 2 * report["found"]["chance"]["R@5"]
    assert {"listening", "learning from everything", "indexing"} <= {progress.stage for progress in told}
    assert not any((tmp_path / "cache" / "learning").glob("*"))
    hears(library, tmp_path)
    assert all(space.missing == 0 for space in library.status().spaces)
    assert counts(library.index()).keys() == {"unchanged"}


def test_new_sound_is_heard_with_what_was_learned(taught: glimpse.Library, tmp_path: Path) -> None:
    new = write_sound(tmp_path / "new.flac", tone(2, 4400))
    assert counts(taught.index([new])) == {"added": 1, "encoded": 1}
    blue = names(taught.search("blue", k=5, kind="audio"))
    assert "new.flac" in blue and all(name.startswith(("new", "blue")) for name in blue)


def test_a_second_learning_takes_the_place_of_the_first(taught: glimpse.Library, tmp_path: Path) -> None:
    first = ask(taught, "SELECT revision FROM towers")
    vectors = ask(taught, "SELECT count(*) FROM vectors")
    assert taught.learn_sound() is not None
    assert ask(taught, "SELECT revision FROM towers") == first  # the same pairs teach the same
    assert taught.learn_sound([pairs(tmp_path / "more", 6, seed=5)]) is not None
    ((revision,),) = ask(taught, "SELECT revision FROM towers")
    assert (revision,) not in first
    assert ask(taught, "SELECT revision FROM spaces WHERE modality = 'sound'") == [(revision,)]
    assert ask(taught, "SELECT count(*) FROM vectors") == [(int(str(vectors[0][0])) + 12,)]
    hears(taught, tmp_path)


def test_a_search_that_stays_open_hears_with_what_somebody_else_learned(
    library: glimpse.Library, twelve: Path, tmp_path: Path
) -> None:
    library.index([twelve])
    with glimpse.Library(library.settings) as searcher:
        with pytest.raises(QueryError, match="nothing hears for"):
            searcher.similar(twelve / "red0.ogg")
        library.learn_sound()
        hears(searcher, tmp_path)
        library.learn_sound([pairs(tmp_path / "more", 6, seed=5)])
        hears(searcher, tmp_path)


# --- too little, and too early


def test_too_few_pairs_are_refused_and_change_nothing(library: glimpse.Library, tmp_path: Path) -> None:
    folder = pairs(tmp_path / "in", 5)
    write_sound(folder / "alone.ogg", tone(1, 300))
    write_film(folder / "silent.mp4", [(RED, 1.0)], sound=silence(1))
    with pytest.raises(GlimpseError, match=r"^cannot learn from 5 recordings with sound and picture, 8 are needed; "):
        library.learn_sound([folder])
    assert ask(library, "SELECT count(*) FROM towers") == [(0,)]
    assert library.status().files == 12


def test_nothing_to_learn_from_is_told(library: glimpse.Library, tmp_path: Path) -> None:
    with pytest.raises(LibraryError, match="there is no library in"):
        library.learn_sound()
    paint(tmp_path / "red.png", RED)
    library.index([tmp_path / "red.png"])
    with pytest.raises(GlimpseError, match=r"^cannot learn from 0 recordings"):
        library.learn_sound()
    with pytest.raises(LibraryError, match=r"^nothing was learned for 'fake' yet; run: glimpse learn-sound$"):
        library.look_inside()


def test_a_model_that_hears_by_itself_has_nothing_to_learn(tmp_path: Path, cache: Path) -> None:
    with glimpse.Library(Settings(tmp_path / "library", cache, "fake")) as library:
        library._encoder, library._loaded = FakeEncoder(), "fake"
        paint(tmp_path / "red.png", RED)
        library.index([tmp_path / "red.png"])
        with pytest.raises(LibraryError, match=r"^'fake' hears by itself; there is nothing to learn for it$"):
            library.learn_sound()


# --- interrupted


@pytest.mark.parametrize("stage", ["reading folders", "listening", "learning from everything"])
def test_stopped_anywhere_it_goes_on_and_ends_as_an_undisturbed_one(
    library: glimpse.Library,
    twelve: Path,
    undisturbed: tuple[dict[str, object], list[tuple[object, ...]]],
    tmp_path: Path,
    stage: str,
) -> None:
    seen: list[str] = []

    def stop() -> bool:
        return stage in seen

    def progress(told: Progress) -> None:
        seen.append(told.stage)

    assert library.learn_sound([twelve], progress, stop) is None
    assert library.learn_sound([twelve]) == undisturbed[0]
    assert ask(library, "SELECT revision FROM towers") == undisturbed[1]
    assert not any((tmp_path / "cache" / "learning").glob("*"))
    hears(library, tmp_path)


# --- the command


def said(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *arguments: str
) -> tuple[int, str, str]:
    """Run the command line in this process; returns exit code, stdout and stderr."""
    monkeypatch.setattr(sys, "argv", ["glimpse", *arguments, "--model", "fake"])
    code = glimpse.cli.run()
    out = capsys.readouterr()
    return code, out.out, out.err


def test_the_command_reports_and_explains(
    twelve: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    code, out, err = said(capsys, monkeypatch, "learn-sound", "--explain", "all")
    assert (code, out) == (2, "")
    assert "there is no library in" in err
    code, out, err = said(capsys, monkeypatch, "learn-sound", str(twelve))
    assert code == 0
    lines = out.splitlines()
    assert lines[0].startswith("learned from 12 recordings (12 windows); kept: ridge, as judged by 12 of them")
    assert [line.split()[0] for line in lines[3:]] == ["ridge", "chance"]
    code, out, _ = said(capsys, monkeypatch, "learn-sound", "--json")
    report = json.loads(out)
    assert code == 0
    assert learned_text(report).splitlines() == lines
    sheet = tmp_path / "unit.html"
    code, _, err = said(capsys, monkeypatch, "learn-sound", "--explain", "0", "--sheet", str(sheet))
    assert (code, f"page of what was learned: {sheet}" in err) == (0, True)
    page = sheet.read_text(encoding="utf-8")
    assert page.count("<details") == 1 and "unit 0" in page and "data:image/webp" in page and "<audio" in page
    code, _, _ = said(capsys, monkeypatch, "learn-sound", "--explain", "all", "--sheet", str(sheet))
    assert code == 0 and sheet.read_text(encoding="utf-8").count("<details") > 1
    code, _, err = said(capsys, monkeypatch, "learn-sound", "--explain", "999")
    assert (code, "there is no unit 999; they are numbered 0 to" in err) == (2, True)
    code, _, err = said(capsys, monkeypatch, "learn-sound", "--explain", "-1")
    assert (code, "--explain takes the number of a unit, or all; not '-1'" in err) == (2, True)
    code, _, err = said(capsys, monkeypatch, "learn-sound", "--open")
    assert (code, "--sheet and --open go with --explain" in err) == (2, True)


def test_ctrl_c_stops_the_command_and_the_next_goes_on(
    twelve: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(self: ProgressBar, progress: Progress) -> None:
        if progress.stage == "listening" and progress.done == 3:
            signal.raise_signal(signal.SIGINT)

    with monkeypatch.context() as patch:
        patch.setattr(ProgressBar, "__call__", interrupt)
        code, out, err = said(capsys, monkeypatch, "learn-sound", str(twelve))
    assert (code, out) == (130, "")
    assert err.endswith("stopped; to go on, run the same command again.\n")
    assert said(capsys, monkeypatch, "learn-sound", str(twelve))[0] == 0


def test_what_is_gone_is_not_explained(taught: glimpse.Library, twelve: Path, tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(twelve, folder)
    with glimpse.Library(Settings(tmp_path / "other", tmp_path / "cache", "fake")) as library:
        library.learn_sound([folder])
        (folder / "red0.ogg").unlink()
        (folder / "green1.ogg").write_bytes(b"no longer a sound")
        units = library.look_inside().units()
        shown = {moment.path.name for unit in units for moment in unit.moments}
        assert shown and not shown & {"red0.ogg", "green1.ogg"}
