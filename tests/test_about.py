"""What is written about photos, in them and beside them, and how it follows them through their life."""

import contextlib
import json
import shutil
import sqlite3
from pathlib import Path

import pytest
from PIL import Image

import glimpse
from core.types import IndexReport, Kind
from media.isolated import DecodeProcess
from tests.conftest import run
from tests.films import write_film
from tests.test_file_life import counts, found

XMP = """<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description rdf:about="" xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:xmp="http://ns.adobe.com/xap/1.0/"
 xmp:Rating="{rating}"><dc:subject><rdf:Bag>{words}</rdf:Bag></dc:subject></rdf:Description></rdf:RDF></x:xmpmeta>"""


def sidecar(rating: int, *words: str) -> str:
    return XMP.format(rating=rating, words="".join(f"<rdf:li>{word}</rdf:li>" for word in words))


def photograph(path: Path, colour: str = "red", taken: str = "2023:06:01 12:30:00") -> None:
    """Write a JPEG with a time, a camera, and a place: the Eiffel tower."""
    exif = Image.Exif()
    exif[0x0110] = "Pixel 8"
    exif.get_ifd(0x8769)[0x9003] = taken
    exif.get_ifd(0x8825).update({1: "N", 2: (48.0, 51.0, 29.64), 3: "E", 4: (2.0, 17.0, 40.2)})
    Image.new("RGB", (64, 48), colour).save(path, exif=exif)


def ask(library: glimpse.Library, sql: str) -> list[tuple[object, ...]]:
    with contextlib.closing(sqlite3.connect(library.settings.library / "library.db")) as db:
        return db.execute(sql).fetchall()


def told(library: glimpse.Library, columns: str) -> dict[str, tuple[object, ...]]:
    """Return columns of the metadata of the files that are there, by file name."""
    rows = ask(library, f"SELECT f.path, {columns} FROM metadata m JOIN files f ON f.id = m.file_id WHERE NOT f.gone")
    return {Path(str(path, "utf-8")).name: rest for path, *rest in rows for rest in [tuple(rest)]}  # type: ignore[arg-type]


def tagged(library: glimpse.Library) -> set[tuple[str, str, str]]:
    rows = ask(
        library,
        "SELECT f.path, t.name, ft.source FROM file_tags ft JOIN tags t ON t.id = ft.tag_id "
        "JOIN files f ON f.id = ft.file_id WHERE NOT f.gone",
    )
    return {(Path(str(path, "utf-8")).name, str(tag), str(source)) for path, tag, source in rows}  # type: ignore[arg-type]


@pytest.fixture
def album(tmp_path: Path) -> Path:
    folder = tmp_path / "album"
    folder.mkdir()
    photograph(folder / "a.jpg")
    (folder / "a.jpg.xmp").write_text(sidecar(4, "holiday", "Places/Paris"), encoding="utf-8")
    return folder


def index(library: glimpse.Library, folder: Path) -> IndexReport:
    report = library.index([folder])
    assert report.notes == []
    return report


def test_what_is_in_a_photo_and_beside_it_is_kept(library: glimpse.Library, album: Path) -> None:
    index(library, album)
    columns = "taken, offset, taken_from, camera, rating, round(latitude, 4), round(longitude, 4), country"
    assert told(library, columns) == {
        "a.jpg": ("2023-06-01T12:30:00", None, "exif", "Pixel 8", 4, 48.8582, 2.2945, "FR")
    }
    assert tagged(library) == {("a.jpg", "holiday", "file"), ("a.jpg", "Places/Paris", "file")}


def test_a_changed_sidecar_is_read_again_and_nothing_else(
    library: glimpse.Library, album: Path, reads: list[bytes]
) -> None:
    index(library, album)
    reads.clear()
    (album / "a.jpg.xmp").write_text(sidecar(2, "work", "Places/Paris"), encoding="utf-8")
    assert counts(index(library, album)) == {"unchanged": 1}
    assert told(library, "rating, camera") == {"a.jpg": (2, "Pixel 8")}
    assert tagged(library) == {("a.jpg", "work", "file"), ("a.jpg", "Places/Paris", "file")}
    (album / "a.jpg.xmp").unlink()
    assert counts(index(library, album)) == {"unchanged": 1}
    assert told(library, "rating, camera") == {"a.jpg": (None, "Pixel 8")}
    assert (tagged(library), reads) == (set(), [])


def test_a_sidecar_that_comes_later_is_read(library: glimpse.Library, album: Path, reads: list[bytes]) -> None:
    text = (album / "a.jpg.xmp").read_text(encoding="utf-8")
    (album / "a.jpg.xmp").unlink()
    index(library, album)
    reads.clear()
    (album / "a.xmp").write_text(text, encoding="utf-8")
    index(library, album)
    assert (told(library, "rating"), reads) == ({"a.jpg": (4,)}, [])


def test_a_broken_sidecar_costs_only_itself(library: glimpse.Library, album: Path) -> None:
    (album / "a.jpg.xmp").write_text("<rubbish", encoding="utf-8")
    report = library.index([album])
    assert counts(report) == {"added": 1, "encoded": 1}
    assert len(report.notes) == 1 and "a.jpg.xmp was not used: " in report.notes[0]
    assert told(library, "rating, camera") == {"a.jpg": (None, "Pixel 8")}
    assert library.index([album]).notes == []  # it has not changed


def test_two_files_of_one_photo_have_sidecars_of_their_own(library: glimpse.Library, album: Path) -> None:
    shutil.copy2(album / "a.jpg", album / "b.jpg")
    (album / "b.jpg.xmp").write_text(sidecar(1, "copy"), encoding="utf-8")
    assert counts(index(library, album)) == {"added": 2, "encoded": 1}
    assert told(library, "rating, camera") == {"a.jpg": (4, "Pixel 8"), "b.jpg": (1, "Pixel 8")}


def test_metadata_moves_with_its_file(library: glimpse.Library, album: Path, reads: list[bytes]) -> None:
    index(library, album)
    reads.clear()
    album.rename(album.with_name("renamed"))
    report = library.index([album.parent])
    assert (report.moved, report.encoded, reads) == (1, 0, [])
    assert told(library, "rating, camera") == {"a.jpg": (4, "Pixel 8")}
    assert len(tagged(library)) == 2


def test_a_photo_renamed_without_its_sidecar_loses_what_that_said(library: glimpse.Library, album: Path) -> None:
    index(library, album)
    (album / "a.jpg").rename(album / "b.jpg")
    assert counts(index(library, album)) == {"moved": 1}
    assert told(library, "rating, camera") == {"b.jpg": (None, "Pixel 8")}


def test_an_edited_photo_is_described_anew(library: glimpse.Library, album: Path) -> None:
    index(library, album)
    photograph(album / "a.jpg", "blue", "2024:01:01 00:00:00")
    assert counts(index(library, album)) == {"changed": 1, "encoded": 1}
    assert told(library, "taken, rating") == {"a.jpg": ("2024-01-01T00:00:00", 4)}


def test_pruning_forgets_metadata_and_tags(library: glimpse.Library, album: Path) -> None:
    index(library, album)
    (album / "a.jpg").unlink()
    library.index([album])
    library.prune()
    assert [ask(library, f"SELECT count(*) FROM {table}") for table in ("metadata", "file_tags", "tags")] == [
        [(0,)]
    ] * 3


def test_takeout_is_read(library: glimpse.Library, tmp_path: Path) -> None:
    album = tmp_path / "Takeout" / "Google Photos" / "Photos from 2021"
    album.mkdir(parents=True)
    Image.new("RGB", (64, 48), "red").save(album / "IMG_1.jpg")
    (album / "IMG_1.jpg.supplemental-metadata.json").write_text(
        '{"title": "IMG_1.jpg", "description": "at the lake", "photoTakenTime": {"timestamp": "1625140800"}}',
        encoding="utf-8",
    )
    (album / "metadata.json").write_text('{"title": "Photos from 2021"}', encoding="utf-8")
    index(library, tmp_path / "Takeout")
    assert told(library, "taken, offset, taken_from, description") == {
        "IMG_1.jpg": ("2021-07-01T12:00:00", 0, "takeout", "at the lake")
    }


def test_a_single_file_keeps_what_takeout_says_of_it(library: glimpse.Library, tmp_path: Path) -> None:
    Image.new("RGB", (64, 48), "red").save(tmp_path / "IMG_1.jpg")
    (tmp_path / "IMG_1.jpg.supplemental-meta.json").write_text(
        '{"title": "IMG_1.jpg", "description": "at the lake", "photoTakenTime": {"timestamp": "1625140800"}}',
        encoding="utf-8",
    )
    for _ in range(2):
        index(library, tmp_path / "IMG_1.jpg")
        assert told(library, "description, taken_from") == {"IMG_1.jpg": ("at the lake", "takeout")}


def test_the_name_tells_the_time_and_its_folders_do_not(library: glimpse.Library, tmp_path: Path) -> None:
    folder = tmp_path / "2019-05-01"
    folder.mkdir()
    Image.new("RGB", (64, 48), "red").save(folder / "123456.jpg")
    Image.new("RGB", (64, 48), "blue").save(folder / "IMG_20230601_123000.jpg")
    index(library, tmp_path)
    assert told(library, "taken_from") == {"123456.jpg": ("modified",), "IMG_20230601_123000.jpg": ("name",)}
    (folder / "123456.jpg").rename(folder / "IMG_20220101_080000.jpg")
    assert counts(index(library, tmp_path)) == {"moved": 1, "unchanged": 1}
    assert told(library, "taken, taken_from")["IMG_20220101_080000.jpg"] == ("2022-01-01T08:00:00", "name")


def test_json_of_other_programs_is_no_sidecar(library: glimpse.Library, album: Path) -> None:
    (album / "a.jpg.json").write_text('{"boxes": [1, 2]}', encoding="utf-8")
    index(library, album)  # without a note
    assert told(library, "rating") == {"a.jpg": (4,)}


# What is shown


def test_info_tells_what_is_known(library: glimpse.Library, album: Path, tmp_path: Path) -> None:
    (album / "a.cr2").write_bytes(b"II*\0 a raw photo that nobody opens")
    index(library, album)
    known = library.info(album / "a.jpg")
    assert (known.size, known.metadata.camera, known.metadata.keywords) == (
        (64, 48), "Pixel 8", ("holiday", "Places/Paris"),
    )  # fmt: skip
    assert known.place is not None and known.place.country == "FR"
    assert (known.models, known.companions) == (("fake",), (album / "a.cr2",))
    assert library.info(album / "a.cr2").belongs_to == album / "a.jpg"
    with pytest.raises(glimpse.GlimpseError, match=r"b\.jpg is not in the library"):
        library.info(album / "b.jpg")


def test_info_for_people_and_programs(album: Path, tmp_path: Path) -> None:
    place = ("--library", tmp_path / "library")
    (album / "a.jpg.xmp").write_text(sidecar(4, "nasty&#x9b;31m tag"), encoding="utf-8")
    run("index", album, "--model", "fake", *place)
    text = run("info", album / "a.jpg", *place).stdout.decode()
    assert "taken       2023-06-01 12:30:00 (exif)" in text
    assert "camera      Pixel 8" in text and "rating      4 of 5" in text
    assert "position    48.85823, 2.29450" in text
    assert "nasty" in text and "\x9b" not in text
    row = json.loads(run("info", "--json", album / "a.jpg", *place).stdout)
    assert (row["taken"], row["offset"], row["rating"]) == ("2023-06-01T12:30:00", None, 4)


# Companions


def test_a_raw_and_its_jpeg_are_one_photo(library: glimpse.Library, tmp_path: Path, reads: list[bytes]) -> None:
    album = tmp_path / "card"
    album.mkdir()
    photograph(album / "IMG_1.JPG")
    (album / "IMG_1.CR2").write_bytes(b"II*\0 a raw photo that nobody opens")
    (album / "IMG_1.MOV").write_bytes(b"\0\0\0\x14ftypqt   a movie")
    (album / "IMG_1.AAE").write_text("edits")
    assert counts(index(library, album)) == {"added": 1, "encoded": 1}
    (hit,) = library.search("red")
    assert (hit.path, hit.companions) == (album / "IMG_1.JPG", (album / "IMG_1.CR2", album / "IMG_1.MOV"))
    assert reads == [bytes(album / "IMG_1.JPG")]
    assert counts(index(library, album)) == {"unchanged": 1}
    status = library.status()
    assert (status.files, status.companions, status.failures) == (1, 2, 0)


def test_a_photo_that_went_without_its_movie_has_none(library: glimpse.Library, tmp_path: Path) -> None:
    album = tmp_path / "card"
    (album / "away").mkdir(parents=True)
    photograph(album / "IMG_1.JPG")
    write_film(album / "IMG_1.mov", [((255, 0, 0), 1.0)])
    index(library, album)
    (album / "IMG_1.JPG").rename(album / "away" / "IMG_1.JPG")
    assert counts(index(library, album)) == {"moved": 1, "added": 1, "encoded": 1}  # a film of its own, now
    photo, film = library.search("red")
    assert (photo.path, photo.companions, library.status().companions) == (album / "away" / "IMG_1.JPG", (), 0)
    assert (film.path, film.kind) == (album / "IMG_1.mov", Kind.VIDEO)
    (album / "away" / "IMG_1.JPG").rename(album / "IMG_1.JPG")
    assert counts(index(library, album)) == {"moved": 1}
    (hit,) = library.search("red")
    assert hit.companions == (album / "IMG_1.mov",)


def test_what_belonged_to_a_photo_stands_alone_without_it(library: glimpse.Library, tmp_path: Path) -> None:
    album = tmp_path / "card"
    album.mkdir()
    photograph(album / "IMG_1.JPG")
    Image.new("RGB", (64, 48), "blue").save(album / "IMG_1.DNG", "TIFF")
    index(library, album)
    (album / "IMG_1.JPG").unlink()
    assert counts(index(library, album)) == {"added": 1, "encoded": 1, "gone": 1}
    assert found(library, "blue") == [album / "IMG_1.DNG"]
    photograph(album / "IMG_1.JPG")
    assert counts(index(library, album)) == {"added": 1}
    (hit,) = library.search("red")
    assert hit.companions == (album / "IMG_1.DNG",)


def test_what_belongs_to_an_unreadable_photo_is_read(library: glimpse.Library, tmp_path: Path) -> None:
    album = tmp_path / "card"
    album.mkdir()
    (album / "IMG_1.JPG").write_bytes(b"\xff\xd8\xff rubbish")
    (album / "IMG_1.MOV").write_bytes(b"\0\0\0\x14ftypqt   a movie")
    Image.new("RGB", (64, 48), "blue").save(album / "IMG_1.DNG", "TIFF")
    report = library.index([album])
    assert counts(report) == {"added": 1, "encoded": 1, "failed": 2}
    assert found(library, "blue") == [album / "IMG_1.DNG"]
    assert counts(library.index([album])) == {"unchanged": 1, "failed": 2}


def test_what_belongs_to_a_photo_that_breaks_is_read_at_once(library: glimpse.Library, tmp_path: Path) -> None:
    photograph(tmp_path / "IMG_1.JPG")
    (tmp_path / "IMG_1.MOV").write_bytes(b"\0\0\0\x14ftypqt   a movie")
    Image.new("RGB", (64, 48), "blue").save(tmp_path / "IMG_1.DNG", "TIFF")
    index(library, tmp_path)
    (tmp_path / "IMG_1.JPG").write_bytes(b"\xff\xd8\xff rubbish")
    assert counts(library.index([tmp_path])) == {"added": 1, "encoded": 1, "failed": 2}
    assert found(library, "blue") == [tmp_path / "IMG_1.DNG"]
    assert [failure.path.name for failure in library.failures()] == ["IMG_1.JPG", "IMG_1.MOV"]


def test_a_movie_whose_photo_is_gone_stands_for_itself(library: glimpse.Library, tmp_path: Path) -> None:
    photograph(tmp_path / "IMG_1.JPG")
    write_film(tmp_path / "IMG_1.mov", [((255, 0, 0), 1.0)])
    index(library, tmp_path)
    (tmp_path / "IMG_1.JPG").unlink()
    for _ in range(2):
        report = library.index([tmp_path])
        assert (report.failed, library.failures()) == (0, [])
        library.prune()
    (hit,) = library.search("red")
    assert (hit.path, hit.kind) == (tmp_path / "IMG_1.mov", Kind.VIDEO)


def test_a_movie_too_long_for_a_live_photo_is_a_film(
    library: glimpse.Library, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photograph(tmp_path / "party.jpg")
    write_film(tmp_path / "party.mp4", [((0, 0, 255), 12.0)])
    photograph(tmp_path / "live.jpg")
    write_film(tmp_path / "live.mp4", [((0, 0, 255), 3.0)])
    index(library, tmp_path)
    (film,) = library.search("blue", kind="video")
    assert film.path == tmp_path / "party.mp4"
    assert library.info(tmp_path / "live.mp4").belongs_to == tmp_path / "live.jpg"
    for look in ("open", "seconds_of"):
        monkeypatch.setattr(DecodeProcess, look, lambda *_: pytest.fail("it was looked at before"))
    assert counts(library.index([tmp_path])) == {"unchanged": 3}


def test_pairs_move_together(library: glimpse.Library, tmp_path: Path, reads: list[bytes]) -> None:
    album = tmp_path / "in" / "card"
    album.mkdir(parents=True)
    photograph(album / "IMG_1.JPG")
    (album / "IMG_1.CR2").write_bytes(b"II*\0 a raw photo that nobody opens")
    index(library, tmp_path / "in")
    reads.clear()
    album.rename(album.with_name("renamed"))
    assert counts(index(library, tmp_path / "in")) == {"moved": 1}
    (hit,) = library.search("red")
    assert hit.companions == (tmp_path / "in" / "renamed" / "IMG_1.CR2",)
    assert reads == []
    library.prune()
    assert library.status().companions == 1
