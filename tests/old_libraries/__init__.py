"""Libraries as earlier versions left them, one SQL file for each schema, and the album that they are of.

Each was dumped from a real run of the version that had that schema. Before a new migration is added, this keeps what
the present one makes: python -m tests.old_libraries
"""

import base64
import contextlib
import os
import shutil
import sqlite3
import struct
from pathlib import Path

HERE = Path(__file__).parent
SCHEMAS = sorted(path.stem for path in HERE.glob("*.sql"))
ALBUM, MORE = b"/album", b"/more"
"""Where the photos lay, in the dumps."""
GIF = """R0lGODlhCAAIAIEAAP8AAAAAAAAAAAAAACH/C05FVFNDQVBFMi4wAwEAAAAh+QQICgAAACwAAAAACAAIAAAIDwABCBxIsKDBgwgTKkwYEAAh
+QQICgAAACwAAAAACAAIAIEAAP8AAAAAAAAAAAAIDwABCBxIsKDBgwgTKkwYEAAh+QQICgAAACwAAAAACAAIAIH///8AAAAAAAAAAAAIDwAB
CBxIsKDBgwgTKkwYEAA7"""
"""Red, blue, white."""
JPEG = """/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDAAMCAgMCAgMDAwMEAwMEBQgFBQQEBQoHBwYIDAoMDAsKCwsNDhIQDQ4RDgsLEBYQERMUFRUVDA8X
GBYUGBIUFRT/2wBDAQMEBAUEBQkFBQkUDQsNFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBT/wAAR
CAAIAAgDASIAAhEBAxEB/8QAFQABAQAAAAAAAAAAAAAAAAAAAAn/xAAUEAEAAAAAAAAAAAAAAAAAAAAA/8QAFQEBAQAAAAAAAAAAAAAAAAAA
Bgn/xAAUEQEAAAAAAAAAAAAAAAAAAAAA/9oADAMBAAIRAxEAPwCgoCVRw//Z"""
"""Yellow."""
XMP = """<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description rdf:about="" xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:xmp="http://ns.adobe.com/xap/1.0/"
 xmlns:exif="http://ns.adobe.com/exif/1.0/" xmp:Rating="4" exif:GPSLatitude="48,51.494N" exif:GPSLongitude="2,17.67E">
<dc:subject><rdf:Bag><rdf:li>holiday</rdf:li><rdf:li>tower</rdf:li></rdf:Bag></dc:subject>
</rdf:Description></rdf:RDF></x:xmpmeta>"""


def bmp(red: int, green: int, blue: int) -> bytes:
    """Return a picture of one colour, 8 x 8 px; by hand, so that its digest is that in the dumps for ever."""
    return struct.pack("<2sIIIIiiHHIIiiII", b"BM", 246, 0, 54, 40, 8, 8, 1, 24, 0, 192, 0, 0, 0, 0) + bytes(
        (blue, green, red) * 64
    )


FILES = {
    "album/red.bmp": bmp(255, 0, 0),
    "album/red.bmp.xmp": XMP.encode(),
    "album/green.bmp": bmp(0, 255, 0),
    "album/white.bmp": bmp(255, 255, 255),
    "album/below/red again.bmp": bmp(255, 0, 0),
    "album/below/moving.gif": base64.b64decode(GIF),
    "album/pair.jpg": base64.b64decode(JPEG),
    "album/pair.cr2": b"II*\0 whatever a camera writes",
    "album/broken.bmp": b"BM\xf6\0\0\0\0\0\0\0 and no more",
    "album/later.heic": b"\0\0\0\x18ftypheic and so on",
    "more/blue.bmp": bmp(0, 0, 255),
    "more/drawing.gif": bmp(1, 2, 3),  # left out
}
GONE, PRUNED = "album/gone.bmp", "album/pruned.bmp"
"""Photos that were there once: one is still known, the other has left holes in the numbers."""
SELF_TEST = {"precision": "int8", "photos": 200, "cosine": 0.5, "overlap": 0.5, "speedup": 2.0, "passed": False}


def make_album(place: Path, *also: str) -> None:
    """Write the photos below a folder, with the times that the dumps know."""
    files = FILES | {name: bmp(255, 128, number) for number, name in enumerate(also)}
    for number, (name, data) in enumerate(files.items()):
        path = place / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        os.utime(path, (1_600_000_000 + number, 1_600_000_000 + number))


def load(schema: str, place: Path) -> Path:
    """Make the album, and the library that an earlier version had of it; returns its folder."""
    make_album(place)
    folder = place / "library"
    folder.mkdir()
    with contextlib.closing(sqlite3.connect(folder / "library.db")) as db:
        db.execute("PRAGMA page_size = 16384")
        db.execute("PRAGMA journal_mode = WAL")
        db.executescript((HERE / f"{schema}.sql").read_text(encoding="utf-8"))
        _put(db, (ALBUM, os.fsencode(place / "album")), (MORE, os.fsencode(place / "more")))
    return folder


def _put(db: sqlite3.Connection, *places: tuple[bytes, bytes]) -> None:
    """Have the library lie elsewhere."""
    for before, now in places:
        for table in ("roots", "sources"):
            db.execute(f"UPDATE {table} SET path = ? WHERE path = ?", (now, before))
    db.commit()


def keep(library: Path) -> Path:
    """Write a library of the album, which is beside it, into the file of its schema."""
    with contextlib.closing(sqlite3.connect(":memory:")) as copy:
        with contextlib.closing(sqlite3.connect(library / "library.db")) as db:
            db.backup(copy)
        place = library.parent
        _put(copy, (os.fsencode(place / "album"), ALBUM), (os.fsencode(place / "more"), MORE))
        copy.execute("UPDATE runs SET summary = replace(summary, ?, '')", (str(place),))
        copy.commit()
        (version,) = copy.execute("SELECT version_num FROM alembic_version").fetchone()
        kept = HERE / f"{version}.sql"
        kept.write_text("\n".join(copy.iterdump()) + "\n", encoding="utf-8")
    return kept


def live(place: Path) -> Path:
    """Make a library with something in every table; returns its folder."""
    from unittest.mock import patch

    import glimpse
    from core.settings import Settings
    from core.types import Walk
    from encoders.fake import FakeEncoder
    from store.writer import Writer
    from tests.test_file_life import Mirrored

    models = {"fake": FakeEncoder, "mirrored": Mirrored}
    make_album(place, GONE, PRUNED)
    with patch("encoders.registry.load", lambda name, *_: models[name]()):
        with glimpse.Library(Settings(place / "library", place / "cache", "fake", preview=128)) as library:
            library.index([place / "album"])
            library.index([place / "more"], walk=Walk(exclude=("*.gif",)))
            (place / PRUNED).unlink()
            library.index()
            library.prune()
            (place / GONE).unlink()
            library.index()
        with glimpse.Library(Settings(place / "library", place / "cache", "mirrored")) as library:
            library.index()
    with Writer(place / "library") as writer:
        writer.set_precision(2, "fp32", [SELF_TEST | {"reason": "too far"}])
        writer.set_tower(1, b"weights", {"kind": "ridge"})
    return place / "library"


def main(place: Path) -> None:
    shutil.rmtree(place, ignore_errors=True)
    print(keep(live(place)))
