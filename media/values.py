"""Hold what others wrote into a photo to what it may be: text without control characters, sane numbers."""

import math
import re
from collections.abc import Iterable
from typing import Any

NAME_LENGTH = 200
"""Longest make, camera, lens, title or keyword that is kept, in characters."""
DESCRIPTION_LENGTH = 10_000
MAX_KEYWORDS = 1_000

_CONTROLS = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")


def line(value: str | bytes | None) -> str | None:
    """Return a text as one line of at most NAME_LENGTH characters, None where nothing is left of it."""
    return " ".join(_plain(value).split())[:NAME_LENGTH].strip() or None


def paragraphs(value: str | bytes | None) -> str | None:
    """Return a text with its line breaks, at most DESCRIPTION_LENGTH characters, None where nothing is left of it."""
    return _plain(value).replace("\r\n", "\n").replace("\r", "\n").strip()[:DESCRIPTION_LENGTH].rstrip() or None


def decoded(value: bytes) -> str:
    """Return bytes of an unnamed encoding as text: UTF-8 where they are that, else Windows-1252.

    EXIF and IPTC say ASCII or leave it open, and today's programs write UTF-8; other text is hardly ever valid UTF-8.
    """
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return value.decode("cp1252", "replace")


def _plain(value: str | bytes | None) -> str:
    """Return the text up to the first NUL, without control characters and halves of characters."""
    text = decoded(value) if isinstance(value, bytes) else value or ""
    return _CONTROLS.sub("", text.lstrip("\0").partition("\0")[0])


def number(value: Any) -> float | None:
    """Return a finite float, the first of several values; None for everything else, a fraction over 0 included."""
    if isinstance(value, (tuple, list)):
        value = value[0] if value else None
    try:
        if isinstance(value, str) and "/" in value:
            above, below = value.split("/", 1)
            value = float(above) / float(below)
        real = float(value)
    except (TypeError, ValueError, ArithmeticError):
        return None
    return real if math.isfinite(real) else None


def positive(value: Any) -> float | None:
    """Return a number of 1e-9 to 1e9, as every exposure, aperture and length is: cameras write 0 for unknown."""
    real = number(value)
    return real if real is not None and 1e-9 <= real <= 1e9 else None


def whole(value: Any, least: int, most: int) -> int | None:
    """Return a number rounded to an int, None outside least..most."""
    real = number(value)
    return round(real) if real is not None and least <= round(real) <= most else None


def rating(value: Any) -> int | None:
    """Return a rating of -1 (rejected) or 0 to 5 stars."""
    return whole(value, -1, 5)


def degrees(parts: Iterable[Any], ref: str | None, signs: str) -> float | None:
    """Return a coordinate: degrees + minutes / 60 + seconds / 3600, negative where `ref` is the second of `signs`.

    signs: "NS" or "EW"; a coordinate without one of the two says nothing, as half the world would be wrong.
    """
    numbers = [number(part) for part in parts]
    values = [value for value in numbers if value is not None]
    if ref not in tuple(signs) or not 1 <= len(values) <= 3 or len(values) < len(numbers):
        return None
    real = sum((value / 60**power for power, value in enumerate(values)), 0.0)
    if not 0 <= real <= (90 if signs == "NS" else 180):
        return None
    return -real if ref == signs[1] else real


def position(latitude: Any, longitude: Any, altitude: Any) -> dict[str, float | None]:
    """Return the fields latitude, longitude and altitude, nothing where there is no position.

    (0, 0) is none: it is what devices write that do not know where they are.
    """
    across, along, height = number(latitude), number(longitude), number(altitude)
    if across is None or along is None or (across, along) == (0, 0) or abs(across) > 90 or abs(along) > 180:
        return {}
    return {
        "latitude": across,
        "longitude": along,
        "altitude": height if height is not None and -12_000 <= height <= 100_000 else None,
    }


def united(keywords: Iterable[str | None]) -> tuple[str, ...]:
    """Return keywords without duplicates (upper and lower case are one), in the order given, at most MAX_KEYWORDS.

    A flat keyword that is a part of a hierarchy is dropped: programs write "Places/Vienna", "Places" and "Vienna".
    """
    distinct: dict[str, str] = {}
    for word in filter(None, keywords):
        distinct.setdefault(word.casefold(), word)
    words = distinct.values()
    parts = {part.casefold() for word in words if "/" in word for part in word.split("/")}
    return tuple(word for word in words if "/" in word or word.casefold() not in parts)[:MAX_KEYWORDS]


def hierarchy(value: str, separator: str) -> str | None:
    """Return a hierarchical keyword with "/" between its levels."""
    return line("/".join(part for level in value.split(separator) if (part := level.strip())))
