"""Files made to harm: bombs cost neither memory nor time, polyglots are what their first bytes say, or nothing."""

import ast
import io
import json
import struct
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import PIL
import pytest
from PIL import EpsImagePlugin, Image

import glimpse
from core.errors import GlimpseError, MediaError
from core.types import Fit, ImageInput
from media.heif import register_heif
from media.kinds import PHOTO_FORMATS
from media.photo import decode_photo
from media.pillow import require_pillow
from media.values import positive
from tests.conftest import ROOT, paint
from tests.mutants import SEEDS
from tests.samples import (
    BYTE,
    LONG,
    OPTIONS,
    animated,
    chunk,
    described,
    dng,
    jpeg_claiming,
    png,
    saved,
    scene,
    tiff,
)
from tests.test_metadata import xmp

# The product ignores Pillow's remarks itself, but pytest's "error" comes before what a module sets.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:PIL")

WANT = ImageInput(32, Fit.LETTERBOX)
RDF = b'<r:RDF xmlns:r="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'

# --- bombs


def with_size(data: bytes, at: int, width: int, height: int, form: str) -> bytes:
    """Return a file whose width and height, from `at` on, are these."""
    size = struct.pack(form, width, height)
    return data[:at] + size + data[at + len(size) :]


def grown_gif(frame: int, side: int, disposal: int = 0) -> bytes:
    """Return an animation of 64 x 64 px, of which one frame claims to be larger; disposal: 2 fills its place."""
    data = animated("GIF", 5)
    at = -1
    for _ in range(frame + 1):
        at = data.index(b"\x2c\0\0\0\0\x40\0\x40\0", at + 1)
    data = with_size(data, at + 5, side, side, "<HH")
    if data[at - 8 : at - 5] == b"!\xf9\4":
        data = data[: at - 5] + bytes([data[at - 5] & ~0x1C | disposal << 2]) + data[at - 4 :]
    return data


def gif_of(count: int) -> bytes:
    frame = b"\x2c" + struct.pack("<HHHHB", 0, 0, 1, 1, 0) + b"\2\2\x44\1\0"
    return saved(scene((8, 8)), "GIF")[:-1] + frame * count + b";"


def claiming(kind: str, width: int, height: int) -> bytes:
    """Return a HEIF or AVIF whose properties claim a size (ispe, after its version)."""
    data = saved(scene(), kind)
    at = data.index(b"ispe") + 8
    return with_size(data, at, width, height, ">II")


def tiled_heif(change: Callable[[bytearray], None]) -> bytes:
    data = bytearray(saved(scene((96, 96)), "HEIF", tile_size=64))
    change(data)
    return bytes(data)


def huge_grid(data: bytearray) -> None:
    at = data.index(b"\0\0\1\1" + struct.pack(">HH", 96, 96))  # version, flags, rows - 1, columns - 1, size
    data[at : at + 8] = b"\0\0\xff\xff\xff\xff\xff\xff"


def grid_of_itself(data: bytearray) -> None:
    at = data.index(b"dimg") + 4  # from which item, how many follow, which
    for number in range(int.from_bytes(data[at + 2 : at + 4], "big")):
        data[at + 4 + 2 * number : at + 6 + 2 * number] = data[at : at + 2]


def tiled_tiff(side: int) -> bytes:
    tags = {
        **described(64, 64, 3, 8, 5, 2),
        322: (LONG, [side]),
        323: (LONG, [side]),
        324: (LONG, [8]),
        325: (LONG, [99]),
    }
    del tags[278]
    return tiff((tags, bytes(100)))


def looping_tiff() -> bytes:
    """Return a TIFF whose first directory is followed by itself."""
    data = bytearray(tiff((described(8, 8, 1, 8, 1, 1), bytes(64))))
    struct.pack_into("<I", data, 10 + 12 * struct.unpack_from("<H", data, 8)[0], 8)
    return bytes(data)


def with_exif(*entries: tuple[int, int, int, int], size: int = 0) -> bytes:
    """Return a JPEG with one directory of EXIF, of which every pointer and the next one may lead back to it."""
    body = struct.pack("<H", len(entries)) + b"".join(struct.pack("<HHII", *entry) for entry in entries)
    exif = b"II*\0\x08\0\0\0" + body + struct.pack("<I", 8)
    return saved(scene(), "JPEG", exif=b"Exif\0\0" + exif.ljust(size, b"\0"))


def plain_png(*chunks: bytes) -> bytes:
    return png(8, 8, 8, 0, b"\0" * 72, *chunks)


def packed(name: bytes, head: bytes, body: bytes) -> bytes:
    return chunk(name, head + zlib.compress(body, 9))


def with_segments(*segments: bytes) -> bytes:
    jpeg = saved(scene(), "JPEG")
    return jpeg[:2] + b"".join(segments) + jpeg[2:]


def with_iptc(records: bytes) -> bytes:
    resource = b"8BIM\4\4\0\0" + struct.pack(">I", len(records)) + records
    parts = [resource[at : at + 65_519] for at in range(0, len(resource), 65_519)]
    return with_segments(
        *(b"\xff\xed" + struct.pack(">H", 16 + len(part)) + b"Photoshop 3.0\0" + part for part in parts)
    )


def thumbnail_bomb() -> bytes:
    """Return a JPEG whose EXIF has a thumbnail that claims 65,000 x 65,000 px."""
    bomb = jpeg_claiming(65_000, 65_000, progressive=True)
    head = b"II*\0\x08\0\0\0" + struct.pack("<HI", 0, 14)
    head += struct.pack("<H", 2) + struct.pack("<HHIIHHII", 0x0201, 4, 1, 44, 0x0202, 4, 1, len(bomb)) + bytes(4)
    return saved(scene(), "JPEG", exif=b"Exif\0\0" + head + bomb)


def gigantic_mpf() -> bytes:
    data = saved(scene(), "MPO", save_all=True, append_images=[scene()])
    at = data.index(struct.pack("<HHII", 0xB001, 4, 1, 2), data.index(b"MPF\0"))
    return data[: at + 8] + struct.pack("<I", 2**32 - 1) + data[at + 12 :]


def heif_that_is_all_exif(size: int) -> bytes:
    """Return a HEIF that names all of itself as its EXIF, a thousand times."""

    def box(name: bytes, *parts: bytes) -> bytes:
        return struct.pack(">I", 8 + sum(map(len, parts))) + name + b"".join(parts)

    item = box(b"infe", b"\2\0\0\0" + struct.pack(">HH", 1, 0) + b"Exif\0")
    place = struct.pack(">HHHII", 1, 0, 1, 0, 2**32 - 1)
    tables = box(b"iinf", bytes(4), b"\0\1", item), box(b"iloc", bytes(4), b"\x44\0\3\xe8", place * 1000)
    return box(b"ftyp", b"heic\0\0\0\0mif1heic") + box(b"meta", bytes(4), *tables) + box(b"mdat", bytes(size))


def as_sidecar_chunk(packet: bytes) -> bytes:
    return packed(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0", packet)


SIZES, WHOLE, COSTLY = "{0} x {0} pixels are more than the limit of {1} megapixels", 200, 80
INSIDE = "a picture in it is larger than the limit of 200 megapixels"
TEXT = "the text in it unpacks to more than 64 MB"
HEADER = "damaged: its header cannot be read"
READ = ""
BOMBS: dict[
    str, tuple[Callable[[], bytes], str]
] = {  # what is made, and how the reason begins: of READ, there is none
    "GIF canvas": (lambda: with_size(saved(scene(), "GIF"), 6, 65_535, 65_535, "<HH"), SIZES.format(65_535, WHOLE)),
    "GIF whose first frame grows": (lambda: grown_gif(0, 65_535), INSIDE),
    "GIF whose next frame grows": (lambda: grown_gif(1, 65_535), READ),
    "GIF whose next frame grows and fills": (lambda: grown_gif(1, 65_535, disposal=2), READ),
    "GIF whose next frame grows and restores": (lambda: grown_gif(1, 65_535, disposal=3), READ),
    "GIF of 100,000 frames": (lambda: gif_of(100_000), READ),
    "WebP": (
        lambda: with_size(
            d := saved(scene(), "WEBP", lossless=False), d.index(b"\x9d\1\x2a") + 3, 16_383, 16_383, "<HH"
        ),
        INSIDE,
    ),
    "TIFF": (lambda: tiff((described(100_000, 100_000, 3, 8, 1, 2), bytes(99))), SIZES.format(100_000, WHOLE)),
    "TIFF of one huge tile": (lambda: tiled_tiff(60_000), "damaged: its pixels cannot be decoded"),
    "TIFF whose pages follow themselves": (looping_tiff, READ),
    "BMP that claims to be packed": (
        lambda: (b := saved(scene(), "BMP"))[:18] + struct.pack("<iiHHI", 14_000, 14_000, 1, 8, 1) + b[34:],
        "damaged: ",
    ),
    "HEIF": (lambda: claiming("HEIF", 60_000, 60_000), SIZES.format(60_000, COSTLY)),
    "HEIF that claims a little more": (lambda: claiming("HEIF", 8_000, 8_000), "damaged: "),
    "HEIF of 65,536 tiles": (lambda: tiled_heif(huge_grid), "damaged: "),
    "HEIF made of itself": (lambda: tiled_heif(grid_of_itself), "damaged: "),
    "HEIF that is all EXIF": (lambda: heif_that_is_all_exif(60 << 20), HEADER),
    "AVIF": (lambda: claiming("AVIF", 16_000, 16_000), SIZES.format(16_000, COSTLY)),
    "AVIF beyond its library's limit": (lambda: claiming("AVIF", 60_000, 60_000), HEADER),
    "packed text in PNG": (lambda: plain_png(packed(b"zTXt", b"a\0\0", bytes(100 << 20))), TEXT),
    "packed text of the world in PNG": (lambda: plain_png(packed(b"iTXt", b"a\0\1\0\0\0", bytes(100 << 20))), TEXT),
    "packed profile in PNG": (lambda: plain_png(packed(b"iCCP", b"a\0\0", bytes(100 << 20))), TEXT),
    "many packed texts in PNG": (lambda: plain_png(packed(b"zTXt", b"a\0\0", bytes(1 << 20)) * 99), TEXT),
    "2 MB of packed text in PNG": (lambda: plain_png(packed(b"zTXt", b"a\0\0", bytes(2 << 20))), READ),
    "APNG of 2,147,483,647 frames": (lambda: plain_png(chunk(b"acTL", struct.pack(">II", 2**31 - 1, 0))), READ),
    "JPEG of no height": (
        lambda: jpeg_claiming(96, 0, progressive=False)[:-2] + b"\xff\xdc\0\4\xff\xff\xff\xd9",
        HEADER,
    ),
    "JPEG with 65,535 restart intervals": (lambda: with_segments(b"\xff\xdd\0\4\xff\xff" * 65_535), READ),
    "JPEG with a million restarts": (
        lambda: saved(scene(), "JPEG")[:-2] + b"\xff\xd0\xff\xd1" * 500_000 + b"\xff\xd9",
        READ,
    ),
    "JPEG with 64 MB of Photoshop's": (
        lambda: with_segments((b"\xff\xed\xff\xff" + b"Photoshop 3.0\0".ljust(65_533, b"\0")) * 1024),
        READ,
    ),
    "JPEG with 13 million records of IPTC": (lambda: with_iptc(b"\x1c\2\x19\0\0" * 13_000_000), READ),
    "TIFF with 10 million keywords of Windows": (
        lambda: tiff(
            ({**described(8, 8, 1, 8, 1, 1), 0x9C9E: (BYTE, "a;".encode("utf-16-le") * 10_000_000)}, bytes(64))
        ),
        READ,
    ),
    "MPO of 4,294,967,295 pictures": (gigantic_mpf, READ),
    "EXIF whose directories are one": (
        lambda: with_exif(*((tag, 4, 1, 8) for tag in (0x8769, 0x8825, 0xA005, 0x014A)), (0x927C, 7, 100, 8)),
        READ,
    ),
    "EXIF that names its bytes 2,700 times": (
        lambda: with_exif(*((tag, 7, 64_000, 8) for tag in range(1, 2701)), size=64_900),
        READ,
    ),
    "EXIF whose thumbnail is a bomb": (thumbnail_bomb, READ),
    "XMP, 16 times packed": (
        lambda: plain_png(
            as_sidecar_chunk(RDF + b"<r:Description>" + b"<a/>" * 900_000 + b"</r:Description></r:RDF>") * 16
        ),
        READ,
    ),
    "XMP in XMP in XMP": (
        lambda: plain_png(
            as_sidecar_chunk(
                RDF + b"<r:Description><r:RDF>" * 84_000 + b"</r:RDF></r:Description>" * 84_000 + b"</r:RDF>"
            )
        ),
        READ,
    ),
    "XMP that unfolds by squares": (
        lambda: plain_png(
            as_sidecar_chunk(xmp("&a;" * 50_000, before=f'<!DOCTYPE a [<!ENTITY a "{"a" * 50_000}">]>'))
        ),
        READ,
    ),
}
_CHILD = """
import json, pathlib, resource, sys, time
if sys.platform == "linux":
    resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
sys.path.insert(0, sys.argv[1])
from core.errors import MediaError
from core.types import Fit, ImageInput
from media.metadata import read_metadata
from media.photo import check_photo, decode_photo
for path in sorted(pathlib.Path(sys.argv[2]).iterdir()):
    data, began, said = path.read_bytes(), time.process_time(), ""
    read_metadata(data, check_photo(data, path.name))
    try:
        decode_photo(data, path.name, ImageInput(32, Fit.LETTERBOX), preview=32, salvage=False)
    except MediaError as error:
        said = type(error).__name__ + " " + str(error)
    print(json.dumps([path.name, said, time.process_time() - began]), flush=True)
"""


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[str, float]]:
    """What one process with 1 GB of address space makes of all the bombs: what it says, and seconds of processor."""
    folder = tmp_path_factory.mktemp("bombs")
    for name, (make, _) in BOMBS.items():
        (folder / name).write_bytes(make())
    command = [sys.executable, "-c", _CHILD, str(ROOT), str(folder)]
    child = subprocess.run(command, capture_output=True, text=True, check=False, env={"OPENBLAS_NUM_THREADS": "1"})
    assert child.returncode == 0, child.stderr
    return {name: (said, seconds) for name, said, seconds in map(json.loads, child.stdout.splitlines())}


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_costs_little_and_says_so(name: str, outcomes: dict[str, tuple[str, float]]) -> None:
    _, reason = BOMBS[name]
    said, seconds = outcomes[name]
    assert said.startswith(f"MediaError {reason}") if reason else said == ""
    assert seconds < 10  # they took minutes; half a second is usual


def test_a_sidecar_that_no_xmp_is_so_large_as_is_not_read(library: glimpse.Library, photos: Path) -> None:
    with open(photos / "red.xmp", "wb") as file:
        file.truncate(900 << 20)
    report = library.index([photos])
    assert report.added == 4
    assert [note.rpartition(": ")[2] for note in report.notes] == ["the file is larger than 4 MB"]


@pytest.mark.parametrize(
    ("value", "expected"),
    [(1 / 250, 1 / 250), (1e-320, None), (1e300, None), (0, None), (-1, None), ("1/8000", 1 / 8000), ("nan", None)],
)
def test_what_no_lens_can_do_is_not_said(value: object, expected: float | None) -> None:
    assert positive(value) == expected


# --- polyglots


def zipped() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("evil.txt", "x" * 100)
    return out.getvalue()


def gif_that_is_javascript() -> bytes:
    gif = saved(scene((10_799, 4)), "GIF")  # a width of "/*"
    assert gif[6:8] == b"/*"
    return gif[:-1] + b"!\xfe\x0f*/=1;alert(1)//\0;" + b"*/"


EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(%pipe%touch evil) (w) file\n%%EOF\n"
HTML = b"<html><script>alert(1)</script><?php system($_GET['c']); ?></html>"
SVG = b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"><image href="http://evil/"/></svg>'
FILM = b"\0\0\0\x20ftypisom\0\0\2\0isomiso2avc1mp41" + bytes(99)
NO_PHOTO = "not a photo in a known format"
POLYGLOTS: dict[
    str, tuple[str, bytes, str | None]
] = {  # name, bytes, and how the reason begins: None where it is read
    "JPEG and ZIP": ("a.jpg", saved(scene(), "JPEG") + zipped(), None),
    "ZIP and JPEG": ("a.jpg", zipped() + saved(scene(), "JPEG"), NO_PHOTO),
    "GIF and JavaScript": ("a.gif", gif_that_is_javascript(), None),
    "PNG and HTML": ("a.png", saved(scene(), "PNG") + HTML, None),
    "PNG with HTML inside": ("a.png", plain_png(chunk(b"tEXt", b"Comment\0" + HTML)), None),
    "JPEG with PDF inside": ("a.jpg", with_segments(b"\xff\xfe\0\x12%PDF-1.7\n1 0 obj\n"), None),
    "PDF with JPEG inside": ("a.jpg", b"%PDF-1.7\n1 0 obj\nstream\n" + saved(scene(), "JPEG"), NO_PHOTO),
    "JPEG's beginning and a film": ("a.jpg", b"\xff\xd8\xff\xe0" + FILM, "damaged: its header cannot be read"),
    "film with JPEG inside": ("a.jpg", FILM + saved(scene(), "JPEG"), NO_PHOTO),
    "HTML": ("a.jpg", HTML, NO_PHOTO),
    "SVG": ("a.png", SVG, NO_PHOTO),
    "EPS": ("a.jpg", EPS, NO_PHOTO),
    "EPS as RAW": ("a.dng", EPS, NO_PHOTO),
    "EPS in DOS's way": ("a.tif", b"\xc5\xd0\xd3\xc6" + struct.pack("<II", 32, len(EPS)) + bytes(20) + EPS, NO_PHOTO),
    "PSD": ("a.jpg", b"8BPS\0\1" + bytes(99), NO_PHOTO),
    "FITS": ("a.jpg", b"SIMPLE  =                    T" + b" " * 99, NO_PHOTO),
    "WMF": ("a.jpg", b"\xd7\xcd\xc6\x9a" + bytes(99), NO_PHOTO),
    "ICNS": ("a.png", b"icns\0\0\0\x20ic07\0\0\0\x18" + bytes(16), NO_PHOTO),
    **{
        f"{kind}'s beginning and EPS": ("a", data[:16] + EPS, "")
        for kind, (_, data) in SEEDS.items()
        if kind in ("JPEG", "PNG", "WebP", "GIF", "TIFF", "BMP", "AVIF", "HEIF", "RAF", "CR3")
    },
    "sound in WebP's clothes": ("a.webp", b"RIFF\x24\0\0\0WEBPfmt \x10\0\0\0" + bytes(60), ""),
}


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Which of Pillow's readers are called; Image.open, which tries them all, and Ghostscript never are."""
    calls: list[str] = []

    def never(*_: object, **__: object) -> None:
        raise AssertionError("opened by another way")

    def watched(kind: str, reader: Callable[..., object]) -> Callable[..., object]:
        def opening(*arguments: object) -> object:
            calls.append(kind)
            return reader(*arguments)

        return opening

    Image.init()
    register_heif()
    for kind, (reader, accepts) in Image.OPEN.items():
        monkeypatch.setitem(Image.OPEN, kind, (watched(kind, reader), accepts))
    monkeypatch.setattr(Image, "open", never)
    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", never)
    return calls


@pytest.mark.parametrize("name", POLYGLOTS)
def test_a_polyglot_is_what_it_begins_as_or_nothing(name: str, opened: list[str]) -> None:
    file, data, reason = POLYGLOTS[name]
    if reason is None:
        assert len(decode_photo(data, file, WANT, salvage=True).frames) == 1
    else:
        with pytest.raises(MediaError) as caught:
            decode_photo(data, file, WANT, salvage=True)
        assert str(caught.value).startswith(reason)
        assert str(caught.value).isprintable()
    assert set(opened) <= set(PHOTO_FORMATS)


def test_content_reaches_the_readers_of_our_formats_and_no_other(opened: list[str]) -> None:
    photos = [saved(scene(), kind) for kind in OPTIONS]
    others = [EPS, HTML, SVG, FILM, *(saved(scene(), kind) for kind in ("PDF", "TGA", "PCX", "PPM", "ICO", "DDS"))]
    names = ["a", "a.jpg", "a.tif", "a.dng", "a.eps", "a.psd", "a.heic"]
    for data in [*photos, dng(scene()), *others, *(photo[:12] + other for photo in photos for other in others)]:
        for name in names:
            try:
                decode_photo(data, name, WANT, preview=16, salvage=True)
            except MediaError as error:
                assert str(error).isprintable()
    assert set(opened) == set(PHOTO_FORMATS) - {"RAW"}


def test_photos_are_opened_in_one_place() -> None:
    """Image.open without a list of formats would hand any file to Ghostscript and forty others."""
    rooms = ("core", "media", "encoders", "store", "indexer", "search", "glimpse")
    opening = {
        path.name
        for room in rooms
        for path in (ROOT / room).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and ast.unparse(node) in ("Image.open", "Image.OPEN", "Image.preinit")
    }
    assert opening == {"pillow.py"}


# --- the floor under Pillow


@pytest.mark.parametrize(
    ("version", "refused"), [("12.9.9", True), ("9.5.0", True), ("13.0.0", False), ("14.1.0", False)]
)
def test_an_old_pillow_is_refused(version: str, refused: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PIL, "__version__", version)
    if refused:
        with pytest.raises(GlimpseError, match=rf"Pillow {version} is too old .*CVE-2026-112403.*pip install"):
            require_pillow()
    else:
        require_pillow()


def test_the_floor_is_also_what_is_installed() -> None:
    assert '"pillow>=13.0"' in (ROOT / "pyproject.toml").read_text(encoding="utf-8")


@pytest.mark.parametrize("command", ["index", "similar"])
def test_a_command_that_reads_photos_with_an_old_pillow_ends_with_one_sentence(command: str, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    paint(tmp_path / "photos" / "a.png", (255, 0, 0))
    start = "import PIL.Image; PIL.__version__ = '12.2.0'; from glimpse.cli import main; main()"
    where = tmp_path / "photos" if command == "index" else tmp_path / "photos" / "a.png"
    arguments: list[str | Path] = [command, where, "--library", tmp_path / "library", "--model", "fake"]
    if command == "similar":
        with glimpse.open(tmp_path / "library", model="fake") as library:
            library.index([tmp_path / "photos"])
        arguments = arguments[:-2]
        paint(where, (0, 255, 0))
    done = subprocess.run([sys.executable, "-c", start, *arguments], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1
    assert "Pillow 12.2.0 is too old to read photos safely" in done.stderr
