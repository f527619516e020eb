"""Sidecars: which file beside a photo tells about it, and what it says."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import MediaError
from core.types import Metadata
from media.metadata import merge
from media.sidecar import is_sidecar, read_sidecar, sidecars_of
from tests import exiftool

SMILES = "😀😃😄😁😆😅😂🤣🥲☺️😊😇🙂🙃😉😌😍🥰😘😗😙😚😋"
LONG = "123456789" * 4 + "_DSCN0"

TAKEOUT = [  # (the photo, other names in its folder, its JSON)
    # until 2024
    ("IMG_1.jpg", [], "IMG_1.jpg.json"),
    ("IMG_2710.HEIC", [], "IMG_2710.HEIC.json"),
    ("PXL_20210102_221126856.MP~2.jpg", [], "PXL_20210102_221126856.MP~2.jpg.json"),
    ("IMG_2710(1).HEIC", ["IMG_2710.HEIC.json"], "IMG_2710.HEIC(1).json"),
    ("DSC_0101(12).JPG", ["DSC_0101.JPG(1).json"], "DSC_0101.JPG(12).json"),
    ("IMG(1).jpg", [], "IMG(1).jpg.json"),
    ("IMG(1).jpg", ["IMG(1).jpg.json"], "IMG.jpg(1).json"),
    ("05yqt21kruxwwlhhgrwrdyb6chhwszi9bqmzu16w0 2.jpg", [], "05yqt21kruxwwlhhgrwrdyb6chhwszi9bqmzu16w0 2.jp.json"),
    ("13039_327707840323_537645323_9470255_27214_n.jpg", [], "13039_327707840323_537645323_9470255_27214_n.j.json"),
    (
        "13039_327707840323_537645323_9470255_27214_n(1).jpg",
        ["13039_327707840323_537645323_9470255_27214_n.j.json"],
        "13039_327707840323_537645323_9470255_27214_n.j(1).json",
    ),
    (
        "PXL_20230809_203449253.LONG_EXPOSURE-02.ORIGINA.jpg",
        [],
        "PXL_20230809_203449253.LONG_EXPOSURE-02.ORIGIN.json",
    ),
    (
        "Backyard_ceremony_wedding_photography_xxxxxxx_m(494).jpg",
        ["Backyard_ceremony_wedding_photography_xxxxxxx_(185).json"],
        "Backyard_ceremony_wedding_photography_xxxxxxx_(494).json",
    ),
    (
        "original_1d4caa6f-16c6-4c3d-901b-9387de10e528_P.jpg",
        [],
        "original_1d4caa6f-16c6-4c3d-901b-9387de10e528_.json",
    ),
    (f"{SMILES}😛.jpg", [], f"{SMILES}.json"),
    (
        "original_1d4caa6f-16c6-4c3d-901b-9387de10e528_P(1).jpg",
        ["original_1d4caa6f-16c6-4c3d-901b-9387de10e528_.json"],
        "original_1d4caa6f-16c6-4c3d-901b-9387de10e528_(1).json",
    ),
    # since 2024
    ("IMG_1.jpg", [], "IMG_1.jpg.supplemental-metadata.json"),
    ("IMG_1.jpg", ["IMG_1.jpg.json"], "IMG_1.jpg.supplemental-metadata.json"),
    ("IMG_1(1).jpg", ["IMG_1.jpg.supplemental-metadata.json"], "IMG_1.jpg.supplemental-metadata(1).json"),
    ("IMG_1(1).jpg", [], "IMG_1(1).jpg.supplemental-metadata.json"),
    ("Screenshot_2017-07-05-10-05-26.png", [], "Screenshot_2017-07-05-10-05-26.png.supplementa.json"),
    ("Screenshot_20241227_105539_Edge.jpg", [], "Screenshot_20241227_105539_Edge.jpg.supplement.json"),
    ("D7157814-D2D5-4A62-AFCE-9CF465CB7D66.jpeg", [], "D7157814-D2D5-4A62-AFCE-9CF465CB7D66.jpeg.supp.json"),
    (
        "Screenshot_20220207_102421_com.snapchat.android.jpg",
        [],
        "Screenshot_20220207_102421_com.snapchat.androi.json",
    ),
    (f"{LONG}.JPG", [], f"{LONG}.JPG.json"),
    (f"{LONG}.JPG", [], f"{LONG}.JPG..json"),
    (f"{LONG}.JPG", [], f"{LONG}.JPG.s.json"),
    (f"{LONG}(1).JPG", [f"{LONG}.JPG.su.json"], f"{LONG}.JPG.su(1).json"),
    ("Peanut Butter Balls.jpg", [], "Peanut Butter Balls.supplemental-metadata.json"),
    ("20030616.jpg", [], "20030616.json"),
    # edited photos and the moving halves of photos have none of their own
    ("IMG_1-edited.jpg", [], "IMG_1.jpg.json"),
    ("IMG_1-edited.jpg", ["IMG_1.jpg.json"], "IMG_1-edited.jpg.json"),
    ("IMG_1-edited(1).jpg", ["IMG_1.jpg.json"], "IMG_1.jpg(1).json"),
    ("IMG_1(1)-edited.jpg", ["IMG_1.jpg.json"], "IMG_1.jpg(1).json"),
    ("IMG_1-bearbeitet.jpg", [], "IMG_1.jpg.supplemental-metadata.json"),
    ("PXL_20220405_090123740.PORTRAIT-modifié.jpg", [], "PXL_20220405_090123740.PORTRAIT.jpg.json"),
    ("PXL_20220405_090123740.PORTRAIT-modifie\u0301.jpg", [], "PXL_20220405_090123740.PORTRAIT.jpg.suppl.json"),
    ("IMG_1-ha editado.JPG", [], "IMG_1.JPG.json"),
    ("IMG_1-編集済み.jpg", [], "IMG_1.jpg.json"),
    ("2234089303984509579-edited.jpg", [], "2234089303984509579.supplemental-metadata.json"),
    ("IMG_2710.MP4", [], "IMG_2710.HEIC.supplemental-metadata.json"),
    ("IMG_2710(1).MOV", ["IMG_2710.JPG.json"], "IMG_2710.JPG(1).json"),
    ("PXL_20231118_035751175.MP", [], "PXL_20231118_035751175.MP.jpg.json"),
]


@pytest.mark.parametrize(("photo", "others", "expected"), TAKEOUT)
def test_takeout_names(photo: str, others: list[str], expected: str) -> None:
    present = {name.encode() for name in [photo, *others, expected]}
    assert sidecars_of(photo.encode(), present) == (expected.encode(),)


@pytest.mark.parametrize(
    ("photo", "other"),
    [
        ("PXL_20211013_220651983.jpg", "PXL_20211013_220651958.jpg.json"),
        ("DSC_0102(1).JPG", "DSC_0102.JPG(2).json"),
        ("DSC_0103.JPG", "DSC_0103.JPG(1).json"),
        ("DSC_0104(1).JPG", "DSC_0104.JPG.json"),
        ("IMG_1-edited(1).jpg", "IMG_1.jpg.json"),
        ("IMG_1.jpg", "IMG_1.png.json"),
        ("IMG_1.jpg", "metadata.json"),
        ("IMG_1.jpg", "print-subscriptions.json"),
        ("IMG_10.jpg", "IMG_1.jpg.json"),
        ("IMG_1.jpg", "IMG_10.xmp"),
        ("IMG_1.jpg", "IMG_1.png.xmp"),
    ],
)
def test_what_belongs_to_another(photo: str, other: str) -> None:
    assert sidecars_of(photo.encode(), {photo.encode(), other.encode()}) == ()


@pytest.mark.parametrize(
    ("photo", "present", "expected"),
    [
        (b"a.jpg", [b"a.jpg.xmp"], [b"a.jpg.xmp"]),
        (b"a.jpg", [b"a.xmp", b"a.jpg.xmp"], [b"a.jpg.xmp", b"a.xmp"]),
        (b"a.NEF", [b"a.XMP"], [b"a.XMP"]),
        (b"a.NEF", [b"a.NEF.XMP", b"a.xmp"], [b"a.NEF.XMP", b"a.xmp"]),
        (b"a.jpg", [b"a.jpg.json", b"a.xmp"], [b"a.xmp", b"a.jpg.json"]),
        (b"\xff.jpg", [b"\xff.jpg.xmp", b"\xff.xmp"], [b"\xff.jpg.xmp", b"\xff.xmp"]),
        (b"a", [b"a.xmp"], [b"a.xmp"]),
        (b"a.jpg", [], []),
    ],
)
def test_the_best_sidecar_comes_first(photo: bytes, present: list[bytes], expected: list[bytes]) -> None:
    assert sidecars_of(photo, frozenset(present)) == tuple(expected)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (b"a.xmp", True),
        (b"A.XMP", True),
        (b"a.jpg.json", True),
        (b"a.Json", True),
        (b"a.jpg", False),
        (b"xmp", False),
        (b"", False),
    ],
)
def test_is_sidecar(name: bytes, expected: bool) -> None:
    assert is_sidecar(name) is expected


def takeout(**changes: object) -> bytes:
    said = {
        "title": "IMG_1.jpg",
        "description": "At the sea\nin June",
        "imageViews": "12",
        "creationTime": {"timestamp": "1700000000", "formatted": "..."},
        "photoTakenTime": {"timestamp": "1685622896", "formatted": "1 Jun 2023, 12:34:56 UTC"},
        "geoData": {"latitude": 48.20849, "longitude": 16.37208, "altitude": 171.5, "latitudeSpan": 0.0},
        "geoDataExif": {"latitude": 1.0, "longitude": 2.0, "altitude": 3.0},
        "people": [{"name": "Mia"}],
        "favorited": True,
        "url": "https://photos.google.com/photo/x",
    }
    return json.dumps({key: value for key, value in {**said, **changes}.items() if value is not None}).encode()


def test_takeout_is_read() -> None:
    assert read_sidecar("IMG_1.jpg.json", takeout()) == Metadata(
        taken="2023-06-01T12:34:56",
        offset=0,
        taken_from="takeout",
        latitude=48.20849,
        longitude=16.37208,
        altitude=171.5,
        description="At the sea\nin June",
    )


NOWHERE = {"latitude": 0.0, "longitude": 0.0, "altitude": 0.0}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"geoData": NOWHERE}, {"latitude": 1.0, "altitude": 3.0}),
        ({"geoData": NOWHERE, "geoDataExif": NOWHERE}, {"latitude": None, "altitude": None}),
        ({"geoData": {"latitude": 4.0, "longitude": 5.0, "altitude": 0.0}}, {"latitude": 4.0, "altitude": None}),
        ({"geoData": "x", "geoDataExif": None}, {"latitude": None}),
        ({"photoTakenTime": {"timestamp": "-86400"}}, {"taken": "1969-12-31T00:00:00", "offset": 0}),
        ({"photoTakenTime": {"timestamp": "0"}}, {"taken": None, "offset": None, "taken_from": "takeout"}),
        ({"photoTakenTime": {"timestamp": "1e300"}}, {"taken": None}),
        ({"photoTakenTime": {}}, {"taken": None}),
        ({"description": "  "}, {"description": None}),
        ({"description": 5}, {"description": None}),
        ({"description": "\x1b[31mred\x00"}, {"description": "[31mred"}),
    ],
)
def test_takeout_that_says_less(changes: dict[str, object], expected: dict[str, object]) -> None:
    found = read_sidecar("x.json", takeout(**changes))
    assert {field: getattr(found, field) for field in expected} == expected


def test_takeout_without_a_time_still_only_fills_gaps() -> None:
    found = read_sidecar("x.json", takeout(photoTakenTime={"timestamp": "0"}))
    here = Metadata("2020-01-01T00:00:00", None, "exif", latitude=1.5, longitude=1.5)
    merged = merge(here, [found], "x", 0)
    assert (merged.taken, merged.latitude, merged.description) == (here.taken, 1.5, "At the sea\nin June")


@pytest.mark.parametrize(
    ("name", "data", "reason"),
    [
        ("x.json", b"", "not valid JSON"),
        ("x.json", b"{", "not valid JSON"),
        ("x.json", b"[" * 100_000, "not valid JSON"),
        ("x.json", b"\xff\xfe\xfa", "not valid JSON"),
        ("x.json", b"[]", "Takeout"),
        ("metadata.json", takeout(photoTakenTime=None), "Takeout"),
        ("x.json", takeout(title=None), "Takeout"),
        ("x.json", takeout(title=["x"]), "Takeout"),
        ("x.json", takeout(description="x" * 2_000_000), "1 MB"),
        ("x.xmp", b"", "no XMP"),
        ("x.xmp", b"<a/>", "no XMP"),
        ("X.XMP", takeout(), "no XMP"),
        ("x.xmp", b" " * 5_000_000, "4 MB"),
        ("x.txt", b"", "neither"),
    ],
)
def test_rubbish_is_named(name: str, data: bytes, reason: str) -> None:
    with pytest.raises(MediaError, match=reason):
        read_sidecar(name, data)


@given(st.sampled_from(["x.json", "x.xmp"]), st.binary(max_size=80), st.integers(0, 700), st.integers(0, 60))
def test_only_media_errors_are_raised(name: str, junk: bytes, at: int, cut: int) -> None:
    whole = takeout() if name == "x.json" else LIGHTROOM.encode()
    try:
        read_sidecar(name, whole[:at] + junk + whole[at + cut :])
    except MediaError as error:
        assert str(error)


@given(st.recursive(st.none() | st.booleans() | st.floats() | st.text(), lambda inner: st.lists(inner)))
def test_no_value_in_takeout_raises(value: object) -> None:
    for field in ("photoTakenTime", "geoData", "description"):
        read_sidecar("x.json", takeout(**{field: value if value is not None else 0}))
    read_sidecar("x.json", takeout(photoTakenTime={"timestamp": value}, geoData={"latitude": value, "longitude": 1}))


LIGHTROOM = """<x:xmpmeta xmlns:x="adobe:ns:meta/" x:xmptk="Adobe XMP Core 7.0">
 <rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
  <rdf:Description rdf:about=""
    xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmlns:exif="http://ns.adobe.com/exif/1.0/"
    xmlns:photoshop="http://ns.adobe.com/photoshop/1.0/" xmlns:dc="http://purl.org/dc/elements/1.1/"
    xmlns:lr="http://ns.adobe.com/lightroom/1.0/"
   xmp:Rating="4" photoshop:DateCreated="2023-06-01T12:34:56.78+02:00"
   exif:GPSLatitude="48,12.5094N" exif:GPSLongitude="16,22.3248E" exif:GPSAltitude="1715/10" exif:GPSAltitudeRef="0">
   <dc:title><rdf:Alt><rdf:li xml:lang="x-default">Stephansdom</rdf:li></rdf:Alt></dc:title>
   <dc:subject><rdf:Bag><rdf:li>Vienna</rdf:li><rdf:li>church</rdf:li></rdf:Bag></dc:subject>
   <lr:hierarchicalSubject><rdf:Bag><rdf:li>Places|Austria|Vienna</rdf:li></rdf:Bag></lr:hierarchicalSubject>
  </rdf:Description>
 </rdf:RDF>
</x:xmpmeta>
"""


def test_an_xmp_sidecar_is_read() -> None:
    assert read_sidecar("IMG_1.XMP", LIGHTROOM.encode()) == Metadata(
        taken="2023-06-01T12:34:56.780",
        offset=120,
        taken_from="sidecar",
        latitude=pytest.approx(48.20849),
        longitude=pytest.approx(16.37208),
        altitude=171.5,
        rating=4,
        title="Stephansdom",
        keywords=("Places/Austria/Vienna", "church"),
    )


def test_a_sidecar_by_exiftool_is_read_as_exiftool_reads_it(tmp_path: Path) -> None:
    path = tmp_path / "IMG_1.jpg.xmp"
    path.write_text(LIGHTROOM)
    edits = [
        "-XMP-xmp:Rating=-1",
        "-XMP-exif:DateTimeOriginal=2022:01:02 03:04:05",
        "-XMP-digiKam:TagsList=Orte/Graz",
    ]
    exiftool.write([(path, edits)])
    found, tags = read_sidecar(path.name, path.read_bytes()), exiftool.read(tmp_path)[path.name]
    assert exiftool.differing(found, tags).keys() <= {"taken_from"}
    assert (found.rating, found.taken, found.offset) == (-1, "2022-01-02T03:04:05", None)
    assert set(found.keywords) == exiftool.keywords(tags) - {"Vienna"}
