"""Tiny sample files in every format and for every trap, made on the spot: no camera's file is at hand.

The RAW files are synthetic DNGs, written by hand. They have what LibRaw goes by (a colour filter array, a matrix, a
white balance, a preview) and no maker's own compression: what they show of other cameras' files is only the routing.
"""

import io
import struct
import zlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from PIL import Image

RED, GREEN, BLUE, YELLOW, BLACK, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0), (0, 0, 0), (255,) * 3
T = Image.Transpose
STORED = {  # how an upright photo lies in the file for each EXIF orientation
    1: None,
    2: T.FLIP_LEFT_RIGHT,
    3: T.ROTATE_180,
    4: T.FLIP_TOP_BOTTOM,
    5: T.TRANSPOSE,
    6: T.ROTATE_90,
    7: T.TRANSVERSE,
    8: T.ROTATE_270,
}
OPTIONS: dict[str, dict[str, Any]] = {
    "JPEG": {"quality": 95, "subsampling": 0},
    "PNG": {},
    "WEBP": {"lossless": True},
    "GIF": {},
    "TIFF": {},
    "BMP": {},
    "AVIF": {"quality": 95, "subsampling": "4:4:4"},
    "HEIF": {"quality": 95, "chroma": 444},
}
"""How Pillow saves each format so that little is lost; RAW it cannot save."""


# --- pictures


def scene(size: tuple[int, int] = (96, 64)) -> Image.Image:
    """Return a photo whose four quarters differ: red, green, blue, yellow."""
    image = Image.new("RGB", size, RED)
    half = size[0] // 2, size[1] // 2
    image.paste(GREEN, (half[0], 0, size[0], half[1]))
    image.paste(BLUE, (0, half[1], half[0], size[1]))
    image.paste(YELLOW, (*half, *size))
    return image


def noise(size: tuple[int, int] = (128, 96)) -> Image.Image:
    values = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    return Image.fromarray(values)


def colours(count: int, size: tuple[int, int] = (64, 64)) -> list[Image.Image]:
    """Return frames of one colour each: number i is (20 i, 0, 255 - 20 i)."""
    return [Image.new("RGB", size, frame_colour(number)) for number in range(count)]


def frame_colour(number: int) -> tuple[int, int, int]:
    return 20 * number % 256, 0, 255 - 20 * number % 256


# --- files


def saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    if kind == "HEIF":
        from media.heif import register_heif

        register_heif()
    out = io.BytesIO()
    image.save(out, kind, **{**OPTIONS.get(kind, {}), **options})
    return out.getvalue()


def with_orientation(image: Image.Image, kind: str, orientation: int) -> bytes:
    """Return a file in which an upright photo lies as this EXIF orientation says."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    turn = STORED[orientation]
    # As bytes: pillow_heif overlooks the orientation in an Exif object.
    return saved(image if turn is None else image.transpose(turn), kind, exif=exif.tobytes())


def animated(kind: str, count: int, **options: Any) -> bytes:
    """Return an animation of `count` frames of one colour each (see `colours`)."""
    frames = colours(count)
    return saved(frames[0], kind, save_all=True, append_images=frames[1:], **options)


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(width: int, height: int, depth: int, colour: int, rows: bytes, *extra: bytes) -> bytes:
    """Return a PNG whose header says what it likes; `rows` are its scan lines, each after its filter byte."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    chunks = chunk(b"IHDR", header), *extra, chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def grey_jpeg(width: int, height: int) -> bytes:
    """Return a baseline JPEG of one grey, of any size, without compressing a single pixel.

    Every block is "no difference" (00) and "end of block" (1010) in the standard Huffman tables: four in three bytes.
    """
    data = bytearray(saved(Image.new("L", (8, 8), 128), "JPEG"))
    start = data.index(b"\xff\xc0") + 5
    data[start : start + 4] = struct.pack(">HH", height, width)
    scan = data.index(b"\xff\xda")
    head = bytes(data[: scan + 2 + int.from_bytes(data[scan + 2 : scan + 4])])
    blocks = -(-width // 8) * -(-height // 8)
    return head + b"\x28\xa2\x8a" * -(-blocks // 4) + b"\xff\xd9"


def jpeg_claiming(width: int, height: int, *, progressive: bool) -> bytes:
    """Return a small JPEG whose header says it is large."""
    data = bytearray(saved(scene(), "JPEG", progressive=progressive))
    start = data.index(b"\xff\xc2" if progressive else b"\xff\xc0") + 5
    data[start : start + 4] = struct.pack(">HH", height, width)
    return bytes(data)


# --- TIFF and DNG

BYTE, ASCII, SHORT, LONG, RATIONAL, SRATIONAL = 1, 2, 3, 4, 5, 10
_PACKED: dict[int, tuple[int, Callable[[Any], bytes]]] = {  # by type: bytes of a value, and how to write several
    BYTE: (1, bytes),
    ASCII: (1, lambda text: text),
    SHORT: (2, lambda values: struct.pack(f"<{len(values)}H", *values)),
    LONG: (4, lambda values: struct.pack(f"<{len(values)}I", *values)),
    RATIONAL: (8, lambda values: b"".join(struct.pack("<II", round(v * 10_000), 10_000) for v in values)),
    SRATIONAL: (8, lambda values: b"".join(struct.pack("<ii", round(v * 10_000), 10_000) for v in values)),
}
Page = tuple[dict[int, tuple[int, Any]], bytes]
"""A directory of a TIFF: by tag, type and values; and the one strip of pixels that it describes."""


def tiff(*pages: Page, below: Sequence[Page] = ()) -> bytes:
    """Return a little-endian TIFF, directories first, then strips; `below` are SubIFDs of the first page."""
    every = [*pages, *below]
    tags = [{**page, 273: (LONG, [0]), 279: (LONG, [len(strip)])} for page, strip in every]
    if below:
        tags[0][330] = (LONG, [0] * len(below))
    starts = _starts(8, [6 + sum(12 + _outside(*tag) for tag in page.values()) for page in tags])
    strips = _starts(starts.pop(), [len(strip) + len(strip) % 2 for _, strip in every])
    if below:
        tags[0][330] = (LONG, starts[len(pages) :])
    body = b""
    for number, (page, at) in enumerate(zip(tags, starts, strict=True)):
        page[273] = (LONG, [strips[number]])
        body += _directory(page, at, starts[number + 1] if number + 1 < len(pages) else 0)
    return b"II*\0\x08\0\0\0" + body + b"".join(strip + bytes(len(strip) % 2) for _, strip in every)


def _starts(first: int, sizes: Sequence[int]) -> list[int]:
    """Return where each part begins, and where the last one ends."""
    return [first + sum(sizes[:number]) for number in range(len(sizes) + 1)]


def _directory(tags: dict[int, tuple[int, Any]], at: int, following: int) -> bytes:
    entries, values = struct.pack("<H", len(tags)), b""
    values_at = at + 6 + 12 * len(tags)
    for tag, (kind, content) in sorted(tags.items()):
        width, pack = _PACKED[kind]
        packed = pack(content)
        inline = packed.ljust(4, b"\0") if len(packed) <= 4 else struct.pack("<I", values_at + len(values))
        entries += struct.pack("<HHI", tag, kind, len(packed) // width) + inline
        values += packed + bytes(len(packed) % 2) if len(packed) > 4 else b""
    return entries + struct.pack("<I", following) + values


def _outside(kind: int, content: Any) -> int:
    """Return how many bytes of a tag do not fit into its entry."""
    size = len(_PACKED[kind][1](content))
    return size + size % 2 if size > 4 else 0


def described(width: int, height: int, samples: int, bits: int, compression: int, photometric: int) -> dict[int, Any]:
    return {
        256: (LONG, [width]),
        257: (LONG, [height]),
        258: (SHORT, [bits] * samples),
        259: (SHORT, [compression]),
        262: (SHORT, [photometric]),
        277: (SHORT, [samples]),
        278: (LONG, [height]),
        284: (SHORT, [1]),
    }


def float_tiff() -> bytes:
    """Return a TIFF of 32-bit floats in three colours, which Pillow does not read."""
    tags = {**described(64, 64, 3, 32, 1, 2), 339: (SHORT, [3, 3, 3])}
    return tiff((tags, bytes(64 * 64 * 3 * 4)))


def preview_page(image: Image.Image, *, jpeg: bool, exif: Image.Exif | None = None) -> Page:
    """Return a reduced-resolution page as cameras put it into RAW files: a JPEG (with EXIF of its own), or RGB."""
    if jpeg:
        strip = saved(image, "JPEG")
        if exif is not None:  # first of all, as cameras write it
            strip = saved(image, "JPEG", exif=exif)
            strip = strip[:2] + strip[strip.index(b"\xff\xe1") :]
        return {**described(*image.size, 3, 8, 7, 6), 254: (LONG, [1])}, strip
    return {**described(*image.size, 3, 8, 1, 2), 254: (LONG, [1])}, image.tobytes()


def _sensor_page(image: Image.Image, *, linear: bool) -> Page:
    """Return the sensor's view of a photo: 16 bit values in proportion to light, behind RGGB filters or all three."""
    light = (np.asarray(image, dtype=np.float64) / 255) ** 2.2
    values = np.round(light * 60_000).astype("<u2")
    if linear:
        return {**described(*image.size, 3, 16, 1, 34892), 254: (LONG, [0])}, values.tobytes()
    mosaic = values[..., 1].copy()
    mosaic[::2, ::2] = values[::2, ::2, 0]
    mosaic[1::2, 1::2] = values[1::2, 1::2, 2]
    filters = {33421: (SHORT, [2, 2]), 33422: (BYTE, [0, 1, 1, 2])}
    return {**described(*image.size, 1, 16, 1, 32803), **filters, 254: (LONG, [0])}, mosaic.tobytes()


def dng(image: Image.Image, *, preview: Page | None = None, orientation: int = 1, linear: bool = False) -> bytes:
    """Return a DNG of a photo that is upright when its pixels are turned as `orientation` says.

    image: what lies in the file; preview: the page before it, see preview_page; linear: demosaiced.
    The camera has sRGB's primaries (the matrix goes from XYZ at D65), so that colours come out as they went in.
    """
    tags, strip = _sensor_page(image, linear=linear)
    matrix = [3.2406, -1.5372, -0.4986, -0.9689, 1.8758, 0.0415, 0.0557, -0.2040, 1.0570]
    colour = {
        50721: (SRATIONAL, matrix),
        50778: (SHORT, [21]),
        50728: (RATIONAL, [1.0, 1.0, 1.0]),
    }
    levels = {50714: (LONG, [0]), 50717: (LONG, [60_000] * (3 if linear else 1))}
    camera = {
        271: (ASCII, b"Synthetic\0"),
        272: (ASCII, b"Camera\0"),
        274: (SHORT, [orientation]),
        50706: (BYTE, [1, 4, 0, 0]),
        50707: (BYTE, [1, 1, 0, 0]),
        50708: (ASCII, b"Synthetic Camera\0"),
        **colour,
    }
    if preview is None:
        return tiff(({**camera, **tags, **levels}, strip))
    return tiff(({**camera, **preview[0]}, preview[1]), below=[({**tags, **levels}, strip)])
