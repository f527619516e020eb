"""What a query finds, in which order, with which score: all computed by hand."""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

import encoders.registry
import glimpse
import search.tags
from core.errors import LibraryError, QueryError
from core.query import Options, Query, Sum, Term
from core.settings import Settings
from core.types import FileStat, Fit, ImageInput, Modality, Pixels, Space, Vectors
from encoders.fake import FakeEncoder
from search.compose import compose
from search.engine import open_engine
from store.records import WHOLE, Taken
from store.writer import Writer
from tests.conftest import paint

COLOURS = {
    "red": (255, 0, 0),
    "green": (0, 255, 0),
    "blue": (0, 0, 255),
    "white": (255, 255, 255),
    "yellow": (255, 255, 0),
}
R2, R3, R6 = math.sqrt(2), math.sqrt(3), math.sqrt(6)


def row(values: npt.ArrayLike) -> Vectors:
    return np.array(values, dtype=np.float32)


def told(hits: list[glimpse.Hit]) -> list[tuple[str, float]]:
    return [(hit.path.stem, hit.score) for hit in hits]


def near(expected: list[tuple[str, float]], tolerance: float = 1e-6) -> list[tuple[str, object]]:
    return [(name, pytest.approx(score, abs=tolerance)) for name, score in expected]


def take_in(library: glimpse.Library, folder: Path, names: list[str]) -> None:
    """Index photos one after another, so that their ids are in this order."""
    folder.mkdir(exist_ok=True)
    for name in names:
        paint(folder / f"{name}.png", COLOURS[name])
        library.index([folder / f"{name}.png"])


@pytest.fixture
def five(library: glimpse.Library, tmp_path: Path) -> glimpse.Library:
    """A library of red, green, blue, white and yellow, with ids from 1 to 5."""
    take_in(library, tmp_path / "in", list(COLOURS))
    return library


@pytest.fixture
def three(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[glimpse.Library]:
    """A library of red, green and blue; its mean photo and its mean tag are both [1, 1, 1] / 3."""
    (tmp_path / "tags.tsv").write_text("tag\tgroup\tparent\nred\tc\t\ngreen\tc\t\nblue\tc\t\n")
    monkeypatch.setattr(search.tags, "data_path", lambda _: tmp_path / "tags.tsv")
    with glimpse.Library(Settings(tmp_path / "library", tmp_path / "cache", "fake")) as library:
        take_in(library, tmp_path / "in", ["red", "green", "blue"])
        yield library


# One term


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("red", [("red", 1), ("yellow", 1 / R2), ("white", 1 / R3), ("green", 0), ("blue", 0)]),
        ("a GREEN house", [("green", 1), ("yellow", 1 / R2), ("white", 1 / R3), ("red", 0), ("blue", 0)]),
        ("red blue", [("white", 2 / R6), ("red", 1 / R2), ("blue", 1 / R2), ("yellow", 0.5), ("green", 0)]),
        ("yellow", [("yellow", 1), ("white", 2 / R6), ("red", 1 / R2), ("green", 1 / R2), ("blue", 0)]),
        ("house", [("white", 1), ("yellow", 2 / R6), ("red", 1 / R3), ("green", 1 / R3), ("blue", 1 / R3)]),
        ("3:red", [("red", 1), ("yellow", 1 / R2), ("white", 1 / R3), ("green", 0), ("blue", 0)]),
    ],
)
def test_words_find_colours_ties_by_id(five: glimpse.Library, query: str, expected: list[tuple[str, float]]) -> None:
    hits = five.search(query)
    assert told(hits) == near(expected)
    assert [hit.id for hit in hits] == [list(COLOURS).index(name) + 1 for name, _ in expected]
    assert {hit.kind for hit in hits} == {"photo"}


def test_a_photo_finds_the_others(five: glimpse.Library, tmp_path: Path) -> None:
    expected = [("yellow", 1 / R2), ("white", 1 / R3), ("green", 0.0), ("blue", 0.0)]
    red = tmp_path / "in" / "red.png"
    assert told(five.similar(red)) == near(expected)
    assert told(five.search(str(red))) == near(expected)
    assert told(five.search(f"2:{red}")) == near(expected)


def test_a_photo_that_is_not_in_the_library_finds_all(five: glimpse.Library, tmp_path: Path) -> None:
    paint(tmp_path / "other.png", (0, 0, 254))
    assert told(five.similar(tmp_path / "other.png")) == near(
        [("blue", 1), ("white", 1 / R3), ("red", 0), ("green", 0), ("yellow", 0)]
    )


def test_a_copy_of_a_photo_leaves_out_the_photo_itself(five: glimpse.Library, tmp_path: Path) -> None:
    paint(tmp_path / "copy.png", COLOURS["red"])
    assert [name for name, _ in told(five.similar(tmp_path / "copy.png"))] == ["yellow", "white", "green", "blue"]


def test_scores_are_never_above_one(library: glimpse.Library, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for number in range(40):
        paint(tmp_path / "in" / f"{number}.png", (255, 5 * number, 3 * number))
    library.index([tmp_path / "in"])
    for number in range(40):
        paint(tmp_path / "query.png", (255, 5 * number, 3 * number), (16, 16))
        assert library.similar(tmp_path / "query.png", k=1)[0].score == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize(("k", "count"), [(1, 1), (3, 3), (5, 5), (1000, 5)])
def test_k(five: glimpse.Library, k: int, count: int) -> None:
    assert told(five.search("red", k)) == told(five.search("red"))[:count]


@pytest.mark.parametrize("k", [0, -1])
def test_fewer_than_one_result_is_an_error(five: glimpse.Library, k: int) -> None:
    with pytest.raises(QueryError, match=f"must be at least 1, not {k}"):
        five.search("red", k)


def test_scores_do_not_depend_on_where_the_vectors_are(
    five: glimpse.Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    tail = five.search("red blue")
    monkeypatch.setattr("store.vectors.TAIL", 0)
    for _ in range(2):  # written, then opened
        five.close()
        assert five.search("red blue") == tail
    assert list((five.settings.library / "index").iterdir())


def test_searching_an_empty_library(library: glimpse.Library, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    library.index([tmp_path / "empty"])
    assert library.search("red") == []
    assert library.search("red", plus=["blue"]) == []


def test_searching_without_a_library(library: glimpse.Library) -> None:
    with pytest.raises(LibraryError, match="make one with: glimpse index FOLDER"):
        library.search("red")


# Many candidates


@pytest.fixture
def crowd(tmp_path: Path) -> Iterator[tuple[Writer, Path]]:
    """A library of 300 photos from red (id 1) towards green (id 300)."""
    angles = np.linspace(0, math.pi / 2, 300)
    rows = np.stack([np.cos(angles), np.sin(angles), 0 * angles], axis=1).astype(np.float32)
    stat = FileStat(1, 1, 1, 1)
    with Writer(tmp_path / "crowd") as library:
        root_id = library.add_root(b"/r", ())
        photos = [
            Taken(root_id, f"{number}".encode(), stat, digest=number.to_bytes(16), size=(1, 1), vectors={WHOLE: row})
            for number, row in enumerate(rows)
        ]
        library.commit(library.add_space(FakeEncoder().space), photos)
        yield library, tmp_path


@pytest.mark.parametrize("gone", [0, 39, 40, 200, 299, 300])
def test_candidates_are_fetched_until_k_are_left(crowd: tuple[Writer, Path], gone: int) -> None:
    library, place = crowd
    library.mark_gone(range(1, gone + 1))
    engine = open_engine(library.folder, FakeEncoder(), place / "cache")
    hits = engine.answer(Query(Sum((Term(Modality.TEXT, "red"),))), Options(5, cut=False)).hits
    assert [hit.id for hit in hits] == list(range(1, 301))[gone:][:5]
    engine.reader.close()


def test_the_best_of_many_are_exact(crowd: tuple[Writer, Path]) -> None:
    library, place = crowd
    engine = open_engine(library.folder, FakeEncoder(), place / "cache")
    hits = engine.answer(Query(Sum((Term(Modality.TEXT, "red"),))), Options(300, cut=False)).hits
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
    assert [hit.score for hit in hits] == pytest.approx(np.cos(np.linspace(0, math.pi / 2, 300)), abs=1e-3)
    engine.reader.close()


# Several terms: [2, -1, -1] / sqrt(6) is red without the mean, and so on


@pytest.mark.parametrize(
    ("query", "plus", "minus", "expected"),
    [
        # [2, -1, -1] + [-1, -1, 2] = [1, -2, 1]
        ("red", ["blue"], [], [("red", 0.5), ("blue", 0.5), ("green", -1)]),
        # [2, -1, -1] - [-1, -1, 2] = [3, 0, -3]
        ("red", [], ["blue"], [("red", R3 / 2), ("green", 0), ("blue", -R3 / 2)]),
        # [4, -2, -2] + [-1, -1, 2] = [3, -3, 0]
        ("2:red", ["blue"], [], [("red", R3 / 2), ("blue", 0), ("green", -R3 / 2)]),
        ("red", [".5:blue"], [], [("red", R3 / 2), ("blue", 0), ("green", -R3 / 2)]),
        # [2, -1, -1] + [-1, -1, 2] - 2 [-1, 2, -1] = [3, -6, 3]
        ("red", ["blue"], ["2:green"], [("red", 0.5), ("blue", 0.5), ("green", -1)]),
        # A photo counts like its colour, and is not in its own results.
        ("in/red.png", ["blue"], [], [("blue", 0.5), ("green", -1)]),
        ("in/red.png", [], ["blue"], [("green", 0), ("blue", -R3 / 2)]),
        ("2:in/red.png", ["in/blue.png"], [], [("green", -R3 / 2)]),
        ("blue", ["in/red.png"], [], [("blue", 0.5), ("green", -1)]),
        ("red", [], ["in/blue.png"], [("red", R3 / 2), ("green", 0)]),
    ],
)
def test_terms_are_centred_weighed_and_summed(
    three: glimpse.Library,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    query: str,
    plus: list[str],
    minus: list[str],
    expected: list[tuple[str, float]],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert told(three.search(query, plus=plus, minus=minus)) == near(expected)


@pytest.mark.parametrize(
    ("query", "plus", "minus"),
    [
        ("red", [], ["red"]),
        ("red", [], [".5:red", ".5:red"]),
        ("in/red.png", [], ["red"]),
        ("in/red.png", ["in/blue.png"], ["red", "blue"]),
        ("red", ["green", "blue"], []),  # together they are the mean
    ],
)
def test_terms_that_cancel_out_are_an_error(
    three: glimpse.Library,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    query: str,
    plus: list[str],
    minus: list[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(QueryError, match="cancel each other out"):
        three.search(query, plus=plus, minus=minus)


def test_each_modality_is_centred_with_its_own_mean() -> None:
    space = FakeEncoder().space
    terms = (Term(Modality.TEXT, "red"), Term(Modality.IMAGE, "blue.png", -2.0))
    means = {Modality.TEXT: row([0.5, 0, 0]), Modality.IMAGE: row([0, 0, 0.5])}
    target = compose(terms, [row([1, 0, 0]), row([0, 0, 1])], space, means)
    # unit([.5, 0, 0]) - 2 unit([0, 0, .5]) = [1, 0, -2]
    assert target.vector == pytest.approx(np.array([1, 0, -2]) / math.sqrt(5))
    # [0, 0, 1] - [0, 0, .5] is [0, 0, 1] again; [1, 0, 0] becomes [1, 0, -.5]
    scores = target.scores(row([[0, 0, 1], [1, 0, 0]]))
    assert scores == pytest.approx([-2 / math.sqrt(5), 2 / math.sqrt(5) / math.sqrt(1.25)])


def test_without_a_mean_terms_are_summed_as_they_are() -> None:
    terms = (Term(Modality.TEXT, "red"), Term(Modality.TEXT, "blue"))
    means = {Modality.TEXT: None, Modality.IMAGE: None}
    target = compose(terms, [row([1, 0, 0]), row([0, 0, 1])], FakeEncoder().space, means)
    assert target.vector == pytest.approx(np.array([1, 0, 1]) / R2)
    assert target.scores(row([[1, 0, 0]])) == pytest.approx([1 / R2])


# A space of two blocks, like the built-in model's


class TwoBlocks:
    """Embed a photo as its colour and, behind it, whether it is bright or dark; texts see the colour alone."""

    batch_size = 32

    def __init__(self) -> None:
        self.space = Space("blocks", "1", dim=5, shared_dim=3, shared_norm=math.sqrt(0.5), centred=True)
        self.image_input = ImageInput(size=8, fit=Fit.SQUASH)

    def prepare_texts(self) -> None:
        pass

    def encode_images(self, pixels: Pixels) -> Vectors:
        bright = pixels.max(axis=(1, 2, 3)) > 128
        behind = np.stack([bright, ~bright], axis=1)
        return (np.hstack([FakeEncoder().encode_images(pixels), behind]) * math.sqrt(0.5)).astype(np.float32)

    def encode_texts(self, texts: Sequence[str]) -> Vectors:
        return np.pad(FakeEncoder().encode_texts(texts), ((0, 0), (0, 2)))


@pytest.fixture
def blocks(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[glimpse.Library]:
    """A library of a red, a dark red and a blue photo, with ids from 1 to 3."""
    monkeypatch.setattr(encoders.registry, "load", lambda *_: TwoBlocks())
    monkeypatch.chdir(tmp_path)
    with glimpse.Library(Settings(tmp_path / "library", cache, "blocks")) as library:
        for name, colour in (("red", (255, 0, 0)), ("dark", (100, 0, 0)), ("blue", (0, 0, 255))):
            paint(tmp_path / f"{name}.png", colour)
            library.index([tmp_path / f"{name}.png"])
        yield library


@pytest.mark.parametrize(
    ("query", "plus", "minus", "expected"),
    [
        # Words see the colour alone, and a perfect match scores 1.
        ("red", [], [], [("red", 1), ("dark", 1), ("blue", 0)]),
        ("red", ["blue"], [], [("red", 1 / R2), ("dark", 1 / R2), ("blue", 1 / R2)]),
        # Pictures see both halves.
        ("red.png", [], [], [("dark", 0.5), ("blue", 0.5)]),
        ("red.png", ["dark.png"], [], [("blue", 1 / (2 * R3))]),
        # A single word makes pictures, too, count by their colour alone.
        ("red.png", ["blue"], [], [("dark", 1 / R2), ("blue", 1 / R2)]),
        ("red.png", [], ["blue"], [("dark", 1 / R2), ("blue", -1 / R2)]),
        ("blue", ["dark.png"], [], [("red", 1 / R2), ("blue", 1 / R2)]),
    ],
)
def test_the_pictures_own_block_counts_only_among_pictures(
    blocks: glimpse.Library, query: str, plus: list[str], minus: list[str], expected: list[tuple[str, float]]
) -> None:
    hits = blocks.search(query, plus=plus, minus=minus)
    assert told(hits) == near(expected, 1e-3)


def test_terms_that_differ_only_behind_cancel_out_beside_words(blocks: glimpse.Library) -> None:
    assert told(blocks.search("red.png", minus=["dark.png"]))[0][0] == "blue"
    with pytest.raises(QueryError, match="cancel"):
        blocks.search("red.png", plus=["red"], minus=["2:dark.png"])


@pytest.mark.parametrize(
    ("content", "reason"),
    [(b"", "the file is empty"), (b"words", "not a photo in a known format"), (b"\xff\xd8\xff", "damaged|cut short")],
)
def test_a_file_that_is_no_picture_cannot_be_asked_with(
    five: glimpse.Library, tmp_path: Path, content: bytes, reason: str
) -> None:
    (tmp_path / "x.jpg").write_bytes(content)
    with pytest.raises(QueryError, match=f"x.jpg cannot be used as a picture: .*({reason})"):
        five.similar(tmp_path / "x.jpg")
