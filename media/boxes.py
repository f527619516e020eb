"""Look at what FFmpeg tells nothing of in films: is the file whole, is it open to all?"""

from collections.abc import Iterator

from media.files import OpenFile, Reader

_HOLDERS = (b"moov", b"trak", b"mdia", b"minf", b"stbl")
_ENCRYPTED = {b"enca", b"encv", b"drms", b"drmi", b"aavd"}
"""How samples are described that are encrypted: as ISO 23001-7 says, by FairPlay, by Audible."""
_MOST = 1000
"""Boxes that are looked at in one place."""
_SEGMENT = b"\x18\x53\x80\x67"


def is_cut_short(file: OpenFile) -> bool:
    """Say whether the table of contents is missing, or what counts goes beyond the end of the file.

    Some cameras put notes of their own behind the last box.
    """
    boxes = list(_boxes(Reader(file), 0, file.stat.size))
    tables = [end for kind, _, end in boxes if kind in (b"moov", b"moof")]
    return not tables or max(end for kind, _, end in boxes if kind in (b"moov", b"moof", b"mdat")) > file.stat.size


def is_matroska_cut_short(file: OpenFile) -> bool:
    """Say whether the segment of a Matroska or WebM file goes beyond its end; RFC 8794, section 4."""
    head = Reader(file).read(1 << 12)
    size, begin = _number(head, 4)
    at = begin + (size or 0)
    if head[at : at + 4] != _SEGMENT:
        return False
    size, begin = _number(head, at + 4)
    return size is not None and begin + size > file.stat.size


def _number(data: bytes, at: int) -> tuple[int | None, int]:
    """Return the size that is written at a place, None where the writer did not know it, and what follows it."""
    first = data[at] if at < len(data) else 0
    count = 9 - first.bit_length()
    number = int.from_bytes(data[at : at + count]) & (1 << 7 * count) - 1
    unknown = first == 0 or at + count > len(data) or number == (1 << 7 * count) - 1
    return None if unknown else number, at + count


def is_encrypted(file: OpenFile) -> bool:
    """Say whether a track in it is encrypted."""
    reader = Reader(file)
    return any(kind in _ENCRYPTED for kind in _descriptions(reader, 0, file.stat.size))


def _descriptions(reader: Reader, start: int, end: int) -> Iterator[bytes]:
    """Yield how the samples of each track are described: moov.trak.mdia.minf.stbl.stsd, its first entry."""
    for kind, begin, finish in _boxes(reader, start, end):
        if kind in _HOLDERS:
            yield from _descriptions(reader, begin, finish)
        elif kind == b"stsd":
            yield from (entry for entry, _, _ in _boxes(reader, begin + 8, finish))


def _boxes(reader: Reader, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Yield the kind of each box, where its content begins, and where it ends, which may be behind `end`."""
    for _ in range(_MOST):
        if start + 8 > end:
            return
        reader.seek(start)
        header = reader.read(16)
        size, begin = int.from_bytes(header[:4]), start + 8
        if size == 1:
            size, begin = int.from_bytes(header[8:]), start + 16
        elif size == 0:  # to the end
            size = end - start
        if len(header) < 8 or start + size < begin:
            return
        yield header[4:8], begin, start + size
        start += size
