"""Words and names in a row: together they are one text, or one file."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from core.errors import QueryError, QuerySyntaxError
from core.query import Field, Term
from media.kinds import expected_media
from search.fields import EXAMPLES
from search.syntax import value_of
from search.terms import TEXT, existing_file, file_named, file_term, located, quoted, text_term, unquoted

if TYPE_CHECKING:
    from lark import Token

BESIDE = "two things to look for stand side by side; write + between them to add them up, or and, or or"
_FIELD_LIKE = re.compile(r"([A-Za-z]{2,}):(.+)", re.DOTALL)
_OTHER_NAMES = {
    "folder": Field.IN, "path": Field.IN, "file": Field.NAME, "filename": Field.NAME, "type": Field.KIND,
    "year": Field.DATE, "month": Field.DATE, "before": Field.DATE, "after": Field.DATE, "since": Field.DATE,
    "make": Field.CAMERA, "model": Field.CAMERA, "stars": Field.RATING, "orientation": Field.SHAPE,
    "tags": Field.TAG, "keyword": Field.TAG, "keywords": Field.TAG,
    "city": Field.PLACE, "country": Field.PLACE, "location": Field.PLACE,
}  # fmt: skip
_CLOSE_ENOUGH, _LONG = 0.8, 4  # with one letter wrong of five; of less, one more or missing


@dataclass(frozen=True)
class Chunk:
    """Some characters between blanks, or what is in quotes; bare: without quotes; text: words in any case."""

    start: int
    end: int
    value: str
    bare: bool = True
    text: bool = False


def run_term(text: str, chunks: list[Chunk]) -> Term:
    """Return what adjacent words and names mean together: one text, or one file."""
    whole = text[chunks[0].start : chunks[-1].end]
    file = existing_file(whole) if all(chunk.bare for chunk in chunks) and expected_media(whole) else None
    if file is not None:  # a name with blanks
        with located(text, chunks[0].start):
            return file_term(file)
    parts: list[tuple[int, Term | list[str]]] = []
    for chunk in chunks:
        with located(text, chunk.start):
            file = None if chunks[0].text or chunk.text else _file(chunk, None if len(chunks) == 1 else whole)
            if file is not None:
                parts.append((chunk.start, file_term(file)))
            elif parts and isinstance(parts[-1][1], list):
                parts[-1][1].append(chunk.value)
            else:
                parts.append((chunk.start, [chunk.value]))
    if len(parts) > 1:
        raise QuerySyntaxError(BESIDE, text, parts[1][0])
    start, found = parts[0]
    with located(text, start):
        return found if isinstance(found, Term) else text_term(" ".join(found))


def _file(chunk: Chunk, whole: str | None) -> Path | None:
    """Return the file that a chunk names; raises QueryError for one that is not there, and for a slip of the pen."""
    if chunk.bare:
        if match := _FIELD_LIKE.fullmatch(chunk.value):
            _check_field(match[1].lower(), match[2], chunk.value)
        if whole is not None and chunk.value == "/":
            return None
    return file_named(chunk.value, whole)


def _check_field(name: str, value: str, typed: str) -> None:
    """Refuse what is nearly a filter; much else has a colon in it, as `http://` and `re:invent`."""
    if value.startswith("//"):
        return
    from difflib import get_close_matches

    near = get_close_matches(name, [field for field in Field if len(field) >= _LONG], 1, _CLOSE_ENOUGH)
    meant = _OTHER_NAMES.get(name) or (near[0] if near else None)
    if meant:
        raise QueryError(
            f"there is no filter {name}:, did you mean {meant}: ({EXAMPLES[Field(meant)]})? "
            f"To search for these words, write {TEXT}{quoted(typed[:40])}"
        )


def chunk_of(token: "Token") -> Chunk:
    """Return what a token of words says; raises QueryError for quotes that never end."""
    value, start, end = str(token), token.start_pos or 0, token.end_pos or 0
    if token.type == "TEXT":
        return Chunk(start, end, value_of(value[len(TEXT) :].strip()), False, True)
    if token.type == "STRING":
        return Chunk(start, end, unquoted(value), False)
    value_of(value.removeprefix("#"))
    return Chunk(start, end, value)
