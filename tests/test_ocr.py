"""Text in photos: read by an extra, in a pass of its own that can be interrupted, and found by its words."""

import contextlib
import io
import sqlite3
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

import glimpse
import indexer.text
from core.errors import ModelError
from core.settings import Settings
from core.types import Progress
from encoders import ocr
from store import words
from store.names import DATABASE
from store.reader import Reader
from tests.conftest import COLOURS, paint

needs_extra = pytest.mark.skipif(find_spec("rapidocr") is None, reason="the extra 'ocr' is not installed")


@pytest.fixture(scope="module")
def reader() -> ocr.TextReader:
    return ocr.TextReader(1)


def receipt(path: Path, *lines: str, letters: int = 40, size: tuple[int, int] = (1600, 1200)) -> None:
    """Draw a sheet of paper with lines of text on a background of many colours, as a photo has it."""
    noise = np.random.default_rng(1).integers(60, 190, (12, 16, 3), dtype=np.uint8)
    photo = Image.fromarray(noise).resize(size, Image.Resampling.BICUBIC)
    draw = ImageDraw.Draw(photo)
    draw.rectangle((size[0] // 8, size[1] // 8, size[0] * 7 // 8, size[1] * 7 // 8), fill=(238, 236, 228))
    for number, line in enumerate(lines):
        place = (size[0] // 6, size[1] // 6 + number * letters * 2)
        draw.text(place, line, fill=(40, 40, 60), font=ImageFont.load_default(size=letters))
    photo.save(path, quality=85)


def texts(library: glimpse.Library) -> dict[str, str | None]:
    """Return what was read in each photo, by name."""
    with contextlib.closing(sqlite3.connect(library.settings.library / DATABASE)) as db:
        assert words.is_right(db)
        rows = db.execute(
            "SELECT f.path, c.text FROM files f JOIN contents c ON c.id = f.content_id WHERE NOT f.gone"
        )
        return {path.decode(): text for path, text in rows}


def found(library: glimpse.Library, text: str) -> list[str]:
    with Reader(library.settings.library) as reader:
        hits = words.found(reader, text)
        assets = words.assets(reader, text, [key for key, _ in hits])
        return [assets[key].paths[0].name for key, _ in hits]


def ask_for(library: glimpse.Library, ocr: bool | None) -> None:
    library.settings = Settings(**{**vars(library.settings), "ocr": ocr})


# What is read


@needs_extra
@pytest.mark.parametrize("letters", [20, 40])
def test_text_is_read_in_a_photo(reader: ocr.TextReader, tmp_path: Path, letters: int) -> None:
    lines = ("INVOICE Lisbon 2023", "Total 1,234.50 EUR")
    receipt(tmp_path / "a.jpg", *lines, letters=letters, size=(ocr.SIDE, ocr.SIDE * 3 // 4))
    said = reader.read((tmp_path / "a.jpg").read_bytes())
    assert {"invoice", "lisbon", "2023", "total", "234"} <= set(words.split(said))


@needs_extra
def test_where_nothing_is_written_nothing_is_read(reader: ocr.TextReader, tmp_path: Path) -> None:
    paint(tmp_path / "a.png", (200, 90, 40), (300, 200))
    assert reader.read((tmp_path / "a.png").read_bytes()) == ""


@needs_extra
def test_what_is_no_picture_is_an_error_in_a_sentence(reader: ocr.TextReader) -> None:
    with pytest.raises(ModelError) as caught:
        reader.read(b"no picture at all")
    assert "\n" not in str(caught.value)


@needs_extra
def test_an_invoice_is_found_from_end_to_end(library: glimpse.Library, tmp_path: Path) -> None:
    album = tmp_path / "album"
    album.mkdir()
    receipt(album / "IMG_0001.jpg", "INVOICE Lisbon 2023", "Total 1,234.50 EUR", letters=36)
    receipt(album / "IMG_0002.jpg", "Menu of the day", "Soup and bread", letters=36)
    ask_for(library, True)
    report = library.index([album])
    assert report.notes == []
    assert found(library, "invoice lisbon 2023") == ["IMG_0001.jpg"]
    assert found(library, "soup menu") == ["IMG_0002.jpg"]


# The pass


class Typist:
    """Reads the same in every picture, and remembers how many it was given."""

    seen = 0
    troubles: frozenset[int] = frozenset()

    def __init__(self, threads: int) -> None:
        assert threads >= 1

    def read(self, picture: bytes) -> str:
        Typist.seen += 1
        if Typist.seen in self.troubles:
            raise ModelError("too blurred")
        with Image.open(io.BytesIO(picture)) as shown:
            assert max(shown.size) <= ocr.SIDE
        return f"page {Typist.seen}"


@pytest.fixture
def typist(monkeypatch: pytest.MonkeyPatch) -> type[Typist]:
    monkeypatch.setattr(indexer.text, "TextReader", Typist)
    monkeypatch.setattr(indexer.text, "can_read", lambda: True)
    monkeypatch.setattr(Typist, "seen", 0)
    return Typist


def test_nothing_is_read_unless_somebody_said_so_and_then_it_holds(
    library: glimpse.Library, photos: Path, typist: type[Typist]
) -> None:
    library.index([photos])
    assert set(texts(library).values()) == {None}
    ask_for(library, True)
    library.index()
    assert sorted(texts(library).values()) == [f"page {n}" for n in range(1, len(COLOURS) + 1)]  # type: ignore[type-var]
    assert len(found(library, "page 2")) == 1
    ask_for(library, None)
    paint(photos / "new.png", (1, 2, 3), (40, 30))
    library.index()
    assert texts(library)["new.png"] == f"page {len(COLOURS) + 1}"
    assert typist.seen == len(COLOURS) + 1  # each once
    ask_for(library, False)
    paint(photos / "newer.png", (3, 2, 1), (40, 30))
    library.index()
    assert texts(library)["newer.png"] is None


def test_what_was_interrupted_goes_on(library: glimpse.Library, photos: Path, typist: type[Typist]) -> None:
    ask_for(library, True)
    seen: list[Progress] = []
    report = library.index([photos], progress=seen.append, stop=lambda: typist.seen >= 2)
    assert report.interrupted
    assert [text for text in texts(library).values() if text] == ["page 1", "page 2"]
    assert [step.done for step in seen if step.stage == "reading text"] == [1, 2]
    library.index()
    assert None not in texts(library).values()
    assert typist.seen == len(COLOURS)


def test_a_photo_that_fails_costs_only_itself(
    library: glimpse.Library, photos: Path, typist: type[Typist], monkeypatch: pytest.MonkeyPatch
) -> None:
    library.index([photos])
    monkeypatch.setattr(typist, "troubles", frozenset({2}))
    ask_for(library, True)
    report = library.index()
    assert [note.split(": ", 1)[1] for note in report.notes] == ["too blurred"]
    assert sorted(texts(library).values())[0] == ""  # type: ignore[type-var]
    library.index()
    assert typist.seen == len(COLOURS)  # and is not tried again


def test_a_photo_out_of_reach_is_read_when_it_is_back(
    library: glimpse.Library, photos: Path, typist: type[Typist], monkeypatch: pytest.MonkeyPatch
) -> None:
    library.index([photos])
    changed, away = sorted(photos.iterdir())[:2]
    kept = changed.read_bytes(), away.read_bytes()
    writer_unread = indexer.text.Writer.unread

    def unread(writer: indexer.text.Writer) -> list[indexer.text.Unread]:
        """As if both went after the walk."""
        found = writer_unread(writer)
        changed.write_bytes(b"something else")
        away.unlink()
        return found

    ask_for(library, True)
    monkeypatch.setattr(indexer.text.Writer, "unread", unread)
    report = library.index()
    assert len(report.notes) == 1
    assert [name for name, text in texts(library).items() if text is None] == [changed.name, away.name]
    monkeypatch.setattr(indexer.text.Writer, "unread", writer_unread)
    changed.write_bytes(kept[0])
    away.write_bytes(kept[1])
    assert library.index().notes == []
    assert None not in texts(library).values()


def test_without_the_extra_one_line_says_what_to_do(
    library: glimpse.Library, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ocr, "find_spec", lambda _: None)
    ask_for(library, True)
    report = library.index([photos])
    assert report.notes == [f"{len(COLOURS)} photos were not looked at for text: {ocr.MISSING}"]
    with pytest.raises(ModelError, match=r"pip install 'glimpse-search\[ocr\]'"):
        ocr.TextReader(1)


def test_a_dry_run_reads_nothing_and_remembers_nothing(
    library: glimpse.Library, photos: Path, typist: type[Typist]
) -> None:
    library.index([photos])
    ask_for(library, True)
    library.index(dry_run=True)
    ask_for(library, None)
    library.index()
    assert set(texts(library).values()) == {None}
