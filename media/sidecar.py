"""Find and read the files beside a photo that tell about it: XMP, and the JSON of Google Takeout."""

import os
from collections.abc import Container

from core.errors import MediaError
from core.types import Metadata
from media.containers import MAX_XMP
from media.takeout import read_takeout, takeout_of
from media.xmp import parse_xmp, read_xmp

MAX_BYTES = MAX_XMP
"""Larger files beside a photo need not be read to know that they are none."""

_XMP = (b".xmp", b".XMP")
_EXTENSIONS = (b".xmp", b".json")


def is_sidecar(name: bytes) -> bool:
    """Say whether a file may be a sidecar, by its extension alone."""
    return name[-5:].lower().endswith(_EXTENSIONS)


def xmp_names(name: bytes) -> tuple[bytes, ...]:
    """Return the names that the XMP sidecar of a file may have, the best first."""
    stem, _ = os.path.splitext(name)
    return tuple(dict.fromkeys(base + extension for base in (name, stem) for extension in _XMP))


def sidecars_of(name: bytes, present: Container[bytes]) -> tuple[bytes, ...]:
    """Return which of the names `present` in a folder are sidecars of the photo `name`, the best first.

    IMG.jpg.xmp (digiKam, darktable) comes before IMG.xmp (Lightroom), which belongs to every photo of that stem, and
    both before Takeout's JSON, of which there is one.
    """
    if not present:
        return ()
    found = tuple(sidecar for sidecar in xmp_names(name) if sidecar in present)
    exported = takeout_of(name, present)
    return (*found, exported) if exported else found


def read_sidecar(name: str, data: bytes) -> Metadata:
    """Read an .xmp file or a .json of Google Takeout; taken_from is "sidecar" or "takeout".

    Raises MediaError with the reason for anything else, such as the JSON of an album.
    """
    if name.lower().endswith(".json"):
        return read_takeout(data)
    if name.lower().endswith(".xmp"):
        return read_xmp(parse_xmp(data), "sidecar")
    raise MediaError("not a sidecar: neither .xmp nor .json")
