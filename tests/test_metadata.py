"""Metadata: what is written in a photo, whatever the format and however damaged, as exiftool reads it."""

import io
import random
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from PIL.ExifTags import IFD

from core.errors import MediaError
from core.types import Metadata
from media.containers import MAX_BLOCKS, MAX_XMP, blocks_of
from media.dates import parse_time, time_of_name
from media.kinds import HEAD_BYTES, sniff
from media.metadata import merge, read_metadata
from media.values import degrees, line, paragraphs, position, united
from media.xmp import parse_xmp
from tests import exiftool
from tests.conftest import DEMO, ROOT

# The product ignores Pillow's remarks itself, but pytest's "error" comes before what a module sets.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:PIL")

KINDS = {
    "photo.jpg": "JPEG",
    "photo.png": "PNG",
    "photo.webp": "WEBP",
    "photo.tif": "TIFF",
    "photo.heic": "HEIF",
    "photo.avif": "AVIF",
    "photo.dng": "RAW",
}
CAMERA = [
    "-EXIF:Make=Canon",
    "-EXIF:Model=Canon EOS R5",
    "-EXIF:LensModel=RF24-105mm F4 L IS USM",
    "-EXIF:ExposureTime=0.005",
    "-EXIF:FNumber=2.8",
    "-EXIF:ISO=400",
    "-EXIF:FocalLength=35",
]
VIENNA = [
    "-EXIF:GPSLatitude=48.20849",
    "-EXIF:GPSLatitudeRef=N",
    "-EXIF:GPSLongitude=16.37208",
    "-EXIF:GPSLongitudeRef=E",
    "-EXIF:GPSAltitude=171.5",
    "-EXIF:GPSAltitudeRef#=0",
]
CASES = {  # what exiftool writes into each format, to be read by us
    "camera": [*CAMERA, *VIENNA],
    "time": [
        "-EXIF:DateTimeOriginal=2023:06:01 12:34:56",
        "-EXIF:SubSecTimeOriginal=78",
        "-EXIF:OffsetTimeOriginal=+02:00",
        "-EXIF:CreateDate=2023:06:02 00:00:00",
        "-XMP-photoshop:DateCreated=2020:01:01 00:00:00",
    ],
    "digitized": ["-EXIF:CreateDate=2023:06:02 01:02:03", "-EXIF:ModifyDate=2024:06:02 01:02:03"],
    "no offset": ["-EXIF:DateTimeOriginal=1999:12:31 23:59:59", "-XMP-xmp:CreateDate=2023:06:01 12:34:56+02:00"],
    "south west": [
        "-EXIF:GPSLatitude=54.80191",
        "-EXIF:GPSLatitudeRef=S",
        "-EXIF:GPSLongitude=68.30295",
        "-EXIF:GPSLongitudeRef=W",
        "-EXIF:GPSAltitude=12.25",
        "-EXIF:GPSAltitudeRef#=1",
        "-EXIF:GPSDateStamp=2023:06:01",
        "-EXIF:GPSTimeStamp=10:34:56",
    ],
    "xmp": [
        "-XMP-exif:DateTimeOriginal=2023:06:01 12:34:56.5-03:30",
        "-XMP-tiff:Make=FUJIFILM",
        "-XMP-tiff:Model=X-T5",
        "-XMP-aux:Lens=XF35mmF1.4 R",
        "-XMP-exif:ExposureTime=0.01",
        "-XMP-exif:FNumber=1.4",
        "-XMP-exif:ISO=200",
        "-XMP-exif:FocalLength=35",
        "-XMP-exif:GPSLatitude=-33.85678",
        "-XMP-exif:GPSLongitude=151.21530",
        "-XMP-exif:GPSAltitude=4",
        "-XMP-exif:GPSAltitudeRef#=1",
        "-XMP-xmp:Rating=4",
        "-XMP-dc:Title=Opera",
        "-XMP-dc:Title-de=Oper",
        "-XMP-dc:Description=At <night> & by day",
        "-XMP-dc:Subject=music",
        "-XMP-dc:Subject=Sydney",
    ],
    "created": ["-XMP-photoshop:DateCreated=2023:06:01 12:34:56Z", "-XMP-xmp:CreateDate=2024:01:01 00:00:00"],
    "rejected": ["-XMP-xmp:Rating=-1", "-EXIF:Rating=3"],
    "windows": ["-EXIF:XPTitle=Zwölf Boote", "-EXIF:XPKeywords=Hafen;Boote", "-EXIF:Rating=3"],
    "hierarchies": [
        "-XMP-digiKam:TagsList=Orte/Wien",
        "-XMP-digiKam:TagsList=Leute",
        "-XMP-lr:HierarchicalSubject=Orte|Wien",
        "-XMP-lr:HierarchicalSubject=Tiere|Katze|Mia",
        "-XMP-dc:Subject=Wien",
        "-XMP-dc:Subject=Mia",
        "-XMP-dc:Subject=Sommer",
    ],
    "words": ["-EXIF:ImageDescription=Über den Dächern", "-XMP-dc:Title=屋根の上 🏠"],
}
IPTC_CASES = {  # the others have no place for it
    "iptc": [
        "-IPTC:DateCreated=2023:06:01",
        "-IPTC:TimeCreated=12:34:56+05:45",
        "-IPTC:ObjectName=Am Fluß",
        "-IPTC:Caption-Abstract=Zwei Boote für 5 €",
        "-IPTC:Keywords=Fluß",
        "-IPTC:Keywords=Boot",
    ],
    "iptc utf8": ["-IPTC:CodedCharacterSet=UTF8", "-IPTC:ObjectName=川で", "-IPTC:Keywords=舟", "-XMP-dc:Subject=川"],
}
SAMPLES = [(name, case) for name in KINDS for case in CASES] + [
    (name, case) for name in ("photo.jpg", "photo.png", "photo.tif") for case in IPTC_CASES
]


def blank(kind: str, exif: Image.Exif | None = None, size: tuple[int, int] = (16, 12)) -> bytes:
    """A small photo without metadata, or with EXIF alone."""
    out, image = io.BytesIO(), Image.new("RGB", size, "teal")
    if kind == "RAW":  # a TIFF with the version of a DNG
        exif = exif or Image.Exif()
        exif[50706] = b"\1\4\0\0"
    options = {"exif": exif.tobytes()} if exif else {}
    if kind == "HEIF":
        import pillow_heif

        pillow_heif.from_pillow(image).save(out, **options)
    else:
        image.save(out, "TIFF" if kind == "RAW" else kind, **options)
    return out.getvalue()


def some_exif() -> Image.Exif:
    exif = Image.Exif()
    exif[0x010F], exif[0x0110] = "Maker", "Camera 1"
    camera = exif.get_ifd(IFD.Exif)
    camera[0x9003], camera[0x829D], camera[0x8827] = "2023:06:01 12:34:56", 5.6, 800
    exif.get_ifd(IFD.GPSInfo).update({1: "N", 2: (48.0, 51.0, 29.64), 3: "E", 4: (2.0, 17.0, 40.2)})
    return exif


def xmp(body: str = "", attributes: str = "", before: str = "") -> bytes:
    return (
        f'{before}<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        f'<rdf:Description rdf:about="" xmlns:xmp="http://ns.adobe.com/xap/1.0/" {attributes}>{body}'
        "</rdf:Description></rdf:RDF></x:xmpmeta>"
    ).encode()


def with_xmp(packet: bytes, behind: bytes = b"") -> bytes:
    """A JPEG with XMP."""
    segment = b"http://ns.adobe.com/xap/1.0/\0" + packet
    jpeg = blank("JPEG")
    return jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(segment) + 2) + segment + jpeg[2:] + behind


def with_chunk(name: bytes, content: bytes) -> bytes:
    """A PNG with one more chunk, before the picture."""
    png = blank("PNG")
    return (
        png[:33]
        + struct.pack(">I", len(content))
        + name
        + content
        + struct.pack(">I", zlib.crc32(name + content))
        + png[33:]
    )


# As exiftool reads it


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Samples in all formats with the tags of all cases, by exiftool."""
    folder = tmp_path_factory.mktemp("samples")
    blanks = {name: blank(kind) for name, kind in KINDS.items()}
    changes = []
    for name, case in SAMPLES:
        path = folder / f"{case}-{name}"
        path.write_bytes(blanks[name])
        changes.append((path, {**CASES, **IPTC_CASES}[case]))
    exiftool.write(changes)
    return folder


@pytest.fixture(scope="module")
def oracle(folder: Path) -> dict[str, dict[str, object]]:
    return exiftool.read(folder)


@pytest.mark.parametrize(("name", "case"), SAMPLES)
def test_what_exiftool_wrote_is_read_as_exiftool_reads_it(
    name: str, case: str, folder: Path, oracle: dict[str, dict[str, object]]
) -> None:
    file = f"{case}-{name}"
    found = read_metadata((folder / file).read_bytes(), KINDS[name])
    tags = oracle[file]
    assert exiftool.differing(found, tags) == {}
    flat = {part for word in exiftool.keywords(tags) if "/" in word for part in word.split("/")}
    assert set(found.keywords) == exiftool.keywords(tags) - flat
    assert found != Metadata()


def test_the_samples_say_what_was_asked_for(folder: Path) -> None:
    """The oracle alone could be wrong in the same way as we are."""

    def of(case: str, name: str = "photo.heic") -> Metadata:
        return read_metadata((folder / f"{case}-{name}").read_bytes(), KINDS[name])

    assert (of("time").taken, of("time").offset, of("time").taken_from) == ("2023-06-01T12:34:56.780", 120, "exif")
    assert (of("no offset").taken, of("no offset").offset) == ("1999-12-31T23:59:59", None)
    south = of("south west")
    assert (south.latitude, south.longitude, south.altitude) == pytest.approx((-54.80191, -68.30295, -12.25))
    assert (south.taken, south.offset, south.taken_from) == ("2023-06-01T10:34:56", 0, "gps")
    assert of("xmp").title == "Opera"
    assert of("hierarchies").keywords == ("Orte/Wien", "Leute", "Tiere/Katze/Mia", "Sommer")
    assert of("iptc", "photo.jpg").keywords == ("Fluß", "Boot")
    assert of("iptc", "photo.jpg").offset == 345


HAND_MADE = ["JPEG", "PNG", "WEBP", "TIFF", "HEIF", "AVIF", "RAW"]
SUFFIXES = {kind: name[5:] for name, kind in KINDS.items()}


@pytest.fixture(scope="module")
def by_pillow(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, dict[str, object]]]:
    """Samples by Pillow, pillow-heif and by hand."""
    folder = tmp_path_factory.mktemp("by_pillow")
    for kind in HAND_MADE:
        (folder / f"photo{SUFFIXES[kind]}").write_bytes(blank(kind, some_exif()))
    (folder / "photo.raf").write_bytes(raf(blank("JPEG", some_exif())))
    (folder / "photo.cr3").write_bytes(cr3(some_exif()))
    (folder / "photo.orf").write_bytes(b"MMOR" + some_exif().tobytes()[10:])
    return folder, exiftool.read(folder)


def raf(jpeg: bytes) -> bytes:
    """Fujifilm's: a header that says where the JPEG is."""
    head = b"FUJIFILMCCD-RAW 0201FF389501".ljust(84, b"\0") + struct.pack(">II", 160, len(jpeg))
    return head.ljust(160, b"\0") + jpeg


def cr3(exif: Image.Exif) -> bytes:
    """Canon's: boxes, with one TIFF structure for each directory."""

    def box(name: bytes, *parts: bytes) -> bytes:
        inside = b"".join(parts)
        return struct.pack(">I", 8 + len(inside)) + name + inside

    def alone(tags: dict[int, object]) -> bytes:
        one = Image.Exif()
        one.update(tags)
        return one.tobytes()[6:]

    main = alone({0x010F: exif[0x010F], 0x0110: exif[0x0110]})
    canon = box(
        b"uuid",
        bytes.fromhex("85c0b687820f11e08111f4ce462b6a48"),
        box(b"CMT1", main),
        box(b"CMT2", alone(exif.get_ifd(IFD.Exif))),
        box(b"CMT4", alone(exif.get_ifd(IFD.GPSInfo))),
    )
    packet = xmp(attributes='xmp:Rating="4"')
    return (
        box(b"ftyp", b"crx \0\0\0\1crx isom")
        + box(b"moov", canon)
        + box(b"uuid", bytes.fromhex("be7acfcb97a942e89c71999491e3afac"), packet)
    )


@pytest.mark.parametrize("suffix", [*SUFFIXES.values(), ".raf", ".cr3", ".orf"])
def test_what_others_wrote_is_read_as_exiftool_reads_it(
    suffix: str, by_pillow: tuple[Path, dict[str, dict[str, object]]]
) -> None:
    folder, oracle = by_pillow
    found = read_metadata((folder / f"photo{suffix}").read_bytes(), KINDS.get(f"photo{suffix}", "RAW"))
    assert exiftool.differing(found, oracle[f"photo{suffix}"]) == {}
    assert found.latitude == pytest.approx(48.85823, abs=1e-5)
    assert found.rating == (4 if suffix == ".cr3" else None)


def test_the_demonstration_photos_are_read_as_exiftool_reads_them() -> None:
    oracle = exiftool.read(DEMO)
    photos = [path for path in sorted(DEMO.iterdir()) if sniff(path.read_bytes()[:HEAD_BYTES])]
    assert photos
    for path in photos:
        data = path.read_bytes()
        found = read_metadata(data, sniff(data[:HEAD_BYTES]) or "")
        assert exiftool.differing(found, oracle[path.name]) == {}, path


# Without an oracle


@pytest.mark.parametrize("kind", [*HAND_MADE, "BMP", "GIF"])
def test_a_photo_without_metadata_says_nothing(kind: str) -> None:
    assert read_metadata(blank(kind), kind) == Metadata()


@pytest.mark.parametrize(
    ("parts", "ref", "signs", "expected"),
    [
        ((48, 51, 29.64), "N", "NS", 48.85823),
        ((48, 51, 29.64), "S", "NS", -48.85823),
        ((48, 51.494), "N", "NS", 48.85823),
        ((48.85823,), "N", "NS", 48.85823),
        (("2", "17", "40.2"), "W", "EW", -2.2945),
        ((180, 0, 0), "E", "EW", 180),
        ((180, 0, 1), "E", "EW", None),
        ((90, 1, 0), "N", "NS", None),
        ((48, 51, float("nan")), "N", "NS", None),
        (("48/1", "51/0", "0/1"), "N", "NS", None),
        ((48, 51, 29), None, "NS", None),
        ((48, 51, 29), "E", "NS", None),
        ((48, 51, 29), "NS", "NS", None),
        ((), "N", "NS", None),
        ((-48, 0, 0), "N", "NS", None),
        ((1, 2, 3, 4), "N", "NS", None),
    ],
)
def test_degrees(parts: tuple[object, ...], ref: str | None, signs: str, expected: float | None) -> None:
    assert degrees(parts, ref, signs) == (None if expected is None else pytest.approx(expected, abs=5e-6))


@pytest.mark.parametrize(
    ("given_", "expected"),
    [
        ((48.2, 16.3, 171), {"latitude": 48.2, "longitude": 16.3, "altitude": 171}),
        ((48.2, 16.3, None), {"latitude": 48.2, "longitude": 16.3, "altitude": None}),
        ((48.2, 16.3, 1e9), {"latitude": 48.2, "longitude": 16.3, "altitude": None}),
        ((0.0, 16.3, None), {"latitude": 0.0, "longitude": 16.3, "altitude": None}),
        ((0.0, 0.0, 12), {}),
        ((None, 16.3, 12), {}),
        ((91, 16.3, 12), {}),
        (("x", 16.3, 12), {}),
        ((float("inf"), 16.3, 12), {}),
    ],
)
def test_position(given_: tuple[object, object, object], expected: dict[str, float | None]) -> None:
    assert position(*given_) == expected


def test_a_position_without_its_side_of_the_world_is_none() -> None:
    exif = some_exif()
    assert read_metadata(blank("JPEG", exif), "JPEG").latitude is not None
    del exif.get_ifd(IFD.GPSInfo)[1]
    assert read_metadata(blank("JPEG", exif), "JPEG").latitude is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2023:06:01 12:34:56", ("2023-06-01T12:34:56", None)),
        ("2023:06:01 12:34:56\0", ("2023-06-01T12:34:56", None)),
        ("2023-06-01T12:34:56.78+02:00", ("2023-06-01T12:34:56.780", 120)),
        ("2023-06-01T12:34:56.123456-03:30", ("2023-06-01T12:34:56.123", -210)),
        ("2023-06-01T12:34Z", ("2023-06-01T12:34:00", 0)),
        ("2023-06-01T12:34:56+0545", ("2023-06-01T12:34:56", 345)),
        ("2023:06:01 12:34:56+25:00", ("2023-06-01T12:34:56", None)),
        ("2023-06-01", ("2023-06-01T00:00:00", None)),
        ("1950-07", ("1950-07-01T00:00:00", None)),
        ("1950", ("1950-01-01T00:00:00", None)),
        ("1839:01:01 00:00:00", ("1839-01-01T00:00:00", None)),
        ("0001:01:01 00:00:00", None),
        ("0000:00:00 00:00:00", None),
        ("2023:13:45 12:00:00", None),
        ("2023:02:30 12:00:00", None),
        ("2023:06:01 24:00:00", None),
        ("2023:06:01 12:34:60", None),
        ("    :  :     :  :  ", None),
        ("yesterday", None),
        ("", None),
        (None, None),
    ],
)
def test_times(text: str | None, expected: tuple[str, int | None] | None) -> None:
    assert parse_time(text) == expected


def test_a_time_with_its_parts_apart() -> None:
    assert parse_time("2023:06:01 12:34:56", "5", "-08:00") == ("2023-06-01T12:34:56.500", -480)
    assert parse_time("2023:06:01 12:34:56", "   ", "   :  ") == ("2023-06-01T12:34:56", None)
    assert parse_time("2023:06:01 12:34:56", "000", None) == ("2023-06-01T12:34:56", None)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("IMG_20230601_123456.jpg", "2023-06-01T12:34:56"),
        ("IMG_20230601_123456_1.jpg", "2023-06-01T12:34:56"),
        ("20230601_123456.heic", "2023-06-01T12:34:56"),
        ("20230601_123456(0).jpg", "2023-06-01T12:34:56"),
        ("20230601123456.jpg", "2023-06-01T12:34:56"),
        ("VID_20230601_123456.mp4", "2023-06-01T12:34:56"),
        ("MVIMG_20230601_123456.jpg", "2023-06-01T12:34:56"),
        ("PANO_20230601_123456.vr.jpg", "2023-06-01T12:34:56"),
        ("IMG_20230601_123456789_HDR.jpg", "2023-06-01T12:34:56.789"),
        ("2023-06-01 12.34.56.jpg", "2023-06-01T12:34:56"),
        ("2023-06-01_12-34-56.jpg", "2023-06-01T12:34:56"),
        ("2023-06-01T12.34.56.jpg", "2023-06-01T12:34:56"),
        ("Screenshot_20230601-123456.png", "2023-06-01T12:34:56"),
        ("Screenshot_20230601_123456_Chrome.jpg", "2023-06-01T12:34:56"),
        ("Screenshot_2023-06-01-12-34-56-789_com.app.png", "2023-06-01T12:34:56"),
        ("Screenshot from 2023-06-01 12-34-56.png", "2023-06-01T12:34:56"),
        ("Screenshot 2023-06-01 at 12.34.56.png", "2023-06-01T12:34:56"),
        ("Screenshot 2023-06-01 at 1.34.56\u202fPM.png", "2023-06-01T13:34:56"),
        ("Screenshot 2023-06-01 at 12.34.56 AM.png", "2023-06-01T00:34:56"),
        ("Bildschirmfoto 2023-06-01 um 12.34.56.png", "2023-06-01T12:34:56"),
        ("WhatsApp Image 2023-06-01 at 12.34.56.jpeg", "2023-06-01T12:34:56"),
        ("signal-2023-06-01-12-34-56-789.jpg", "2023-06-01T12:34:56"),
        ("photo_2023-06-01_12-34-56.jpg", "2023-06-01T12:34:56"),
        ("WP_20230601_12_34_56_Pro.jpg", "2023-06-01T12:34:56"),
        ("IMG-20230601-WA0001.jpg", "2023-06-01T00:00:00"),
        ("2023-06-01.jpg", "2023-06-01T00:00:00"),
        ("2023.06.01 Geburtstag.jpg", "2023-06-01T00:00:00"),
        ("scan 1954-12-24.tif", "1954-12-24T00:00:00"),
        ("20230601_1234567.jpg", "2023-06-01T00:00:00"),
        ("IMG_20231301_123456.jpg", None),
        ("IMG_20230230_123456.jpg", None),
        ("IMG_1234.jpg", None),
        ("DSC20230601234.jpg", None),
        ("1685615696123.jpg", None),
        ("120230601.jpg", None),
        ("", None),
    ],
)
def test_times_in_names(name: str, expected: str | None) -> None:
    found = time_of_name(name)
    assert found == (None if expected is None else (expected, None))


def test_pixel_phones_name_photos_in_utc() -> None:
    assert time_of_name("PXL_20230601_123456789.MP.jpg") == ("2023-06-01T12:34:56.789", 0)


# XMP


@pytest.mark.parametrize(
    "packet",
    [
        xmp(attributes='xmp:Rating="5"'),
        xmp("<xmp:Rating>5</xmp:Rating>"),
        xmp("<other:Rating xmlns:other='http://ns.adobe.com/xap/1.0/'> 5.0 </other:Rating>"),
        xmp("<xmp:Rating>5</xmp:Rating><xmp:Label>red</xmp:Label>", before="<?xpacket begin='\ufeff'?>"),
        xmp("<xmp:Rating>5</xmp:Rating>") + b"\n\0\0\0",
        b"\n" + xmp(attributes="xmp:Rating='5'"),
        xmp("<xmp:Rating>5</xmp:Rating>").decode().encode("utf-16"),
    ],
    ids=["attribute", "element", "prefix", "packet", "zeros", "blank", "utf-16"],
)
def test_xmp_is_read_in_all_its_forms(packet: bytes) -> None:
    assert read_metadata(with_xmp(packet), "JPEG").rating == 5


@pytest.mark.parametrize(
    ("written", "rating"),
    [("0", 0), ("-1", -1), ("6", None), ("-2", None), ("five", None), ("nan", None), ("", None)],
)
def test_ratings(written: str, rating: int | None) -> None:
    assert read_metadata(with_xmp(xmp(attributes=f'xmp:Rating="{written}"')), "JPEG").rating == rating


def test_the_default_language_comes_first() -> None:
    title = (
        '<dc:title xmlns:dc="http://purl.org/dc/elements/1.1/"><rdf:Alt><rdf:li xml:lang="de">Katze</rdf:li>'
        '<rdf:li xml:lang="x-default">Cat</rdf:li></rdf:Alt></dc:title>'
    )
    assert read_metadata(with_xmp(xmp(title)), "JPEG").title == "Cat"


BOMB = (
    '<?xml version="1.0"?><!DOCTYPE bomb [<!ENTITY a "'
    + "ha" * 50
    + '">'
    + "".join(f'<!ENTITY {b} "{f"&{a};" * 20}">' for a, b in zip("abcdefg", "bcdefgh", strict=True))
    + "]>"
)


@pytest.mark.parametrize(
    "packet",
    [
        xmp("<xmp:Rating>5</xmp:Rating>&h;", before=BOMB),
        xmp("<xmp:Rating>&x;</xmp:Rating>", before='<!DOCTYPE r [<!ENTITY x SYSTEM "file:///etc/passwd">]>'),
        xmp("<xmp:Rating>5</xmp:Rating>" + " " * 10_000_000),
        b"<a>" * 100_000 + b"</a>" * 100_000,
        b"<x/>",
        b"not XML",
        b"",
        b"\xff\xfe\x00",
        b'<?xml version="1.0" encoding="none-such"?><x/>',
    ],
    ids=["bomb", "external", "10 MB", "deep", "no RDF", "text", "empty", "half", "encoding"],
)
def test_xmp_that_is_refused(packet: bytes) -> None:
    with pytest.raises(MediaError):
        parse_xmp(packet)
    png = with_chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + packet)  # chunks may be of any size
    assert read_metadata(png, "PNG") == Metadata()


def test_xmp_that_unpacks_to_more_than_is_read_is_left_out() -> None:
    content = b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(b" " * (MAX_XMP + 2))
    assert blocks_of(with_chunk(b"iTXt", content), "PNG")["xmp"] == []


def test_packed_xmp_in_png_is_read() -> None:
    content = b"XML:com.adobe.xmp\0\1\0en\0words\0" + zlib.compress(xmp(attributes='xmp:Rating="2"'))
    assert read_metadata(with_chunk(b"iTXt", content), "PNG").rating == 2


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(
    ("profile", "part"),
    [
        ("exif", some_exif().tobytes()),
        ("APP1", some_exif().tobytes()),
        ("xmp", xmp(attributes='xmlns:t="http://ns.adobe.com/tiff/1.0/" t:Model="Camera 1"')),
    ],
)
def test_profiles_that_imagemagick_writes_into_png_are_read(profile: str, part: bytes, packed: bool) -> None:
    text = f"\n{profile}\n{len(part):8}\n".encode() + b"\n".join(
        part[at : at + 36].hex().encode() for at in range(0, len(part), 36)
    )
    name, content = (b"zTXt", b"\0" + zlib.compress(text)) if packed else (b"tEXt", text)
    content = f"Raw profile type {profile}\0".encode() + content
    assert read_metadata(with_chunk(name, content), "PNG").camera == "Camera 1"
    assert read_metadata(with_chunk(name, content.replace(b"\n", b"\nx")), "PNG") == Metadata() or packed


def test_a_photo_that_names_its_metadata_a_thousand_times_is_read_a_few_times() -> None:
    packet = b"XML:com.adobe.xmp\0\0\0\0\0" + xmp()
    chunk = struct.pack(">I", len(packet)) + b"iTXt" + packet + b"\0\0\0\0"
    png = blank("PNG")
    assert len(blocks_of(png[:33] + 1000 * chunk + png[33:], "PNG")["xmp"]) == MAX_BLOCKS


def test_xmp_in_several_segments_is_put_together() -> None:
    identity = b"0123456789ABCDEF0123456789ABCDEF"
    main = xmp(attributes=f'xmlns:n="http://ns.adobe.com/xmp/note/" n:HasExtendedXMP="{identity.decode()}"')
    more = xmp("<xmp:Rating>3</xmp:Rating>")
    head = b"http://ns.adobe.com/xmp/extension/\0" + identity + struct.pack(">I", len(more))
    parts = [head + struct.pack(">I", at) + more[at : at + 100] for at in range(0, len(more), 100)]
    segments = b"".join(b"\xff\xe1" + struct.pack(">H", len(part) + 2) + part for part in reversed(parts))
    jpeg = with_xmp(main)
    assert read_metadata(jpeg[:2] + segments + jpeg[2:], "JPEG").rating == 3
    assert read_metadata(jpeg[:2] + segments.replace(identity, identity[::-1]) + jpeg[2:], "JPEG").rating is None


CAMERA_NS = 'xmlns:c="http://ns.google.com/photos/1.0/camera/" '
ITEM_NS = 'xmlns:i="http://ns.google.com/photos/1.0/container/item/" '
VIDEO = struct.pack(">I", 16) + b"ftypmp42" + b"\0" * 400


@pytest.mark.parametrize(
    ("data", "motion"),
    [
        (with_xmp(xmp(attributes=CAMERA_NS + 'c:MotionPhoto="1"'), VIDEO), True),
        (with_xmp(xmp("<c:MicroVideo>1</c:MicroVideo>", CAMERA_NS), VIDEO), True),
        (with_xmp(xmp('<c:D><rdf:li i:Semantic="MotionPhoto"/></c:D>', CAMERA_NS + ITEM_NS), VIDEO), True),
        (with_xmp(xmp('<c:D><rdf:li i:Semantic="GainMap"/></c:D>', CAMERA_NS + ITEM_NS), VIDEO), False),
        (with_xmp(xmp(attributes=CAMERA_NS + 'c:MotionPhoto="0"'), VIDEO), False),
        (with_xmp(xmp(attributes=CAMERA_NS + 'c:MotionPhoto="1"')), False),
        (blank("JPEG") + b"MotionPhoto_Data" + VIDEO + b"SEFHxSEFT", True),
        (blank("JPEG") + VIDEO, False),
    ],
    ids=["motion", "micro", "directory", "gain map", "off", "cut off", "samsung", "unclaimed"],
)
def test_motion_photos(data: bytes, motion: bool) -> None:
    assert read_metadata(data, "JPEG").motion is motion


def test_xmp_in_a_gif_is_read() -> None:
    gif = blank("GIF")
    packet = b"!\xff\x0bXMP DataXMP" + xmp(attributes='xmp:Rating="1"') + b"\1" + bytes(range(255, -1, -1)) + b"\0"
    assert read_metadata(gif[:-1] + packet + b";", "GIF").rating == 1


# Words


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("a\0junk", "a"),
        ("\x1b[31mred\x07", "[31mred"),
        ("  two\r\n lines ", "two lines"),
        ("\ud800half", "half"),
        ("x" * 1000, "x" * 200),
        (b"Caf\xc3\xa9", "Café"),
        (b"Caf\xe9 \x80", "Café €"),
        ("\0\0", None),
        (None, None),
    ],
)
def test_lines(written: str | bytes | None, expected: str | None) -> None:
    assert line(written) == expected


def test_paragraphs() -> None:
    assert paragraphs("one\r\n\r\ntwo\rthree\x1b ") == "one\n\ntwo\nthree"
    assert len(paragraphs("x" * 100_000) or "") == 10_000


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["a", "b", "A", "a"], ("a", "b")),
        (["Orte/Wien", "Wien", "orte", "Graz"], ("Orte/Wien", "Graz")),
        (["Wien", "Orte/Wien"], ("Orte/Wien",)),
        (["Orte/Wien", "Orte/Wien/Prater"], ("Orte/Wien", "Orte/Wien/Prater")),
        ([None, "", "a"], ("a",)),
    ],
)
def test_keywords_are_united(words: list[str | None], expected: tuple[str, ...]) -> None:
    assert united(words) == expected


@pytest.mark.parametrize(
    "junk", ["OLYMPUS DIGITAL CAMERA         ", "SONY DSC", "Exif_JPEG_PICTURE", "   ", "default"]
)
def test_what_cameras_write_into_every_photo_is_no_description(junk: str) -> None:
    exif = Image.Exif()
    exif[0x010E] = junk
    assert read_metadata(blank("JPEG", exif), "JPEG") == Metadata()


# What holds for a file

JUNE = 1_685_622_896_000_000_000  # 2023-06-01 12:34:56 UTC
EXIF = Metadata("2023-06-01T12:34:56.780", 120, "exif")
GPS = Metadata("2023-06-01T10:34:56", 0, "gps")
SIDECAR = Metadata("2023-06-02T08:00:00", None, "sidecar")
TAKEOUT = Metadata("2023-06-01T10:34:55", 0, "takeout", latitude=1.0, longitude=2.0, altitude=3.0)


@pytest.mark.parametrize(
    ("embedded", "beside", "name", "expected"),
    [
        (EXIF, [SIDECAR, TAKEOUT], "20230603_000000.jpg", SIDECAR),
        (EXIF, [TAKEOUT], "20230603_000000.jpg", EXIF),
        (GPS, [TAKEOUT], "20230603_000000.jpg", GPS),
        (Metadata(), [TAKEOUT], "20230603_000000.jpg", TAKEOUT),
        (Metadata(), [], "20230603_000000.jpg", Metadata("2023-06-03T00:00:00", None, "name")),
        (Metadata(), [], "IMG_1.jpg", Metadata("2023-06-01T12:34:56", 0, "modified")),
        (EXIF, [Metadata("2023-06-01T12:34:56", None, "sidecar")], "x", EXIF),
        (EXIF, [Metadata("2023-06-01T12:34:56", 120, "sidecar")], "x", EXIF),
        (EXIF, [later := Metadata("2023-06-01T12:34:56", 60, "sidecar")], "x", later),
        (EXIF, [SIDECAR, Metadata("2023-06-05T00:00:00", None, "sidecar")], "x", SIDECAR),
    ],
)
def test_whose_time_holds(embedded: Metadata, beside: list[Metadata], name: str, expected: Metadata) -> None:
    found = merge(embedded, beside, name, JUNE)
    assert (found.taken, found.offset, found.taken_from) == (expected.taken, expected.offset, expected.taken_from)


def test_positions_are_corrected_by_sidecars_and_filled_in_by_takeout() -> None:
    here = Metadata(latitude=48.0, longitude=16.0, altitude=100.0)
    moved = Metadata(latitude=47.0, longitude=15.0)
    assert merge(here, [TAKEOUT], "x", 0).latitude == 48.0
    assert merge(Metadata(), [TAKEOUT], "x", 0).altitude == 3.0
    both = merge(here, [moved, TAKEOUT], "x", 0)
    assert (both.latitude, both.longitude, both.altitude) == (47.0, 15.0, None)


def test_words_are_the_sidecars_and_facts_the_cameras() -> None:
    embedded = Metadata(camera="A", iso=100, rating=3, title="old", keywords=("cat", "Vienna"), motion=True)
    first = Metadata(camera="B", lens="L", rating=0, keywords=("Places/Vienna",))
    second = Metadata(title="new", description="said", rating=5)
    found = merge(embedded, [first, second], "x", 0)
    assert (found.camera, found.lens, found.iso, found.motion) == ("A", "L", 100, True)
    assert (found.rating, found.title, found.description) == (0, "new", "said")
    assert found.keywords == ("Places/Vienna", "cat")


@pytest.mark.parametrize("modified_ns", [-(2**63), 2**63 - 1, 0, -1, 253_402_300_800 * 10**9])
def test_any_modification_time_will_do(modified_ns: int) -> None:
    found = merge(Metadata(), [], "x.jpg", modified_ns)
    assert found.taken_from in ("modified", None)


# Damage


def _samples() -> dict[str, bytes]:
    """One rich sample of each kind."""
    exif = some_exif()
    exif[700], exif[33723] = xmp(attributes='xmp:Rating="4"'), b"\x1c\x02\x05\0\x03abc\x1c\x02\x19\0\x01x"
    packed = {kind: blank(kind, exif) for kind in HAND_MADE if kind != "RAW"}
    irb = b"Photoshop 3.0\x008BIM\x04\x04\0\0\0\0\0\x0e" + exif[33723]
    jpeg = with_xmp(xmp(attributes='xmp:Rating="4"'))
    packed["JPEG"] = jpeg[:2] + b"\xff\xed" + struct.pack(">H", len(irb) + 2) + irb + packed["JPEG"][2:]
    return {**packed, "RAW": cr3(exif), "GIF": blank("GIF"), "BMP": blank("BMP")}


DAMAGED = _samples()


@pytest.mark.parametrize("kind", DAMAGED)
def test_damage_never_raises(kind: str) -> None:
    chance, whole = random.Random(0), DAMAGED[kind]
    for _ in range(60):
        data = bytearray(whole)
        for _ in range(chance.randint(1, 12)):
            data[chance.randrange(len(data))] = chance.choice((0, 1, 0x7F, 0x80, 0xFF, chance.randrange(256)))
        assert isinstance(read_metadata(bytes(data[: chance.randint(0, 2 * len(data))]), kind), Metadata)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(sorted(DAMAGED)), st.data())
def test_nothing_raises(kind: str, data: st.DataObject) -> None:
    whole = DAMAGED[kind]
    at = data.draw(st.integers(0, len(whole)))
    junk = data.draw(st.binary(max_size=40))
    read_metadata(whole[:at] + junk + whole[at + data.draw(st.integers(0, 40)) :], kind)
    read_metadata(whole[: data.draw(st.integers(0, 40))] + junk, kind)


@given(st.text(max_size=60), st.integers(-(2**63), 2**63 - 1))
def test_no_name_raises(name: str, modified_ns: int) -> None:
    merge(Metadata(), [], name, modified_ns)


def test_what_was_found_before_the_damage_counts() -> None:
    jpeg = with_xmp(xmp(attributes='xmp:Rating="4"'))
    assert read_metadata(jpeg[: len(jpeg) // 2], "JPEG").rating == 4


STRICT = [sys.executable, "-W", "error", "-c"]


def test_reading_a_photo_without_xmp_imports_no_parser(tmp_path: Path) -> None:
    (tmp_path / "x.jpg").write_bytes(blank("JPEG", some_exif()))
    code = (
        "import sys; from pathlib import Path; from media.metadata import read_metadata;"
        "assert read_metadata(Path(sys.argv[1]).read_bytes(), 'JPEG').camera;"
        "from media.places import places_of; assert places_of([]) == [];"
        "assert not {'defusedxml', 'reverse_geocode', 'pillow_heif', 'rawpy'} & sys.modules.keys()"
    )
    done = subprocess.run([*STRICT, code, tmp_path / "x.jpg"], capture_output=True, cwd=ROOT, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_places_are_named_offline_and_in_silence() -> None:
    code = (
        "from media.places import places_of; import sys;"
        "found = places_of([(48.20849, 16.37208), (-33.85678, 151.2153), (40.7, -74.0)]);"
        "assert [place.country for place in found] == ['AT', 'AU', 'US'], found;"
        "assert found[0].region == 'Vienna' and found[1].region == 'New South Wales', found;"
        "assert all(place.town for place in found)"
    )
    done = subprocess.run([*STRICT, code], capture_output=True, cwd=ROOT, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
