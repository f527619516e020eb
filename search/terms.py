"""Words and files: what a run of words means, and what kind of file is asked with."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from core.errors import MediaError, QueryError, QuerySyntaxError
from core.query import Term
from core.types import Kind, Modality
from media.files import read_head
from media.kinds import HEAD_BYTES, expected_media, expected_recording, photo_format, recording_format

TEXT = "text:"
LEAST_WEIGHT, MOST_WEIGHT = 0.001, 1000.0
NUMBER = r"(?:\d+(?:\.\d*)?|\.\d+)"
KEYWORDS = ("and", "or", "not")

_EXPLICIT = ("./", "../", "~/", "/")
_WEIGHTED_FILE = re.compile(rf"(\s*[-+]?{NUMBER}(?:\s*\*\s*|:\s*))(.+)", re.DOTALL)
_PLAIN_WORD = re.compile(r"[^\W\d_]\w*(?:[-'\u2019]\w+)*")
_BARE = re.compile(r"[\w./~][^\s()\"'\\*:]*")
_SHOWN = 80


def text_term(words: str) -> Term:
    """Return words as a term; raises QueryError where there are none."""
    words = " ".join(words.split())
    if not words:
        raise QueryError("there are no words here; say what to look for, for example: a cat")
    return Term(Modality.TEXT, words)


def file_term(file: Path) -> Term:
    """Return a file as a term; raises QueryError for a recording that cannot be opened."""
    return Term(modality_of(file), str(file))


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


def like_a_file(typed: str) -> bool:
    """Say whether this can only be a file: `./x`, `../x`, `~/x`, `/x`, and what is called like one: `x.jpg`."""
    return typed.startswith(_EXPLICIT) or expected_media(typed)


def file_named(typed: str, whole: str | None = None) -> Path | None:
    """Return the file that is meant, None if words are; raises QueryError for one that is not there.

    Besides what is like a file, so is what has a "/" and is there. whole: the words that it stands among.
    """
    if not like_a_file(typed) and "/" not in typed:
        return None
    path, there, folder = _look(typed)
    if not like_a_file(typed) and (not there or folder):
        return None
    shown = typed if len(typed) <= _SHOWN else f"{typed[:_SHOWN]}..."
    if not there:
        nor = "" if whole is None or whole == typed else f", nor '{whole[:_SHOWN]}'"
        raise QueryError(f"there is no file {shown}{nor}; to search for these words, write {TEXT}{quoted(shown)}")
    if folder:
        raise QueryError(
            f"{shown} is a folder; name a file in it, or write {TEXT}{quoted(shown)} to search for the words"
        )
    return path


def existing_file(typed: str) -> Path | None:
    """Return the file that has just this name, blanks and all, None where there is none."""
    if typed.startswith(TEXT) or not (like_a_file(typed) or "/" in typed):
        return None
    path, there, folder = _look(typed)
    return path if there and not folder else None


def weighted_file(typed: str) -> tuple[str, str] | None:
    """Split a weight, which may be "", from a file that is there and needs no quotes; None where none is named."""
    if existing_file(typed):
        return "", typed
    match = _WEIGHTED_FILE.fullmatch(typed)
    return (match[1], match[2]) if match and existing_file(match[2]) else None


def quoted(words: str) -> str:
    """Put words in quotes, unless they mean the same without."""
    bare = _BARE.fullmatch(words) and words.lower() not in KEYWORDS
    return words if bare else strictly_quoted(words)


def strictly_quoted(words: str) -> str:
    r"""Put words in quotes, with \" and \\ for what would end or mask them."""
    escaped = words.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def unquoted(typed: str) -> str:
    """Return what is in quotes; a mask before anything else than a quote or a mask is a character like others."""
    return re.sub(r"\\([\\\"'])", r"\1", typed[1:-1])


def plain_words(words: str) -> bool:
    """Say whether these are words wherever they stand, without quotes."""
    return all(_PLAIN_WORD.fullmatch(word) and word.lower() not in KEYWORDS for word in words.split(" "))


def joined(arguments: Sequence[str]) -> str:
    """Join the arguments of a command line to one question; what names a file that is there gets its quotes."""
    return arguments[0] if len(arguments) == 1 else " ".join(map(_argument, arguments))


def _argument(typed: str) -> str:
    split = weighted_file(typed)
    return typed if split is None else split[0] + quoted(split[1])


def _look(typed: str) -> tuple[Path, bool, bool]:
    """Return a path, whether it is there, and whether it is a folder."""
    path = Path(typed)
    try:
        path = path.expanduser() if typed.startswith("~/") else path
        return path, path.exists(), path.is_dir()
    except (OSError, ValueError, RuntimeError):  # far too long for a name, with a NUL; no home
        return path, False, False


def weight_of(typed: str) -> float:
    """Return the number of a weight: `2*`, `.5:`."""
    return float(typed.strip().rstrip("*:"))


def weighed(term: Term, weight: float) -> Term:
    """Return a term that counts more or less; raises QueryError where that is next to nothing, or out of bounds."""
    total = term.weight * weight
    if not LEAST_WEIGHT <= abs(total) <= MOST_WEIGHT:
        raise QueryError(
            f"the weight of '{term.value[:40]}' must be between {LEAST_WEIGHT} and {MOST_WEIGHT:.0f}, not {total:g}"
        )
    return replace(term, weight=total)


@contextmanager
def located(text: str, position: int) -> Iterator[None]:
    """Say at which character an error is."""
    try:
        yield
    except QuerySyntaxError:
        raise
    except QueryError as error:
        raise QuerySyntaxError(str(error), text, position) from error
