"""Find the metadata inside a photo's bytes: where EXIF, XMP and IPTC lie in each format.

Nothing is decoded and no native code runs, so that this is fast, and safe outside of the decoding processes. What is
damaged ends the search; what was found before it counts.
"""

import itertools
import zlib
from collections.abc import Callable, Iterator
from typing import Literal

Label = Literal["exif", "xmp", "iptc"]
Block = tuple[Label, bytes]
"""exif: a TIFF structure; of CR3, three: main, EXIF and GPS directory. xmp: a packet of XML. iptc: IIM records."""

MAX_XMP = 4 << 20
"""More XMP is not read of one photo, in bytes: what is larger is masks and depth maps."""

MAX_EXIF = 16 << 20
"""Larger EXIF is not read, in bytes, but where it is the file itself: makers' own notes and previews are smaller."""

MAX_BLOCKS = 16
"""No photo has more; a hostile one may name the same megabytes many thousand times."""

_EXIF = b"Exif\0\0"
_XMP = b"http://ns.adobe.com/xap/1.0/\0"
_XMP_ODD = b"XMP\0" + _XMP[4:]
"""As some program, which exiftool knows too, begins it."""
_XMP_EXTENSION = b"http://ns.adobe.com/xmp/extension/\0"
_XMP_KEYWORD = b"XML:com.adobe.xmp\0"
_RAW_PROFILE = b"Raw profile type "
_CR3_EXIF = bytes.fromhex("85c0b687820f11e08111f4ce462b6a48")
_CR3_XMP = bytes.fromhex("be7acfcb97a942e89c71999491e3afac")
_TIFF_MAGICS = (b"II*\0", b"MM\0*", b"IIRO", b"IIRS", b"MMOR", b"IIU\0")
"""TIFF itself; then the openings that Olympus and Panasonic give to the same structure."""


def blocks_of(data: bytes, kind: str) -> dict[Label, list[bytes]]:
    """Return the blocks of metadata in a photo, in the order in which they lie there.

    kind: Pillow's name of the format, "HEIF" or "RAW". BMP, and RAW that is neither TIFF inside (DNG, NEF, CR2, ARW,
    PEF, ORF, RW2, SRW, ...) nor CR3 nor RAF, have none.
    """
    blocks: dict[Label, list[bytes]] = {"exif": [], "xmp": [], "iptc": []}
    walk, left = _WALKS.get(kind), MAX_XMP
    for label, block in itertools.islice(walk(data), MAX_BLOCKS) if walk else ():
        if label == "xmp" and len(block) <= left:
            left -= len(block)  # a hostile photo packs megabytes of it into kilobytes, many times
            blocks["xmp"].append(block)
        elif label == "exif" and (block is data or len(block) <= MAX_EXIF):
            blocks["exif"].append(block.removeprefix(_EXIF))
        elif label == "iptc":
            blocks["iptc"].append(block)
    return blocks


def _jpeg(data: bytes) -> Iterator[Block]:
    """JPEG: the segments before the picture."""
    extension, packet, at = {}, b"", 2
    photoshop: list[bytes] = []
    while at + 4 <= len(data) and data[at] == 0xFF and data[at + 1] not in (0xD9, 0xDA):
        if data[at + 1] == 0xFF:  # a fill byte
            at += 1
            continue
        marker, size = data[at + 1], max(2, _int(data, at + 2, 2))
        if marker in (0xE1, 0xED):
            part = data[at + 4 : at + 2 + size]
            if part.startswith(_EXIF):
                yield "exif", part
            elif part.startswith((_XMP, _XMP_ODD)):
                packet = packet or part[len(_XMP) :]
            elif part.startswith(_XMP_EXTENSION):
                head = len(_XMP_EXTENSION)  # then 32 bytes of identity, total length, offset of this part
                extension[part[head : head + 32], _int(part, head + 36, 4)] = part[head + 40 :]
            elif part.startswith(b"Photoshop 3.0\0"):
                photoshop.append(part[14:])
        at += 2 + size
    if packet:
        yield "xmp", packet
    if parts := [extension[key] for key in sorted(extension) if key[0] in packet]:
        yield "xmp", b"".join(parts)
    yield from _photoshop(b"".join(photoshop))


def _photoshop(resources: bytes) -> Iterator[Block]:
    """Photoshop's image resources, of which number 0x0404 is IPTC."""
    at = 0
    while resources[at : at + 4] == b"8BIM":
        name = resources[at + 6] + 1 if at + 6 < len(resources) else 0
        start = at + 6 + name + name % 2 + 4
        size = _int(resources, start - 4, 4)
        if _int(resources, at + 4, 2) == 0x0404:
            yield "iptc", resources[start : start + size]
        at = start + size + size % 2


def _png(data: bytes) -> Iterator[Block]:
    """PNG: chunks, also behind the picture, where exiftool puts them."""
    at, profiles = 8, 0
    while at + 8 <= len(data):
        size, name = _int(data, at, 4), data[at + 4 : at + 8]
        if name == b"eXIf":
            yield "exif", data[at + 8 : at + 8 + size]
        elif name == b"iTXt" and data.startswith(_XMP_KEYWORD, at + 8):
            # Packed or not, and how; a language and a translated keyword, mostly empty; the text.
            start = at + 8 + len(_XMP_KEYWORD)
            text = data[start + 2 : at + 8 + size].split(b"\0", 2)[-1]
            yield "xmp", _inflated(text) if data[start : start + 1] == b"\1" else text
        elif name in (b"tEXt", b"zTXt") and data.startswith(_RAW_PROFILE, at + 8) and profiles < MAX_BLOCKS:
            profiles += 1
            text = data[at + 8 : at + 8 + size].partition(b"\0")[2]
            yield from _raw_profile(_inflated(text[1:]) if name == b"zTXt" else text)
        at += 12 + size


def _raw_profile(text: bytes) -> Iterator[Block]:
    """What ImageMagick and exiftool put into PNG: a name, a length, and a JPEG's segment in hexadecimal digits."""
    try:
        part = bytes.fromhex(text.strip().split(b"\n", 2)[2].decode("ascii"))
    except (ValueError, IndexError):
        return
    if part.startswith(_EXIF):
        yield "exif", part
    elif part.startswith(b"8BIM"):
        yield from _photoshop(part)
    elif part.startswith((_XMP, b"<")):
        yield "xmp", part.removeprefix(_XMP)


def _webp(data: bytes) -> Iterator[Block]:
    """WebP: the chunks of a RIFF."""
    at = 12
    while at + 8 <= len(data):
        name, size = data[at : at + 4], int.from_bytes(data[at + 4 : at + 8], "little")
        if name == b"EXIF":
            yield "exif", data[at + 8 : at + 8 + size]
        elif name == b"XMP ":
            yield "xmp", data[at + 8 : at + 8 + size]
        at += 8 + size + size % 2


def _gif(data: bytes) -> Iterator[Block]:
    """GIF: XMP lies in it unpacked, before a trailer that makes old readers skip it."""
    opening = b"!\xff\x0bXMP DataXMP"
    start = data.find(opening)
    if start >= 0:
        end = data.find(b"\x01\xff\xfe", start, start + MAX_XMP + 1024)
        yield "xmp", data[start + len(opening) : max(start, end)]


def _heif(data: bytes) -> Iterator[Block]:
    """HEIF and AVIF: items, whose types and places are in two tables (ISO 14496-12, iinf and iloc)."""
    tables = {
        name: (start, end)
        for outer, at, stop in _boxes(data, 0, len(data))
        if outer == b"meta"
        for name, start, end in _boxes(data, at + 4, stop)
    }
    if not {b"iinf", b"iloc"} <= tables.keys():
        return
    labels = dict(_item_labels(data, *tables[b"iinf"]))
    base = {0: 0, 1: tables.get(b"idat", (len(data), 0))[0]}
    for item, (method, offset, size) in _item_places(data, *tables[b"iloc"]):
        if item in labels and method in base:
            block = data[base[method] + offset : base[method] + offset + size]
            if labels[item] == "exif":  # it begins with how far away the TIFF structure is
                block = block[4 + _int(block, 0, 4) :]
            yield labels[item], block


def _item_labels(data: bytes, at: int, stop: int) -> Iterator[tuple[int, Label]]:
    """Which items are metadata, by their numbers."""
    for name, start, _ in _boxes(data, at + (6 if data[at : at + 1] == b"\0" else 8), stop):
        if name == b"infe" and data[start : start + 1] in (b"\2", b"\3"):
            width = 2 if data[start] == 2 else 4
            kind = start + 4 + width + 2
            item = _int(data, start + 4, width)
            if data.startswith(b"Exif", kind):
                yield item, "exif"
            elif data.startswith(b"mime", kind) and b"application/rdf+xml" in data[kind + 4 : kind + 64]:
                yield item, "xmp"


def _item_places(data: bytes, at: int, stop: int) -> Iterator[tuple[int, tuple[int, int, int]]]:
    """Where items begin: number, (0 for the file or 1 for the box idat, offset, size); of parts only the first."""
    version = _int(data, at, 1)
    widths = _int(data, at + 4, 2)
    offset_width, size_width, base_width = widths >> 12, widths >> 8 & 15, widths >> 4 & 15
    index_width = widths & 15 if version else 0
    number_width = 2 if version < 2 else 4
    at += 6 + number_width
    while at < stop:
        item = _int(data, at, number_width)
        at += number_width
        method = _int(data, at, 2) & 15 if version else 0
        at += (2 if version else 0) + 2  # and a data reference
        offset = _int(data, at, base_width)
        parts = _int(data, at + base_width, 2)
        at += base_width + 2
        offset += _int(data, at + index_width, offset_width)
        yield item, (method, offset, _int(data, at + index_width + offset_width, size_width))
        at += parts * (index_width + offset_width + size_width)


def _raw(data: bytes) -> Iterator[Block]:
    """TIFF, and RAW by its opening."""
    if data.startswith(_TIFF_MAGICS):
        yield "exif", data
    elif data.startswith(b"FUJIFILMCCD-RAW"):
        start = _int(data, 84, 4)
        yield from _jpeg(data[start : start + _int(data, 88, 4)])
    elif data[4:12] == b"ftypcrx ":
        yield from _cr3(data)


def _cr3(data: bytes) -> Iterator[Block]:
    """CR3: MP4 boxes with Canon's own inside."""
    for name, at, stop in _boxes(data, 0, len(data)):
        if name == b"uuid" and data.startswith(_CR3_XMP, at):
            yield "xmp", data[at + 16 : stop]
        for inner, start, end in _boxes(data, at, stop) if name == b"moov" else ():
            if inner == b"uuid" and data.startswith(_CR3_EXIF, start):
                parts = {part: data[first:last] for part, first, last in _boxes(data, start + 16, end)}
                for part in (b"CMT1", b"CMT2", b"CMT4"):
                    yield "exif", parts.get(part, b"")


def _boxes(data: bytes, at: int, stop: int) -> Iterator[tuple[bytes, int, int]]:
    """Yield name, start and end of what is inside each box between two places."""
    while at + 8 <= stop:
        size, name, head = _int(data, at, 4), data[at + 4 : at + 8], 8
        if size == 1:
            size, head = _int(data, at + 8, 8), 16
        end = stop if size == 0 else at + size
        if size and size < head:
            return
        yield name, at + head, min(end, stop)
        at = end


def _inflated(data: bytes) -> bytes:
    """Unpack, but no more than is read of XMP: one byte beyond tells that it is too large."""
    try:
        return zlib.decompressobj().decompress(data, MAX_XMP + 1)
    except zlib.error:
        return b""


def _int(data: bytes, at: int, width: int) -> int:
    """Return a big-endian number; beyond the end of the data, what there is of it."""
    return int.from_bytes(data[at : at + width], "big")


_WALKS: dict[str, Callable[[bytes], Iterator[Block]]] = {
    "JPEG": _jpeg,
    "PNG": _png,
    "WEBP": _webp,
    "GIF": _gif,
    "TIFF": _raw,
    "RAW": _raw,
    "HEIF": _heif,
    "AVIF": _heif,
}
