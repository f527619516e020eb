"""What sums of meanings find: exact answers in a toy space of colours and places, and every rule by its formula."""

import itertools
import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import encoders.registry
import glimpse
from core.errors import QueryError
from core.query import Query, Rule, Sum, Term
from core.settings import Settings
from core.types import Fit, ImageInput, Modality, Pixels, Space, Vector, Vectors
from encoders.base import Encoder, unit
from search.compose import compose
from search.rerank import HARRIS, product, projector
from search.rules import mixed_parts

COLOURS = ("red", "green", "blue")
PLACES = ("northwest", "northeast", "southwest", "southeast")
PICTURES = list(itertools.product(COLOURS, PLACES))
ONE_VECTOR = (Rule.ADD, Rule.SLERP, Rule.PROJECT_OUT)


class Toy:
    """Embed a picture as its colour and the quarter that is painted, a text as those it names; with a wide gap.

    The gap between pictures and texts, two dimensions of their own, outweighs all that they say.
    """

    batch_size = 32
    gap = 3.0

    def __init__(self) -> None:
        self.space = Space("toy", "1", dim=9, shared_dim=9)
        self.image_input = ImageInput(size=8, fit=Fit.SQUASH)

    def prepare_texts(self) -> None:
        pass

    def encode_images(self, pixels: Pixels) -> Vectors:
        bright = pixels.astype(np.float32)
        colours = bright.mean(axis=(1, 2)) > 10
        quarters = [bright[:, :4, :4], bright[:, :4, 4:], bright[:, 4:, :4], bright[:, 4:, 4:]]
        places = np.stack([quarter.mean(axis=(1, 2, 3)) > 10 for quarter in quarters], axis=1)
        return self._rows(np.hstack([colours, places]), [self.gap, 0])

    def encode_texts(self, texts: Sequence[str]) -> Vectors:
        named = [[word in text.split() for word in (*COLOURS, *PLACES)] for text in texts]
        return self._rows(np.array(named).reshape(-1, 7), [0, self.gap])

    def _rows(self, said: np.ndarray, gap: list[float]) -> Vectors:
        return unit(np.hstack([said.astype(np.float32), np.tile(np.array(gap, np.float32), (len(said), 1))]))


def paint(folder: Path, colour: str, place: str) -> Path:
    picture = Image.new("RGB", (64, 64))
    corner = (32 * (PLACES.index(place) % 2), 32 * (PLACES.index(place) // 2))
    value = tuple(255 * (colour == name) for name in COLOURS)
    picture.paste(value, (*corner, corner[0] + 32, corner[1] + 32))
    path = folder / f"{colour} {place}.png"
    picture.save(path)
    return path


@pytest.fixture
def toy(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[glimpse.Library]:
    """A library of every colour at every place."""
    monkeypatch.setattr(encoders.registry, "load", lambda *_: Toy())
    for colour, place in PICTURES:
        paint(tmp_path, colour, place)
    with glimpse.Library(Settings(tmp_path / "library", tmp_path / "cache", "toy")) as library:
        library.index([tmp_path])
        yield library


def ranks(
    library: glimpse.Library, folder: Path, rule: Rule | None, with_picture: bool, with_words: bool
) -> list[int]:
    """Return the rank of "the same place in another colour" for every picture and other colour."""
    found = []
    for (colour, place), other in itertools.product(PICTURES, COLOURS):
        if colour == other:
            continue
        picture = Term(Modality.IMAGE, str(folder / f"{colour} {place}.png"))
        words = (Term(Modality.TEXT, colour, -1.0), Term(Modality.TEXT, other))
        terms = (picture,) * with_picture + words * with_words
        hits = library.search(Query(Sum(terms)), k=12, rule=rule)
        found.append([hit.path.stem for hit in hits].index(f"{other} {place}") + 1)
    return found


def test_a_picture_and_words_find_what_neither_finds_alone(toy: glimpse.Library, tmp_path: Path) -> None:
    both = ranks(toy, tmp_path, Rule.ADD, with_picture=True, with_words=True)
    picture = ranks(toy, tmp_path, Rule.ADD, with_picture=True, with_words=False)
    words = ranks(toy, tmp_path, Rule.ADD, with_picture=False, with_words=True)
    assert both == [1] * 24
    # The picture is as near to its own colour elsewhere as to its place in another colour: 3 others, and 1 more.
    assert np.mean(picture) > 1.5
    # The words are as near to all four places: the first, the second, the third or the fourth.
    assert np.mean(words) == 2.5


@pytest.mark.parametrize("rule", [Rule.SLERP, Rule.PROJECT_OUT, Rule.PRODUCT])  # BASIC wants a real vocabulary
def test_every_rule_finds_them_first(rule: Rule, toy: glimpse.Library, tmp_path: Path) -> None:
    assert ranks(toy, tmp_path, rule, with_picture=True, with_words=True) == [1] * 24


def test_examples_find_the_direction_between_them(toy: glimpse.Library, tmp_path: Path) -> None:
    like = [str(tmp_path / f"blue {place}.png") for place in PLACES[:2]]
    unlike = [str(tmp_path / f"red {place}.png") for place in PLACES[:2]]
    hits = toy.search("", k=12, like=like, unlike=unlike)
    assert {hit.path.stem for hit in hits[:2]} == {"blue southwest", "blue southeast"}
    assert not {hit.path.stem for hit in hits} & {Path(path).stem for path in like + unlike}


# Each rule by its formula

A, B = unit(np.array([1, 0.2, 0], np.float32)), unit(np.array([0.3, 1, 0.5], np.float32))


def mixed(rule: Rule, *weighed: tuple[Vector, float]) -> Vector:
    units, weights = zip(*weighed, strict=True)
    vector: Vector = mixed_parts(rule, np.stack(units), np.array(weights, np.float32)).sum(axis=0)
    return vector


def test_add_is_the_weighed_sum() -> None:
    assert mixed(Rule.ADD, (A, 2), (B, -0.5)) == pytest.approx(2 * A - B / 2)


@pytest.mark.parametrize(("a", "b", "along"), [(1, 1, 0.5), (1, 3, 0.75), (0.5, 0.5, 0.5), (2, 1, 1 / 3)])
def test_slerp_goes_along_the_sphere(a: float, b: float, along: float) -> None:
    angle = math.acos(float(A @ B))
    expected = math.sin((1 - along) * angle) / math.sin(angle) * A + math.sin(along * angle) / math.sin(angle) * B
    found = mixed(Rule.SLERP, (A, a), (B, b))
    assert found == pytest.approx(expected, abs=1e-5)
    assert np.linalg.norm(found) == pytest.approx(1, abs=1e-5)


def test_slerp_goes_away_from_what_is_subtracted() -> None:
    assert mixed(Rule.SLERP, (A, 1), (B, -1)) == pytest.approx(mixed(Rule.SLERP, (A, 1), (-B, 1)), abs=1e-6)


@pytest.mark.parametrize("other", [A, -A], ids=["the same", "the opposite"])
def test_slerp_goes_straight_where_there_is_no_sphere_between(other: Vector) -> None:
    found = mixed(Rule.SLERP, (A, 1), (other, 1))
    assert found == pytest.approx((A + other) / 2, abs=1e-3)


def test_projecting_out_leaves_nothing_along_what_is_subtracted() -> None:
    c = unit(np.array([0.1, -1, 0.7], np.float32))
    found = mixed(Rule.PROJECT_OUT, (A, 1), (B, -1), (c, -1))
    assert [float(found @ B), float(found @ c)] == pytest.approx([0, 0], abs=1e-6)
    assert mixed(Rule.PROJECT_OUT, (A, 1), (B, -1)) == pytest.approx(A - (A @ B) * B, abs=1e-6)
    assert mixed(Rule.PROJECT_OUT, (A, 1), (B, -0.25)) == pytest.approx(A - 0.25 * (A @ B) * B, abs=1e-6)
    assert mixed(Rule.PROJECT_OUT, (A, 1), (B, 2)) == pytest.approx(A + 2 * B, abs=1e-6)


def test_projecting_out_of_nothing_is_an_error() -> None:
    with pytest.raises(QueryError, match="nothing left of which something could be projected out"):
        mixed(Rule.PROJECT_OUT, (A, -1))


@pytest.mark.parametrize("rule", ONE_VECTOR)
def test_what_each_term_adds_sums_up_to_the_score(rule: Rule) -> None:
    generator = np.random.default_rng(3)
    vectors = unit(generator.normal(size=(4, 9)).astype(np.float32))
    weights = (1.0, 2.0, -0.5, 0.7)
    terms = [Term(Modality.IMAGE if turn % 2 else Modality.TEXT, "x", weight) for turn, weight in enumerate(weights)]
    means = dict.fromkeys(Modality, None) | {Modality.TEXT: vectors[0] / 3, Modality.IMAGE: vectors[1] / 5}
    target = compose(terms, list(vectors), Toy().space, means, rule=rule)
    rows = unit(generator.normal(size=(20, 9)).astype(np.float32))
    assert target.parts.sum(axis=0) == pytest.approx(target.vector, abs=1e-5)
    assert target.contributions(rows).sum(axis=1) == pytest.approx(target.scores(rows), abs=1e-5)


@pytest.mark.parametrize("rule", [Rule.PRODUCT, Rule.BASIC])
def test_what_pictures_and_words_add_to_a_product_sums_up(rule: Rule) -> None:
    rows = unit(np.random.default_rng(5).normal(size=(30, 3)).astype(np.float32))
    found = product(rule, A, B, lambda some: some, projector(rows[:10], rows[10:15]), rows)
    assert found.contributions(rows).sum(axis=1) == pytest.approx(found.scores(rows), abs=1e-5)


def test_the_product_wants_both_to_fit() -> None:
    pictures, words = np.array([1, 0, 0], np.float32), np.array([0, 1, 0], np.float32)
    rows = unit(np.array([[1, 1, 0], [1, 0, 0], [-1, -1, 0], [2, 1, 0]], np.float32))
    found = product(Rule.PRODUCT, pictures, words, lambda some: some, np.eye(3, dtype=np.float32), rows)
    assert found.scores(rows) == pytest.approx([0.5, 0, 0, 0.4], abs=1e-6)


def test_basic_is_what_its_authors_wrote() -> None:
    generator = np.random.default_rng(7)
    things, styles, sample = (unit(generator.normal(size=(n, 3)).astype(np.float32)) for n in (50, 20, 40))
    spread = 0.8 * things.T @ things / 49 - 0.2 * styles.T @ styles / 19
    values, directions = np.linalg.eigh(spread)
    kept = directions[:, values > 0]
    picture = unit(A @ kept @ kept.T)
    likeness = []
    for vector in (picture, B):
        least = float((sample @ vector).min())
        likeness.append(np.maximum(0, (sample @ vector - least) / abs(least)))
    expected = likeness[0] * likeness[1] - HARRIS * (likeness[0] + likeness[1]) ** 2
    found = product(Rule.BASIC, A, B, lambda some: some, projector(things, styles), sample)
    assert found.scores(sample) == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("rule", [Rule.PRODUCT, Rule.BASIC])
def test_a_product_needs_a_picture_and_words(rule: Rule, toy: glimpse.Library, tmp_path: Path) -> None:
    for terms in ((Term(Modality.TEXT, "red"),), (Term(Modality.IMAGE, str(tmp_path / "red northwest.png")),)):
        with pytest.raises(QueryError, match=f"the rule '{rule}' is for a picture and words together"):
            toy.search(Query(Sum(terms)), rule=rule)


@pytest.mark.parametrize("rule", list(Rule))
def test_explained_hits_add_up(rule: Rule, toy: glimpse.Library, tmp_path: Path) -> None:
    terms = (Term(Modality.IMAGE, str(tmp_path / "red northwest.png")), Term(Modality.TEXT, "blue"))
    for hit in toy.search(Query(Sum(terms)), k=11, rule=rule, explain=True):
        assert sum(value for _, value in hit.contributions) == pytest.approx(hit.score, abs=1e-5)
        assert [name for name, _ in hit.contributions] == [str(tmp_path / "red northwest.png"), "blue"]


# The built-in model


@pytest.mark.parametrize("rule", list(Rule))
def test_what_only_pictures_have_counts_only_among_pictures(rule: Rule, builtin: Encoder) -> None:
    space = builtin.space
    generator = np.random.default_rng(1)
    one, other = unit(generator.normal(size=(2, space.dim)).astype(np.float32))
    words = np.zeros(space.dim, np.float32)
    words[: space.shared_dim] = unit(generator.normal(size=space.shared_dim).astype(np.float32))
    none = dict.fromkeys(Modality, None)
    pictures = [Term(Modality.IMAGE, "a"), Term(Modality.IMAGE, "b")]
    seen = compose(pictures, [one, other], space, none, rule=rule)
    assert seen.whole and seen.vector[space.shared_dim :].any()
    mixed = compose([*pictures, Term(Modality.TEXT, "c")], [one, other, words], space, none, rule=rule)
    assert (
        not mixed.whole
        and not mixed.vector[space.shared_dim :].any()
        and not mixed.parts[:, space.shared_dim :].any()
    )
