"""Read IPTC: the records that news agencies brought into photos (IIM 4.2, record 1 and 2)."""

from collections import defaultdict

from core.types import Metadata
from media.dates import parse_time
from media.values import decoded, line, paragraphs, united

MAX_IPTC = 1 << 20
"""More is not read, in bytes: one record may take no more than five."""

_CHARSET = (1, 90)
_TITLE, _KEYWORD, _DAY, _CLOCK, _CAPTION = (2, 5), (2, 25), (2, 55), (2, 60), (2, 120)
_UTF8 = b"\x1b%G"


def read_iptc(records: bytes) -> Metadata:
    """Return what IPTC records say.

    Text is UTF-8 where record 1:90 says so, or where it is valid UTF-8: many programs forget the record. Else it is
    Windows-1252, of which Latin-1 is a part.
    """
    found = _fields(records[:MAX_IPTC])
    utf8 = _UTF8 in found[_CHARSET]
    words = {
        key: [value.decode("utf-8", "replace") if utf8 else decoded(value) for value in found[key]]
        for key in (_TITLE, _KEYWORD, _DAY, _CLOCK, _CAPTION)
    }
    day, clock = ("".join(words[key][:1]).strip(" \0") for key in (_DAY, _CLOCK))
    text = f"{day[:4]}-{day[4:6]}-{day[6:]}"
    if clock:
        text += f"T{clock[:2]}:{clock[2:4]}:{clock[4:6]}{clock[6:]}"
    time = parse_time(text)
    return Metadata(
        taken=time[0] if time else None,
        offset=time[1] if time else None,
        taken_from="iptc" if time else None,
        title=line("".join(words[_TITLE][:1])),
        description=paragraphs("".join(words[_CAPTION][:1])),
        keywords=united(line(word) for word in words[_KEYWORD]),
    )


def _fields(records: bytes) -> defaultdict[tuple[int, int], list[bytes]]:
    """Return the values of each (record, number); they repeat. What is damaged ends them."""
    found = defaultdict(list)
    at = 0
    while records[at : at + 1] == b"\x1c" and at + 5 <= len(records):
        size, start = int.from_bytes(records[at + 3 : at + 5], "big"), at + 5
        if size & 0x8000:  # the length of the length
            start += size & 0x7FFF
            size = int.from_bytes(records[at + 5 : start], "big")
        found[records[at + 1], records[at + 2]].append(records[start : start + size])
        at = start + size
    return found
