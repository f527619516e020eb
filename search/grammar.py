"""Read what a person typed: is it words or a file, and how much does it weigh?"""

import re
from collections.abc import Iterable
from pathlib import Path

from core.errors import MediaError, QueryError
from core.types import Kind, Modality, Query, Term
from media.files import read_head
from media.kinds import HEAD_BYTES, expected_media, expected_recording, photo_format, recording_format

_WEIGHTED = re.compile(r"(\d+\.?\d*|\.\d+):(.+)", re.DOTALL)
_WORDS = "text:"
LEAST_WEIGHT, MOST_WEIGHT = 0.001, 1000


def parse_query(query: str, plus: Iterable[str] = (), minus: Iterable[str] = ()) -> Query:
    """Parse a query with terms to add and to subtract; raises QueryError.

    Each is words or a file (a picture, a sound, a film), with an optional weight in front: `2:night`, `.5:./sea.jpg`.
    """
    terms = [parse_term(query), *map(parse_term, plus)]
    terms += [Term(term.modality, term.value, -term.weight) for term in map(parse_term, minus)]
    return Query(tuple(terms))


def parse_term(typed: str) -> Term:
    """Parse one term; raises QueryError for a file that is not there, an empty text, or a weight of 0."""
    weight = 1.0
    if match := _WEIGHTED.fullmatch(typed):
        weight, typed = float(match[1]), match[2]
        if not LEAST_WEIGHT <= weight <= MOST_WEIGHT:
            raise QueryError(
                f"the weight of '{typed}' must be between {LEAST_WEIGHT} and {MOST_WEIGHT}; subtract with --minus"
            )
    if typed.startswith(_WORDS):
        return Term(Modality.TEXT, _text(typed.removeprefix(_WORDS)), weight)
    file = _file(typed)
    if file is None:
        return Term(Modality.TEXT, _text(typed), weight)
    return Term(modality_of(file), str(file), weight)


def modality_of(file: Path) -> Modality:
    """Say what a file is to ask with; raises QueryError for a recording that cannot be opened."""
    head = read_head(str(file), HEAD_BYTES)
    recorded = expected_recording(file) or recording_format(head, file.name) is not None
    if photo_format(head, file) is not None or not recorded:
        return Modality.IMAGE  # whose reader says what is wrong with what is neither
    from media.recording import open_recording

    try:
        with open_recording(file) as recording:
            return Modality.VIDEO if recording.kind is Kind.VIDEO else Modality.SOUND
    except MediaError as error:
        raise QueryError(f"{file} cannot be used as a recording: {error}") from error


def _file(typed: str) -> Path | None:
    """Return the file that is meant, None if words are: `./x`, `../x`, `~/x`, `/x` are files, and so is x.jpg."""
    path = Path(typed).expanduser() if typed.startswith("~/") else Path(typed)
    try:
        there, folder = path.exists(), path.is_dir()
    except (OSError, ValueError):  # far too long for a name, or with a NUL: words
        there = folder = False
    explicit = typed.startswith(("./", "../", "~/", "/"))
    like_a_file = expected_media(typed) and (there or " " not in typed)
    if not explicit and not like_a_file and not (there and not folder and "/" in typed):
        return None
    if not there:
        raise QueryError(f"there is no file {typed}; to search for these words, write {_WORDS}{typed}")
    if folder:
        raise QueryError(f"{typed} is a folder; name a file in it, or write {_WORDS}{typed} to search for the words")
    return path


def _text(words: str) -> str:
    words = " ".join(words.split())
    if not words:
        raise QueryError("the query is empty; say what to look for, for example: glimpse search 'a cat'")
    return words
