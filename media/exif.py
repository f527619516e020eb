"""Read EXIF: the camera, the time, the position, and what Windows writes there."""

import contextlib
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from PIL import Image
from PIL.ExifTags import GPS, IFD, Base

import media.pillow  # noqa: F401  an old Pillow is refused, before it reads anything
from core.types import Metadata
from media.dates import Time, parse_time
from media.values import degrees, hierarchy, line, number, paragraphs, position, positive, rating, united, whole

_RATING, _XMP, _IPTC = 0x4746, 0x02BC, 0x83BB
_MAIN = (
    *(Base.Make, Base.Model, Base.ImageDescription, Base.XPTitle, Base.XPKeywords, _RATING),
    *(Base.ExposureTime, Base.FNumber, Base.ISOSpeedRatings, Base.FocalLength, Base.DateTimeOriginal),
)
"""What is looked for beside the camera's directory: TIFF/EP, which RAW derives from, has the second line here."""

MAX_WIDE = 1 << 20
"""Keywords are two bytes each at the least, and a TIFF may have a gigabyte of them."""

_JUNK = frozenset(
    """olympus digital camera|sony dsc|minolta digital camera|konica minolta digital camera|pentax digital camera|
    digital camera|exif_jpeg_picture|exif jpeg|samsung|samsung camera pictures|samsung digital camera|
    casio computer co.,ltd.|dcf 1.0|dcim|default|dji|dji default|hdrpl|cof|dav|edf|hdr|mde|oznor|rhdr|sdr|
    untitled|camera|img|photo""".replace("\n", "")
    .replace("    ", "")
    .split("|")
)
"""Descriptions that cameras write into every photo."""


@dataclass(frozen=True)
class Directories:
    """The directories of EXIF, by tag: the main one, the camera's, the position's; packets that lie in the first."""

    main: Mapping[int, Any] = field(default_factory=dict)
    camera: Mapping[int, Any] = field(default_factory=dict)
    position: Mapping[int, Any] = field(default_factory=dict)
    xmp: bytes = b""
    iptc: bytes = b""


def directories(blocks: Sequence[bytes]) -> Directories:
    """Read the directories of one TIFF structure, or of three that hold one each (CR3); damaged ones are empty."""
    first = _loaded(blocks[0]) if blocks else None
    if first is None:
        return Directories()
    xmp, iptc = _raw(first, _XMP), _raw(first, _IPTC)
    main = {tag: value for tag in _MAIN if (value := _value(first, tag)) is not None}
    if len(blocks) == 3:
        camera, place = (_all(block) for block in blocks[1:])
    else:
        camera, place = (_subdirectory(first, tag) for tag in (IFD.Exif, IFD.GPSInfo))
    return Directories(main, camera, place, xmp, iptc)


def read_exif(found: Directories) -> Metadata:
    """Return what EXIF says; taken_from is "exif", or "gps" where only the satellites tell the time."""
    tags = {**found.main, **found.camera}
    time, source = _time(tags), "exif"
    if time is None:
        time, source = _satellite_time(found.position), "gps"
    description = paragraphs(_text(tags.get(Base.ImageDescription)))
    return Metadata(
        taken=time[0] if time else None,
        offset=time[1] if time else None,
        taken_from=source if time else None,
        **_position(found.position),
        make=line(_text(tags.get(Base.Make))),
        camera=line(_text(tags.get(Base.Model))),
        lens=(line(_text(tags.get(Base.LensModel))) or "").strip("- ") or None,
        exposure=positive(tags.get(Base.ExposureTime)),
        aperture=positive(tags.get(Base.FNumber)),
        iso=whole(tags.get(Base.ISOSpeedRatings), 1, 10**9),
        focal_length=positive(tags.get(Base.FocalLength)),
        rating=rating(tags.get(_RATING)),
        title=line(_wide(tags.get(Base.XPTitle))),
        description=None if description and description.casefold() in _JUNK else description,
        keywords=united(hierarchy(word, "/") for word in _wide(tags.get(Base.XPKeywords)).split(";")),
    )


def _loaded(block: bytes) -> Image.Exif | None:
    """Let Pillow read a TIFF structure; the openings of Olympus and Panasonic are put right before."""
    little = block.startswith(b"II")
    if block[:3] in (b"IIR", b"IIU", b"MMO"):
        block = (b"II*\0" if little else b"MM\0*") + block[4:]
    exif = Image.Exif()
    try:
        exif.load_from_fp(io.BytesIO(block))
    except Exception:  # damaged metadata may raise anything, and must not cost the photo
        return None
    return exif


def _all(block: bytes) -> dict[int, Any]:
    """Return the main directory of a TIFF structure, empty where it is damaged."""
    with contextlib.suppress(Exception):
        return dict(_loaded(block) or {})
    return {}


def _subdirectory(exif: Image.Exif, tag: int) -> dict[int, Any]:
    """Return the directory that another points to, empty where there is none or it is damaged."""
    with contextlib.suppress(Exception):
        return exif.get_ifd(tag)
    return {}


def _value(exif: Image.Exif, tag: int) -> Any:
    """Return the value of a tag, None where there is none or it is damaged."""
    with contextlib.suppress(Exception):
        return exif.get(tag)
    return None


def _raw(exif: Image.Exif, tag: int) -> bytes:
    """Return a tag's bytes as they lie there: IPTC is often declared as 32-bit numbers, of which Pillow keeps one."""
    with contextlib.suppress(Exception):
        return exif._info._tagdata.get(tag, b"")  # type: ignore[union-attr]
    return b""


def _text(value: Any) -> str | bytes | None:
    """Return a text as the bytes that it was: Pillow takes all text for Latin-1."""
    if isinstance(value, str):
        return value.encode("latin-1", "replace")
    return value if isinstance(value, bytes) else None


def _wide(value: Any) -> str:
    """Return a text of Windows, which is UTF-16, of at most MAX_WIDE bytes."""
    return value[:MAX_WIDE].decode("utf-16-le", "ignore").strip("\0") if isinstance(value, bytes) else ""


def _plain(value: Any) -> str:
    """Return a text in ASCII."""
    return value.decode("ascii", "replace") if isinstance(value, bytes) else value if isinstance(value, str) else ""


def _time(tags: Mapping[int, Any]) -> Time | None:
    """Return when the photo was taken, else when it was digitized; DateTime is when it was last changed."""
    fields = (
        (Base.DateTimeOriginal, Base.SubsecTimeOriginal, Base.OffsetTimeOriginal),
        (Base.DateTimeDigitized, Base.SubsecTimeDigitized, Base.OffsetTimeDigitized),
    )
    times = (parse_time(*(_plain(tags.get(tag)) for tag in names)) for names in fields)
    return next((time for time in times if time), None)


def _satellite_time(tags: Mapping[int, Any]) -> Time | None:
    """Return the UTC time of the position: a date as text, hours, minutes and seconds as numbers."""
    clock = tags.get(GPS.GPSTimeStamp)
    values = [number(part) for part in clock] if isinstance(clock, tuple) else []
    if len(values) != 3 or None in values:
        return None
    hour, minute, second = (value or 0.0 for value in values)
    day = _plain(tags.get(GPS.GPSDateStamp)).strip(" \0")
    thousandths = min(int(second * 1000), 59_999)
    clock_text = f"{hour:02.0f}:{minute:02.0f}:{thousandths // 1000:02}"
    return parse_time(f"{day} {clock_text}", f"{thousandths % 1000:03}", "Z")


def _position(tags: Mapping[int, Any]) -> dict[str, Any]:
    """Return latitude, longitude and altitude."""
    latitude, longitude = (
        degrees(parts, _plain(tags.get(ref)).strip(" \0").upper()[:1], signs) if isinstance(parts, tuple) else None
        for parts, ref, signs in (
            (tags.get(GPS.GPSLatitude), GPS.GPSLatitudeRef, "NS"),
            (tags.get(GPS.GPSLongitude), GPS.GPSLongitudeRef, "EW"),
        )
    )
    height, below = number(tags.get(GPS.GPSAltitude)), tags.get(GPS.GPSAltitudeRef)
    if height is not None and below in (1, 3, b"\1", b"\3"):  # below the sea, or the ellipsoid
        height = -height
    return position(latitude, longitude, height)
