"""Let Pillow read HEIC and HEIF, once somebody needs it: importing the library takes longer than a small photo."""

import functools
import struct
from typing import Any

_DISPLAY_P3 = 12
"""Colour primaries of phones' screens, as ITU-T H.273 numbers them."""
_CURVES = (1, 6, 13)
"""Transfer characteristics that are sRGB's or near it; not HDR's (16, 18), which would need tone mapping."""


@functools.cache
def register_heif() -> None:
    """Teach Pillow the format "HEIF"; what is not the photo itself (thumbnails, depth, masks) is left alone.

    One thread a photo: photos are decoded side by side, and several threads on one cost more in all.
    """
    import pillow_heif

    pillow_heif.register_heif_opener(decode_threads=1, thumbnails=False, depth_images=False, aux_images=False)


def named_profile(nclx: dict[str, Any] | None) -> bytes | None:
    """Return an ICC profile for colours that a HEIF only names by numbers; None for sRGB's and unknown ones."""
    if (
        not nclx
        or int(nclx["color_primaries"]) != _DISPLAY_P3
        or int(nclx["transfer_characteristics"]) not in _CURVES
    ):
        return None
    return _display_p3()


@functools.cache
def _display_p3() -> bytes:
    """Return Display P3 as an ICC profile: the primaries under D50, as in Apple's own, and sRGB's curve."""
    curve = _tag(b"para", struct.pack(">HH", 3, 0) + _fixed(2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045))
    name = "Display P3"
    tags = {
        b"desc": _tag(
            b"mluc", struct.pack(">II2s2sII", 1, 12, b"en", b"US", 2 * len(name), 28) + name.encode("utf-16-be")
        ),
        b"wtpt": _tag(b"XYZ ", _fixed(0.96420, 1.0, 0.82491)),
        b"rXYZ": _tag(b"XYZ ", _fixed(0.51512, 0.24120, -0.00105)),
        b"gXYZ": _tag(b"XYZ ", _fixed(0.29198, 0.69225, 0.04189)),
        b"bXYZ": _tag(b"XYZ ", _fixed(0.15710, 0.06657, 0.78407)),
        **dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), curve),
    }
    table, body = struct.pack(">I", len(tags)), b""
    start = 128 + 4 + 12 * len(tags)
    for key, value in tags.items():
        table += key + struct.pack(">II", start + len(body), len(value))
        body += value
    size = start + len(body)
    header = struct.pack(">I4sI4s4s4s", size, b"", 0x04300000, b"mntr", b"RGB ", b"XYZ ").ljust(36, b"\0") + b"acsp"
    return header.ljust(68, b"\0") + _fixed(0.96420, 1.0, 0.82491) + bytes(48) + table + body


def _tag(kind: bytes, body: bytes) -> bytes:
    return (kind + bytes(4) + body).ljust(-(-(8 + len(body)) // 4) * 4, b"\0")


def _fixed(*values: float) -> bytes:
    return b"".join(struct.pack(">i", round(value * 65536)) for value in values)
