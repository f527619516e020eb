"""Tell what a file is by its first bytes; names only say what people would expect to find."""

from pathlib import PurePath

HEAD_BYTES = 32
"""How many leading bytes `sniff` needs."""

PHOTO_FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP", "AVIF")
"""Pillow's names of the formats that are decoded; everything else stays shut."""

PHOTO_EXTENSIONS = frozenset(
    [".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".apng", ".webp", ".gif", ".tif", ".tiff", ".bmp", ".avif"]
)
"""A file with such a name that is no photo is a failure worth telling."""

_HEIC = (".heic", ".heif", ".hif")
_RAW = (
    ".dng",
    ".cr2",
    ".cr3",
    ".crw",
    ".nef",
    ".nrw",
    ".arw",
    ".srf",
    ".sr2",
    ".raf",
    ".rw2",
    ".orf",
    ".pef",
    ".srw",
)
LATER_EXTENSIONS = {
    **dict.fromkeys(_HEIC, "HEIC photos are not supported yet"),
    **dict.fromkeys(_RAW, "RAW photos are not supported yet"),
}
"""Photos that this version cannot read; RAW must not reach the TIFF reader, which would see its preview."""


def extension(name: str | PurePath) -> str:
    """Return the lower-case extension of a path, with its dot."""
    return PurePath(name).suffix.lower()


def sniff(head: bytes) -> str | None:
    """Return the format of the photo that begins with `head` (HEAD_BYTES of it), or None."""
    if head.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG"
    if head.startswith((b"GIF87a", b"GIF89a")):
        return "GIF"
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WEBP"
    if head.startswith((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")):
        return "TIFF"
    if head.startswith(b"BM") and head[6:10] == b"\0\0\0\0":
        return "BMP"
    if head[4:8] == b"ftyp" and any(brand in head[8:32] for brand in (b"avif", b"avis")):
        return "AVIF"
    return None


def expected_photo(name: str | PurePath) -> bool:
    """Say whether a person would expect a photo behind this name."""
    suffix = extension(name)
    return suffix in PHOTO_EXTENSIONS or suffix in LATER_EXTENSIONS
