"""Several models in one library, and the stored previews that fill a second one."""

import contextlib
import os
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import encoders.registry
import glimpse
from core.errors import GlimpseError
from core.settings import Settings
from core.types import Walk
from encoders.fake import FakeEncoder
from glimpse.api import Library
from tests.conftest import paint, run
from tests.test_file_life import Mirrored, counts, found


@pytest.fixture(autouse=True)
def two_models(monkeypatch: pytest.MonkeyPatch) -> None:
    models = {"fake": FakeEncoder, "mirrored": Mirrored}
    monkeypatch.setattr(encoders.registry, "load", lambda name, *_: models[name]())


@pytest.fixture
def indexed(library: Library, photos: Path, reads: list[bytes]) -> Library:
    library.index([photos])
    reads.clear()
    return library


@pytest.fixture
def second(indexed: Library) -> Iterator[Library]:
    with glimpse.Library(Settings(indexed.settings.library, indexed.settings.cache, "mirrored")) as opened:
        yield opened


def spaces(library: Library) -> dict[str, tuple[bool, int, int, int]]:
    """Return (current, vectors, missing, from previews) by model."""
    return {s.model: (s.current, s.vectors, s.missing, s.from_previews) for s in library.status().spaces}


def test_a_second_model_is_filled_from_previews(second: Library, reads: list[bytes]) -> None:
    assert counts(second.index()) == {"added": 4, "encoded": 4}
    assert reads == []
    assert spaces(second) == {"fake": (True, 4, 0, 0), "mirrored": (False, 4, 0, 4)}
    assert second.search("red", plus=["red"])[0].path.name == "blue.png"


def test_without_previews_it_is_filled_from_the_files(second: Library, reads: list[bytes]) -> None:
    shutil.rmtree(second.settings.library / "previews")
    assert counts(second.index()) == {"added": 4, "encoded": 4}
    assert (len(reads), spaces(second)["mirrored"]) == (4, (False, 4, 0, 0))
    assert second.status().previews == 4  # made again while the photos were decoded anyway


def test_a_damaged_preview_costs_only_a_second_decode(second: Library, reads: list[bytes]) -> None:
    (damaged, *_) = (second.settings.library / "previews").glob("*/*.webp")
    damaged.write_bytes(b"rubbish")
    assert counts(second.index()) == {"added": 4, "encoded": 4}
    assert (len(reads), spaces(second)["mirrored"][3]) == (1, 3)


def test_photos_on_a_drive_that_is_not_there_are_filled_from_previews(
    second: Library, photos: Path, reads: list[bytes]
) -> None:
    photos.rename(photos.with_name("unplugged"))
    report = second.index()
    assert (report.encoded, report.gone, reads) == (4, 0, [])
    assert spaces(second)["mirrored"] == (False, 4, 0, 4)
    second.use_model("mirrored")
    assert found(second, "red") == sorted(photos / f"{name}.png" for name in ("red", "green", "blue", "white"))


@pytest.mark.parametrize("batch_size", [1, 32])
def test_a_folder_that_went_into_another_one_is_found_there_by_a_new_model(
    indexed: Library, photos: Path, cache: Path, tmp_path: Path, batch_size: int
) -> None:
    """Its photos have turned up somewhere else before they can be taken for ones on a drive that is not there."""
    goal = tmp_path / "elsewhere"
    goal.mkdir()
    paint(goal / "yellow.png", (255, 255, 0))
    indexed.index([goal])
    photos.rename(goal / "photos")
    with glimpse.Library(Settings(indexed.settings.library, cache, "mirrored", batch_size=batch_size)) as second:
        assert counts(second.index()) == {"added": 1, "moved": 4, "encoded": 5}
        assert found(second) == found(indexed) == sorted(goal.rglob("*.png"))
        assert counts(second.index()) == {"unchanged": 5}


def test_a_changed_photo_is_not_taken_from_its_old_preview(second: Library, photos: Path) -> None:
    paint(photos / "red.png", (0, 0, 255), (64, 64))
    second.index()
    assert spaces(second)["mirrored"][1:] == (4, 0, 3)


def test_a_vector_from_a_preview_hardly_deviates(library: Library, tmp_path: Path, builtin: FakeEncoder) -> None:
    from core.resources import data_path
    from encoders.base import unit
    from media.photo import decode_photo, decode_preview

    for name in ("cat.png", "rocket.jpg", "coffee.png"):
        data = data_path("demo", name).read_bytes()
        photo = decode_photo(data, name, builtin.image_input, 512)
        assert photo.preview is not None
        again = decode_preview(photo.preview, builtin.image_input)
        rows = unit(builtin.encode_images(np.stack([photo.frames[0], again])))
        assert float(rows[0] @ rows[1]) > 0.97


def test_an_open_library_follows_when_somebody_else_switches(second: Library, cache: Path, photos: Path) -> None:
    second.index()
    with glimpse.Library(Settings(second.settings.library, cache)) as opened:
        assert opened.search("red", plus=["red"])[0].path.name == "red.png"
        second.use_model("mirrored")
        assert opened.search("red", plus=["red"])[0].path.name == "blue.png"
        second.drop_model("fake")
        assert opened.search("red", plus=["red"])[0].path.name == "blue.png"
        paint(photos / "yellow.png", (255, 255, 0))
        assert counts(opened.index()) == {"added": 1, "unchanged": 4, "encoded": 1}
        assert spaces(opened) == {"mirrored": (True, 5, 0, 4)}


def test_an_open_library_of_a_model_that_somebody_else_drops_says_so(second: Library, indexed: Library) -> None:
    second.index()
    second.use_model("mirrored")
    assert indexed.search("red", plus=["red"])[0].path.name == "red.png"  # it was opened for that model
    second.drop_model("fake")
    with pytest.raises(GlimpseError, match="no vectors of 'fake' but those of 'mirrored'"):
        indexed.search("red")


def test_new_photos_go_to_the_model_that_was_named(second: Library, indexed: Library, photos: Path) -> None:
    second.index()
    paint(photos / "yellow.png", (255, 255, 0))
    assert counts(indexed.index()) == {"added": 1, "unchanged": 4, "encoded": 1}
    assert spaces(indexed) == {"fake": (True, 5, 0, 0), "mirrored": (False, 4, 1, 4)}
    with pytest.raises(GlimpseError, match=r"'mirrored' has only 4 of 5 .*glimpse index --model mirrored"):
        indexed.use_model("mirrored")
    assert counts(second.index()) == {"added": 1, "unchanged": 4, "encoded": 1}
    second.use_model("mirrored")
    assert spaces(second)["mirrored"] == (True, 5, 0, 5)


def test_the_model_in_use_cannot_be_dropped(second: Library) -> None:
    second.index()
    with pytest.raises(GlimpseError, match=r"'fake' is the model that answers; choose another"):
        second.drop_model("fake")


def test_a_dropped_model_leaves_nothing(second: Library, indexed: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("store.vectors.TAIL", 0)
    second.index()
    second.search("red")
    indexed.search("red")
    database = second.settings.library / "library.db"
    with contextlib.closing(sqlite3.connect(database)) as db:
        key = db.execute("SELECT id FROM spaces WHERE name = 'mirrored'").fetchone()[0]
    assert list((second.settings.library / "index").glob(f"{key}-*"))
    assert second.drop_model("mirrored") == 4
    assert not list((second.settings.library / "index").glob(f"{key}-*"))
    with contextlib.closing(sqlite3.connect(database)) as db:
        assert db.execute("SELECT count(*) FROM vectors WHERE space_id = ?", (key,)).fetchone() == (0,)
        assert db.execute("PRAGMA freelist_count").fetchone() == (0,)
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert indexed.search("red", plus=["red"])[0].path.name == "red.png"
    with pytest.raises(
        GlimpseError, match=r"no vectors of 'mirrored' but those of 'fake'.*glimpse index --model mirrored"
    ):
        glimpse.Library(second.settings).search("red")


@pytest.mark.parametrize("call", ["use_model", "drop_model"])
def test_a_model_that_was_never_used_is_told_with_those_that_were(indexed: Library, call: str) -> None:
    with pytest.raises(
        GlimpseError, match=r"indexed with 'small' \(but with: fake\); run: glimpse index --model small"
    ):
        getattr(indexed, call)("small")


def test_a_search_goes_on_in_the_old_model_while_the_second_is_filled(second: Library, indexed: Library) -> None:
    assert second.index(stop=lambda: True).interrupted
    assert indexed.search("red", plus=["red"])[0].path.name == "red.png"
    second.index()
    assert indexed.search("red", plus=["red"])[0].path.name == "red.png"


def test_the_commands_switch_and_drop(photos: Path, tmp_path: Path) -> None:
    place = ("--library", tmp_path / "library")
    assert run("index", photos, "--model", "fake", *place).returncode == 0
    told = run("models", "use", "builtin", *place)
    assert (told.returncode, b"glimpse index --model builtin" in told.stderr) == (2, True)
    done = run("index", "--model", "builtin", *place)
    assert b"glimpse models use builtin" in done.stderr
    assert run("models", "use", "builtin", *place).stdout == b"'builtin' answers from now on\n"
    assert run("models", "drop", "fake", *place).stdout == b"4 vectors of 'fake' forgotten\n"
    shown = run("status", *place).stdout.decode()
    assert "builtin: 4 vectors" in shown and "fake" not in shown.split("last run")[0].replace(str(tmp_path), "")


def test_animations_keep_their_middle_frame_in_a_second_model(library: Library, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    frames = [Image.new("RGB", (32, 32), colour) for colour in ("red", "blue", "green")]
    frames[0].save(tmp_path / "in" / "a.gif", save_all=True, append_images=frames[1:])
    library.index([tmp_path / "in"])
    assert spaces(library) == {"fake": (True, 2, 0, 0)}
    with glimpse.Library(Settings(library.settings.library, library.settings.cache, "mirrored")) as second:
        second.index()
        assert spaces(second)["mirrored"] == (False, 2, 0, 0)
        assert second.search("red")[0].score == pytest.approx(1)  # its middle is blue, which this model takes for red
        (tmp_path / "in").rename(tmp_path / "away")
        second.drop_model("mirrored")
        second.index()
        assert spaces(second)["mirrored"] == (False, 1, 0, 1)  # what its preview shows


def test_a_preview_smaller_than_the_model_wants_is_passed_over(
    photos: Path, tmp_path: Path, cache: Path, reads: list[bytes]
) -> None:
    paint(photos / "large.png", (9, 9, 9), (600, 400))
    with glimpse.Library(Settings(tmp_path / "library", cache, "fake", preview=4)) as library:
        library.index([photos])
    reads.clear()
    with glimpse.Library(Settings(tmp_path / "library", cache, "mirrored", preview=512)) as second:
        second.index()
    assert len(reads) == 5


def test_a_model_may_answer_though_it_lacks_photos(second: Library, photos: Path) -> None:
    assert second.index(stop=lambda: True).interrupted
    told: list[str] = []
    with glimpse.Library(second.settings, lambda progress: told.append(progress.stage)) as asked:
        assert asked.search("red", plus=["red"]) == []
    assert told == ["'mirrored', as it is now, has only some photos; run: glimpse index --model mirrored"]
    second.use_model("mirrored", anyway=True)
    assert spaces(second)["mirrored"] == (True, 0, 4, 0)


# Previews


def test_previews_are_small_pictures_of_the_photos(library: Library, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    Image.effect_noise((3000, 2000), 20).convert("RGB").save(tmp_path / "in" / "a.jpg", quality=95)
    library.index([tmp_path / "in"])
    (preview,) = (library.settings.library / "previews").glob("*/*.webp")
    with Image.open(preview) as picture:
        assert (picture.format, max(picture.size)) == ("WEBP", 512)
    status = library.status()
    assert (status.previews, status.preview_bytes) == (1, preview.stat().st_size)


def test_no_previews_are_made_where_none_are_wanted(photos: Path, tmp_path: Path, cache: Path) -> None:
    with glimpse.Library(Settings(tmp_path / "library", cache, "fake", preview=0)) as library:
        library.index([photos])
        assert library.status().previews == 0
        assert library.preview(library.search("red")[0])[8:12] == b"WEBP"  # made from the photo, and not kept
        assert library.status().previews == 0
    paint(photos / "new.png", (1, 2, 3))
    with glimpse.Library(Settings(tmp_path / "library", cache, "fake")) as library:
        library.index()
        assert library.status().previews == 0  # said once, it holds
    paint(photos / "newer.png", (1, 2, 3), (600, 600))
    with glimpse.Library(Settings(tmp_path / "library", cache, "fake", preview=100)) as library:
        library.index()
        (preview,) = (tmp_path / "library" / "previews").glob("*/*.webp")
        with Image.open(preview) as picture:
            assert picture.size == (100, 100)


def test_a_preview_that_is_missing_comes_back_when_it_is_asked_for(indexed: Library, photos: Path) -> None:
    hit = indexed.search("red")[0]
    kept = indexed.preview(hit)
    shutil.rmtree(indexed.settings.library / "previews")
    assert indexed.preview(hit)[8:12] == b"WEBP"
    assert indexed.status().previews == 1
    photos.rename(photos.with_name("unplugged"))
    assert indexed.preview(hit)[8:12] == b"WEBP"
    assert kept[8:12] == b"WEBP"


@pytest.mark.parametrize("content", [b"", b"rubbish", b"RIFF\xff\xff\0\0WEBPVP8 cut"])
def test_a_damaged_preview_is_made_again(indexed: Library, content: bytes) -> None:
    hit = indexed.search("red")[0]
    whole = indexed.preview(hit)
    for path in (indexed.settings.library / "previews").glob("*/*.webp"):
        path.write_bytes(content)
    assert indexed.preview(hit) == whole
    assert indexed.preview(hit) == whole  # kept


def test_pruning_deletes_the_previews_of_photos_that_are_gone(indexed: Library, photos: Path) -> None:
    (photos / "red.png").unlink()
    indexed.index()
    assert indexed.status().previews == 4
    indexed.prune()
    assert indexed.status().previews == 3


# Dry runs


def test_a_dry_run_counts_and_changes_nothing(indexed: Library, photos: Path, reads: list[bytes]) -> None:
    paint(photos / "new.png", (9, 9, 9))
    (photos / "red.png").unlink()
    (photos / "blue.png").rename(photos / "azure.png")
    paint(photos / "green.png", (9, 99, 9), (64, 64))
    before = (indexed.settings.library / "library.db").read_bytes()
    report = indexed.index([photos, photos.parent], dry_run=True)
    assert report.dry_run
    assert counts(report) == {"added": 1, "moved": 1, "changed": 1, "gone": 1, "unchanged": 1}
    assert reads == []
    assert (indexed.settings.library / "library.db").read_bytes() == before
    assert counts(indexed.index()) == {"added": 1, "moved": 1, "changed": 1, "gone": 1, "unchanged": 1, "encoded": 2}


def test_a_dry_run_makes_no_library(photos: Path, library: Library) -> None:
    assert counts(library.index([photos], dry_run=True)) == {"added": 4}
    assert not library.settings.library.exists()


# Walks


def test_what_is_said_of_a_walk_holds_until_something_else_is_said(library: Library, photos: Path) -> None:
    paint(photos / ".hidden.png", (1, 2, 3))
    assert library.index([photos], walk=Walk(exclude=("red*",))).added == 3
    assert counts(library.index([photos], walk=Walk(hidden=True))) == {"added": 1, "unchanged": 3, "encoded": 1}
    assert counts(library.index()) == {"unchanged": 4}
    assert counts(library.index(walk=Walk(hidden=False))) == {"gone": 1, "unchanged": 3}
    assert counts(library.index(walk=Walk(exclude=()))) == {"added": 1, "unchanged": 3, "encoded": 1}


def test_what_is_excluded_later_leaves_the_results(indexed: Library, photos: Path) -> None:
    assert counts(indexed.index([photos], walk=Walk(exclude=("red*",)))) == {"gone": 1, "unchanged": 3}
    assert photos / "red.png" not in found(indexed)
    assert counts(indexed.index([photos], walk=Walk(exclude=()))) == {"added": 1, "unchanged": 3}


def test_a_folder_inside_keeps_what_was_said_of_it(indexed: Library, photos: Path) -> None:
    (photos / "in").mkdir()
    paint(photos / "in" / "a.png", (1, 2, 3))
    paint(photos / "in" / "b.png", (3, 2, 1))
    assert indexed.index([photos / "in"], walk=Walk(exclude=("a*",))).added == 1
    for paths in ([], [photos], [photos / "in"]):
        report = indexed.index(paths)
        assert (report.added, report.gone) == (0, 0)
    assert photos / "in" / "a.png" not in found(indexed)
    assert photos / "in" / "b.png" in found(indexed)


def test_links_that_are_not_followed_any_more_leave_the_results(
    indexed: Library, photos: Path, tmp_path: Path
) -> None:
    (tmp_path / "out").mkdir()
    paint(tmp_path / "out" / "far.png", (1, 2, 3))
    (photos / "link").symlink_to(tmp_path / "out")
    assert indexed.index([photos], walk=Walk(follow_symlinks=True)).added == 1
    (tmp_path / "out").rename(tmp_path / "unplugged")
    assert counts(indexed.index()) == {"unchanged": 4}  # a drive that is away
    (tmp_path / "unplugged").rename(tmp_path / "out")
    assert counts(indexed.index(walk=Walk(follow_symlinks=False))) == {"gone": 1, "unchanged": 4}


def test_two_photos_that_changed_places_are_noticed(library: Library, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for name, colour in (("a.bmp", (255, 0, 0)), ("b.bmp", (0, 0, 255))):
        paint(folder / name, colour)
        os.utime(folder / name, ns=(1, 1))
    library.index([folder])
    (folder / "a.bmp").rename(folder / "c.bmp")
    (folder / "b.bmp").rename(folder / "a.bmp")
    (folder / "c.bmp").rename(folder / "b.bmp")
    library.index()
    assert library.search("red")[0].path == folder / "b.bmp"
