"""What is written in containers, as we and as exiftool read it."""

from pathlib import Path
from typing import Any

import av
import pytest

from core.types import Metadata
from media.labels import labels
from media.metadata import merge
from tests import exiftool
from tests.films import silence, tone, write_film, write_sound
from tests.samples import scene

APPLE = {"movflags": "use_metadata_tags"}
"""FFmpeg then writes keys as they are, as Apple's phones do."""
WORDS = {"title": "Évora", "artist": "Cesária", "genre": "Morna", "comment": "two\nlines"}


def read(path: Path) -> Metadata:
    with av.open(str(path), metadata_errors="replace") as container:
        return labels(container)


def said(folder: Path, tags: dict[str, str]) -> Metadata:
    """Return what we read of a film with these tags."""
    return read(write_film(folder / "a.mov", [(scene(), 0.2)], metadata=tags, options=APPLE))


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".mp3", ".opus", ".m4a", ".mka"])
def test_words_are_read_from_every_sound(tmp_path: Path, suffix: str) -> None:
    found = read(write_sound(tmp_path / f"a{suffix}", tone(0.5), metadata=WORDS))
    assert (found.title, found.artist, found.keywords) == ("Évora", "Cesária", ("Morna",))
    assert found.description == "two\nlines"
    assert found.duration == pytest.approx(0.5, abs=0.06)
    assert (found.taken, found.latitude, found.make) == (None, None, None)


def test_words_are_read_from_ogg_and_aiff(tmp_path: Path) -> None:
    ogg = read(
        write_sound(tmp_path / "a.ogg", tone(0.5), metadata={k: WORDS[k] for k in ("title", "artist", "comment")})
    )
    assert (ogg.title, ogg.artist, ogg.description) == ("Évora", "Cesária", "two\nlines")
    assert read(write_sound(tmp_path / "a.aiff", tone(0.5), metadata=WORDS)).title == "Évora"


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv", ".webm"])
def test_words_are_read_from_every_film(tmp_path: Path, suffix: str) -> None:
    found = read(write_film(tmp_path / f"a{suffix}", [(scene(), 0.5)], metadata=WORDS))
    assert (found.title, found.artist, found.keywords) == ("Évora", "Cesária", ("Morna",))
    assert found.description == "two\nlines"
    assert found.duration == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize(
    ("tags", "taken", "offset"),
    [
        ({"creation_time": "2023-06-01T10:34:56Z"}, "2023-06-01T10:34:56", 0),
        (
            {"creation_time": "2023-06-01T10:34:56Z", "com.apple.quicktime.creationdate": "2023-06-01T12:34:55+0200"},
            *("2023-06-01T12:34:55", 120),
        ),
        ({"com.apple.quicktime.creationdate": "2023-06-01T12:34:55-0330"}, "2023-06-01T12:34:55", -210),
        ({"com.apple.quicktime.creationdate": "yesterday", "date": "2023-06-01"}, "2023-06-01T00:00:00", None),
        ({"date": "2023-06-01"}, "2023-06-01T00:00:00", None),
        ({"date": "2023-06-01T12:00:00Z"}, "2023-06-01T12:00:00", 0),
        ({"DATE_RECORDED": "2023-06-01 12:34:56", "date": "2024-01-01"}, "2023-06-01T12:34:56", None),
        ({"date": "1973"}, None, None),  # published in that year
        ({"date": "2023-06"}, None, None),
        ({"creation_time": "1904-01-01T00:00:00Z"}, None, None),
        ({"creation_time": "1970-01-01T00:00:01Z"}, None, None),
        ({"com.apple.quicktime.creationdate": "1980-01-01T00:00:00+0000"}, None, None),
        ({"date": "2023-13-01"}, None, None),
        ({}, None, None),
    ],
)
def test_when_it_was_taken(tmp_path: Path, tags: dict[str, str], taken: str | None, offset: int | None) -> None:
    found = said(tmp_path, tags)
    assert (found.taken, found.offset) == (taken, offset)
    assert found.taken_from == (None if taken is None else "container")


def test_a_recorder_writes_its_own_clock(tmp_path: Path) -> None:
    tags = {"origination_date": "2023-06-01", "origination_time": "05:12:00", "description": "dawn"}
    path = write_sound(tmp_path / "a.wav", silence(0.1), metadata=tags, options={"write_bext": "1"})
    found = read(path)
    assert (found.taken, found.offset, found.description) == ("2023-06-01T05:12:00", None, "dawn")


@pytest.mark.parametrize(
    ("text", "position"),
    [
        ("+48.2082+016.3738+151.300/", (48.2082, 16.3738, 151.3)),
        ("+48.2082+016.3738/", (48.2082, 16.3738, None)),
        ("+48.2082+016.3738", (48.2082, 16.3738, None)),
        ("-33.8568+151.2153-002.5/", (-33.8568, 151.2153, -2.5)),
        ("+4812.5+01622.5/", (48 + 12.5 / 60, 16 + 22.5 / 60, None)),
        ("+481230-0162230.5+10CRSWGS_84/", (48 + 12 / 60 + 30 / 3600, -16 - 22 / 60 - 30.5 / 3600, 10)),
        ("+8.5-3.25/", (8.5, -3.25, None)),
        ("+00.0000+000.0000/", None),
        ("+90.1+010.0/", None),
        ("+48.2+181.0/", None),
        ("+4860+01600/", None),  # sixty minutes
        ("+481+01600/", None),
        ("48.2082 16.3738", None),
        ("+48.2082", None),
        ("+nan+016/", None),
        ("+48.2082+016.3738+999999/", (48.2082, 16.3738, None)),
    ],
)
def test_where_it_was_taken(tmp_path: Path, text: str, position: tuple[float, float, float | None] | None) -> None:
    found = said(tmp_path, {"com.apple.quicktime.location.ISO6709": text})
    assert (found.latitude, found.longitude, found.altitude) == pytest.approx(position or (None, None, None))


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".3gp", ".m4a"])
def test_every_box_of_a_place_is_read(tmp_path: Path, suffix: str) -> None:
    tags, path = {"location": "+48.2082+016.3738+151.3/"}, tmp_path / f"a{suffix}"
    found = read(
        write_sound(path, tone(0.2), metadata=tags)
        if suffix == ".m4a"
        else write_film(path, [(scene(), 0.2)], metadata=tags)
    )
    assert (found.latitude, found.longitude) == pytest.approx((48.2082, 16.3738), abs=1e-4)
    assert found.altitude == pytest.approx(151.3, abs=1e-3)


@pytest.mark.parametrize(
    ("tags", "fields"),
    [
        ({"make": "Apple", "model": "iPhone 12"}, {"make": "Apple", "camera": "iPhone 12"}),
        ({"com.apple.quicktime.make": "Apple", "com.apple.quicktime.model": "X"}, {"make": "Apple", "camera": "X"}),
        ({"com.android.manufacturer": "Fairphone", "com.android.model": "5"}, {"make": "Fairphone", "camera": "5"}),
        ({"com.apple.quicktime.camera.lens_model": "back camera 5.1mm f/1.6"}, {"lens": "back camera 5.1mm f/1.6"}),
        ({"genre": "Other"}, {"keywords": ()}),
        ({"genre": "17"}, {"keywords": ()}),
        ({"genre": "Jazz; Live", "keywords": "sea,Wind,jazz"}, {"keywords": ("Jazz", "Live", "sea", "Wind")}),
        ({"comment": " 000002E8 000002E8 00001C2F"}, {"description": None}),
        ({"comment": "Lavf58.29.100"}, {"description": None}),
        ({"comment": "0", "synopsis": "A storm."}, {"description": "A storm."}),
        ({"description": "long", "comment": "short"}, {"description": "long"}),
        ({"title": "  "}, {"title": None}),
        ({"title": "a\x1b[31mb"}, {"title": "a[31mb"}),
        ({"title": "x" * 5000}, {"title": "x" * 200}),
        ({"artist": " ", "album_artist": "Various"}, {"artist": "Various"}),
        ({"composer": "Bach"}, {"artist": None}),  # who wrote it does not play
    ],
)
def test_words_and_facts(tmp_path: Path, tags: dict[str, str], fields: dict[str, Any]) -> None:
    found = said(tmp_path, tags)
    assert {name: getattr(found, name) for name in fields} == fields


def test_what_a_container_says_holds_for_its_file() -> None:
    embedded = Metadata("2023-06-01T10:34:56", 0, "container", duration=9.5, artist="Cesária", title="Évora")
    found = merge(embedded, [], "VID_20240101_000000.mp4", 0)
    assert found == embedded
    corrected = merge(embedded, [Metadata("2022-01-01T00:00:00", None, "sidecar")], "a.mp4", 0)
    assert (corrected.taken, corrected.duration, corrected.artist) == ("2022-01-01T00:00:00", 9.5, "Cesária")


FIELDS = {
    "title": ("Keys:Title", "ItemList:Title", "UserData:Title", "Matroska:Title", "ID3v2_4:Title", "Vorbis:Title"),
    "artist": (
        "Keys:Artist",
        "ItemList:Artist",
        "UserData:Artist",
        "Matroska:Artist",
        "ID3v2_4:Artist",
        "Vorbis:Artist",
    ),
    "make": ("Keys:Make", "UserData:Make", "Matroska:Make"),
    "camera": ("Keys:Model", "UserData:Model", "Matroska:Model"),
    "keywords": ("Keys:Genre", "ItemList:Genre", "UserData:Genre", "Matroska:Genre", "ID3v2_4:Genre", "Vorbis:Genre"),
    "description": (
        *("Keys:Comment", "ItemList:Comment", "UserData:Comment", "Matroska:Comment", "RIFF:Comment"),
        *("Vorbis:Comment", "Vorbis:Description", "ID3v2_4:Comment"),
    ),
    "latitude": ("Composite:GPSLatitude",),
    "longitude": ("Composite:GPSLongitude",),
    "altitude": ("Composite:GPSAltitude",),
    "taken": ("Keys:CreationDate", "QuickTime:CreateDate", "Matroska:DateTimeOriginal"),
}
"""Where exiftool has what we read, best first."""


def test_exiftool_reads_the_same(tmp_path: Path) -> None:
    tags = {**WORDS, "comment": "one line", "creation_time": "2023-06-01T10:34:56Z"}
    tags |= {"location": "+48.2082+016.3738+151.3/", "make": "Apple", "model": "iPhone 12"}
    apple = {"com.apple.quicktime.creationdate": "2023-06-01T12:34:55+0200"}
    for name in ("a.mp4", "a.mov", "a.mkv", "a.webm"):
        write_film(tmp_path / name, [(scene(), 0.3)], metadata=tags)
    write_film(tmp_path / "keys.mov", [(scene(), 0.3)], metadata={**tags, **apple}, options=APPLE)
    for name in ("a.m4a", "a.mp3", "a.flac", "a.opus"):
        write_sound(tmp_path / name, tone(0.3), metadata=tags)
    theirs = exiftool.read(tmp_path)
    compared = 0
    for path in sorted(tmp_path.iterdir()):
        ours = read(path)
        for field, names in FIELDS.items():
            value = next((theirs[path.name][name] for name in names if name in theirs[path.name]), None)
            if value is None:
                continue
            mine: Any = getattr(ours, field)
            if field == "taken":
                value = str(value).replace(":", "-", 2).replace(" ", "T")[:19]
            mine = mine[0] if field == "keywords" else mine
            assert mine == (pytest.approx(value, abs=2e-5) if isinstance(value, float) else value), (path.name, field)
            compared += 1
    assert compared > 50
