"""Read the JSON that Google Takeout puts beside each photo, and find it, whose name is cut in odd ways.

The name is found from the photo's, never the other way round, which has several answers.
"""

import contextlib
import functools
import json
import os
import re
from collections.abc import Container, Iterator, Sequence
from typing import Any

from core.errors import MediaError
from core.types import Metadata
from media.dates import time_of_clock
from media.values import number, paragraphs, position

MAX_BYTES = 1 << 20
"""Takeout's files have about 1 KB."""

_LONGEST = 46
"""Names are cut to so many UTF-16 units before ".json"; a number, "(1)", comes on top."""
_SUFFIX = b".supplemental-metadata"
_SUFFIXES = tuple(_SUFFIX[:size] for size in range(len(_SUFFIX), -1, -1))
"""Since 2024; all cuts of it, as the one that follows from the length is not always the one that is there."""

_NUMBER = re.compile(r"\(\d+\)$")
_EDITED = re.compile(
    "-(?:edited|effects|smile|mix|bearbeitet|modifié|modifie\u0301|editado|editada|ha editado|modificato|modificata|"
    "bewerkt|edytowane|editat|redigeret|redigerad|redigert|muokattu|upraveno|szerkesztett|編集済み|已编辑|已編輯)$"
)
"""What the languages of Google Photos put behind the name of a photo that was edited; it has no JSON of its own."""
_VIDEOS = (".mp4", ".mov", ".mp")
_STILLS = (".HEIC", ".heic", ".JPG", ".jpg", ".jpeg", ".JPEG", ".MP.jpg")
"""The moving half of a photo shares the JSON of the still one."""


def takeout_of(name: bytes, present: Container[bytes]) -> bytes | None:
    """Return which of the names `present` in a folder is the JSON of the photo `name`, if any."""
    with contextlib.suppress(UnicodeDecodeError):  # Takeout writes no other names
        for base, number, suffixes in _bases(name.decode("utf-8")):
            for candidate in _candidates(base, number, suffixes):
                if candidate in present:
                    return candidate
    return None


def _bases(name: str) -> Iterator[tuple[str, str, Sequence[bytes]]]:
    """Yield what the JSON's name may begin with, the number before ".json", and what comes between; surest first."""
    stem, extension = os.path.splitext(name)
    plain, number = _numbered(stem)
    original = _EDITED.sub("", plain)
    if not number:
        original, number = _numbered(original)
    if number:  # IMG(1).jpg: IMG.jpg(1).json, before what could be the JSON of IMG.jpg, cut
        yield plain + extension, number, _SUFFIXES
    yield name, "", _SUFFIXES
    if original != plain:
        yield original + extension, number, _SUFFIXES
    if extension.lower() in _VIDEOS:
        yield from ((original + still, number, _SUFFIXES) for still in _STILLS)
    yield original, number, (_SUFFIX, b"")  # the photo's title had no extension


def read_takeout(data: bytes) -> Metadata:
    """Return what Google Photos knows of a photo: time (UTC), position, description.

    taken_from is "takeout" even without a time, which tells these facts from an XMP sidecar's. The "title" in it is
    the file's name. Raises MediaError for any other JSON.
    """
    if len(data) > MAX_BYTES:
        raise MediaError("not from Google Takeout: the JSON is larger than 1 MB")
    try:
        said = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise MediaError("damaged: not valid JSON") from error
    if not isinstance(said, dict) or not isinstance(said.get("title"), str) or "photoTakenTime" not in said:
        raise MediaError("not from Google Takeout: there is no title or no photoTakenTime")
    seconds = number(_inside(said, "photoTakenTime", "timestamp"))
    time = time_of_clock(seconds) if seconds else None  # 0 where Google does not know
    description = said.get("description")
    return Metadata(
        taken=time[0] if time else None,
        offset=time[1] if time else None,
        taken_from="takeout",
        **(_position(said, "geoData") or _position(said, "geoDataExif")),
        description=paragraphs(description) if isinstance(description, str) else None,
    )


def _numbered(stem: str) -> tuple[str, str]:
    """Part IMG(1) into IMG and (1), which is empty where there is no number."""
    found = _NUMBER.search(stem)
    return (stem[: found.start()], found[0]) if found else (stem, "")


def _candidates(base: str, number: str, suffixes: Sequence[bytes]) -> list[bytes]:
    """Return the names for a photo's name without its number: the whole ones, and the one that is cut within it."""
    whole = base.encode()
    names = [whole + ending for ending in _endings(number, suffixes)]
    if len(whole) > _LONGEST and len(units := base.encode("utf-16-le")) > 2 * _LONGEST:
        names.append(units[: 2 * _LONGEST].decode("utf-16-le", "ignore").encode() + number.encode() + b".json")
    return names


@functools.lru_cache(maxsize=256)  # nearly all photos have no number, and a rescan asks for all of them
def _endings(number: str, suffixes: Sequence[bytes]) -> list[bytes]:
    """Return what may follow the photo's name."""
    return [suffix + number.encode() + b".json" for suffix in suffixes]


def _position(said: dict[str, Any], name: str) -> dict[str, Any]:
    """Return the position of geoData, nothing where it is 0, 0."""
    latitude, longitude, altitude = (_inside(said, name, key) for key in ("latitude", "longitude", "altitude"))
    return position(latitude, longitude, altitude or None)


def _inside(said: dict[str, Any], outer: str, inner: str) -> Any:
    """Return a value of an object in an object."""
    inside = said.get(outer)
    return inside.get(inner) if isinstance(inside, dict) else None
