"""Searching in a folder, comparing every vector, and how the index is told to people."""

import json
import shutil
from pathlib import Path

import pytest

import glimpse
from core.errors import QueryError
from core.settings import Settings
from store.reader import Reader
from tests.conftest import paint, run

RED, DARK, BLUE = (255, 0, 0), (200, 30, 0), (0, 0, 255)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Photos in a/, a/b/, ab/ and z/ below one folder, all of them reddish, and a library of it."""
    for number, folder in enumerate(("a", "a/b", "ab", "z")):
        (tmp_path / "photos" / folder).mkdir(parents=True)
        paint(tmp_path / "photos" / folder / "one.png", (255, number, 0))
    with glimpse.Library(Settings(tmp_path / "library", tmp_path / "cache", "fake")) as library:
        library.index([tmp_path / "photos"])
    return tmp_path


@pytest.fixture
def library(place: Path) -> glimpse.Library:
    return glimpse.Library(Settings(place / "library", place / "cache", "fake"))


@pytest.mark.parametrize(
    ("folder", "found"),
    [
        ("photos", {"a", "a/b", "ab", "z"}),
        ("photos/", {"a", "a/b", "ab", "z"}),
        (".", {"a", "a/b", "ab", "z"}),
        ("photos/a", {"a", "a/b"}),
        ("photos/a/", {"a", "a/b"}),
        ("photos/z/../a/b", {"a/b"}),
        ("photos/ab", {"ab"}),
    ],
)
@pytest.mark.parametrize("exact", [False, True])
def test_only_what_lies_in_a_folder(
    place: Path, library: glimpse.Library, folder: str, found: set[str], exact: bool
) -> None:
    hits = library.search("red", within=f"{place}/{folder}", exact=exact)
    assert {str(hit.path.parent.relative_to(place / "photos")) for hit in hits} == found
    similar = library.similar(place / "photos/z/one.png", within=f"{place}/{folder}", exact=exact)
    assert {str(hit.path.parent.relative_to(place / "photos")) for hit in similar} == found - {"z"}


@pytest.mark.parametrize("folder", ["nowhere", "photos/b", "photos/a/one.png", "phot"])
def test_a_folder_without_photos_is_an_error(place: Path, library: glimpse.Library, folder: str) -> None:
    with pytest.raises(QueryError, match=r"knows nothing in .*; see which folders it has: glimpse status"):
        library.search("red", within=place / folder)


def test_a_folder_inside_another_root(place: Path, library: glimpse.Library) -> None:
    (place / "more").mkdir()
    paint(place / "more" / "two.png", DARK)
    library.index([place / "more"])
    assert [hit.path.name for hit in library.search("red", within=place / "more")] == ["two.png"]
    assert len(library.search("red", within=place)) == 5


def test_a_folder_with_all_photos_in_it_is_no_filter(place: Path, library: glimpse.Library) -> None:
    with Reader(place / "library") as reader:
        space = reader.space()
        assert space is not None
        assert reader.within(space, place) is None
        assert reader.within(space, place / "photos") is None
        some = reader.within(space, place / "photos" / "a")
        assert some is not None
        assert len(some) == 2


def test_photos_that_are_gone_are_not_in_the_folder(place: Path, library: glimpse.Library) -> None:
    shutil.rmtree(place / "photos" / "a")
    library.index()
    with pytest.raises(QueryError, match="knows nothing in"):
        library.search("red", within=place / "photos" / "a")


def test_a_copy_elsewhere_is_told_behind_the_one_that_is_in_the_folder(place: Path, library: glimpse.Library) -> None:
    shutil.copy(place / "photos/a/one.png", place / "photos/z/copy.png")
    library.index()
    (hit, _) = library.search("red", within=place / "photos/z")
    assert (hit.path, hit.also) == (place / "photos/z/copy.png", (place / "photos/a/one.png",))


def test_names_that_are_not_utf8(place: Path, library: glimpse.Library) -> None:
    folder = bytes(place / "photos") + b"/\xff\xfe"
    Path(folder.decode("utf-8", "surrogateescape")).mkdir()
    paint(folder + b"/odd.png", BLUE)
    library.index()
    (hit,) = library.search("blue", within=folder.decode("utf-8", "surrogateescape"))
    assert hit.path.name == "odd.png"


def test_from_the_command_line(place: Path) -> None:
    asked = run("search", "red", "--in", "photos/a", "--exact", "--paths", "--library", "library", cwd=place)
    assert asked.stdout.decode().splitlines() == [f"{place}/photos/a/one.png", f"{place}/photos/a/b/one.png"]
    asked = run("similar", "photos/z/one.png", "--in", "photos/ab", "--paths", "--library", "library", cwd=place)
    assert asked.stdout.decode().splitlines() == [f"{place}/photos/ab/one.png"]
    asked = run("search", "red", "--in", "nowhere", "--library", "library", cwd=place)
    assert (asked.returncode, asked.stderr.decode()) == (
        2,
        f"glimpse: the library knows nothing in {place}/nowhere; see which folders it has: glimpse status\n",
    )


def test_links_to_a_folder_are_followed(place: Path, library: glimpse.Library) -> None:
    (place / "link").symlink_to(place / "photos" / "a")
    assert len(library.search("red", within=place / "link")) == 2
    (place / "more").mkdir()
    (place / "real").mkdir()
    (place / "more" / "there").symlink_to(place / "real")
    paint(place / "real" / "two.png", DARK)
    library.index([place / "more" / "there"])
    for folder in ("more/there", "real"):
        assert [hit.path.name for hit in library.search("red", within=place / folder)] == ["two.png"]


# The tier


def index_line(place: Path) -> str:
    shown = run("status", "--library", "library", cwd=place).stdout.decode()
    return next(line.partition(" ")[2].strip() for line in shown.splitlines() if line.startswith("index "))


def test_status_tells_how_photos_are_found(place: Path) -> None:
    assert index_line(place) == "exact: every vector is compared"
    status = json.loads(run("status", "--json", "--library", "library", cwd=place).stdout)
    assert status["spaces"][0]["index"] == {"tier": "none", "covers": 0}


def test_the_tier_is_said_once(place: Path, library: glimpse.Library, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("store.growth.FEW_NEW", 2)
    monkeypatch.setattr("store.growth.WANTED", 0.0)
    for tier, shown in (("ivf", "inverted file"), (None, "inverted file"), ("auto", "exact"), (None, "exact")):
        settings = Settings(place / "library", place / "cache", "fake", tier=tier)
        with glimpse.Library(settings) as opened:
            report = opened.index()
            assert (report.unchanged, report.encoded, report.notes) == (4, 0, [])
        assert index_line(place).startswith(shown)


def test_an_index_that_finds_too_little_is_told(
    place: Path, library: glimpse.Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("store.growth.FEW_NEW", 2)
    monkeypatch.setattr("store.growth.WANTED", 2.0)
    with glimpse.Library(Settings(place / "library", place / "cache", "fake", tier="ivf")) as opened:
        assert opened.index().notes == [
            "an inverted file found too little (glimpse status tells); every photo is compared instead"
        ]
    assert index_line(place).startswith("exact; an inverted file of 1 lists found too little (recall@10 ")


def test_an_inverted_file_for_a_few_photos_is_told_to_be_too_early(place: Path) -> None:
    with glimpse.Library(Settings(place / "library", place / "cache", "fake", tier="ivf")) as opened:
        assert opened.index().notes == [
            "an inverted file is made from 2,049 photos on; every photo is compared until then"
        ]


def test_an_index_that_cannot_be_written_is_a_note(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("Error: No space left on device\nwith a second line")

    monkeypatch.setattr("store.growth.FEW_NEW", 2)
    monkeypatch.setattr("store.native.faiss.write_index", fail)
    with glimpse.Library(Settings(place / "library", place / "cache", "fake")) as opened:
        report = opened.index()
    assert report.notes == ["the index could not be written, so that searching is slower: no space left on device"]
