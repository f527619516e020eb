"""The index of words: what can be read about each file, and in it, in the table `words` of SQLite's FTS5.

It has a row for each file with a content; its rowid is the file's id. It is derived from the other tables: triggers
(migration 5) note in `words_stale` each file of which something changes, whoever changes it, and `refresh` writes the
rows of those anew at the end of the same transaction. So no way of writing can forget it.
"""

import csv
import json
import os
import re
import sqlite3
import unicodedata
from collections.abc import Collection, Iterable
from functools import cache, lru_cache
from typing import Any

from core.resources import data_path
from store import listing
from store.names import DERIVED
from store.reader import Asset, Reader

WEIGHTS = {
    "name": 8, "title": 8, "tags": 8, "description": 4, "artist": 4, "place": 4, "text": 2, "date": 2, "folders": 2,
    "camera": 1,
}  # fmt: skip
"""The columns, and how much a word counts in each: what was said of this very file, more than where it lies."""
TOKENIZER = "unicode61 remove_diacritics 2"
MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
    "December",
)  # fmt: skip
OPTIONAL = {
    "a", "about", "an", "and", "are", "as", "at", "be", "by", "for", "from", "has", "have", "her", "his", "i",
    "in", "into", "is", "it", "its", "me", "my", "of", "on", "or", "our", "s", "that", "the", "their", "them",
    "these", "they", "this", "those", "to", "was", "we", "were", "where", "which", "with", "you", "your",
}  # fmt: skip
"""Words that a file need not have."""
COMMON = 20_000
"""Files with the words of a question beyond which these are no name of any: "photos" is in the path of all."""
MOST = 64
"""Words of a question beyond which nobody looks: a whole page that was pasted is no question."""
_ALONE = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
"""Kana and Han, which are written without spaces: each is a word."""
_RUN = re.compile(rf"[{_ALONE}]|[^\W_{_ALONE}]+")
_PIECE = re.compile(r"[A-Z]+(?![^\W\d_A-Z])|[A-Z]?[^\W\d_A-Z]+|\d+")
_ROWS = """
SELECT f.id, f.path, r.path, m.title, m.description, m.artist, m.town, m.region, m.country, m.taken, m.make, m.camera,
  c.text,
  (SELECT group_concat(name, char(10)) FROM (
    SELECT t.name FROM file_tags ft JOIN tags t ON t.id = ft.tag_id WHERE ft.file_id = f.id AND NOT EXISTS (
      SELECT 1 FROM verdicts v WHERE v.content_id = c.id AND v.tag_id = t.id AND v.verdict IN ('removed', 'rejected'))
    UNION SELECT t.name FROM verdicts v JOIN tags t ON t.id = v.tag_id
      WHERE v.content_id = c.id AND v.verdict IN ('added', 'accepted') ORDER BY 1))
FROM {source} JOIN contents c ON c.id = f.content_id JOIN roots r ON r.id = f.root_id
LEFT JOIN metadata m ON m.file_id = f.id
"""
_STALE = _ROWS.format(source="words_stale w CROSS JOIN files f ON f.id = w.file_id")
_ALL = _ROWS.format(source="files f")
_INSERT = f"INSERT INTO words (rowid, {', '.join(WEIGHTS)}) VALUES ({', '.join('?' * (len(WEIGHTS) + 1))})"  # noqa: S608

Row = tuple[int, *tuple[str, ...]]
"""A row of the table: the file's id, and the words of each column, with spaces between them."""


# Writing


def refresh(db: sqlite3.Connection) -> None:
    """Write the rows anew of all files of which something changed, in the caller's transaction."""
    if db.execute("SELECT 1 FROM words_stale LIMIT 1").fetchone():
        db.execute("DELETE FROM words WHERE rowid IN (SELECT file_id FROM words_stale)")
        db.executemany(_INSERT, map(_row, db.execute(_STALE)))
        db.execute("DELETE FROM words_stale")


def rebuild(db: sqlite3.Connection) -> None:
    """Make the whole table anew, in the caller's transaction: SQLite itself need not be able to read the old one."""
    db.execute(f"DROP TABLE IF EXISTS {DERIVED}")
    db.execute(f"CREATE VIRTUAL TABLE {DERIVED} USING fts5({', '.join(WEIGHTS)}, tokenize = '{TOKENIZER}')")
    db.executemany(_INSERT, map(_row, db.execute(_ALL)))
    db.execute("DELETE FROM words_stale")


def exists(db: sqlite3.Connection) -> bool:
    """Say whether a schema is one that has the table."""
    return db.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (DERIVED,)).fetchone() is not None


def is_right(db: sqlite3.Connection) -> bool:
    """Say whether the table is what one made anew would be, its rows and its words; the database is only read.

    Raises sqlite3.Error where the table cannot be read. (FTS5's own check wants to write; SQLite's knows of it from
    3.44 on.)
    """
    columns = ", ".join(WEIGHTS)
    same = (
        (f"rowid, {columns} FROM main.words", f"rowid, {columns} FROM temp.anew"),
        ("* FROM main.words_docsize", "* FROM temp.anew_docsize"),
        ("* FROM temp.said", "* FROM temp.meant"),
    )
    db.execute("BEGIN")
    try:
        db.execute(f"CREATE VIRTUAL TABLE temp.anew USING fts5({columns}, tokenize = '{TOKENIZER}')")
        db.execute("CREATE VIRTUAL TABLE temp.said USING fts5vocab(main, words, row)")
        db.execute("CREATE VIRTUAL TABLE temp.meant USING fts5vocab(temp, anew, row)")
        db.executemany(_INSERT.replace("words", "temp.anew", 1), map(_row, db.execute(_ALL)))
        differ = (f"SELECT {a} EXCEPT SELECT {b}" for pair in same for a, b in (pair, pair[::-1]))
        return not any(db.execute(query).fetchone() for query in differ)
    finally:
        db.execute("ROLLBACK")


def split(text: str) -> list[str]:
    """Return the words of a text as the index has them: in lower case, without accents.

    What is written together is a word, and so is each part of it that begins with a capital or is of digits alone:
    IMG_2023InvoiceLisbon gives img, 2023invoicelisbon, 2023, invoice, lisbon.
    """
    return [word for run in _runs(text) for word in _with_pieces(run)]


def _runs(text: str) -> list[str]:
    """Return what is written together, without accents."""
    if not text.isascii():
        apart = unicodedata.normalize("NFKD", text)
        text = "".join(letter for letter in apart if not unicodedata.combining(letter))
    found: list[str] = _RUN.findall(text)
    return found


def _with_pieces(run: str) -> list[str]:
    pieces = _PIECE.findall(run)
    return [word.casefold() for word in (run, *pieces)] if len(pieces) > 1 else [run.casefold()]


def _row(said: tuple[Any, ...]) -> Row:
    """Return the row of a file, of what the other tables say."""
    key, path, root, title, description, artist, town, region, country, taken, make, camera, text, tags = said
    folder, name = os.path.split(path)
    columns = {
        "name": _joined(_decoded(name)),
        "title": _joined(title),
        "tags": _joined(tags),
        "description": _joined(description),
        "artist": _joined(artist),
        "place": _usual("\n".join(filter(None, (town, region, country, _countries().get(country))))),
        "text": _joined(text),
        "date": _usual(_date(taken)),
        "folders": _usual(_decoded(os.path.join(os.path.basename(root), folder))),
        "camera": _usual("\n".join(filter(None, (make, camera)))),
    }
    return key, *(columns[column] for column in WEIGHTS)


def _joined(text: str | None) -> str:
    return " ".join(split(text)) if text else ""


_usual = lru_cache(4096)(_joined)
"""The same for what many files have in common."""


def _decoded(path: bytes) -> str:
    """Return a path as people read it; names that are no UTF-8 are of systems that wrote Latin-1."""
    try:
        return path.decode()
    except UnicodeDecodeError:
        return path.decode("latin-1")


def _date(taken: str | None) -> str:
    """Return the year, the number and the name of the month."""
    found = re.match(r"(\d{4})-(\d\d)", taken or "")
    return f"{found[0]} {MONTHS[int(found[2]) - 1]}" if found and 1 <= int(found[2]) <= 12 else ""


@cache
def _countries() -> dict[str, str]:
    """Return the names of countries by their codes, ISO 3166."""
    with data_path("countries.tsv").open(encoding="utf-8", newline="") as file:
        return {row["code"]: row["name"] for row in csv.DictReader(file, delimiter="\t")}


# Reading


def found(
    reader: Reader, text: str, limit: int | None = None, among: Iterable[int] | None = None
) -> list[tuple[int, float]]:
    """Return (content id, rank) of what has all the words of a text, the best first, ties by id.

    rank: BM25 of its best file, the higher the better, in tenths: what differs less is a tie. limit: how many at
    most, None for all; among: only these contents. Words that are in every English sentence need not be there; a
    word is also found in the singular or plural that an s makes, and otherwise whole: a prefix would find
    cathedrals for cats. Words that more than COMMON files have find none.
    """
    asked = _asked(text)
    if not asked or _is_common(reader, asked):
        return []
    weights = ", ".join(f"{weight}.0" for weight in WEIGHTS.values())
    few = "" if among is None else "AND f.content_id IN (SELECT value FROM json_each(?))"
    rows = reader.rows(  # MATERIALIZED, since bm25 has no place in an aggregate
        f"WITH matched AS MATERIALIZED (SELECT f.content_id AS content, bm25(words, {weights}) AS score FROM words "  # noqa: S608
        f"JOIN files f ON f.id = words.rowid AND NOT f.gone WHERE words MATCH ? {few}) "
        "SELECT content, round(-min(score), 1) AS rank FROM matched GROUP BY 1 ORDER BY rank DESC, content LIMIT ?",
        asked,
        *(() if among is None else (json.dumps([int(key) for key in among]),)),
        -1 if limit is None else limit,
    )
    return [(int(content), float(rank)) for content, rank in rows]


def _is_common(reader: Reader, asked: str) -> bool:
    """Say whether so many files have the words that these name none of them; to rank them would take a second."""
    return reader.tally("(SELECT 1 FROM words WHERE words MATCH ? LIMIT ?)", asked, COMMON + 1) > COMMON


def assets(reader: Reader, text: str, content_ids: Collection[int]) -> dict[int, Asset]:
    """Return contents that `found` found, whether or not they have vectors; the files that have the words first."""
    has_words = reader.where_in(
        "SELECT f.id FROM files f WHERE f.id IN (SELECT rowid FROM words WHERE words MATCH ?) AND f.content_id IN",
        content_ids,
        _asked(text),
    )
    return listing.assets(reader, content_ids, {file_id for (file_id,) in has_words})


def _asked(text: str) -> str:
    """Return a question in FTS5's language, "" for none: each word quoted, so that no word is one of its own."""
    words = dict.fromkeys(_runs(text))
    said = [word for word in words if word.casefold() not in OPTIONAL] or list(words)
    return " AND ".join(f"({_any_form(word)})" for word in said[:MOST])


def _any_form(run: str) -> str:
    """Return a word, or its singular or plural, or all of the pieces that it is made of."""
    whole, *pieces = _with_pieces(run)
    other = whole.removesuffix("s") if whole.endswith("s") else f"{whole}s"
    forms = [f'"{form}"' for form in ((whole, other) if len(whole) > 2 and whole.isalpha() else (whole,))]
    if pieces:
        forms.append("({})".format(" AND ".join(f'"{piece}"' for piece in pieces)))
    return " OR ".join(forms)
