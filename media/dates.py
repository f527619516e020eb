"""Read when a photo was taken, from what metadata, file names and file systems say.

A time is a local wall time in ISO 8601, with milliseconds where there are any, and minutes east of UTC or None: a
missing offset is never guessed. Where a day, a month or a year is all that is known, the time is its beginning.
"""

import re
from datetime import datetime, timedelta

Time = tuple[str, int | None]
"""Wall time, and offset in minutes."""

FIRST_YEAR = 1826
"""The year of the oldest photograph: what claims to be older is a clock that was never set."""

_STAMP = re.compile(
    r"(\d{4})(?:[-:/](\d\d)(?:[-:/](\d\d)"
    r"(?:[T ]+(\d\d):(\d\d)(?::(\d\d)(?:[.,](\d+))?)?\s*([Zz]|[-+]\d\d:?\d\d)?)?)?)?"
)
_OFFSET = re.compile(r"([-+])(\d\d):?(\d\d)")

_DAY = r"(?<!\d)((?:19|20)\d\d)([-._:]?)(0[1-9]|1[0-2])\2(0[1-9]|[12]\d|3[01])"
_BETWEEN = r"\D{0,5}?"  # "_", "-", " at ", " um "
_NAMES = (
    # 20230601_123456789, 2023-06-01-12-34-56, 2023-06-01 at 12.34.56
    re.compile(_DAY + _BETWEEN + r"([01]\d|2[0-3])([-._:]?)([0-5]\d)\6([0-5]\d)(\d{3})?(?!\d)(?!\s?[AaPp]\.?[Mm])"),
    # 2023-06-01 at 1.34.56 PM
    re.compile(_DAY + _BETWEEN + r"(1[0-2]|0?[1-9])([-._:])([0-5]\d)\6([0-5]\d)()\s?([AaPp])\.?[Mm]"),
    # IMG-20230601-WA0001: the day alone
    re.compile(_DAY + r"(?!\d)"),
)
_EPOCH = datetime(1970, 1, 1)


def parse_time(text: str | None, fraction: str | None = None, offset: str | None = None) -> Time | None:
    """Read a time as EXIF ("2023:06:01 12:34:56") or XMP and IPTC ("2023-06-01T12:34:56.78+02:00") write it.

    fraction: digits after the second, and offset, "+02:00", where they stand apart. None for blanks, zeros, the
    thirteenth month, and what is no time at all.
    """
    found = _STAMP.fullmatch((text or "").strip(" \0\t\r\n"))
    if not found:
        return None
    year, month, day = int(found[1]), int(found[2] or 1), int(found[3] or 1)
    try:
        moment = datetime(year, month, day, int(found[4] or 0), int(found[5] or 0), int(found[6] or 0))
    except ValueError:
        return None
    if year < FIRST_YEAR:
        return None
    digits = found[7] or (fraction or "").strip(" \0")
    if digits.isdecimal() and digits.isascii():
        moment += timedelta(milliseconds=int(f"{digits:0<3}"[:3]))
    apart = parse_offset(offset)
    return iso(moment), parse_offset(found[8]) if apart is None else apart


def parse_offset(text: str | None) -> int | None:
    """Return the minutes east of UTC of "+02:00", "-0330" or "Z"; None for blanks and what is nowhere."""
    text = (text or "").strip(" \0")
    if text in ("Z", "z"):
        return 0
    found = _OFFSET.fullmatch(text)
    if not found:
        return None
    minutes = int(found[2]) * 60 + int(found[3])
    if minutes > 14 * 60 or int(found[3]) > 59:
        return None
    return -minutes if found[1] == "-" else minutes


def time_of_name(name: str) -> Time | None:
    """Read the time that cameras, phones and messengers put into a file's name; None where there is none.

    Names carry no offset, except Pixel phones' "PXL_", which are in UTC.
    """
    for pattern in _NAMES:
        for found in pattern.finditer(name):
            year, _, month, day, *rest = found.groups()
            hour, minute, second, milli = 0, 0, 0, 0
            if rest:
                hour, minute, second, milli = int(rest[0]), int(rest[2]), int(rest[3]), int(rest[4] or 0)
            if len(rest) > 5:
                hour = hour % 12 + (12 if rest[5] in "Pp" else 0)
            try:
                moment = datetime(int(year), int(month), int(day), hour, minute, second, milli * 1000)
            except ValueError:  # 30 February
                continue
            return iso(moment), 0 if rest and name.startswith("PXL_") else None
    return None


def time_of_clock(seconds: float) -> Time | None:
    """Return seconds since 1970 as a time in UTC; None beyond the calendar."""
    try:
        return iso(_EPOCH + timedelta(milliseconds=round(seconds * 1000))), 0
    except (OverflowError, ValueError):
        return None


def iso(moment: datetime) -> str:
    """Return a wall time in ISO 8601."""
    return moment.isoformat(timespec="milliseconds" if moment.microsecond else "seconds")
