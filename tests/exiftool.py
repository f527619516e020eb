"""The oracle of metadata: what exiftool reads, in our terms."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from core.types import Metadata

PROGRAM = shutil.which("exiftool")
NEEDED = os.environ.get("CI") == "true"
"""On a developer's machine the oracle may be missing, in CI not."""

FIELDS: Mapping[str, tuple[str, ...]] = {
    "make": ("IFD0:Make", "XMP-tiff:Make"),
    "camera": ("IFD0:Model", "XMP-tiff:Model"),
    "lens": ("ExifIFD:LensModel", "XMP-exifEX:LensModel", "XMP-aux:Lens"),
    "exposure": ("ExifIFD:ExposureTime", "XMP-exif:ExposureTime"),
    "aperture": ("ExifIFD:FNumber", "XMP-exif:FNumber"),
    "iso": ("ExifIFD:ISO", "XMP-exif:ISO"),
    "focal_length": ("ExifIFD:FocalLength", "XMP-exif:FocalLength"),
    "latitude": ("Composite:GPSLatitude", "XMP-exif:GPSLatitude"),
    "longitude": ("Composite:GPSLongitude", "XMP-exif:GPSLongitude"),
    "altitude": ("Composite:GPSAltitude", "XMP-exif:GPSAltitude"),
    "rating": ("XMP-xmp:Rating", "IFD0:Rating"),
    "title": ("XMP-dc:Title", "IFD0:XPTitle", "IPTC:ObjectName"),
    "description": ("XMP-dc:Description", "IFD0:ImageDescription", "IPTC:Caption-Abstract"),
}
TIMES = (
    ("exif", "Composite:SubSecDateTimeOriginal"),
    ("exif", "ExifIFD:DateTimeOriginal"),
    ("exif", "Composite:SubSecCreateDate"),
    ("exif", "ExifIFD:CreateDate"),
    ("xmp", "XMP-exif:DateTimeOriginal"),
    ("xmp", "XMP-photoshop:DateCreated"),
    ("xmp", "XMP-xmp:CreateDate"),
    ("iptc", "Composite:DateTimeCreated"),
    ("gps", "Composite:GPSDateTime"),
)


def program() -> str:
    """Return the path of exiftool, or skip the test; in CI, fail it."""
    if PROGRAM is None:
        why = "exiftool is not on this machine: scripts/install-exiftool"
        pytest.fail(why) if NEEDED else pytest.skip(why)
    return PROGRAM


def write(changes: Iterable[tuple[Path, Iterable[str]]]) -> None:
    """Write tags, "-Group:Tag=value", into files, all in one process."""
    arguments = "\n-execute\n".join("\n".join([*tags, str(path)]) for path, tags in changes)
    common = ["-common_args", "-overwrite_original", "-q", "-q", "-charset", "filename=utf8", "-m"]
    done = subprocess.run([program(), "-@", "-", *common], input=arguments.encode(), capture_output=True, check=False)
    assert not done.stderr, done.stderr.decode()


def read(folder: Path) -> dict[str, dict[str, Any]]:
    """Return all tags of all files in a folder, by name."""
    command = [program(), "-json", "-n", "-struct", "-G1", "-a", "-charset", "filename=utf8", str(folder)]
    done = subprocess.run(command, capture_output=True, check=False)
    return {Path(tags["SourceFile"]).name: tags for tags in json.loads(done.stdout)}


def facts(tags: Mapping[str, Any]) -> dict[str, Any]:
    """Return what exiftool's tags say in the fields of Metadata, None for what they do not say."""
    said: dict[str, Any] = {
        field: next((tags[name] for name in names if name in tags), None) for field, names in FIELDS.items()
    }
    said["iso"] = said["iso"][0] if isinstance(said["iso"], list) else said["iso"]
    if "Composite:GPSAltitude" not in tags and tags.get("XMP-exif:GPSAltitudeRef") == 1:
        said["altitude"] = -said["altitude"]
    for field in ("make", "camera", "lens", "title", "description"):
        said[field] = None if said[field] is None else str(said[field]).strip()  # "2023" comes as a number
    source, stamp = next(((source, str(tags[name])) for source, name in TIMES if name in tags), (None, ""))
    return said | {"taken_from": source} | _time(stamp)


def differing(found: Metadata, tags: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Return the fields in which we and exiftool differ: ours, theirs; numbers may in the ninth digit."""
    ours, theirs = asdict(found), facts(tags)
    return {
        field: (ours[field], value)
        for field, value in theirs.items()
        if ours[field] != (pytest.approx(value, rel=1e-9) if isinstance(value, float) else value)
    }


def keywords(tags: Mapping[str, Any]) -> set[str]:
    """Return all keywords, flat and hierarchical alike."""
    found = [*_list(tags, "XMP-digiKam:TagsList"), *_list(tags, "XMP-dc:Subject"), *_list(tags, "IPTC:Keywords")]
    found += [word.replace("|", "/") for word in _list(tags, "XMP-lr:HierarchicalSubject")]
    return {*found, *str(tags.get("IFD0:XPKeywords", "")).split(";")} - {""}


def _list(tags: Mapping[str, Any], name: str) -> list[str]:
    value = tags.get(name, [])
    return [str(one) for one in (value if isinstance(value, list) else [value])]


def _time(stamp: str) -> dict[str, Any]:
    """Turn "2023:06:01 12:34:56.78+02:00" into what we say."""
    if not stamp:
        return {"taken": None, "offset": None}
    clock, sign, zone = stamp.replace("Z", "+00:00"), "", ""
    for mark in "+-":
        if mark in clock[10:]:
            clock, sign, zone = clock.rpartition(mark)[0], mark, clock.rpartition(mark)[2]
    offset = int(f"{sign}1") * (int(zone[:2]) * 60 + int(zone[3:])) if zone else None
    whole, _, fraction = clock.partition(".")
    seconds = ":00" if len(whole) == len("2023:06:01 12:34") else ""
    taken = (
        whole.replace(":", "-", 2).replace(" ", "T")
        + seconds
        + (f".{fraction:0<3}"[:4] if int(fraction or 0) else "")
    )
    return {"taken": taken, "offset": offset}
