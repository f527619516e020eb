"""Read what is written in the container of a recording or a film: when, where, by whom, about what."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from av.container import InputContainer
from av.container.core import Container
from av.stream import Stream

from core.types import Metadata
from media.dates import Time, parse_time
from media.values import hierarchy, line, number, paragraphs, position, united

FIRST_YEAR = 1991
"""The year of QuickTime: what was filmed before is an unset clock, which counts from 1904, 1970 or 1980."""
LONGEST = 1e8
"""Seconds, three years: what claims to be longer is damaged."""

_APPLE = "com.apple.quicktime."
_TITLE = ("title", _APPLE + "title", _APPLE + "displayname")
_ARTIST = ("artist", _APPLE + "artist", "performer", "album_artist", "author", _APPLE + "author")
_DESCRIPTION = ("description", _APPLE + "description", "comment", _APPLE + "comment", "synopsis")
_KEYWORDS = ("genre", _APPLE + "genre", "keywords", _APPLE + "keywords")
_MAKE = ("make", _APPLE + "make", "com.android.manufacturer")
_CAMERA = ("model", _APPLE + "model", "com.android.model")
_LENS = (_APPLE + "camera.lens_model",)
_PLACE = (_APPLE + "location.iso6709", "location", "location-eng", "xyz")
_DAYS = ("date_recorded", "date")
"""Of Matroska's tags, and what FFmpeg makes of ID3's, Vorbis's and MP4's: a day at the least."""
_TIMES = (_APPLE + "creationdate", "creation_time", *_DAYS)

_JUNK = frozenset(
    ("other", "unknown", "unknown genre", "genre", "none", "undefined", "misc", "miscellaneous", "default")
)
"""What programs write where nobody chose a genre."""
_CODES = re.compile(r"[\s0-9A-Fa-f]*|(?:Lavf|Lavc)[\d.]*|vid:\w+", re.ASCII)
"""Comments that are no words: iTunes' checksums, and names of programs."""
_SEPARATORS = re.compile(r"[;,\0]")
_ISO_6709 = re.compile(r"([-+]\d{1,6}(?:\.\d*)?)([-+]\d{1,7}(?:\.\d*)?)([-+]\d+(?:\.\d*)?)?(?:CRS[^/]*)?/?", re.ASCII)


def labels(container: InputContainer) -> Metadata:
    """Return what a container says; never raises for damaged values: they are left out.

    taken_from is "container". Apple's local time with its offset goes first, then the clock of a sound recorder
    (Broadcast Wave, local, offset unknown), the time of creation, which is UTC, and the date of recording or release;
    a year alone says when something was published, not when it happened, and is left out.
    """
    tags = _tags(container)
    time = _time(tags)
    texts = map(paragraphs, _said(tags, _DESCRIPTION))
    return Metadata(
        taken=time[0] if time else None,
        offset=time[1] if time else None,
        taken_from="container" if time else None,
        **_position(tags),
        make=_first(tags, _MAKE),
        camera=_first(tags, _CAMERA),
        lens=_first(tags, _LENS),
        title=_first(tags, _TITLE),
        description=next((text for text in texts if text and not _code(text)), None),
        keywords=united(_keywords(tags)),
        duration=_duration(container),
        artist=_first(tags, _ARTIST),
    )


def _tags(container: InputContainer) -> dict[str, str]:
    """Return tags by their names in small letters: the container's, then, as in Ogg, those of its streams."""
    tags: dict[str, str] = {}
    sources: list[Container | Stream] = [container, *container.streams.video, *container.streams.audio]
    for source in sources:
        for name, value in source.metadata.items():
            tags.setdefault(name.casefold(), value)
    return tags


def _said(tags: Mapping[str, str], names: tuple[str, ...]) -> Iterator[str]:
    return (tags[name] for name in names if name in tags)


def _first(tags: Mapping[str, str], names: tuple[str, ...]) -> str | None:
    """Return the first of some tags that says anything, as one line."""
    return next(filter(None, map(line, _said(tags, names))), None)


def _code(text: str) -> bool:
    return _CODES.fullmatch(text) is not None


def _keywords(tags: Mapping[str, str]) -> Iterator[str | None]:
    """Yield genres and keywords."""
    for value in _said(tags, _KEYWORDS):
        for word in _SEPARATORS.split(value):
            if word.strip().casefold() not in _JUNK and not _code(word):
                yield hierarchy(word, "/")


def _time(tags: Mapping[str, str]) -> Time | None:
    """Return the best time."""
    recorder = (
        f"{tags.get('date')} {tags.get('creation_time')}"  # FFmpeg's names for the halves of a sound recorder's
    )
    stamps = [tags.get(name, "") for name in _TIMES]
    for stamp in (stamps[0], recorder, *stamps[1:]):
        time = parse_time(stamp)
        if time and len(stamp.strip()) >= len("2023-06-01") and int(time[0][:4]) >= FIRST_YEAR:
            return time
    return None


def _position(tags: Mapping[str, str]) -> dict[str, Any]:
    """Return latitude, longitude and altitude of the first place that is one."""
    for text in _said(tags, _PLACE):
        found = _ISO_6709.fullmatch(text.strip(" \0"))
        place = position(_degrees(found[1], 2), _degrees(found[2], 3), found[3]) if found else {}
        if place:
            return place
    return {}


def _degrees(text: str, width: int) -> float | None:
    """Return an angle of ISO 6709: `width` digits of degrees, then two of minutes and two of seconds, or none.

    Some leave out leading zeros; so up to `width` digits are degrees.
    """
    whole, _, fraction = text[1:].partition(".")
    parts = [whole[:width], *(whole[at : at + 2] for at in range(width, len(whole), 2))]
    numbers = [number(part) or 0.0 for part in [*parts[:-1], f"{parts[-1]}.{fraction}"]]
    if len(parts[-1]) == 1 < len(parts) or any(value >= 60 for value in numbers[1:]):
        return None
    size = sum((value / 60**power for power, value in enumerate(numbers)), 0.0)
    return -size if text[0] == "-" else size


def _duration(container: InputContainer) -> float | None:
    """Return the length in seconds, as the headers have it."""
    seconds = (container.duration or 0) / 1e6
    if container.format.name == "matroska":  # which tells when it ends
        seconds -= (getattr(container, "start_time", None) or 0) / 1e6
    return seconds if 0 < seconds <= LONGEST else None
