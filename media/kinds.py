"""Tell what a file is by its first bytes; names only say what people would expect to find."""

from pathlib import PurePath

HEAD_BYTES = 32
"""How many leading bytes `sniff` needs."""

EXTENSIONS = {
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif", ".mpo"),
    "PNG": (".png", ".apng"),
    "WEBP": (".webp",),
    "GIF": (".gif",),
    "TIFF": (".tif", ".tiff"),
    "BMP": (".bmp",),
    "AVIF": (".avif", ".avifs"),
    "HEIF": (".heic", ".heics", ".heif", ".heifs", ".hif"),
    "RAW": (
        ".dng", ".cr2", ".cr3", ".crw", ".nef", ".nrw", ".arw", ".srf", ".sr2", ".raf", ".rw2", ".orf", ".pef",
        ".srw", ".3fr", ".iiq", ".mef", ".mos", ".mrw", ".kdc", ".dcr", ".erf", ".x3f", ".raw", ".rwl",
    ),
}  # fmt: skip
"""The formats that are decoded, and what their files are called; everything else stays shut.

Most RAW files begin like a TIFF, whose reader would show their smallest preview: only the name tells them.
"""

PHOTO_FORMATS = tuple(EXTENSIONS)
"""Pillow's names of the formats, and one for all cameras' own."""

PHOTO_EXTENSIONS = frozenset(name for names in EXTENSIONS.values() for name in names)
"""A file with such a name that is no photo is a failure worth telling."""

_STARTS = {
    b"\xff\xd8\xff": "JPEG",
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"GIF87a": "GIF",
    b"GIF89a": "GIF",
    b"IIU\0": "RAW",  # Panasonic, Leica
    b"IIRO": "RAW",  # Olympus, and the next two
    b"IIRS": "RAW",
    b"MMOR": "RAW",
    b"FUJIFILMCCD-RAW": "RAW",
    b"II\x1a\0\0\0HEAPCCDR": "RAW",  # Canon CRW
    b"FOVb": "RAW",  # Sigma
    b"\0MRM": "RAW",  # Minolta
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
    b"II+\0": "TIFF",
    b"MM\0+": "TIFF",
}
_HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1")


def extension(name: str | PurePath) -> str:
    """Return the lower-case extension of a path, with its dot."""
    return PurePath(name).suffix.lower()


def sniff(head: bytes) -> str | None:
    """Return the format of the photo that begins with `head` (HEAD_BYTES of it), or None.

    A RAW file that begins like a TIFF is a "TIFF" here: `photo_format` looks at the name, too.
    """
    if head[4:8] == b"ftyp":
        return _sniff_boxes(head)
    if head[:4] == b"RIFF":
        return "WEBP" if head[8:12] == b"WEBP" else None
    if head[:2] == b"BM":
        return "BMP" if head[6:10] == b"\0\0\0\0" else None
    if head.startswith(b"II*\0") and head[8:11] == b"CR\2":  # Canon CR2
        return "RAW"
    return next((kind for start, kind in _STARTS.items() if head.startswith(start)), None)


def _sniff_boxes(head: bytes) -> str | None:
    """Tell the photos among the files that are made of boxes, as films are: by their main and compatible brands."""
    if head[8:12] == b"crx ":  # Canon CR3
        return "RAW"
    if any(brand in head[8:32] for brand in (b"avif", b"avis")):
        return "AVIF"
    return "HEIF" if head[8:12] in _HEIF_BRANDS else None


def photo_format(head: bytes, name: str | PurePath) -> str | None:
    """Return one of PHOTO_FORMATS, or None, for a file's first HEAD_BYTES and its name."""
    kind = sniff(head)
    return "RAW" if kind == "TIFF" and extension(name) in EXTENSIONS["RAW"] else kind


def expected_photo(name: str | PurePath) -> bool:
    """Say whether a person would expect a photo behind this name."""
    return extension(name) in PHOTO_EXTENSIONS
