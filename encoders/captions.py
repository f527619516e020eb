"""Short captions of what people photograph and record: the texts that two text towers are compared by.

They are made from data/tags.tsv, data/sounds.tsv and the patterns below, with a little chance that comes out the same
everywhere. All captions of one tag stand together.
"""

import csv
import hashlib
from collections.abc import Iterator, Sequence
from functools import cache
from random import Random
from typing import TypeVar

from core.resources import data_path
from encoders.articles import with_article

RECIPE = 1
"""Raised when the patterns below change."""

T = TypeVar("T")
_TAGS, _SOUNDS = "tags.tsv", "sounds.tsv"
_SEEN = ("{x}", "a photo of {a}", "a picture of {a}", "the sound of {a}")
_HEARD = (
    "{x}", "the sound of {a}", "this is a sound of {a}", "a recording of {a}", "the faint sound of {a}",
    "the loud noise of {a}", "{a} in the distance", "{a} nearby", "a photo of {a}",
)  # fmt: skip
_DONE = ("{who} {x}", "a photo of {who} {x}", "the sound of {who} {x}")
_SCENES = (
    "{a} {where}", "{a} {when}", "{a} {where} {when}", "a photo of {a} {where}", "the sound of {a} {where}",
)  # fmt: skip
_BESIDE = (
    "{a} and {b}", "{a} next to {b}", "{a} with {b} in the background", "a photo of {a} and {b}",
)  # fmt: skip
_AFTER = (
    "{a} and {b}", "{a} and then {b}", "{a} with {b} in the background", "the sound of {a} and {b}", "{a} over {b}",
)  # fmt: skip
_WHO = (
    "a man", "a woman", "a child", "a girl", "a boy", "a family", "friends", "people", "a group of people",
    "an old man", "a young couple", "my father", "our children", "someone",
)  # fmt: skip
_WHERE = (
    "in a kitchen", "in a living room", "in a bedroom", "in a bathroom", "in a garden", "in a park", "in a forest",
    "in a field", "in a meadow", "in the mountains", "in the desert", "in a cave", "in a village", "in a city",
    "in a narrow street", "in a tunnel", "in a garage", "in a workshop", "in a factory", "in a barn", "in a stable",
    "in a classroom", "in an office", "in a library", "in a museum", "in a church", "in a theatre", "in an attic",
    "in a restaurant", "in a bar", "in a shop", "in a supermarket", "in a stadium", "in a gym", "in a hospital",
    "in a car", "in a tent", "in a crowd", "in a large hall", "in a small room", "in the yard", "in the water",
    "on a beach", "on a boat", "on a bridge", "on a farm", "on a roof", "on a balcony", "on a train", "on a stage",
    "on a table", "on the grass", "on the radio", "on television", "on a busy road", "on a country road", "at home",
    "at school", "at a market", "at a railway station", "at an airport", "at a playground", "at a zoo", "at a gig",
    "at a birthday party", "at a fair", "at a lake", "at a harbour", "by the sea", "by a river", "by a fire",
    "under a tree", "under water", "behind a wall", "outside the window", "indoors", "outdoors",
)  # fmt: skip
_WHEN = (
    "at night", "at sunset", "at dawn", "in the morning", "in the evening", "at noon", "in summer", "in autumn",
    "in winter", "in spring", "in the rain", "in the snow", "in the fog", "in the sun", "in the wind",
    "on a cold day", "on a quiet day", "during a storm", "at christmas", "long ago",
)  # fmt: skip
_ADJECTIVES = (
    "red", "blue", "green", "yellow", "white", "black", "brown", "pink", "orange", "purple", "grey", "golden",
    "small", "large", "old", "new", "wet", "broken", "wooden", "beautiful", "strange", "dirty",
)  # fmt: skip
_DESCRIBED = frozenset({"animals", "food", "people", "places", "plants", "things"})
"""Groups of tags that an adjective can stand before."""
_LOOKS = frozenset({"colours", "styles"})
"""Groups of tags that are no things: they cannot be near others, nor make a sound."""


@cache
def captions() -> list[str]:
    """Return more than 20,000 distinct captions of at most 16 words, the same ones in the same order everywhere."""
    dice = _Dice()
    tags, sounds = _read(_TAGS), _read(_SOUNDS)
    things = [_subject(tag, group) for tag, group in tags if group not in _LOOKS]
    noises = [_subject(tag, group) for tag, group in sounds]
    made: list[str] = []
    for tag, group in tags:
        made += [tag, f"a photo of {tag}"] if group in _LOOKS else _seen(tag, group, things, dice)
    for tag, group in sounds:
        made += _heard(tag, group, noises, things, dice)
    return list(dict.fromkeys(made))


def version() -> str:
    """Return a hash of what captions are made from: making them takes longer than a search may spend on it."""
    parts = [str(RECIPE).encode(), *(data_path(name).read_bytes() for name in (_TAGS, _SOUNDS))]
    return hashlib.sha256(b"\0".join(parts)).hexdigest()[:8]


class _Dice:
    """Chance that falls the same way in every version of Python, which only `random()` promises."""

    def __init__(self) -> None:
        self._random = Random(0)  # noqa: S311 - no secret

    def pick(self, among: Sequence[T]) -> T:
        return among[int(self._random.random() * len(among))]


def _seen(tag: str, group: str, things: Sequence[str], dice: _Dice) -> Iterator[str]:
    """Yield captions of something that can be photographed."""
    a = _subject(tag, group)
    yield from (pattern.format(x=tag, a=a) for pattern in _SEEN)
    if group == "activities" and a == tag:
        yield from (pattern.format(x=tag, who=dice.pick(_WHO)) for pattern in _DONE)
    if group in _DESCRIBED:
        yield with_article(f"{dice.pick(_ADJECTIVES)} {tag}")
    yield from _scenes(a, 2, dice)
    yield from _pairs(a, things, _BESIDE, 2, dice)


def _heard(tag: str, group: str, noises: Sequence[str], things: Sequence[str], dice: _Dice) -> Iterator[str]:
    """Yield captions of a sound."""
    a = _subject(tag, group)
    yield from (pattern.format(x=tag, a=a) for pattern in _HEARD)
    yield from _scenes(a, 4, dice)
    yield from _pairs(a, noises, _AFTER, 5, dice)
    yield from _pairs(a, things, _BESIDE, 1, dice)


def _scenes(a: str, count: int, dice: _Dice) -> Iterator[str]:
    for _ in range(count):
        yield dice.pick(_SCENES).format(a=a, where=dice.pick(_WHERE), when=dice.pick(_WHEN))


def _pairs(a: str, others: Sequence[str], patterns: Sequence[str], count: int, dice: _Dice) -> Iterator[str]:
    for _ in range(count):
        yield dice.pick(patterns).format(a=a, b=dice.pick(others))


def _subject(tag: str, group: str) -> str:
    """Return a tag as it stands in a sentence; what people do needs no article."""
    doing = group == "activities" and any(word.endswith("ing") for word in tag.split())
    return tag if doing else with_article(tag)


def _read(name: str) -> list[tuple[str, str]]:
    """Read tags and their groups."""
    with data_path(name).open(encoding="utf-8", newline="") as file:
        return [(row["tag"], row["group"]) for row in csv.DictReader(file, delimiter="\t")]
