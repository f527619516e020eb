"""What the rows of a library look like, to tell sound ones from rubbish, and those of one table from another's."""

import json
import os
import sqlite3
from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from core.types import Kind, Metadata, Modality, Walk
from store.names import DERIVED

DIGEST_BYTES = 16
HASH_DIGITS = 8
TIERS = ("exhaustive", "ivf")
TILES = ("none", "wide", "all")
VERDICTS = ("added", "removed", "accepted", "rejected")
MEAN_LENGTH = 1.01
"""More than the mean of unit vectors can be."""
TYPES: dict[str, tuple[type, ...]] = {
    "INTEGER": (int,),
    "BIGINT": (int,),
    "BOOLEAN": (int,),
    "FLOAT": (int, float),  # SQLite keeps 2.0 as 2
    "VARCHAR": (str,),
    "TEXT": (str,),
    "BLOB": (bytes,),
}


def _is_object(text: str, may: Set[str] | None = None, must: Set[str] = frozenset()) -> bool:
    """Say whether a text is a JSON object with no other keys than it may have and all that it must."""
    try:
        said = json.loads(text)
    except ValueError:
        return False
    return isinstance(said, dict) and said.keys() >= must and (may is None or said.keys() <= may)


def _are_tests(text: str) -> bool:
    try:
        return all(isinstance(test, dict) for test in json.loads(text))
    except (TypeError, ValueError):
        return False


def _is_mean(data: bytes) -> bool:
    if len(data) % 4:
        return False
    mean = np.frombuffer(data, np.float32).astype(np.float64)
    return bool(np.isfinite(mean).all() and np.linalg.norm(mean) < MEAN_LENGTH)


def _names(kind: type[Metadata] | type[Walk]) -> frozenset[str]:
    return frozenset(field.name for field in fields(kind))


def _is_hash(text: str) -> bool:
    return len(text) == HASH_DIGITS and set(text) <= set("0123456789abcdef")


def _is_path(path: bytes) -> bool:
    return os.path.isabs(path) and b"\0" not in path


RULES: dict[tuple[str, str], Callable[[Any], bool]] = {
    ("contents", "kind"): lambda kind: kind in set(Kind),
    ("contents", "digest"): lambda digest: len(digest) == DIGEST_BYTES,
    ("contents", "metadata"): lambda text: _is_object(text, may=_names(Metadata)),
    ("files", "path"): lambda path: path != b"" and not os.path.isabs(path) and b"\0" not in path,
    ("file_tags", "source"): lambda source: source.isalpha() and source not in TIERS and not _is_hash(source),
    ("library", "tier"): lambda tier: tier in TIERS,
    ("library", "tiles"): lambda tiles: tiles in TILES,
    ("verdicts", "verdict"): lambda verdict: verdict in VERDICTS,
    ("roots", "path"): _is_path,
    ("means", "mean"): _is_mean,
    ("runs", "summary"): lambda text: _is_object(text, must={"added", "failed", "interrupted"}),
    ("sources", "path"): _is_path,
    ("sources", "walk"): lambda text: _is_object(text, may=_names(Walk)),
    ("spaces", "dim"): lambda dim: dim > 0,
    ("spaces", "modality"): lambda modality: modality in (Modality.IMAGE, Modality.SOUND),
    ("towers", "report"): _is_object,
    ("spaces", "self_test"): _are_tests,
    ("tombstones", "fingerprint"): _is_hash,
}
"""What a value must be beside its type."""


@dataclass(frozen=True)
class Column:
    """A column of a table: its name, the types of its values, whether there must be one, and a further rule."""

    name: str
    types: tuple[type, ...]
    required: bool
    boolean: bool
    rule: Callable[[Any], bool] | None

    def takes(self, value: Any) -> bool:
        """Say whether a value may stand here."""
        if value is None:
            return not self.required
        if not isinstance(value, self.types) or (self.boolean and value not in (0, 1)):
            return False
        return self.rule is None or self.rule(value)


@dataclass(frozen=True)
class Layout:
    """The columns of a table behind its id, in the order in which they are stored.

    least: columns that even the oldest row has; a row that is older than a column ends before it.
    """

    table: str
    columns: tuple[Column, ...]
    least: int

    def fits(self, values: Sequence[Any]) -> bool:
        """Say whether the values behind an id are a sound row."""
        if not self.least <= len(values) <= len(self.columns):
            return False
        return all(column.takes(value) for column, value in zip(self.columns, values, strict=False))

    def mended(self, values: Sequence[Any]) -> list[Any]:
        """Return the values with those left out that are wrong and can be told anew, as JSON that is none."""
        pairs = zip(self.columns, values, strict=False)
        return [None if column.rule and not column.required and not column.takes(v) else v for column, v in pairs]


def layouts(db: sqlite3.Connection) -> dict[str, Layout]:
    """Return how the rows of each table of a sound database are stored, those left out that can be made anew."""
    names = [row[0] for row in db.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")]
    return {name: _layout(db, name) for name in names if not name.startswith(("sqlite_", "alembic_", DERIVED))}


def _layout(db: sqlite3.Connection, table: str) -> Layout:
    _, *columns = db.execute(f"PRAGMA table_info({table})").fetchall()
    added = [at for at, column in enumerate(columns) if column[4] is not None or not column[3]]
    least = len(columns)
    while least - 1 in added:  # ALTER TABLE adds columns at the end, and only such as may be left out
        least -= 1
    return Layout(
        table,
        tuple(
            Column(name, TYPES[kind.partition("(")[0]], bool(required), kind == "BOOLEAN", RULES.get((table, name)))
            for _, name, kind, required, *_ in columns
        ),
        max(least, 1),
    )
