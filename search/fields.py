"""Filters as they are typed: `rating:>=3`, `date:2023-06..2023-08`, `near:vienna,10km`."""

import math
import os
import re
from collections.abc import Callable
from datetime import date, timedelta
from enum import StrEnum
from pathlib import PurePosixPath
from typing import TypeAlias

from core.errors import QueryError
from core.query import Days, Field, Filter, Has, Near, Range, Shape
from core.types import Kind
from search.terms import NUMBER

Point: TypeAlias = tuple[float, float]
Towns: TypeAlias = Callable[[str], Point | None]
"""From the name of a town to its latitude and longitude in degrees, None where it is not known."""

EXAMPLES = {
    Field.TAG: "tag:holiday",
    Field.HAS: "has:place",
    Field.IN: "in:2023/",
    Field.NAME: "name:IMG_2041",
    Field.KIND: "kind:photo",
    Field.DATE: "date:2023-06..2023-08",
    Field.CAMERA: "camera:pixel",
    Field.LENS: "lens:50mm",
    Field.PLACE: "place:vienna",
    Field.NEAR: "near:48.21,16.37,5km",
    Field.RATING: "rating:>=3",
    Field.SHAPE: "shape:portrait",
    Field.SIZE: "size:>=12",
    Field.BYTES: "bytes:>5MB",
    Field.WIDTH: "width:>=1920",
    Field.HEIGHT: "height:<1080",
}
"""One of each, for messages and for the page about queries."""

_NAMES: dict[Field, type[StrEnum]] = {Field.KIND: Kind, Field.HAS: Has, Field.SHAPE: Shape}
_POINT_KM, _TOWN_KM = 1.0, 10.0
_KM = {"": 1.0, "km": 1.0, "m": 0.001, "mi": 1.609344}
_FIGURE = rf"[-+]?{NUMBER}(?:e[-+]?\d+)?"
_POINT = re.compile(rf"({_FIGURE})\s*,\s*({_FIGURE})(?:\s*,\s*(.*))?", re.IGNORECASE)
_DISTANCE = re.compile(rf"({_FIGURE})\s*(km|mi|m|)", re.IGNORECASE)
_NUMBER = re.compile(rf"({_FIGURE})\s*([a-z]*)", re.IGNORECASE)
_COMPARED = re.compile(r"(>=|<=|>|<)\s*(.*)", re.DOTALL)
_BETWEEN = re.compile(r"(>?)(.*?)\.\.(<?)(.*)", re.DOTALL)
_UNITS: dict[Field, dict[str, float]] = {
    Field.RATING: {"": 1},
    Field.WIDTH: {"": 1, "px": 1},
    Field.HEIGHT: {"": 1, "px": 1},
    Field.SIZE: {"": 1, "mp": 1},
    Field.BYTES: {
        "": 1, "b": 1, "kb": 1e3, "mb": 1e6, "gb": 1e9, "tb": 1e12, "kib": 2**10, "mib": 2**20, "gib": 2**30,
    },
}  # fmt: skip
ROUNDED = (Field.SIZE, Field.BYTES)
"""Fields where a number alone means what rounds to it."""
_MOST = 1e15
_DATE = re.compile(r"(\d{4})(?:-(\d{1,2}))?(?:-(\d{1,2}))?")
_YEARS = range(1, 9999)  # the day after the last one must be a date, too


def filter_of(field: Field, typed: str, towns: Towns | None = None) -> Filter:
    """Return the filter that a field and its value mean; raises QueryError.

    towns: looks up the names of towns, None for the gazetteer that comes with Glimpse.
    """
    typed = typed.strip()
    if not typed:
        raise QueryError(f"{field}: needs a value right behind it, as in {EXAMPLES[field]}")
    if field in _NAMES:
        return Filter(field, _named(field, typed))
    if field in _UNITS:
        if field is Field.SIZE and re.search(r"\d\s*[kmgt]?i?b\b", typed, re.IGNORECASE):
            field = Field.BYTES
        return Filter(field, _range(field, typed))
    if field is Field.DATE:
        return Filter(field, _days(typed))
    if field is Field.NEAR:
        return Filter(field, _near(typed, towns))
    return Filter(field, _folder(typed) if field is Field.IN else " ".join(typed.split()))


def _named(field: Field, typed: str) -> str:
    """Return one of the few values of a field."""
    known = [name.value for name in _NAMES[field]]
    if typed.lower() in known:
        return typed.lower()
    raise QueryError(f"there is no {field}:{typed[:40]}; there are: {', '.join(known)}")


def _folder(typed: str) -> str:
    """Return an absolute folder, or, of one that is not here, the end or middle of a path, relative."""
    path = os.path.expanduser(typed) if typed == "~" or typed.startswith("~/") else typed
    parts = PurePosixPath(path).parts
    try:
        here = os.path.isdir(path)
    except ValueError:
        here = False
    if path.startswith(("/", "./", "../")) or path in (".", "..") or ".." in parts or here:
        return os.path.abspath(path)
    return str(PurePosixPath(path))


def _range(field: Field, typed: str) -> Range:
    """Return numbers: `3`, `>=3`, `>3`, `<=3`, `<3`, `3..5`, `3..`, `..5`, and `>3..<5`, without its ends.

    A number alone is meant as exactly as it is typed: `size:12` is 11.5 up to 12.5 megapixels.
    """

    def number(text: str) -> float:
        return _number(field, text)[0]

    if match := _BETWEEN.fullmatch(typed):
        low, high = (number(text) if text.strip() else None for text in (match[2], match[4]))
        if low is None and high is None:
            raise QueryError(f"a range needs a beginning or an end, as in {EXAMPLES[field]}")
        if low is not None and high is not None and low > high:
            raise QueryError(f"{field}:{typed[:40]} ends before it begins; turn it round")
        return Range(low, high, low is not None and bool(match[1]), high is not None and bool(match[3]))
    if match := _COMPARED.fullmatch(typed):
        value, strict = number(match[2]), len(match[1]) == 1
        return Range(value, None, strict) if match[1][0] == ">" else Range(None, value, False, strict)
    value, unit = _number(field, typed)
    if field not in ROUNDED:
        return Range(value, value)
    decimals = re.search(r"\.(\d+)", typed)
    half = unit / 2 / 10 ** (len(decimals[1]) if decimals else 0)
    return Range(value - half, value + half, open_high=True)


def _number(field: Field, typed: str) -> tuple[float, float]:
    """Return a number and its unit; a thousand bytes are a kB, as cameras and shops count."""
    match = _NUMBER.fullmatch(typed.strip())
    units = _UNITS[field]
    if match is None or match[2].lower() not in units:
        takes = ", ".join(unit for unit in units if unit)
        raise QueryError(
            f"'{typed[:40]}' is no number for {field}:"
            f"{f', which takes the units {takes}' if takes else ''}; write for example {EXAMPLES[field]}"
        )
    unit = units[match[2].lower()]
    value = float(match[1]) * unit
    if not abs(value) <= _MOST:
        raise QueryError(f"'{typed[:40]}' is too large for {field}:; write for example {EXAMPLES[field]}")
    return value, unit


def _days(typed: str) -> Days:
    """Return days: `2023`, `2023-06`, `2023-06-15`, `a..b` with all of b, `a..`, `..b`, `>=2023-06`, `<2020`."""
    if match := re.fullmatch(r"(.*?)\.\.(.*)", typed, re.DOTALL):
        start = _period(match[1])[0] if match[1].strip() else None
        end = _period(match[2])[1] if match[2].strip() else None
        if start is None and end is None:
            raise QueryError(f"a range of dates needs a beginning or an end, as in {EXAMPLES[Field.DATE]}")
        if start is not None and end is not None and start >= end:
            raise QueryError(f"date:{typed[:40]} ends before it begins; turn it round")
        return Days(start, end)
    if match := _COMPARED.fullmatch(typed):
        first, after = _period(match[2])
        return {">=": Days(first), ">": Days(after), "<": Days(None, first), "<=": Days(None, after)}[match[1]]
    return Days(*_period(typed))


def _period(typed: str) -> tuple[str, str]:
    """Return the first day of a year, a month or a day, and the first day behind it."""
    typed = typed.strip()
    if typed.lower() in ("today", "yesterday"):
        day = date.today() - timedelta(days=typed.lower() == "yesterday")
        return day.isoformat(), (day + timedelta(days=1)).isoformat()
    match = _DATE.fullmatch(typed)
    try:
        if match is None or int(match[1]) not in _YEARS:
            raise ValueError
        year, month, day_ = int(match[1]), int(match[2] or 1), int(match[3] or 1)
        first = date(year, month, day_)
    except ValueError:
        raise QueryError(
            f"'{typed[:40]}' is no date; write 2023, 2023-06, 2023-06-15, today, or a range: {EXAMPLES[Field.DATE]}"
        ) from None
    if match[3]:
        after = first + timedelta(days=1)
    elif match[2]:
        after = date(year + month // 12, month % 12 + 1, 1)
    else:
        after = date(year + 1, 1, 1)
    return first.isoformat(), after.isoformat()


def _near(typed: str, towns: Towns | None) -> Near:
    """Return a circle: `48.21,16.37`, `48.21,16.37,5km`, `vienna`, `vienna,10km`."""
    if match := _POINT.fullmatch(typed):
        latitude, longitude = float(match[1]), float(match[2])
        if not (-90 <= latitude <= 90 and -180 <= longitude <= 180):
            raise QueryError(
                f"{match[1]},{match[2]} is no point on Earth; latitude is -90 to 90, longitude -180 to 180 degrees"
            )
        return Near(latitude, longitude, _POINT_KM if match[3] is None else _kilometres(match[3]))
    name, _, last = typed.rpartition(",")
    if name and _DISTANCE.fullmatch(last.strip()):
        distance = _kilometres(last)
    else:
        name, distance = typed, _TOWN_KM
    name = " ".join(name.split())
    if re.fullmatch(r"(?i)[+-]?(nan|inf(inity)?),.*", name):
        raise QueryError(f"{name[:40]} is no point on Earth; write coordinates: {EXAMPLES[Field.NEAR]}")
    found = (towns or _locate)(name)
    if found is None:
        raise QueryError(f"no town is called '{name[:40]}'; write coordinates: {EXAMPLES[Field.NEAR]}")
    return Near(*found, distance)


def _kilometres(typed: str) -> float:
    match = _DISTANCE.fullmatch(typed.strip())
    value = float(match[1]) * _KM[match[2].lower()] if match else 0.0
    if not (value > 0 and math.isfinite(value)):
        raise QueryError(f"'{typed[:40]}' is no distance; write for example 500m, 5km or 3mi")
    return value


def _locate(name: str) -> Point | None:
    """Return where a town is, by the gazetteer, whose import takes as long as a search."""
    from media.places import locate

    return locate(name)
