"""What questions of several parts find: sets of meanings and of filters, computed by hand."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

import glimpse
import search.engine
from core.errors import QueryError
from core.query import And, Field, Filter, Node, Not, Options, Or, Order, Query, Sum, Term, narrowed
from core.types import FileStat, Kind, Metadata, Modality, Vector, Vectors
from encoders.fake import FakeEncoder
from search import seeking
from search.cutoff import Nulls
from search.engine import Engine, open_engine
from search.ranking import Ranked
from search.sets import MOST_WAYS, Way, kind_of, ways
from store.records import WHOLE, About, Taken
from store.writer import Writer
from tests.conftest import paint

RED, GREEN = Sum((Term(Modality.TEXT, "red"),)), Sum((Term(Modality.TEXT, "green"),))
TAG, DATE = Filter(Field.TAG, "x"), Filter(Field.TAG, "y")


# A question as a disjunction


@pytest.mark.parametrize(
    ("node", "expected"),
    [
        (RED, [Way((RED,))]),
        (Not(RED), [Way(without=(RED,))]),
        (TAG, [Way(filter=TAG)]),
        (Not(TAG), [Way(filter=Not(TAG))]),
        (And((RED, TAG)), [Way((RED,), filter=TAG)]),
        (And((RED, Not(GREEN))), [Way((RED,), (GREEN,))]),
        (Or((RED, TAG)), [Way((RED,)), Way(filter=TAG)]),
        (And((Or((RED, GREEN)), TAG)), [Way((RED,), filter=TAG), Way((GREEN,), filter=TAG)]),
        (And((RED, Or((TAG, DATE)))), [Way((RED,), filter=Or((TAG, DATE)))]),
        (Not(Or((RED, TAG))), [Way(without=(RED,), filter=Not(TAG))]),
        (Not(And((RED, TAG))), [Way(without=(RED,)), Way(filter=Not(TAG))]),
        (Not(Not(RED)), [Way((RED,))]),
        (And((RED, RED)), [Way((RED,))]),
    ],
)
def test_ways(node: Node, expected: list[Way]) -> None:
    assert ways(node) == expected


def test_too_many_ways_are_told() -> None:
    either = [Or((Sum((Term(Modality.TEXT, f"{n}"),)), Sum((Term(Modality.TEXT, f"-{n}"),)))) for n in range(10)]
    with pytest.raises(QueryError, match=f"in more than {MOST_WAYS} ways"):
        ways(And(tuple(either)))


def test_a_folder_and_a_kind_stand_beside_other_filters() -> None:
    query = narrowed(Query(And((RED, TAG))), Path("/a"), Kind.PHOTO)
    assert query.root == And((RED, TAG, Filter(Field.IN, "/a"), Filter(Field.KIND, "photo")))
    (way,) = ways(query.root)
    assert kind_of(way.filter) == (Kind.PHOTO, And((TAG, Filter(Field.IN, "/a"))))


# A library of photos between red and green, of which some carry a tag: photo n lies n degrees from red


class Plain(FakeEncoder):
    """The fake encoder without a mean to be taken away, so that likeness is the cosine of an angle."""

    def __init__(self) -> None:
        super().__init__()
        self.space = type(self.space)("plain", "1", dim=3, shared_dim=3, centred=True)


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    """Photos with the ids 1 to 91, of 0 to 90 degrees; a hit is sure up to 60 degrees; every tenth has the tag x."""

    def cosines(vector: Vector, rows: Vectors, nulls: Nulls) -> Vector:
        found: Vector = np.float32(0.501) + np.float32(0.9) * (rows @ vector - np.float32(0.5))  # fp16 rounds cosines
        return found

    monkeypatch.setattr(search.engine, "confidences", cosines)
    monkeypatch.setattr(search.ordinary.Ordinary, "is_enough", lambda *_: True)
    angles = np.radians(np.arange(91))
    rows = np.stack([np.cos(angles), np.sin(angles), 0 * angles], axis=1).astype(np.float32)
    stat = FileStat(1, 1, 1, 1)
    with Writer(tmp_path / "library") as writer:
        root_id = writer.add_root(b"/r", ())
        photos = [
            Taken(
                root_id, f"p{n:02}".encode(), stat, digest=n.to_bytes(16), size=(1, 1), vectors={WHOLE: row},
                about=About(Metadata(taken=f"2020-01-01T00:00:{n:02}", keywords=("x",) if n % 10 == 0 else ())),
            )
            for n, row in enumerate(rows)
        ]  # fmt: skip
        writer.commit(writer.add_space(Plain().space), photos)
    opened = open_engine(tmp_path / "library", Plain(), tmp_path / "cache")
    yield opened
    opened.reader.close()


def degrees(engine: Engine, node: Node, k: int = 100, **how: object) -> list[int]:
    return [hit.id - 1 for hit in engine.answer(Query(node), Options(k, **how)).hits]  # type: ignore[arg-type]


def test_a_sum_is_the_list_that_ends(engine: Engine) -> None:
    assert degrees(engine, RED) == list(range(61))
    assert degrees(engine, RED, cut=False) == list(range(91))


def test_and_is_what_both_lists_have_by_the_less_sure(engine: Engine) -> None:
    found = degrees(engine, And((RED, GREEN)))
    assert sorted(found) == list(range(30, 61))
    assert found[0] == 45


def test_or_is_what_either_list_has(engine: Engine) -> None:
    assert sorted(degrees(engine, Or((RED, GREEN)))) == list(range(91))
    assert set(degrees(engine, Or((RED, GREEN)), k=4)) == {0, 1, 89, 90}


def test_not_leaves_out_what_the_list_would_show(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seeking, "DEPTH", 2)  # however many that are
    assert sorted(degrees(engine, Not(RED))) == list(range(61, 91))
    assert sorted(degrees(engine, And((GREEN, Not(RED))))) == list(range(61, 91))
    assert degrees(engine, And((RED, Not(RED)))) == []


def test_what_passes_a_filter_is_certain(engine: Engine) -> None:
    assert degrees(engine, TAG) == list(range(90, -1, -10))  # the newest first
    assert set(degrees(engine, Or((RED, TAG)))) == {*range(61), 70, 80, 90}
    assert set(degrees(engine, Or((RED, TAG)), k=10)) == set(range(0, 91, 10))
    assert degrees(engine, And((RED, TAG))) == [0, 10, 20, 30, 40, 50, 60]
    assert degrees(engine, And((RED, Not(TAG))), k=3) == [1, 2, 3]


def test_by_date_is_the_newest_of_what_is_meant(engine: Engine) -> None:
    assert degrees(engine, RED, k=3, order=Order.DATE) == [60, 59, 58]
    assert degrees(engine, RED, k=3, order=Order.DATE, cut=False) == [2, 1, 0]  # and not of everything


def test_a_picture_is_not_cut_beside_words(engine: Engine) -> None:
    picture = Sum((Term(Modality.IMAGE, "1", stored=search.engine.Stored.CONTENT),))
    assert degrees(engine, picture) == list(range(1, 91))
    assert set(degrees(engine, Or((picture, GREEN)))) == set(range(1, 91))


def test_what_was_asked_with_is_in_no_list(engine: Engine) -> None:
    picture = Sum((Term(Modality.IMAGE, "11", stored=search.engine.Stored.CONTENT),))
    for node in (picture, Or((picture, RED)), And((RED, picture)), Or((picture, TAG))):
        assert 10 not in degrees(engine, node)


# What a person said of a photo


@pytest.fixture
def tagged(library: glimpse.Library, photos: Path) -> glimpse.Library:
    library.index([photos])
    library.add_tag("Pets/Tom", [photos / "red.png"])
    return library


def test_tags_stay_when_a_title_is_written_into_the_file(tagged: glimpse.Library, photos: Path) -> None:
    said = PngImagePlugin.PngInfo()
    said.add_text("Title", "Tom in the garden")
    with Image.open(photos / "red.png") as image:
        image.save(photos / "red.png", pnginfo=said)
    assert tagged.index().changed == 1
    assert tagged.info(photos / "red.png").metadata.keywords == ("Pets/Tom",)
    assert [hit.path for hit in tagged.search("tag:pets")] == [photos / "red.png"]


def test_tags_do_not_go_to_another_photo_of_that_name(tagged: glimpse.Library, photos: Path) -> None:
    paint(photos / "red.png", (0, 9, 250))
    assert tagged.index().changed == 1
    assert tagged.info(photos / "red.png").metadata.keywords == ()


# Words that are written on photos, beside what they show


@pytest.mark.parametrize("few", [1, 5, 20])
def test_the_first_of_many_are_the_first_of_few(library: glimpse.Library, tmp_path: Path, few: int) -> None:
    for number in range(30):
        name = f"red {number}.png" if number % 3 == 0 else f"{number}.png"
        paint(tmp_path / name, (255 - number, 8 * number, 0))
    library.index([tmp_path])

    def asked(k: int) -> list[Path]:
        return [hit.path for hit in library.search("red", k=k)]

    assert asked(30)[:few] == asked(few)


def test_a_long_burst_leaves_room_for_others(library: glimpse.Library, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 50, (32, 32, 3), np.uint8)
    for number in range(30):
        picture = noise.copy()
        picture[..., 0] += np.uint8(200)
        picture[0, 0, 1] = number
        Image.fromarray(picture).save(tmp_path / f"burst{number:02}.png")
    for number, colour in enumerate([(250, 120, 9), (9, 250, 9), (9, 9, 250)]):
        paint(tmp_path / f"other{number}.png", colour)
    library.index([tmp_path])
    hits = library.search("red", k=2, collapse=True)
    assert [hit.path.name[:5] for hit in hits] == ["burst", "other"]
    assert hits[0].collapsed == 29


def test_a_list_that_ends_is_not_looked_for_behind_its_end(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    ranked = seeking.Seeking.ranked

    def watched(self: seeking.Seeking, way: Way, depth: int) -> list[Ranked]:
        asked.append(depth)
        return ranked(self, way, depth)

    monkeypatch.setattr(seeking.Seeking, "ranked", watched)
    monkeypatch.setattr("search.diversity.collapsed", lambda _, shown: (list(shown)[:1], {}))
    assert len(engine.answer(Query(RED), Options(7, collapse=True)).hits) == 1
    assert asked == [70]
