"""Suggested tags: the vocabulary, the order, the broader and the narrower, and the cache of their vectors."""

import math
import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pytest

import glimpse
from core.resources import data_path
from core.types import Space, Tag, Vector, Vectors
from encoders.fake import FakeEncoder
from search.tags import TagBank, broader_than, read_vocabulary, without_broader
from tests.conftest import paint

WORDS = read_vocabulary(data_path("tags.tsv"))
GROUPS = {
    "activities", "animals", "colours", "events", "food", "light", "people", "places", "plants", "scenes", "styles",
    "things", "weather",
}  # fmt: skip
PARENTS = {word.tag: word.parent for word in WORDS}
R2, R3 = math.sqrt(2), math.sqrt(3)


def row(values: list[float]) -> Vector:
    return np.array(values, dtype=np.float32)


class CountingEncoder(FakeEncoder):
    """The fake encoder, counting how often it is asked for texts."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = 0

    def encode_texts(self, texts: Sequence[str]) -> Vectors:
        self.asked += 1
        return super().encode_texts(texts)


class Centred(FakeEncoder):
    """The fake encoder with two more dimensions that only pictures fill, and nothing left to centre."""

    def __init__(self) -> None:
        super().__init__()
        self.space = Space("centred", "1", dim=5, shared_dim=3, shared_norm=math.sqrt(0.5), centred=True)

    def encode_texts(self, texts: Sequence[str]) -> Vectors:
        return np.pad(super().encode_texts(texts), ((0, 0), (0, 2)))


@pytest.fixture
def vocabulary(tmp_path: Path) -> Path:
    """Four tags: red, blue, both together as a kind of red, and one that names no colour."""
    path = tmp_path / "tags.tsv"
    path.write_text("tag\tgroup\tparent\nred\tcolours\t\nblue\tcolours\t\nred blue\tmixed\tred\nfog\tweather\t\n")
    return path


# The vocabulary that ships


def test_the_vocabulary_has_about_1500_tags_each_once() -> None:
    assert 1400 <= len(WORDS) <= 1700
    assert len(PARENTS) == len(WORDS)
    assert len({tag.casefold() for tag in PARENTS}) == len(WORDS)


def test_the_vocabulary_is_clean() -> None:
    for word in WORDS:
        assert word.tag == " ".join(word.tag.split())
        assert word.tag
        assert None not in (word.group, word.parent)
    assert data_path("tags.tsv").read_bytes().count(b"\r") == 0


def test_every_group_is_known() -> None:
    assert {word.group for word in WORDS} == GROUPS


def test_every_broader_tag_is_a_tag_itself() -> None:
    assert {parent for parent in PARENTS.values() if parent} <= PARENTS.keys()


def test_no_tag_is_broader_than_itself() -> None:
    for tag in PARENTS:
        seen = {tag}
        while tag := PARENTS[tag]:
            assert tag not in seen
            seen.add(tag)


# Broader and narrower


KIN = {"corgi": "dog", "husky": "dog", "dog": "animal", "cat": "animal", "animal": ""}


@pytest.mark.parametrize(
    ("ranked", "k", "kept"),
    [
        ([], 3, []),
        (["sky", "sea", "sun"], 2, ["sky", "sea"]),
        (["sky"], 5, ["sky"]),
        (["sky", "sea"], 0, []),
        (["corgi", "dog", "animal", "sky"], 2, ["corgi", "sky"]),
        (["animal", "dog", "corgi", "sky"], 2, ["corgi", "sky"]),
        (["animal", "sky", "corgi"], 2, ["sky", "corgi"]),  # full, but the narrower one takes its place
        (["animal", "sky", "sea", "corgi"], 2, ["animal", "sky"]),  # full, and the next one is another thing
        (["dog", "corgi", "husky", "animal"], 3, ["corgi", "husky"]),
        (["corgi", "cat", "dog", "animal", "sky"], 3, ["corgi", "cat", "sky"]),
        (["animal", "dog", "cat", "corgi"], 5, ["cat", "corgi"]),
    ],
)
def test_a_broader_tag_never_stands_beside_a_narrower_one(ranked: list[str], k: int, kept: list[str]) -> None:
    tags = [Tag(name, 1.0 - place / 10, "x") for place, name in enumerate(ranked)]
    result = without_broader(tags, partial(broader_than, parents=KIN), k)
    assert [tag.name for tag in result] == kept
    assert [tag.score for tag in result] == sorted((tag.score for tag in result), reverse=True)


def test_a_circle_of_broader_tags_comes_to_an_end() -> None:
    tags = [Tag("a", 1.0, "x"), Tag("b", 0.5, "x")]
    above = partial(broader_than, parents={"a": "b", "b": "a"})
    assert [tag.name for tag in without_broader(tags, above, 5)] == ["a"]


# Suggestions by hand


def test_suggestions_without_a_library(tmp_path: Path, vocabulary: Path) -> None:
    bank = TagBank(FakeEncoder(), tmp_path / "cache", vocabulary)
    rows = np.array([[1, 0, 0], [0, 0, 1], [1 / R2, 0, 1 / R2], [1 / R3, 1 / R3, 1 / R3]])
    mean = rows.mean(axis=0)
    assert bank.mean() == pytest.approx(mean)
    scores = [float((row - mean) @ [1, 0, 0] / np.linalg.norm(row - mean)) for row in rows]
    tags = bank.suggest(row([1, 0, 0]), None, 5)
    assert [tag.name for tag in tags] == ["red blue", "fog", "blue"]  # "red" is broader than "red blue"
    assert [tag.group for tag in tags] == ["mixed", "weather", "colours"]
    assert [tag.score for tag in tags] == pytest.approx([scores[2], scores[3], scores[1]], abs=1e-6)


def test_suggestions_take_the_librarys_mean_from_the_photo(tmp_path: Path) -> None:
    path = tmp_path / "tags.tsv"
    path.write_text("tag\tgroup\tparent\nred\tc\t\ngreen\tc\t\nblue\tc\t\n")
    bank = TagBank(FakeEncoder(), tmp_path / "cache", path)
    # Tags become [2, -1, -1] / sqrt(6) and so on, the photo [1, 0, 0] - [1, 0, 1] / 2 = [1, 0, -1] / 2.
    tags = bank.suggest(row([1, 0, 0]), row([0.5, 0, 0.5]), 3)
    assert [tag.name for tag in tags] == ["red", "green", "blue"]
    assert [tag.score for tag in tags] == pytest.approx([math.sqrt(3) / 2, 0, -math.sqrt(3) / 2], abs=1e-6)


def test_suggestions_in_a_centred_space_use_the_shared_block_alone(tmp_path: Path, vocabulary: Path) -> None:
    bank = TagBank(Centred(), tmp_path / "cache", vocabulary)
    tags = bank.suggest(row([math.sqrt(0.5), 0, 0, math.sqrt(0.5), 0]), None, 4)
    assert [tag.name for tag in tags] == ["red blue", "fog", "blue"]
    assert [tag.score for tag in tags] == pytest.approx([1 / R2, 1 / R3, 0], abs=1e-6)


def test_a_library_suggests_tags_for_a_photo_outside_it(
    library: glimpse.Library, photos: Path, tmp_path: Path
) -> None:
    paint(tmp_path / "red.png", (250, 10, 10))
    before = library.suggest_tags(tmp_path / "red.png", k=3)
    assert len(before) == 3
    library.index([photos])
    after = library.suggest_tags(tmp_path / "red.png", k=3)
    assert len(after) == 3
    assert [tag.score for tag in before] != [tag.score for tag in after]  # the library's mean was taken off


# The cache


def test_vectors_are_made_once(tmp_path: Path, vocabulary: Path) -> None:
    encoder = CountingEncoder()
    first = TagBank(encoder, tmp_path / "cache", vocabulary).vectors
    again = TagBank(encoder, tmp_path / "cache", vocabulary).vectors
    assert encoder.asked == 1
    assert np.array_equal(first, again)
    assert len(list((tmp_path / "cache" / "tags").iterdir())) == 1


def test_another_vocabulary_has_vectors_of_its_own(tmp_path: Path, vocabulary: Path) -> None:
    encoder = CountingEncoder()
    assert len(TagBank(encoder, tmp_path / "cache", vocabulary).vectors) == 4
    vocabulary.write_text(vocabulary.read_text() + "green\tcolours\t\n")
    assert len(TagBank(encoder, tmp_path / "cache", vocabulary).vectors) == 5
    assert encoder.asked == 2


DAMAGES = {
    "empty": lambda path: os.truncate(path, 0),
    "truncated": lambda path: os.truncate(path, path.stat().st_size - 5),
    "bit flipped": lambda path: path.write_bytes(path.read_bytes()[:-1] + b"\x7f"),
    "garbage": lambda path: path.write_bytes(b"garbage" * 50),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_cache_is_made_anew(tmp_path: Path, vocabulary: Path, damage: str) -> None:
    encoder = CountingEncoder()
    good = TagBank(encoder, tmp_path / "cache", vocabulary).vectors
    (path,) = (tmp_path / "cache" / "tags").iterdir()
    DAMAGES[damage](path)
    for _ in range(2):
        assert np.array_equal(TagBank(encoder, tmp_path / "cache", vocabulary).vectors, good)
    assert encoder.asked == 2


def test_a_cache_that_cannot_be_made_is_no_error(tmp_path: Path, vocabulary: Path) -> None:
    (tmp_path / "cache").touch()
    assert TagBank(FakeEncoder(), tmp_path / "cache", vocabulary).vectors.shape == (4, 3)


def test_a_cache_that_cannot_be_written_is_no_error_and_leaves_nothing(
    tmp_path: Path, vocabulary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", fail)
    assert TagBank(FakeEncoder(), tmp_path / "cache", vocabulary).vectors.shape == (4, 3)
    assert list((tmp_path / "cache" / "tags").iterdir()) == []
