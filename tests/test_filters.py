"""What filters leave: a table over one library, and any boolean of filters against brute force in Python."""

import contextlib
import json
import math
import os
import re
import sqlite3
import subprocess
import sys
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.query import And, Days, Field, Filter, Has, Near, Node, Not, Or, Range, Shape, Sum, Term
from core.text import fold, plain, words
from core.types import FileStat, Kind, Metadata, Modality, Place, Space, Span
from media.places import countries, locate
from store.filters import _ASCII_IN_DISGUISE, contents, matching
from store.listing import assets_of, taken_of
from store.names import DATABASE
from store.reader import Reader, StoredSpace
from store.records import WHOLE, About, Recorded, Taken
from store.writer import Writer

SPACE = Space("toy", "1", dim=2, shared_dim=2)
ROW = np.array([1, 0], np.float32)
ROOTS = ("/pictures", "/archive/2019")
UNSAID = Metadata()
WIEN = Metadata(
    taken="2023-07-01T00:00:00",
    taken_from="name",
    rating=-1,
    keywords=("Places/Vienna/Prater",),
    latitude=48.2082,
    longitude=16.3738,
)


@dataclass(frozen=True)
class Given:
    """A file of the library; the same letter: the same bytes."""

    path: str
    letter: str
    metadata: Metadata = UNSAID
    place: Place | None = None
    kind: Kind = Kind.PHOTO
    size: tuple[int, int] = (400, 300)
    bytes: int = 1000
    text: str | None = None
    windows: int = 0
    gone: bool = False
    verdicts: tuple[tuple[str, str], ...] = ()

    @property
    def name(self) -> str:
        return self.path.rpartition("/")[2]


FILES = [
    Given(
        "/pictures/2023/rome/IMG_1.jpg",
        "a",
        Metadata(
            taken="2023-06-01T12:30:00", taken_from="exif", make="Google", camera="Pixel 8", lens="6.9mm f/1.68",
            rating=4, title="Forum", keywords=("holiday", "Places/Rome"), latitude=41.89, longitude=12.49,
        ),
        Place("Rome", "Lazio", "IT"),
        size=(4000, 3000),
        bytes=5_000_000,
    ),
    Given(
        "/pictures/2023/Rome by night/img_2.JPG",
        "b",
        Metadata(taken="2023-06-30T23:59:59.999", taken_from="exif", make="NIKON", camera="D750", rating=0),
        size=(3000, 4000),
        bytes=7_000_000,
        verdicts=(("Places/Rome", "accepted"), ("holiday", "rejected")),
    ),
    Given(
        "/pictures/2023/wien/Straße 100%.jpg",
        "c",
        WIEN,
        Place("Vienna", "Vienna", "AT"),
        size=(1000, 1020),
        text="Wiener Linien",
        verdicts=(("summer", "added"),),
    ),
    Given(
        "/pictures/Z\u00fcrich/caf\u0065\u0301_a.jpg",  # the accent behind its letter, as macOS writes it
        "d",
        Metadata(
            taken="2022", taken_from="exif", rating=5, keywords=("New York", "holiday"),
            latitude=47.37, longitude=8.54,
        ),
        Place("Zürich", "Zurich", "CH"),
        size=(9000, 3000),
        verdicts=(("holiday", "removed"),),
    ),
    Given("/pictures/plain.png", "e", Metadata(taken="2021-01-01", taken_from="modified"), size=(1000, 1021)),
    Given("/pictures/copies/one.jpg", "f", Metadata(keywords=("one",), rating=1), size=(10, 20), text=""),
    Given("/archive/2019/Rome/two.jpg", "f", Metadata(keywords=("two",), rating=3, title="Copy"), size=(10, 20)),
    Given("/pictures/gone.jpg", "g", Metadata(rating=5, keywords=("holiday",)), gone=True, size=(40, 30), text="x"),
    Given("/pictures/half-gone.jpg", "h", Metadata(rating=5, keywords=("lost",)), gone=True),
    Given("/archive/2019/half.jpg", "h", Metadata(rating=2, lens="50mm 1.8"), Place("Romeoville", "Illinois", "US")),
    Given("/pictures/dog.flac", "i", Metadata(title="Dog"), kind=Kind.AUDIO, size=(0, 0), windows=2),
    Given("/pictures/unheard.flac", "j", kind=Kind.AUDIO, size=(0, 0)),
    Given("/pictures/film.mp4", "k", Metadata(taken="2023-06-15"), kind=Kind.VIDEO, windows=1, size=(1920, 1080)),
    Given("/pictures/silent.mp4", "l", kind=Kind.VIDEO, size=(1080, 1920)),
    Given("/pictures/fiji.jpg", "m", Metadata(latitude=-17.0, longitude=179.9, keywords=("👍", "C++")), bytes=2**40),
    Given("/pictures/pole.jpg", "n", Metadata(latitude=89.99, longitude=-100.0)),
]  # fmt: skip


def fill(folder: Path, files: list[Given]) -> None:
    """Make a library through the door of index runs; what they do not write yet, straight in its tables."""
    sound = replace(SPACE, name="sound:toy")
    with Writer(folder) as writer:
        space_id = writer.add_space(SPACE)
        sound_id = writer.add_space(sound, Modality.SOUND)
        roots = {root: writer.add_root(os.fsencode(root), []) for root in ROOTS}
        batch = []
        for number, file in enumerate(files, 1):
            root = next(root for root in ROOTS if file.path.startswith(f"{root}/"))
            path = os.fsencode(file.path[len(root) + 1 :])
            taken = Taken(
                roots[root],
                path,
                FileStat(file.bytes, number, number, 1),
                digest=file.letter.encode() * 16,
                size=file.size,
                about=About(file.metadata, file.place),
            )
            if file.kind is Kind.PHOTO:
                taken = replace(taken, vectors={WHOLE: ROW})
            else:
                spans = [(Span(5.0 * at, 5.0 * at + 10), ROW) for at in range(file.windows)]
                frames = [(Span(0.0, 1.0), ROW), (Span(1.0, 2.0), ROW)] if file.kind is Kind.VIDEO else []
                found = Recorded(file.kind, frames, spans, heard=bool(spans))
                taken = replace(taken, recorded=found)
            batch.append(taken)
        writer.commit(space_id, batch, sound_id)
        writer.finish(SPACE, space_id, {}, True)
        known = writer.known_files(set())
        gone = {(roots[ROOTS[0]], os.fsencode(f.path[len(ROOTS[0]) + 1 :])) for f in files if f.gone}
        writer.mark_gone(known[key].id for key in gone)
    with contextlib.closing(sqlite3.connect(folder / DATABASE)) as db:
        ids = {digest[:1].decode(): key for key, digest in db.execute("SELECT id, digest FROM contents")}
        for file in files:
            if file.text is not None:
                db.execute("UPDATE contents SET text = ? WHERE id = ?", (file.text, ids[file.letter]))
            for tag, verdict in file.verdicts:
                db.execute("INSERT OR IGNORE INTO tags (name) VALUES (?)", (tag,))
                said = "INSERT INTO verdicts (content_id, tag_id, verdict) SELECT ?, id, ? FROM tags WHERE name = ?"
                db.execute(said, (ids[file.letter], verdict, tag))
        db.commit()


@dataclass
class Made:
    """A library and what is in it."""

    reader: Reader
    files: list[Given]
    letters: dict[int, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        rows = self.reader.rows("SELECT id, digest FROM contents")
        self.letters = {key: digest[:1].decode() for key, digest in rows}

    def found(self, node: Node) -> str:
        """Return the letters of the contents that match, in order."""
        ids = contents(self.reader, node, countries())
        assert ids.tolist() == sorted(set(ids.tolist()))
        return "".join(sorted(self.letters[key] for key in ids.tolist()))

    def vectors(self, node: Node, name: str = "toy") -> str | None:
        """Return the letter of each vector of a space that matches, in order, None where all do."""
        space = self.space(name)
        ids = matching(self.reader, space, node, countries())
        if ids is None:
            return None
        assert ids.tolist() == sorted(set(ids.tolist()))
        return self.of_vectors(space, ids.tolist())

    def space(self, name: str) -> StoredSpace:
        space = self.reader.space(name)
        assert space is not None
        return space

    def of_vectors(self, space: StoredSpace, ids: list[int] | None = None) -> str:
        sql = "SELECT v.id, s.content_id FROM vectors v JOIN segments s ON s.id = v.segment_id WHERE v.space_id = ?"
        rows = self.reader.rows(sql, space.id)
        return "".join(sorted(self.letters[content] for key, content in rows if ids is None or key in set(ids)))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Made]:
    folder = tmp_path_factory.mktemp("filters")
    fill(folder, FILES)
    with Reader(folder) as reader:
        yield Made(reader, FILES)


TABLE: list[tuple[Field, Any, str]] = [
    (Field.TAG, "holiday", "a"),
    (Field.TAG, "HOLIDAY", "a"),
    (Field.TAG, "holi", ""),
    (Field.TAG, "places", "abc"),
    (Field.TAG, "rome", "ab"),
    (Field.TAG, "places/rome", "ab"),
    (Field.TAG, "Places/Vienna", "c"),
    (Field.TAG, "vienna/prater", "c"),
    (Field.TAG, "places/prater", ""),
    (Field.TAG, "/places/", "abc"),
    (Field.TAG, "york", "d"),
    (Field.TAG, "new york", "d"),
    (Field.TAG, "new/york", ""),
    (Field.TAG, "summer", "c"),
    (Field.TAG, "one", "f"),
    (Field.TAG, "two", "f"),
    (Field.TAG, "lost", ""),  # of a copy that is gone
    (Field.TAG, "👍", "m"),
    (Field.TAG, "c++", "m"),
    (Field.TAG, "%", ""),
    (Field.HAS, Has.TAG, "abcdfm"),
    (Field.HAS, Has.DATE, "abcdk"),
    (Field.HAS, Has.PLACE, "acdmn"),
    (Field.HAS, Has.RATING, "acdfh"),
    (Field.HAS, Has.TITLE, "afi"),
    (Field.HAS, Has.TEXT, "c"),
    (Field.HAS, Has.SOUND, "ijk"),
    (Field.IN, "/pictures/2023", "abc"),
    (Field.IN, "/pictures/2023/", "abc"),
    (Field.IN, "/pictures/202", ""),
    (Field.IN, "/pictures/2023/rome", "a"),
    (Field.IN, "/pictures/2023/Rome", ""),  # a folder of its own, on most systems
    (Field.IN, "/archive", "fh"),
    (Field.IN, "/", "abcdefhijklmn"),
    (Field.IN, "/pictures/a\0b", ""),
    (Field.IN, "/pictures/\ud800", ""),
    (Field.IN, "/" + "x" * 5000, ""),
    (Field.IN, "2023", "abc"),
    (Field.IN, "2023/rome", "a"),
    (Field.IN, "2023/ROME/", "a"),
    (Field.IN, "rome", "af"),
    (Field.IN, "2019/rome", "f"),  # where the root ends and the rest begins
    (Field.IN, "archive", "fh"),
    (Field.IN, "archive/2019", "fh"),
    (Field.IN, "rome by night", "b"),
    (Field.IN, "rome by", ""),
    (Field.IN, "zürich", "d"),
    (Field.IN, "20%", ""),
    (Field.IN, "plain.png", ""),  # no folder
    (Field.IN, "2023/rome\0", ""),
    (Field.NAME, "img", "ab"),
    (Field.NAME, "img jpg", "ab"),
    (Field.NAME, "img_1", "a"),
    (Field.NAME, "rome", ""),  # only its folder
    (Field.NAME, "strasse", "c"),
    (Field.NAME, "STRASSE", "c"),
    (Field.NAME, "straße", "c"),
    (Field.NAME, "café", "d"),
    (Field.NAME, "CAFE\u0301", "d"),
    (Field.NAME, "cafe", ""),
    (Field.NAME, "100%", "c"),
    (Field.NAME, "1%0", ""),
    (Field.NAME, "f_lm", ""),
    (Field.NAME, "img!_1", ""),
    (Field.NAME, "img\0", ""),
    (Field.NAME, "\udcff", ""),
    (Field.NAME, "x" * 100_000, ""),
    (Field.NAME, "é" * 100_000, ""),
    (Field.KIND, Kind.PHOTO, "abcdefhmn"),
    (Field.KIND, Kind.AUDIO, "ij"),
    (Field.KIND, Kind.VIDEO, "kl"),
    (Field.DATE, Days("2023-06-01", "2023-07-01"), "abk"),
    (Field.DATE, Days("2023-07-01", "2023-07-02"), "c"),
    (Field.DATE, Days("2023-06-01T12:30:00", "2023-06-01T12:30:01"), "a"),
    (Field.DATE, Days("2023-06-01T12:30:01", "2023-06-02"), ""),
    (Field.DATE, Days("2022", "2023"), "d"),  # of which only the year is known
    (Field.DATE, Days(None, "2022"), "e"),
    (Field.DATE, Days("2023-06-30", None), "bc"),
    (Field.DATE, Days(), "abcdek"),
    (Field.DATE, Days("\ud800", None), ""),
    (Field.DATE, Days("2023\0", None), "abck"),
    (Field.CAMERA, "pixel", "a"),
    (Field.CAMERA, "google PIXEL", "a"),
    (Field.CAMERA, "nikon d750", "b"),
    (Field.CAMERA, "pixel d750", ""),
    (Field.CAMERA, "_", ""),
    (Field.LENS, "50mm", "h"),
    (Field.LENS, "MM 1.", "ah"),
    (Field.PLACE, "rome", "a"),  # not Romeoville
    (Field.PLACE, "italy", "a"),
    (Field.PLACE, "it", "a"),
    (Field.PLACE, "rome italy", "a"),
    (Field.PLACE, "vienna", "c"),
    (Field.PLACE, "austria", "c"),
    (Field.PLACE, "zurich", "d"),
    (Field.PLACE, "ZÜRICH", "d"),
    (Field.PLACE, "illinois", "h"),
    (Field.PLACE, "united states", "h"),
    (Field.PLACE, "usa", "h"),
    (Field.NEAR, Near(48.2, 16.37, 2), "c"),
    (Field.NEAR, Near(48.2, 16.37, 0.1), ""),
    (Field.NEAR, Near(-17.0, -179.9, 22), "m"),  # over the date line
    (Field.NEAR, Near(-17.0, -179.9, 21), ""),
    (Field.NEAR, Near(89.99, 80.0, 3), "n"),  # over the pole
    (Field.NEAR, Near(89.99, 80.0, 2), ""),
    (Field.NEAR, Near(0, 0, 1e300), "acdmn"),
    (Field.NEAR, Near(0, 0, math.inf), "acdmn"),
    (Field.NEAR, Near(48.2082, 16.3738, 0), "c"),
    (Field.NEAR, Near(0, 0, -1), ""),
    (Field.NEAR, Near(0, 0, math.nan), ""),
    (Field.RATING, Range(3), "adf"),
    (Field.RATING, Range(3, open_low=True), "ad"),
    (Field.RATING, Range(None, 0), "bc"),
    (Field.RATING, Range(1, 2), "fh"),
    (Field.RATING, Range(), "abcdfh"),
    (Field.RATING, Range(1e308), ""),
    (Field.RATING, Range(math.nan), ""),
    (Field.SHAPE, Shape.LANDSCAPE, "adhkmn"),
    (Field.SHAPE, Shape.PORTRAIT, "bcefl"),
    (Field.SHAPE, Shape.SQUARE, "c"),
    (Field.SHAPE, Shape.PANORAMA, "df"),
    (Field.SIZE, Range(12, 12), "ab"),
    (Field.SIZE, Range(12, open_low=True), "d"),
    (Field.SIZE, Range(None, 1.02), "cfhmn"),
    (Field.BYTES, Range(5e6, 5e6), "a"),
    (Field.BYTES, Range(5e6, open_low=True), "bm"),
    (Field.WIDTH, Range(1000, 1080), "cel"),
    (Field.WIDTH, Range(None, 10), "f"),  # and no sound
    (Field.HEIGHT, Range(1080, 1080), "k"),
]


@pytest.mark.parametrize(
    ("name", "value", "found"), TABLE, ids=lambda value: str(value)[:40].encode("ascii", "replace").decode()
)
def test_what_a_filter_leaves(made: Made, name: Field, value: Any, found: str) -> None:
    assert made.found(Filter(name, value)) == found


@pytest.mark.parametrize(
    ("name", "value"),
    [(Field.HAS, "wings"), (Field.KIND, "book"), (Field.SHAPE, "round"), (Field.DATE, "2023"), (Field.TAG, Range(1))],
)
def test_a_value_that_a_field_does_not_have(made: Made, name: Field, value: Any) -> None:
    with pytest.raises(ValueError, match=r"is not a valid|does not take"):
        contents(made.reader, Filter(name, value))


def test_a_sum_is_no_filter(made: Made) -> None:
    with pytest.raises(ValueError, match="no set"):
        contents(made.reader, Not(Sum((Term(Modality.TEXT, "a cat"),))))


A, B = Filter(Field.RATING, Range(3)), Filter(Field.HAS, Has.TITLE)
NONE, ALL = Filter(Field.NAME, "nothing"), Not(Filter(Field.NAME, "nothing"))


@pytest.mark.parametrize(
    ("node", "found"),
    [
        (And((A, B)), "af"),
        (Or((A, B)), "adfi"),
        (Not(A), "bcehijklmn"),
        (And((A, Not(B))), "d"),
        (And((Filter(Field.TAG, "one"), Filter(Field.TAG, "two"))), "f"),  # by two copies
        (And((Filter(Field.TAG, "one"), Not(Filter(Field.TAG, "two")))), ""),  # of the content
        (NONE, ""),
        (ALL, "abcdefhijklmn"),
        (And((Filter(Field.HAS, Has.TAG), Filter(Field.DATE, Days("2023")), Filter(Field.KIND, Kind.PHOTO))), "abc"),
    ],
)
def test_sets_are_joined(made: Made, node: Node, found: str) -> None:
    assert made.found(node) == found


def test_vectors_are_those_of_the_space(made: Made) -> None:
    sounding = Filter(Field.HAS, Has.SOUND)
    assert made.vectors(sounding) == "kk"
    assert made.vectors(sounding, "sound:toy") == "iik"
    assert made.vectors(Filter(Field.KIND, Kind.AUDIO)) == ""


def test_nearly_all_and_all(made: Made) -> None:
    assert made.vectors(Not(Filter(Field.NAME, "img_1"))) == "bcdefhkkllmn"  # by what is left out, the gone included
    assert made.vectors(ALL) is None
    assert made.vectors(Or((A, Not(A))), "sound:toy") is None
    assert made.vectors(NONE) == ""


def test_a_folder_by_a_link_is_that_folder(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with Writer(tmp_path / "library") as writer:
        space_id = writer.add_space(SPACE)
        root_id = writer.add_root(os.fsencode(tmp_path / "real"), [])
        photo = Taken(
            root_id, b"\xff/a.jpg", FileStat(1, 1, 1, 1), digest=b"a" * 16, size=(1, 1), vectors={WHOLE: ROW}
        )
        writer.commit(space_id, [photo])
    with Reader(tmp_path / "library") as reader:
        for value in (f"{tmp_path}/link", f"{tmp_path}/real/\udcff", "real/\udcff", "\udcff"):
            assert len(contents(reader, Filter(Field.IN, value))) == 1
        assert len(contents(reader, Filter(Field.IN, "\udcfe"))) == 0


def test_a_library_without_files(tmp_path: Path) -> None:
    with Writer(tmp_path) as writer:
        writer.add_space(SPACE)
    with Reader(tmp_path) as reader:
        space = reader.space("toy")
        assert space is not None
        for node in (A, Not(A), Filter(Field.IN, "/"), Filter(Field.IN, "x"), Filter(Field.NEAR, Near(0, 0, 1))):
            assert contents(reader, node).tolist() == []
            ids = matching(reader, space, node)
            assert ids is not None and not len(ids)


# What lists


def test_contents_are_listed_newest_first(made: Made) -> None:
    everything = contents(made.reader, ALL).tolist()
    listed = assets_of(made.reader, everything)
    by_path = sorted(FILES, key=lambda file: file.path)
    undated = "".join(dict.fromkeys(f.letter for f in by_path if not (f.gone or f.metadata.taken)))
    assert "".join(made.letters[asset.content_id] for asset in listed) == "cbkade" + undated
    assert [asset.paths for asset in listed if made.letters[asset.content_id] in "fh"] == [
        (Path("/archive/2019/Rome/two.jpg"), Path("/pictures/copies/one.jpg")),
        (Path("/archive/2019/half.jpg"),),
    ]
    assert {asset.kind for asset in listed} == set(Kind)
    for k in range(len(everything) + 2):
        assert assets_of(made.reader, everything, k) == listed[:k]
    gone = [key for key, letter in made.letters.items() if letter == "g"]
    assert assets_of(made.reader, gone) == assets_of(made.reader, []) == []


def test_when_contents_were_taken(made: Made) -> None:
    taken = {made.letters[key]: time for key, time in taken_of(made.reader, made.letters).items()}
    assert taken == {f.letter: f.metadata.taken for f in FILES if f.metadata.taken and not f.gone}


# Any question, against brute force


def tags_of(letter: str, file: Given) -> set[str]:
    """Return the tags that a content has by one of its files, and by what was said of it."""
    said = {tag: verdict for f in FILES if f.letter == letter for tag, verdict in f.verdicts}
    own = {tag for tag in file.metadata.keywords if said.get(tag) not in ("removed", "rejected")}
    return own | {tag for tag, verdict in said.items() if verdict in ("added", "accepted")}


def inside(value: float | None, numbers: Range) -> bool:
    if value is None:
        return False
    low = numbers.low is None or value > numbers.low or (value == numbers.low and not numbers.open_low)
    return low and (numbers.high is None or value < numbers.high or (value == numbers.high and not numbers.open_high))


def kilometres(file: Given, near: Near) -> float:
    """Return the distance by the dot product of two unit vectors: another formula than the library's."""
    points = []
    for latitude, longitude in ((near.latitude, near.longitude), (file.metadata.latitude, file.metadata.longitude)):
        assert latitude is not None and longitude is not None
        phi, turn = math.radians(latitude), math.radians(longitude)
        points.append((math.cos(phi) * math.cos(turn), math.cos(phi) * math.sin(turn), math.sin(phi)))
    cross = np.linalg.norm(np.cross(points[0], points[1]))
    return 6371.0088 * math.atan2(float(cross), float(np.dot(points[0], points[1])))


def holds(file: Given, asked: Filter) -> bool:
    """Say whether one file matches, by its fields alone; only for what `filters` draws."""
    data, value = file.metadata, asked.value
    width, height = file.size
    match asked.field, value:
        case Field.TAG, str():
            words_of = [re.findall(r"\w+", tag.lower()) for tag in tags_of(file.letter, file)]
            return any(value.lower() in some for some in words_of)
        case Field.HAS, Has():
            return {
                Has.TAG: bool(tags_of(file.letter, file)),
                Has.DATE: data.taken is not None and data.taken_from != "modified",
                Has.PLACE: data.latitude is not None,
                Has.RATING: data.rating not in (None, 0),
                Has.TITLE: bool(data.title),
                Has.TEXT: any(f.text for f in FILES if f.letter == file.letter),
                Has.SOUND: file.kind is Kind.AUDIO or file.windows > 0,
            }[value]
        case Field.IN, str():
            folder = file.path.rpartition("/")[0]
            return (
                f"{folder}/".startswith(f"{value}/") if value[0] == "/" else f"/{value}/" in f"{folder}/".casefold()
            )
        case Field.NAME, str():
            return value.casefold() in file.name.casefold()
        case Field.KIND, Kind():
            return file.kind is value
        case Field.DATE, Days(start, end):
            time = data.taken
            return time is not None and (start is None or time >= start) and (end is None or time < end)
        case Field.NEAR, Near():
            return data.latitude is not None and kilometres(file, value) <= value.kilometres
        case Field.RATING, Range():
            return inside(data.rating, value)
        case Field.WIDTH, Range():
            return width > 0 and inside(width, value)
        case Field.BYTES, Range():
            return inside(first(file).bytes, value)
        case Field.CAMERA, str():
            return value.casefold() in f"{data.make or ''} {data.camera or ''}".casefold()
        case Field.SHAPE, Shape():
            return {Shape.LANDSCAPE: width > height, Shape.PORTRAIT: height > width}[value]
    raise AssertionError(asked)


def first(file: Given) -> Given:
    """Return the file that brought a content: what the bytes are does not change with copies."""
    return next(f for f in FILES if f.letter == file.letter)


def brute(node: Node) -> set[str]:
    there = [f for f in FILES if not f.gone]
    match node:
        case Filter():
            return {f.letter for f in there if holds(f, node)}
        case And(parts):
            return set.intersection(*map(brute, parts))
        case Or(parts):
            return set.union(*map(brute, parts))
        case Not(part):
            return {f.letter for f in there} - brute(part)
    raise AssertionError(node)


def spoken(choices: list[str]) -> st.SearchStrategy[str]:
    return st.sampled_from(choices)


ranges: Callable[[list[float]], st.SearchStrategy[Range]] = lambda ends: st.builds(  # noqa: E731
    Range, st.none() | st.sampled_from(ends), st.none() | st.sampled_from(ends), st.booleans(), st.booleans()
)
days = st.none() | st.sampled_from(["2021", "2022-05", "2023-06-01", "2023-06-30", "2023-07-01", "2024"])
filters = st.one_of(
    st.builds(
        Filter, st.just(Field.TAG), spoken(["holiday", "Places", "rome", "one", "two", "lost", "summer", "york"])
    ),
    st.builds(Filter, st.just(Field.HAS), st.sampled_from(Has)),
    st.builds(
        Filter, st.just(Field.IN), spoken(["/pictures", "/pictures/2023", "/archive", "2023", "rome", "2019/rome"])
    ),
    st.builds(Filter, st.just(Field.NAME), spoken(["img", "jpg", "a", "%", "_", "ss", "o"])),
    st.builds(Filter, st.just(Field.KIND), st.sampled_from(Kind)),
    st.builds(Filter, st.just(Field.DATE), st.builds(Days, days, days)),
    st.builds(Filter, st.just(Field.CAMERA), spoken(["pixel", "nikon", "8", "e"])),
    st.builds(
        Filter,
        st.just(Field.NEAR),
        st.builds(Near, st.floats(-90, 90), st.floats(-180, 180), st.sampled_from([10.0, 900.0, 5000.0, 12000.0])),
    ),
    st.builds(Filter, st.just(Field.RATING), ranges([-1, 0, 2, 3, 5])),
    st.builds(Filter, st.just(Field.WIDTH), ranges([0, 400, 1000, 4000])),
    st.builds(Filter, st.just(Field.BYTES), ranges([1000, 5e6, 2.0**40])),
    st.builds(Filter, st.just(Field.SHAPE), st.sampled_from([Shape.LANDSCAPE, Shape.PORTRAIT])),
)
trees: st.SearchStrategy[Node] = st.recursive(
    filters,
    lambda parts: st.one_of(
        st.builds(Not, parts),
        st.builds(And, st.lists(parts, min_size=2, max_size=3).map(tuple)),
        st.builds(Or, st.lists(parts, min_size=2, max_size=3).map(tuple)),
    ),
    max_leaves=6,
)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(trees)
def test_any_question_is_what_brute_force_finds(made: Made, node: Node) -> None:
    wanted = brute(node)
    assert made.found(node) == "".join(sorted(wanted))
    for name in ("toy", "sound:toy"):
        every = made.of_vectors(made.space(name)).replace("g", "")
        vectors = made.vectors(node, name)
        assert (every if vectors is None else vectors) == "".join(letter for letter in every if letter in wanted)


hostile = st.text(st.characters(), max_size=20) | st.sampled_from(
    ["%" * 60_000, "\0", "!", "'; DROP TABLE files; --"]
)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from([Field.TAG, Field.IN, Field.NAME, Field.CAMERA, Field.LENS, Field.PLACE]), hostile)
def test_any_text_is_a_value(made: Made, name: Field, value: str) -> None:
    contents(made.reader, Filter(name, value))
    contents(made.reader, Filter(Field.DATE, Days(value, value)))


# Texts, and the gazetteer


def test_no_other_letter_folds_to_ascii() -> None:
    every = (chr(code) for code in range(0x80, sys.maxunicode + 1))
    found = {letter for letter in every if re.search("[\0-\x7f]", fold(letter))}
    assert found == set(_ASCII_IN_DISGUISE)


def test_texts_are_compared_without_case_and_accents() -> None:
    assert fold("STRASSE") == fold("Straße") == "strasse"
    assert fold("Cafe\u0301") == fold("CAFÉ") != fold("cafe")
    assert plain("Zürich Łódź Tromsø ÆRØ") == "zurich lodz tromso aero"
    assert words("new-york_2023, 東京!") == ["new", "york", "2023", "東京"]
    assert words("👍 ++") == ["👍", "++"]
    assert unicodedata.is_normalized("NFC", fold("E\u0301"))


@pytest.mark.parametrize(
    ("name", "point"),
    [
        ("Paris", (48.9, 2.3)),
        ("london", (51.5, -0.1)),
        ("VIENNA", (48.2, 16.4)),
        ("Wien", (48.2, 16.4)),
        ("Rome", (41.9, 12.5)),
        ("roma", (41.9, 12.5)),  # not in Lesotho
        ("New York", (40.7, -74.0)),
        ("Springfield", (37.2, -93.3)),  # Missouri has the largest of them
        ("Springfield, Illinois", (39.8, -89.6)),
        ("vienna, us", (38.9, -77.3)),
        ("vienna us", (38.9, -77.3)),
        ("vienna, Austria", (48.2, 16.4)),
        ("paris texas", (33.7, -95.6)),
        ("london, uk", (51.5, -0.1)),
        ("zurich", (47.4, 8.5)),
        ("Köln", (50.9, 6.9)),
        ("cologne", (50.9, 6.9)),  # not in Italy
        ("geneva", (46.2, 6.1)),  # not in Illinois
        ("St. Moritz", (46.5, 9.8)),
        ("Frankfurt", (50.1, 8.7)),
        ("washington, d.c.", (38.9, -77.0)),
        ("nowhere at all", None),
        ("vienna, japan", None),
        ("", None),
        (" , ", None),
        ("\0\ud800" * 1000, None),
    ],
)
def test_towns_are_found_by_name(name: str, point: tuple[float, float] | None) -> None:
    found = locate(name)
    assert found == (point and pytest.approx(point, abs=0.1))


def test_looking_up_a_town_loads_nothing_heavy() -> None:
    code = (
        "import json, sys; from media.places import locate; print(json.dumps([locate('bern'), sorted(sys.modules)]))"
    )
    point, modules = json.loads(subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout)
    assert [round(number) for number in point] == [47, 7]
    assert not {"scipy", "reverse_geocode", "numpy.testing"} & set(modules)
