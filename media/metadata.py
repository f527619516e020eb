"""What is written about a photo: in it, beside it, in its name."""

import contextlib
from collections.abc import Sequence
from typing import Any

from core.errors import MediaError
from core.types import Metadata
from media.containers import blocks_of
from media.dates import Time, time_of_clock, time_of_name
from media.exif import directories, read_exif
from media.iptc import read_iptc
from media.values import united
from media.xmp import Properties, parse_xmp, read_xmp

_SOURCES = ("sidecar", "exif", "xmp", "iptc", "gps", "container", "takeout", "name", "modified")
"""Where a time was found, best first. Whoever corrects a date in a photo program does so in the sidecar."""

_FACTS = ("duration", "make", "camera", "lens", "exposure", "aperture", "iso", "focal_length")
_WORDS = ("rating", "title", "artist", "description")


def read_metadata(data: bytes, kind: str) -> Metadata:
    """Read what is written inside a photo; nothing is decoded.

    kind: Pillow's name of the format, "HEIF" or "RAW". Never raises for damaged metadata: what can be read is read.
    The time is that of EXIF, XMP, IPTC or the satellites, in this order; facts are EXIF's before XMP's; rating, title
    and description are XMP's before EXIF's and IPTC's; the keywords of all are united.
    """
    blocks = blocks_of(data, kind)
    found = directories(blocks["exif"])
    exif = read_exif(found)
    iptc = read_iptc(b"".join(blocks["iptc"]) or found.iptc)
    xmp = _xmp([*blocks["xmp"], found.xmp])
    said = _combined(facts=(exif, xmp), words=(xmp, exif, iptc), times=(exif, xmp, iptc), places=(exif, xmp))
    return Metadata(
        **said, keywords=united([*xmp.keywords, *iptc.keywords, *exif.keywords]), motion=_has_video(data, xmp.motion)
    )


def merge(embedded: Metadata, beside: Sequence[Metadata], name: str, modified_ns: int) -> Metadata:
    """Return what holds for a file, from what is in the photo, in its sidecars (best first), and known of the file.

    name: the file's name; modified_ns: its modification time in nanoseconds since 1970.

    As digiKam and Immich have it, an XMP sidecar is where people correct a photo without changing it: its time and
    its position go before those in the photo. Where it merely repeats the photo's time, the photo's stays, which may
    have an offset and milliseconds. Takeout's time (UTC, no place) and position only fill gaps. Then comes the time
    in the name, at last the modification time, in UTC. Facts about the camera are the photo's first; rating, title
    and description are the sidecars' where they say something; keywords are united.
    """
    corrections = [one for one in beside if one.taken_from != "takeout"]
    exports = [one for one in beside if one.taken_from == "takeout"]
    times = [one for one in corrections if not _repeats(one, embedded)]
    said = _combined(
        facts=(embedded, *beside),
        words=(*beside, embedded),
        times=(*times, embedded, *exports, _timed(time_of_name(name), "name"), _modified(modified_ns)),
        places=(*corrections, embedded, *exports),
    )
    keywords = united([word for one in (*beside, embedded) for word in one.keywords])
    return Metadata(**said, keywords=keywords, motion=embedded.motion)


def _repeats(one: Metadata, embedded: Metadata) -> bool:
    """Say whether a sidecar's time is the photo's own, to the second, and adds no offset to it."""
    same = (one.taken or "")[:19] == (embedded.taken or "")[:19]
    return same and one.offset in (None, embedded.offset)


def _combined(
    *, facts: Sequence[Metadata], words: Sequence[Metadata], times: Sequence[Metadata], places: Sequence[Metadata]
) -> dict[str, Any]:
    """Take each field from the first that says something; time with offset, and position, go together."""
    time = min((one for one in times if one.taken), key=lambda one: _SOURCES.index(str(one.taken_from)), default=None)
    place = next((one for one in places if one.latitude is not None), None)
    said: dict[str, Any] = {name: _first(name, facts) for name in _FACTS}
    said |= {name: _first(name, words) for name in _WORDS}
    said |= {name: getattr(time, name, None) for name in ("taken", "offset", "taken_from")}
    said |= {name: getattr(place, name, None) for name in ("latitude", "longitude", "altitude")}
    return said


def _first(name: str, parts: Sequence[Metadata]) -> Any:
    """Return a field of the first that has it."""
    return next((value for part in parts if (value := getattr(part, name)) is not None), None)


def _xmp(packets: Sequence[bytes]) -> Metadata:
    """Read the packets that can be read; the earlier go before the later."""
    found: Properties = {}
    for packet in filter(None, packets):
        with contextlib.suppress(MediaError):
            found = {**parse_xmp(packet), **found}
    return read_xmp(found) if found else Metadata()


def _has_video(data: bytes, claimed: bool) -> bool:
    """Say whether a motion photo's video is there: programs that cut it off leave the claim.

    Google's is claimed in XMP, Samsung's by the trailer of the file; either is an MP4, whose first box is ftyp.
    """
    samsung = data.endswith(b"SEFT") and b"MotionPhoto_Data" in data
    return samsung or (claimed and data.find(b"ftyp", 16) > 0)


def _timed(time: Time | None, source: str) -> Metadata:
    """Return a time as metadata."""
    return Metadata(time[0], time[1], source) if time else Metadata()


def _modified(modified_ns: int) -> Metadata:
    """Return the modification time, which file systems keep in UTC."""
    return _timed(time_of_clock(modified_ns / 1e9), "modified")
