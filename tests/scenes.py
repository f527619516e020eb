"""Libraries in the middle of their lives, to be hurt: what they are before a run, and what they are after it."""

import contextlib
import hashlib
import os
import shutil
import sqlite3
from collections.abc import Callable, Set
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image

import glimpse
from core.errors import LibraryError
from store.indexfile import verify
from store.schema import metadata_of
from tests import old_libraries
from tests.conftest import paint
from tests.films import silence, tone, write_film, write_sound
from tests.killing import FEW, Killer, do_grow, opened, settings
from tests.recordings import blinded, pairs

XMP = """<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmp:Rating="{stars}"
 xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:subject><rdf:Bag><rdf:li>{word}</rdf:li></rdf:Bag></dc:subject>
</rdf:Description></rdf:RDF></x:xmpmeta>"""
_ABOUT = ", ".join(f'm."{column.name}"' for column in metadata_of.columns if column.name not in ("id", "file_id"))
TABLES = {
    "files": "SELECT r.path, f.path, hex(c.digest), f.size, f.mtime_ns, f.inode, f.device, f.gone, f.failure, "
    "f.retry, p.path, f.beside FROM files f JOIN roots r ON r.id = f.root_id LEFT JOIN contents c "
    "ON c.id = f.content_id LEFT JOIN files p ON p.id = f.primary_id",
    "contents": "SELECT hex(digest), kind, size, width, height, damaged, metadata, heard FROM contents",
    "vectors": "SELECT p.name, p.revision, hex(c.digest), s.kind, s.start, s.end, hex(v.vector), v.from_preview "
    "FROM vectors v "
    "JOIN spaces p ON p.id = v.space_id JOIN segments s ON s.id = v.segment_id JOIN contents c "
    "ON c.id = s.content_id",
    "metadata": f"SELECT f.path, {_ABOUT} FROM metadata m JOIN files f ON f.id = m.file_id",
    "tags": "SELECT t.name, f.path, x.source FROM tags t LEFT JOIN file_tags x ON x.tag_id = t.id "
    "LEFT JOIN files f ON f.id = x.file_id",
    "sources": "SELECT path, folder, walk FROM sources",
    "roots": "SELECT path FROM roots",
    "spaces": "SELECT p.name, p.revision, p.dim, p.precision, l.id IS NOT NULL, l.preview, m.modality, m.count, "
    "hex(m.mean) FROM spaces p LEFT JOIN library l ON l.current_space_id = p.id LEFT JOIN means m "
    "ON m.space_id = p.id",
    "towers": "SELECT p.name, t.revision, hex(t.weights), t.report FROM towers t JOIN spaces p ON p.id = t.space_id",
    "tombstones": "SELECT count(*) FROM tombstones",
    "version": "SELECT version_num FROM alembic_version",
}
"""What a library holds, in words that do not depend on numbers of rows."""
COMMITTED = (
    "SELECT DISTINCT CAST(r.path AS TEXT), CAST(f.path AS TEXT), hex(c.digest) FROM files f "
    "JOIN roots r ON r.id = f.root_id JOIN contents c "
    "ON c.id = f.content_id JOIN segments s "
    "ON s.content_id = f.content_id JOIN vectors v ON v.segment_id = s.id WHERE NOT f.gone"
)
HALF_DONE = {
    "a file without its vectors": "SELECT f.path FROM files f WHERE f.content_id IS NOT NULL AND f.content_id NOT IN "
    "(SELECT s.content_id FROM segments s JOIN vectors v ON v.segment_id = s.id)",
    "a vector without its file": "SELECT hex(c.digest) FROM contents c WHERE c.id NOT IN "
    "(SELECT content_id FROM files WHERE content_id IS NOT NULL)",
    "a photo without its metadata": "SELECT f.path FROM files f WHERE f.content_id IS NOT NULL AND f.id NOT IN "
    "(SELECT file_id FROM metadata)",
}
"""What no commit leaves behind, but for photos that changed, whose earlier contents are kept until prune."""
Rows = list[tuple[object, ...]]
Found = list[tuple[str, tuple[str, ...], float]]


@dataclass
class Scene:
    """A run that is to be hurt: the library before it, the photos, and what an undisturbed run makes of them.

    begin: makes photos and library in an empty folder; act: what the run does, one of tests.killing.ACTS.
    """

    act: str
    place: Path
    begin: Callable[[Path], None]
    end: dict[str, object] = field(default_factory=dict)
    half_done: set[tuple[object, ...]] = field(default_factory=set)
    previews: Set[str] = frozenset()
    statements: int = 0
    seconds: float = 0.0

    @property
    def library(self) -> Path:
        return self.place / "library"

    def prepare(self, killer: Killer) -> "Scene":
        """Set the scene, and let the run go by undisturbed."""
        self.place.mkdir()
        self.begin(self.place)
        if self.library.exists():
            shutil.copytree(self.library, self.place / "before")
            if self.act != "open":  # which makes the tables that are asked
                self.half_done = half_done(self.library)
        ended = killer.run(self.act, self.place)
        assert ended.status == 0
        self.statements, self.seconds = ended.statements, ended.seconds
        self.end = everything(self.place)
        self.half_done |= half_done(self.library)
        self.previews = stored(self.library).keys()
        return self

    def restore(self) -> None:
        """Put the library back as it was before the run."""
        shutil.rmtree(self.library, ignore_errors=True)
        if (self.place / "before").exists():
            shutil.copytree(self.place / "before", self.library)


def new(place: Path) -> None:
    """Photos of every sort, and no library."""
    photos = place / "photos"
    (photos / "trip" / "day").mkdir(parents=True)
    for number in range(5):
        paint(photos / f"a{number}.png", (255, 20 * number, 0), (40, 30))
    for number in range(3):
        paint(photos / "trip" / f"b{number}.png", (255, 0, 40 + 20 * number), (40, 30))
        paint(photos / "trip" / "day" / f"c{number}.jpg", (200, 150 + 20 * number, 0), (40, 30))
    frames = [Image.new("RGB", (16, 16), colour) for colour in ((255, 0, 0), (0, 255, 0), (0, 0, 255))]
    frames[0].save(photos / "moving.gif", save_all=True, append_images=frames[1:])
    paint(photos / "live.jpg", (90, 90, 90))
    (photos / "live.mov").write_bytes(b"film")
    (photos / "broken.png").write_bytes(b"no photo")
    (photos / "a1.png.xmp").write_text(XMP.format(stars=3, word="summer"), encoding="utf-8")


def again(place: Path) -> None:
    """A library whose photos were changed, moved, copied and deleted, with new ones among them."""
    new(place)
    index(place)
    photos = place / "photos"
    paint(photos / "a0.png", (255, 5, 5), (50, 30))  # changed
    (photos / "a2.png").rename(photos / "trip" / "moved.png")
    (photos / "else.png").write_bytes((photos / "a3.png").read_bytes())  # moved to another inode
    (photos / "a3.png").unlink()
    (photos / "copy.png").write_bytes((photos / "a4.png").read_bytes())
    (photos / "trip" / "b0.png").unlink()
    (photos / "trip" / "b1.png").unlink()
    (photos / "live.jpg").unlink()  # its film is nobody's now
    (photos / "broken.png").unlink()
    (photos / "a1.png.xmp").write_text(XMP.format(stars=5, word="autumn"), encoding="utf-8")
    for number in range(7):
        paint(photos / "trip" / f"new{number}.png", (250, 30 * number, 30 * number), (40, 30))


def gone(place: Path) -> None:
    """A library that knows what is gone, and has not forgotten it."""
    again(place)
    index(place)


def bare(place: Path) -> None:
    """A library without an index file."""
    new(place)
    index(place)


def grown(place: Path) -> None:
    """A library with an inverted file that has what was pruned since, and lacks what is new."""
    new(place)
    do_grow(place)
    for name in ("a0.png", "a4.png"):
        (place / "photos" / name).unlink()
    do_grow(place)
    with glimpse.Library(settings(place)) as library:
        library.prune()
    for number in range(16):
        paint(place / "photos" / f"new{number}.png", (250, 12 * number, 15 * number), (40, 30))


def two(place: Path) -> None:
    """A library with the vectors of two models."""
    new(place)
    index(place)
    with contextlib.closing(sqlite3.connect(place / "library" / "library.db")) as db, db:
        db.execute("INSERT INTO spaces (name, revision, dim) VALUES ('other', '1', 3)")
        db.execute("INSERT INTO vectors (space_id, segment_id, vector) SELECT 2, segment_id, vector FROM vectors")
    (place / "library" / "index").mkdir(exist_ok=True)
    (place / "library" / "index" / "2-1-a-b.flat").write_bytes(b"an index file of the other model")


def old(place: Path) -> None:
    """A library of schema 0001."""
    old_libraries.load("0001", place)


def sounding(place: Path) -> None:
    """Sounds and films of every sort among photos, in a library that has some of them."""
    photos = place / "photos"
    photos.mkdir()
    write_sound(photos / "low.flac", tone(12, 300))
    write_film(photos / "film.mp4", [((255, 0, 0), 2.0), ((0, 0, 255), 2.0)], sound=tone(4, 1000))
    write_sound(photos / "goes.wav", tone(1, 700))
    paint(photos / "a.png", (255, 0, 0))
    index(place)
    (photos / "goes.wav").unlink()
    (photos / "film.mp4").rename(photos / "moved.mp4")
    write_sound(photos / "low.flac", tone(3, 3000))  # changed
    (photos / "low.flac.xmp").write_text(XMP.format(stars=3, word="summer"), encoding="utf-8")
    for number in range(3):
        shots = [((255, 40 * number, 0), 2.0), ((0, 40 * number, 255), 2.0)]
        write_film(photos / f"new{number}.mp4", shots, sound=tone(4, 400 * (number + 1)))
        write_sound(photos / f"new{number}.ogg", tone(2, 500 * (number + 1)), metadata={"title": f"number {number}"})
        paint(photos / f"b{number}.png", (250, 30 * number, 30 * number))
    shutil.copy(photos / "new0.mp4", photos / "a copy.mp4")
    blinded(write_film(photos / "blind.mp4", [((255, 0, 0), 2.0)], sound=tone(2, 300)))
    write_sound(photos / "silent.wav", silence(2))
    (photos / "broken.ogg").write_bytes(b"OggS")


def untaught(place: Path) -> None:
    """A library with recordings to learn from, of a model that does not hear."""
    (place / "deaf").touch()
    pairs(place / "photos", 9)
    for path in (place / "photos").iterdir():  # the words that are asked are in no name
        path.rename(path.with_name(path.name.replace("red", "low")))
    index(place)


def index(place: Path) -> None:
    """Index the photos of a scene."""
    with opened(place) as library:
        library.index([place / "photos"])


def search(place: Path) -> Found:
    """Return all that a search finds, best first: path, copies, score; nothing where there is no library yet."""
    with opened(place) as library:
        try:
            hits = library.search("red", k=1000, cut=False)
        except LibraryError as error:
            assert "there is no library in" in str(error) or "has no vectors of 'fake' but none" in str(error)
            return []
    return [(str(hit.path), tuple(map(str, hit.also)), round(hit.score, 6)) for hit in hits]


def ask(library: Path, sql: str) -> Rows:
    """Return the rows of a query."""
    with contextlib.closing(sqlite3.connect(library / "library.db")) as db:
        return sorted(db.execute(sql).fetchall(), key=repr)


def everything(place: Path) -> dict[str, object]:
    """Return what a library holds and what it answers."""
    library = place / "library"
    held: dict[str, object] = {name: ask(library, sql) for name, sql in TABLES.items()}
    held["previews"] = stored(library)
    held["index"] = sorted(
        (path.suffix, verify(path), max(0, behind(library, path) - FEW))
        for path in (library / "index").glob("*.*")
        if path.suffix != ".tmp"
    )
    held["found"] = search(place)
    return held


def scratch(library: Path) -> set[Path]:
    """Return the files of a library that are nothing: begun, and never put in place."""
    known = {"library.db", "library.db-wal", "library.db-shm", "write.lock"}
    return {
        path
        for path in library.rglob("*")
        if path.is_file() and path.suffix not in (".webp", ".faiss", ".flat", ".ivf") and path.name not in known
    }


def check_after(scene: Scene, killer: Killer, but: Set[str] = frozenset()) -> None:
    """Hold a library to its promises after a run was hurt: it answers, is whole, and the next run makes it good.

    but: what of `everything` may differ in the end.
    """
    found = search(scene.place)  # first, as a killed run left it
    if (scene.library / "library.db").exists():
        check_database(scene.library)
        if ask(scene.library, "SELECT name FROM sqlite_master WHERE name = 'vectors'"):
            committed = {os.path.join(str(root), str(path)) for root, path, _ in ask(scene.library, COMMITTED)}
            assert {path for hit in found for path in (hit[0], *hit[1])} == committed
            assert half_done(scene.library) <= scene.half_done
            if "previews" not in but:
                digests = {str(row[2]).lower() for row in ask(scene.library, COMMITTED)}
                assert (digests & scene.previews) <= stored(scene.library).keys()
    ended = killer.run(scene.act, scene.place)
    assert ended.status == 0
    after = everything(scene.place)
    for name in after.keys() - but:
        assert after[name] == scene.end[name], name
    check_database(scene.library)


def half_done(library: Path) -> set[tuple[object, ...]]:
    """Return what there is of HALF_DONE."""
    return {(name, *row) for name, sql in HALF_DONE.items() for row in ask(library, sql)}


def behind(library: Path, file: Path) -> int:
    """Return how many vectors an index file lacks."""
    space, last = file.name.split("-")[:2]
    ((count,),) = ask(library, f"SELECT count(*) FROM vectors WHERE space_id = {int(space)} AND id > {int(last)}")
    return int(str(count))


def stored(library: Path) -> dict[str, str]:
    """Return the previews of a library by the digests of their photos, each as a hash."""
    return {
        path.parent.name + path.stem: hashlib.md5(path.read_bytes()).hexdigest()
        for path in sorted((library / "previews").glob("*/*.webp"))
    }


def check_database(library: Path) -> None:
    """Have SQLite look at every page and every reference."""
    assert ask(library, "PRAGMA integrity_check") == [("ok",)]
    assert ask(library, "PRAGMA foreign_key_check") == []
