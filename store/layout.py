"""What the rows of a library look like, to tell sound ones from rubbish, and those of one table from another's."""

import json
import os
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

DIGEST_BYTES = 16
TYPES: dict[str, tuple[type, ...]] = {
    "INTEGER": (int,),
    "BIGINT": (int,),
    "BOOLEAN": (int,),
    "FLOAT": (int, float),  # SQLite keeps 2.0 as 2
    "VARCHAR": (str,),
    "TEXT": (str,),
    "BLOB": (bytes,),
}


def _is_json(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict | list)
    except ValueError:
        return False


def _is_path(path: bytes) -> bool:
    return os.path.isabs(path) and b"\0" not in path


RULES: dict[tuple[str, str], Callable[[Any], bool]] = {
    ("contents", "digest"): lambda digest: len(digest) == DIGEST_BYTES,
    ("contents", "metadata"): _is_json,
    ("files", "path"): lambda path: path != b"" and not os.path.isabs(path) and b"\0" not in path,
    ("file_tags", "source"): lambda source: source.isalpha(),
    ("library", "tier"): lambda tier: tier in ("exhaustive", "ivf"),
    ("roots", "path"): _is_path,
    ("runs", "summary"): _is_json,
    ("sources", "path"): _is_path,
    ("sources", "walk"): _is_json,
    ("spaces", "dim"): lambda dim: dim > 0,
    ("spaces", "self_test"): _is_json,
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


def layouts(db: sqlite3.Connection) -> dict[str, Layout]:
    """Return how the rows of each table of a sound database are stored."""
    names = [row[0] for row in db.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")]
    return {name: _layout(db, name) for name in names if not name.startswith(("sqlite_", "alembic_"))}


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
