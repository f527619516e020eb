"""A library's life in memory: what files there are, what a library should know of them, and how a run may die."""

import contextlib
import io
import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import NamedTuple
from unittest.mock import patch

import faiss
import numpy as np
import sqlalchemy as sa
import xxhash
from PIL import Image

import glimpse
import indexer.pipeline
import store.growth
import store.ivf
import store.vectors
from core.settings import Settings
from core.types import IndexReport, Pixels, Vectors, Walk
from encoders.base import unit
from encoders.fake import FakeEncoder
from store import words
from store.previews import Previews
from tests.conftest import ROOT
from tests.test_file_life import Mirrored

PHOTOS = {
    "red": (255, 0, 0),
    "orange": (255, 128, 64),
    "magenta": (255, 0, 255),
    "white": (255, 255, 255),
    "lime": (100, 255, 120),
    "azure": (0, 128, 255),
}
"""Contents that can be read, by their colour: for both models, no two are as red as each other."""
BROKEN = ("torn", "junk")
MODELS = {"fake": FakeEncoder, "mirrored": Mirrored}
CLOSE = 0.015
"""How far a score may be off: a preview is not quite the photo."""


def bytes_of(content: str) -> bytes:
    """Return a file of 246 bytes, whatever is in it: size does not tell two contents apart."""
    if content in BROKEN:
        return (b"BM\xf6\0\0\0\0\0\0\0" + content.encode()).ljust(246, b"\xee")
    held = io.BytesIO()
    Image.new("RGB", (8, 8), PHOTOS[content]).save(held, "BMP")
    return held.getvalue()


BYTES = {content: bytes_of(content) for content in (*PHOTOS, *BROKEN)}
DIGESTS = {content: xxhash.xxh3_128_digest(data) for content, data in BYTES.items()}
CONTENTS = {digest: content for content, digest in DIGESTS.items()}


def direction(model: str, content: str) -> Vectors:
    """Return a photo's unit vector, shape (3,), by hand: its colour, red and blue exchanged by one of the models."""
    red, green, blue = PHOTOS[content]
    return unit(np.array([red, green, blue] if model == "fake" else [blue, green, red], np.float32))


class Seen(NamedTuple):
    """What a library knows.

    rows: by path of a photo, its content (None: unreadable) and whether it is gone;
    vectors: by model and content, the id;
    sources: what was asked for, by path, and what to leave out there (None: nobody said anything).
    pairs: photos, and the movies that belong to them.
    """

    rows: dict[str, tuple[str | None, bool]]
    contents: set[str]
    vectors: dict[str, dict[str, int]]
    sources: dict[str, tuple[str, ...] | None]
    current: str
    pairs: set[tuple[str, str]]

    @property
    def live(self) -> dict[str, str | None]:
        """Return the files that are not gone."""
        return {path: content for path, (content, gone) in self.rows.items() if not gone}

    def missing(self, model: str) -> int:
        """Return how many photos a model lacks."""
        return len({content for content in self.live.values() if content} - self.vectors[model].keys())


def look(place: Path) -> Seen:
    """Read, past Glimpse, what the library below a folder knows; it must be whole."""

    def below(path: bytes) -> str:
        return os.path.relpath(os.fsdecode(path), place)

    with contextlib.closing(sqlite3.connect(place / "library" / "library.db")) as db:
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert db.execute("PRAGMA foreign_key_check").fetchall() == []
        assert words.is_right(db)
        files = db.execute(
            "SELECT r.path, f.path, c.digest, f.gone FROM files f JOIN roots r ON r.id = f.root_id "
            "LEFT JOIN contents c ON c.id = f.content_id WHERE f.content_id IS NOT NULL OR f.failure IS NOT NULL"
        ).fetchall()
        rows = {
            below(os.path.join(root, path)): (digest and CONTENTS[digest], bool(gone))
            for root, path, digest, gone in files
        }
        assert len(rows) == len(files)
        vectors: dict[str, dict[str, int]] = {name: {} for (name,) in db.execute("SELECT name FROM spaces")}
        for model, digest, key in db.execute(
            "SELECT p.name, c.digest, v.id FROM vectors v JOIN spaces p ON p.id = v.space_id "
            "JOIN segments s ON s.id = v.segment_id JOIN contents c ON c.id = s.content_id"
        ):
            assert CONTENTS[digest] not in vectors[model]
            vectors[model][CONTENTS[digest]] = key
        walks = {below(path): json.loads(walk or "{}").get("exclude") for path, walk in sources(db)}
        current = db.execute("SELECT p.name FROM library l JOIN spaces p ON p.id = l.current_space_id").fetchone()
        return Seen(
            rows,
            {CONTENTS[digest] for (digest,) in db.execute("SELECT digest FROM contents")},
            vectors,
            {path: None if walk is None else tuple(walk) for path, walk in walks.items()},
            current[0],
            {
                (below(os.path.join(root, photo)), below(os.path.join(root, movie)))
                for root, photo, movie in db.execute(
                    "SELECT r.path, p.path, f.path FROM files f JOIN files p ON p.id = f.primary_id "
                    "JOIN roots r ON r.id = f.root_id WHERE NOT f.gone AND NOT p.gone"
                )
            },
        )  # fmt: skip


def sources(db: sqlite3.Connection) -> list[tuple[bytes, str | None]]:
    return db.execute("SELECT path, walk FROM sources").fetchall()


def inside(path: str, folder: str) -> bool:
    return path.startswith(f"{folder}/")


class Run(NamedTuple):
    """An index run as it should go.

    named: the folder that was asked for, "" for all; disk: the files that it looks at, by path; needed: contents to
    encode.
    """

    model: str
    named: str
    looked_at: Callable[[str], bool]
    disk: dict[str, str]
    pairs: set[tuple[str, str]]
    needed: set[str]


def foresee(before: Seen, place: Path, files: dict[str, str], movies: set[str], model: str, named: str) -> Run:
    """Return how an index run will go; before: with the run's own sources."""

    def looked_at(path: str) -> bool:
        above = [source for source in before.sources if inside(path, source)]
        if named:
            above = [named, *(source for source in above if inside(source, named))] if inside(path, named) else []
        own = [source for source in above if source == named or before.sources[source] is not None]
        return any((place / source).is_dir() for source in ([max(own, key=len)] if own else above))

    def left_out(path: str) -> bool:
        said = next(iter(before.sources.values())) or ()
        return any(fnmatch(os.path.basename(path), pattern) for pattern in said)

    disk = {path: content for path, content in files.items() if looked_at(path) and not left_out(path)}
    pairs = {
        (path, movie)
        for path in disk
        for movie in movies
        if movie == f"{path.removesuffix('.jpg')}.mp" != f"{path}.mp"
    }
    needed = {content for content in disk.values() if content in PHOTOS}
    if not named:  # what is out of sight, from its preview
        previews = Previews(place / "library")
        hidden = {content for path, content in before.live.items() if content and not looked_at(path)}
        needed |= {content for content in hidden if previews.has(DIGESTS[content])}
    return Run(model, named, looked_at, disk, pairs, needed - before.vectors.get(model, {}).keys())


def check_index(before: Seen, after: Seen, run: Run, report: IndexReport) -> None:
    """Hold what an index run did to what it should have done."""
    readable = {path: content if content in PHOTOS else None for path, content in run.disk.items()}
    assert {path: content for path, content in after.live.items() if run.looked_at(path)} == readable
    new = Counter(content for path, content in readable.items() if content and path not in before.rows)
    absent = {
        path: content
        for path, (content, gone) in before.rows.items()
        if path not in run.disk and (gone or run.looked_at(path))
    }
    missing = Counter(content for content in absent.values() if content)
    unseen = {path: row for path, row in before.rows.items() if not row[1] and not run.looked_at(path)}
    moved_from_unseen = Counter(content for path, (content, _) in unseen.items() if path not in after.rows)
    assert {path: row for path, row in unseen.items() if path in after.rows}.items() <= after.rows.items()
    assert moved_from_unseen <= new - missing
    gone = {path: content for path, (content, gone) in after.rows.items() if gone}
    assert gone.items() <= absent.items()
    assert Counter(content for content in gone.values() if content) == missing - new
    assert all(path in gone for path, content in absent.items() if content is None)
    assert report.moved == (new & missing).total() + moved_from_unseen.total()
    assert report.gone == sum(content is not None and not before.rows[path][1] for path, content in gone.items())
    assert report.failed == sum(content is None for content in readable.values())
    assert report.encoded == len(run.needed)
    assert {(photo, movie) for photo, movie in after.pairs if run.looked_at(photo) and readable.get(photo)} == {
        (photo, movie) for photo, movie in run.pairs if readable[photo]
    }
    check_vectors(before, after, run, run.needed)
    assert after.contents == before.contents | {content for content in readable.values() if content}
    assert (after.sources, after.current) == (before.sources, before.current)


def check_vectors(before: Seen, after: Seen, run: Run, new: set[str]) -> None:
    """Hold vectors to those of before, under their own ids, and new ones of a run."""
    for model in before.vectors.keys() | after.vectors.keys():
        kept = before.vectors.get(model, {})
        assert kept.items() <= after.vectors[model].items()
        assert after.vectors[model].keys() == kept.keys() | (new if model == run.model else set())


def check_dead_run(before: Seen, after: Seen, run: Run) -> None:
    """Hold what a run left that died on the way: each file is as before or as it is now, and nothing is lost."""
    for path, content in after.live.items():
        now = {run.disk[path] if run.disk[path] in PHOTOS else None} if path in run.disk else set()
        known = {before.rows[path][0]} if path in before.rows else set()
        assert content in now | known
    found = Counter(after.live.values())
    for path, content in before.live.items():
        if path in run.disk and run.disk[path] == content:
            assert after.live[path] == content
        elif path not in after.rows and content:  # it is known by another name now
            assert found[content] > 0
    made = after.vectors.get(run.model, {}).keys() - before.vectors.get(run.model, {}).keys()
    assert made <= run.needed
    check_vectors(before, after, run, set(made))
    assert before.contents <= after.contents <= before.contents | set(run.disk.values())
    assert after.current == before.current


# How a run dies


class Death(BaseException):
    """Stands for kill -9: nobody catches it, and all that was open is dropped."""


@contextlib.contextmanager
def dying(step: int | None, die: Callable[[], None]) -> Iterator[None]:
    """Die before the step-th statement, commit or preview of what happens meanwhile; None: not at all."""
    left = step or 0

    def count(*_: object) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            die()

    write = Previews.write

    def write_preview(previews: Previews, digest: bytes, preview: bytes) -> None:
        count()
        write(previews, digest, preview)
        count()

    hooks = [(sa.Engine, "before_cursor_execute"), (sa.Engine, "commit")]
    for hook in hooks:
        sa.event.listen(*hook, count)
    try:
        with patch.object(Previews, "write", write_preview):
            yield
    finally:
        for hook in hooks:
            sa.event.remove(*hook, count)


def raise_death() -> None:
    raise Death


@contextlib.contextmanager
def small_world() -> Iterator[Counter[str]]:
    """Have two models that can be computed by hand, and index files from a few photos on; counts encoded photos."""
    encoded: Counter[str] = Counter()

    def counted(encoder: FakeEncoder, pixels: Pixels) -> Vectors:
        encoded["photos"] += len(pixels)
        return encode(encoder, pixels)

    encode = FakeEncoder.encode_images
    faiss.omp_set_num_threads(1)  # a dozen vectors are not worth waking anybody
    with (
        patch("encoders.registry.load", lambda name, *_: MODELS[name]()),
        patch.multiple(store.vectors, TAIL=2, FEW=2),
        patch.multiple(store.growth, LIMIT=18, FEW_NEW=2, MANY_NEW=3, WANTED=0.0),
        patch.multiple(indexer.pipeline, MANY_NEW=3),
        patch.object(store.ivf, "PER_LIST", 1),
        patch.object(FakeEncoder, "encode_images", counted),
    ):
        yield encoded


def settings(place: Path, model: str | None = None) -> Settings:
    return Settings(place / "library", place.parent / "cache", model, batch_size=2)


def act(library: glimpse.Library, action: str, *arguments: object) -> object:
    """Do what changes a library: index FOLDER EXCLUDE, prune, use MODEL, drop MODEL."""
    if action == "index":
        folder, said = arguments
        walk = Walk(exclude=tuple(said)) if isinstance(said, list | tuple) else None
        return library.index([str(folder)] if folder else [], walk=walk)
    return {"prune": library.prune, "use": library.use_model, "drop": library.drop_model}[action](*arguments)  # type: ignore[operator]


def act_and_be_killed(place: Path, model: str | None, step: int, action: str, *arguments: object) -> bool:
    """Do it in a process of its own that kills itself with SIGKILL; says whether it came to that."""
    told = json.dumps([str(place), model, step, action, *arguments])
    command = [sys.executable, "-c", "import sys; from tests.life import child; child(sys.argv[1])", told]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode in (0, -signal.SIGKILL), done.stderr
    return done.returncode != 0


def child(told: str) -> None:
    place, model, step, action, *arguments = json.loads(told)
    die = lambda: os.kill(os.getpid(), signal.SIGKILL)  # noqa: E731
    with small_world(), dying(step, die), glimpse.Library(settings(Path(place), model)) as library:
        act(library, action, *arguments)
