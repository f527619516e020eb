"""Tell what a file is by its first bytes; names only say what people would expect to find."""

from pathlib import PurePath

HEAD_BYTES = 32
"""How many leading bytes `sniff` and `recording_format` need."""

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

RECORDINGS = {
    "wav": (".wav", ".wave", ".bwf", ".rf64"),
    "w64": (".w64",),
    "flac": (".flac",),
    "mp3": (".mp3", ".mp2", ".mpga"),
    "ogg": (".ogg", ".oga", ".opus", ".spx", ".ogv"),
    "aac": (".aac", ".adts"),
    "aiff": (".aif", ".aiff", ".aifc"),
    "mov": (".mp4", ".m4v", ".mov", ".qt", ".m4a", ".m4b", ".m4r", ".3gp", ".3g2", ".3ga"),
    "matroska": (".mkv", ".webm", ".mka"),
    "avi": (".avi",),
}
"""The sounds and films that are decoded, by FFmpeg's name of the one demuxer that may open them."""

RECORDING_EXTENSIONS = frozenset(name for names in RECORDINGS.values() for name in names)
"""A file with such a name that is no recording is a failure worth telling."""

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
_RECORDING_STARTS = {
    b"fLaC": "flac",
    b"OggS": "ogg",
    b"\x1aE\xdf\xa3": "matroska",
    b"riff.\x91\xcf\x11\xa5\xd6(\xdb\x04\xc1\0\0": "w64",  # a GUID
}
_RIFF = {b"WAVE": "wav", b"AVI ": "avi"}
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


def recording_format(head: bytes, name: str | PurePath = "") -> str | None:
    """Return one of RECORDINGS, or None, for a file's first HEAD_BYTES.

    name: tells what lies behind a tag of ID3, which is an MP3 unless it is called otherwise.
    """
    if sniff(head):
        return None
    if head[:4] in (b"RIFF", b"RF64", b"BW64"):
        return _RIFF.get(head[8:12])
    if head[:4] == b"FORM":
        return "aiff" if head[8:12] in (b"AIFF", b"AIFC") else None
    if head[:3] == b"ID3" and len(head) >= 10 and max(head[3:5]) < 0xFF and max(head[6:10]) < 0x80:
        return next((kind for kind in ("aac", "flac") if extension(name) in RECORDINGS[kind]), "mp3")
    if _is_mov(head):
        return "mov"
    if head[:1] == b"\xff":
        return _sniff_frames(head)
    return next((kind for start, kind in _RECORDING_STARTS.items() if head.startswith(start)), None)


def _is_mov(head: bytes) -> bool:
    """Tell files of boxes; old films have no "ftyp", and other words need a size before them that text cannot be."""
    return head[4:8] in (b"ftyp", b"mdat") or (
        head[:1] == b"\0" and head[4:8] in (b"moov", b"wide", b"free", b"skip", b"pnot")
    )


def _sniff_frames(head: bytes) -> str | None:
    """Tell bare frames of MPEG audio by the fields of their first header, none of which may be what is reserved."""
    if len(head) < 7 or head[1] & 0xE0 != 0xE0:
        return None
    if head[1] & 0xF6 == 0xF0:  # ADTS: layer 0
        length = (head[3] & 3) << 11 | head[4] << 3 | head[5] >> 5
        return "aac" if head[2] >> 2 & 0xF < 13 and length > 7 else None
    layer, version = head[1] >> 1 & 3, head[1] >> 3 & 3
    bit_rate, rate, emphasis = head[2] >> 4, head[2] >> 2 & 3, head[3] & 3
    sound = layer in (1, 2) and version != 1 and bit_rate not in (0, 15) and rate != 3 and emphasis != 2
    return "mp3" if sound else None


def expected_recording(name: str | PurePath) -> bool:
    """Say whether a person would expect a sound or a film behind this name."""
    return extension(name) in RECORDING_EXTENSIONS


def expected_media(name: str | PurePath) -> bool:
    """Say whether a person would expect a photo, a sound or a film behind this name."""
    return expected_photo(name) or expected_recording(name)
