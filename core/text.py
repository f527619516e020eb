"""Compare what people type with what is written, whatever its case and however its accents are encoded."""

import re
import unicodedata

_WORD = re.compile(r"[^\W_]+")
_LETTERS = str.maketrans(
    {
        "ø": "o",
        "ł": "l",
        "đ": "d",
        "ð": "d",
        "ħ": "h",
        "\N{LATIN SMALL LETTER DOTLESS I}": "i",
        "æ": "ae",
        "œ": "oe",
        "þ": "th",
    }
)
"""Letters that Unicode does not take apart, and what people without their keys type."""


def fold(text: str) -> str:
    """Return a text without case; macOS writes an accent behind its letter, others write both as one: one here."""
    if text.isascii():
        return text.lower()
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).casefold())


def plain(text: str) -> str:
    """Return a text without case and without accents."""
    if text.isascii():
        return text.lower()
    apart = unicodedata.normalize("NFKD", text.casefold())
    return "".join(letter for letter in apart if not unicodedata.combining(letter)).translate(_LETTERS)


def words(text: str) -> list[str]:
    """Return the runs of letters and digits in a text; of one without any, as an emoji, what blanks divide."""
    return _WORD.findall(text) or text.split()
