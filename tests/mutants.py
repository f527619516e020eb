"""Damaged, hostile and chimeric files, made from one rich sample of every format: what tests/test_fuzz.py feeds.

A mutation knows where the lengths, counts, offsets and sizes of a format lie, and sets them to what their readers
may not have thought of; the others know nothing and hit anything.
"""

import json
import struct
import zlib
from collections.abc import Callable, Iterator
from random import Random
from typing import Literal

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from tests.samples import dng, noise, preview_page, saved, scene
from tests.test_metadata import cr3, raf, some_exif, xmp

Order = Literal["big", "little"]
Field = tuple[int, int, Order]
"""Where a number lies, its bytes, and "big" or "little"."""

# --- seeds

NAMESPACES = " ".join(
    f'xmlns:{prefix}="{uri}"'
    for prefix, uri in {
        "dc": "http://purl.org/dc/elements/1.1/",
        "exif": "http://ns.adobe.com/exif/1.0/",
        "tiff": "http://ns.adobe.com/tiff/1.0/",
        "lr": "http://ns.adobe.com/lightroom/1.0/",
        "GCamera": "http://ns.google.com/photos/1.0/camera/",
    }.items()
)
PACKET = xmp(
    "<dc:title><rdf:Alt><rdf:li xml:lang='x-default'>Old town</rdf:li></rdf:Alt></dc:title>"
    "<dc:subject><rdf:Bag><rdf:li>Vienna</rdf:li><rdf:li>church</rdf:li></rdf:Bag></dc:subject>"
    "<lr:hierarchicalSubject><rdf:Bag><rdf:li>Places|Vienna</rdf:li></rdf:Bag></lr:hierarchicalSubject>",
    f'{NAMESPACES} xmp:Rating="4" xmp:CreateDate="2023-06-01T12:34:56.78+02:00" exif:GPSLatitude="48,12.5094N" '
    'exif:GPSLongitude="16,22.3248E" exif:GPSAltitude="1715/10" exif:ExposureTime="1/250" tiff:Model="X-T5" '
    'GCamera:MotionPhoto="1"',
)
TAKEOUT = json.dumps(
    {
        "title": "IMG_1.jpg",
        "description": "At the sea\nin June",
        "photoTakenTime": {"timestamp": "1685622896", "formatted": "1 Jun 2023"},
        "geoData": {"latitude": 48.2, "longitude": 16.37, "altitude": 171.5},
        "people": [{"name": "Ada"}],
    }
).encode()
_RECORDS = b"\x1c\1\x5a\0\3\x1b%G" + b"".join(
    b"\x1c\2" + bytes([number]) + struct.pack(">H", len(value)) + value
    for number, value in {5: b"Title", 25: b"boat", 55: b"20230601", 60: b"123456+0200", 120: b"Two boats"}.items()
)


def _exif() -> bytes:
    exif = some_exif()
    exif[0x0112], exif[0x010E], exif[0x9C9E], exif[33723] = 6, "A boat", "Hafen;Boote".encode("utf-16-le"), _RECORDS
    return exif.tobytes()


def _segment(marker: int, body: bytes) -> bytes:
    return bytes([0xFF, marker]) + struct.pack(">H", len(body) + 2) + body


def _rich_jpeg(**options: object) -> bytes:
    resource = b"8BIM\4\4\0\0" + struct.pack(">I", len(_RECORDS)) + _RECORDS
    jpeg = saved(noise((24, 16)), "JPEG", exif=_exif(), xmp=PACKET, **options)
    return jpeg[:2] + _segment(0xED, b"Photoshop 3.0\0" + resource) + jpeg[2:]


def _rich_png() -> bytes:
    info = PngInfo()
    info.add_itxt("XML:com.adobe.xmp", PACKET.decode(), zip=True)
    info.add_text("Comment", "packed " * 99, zip=True)
    return saved(noise((24, 16)), "PNG", exif=_exif(), pnginfo=info)


def _animated(kind: str) -> bytes:
    return saved(scene((24, 16)), kind, save_all=True, append_images=[noise((24, 16))] * 3)


_SMALL = noise((24, 16))
_GIF = saved(_SMALL, "GIF")
_TURNED = {"exif": _exif()}
SEEDS: dict[str, tuple[str, bytes]] = {  # by what they are: a file name, and the bytes
    "JPEG": ("a.jpg", _rich_jpeg()),
    "progressive JPEG": ("a.jpg", _rich_jpeg(progressive=True)),
    "CMYK JPEG": ("a.jpg", saved(_SMALL.convert("CMYK"), "JPEG")),
    "MPO": ("a.mpo", saved(_SMALL, "MPO", save_all=True, append_images=[scene((8, 8))])),
    "PNG": ("a.png", _rich_png()),
    "palette PNG": ("a.png", saved(_SMALL.convert("P"), "PNG", transparency=1)),
    "16 bit PNG": ("a.png", saved(Image.new("I;16", (24, 16), 999), "PNG")),
    "animated PNG": ("a.png", _animated("PNG")),
    "WebP": ("a.webp", saved(_SMALL, "WEBP", xmp=PACKET, **_TURNED)),
    "lossy WebP": ("a.webp", saved(_SMALL.convert("RGBA"), "WEBP", lossless=False)),
    "animated WebP": ("a.webp", _animated("WEBP")),
    "GIF": ("a.gif", _GIF[:-1] + b"!\xff\x0bXMP DataXMP" + PACKET + b"\1" + bytes(range(255, -1, -1)) + b"\0;"),
    "animated GIF": ("a.gif", _animated("GIF")),
    "TIFF": ("a.tif", saved(_SMALL, "TIFF", **_TURNED)),
    "LZW TIFF": ("a.tif", saved(_SMALL, "TIFF", compression="tiff_lzw")),
    "JPEG TIFF": ("a.tif", saved(_SMALL, "TIFF", compression="jpeg")),
    "big TIFF": ("a.tif", saved(_SMALL, "TIFF", big_tiff=True)),
    "float TIFF": ("a.tif", saved(Image.new("F", (24, 16), 0.5), "TIFF")),
    "fax TIFF": ("a.tif", saved(_SMALL.convert("1"), "TIFF", compression="group4")),
    "BMP": ("a.bmp", saved(_SMALL, "BMP")),
    "palette BMP": ("a.bmp", saved(_SMALL.convert("P"), "BMP")),
    "AVIF": ("a.avif", saved(_SMALL, "AVIF", xmp=PACKET, **_TURNED)),
    "animated AVIF": ("a.avif", _animated("AVIF")),
    "HEIF": ("a.heic", saved(_SMALL, "HEIF", xmp=PACKET, **_TURNED)),
    "HEIF in tiles": ("a.heic", saved(scene((96, 96)), "HEIF", tile_size=64)),
    "DNG": ("a.dng", dng(scene((60, 40)))),
    "DNG with a preview": ("a.dng", dng(scene((60, 40)), preview=preview_page(scene((300, 280)), jpeg=True))),
    "RAF": ("a.raf", raf(_rich_jpeg())),
    "CR3": ("a.cr3", cr3(some_exif())),
}
SIDECARS: dict[str, tuple[str, bytes]] = {
    "XMP": ("a.xmp", PACKET),
    "UTF-16 XMP": ("a.xmp", PACKET.decode().encode("utf-16")),
    "Takeout": ("a.jpg.json", TAKEOUT),
}

# --- where the numbers lie


def fields(data: bytes) -> list[Field]:
    """Return where the lengths, counts, offsets and sizes of a file lie, as far as its beginning tells its format."""
    if data.startswith(b"\xff\xd8"):
        found = list(_jpeg_fields(data))
    elif data.startswith(b"\x89PNG"):
        found = list(_png_fields(data))
    elif data.startswith(b"RIFF"):
        found = list(_riff_fields(data))
    elif data[4:8] == b"ftyp":
        found = list(_box_fields(data, 0, len(data)))
    elif data.startswith(b"BM"):
        found = [(at, 4, "little") for at in range(2, 54, 4)]
    elif data.startswith(b"GIF"):
        found = [(6, 2, "little"), (8, 2, "little"), (10, 1, "little"), *_gif_fields(data)]
    else:
        found = []
    for start in (at for at in range(len(data) - 8) if data[at : at + 4] in (b"II*\0", b"MM\0*")):
        found += _tiff_fields(data, start)
    return [(at, width, order) for at, width, order in found if at + width <= len(data)]


def _jpeg_fields(data: bytes) -> Iterator[Field]:
    at = 2
    while at + 4 <= len(data) and data[at] == 0xFF:
        marker, size = data[at + 1], int.from_bytes(data[at + 2 : at + 4], "big")
        yield at + 2, 2, "big"
        if marker in (0xC0, 0xC2):  # depth, height, width, components, then three bytes of each
            yield from ((at + 4, 1, "big"), (at + 5, 2, "big"), (at + 7, 2, "big"), (at + 9, 1, "big"))
            yield from ((part, 1, "big") for part in range(at + 10, at + 2 + size))
        if marker in (0xC4, 0xDA, 0xDB):
            yield from ((part, 1, "big") for part in range(at + 4, at + 2 + min(size, 24)))
        if marker == 0xDA:
            return
        at += 2 + size


def _png_fields(data: bytes) -> Iterator[Field]:
    at = 8
    while at + 8 <= len(data):
        size, name = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
        yield at, 4, "big"
        if name in (b"IHDR", b"acTL", b"fcTL"):
            yield from ((part, 4, "big") for part in range(at + 8, at + 8 + min(size, 32), 4))
        if name == b"IHDR":
            yield from ((part, 1, "big") for part in range(at + 16, at + 21))
        at += 12 + size


def _riff_fields(data: bytes) -> Iterator[Field]:
    yield 4, 4, "little"
    at = 12
    while at + 8 <= len(data):
        size = int.from_bytes(data[at + 4 : at + 8], "little")
        yield at + 4, 4, "little"
        yield from ((part, width, "little") for part in range(at + 8, at + 24) for width in (1, 2, 3))
        at += 8 + size + size % 2


def _gif_fields(data: bytes) -> Iterator[Field]:
    for at in range(13, len(data) - 9):
        if data[at] == 0x2C:  # a frame, perhaps: left, top, width, height
            yield from ((part, 2, "little") for part in range(at + 1, at + 9, 2))


_CONTAINERS = (
    b"meta",
    b"iprp",
    b"ipco",
    b"iinf",
    b"moov",
    b"trak",
    b"mdia",
    b"minf",
    b"stbl",
    b"dinf",
    b"iref",
    b"uuid",
)
_TABLES = (b"iloc", b"ispe", b"ipma", b"pitm", b"infe", b"hvcC", b"av1C", b"pixi", b"irot", b"idat", b"dimg", b"tkhd",
           b"stsz", b"stco", b"stsc", b"stts", b"iinf", b"iref")  # fmt: skip


def _box_fields(data: bytes, at: int, stop: int) -> Iterator[Field]:
    while at + 8 <= stop:
        size, name = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
        end = min(stop, at + size) if size >= 8 else stop
        yield at, 4, "big"
        if name in _TABLES:
            yield from ((part, width, "big") for part in range(at + 8, min(end, at + 128)) for width in (1, 2, 4))
        if name in _CONTAINERS:
            yield from _box_fields(data, at + 8 + {b"meta": 4, b"iinf": 6, b"iref": 4, b"uuid": 16}.get(name, 0), end)
        at = end


def _tiff_fields(data: bytes, start: int) -> Iterator[Field]:
    order: Order = "little" if data[start : start + 1] == b"I" else "big"

    def number(at: int, width: int) -> int:
        return int.from_bytes(data[at : at + width], order)

    yield start + 4, 4, order
    waiting, seen = [start + number(start + 4, 4)], set[int]()
    while waiting:
        at = waiting.pop()
        if at in seen or at + 2 > len(data) or len(seen) > 8:
            continue
        seen.add(at)
        yield at, 2, order
        last = at + 2 + 12 * min(number(at, 2), 60)
        for entry in range(at + 2, last, 12):  # tag, type, count, value or where it lies
            yield from ((entry, 2, order), (entry + 2, 2, order), (entry + 4, 4, order), (entry + 8, 4, order))
            if number(entry, 2) in (330, 34665, 34853, 40965):
                waiting.append(start + number(entry + 8, 4))
        yield last, 4, order


# --- mutations

_TOKENS = (
    *(
        b"\0",
        b"\0\0\0\0",
        b"\xff\xff\xff\xff",
        b"\xff\xd8\xff",
        b"\xff\xd9",
        b"\xff\xda",
        b"Exif\0\0",
        b"II*\0",
        b"MM\0*",
    ),
    *(b"8BIM", b"\x1c\2\5\xff\xff", b"IDAT", b"IEND", b"ftyp", b"meta", b"<!DOCTYPE a [<!ENTITY b 'c'>]>", b"&b;"),
    *(
        b"&#0;",
        b"&#xD800;",
        b"\xed\xa0\x80",
        b"\xf4\x90\x80\x80",
        b"<![CDATA[",
        b"<rdf:RDF>",
        b"</rdf:RDF>",
        b"<rdf:li>",
    ),
    *(b"\\ud800", b"\\u0000", b"1e999", b"-1e999", b"NaN", b"Infinity", b"9" * 400, b"[" * 3000, b'{"title":' * 400),
    *(b"1/0", b"0/0", b"-1", b"5e-324", b"2023:99:99", b"\xef\xbb\xbf", b"'", b'"', b"<", b">", b"\x1b[31m", b"\r\n"),
)


def _flipped(data: bytearray, chance: Random) -> None:
    data[_anywhere(data, chance)] ^= 1 << chance.randrange(8)


def _overwritten(data: bytearray, chance: Random) -> None:
    at, size = _anywhere(data, chance), chance.choice([1, 2, 4, 30])
    fill = chance.choice([0, 0xFF, None])
    data[at : at + size] = bytes(chance.randrange(256) if fill is None else fill for _ in data[at : at + size])


def _cut_out(data: bytearray, chance: Random) -> None:
    at = _anywhere(data, chance)
    del data[at : at + chance.choice([1, 2, 4, 8, 200])]


def _doubled(data: bytearray, chance: Random) -> None:
    at = _anywhere(data, chance)
    part = bytes(data[at : at + chance.choice([1, 4, 12, 300])])
    data[at:at] = part * chance.choice([1, 1, 50])


def _inserted(data: bytearray, chance: Random) -> None:
    at = _anywhere(data, chance)
    data[at:at] = chance.choice(_TOKENS)


def _swapped(data: bytearray, chance: Random) -> None:
    first, second, size = _anywhere(data, chance), _anywhere(data, chance), chance.choice([1, 4, 12])
    one, other = bytes(data[first : first + size]), bytes(data[second : second + size])
    if len(one) == len(other):
        data[first : first + size], data[second : second + size] = other, one


def _misnumbered(data: bytearray, chance: Random) -> None:
    places = fields(bytes(data))
    if not places:
        return _overwritten(data, chance)
    at, width, order = chance.choice(places)
    most, now = (1 << 8 * width) - 1, int.from_bytes(data[at : at + width], order)
    extremes = (
        0,
        1,
        2,
        7,
        8,
        255,
        most,
        most - 1,
        most >> 1,
        (most >> 1) + 1,
        now + 1,
        now - 1,
        now * 2,
        len(data),
        at,
    )
    data[at : at + width] = (chance.choice(extremes) & most).to_bytes(width, order)


def _cut_short(data: bytearray, chance: Random) -> None:
    del data[
        chance.choice([at for at, _, _ in fields(bytes(data))] or [len(data) // 2]) + chance.choice([0, 0, -1, 2]) :
    ]


def _spliced(data: bytearray, chance: Random) -> None:
    _, other = chance.choice(list(SEEDS.values()))
    cuts = [at for at, _, _ in fields(other)] or [len(other) // 2]
    data[_anywhere(data, chance) :] = other[chance.choice(cuts) :]


MUTATIONS: tuple[Callable[[bytearray, Random], None], ...] = (
    *(_flipped, _overwritten, _cut_out, _doubled, _inserted, _swapped, _cut_short, _spliced),
    *(_misnumbered,) * 4,
)


def mutated(data: bytes, chance: Random) -> bytes:
    """Return a file with one to five things wrong; of a PNG, mostly with checksums that say it is right."""
    body = bytearray(data)
    for _ in range(chance.choice([1, 1, 1, 2, 5])):
        if body:
            chance.choice(MUTATIONS)(body, chance)
    return _with_checksums(bytes(body)) if body.startswith(b"\x89PNG") and chance.randrange(4) else bytes(body)


def _anywhere(data: bytearray, chance: Random) -> int:
    """Return a place, mostly near the beginning, where the headers are."""
    return chance.randrange(min(len(data), chance.choice([40, 400, len(data)]) or 1))


def _with_checksums(png: bytes) -> bytes:
    out, at = png[:8], 8
    while at + 12 <= len(png):
        size = int.from_bytes(png[at : at + 4], "big")
        if at + 12 + size > len(png):
            break
        out += png[at : at + 8 + size] + struct.pack(">I", zlib.crc32(png[at + 4 : at + 8 + size]))
        at += 12 + size
    return out + png[at:]
