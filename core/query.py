"""What somebody asks: sums of meanings, sets of filters, and how the answer is to look.

A `Sum` ranks everything by likeness; a `Filter` is a set. `And`, `Or` and `Not` join sets; where a Sum stands among
them, it is the set of what it finds: the hits that its list ends with (search/cutoff.py).
"""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TypeAlias

from core.types import Kind, Modality


class Stored(StrEnum):
    """Something in the library that a term names."""

    TAG = "tag"
    CONTENT = "id"


@dataclass(frozen=True)
class Term:
    """One part of a sum: a text, a file of pixels or sound, or something stored; negative weights subtract.

    value: the words, the path, the name of the tag, or the number of the content (`Hit.id`); modality: of what the
    vector is made; of something stored, whatever it turns out to be.
    """

    modality: Modality
    value: str
    weight: float = 1.0
    stored: Stored | None = None


@dataclass(frozen=True)
class Sum:
    """Terms that are weighed and added up to one meaning; never empty."""

    terms: tuple[Term, ...]


class Field(StrEnum):
    """What can be filtered by; the value says how it is typed: `camera:pixel`."""

    TAG = "tag"
    HAS = "has"
    IN = "in"
    NAME = "name"
    KIND = "kind"
    DATE = "date"
    CAMERA = "camera"
    LENS = "lens"
    PLACE = "place"
    NEAR = "near"
    RATING = "rating"
    SHAPE = "shape"
    SIZE = "size"
    BYTES = "bytes"
    WIDTH = "width"
    HEIGHT = "height"


class Has(StrEnum):
    """What a file can have or lack."""

    TAG = "tag"
    DATE = "date"
    PLACE = "place"
    RATING = "rating"
    TITLE = "title"
    TEXT = "text"
    SOUND = "sound"


class Shape(StrEnum):
    """Width against height: a panorama is at least twice as wide as high, or as high as wide."""

    LANDSCAPE = "landscape"
    PORTRAIT = "portrait"
    SQUARE = "square"
    PANORAMA = "panorama"


@dataclass(frozen=True)
class Range:
    """Numbers from low to high, both included unless `open_low`, `open_high`; None: no end on that side."""

    low: float | None = None
    high: float | None = None
    open_low: bool = False
    open_high: bool = False


@dataclass(frozen=True)
class Days:
    """Local wall time from `start`, included, to `end`, not included: ISO 8601, as 2023-06-01; None: no end."""

    start: str | None = None
    end: str | None = None


@dataclass(frozen=True)
class Near:
    """Within some kilometres of a point; degrees."""

    latitude: float
    longitude: float
    kilometres: float


@dataclass(frozen=True)
class Filter:
    """A set: what has this value in this field.

    value by field: TAG, CAMERA, LENS, PLACE, NAME: words that are to be found in it, whatever their case, of a tag
    whole ones, narrower tags included; IN: an absolute folder; HAS: a `Has`; KIND: a `Kind`; SHAPE: a `Shape`; DATE:
    `Days`; NEAR: `Near`; RATING: a `Range` of stars; SIZE: of megapixels; BYTES: of bytes; WIDTH, HEIGHT: of px.
    """

    field: Field
    value: "str | Range | Days | Near"


@dataclass(frozen=True)
class And:
    """What is in all parts, at least two."""

    parts: "tuple[Node, ...]"


@dataclass(frozen=True)
class Or:
    """What is in any part, of at least two."""

    parts: "tuple[Node, ...]"


@dataclass(frozen=True)
class Not:
    """What is not in a part."""

    part: "Node"


Node: TypeAlias = Sum | Filter | And | Or | Not


@dataclass(frozen=True)
class Query:
    """A whole question."""

    root: Node

    @property
    def terms(self) -> tuple[Term, ...]:
        """All terms, in order."""
        return tuple(term for some in sums(self.root) for term in some.terms)


def sums(node: Node) -> "list[Sum]":
    """Return the sums in a question, in order."""
    if isinstance(node, Sum):
        return [node]
    if isinstance(node, Filter):
        return []
    parts = (node.part,) if isinstance(node, Not) else node.parts
    return [found for part in parts for found in sums(part)]


def narrowed(query: Query, folder: Path | None = None, kind: Kind | None = None) -> Query:
    """Return a question for what lies in a folder (absolute) or below it, and is of a kind; None: no matter."""
    filters: list[Node] = []
    if folder is not None:
        filters.append(Filter(Field.IN, str(folder)))
    if kind is not None:
        filters.append(Filter(Field.KIND, kind.value))
    root = query.root.parts if isinstance(query.root, And) else (query.root,)
    return Query(And((*root, *filters))) if filters else query


class Rule(StrEnum):
    """How the terms of a sum become a score: one vector, or a product over pictures and words."""

    ADD = "add"
    SLERP = "slerp"
    PROJECT_OUT = "project-out"
    PRODUCT = "product"
    BASIC = "basic"


class Order(StrEnum):
    """How hits are ordered."""

    SCORE = "score"
    DATE = "date"


@dataclass(frozen=True)
class Options:
    """How a question is answered.

    k: hits at most; cut: leave out what is not sure enough to be shown; exact: compare every vector; collapse: show
    what is much alike as one; diverse: prefer hits unlike those before them; explain: say what each term adds.
    """

    k: int = 10
    cut: bool = True
    exact: bool = False
    rule: Rule = Rule.ADD
    order: Order = Order.SCORE
    collapse: bool = False
    diverse: bool = False
    explain: bool = False
