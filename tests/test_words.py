"""Words in names, titles, tags, places and pictures: what a question finds, and that the index is never behind."""

import contextlib
import dataclasses
import hashlib
import itertools
import os
import random
import sqlite3
import string
import unicodedata
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.errors import LibraryError
from core.types import FileStat, Kind, Metadata, Place, Space
from search.fusion import K, fused, settled
from store import words
from store.doctor import examine
from store.names import DATABASE
from store.reader import Reader
from store.records import WHOLE, About, Recorded, Taken
from store.salvage import salvage
from store.writer import Writer
from tests import old_libraries

SPACE = Space(name="hand", revision="1", dim=3, shared_dim=3)
PLAIN = Metadata()


class Shelf:
    """A library whose files are made up; `says` is asked what stands in it."""

    def __init__(self, folder: Path) -> None:
        self.writer = Writer(folder)
        self.space_id = self.writer.add_space(SPACE)
        self.root_id = self.writer.add_root(b"/home/ann/Pictures", ())
        self.ids: dict[str, int] = {}

    def put(
        self,
        path: str | bytes,
        metadata: Metadata = PLAIN,
        place: Place | None = None,
        content: str = "",
        **more: Any,
    ) -> None:
        """Add a file, or bring it up to date; content: what its bytes are, its name unless told."""
        raw = os.fsencode(path)
        name = os.fsdecode(raw)
        digest = hashlib.md5((content or name).encode("utf-8", "surrogateescape")).digest()
        row = np.array([1, 0, 0], np.float32)
        taken = Taken(
            self.root_id, raw, FileStat(1, 2, 3, 4), self.ids.get(name), digest, (4, 3), {WHOLE: row},
            about=About(metadata, place),
        )  # fmt: skip
        self.writer.commit(self.space_id, [dataclasses.replace(taken, **more)])
        self.ids[name] = self.ask("SELECT id FROM files WHERE path = ?", raw)[0][0]

    def change(self, sql: str, *values: Any) -> None:
        """Change the database by hand, in one of the writer's transactions."""
        with self.writer._begin() as db:
            db.exec_driver_sql(sql, values)

    def ask(self, sql: str, *values: Any) -> list[Any]:
        with contextlib.closing(sqlite3.connect(self.writer.folder / DATABASE)) as db:
            return db.execute(sql, values).fetchall()

    def content_of(self, name: str) -> int:
        return int(self.ask("SELECT content_id FROM files WHERE id = ?", self.ids[name])[0][0])

    def finds(self, text: str) -> set[str]:
        """Return the files of what is found, each by its path below the root."""
        with Reader(self.writer.folder) as reader:
            found = words.found(reader, text)
            assets = words.assets(reader, text, [key for key, _ in found])
        assert assets.keys() == {key for key, _ in found}
        return {os.path.relpath(path, "/home/ann/Pictures") for asset in assets.values() for path in asset.paths}

    def is_right(self) -> bool:
        assert self.ask("SELECT count(*) FROM words_stale") == [(0,)]
        with contextlib.closing(sqlite3.connect(self.writer.folder / DATABASE)) as db:
            return words.is_right(db)


@pytest.fixture
def shelf(tmp_path: Path) -> Iterator[Shelf]:
    shelf = Shelf(tmp_path / "library")
    with contextlib.closing(shelf.writer):
        yield shelf


# What a word is


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("IMG_2023InvoiceLisbon.jpg", "img 2023invoicelisbon 2023 invoice lisbon jpg"),
        ("iPhone 12", "iphone i phone 12"),
        ("DSC0123", "dsc0123 dsc 0123"),
        ("HTMLFile", "htmlfile html file"),
        ("kebab-case snake_case", "kebab case snake case"),
        ("plain", "plain"),
        ("", ""),
        ("._-", ""),
        ("Café ÉTÉ", "cafe ete"),
        (unicodedata.normalize("NFD", "Zürich"), "zurich"),
        ("Straße", "strasse"),
        ("Łódź", "łodz"),
        ("ΑΘΗΝΑ Москва", "αθηνα москва"),
        ("東京tower", "東 京 tower"),
        ("ﬁne", "fine"),
        ("nul\0and\ud800surrogate", "nul and surrogate"),
    ],
)
def test_words(text: str, expected: str) -> None:
    assert " ".join(words.split(text)) == expected


# What is found


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shelf]:
    shelf = Shelf(tmp_path_factory.mktemp("words") / "library")
    shelf.put("IMG_2023InvoiceLisbon.jpg")
    shelf.put("2023/Lisbon trip/tram.jpg", Metadata(keywords=("holiday", "Places/Lisbon")))
    shelf.put("2023/Lisbon trip/dogs.png", Metadata(title="Two dogs asleep"))
    shelf.put("bill.jpg", Metadata(taken="2023-06-05T10:00:00", camera="Pixel 8", make="Google"))
    shelf.change(
        "UPDATE contents SET text = 'INVOICE no. 77\nTotal 12,50 EUR' WHERE id = ?", shelf.content_of("bill.jpg")
    )
    shelf.put("a.jpg", Metadata(description="Grandmother's café"), Place("Porto", "Porto District", "PT"))
    shelf.put(b"\xe4rger.jpg")
    shelf.put("东京塔.jpg")
    shelf.put("song.mp3", Metadata(artist="Ana Moura"), size=(0, 0), vectors={}, recorded=Recorded(Kind.AUDIO))
    shelf.put("AND.jpg")
    shelf.put('say "near".jpg')
    with contextlib.closing(shelf.writer):
        yield shelf


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("invoice", {"IMG_2023InvoiceLisbon.jpg", "bill.jpg"}),
        ("invoice lisbon 2023", {"IMG_2023InvoiceLisbon.jpg"}),
        ("the invoice of Lisbon", {"IMG_2023InvoiceLisbon.jpg"}),
        ("INVOICES", {"IMG_2023InvoiceLisbon.jpg", "bill.jpg"}),
        ("InvoiceLisbon", {"IMG_2023InvoiceLisbon.jpg"}),
        ("IMG_2023InvoiceLisbon.jpg", {"IMG_2023InvoiceLisbon.jpg"}),
        ("img_2023", {"IMG_2023InvoiceLisbon.jpg"}),
        ("lisbon holiday", {"2023/Lisbon trip/tram.jpg"}),
        ("trip dog", {"2023/Lisbon trip/dogs.png"}),
        ("2023-06", {"bill.jpg"}),
        ("june 2023 pixel", {"bill.jpg"}),
        ("total 12,50", {"bill.jpg"}),
        ("grandmother cafe", {"a.jpg"}),
        ("grandmother's CAFÉ", {"a.jpg"}),
        ("porto portugal", {"a.jpg"}),
        ("ärger", {os.fsdecode(b"\xe4rger.jpg")}),
        ("argers", {os.fsdecode(b"\xe4rger.jpg")}),
        ("京塔", {"东京塔.jpg"}),
        ("moura mp3", {"song.mp3"}),
        ("invoi", set()),  # a beginning is no word
        ("invoice nowhere", set()),
        ("and", {"AND.jpg"}),  # nothing else is asked for
        ("", set()),
        ("  ?! ", set()),
        # FTS5's own language says nothing here
        ("AND AND AND", {"AND.jpg"}),
        ("invoice OR holiday", set()),
        ("invoice NOT lisbon", set()),
        ("NEAR(two asleep, 1)", set()),
        ("say near", {'say "near".jpg'}),
        ('say "near"', {'say "near".jpg'}),
        ('"', set()),
        ("invoice*", {"IMG_2023InvoiceLisbon.jpg", "bill.jpg"}),
        ("inv*", set()),
        ("title:dogs", set()),
        ("^invoice", {"IMG_2023InvoiceLisbon.jpg", "bill.jpg"}),
        ("{invoice} + (lisbon)", {"IMG_2023InvoiceLisbon.jpg"}),
        ("invoice'); DROP TABLE words; --", set()),
    ],
)
def test_a_question_finds(home: Shelf, query: str, expected: set[str]) -> None:
    assert home.finds(query) == expected


def test_no_text_is_an_error(home: Shelf) -> None:
    dice = random.Random(5)
    pieces = [*string.printable, "AND", "OR", "NOT", "NEAR(", '"', "*", "^", ":", "\0", "\ud800", "é", "東", "𞤀", "ß"]
    with Reader(home.writer.folder) as reader:
        for _ in range(500):
            words.found(reader, "".join(dice.choices(pieces, k=dice.randrange(30))))
        words.found(reader, "word " * 100_000)
        words.found(reader, " ".join(map(str, range(10_000))))
        words.found(reader, "aB" * 5_000)


def test_what_was_said_of_a_file_counts_more_than_where_it_lies(shelf: Shelf) -> None:
    shelf.put("beach/1.jpg")
    shelf.put("x/beach.jpg")
    shelf.put("y/1.jpg", Metadata(description="beach"))
    for number in range(9):
        shelf.put(f"z/{number}.jpg")
    with Reader(shelf.writer.folder) as reader:
        found = words.found(reader, "beach")
        order = ["x/beach.jpg", "y/1.jpg", "beach/1.jpg"]
        assert [key for key, _ in found] == [shelf.content_of(name) for name in order]
        assert [rank for _, rank in found] == sorted({rank for _, rank in found}, reverse=True)
        assert words.found(reader, "beach", limit=2) == found[:2]
        assert words.found(reader, "beach", among=[shelf.content_of("beach/1.jpg"), 99]) == found[2:]
        assert words.found(reader, "beach", among=[]) == []


def test_the_file_that_has_the_words_is_told_first_and_what_is_gone_is_not(shelf: Shelf) -> None:
    for path in ("a.jpg", "b/invoice.jpg", "c.jpg", "d/invoice.jpg"):
        shelf.put(path, content="one")
    shelf.put("e.cr2", digest=None, size=None, vectors={}, about=None, primary=b"b/invoice.jpg")
    shelf.writer.mark_gone([shelf.ids["d/invoice.jpg"]])
    with Reader(shelf.writer.folder) as reader:
        ((content_id, _),) = words.found(reader, "invoice")
        asset = words.assets(reader, "invoice", [content_id])[content_id]
    assert [path.name for path in asset.paths] == ["invoice.jpg", "a.jpg", "c.jpg"]
    assert [path.name for path in asset.companions] == ["e.cr2"]
    assert shelf.finds("cr2") == set()
    shelf.writer.mark_gone([shelf.ids["b/invoice.jpg"]])
    assert shelf.finds("invoice") == set()


# That it is never behind


def move_below_another_root(shelf: Shelf) -> None:
    shelf.root_id = shelf.writer.add_root(b"/home", [(shelf.root_id, b"ann/Pictures")])


def prune_all(shelf: Shelf) -> None:
    shelf.writer.mark_gone(shelf.ids.values())
    shelf.writer.prune()


CHANGES: dict[str, Callable[[Shelf], object]] = {
    "renamed": lambda s: s.put("new name.jpg", file_id=s.ids["a.jpg"]),
    "other bytes": lambda s: s.put("a.jpg", content="other"),
    "unreadable": lambda s: s.put("a.jpg", digest=None, size=None, vectors={}, about=None, failure="torn"),
    "retold": lambda s: s.put("a.jpg", Metadata(title="another", keywords=("x", "y/z"))),
    "a place": lambda s: s.put("a.jpg", PLAIN, Place("Wien", "Wien", "AT")),
    "a copy": lambda s: s.put("copy.jpg", content="a.jpg"),
    "gone": lambda s: s.writer.mark_gone([s.ids["a.jpg"]]),
    "pruned": prune_all,
    "below another root": move_below_another_root,
    "read in the picture": lambda s: s.change(
        "UPDATE contents SET text = 'hello' WHERE id = ?", s.content_of("a.jpg")
    ),
    "a tag added": lambda s: s.change(
        "INSERT INTO verdicts (content_id, tag_id, verdict) SELECT ?, id, 'added' FROM tags", s.content_of("b.jpg")
    ),
    "a tag removed": lambda s: s.change(
        "INSERT OR REPLACE INTO verdicts (content_id, tag_id, verdict) SELECT ?, id, 'removed' FROM tags",
        s.content_of("a.jpg"),
    ),
    "a verdict changed": lambda s: s.change("UPDATE verdicts SET verdict = 'rejected'"),
    "a verdict of another content": lambda s: s.change("UPDATE verdicts SET content_id = ?", s.content_of("b.jpg")),
    "a verdict forgotten": lambda s: s.change("DELETE FROM verdicts"),
    "a tag renamed": lambda s: s.change("UPDATE tags SET name = name || 'ish'"),
    "a tag forgotten": lambda s: s.change("DELETE FROM tags"),
    "a file forgotten": lambda s: s.change("DELETE FROM files WHERE id = ?", s.ids["b.jpg"]),
    "a folder renamed": lambda s: s.change("UPDATE roots SET path = CAST('/elsewhere/Photographs' AS BLOB)"),
    "metadata by hand": lambda s: s.change("UPDATE metadata SET title = 'by hand', file_id = file_id"),
    "tags by hand": lambda s: s.change("UPDATE OR IGNORE file_tags SET file_id = ?", s.ids["b.jpg"]),
}


def stock(shelf: Shelf) -> None:
    shelf.put("a.jpg", Metadata(title="first", keywords=("one", "two")), Place("Lyon", "Rhône", "FR"))
    shelf.put("b.jpg", Metadata(title="second"))
    shelf.change("INSERT OR IGNORE INTO tags (name) VALUES ('three')")
    shelf.change(
        "INSERT OR REPLACE INTO verdicts (content_id, tag_id, verdict) SELECT ?, id, 'accepted' FROM tags "
        "WHERE name = 'three'",
        shelf.content_of("a.jpg"),
    )


@pytest.mark.parametrize("name", CHANGES)
def test_the_index_is_that_made_anew_after_a_change(shelf: Shelf, name: str) -> None:
    stock(shelf)
    before = shelf.ask("SELECT rowid, * FROM words")
    assert shelf.is_right()
    CHANGES[name](shelf)
    assert shelf.is_right()
    same = shelf.ask("SELECT rowid, * FROM words") == before
    assert same is (name == "gone")  # which changes nothing that can be read


def test_the_check_sees_what_is_wrong(shelf: Shelf) -> None:
    """Or the tests here would mean nothing."""
    stock(shelf)
    for sql in (
        "UPDATE words_content SET c1 = 'thirst' WHERE c1 = 'first'",  # a row and not its words
        "DELETE FROM words WHERE rowid = (SELECT min(rowid) FROM words)",
        "INSERT INTO words (rowid, name) VALUES (99, 'more')",
    ):
        with contextlib.closing(sqlite3.connect(shelf.writer.folder / DATABASE, isolation_level=None)) as db:
            db.execute("BEGIN")
            assert words.exists(db)
            db.execute(sql)
            db.execute("COMMIT")
            assert not words.is_right(db)
            db.execute("BEGIN")
            words.rebuild(db)
            db.execute("COMMIT")
            assert words.is_right(db)
    before = shelf.ask("SELECT block FROM words_data WHERE id > 10 ORDER BY id LIMIT 1")[0][0]
    shelf.change("UPDATE words_data SET block = ? WHERE block = ?", before.replace(b"first", b"fjrst"), before)
    assert before.count(b"first") == 1
    with contextlib.closing(sqlite3.connect(shelf.writer.folder / DATABASE)) as db:
        assert not words.is_right(db)


def test_any_life_leaves_it_right(shelf: Shelf) -> None:
    dice = random.Random(11)
    names = [f"{folder}{name}.jpg" for folder in ("", "dog/", "dog/2023/") for name in ("a", "b", "invoice")]
    said = [
        PLAIN,
        Metadata(keywords=("one",)),
        Metadata(keywords=("two", "one"), title="dog"),
        Metadata(artist="x y"),
    ]
    acts = [name for name in CHANGES if name not in ("renamed", "below another root", "a folder renamed")]
    stock(shelf)
    for _ in range(120):
        if dice.random() < 0.6:
            shelf.put(dice.choice(names), dice.choice(said), content=dice.choice("abc"))
        else:
            stock(shelf)
            with contextlib.suppress(LibraryError):  # of rows that are not there
                CHANGES[dice.choice(acts)](shelf)
        shelf.root_id = next(iter(shelf.writer.roots()), None) or shelf.writer.add_root(b"/home/ann/Pictures", ())
        alive = dict(shelf.ask("SELECT path, id FROM files"))
        shelf.ids = {os.fsdecode(path): key for path, key in alive.items()}
        assert shelf.is_right()


def test_what_is_undone_leaves_it_as_it_was(shelf: Shelf) -> None:
    stock(shelf)
    before = shelf.ask("SELECT rowid, * FROM words")
    with shelf.writer.rehearsal(), contextlib.suppress(LookupError):
        shelf.writer.commit(shelf.space_id, [Taken(shelf.root_id, b"c.jpg", FileStat(1, 2, 3, 4), failure="torn")])
    with contextlib.suppress(KeyError), shelf.writer._begin() as db:
        db.exec_driver_sql("UPDATE tags SET name = name || 'ish'")
        raise KeyError
    assert shelf.ask("SELECT rowid, * FROM words") == before
    assert shelf.is_right()


@pytest.mark.parametrize("schema", old_libraries.SCHEMAS)
def test_an_old_library_has_its_words_once_it_is_brought_up_to_date(tmp_path: Path, schema: str) -> None:
    folder = old_libraries.load(schema, tmp_path)
    Writer(folder).close()
    with Reader(folder) as reader:
        assert reader.tally("words") == reader.tally("files WHERE content_id IS NOT NULL") > 6
        assert len(words.found(reader, "red")) == 1
    with contextlib.closing(sqlite3.connect(folder / DATABASE)) as db:
        assert words.is_right(db)


# When it is damaged


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE words_data SET block = zeroblob(40) WHERE id > 10",
        "UPDATE words_config SET v = 99",
        "UPDATE words_content SET c0 = 'x'",
        "DELETE FROM words_data",
        "DELETE FROM words_docsize",
        "INSERT INTO words_stale VALUES (1)",
        "DELETE FROM words",
        "DROP TABLE words",
    ],
)
def test_the_doctor_makes_it_anew(shelf: Shelf, damage: str) -> None:
    stock(shelf)
    shelf.writer.close()
    with contextlib.closing(sqlite3.connect(shelf.writer.folder / DATABASE)) as db, db:
        db.execute(damage)
    if "stale" not in damage:
        (told,) = (finding for finding in examine(shelf.writer.folder).findings if finding.check == "words")
        assert "the index of words is wrong" in told.text
    assert [f for f in examine(shelf.writer.folder, repair=True).findings if f.check in ("structure", "words")]
    assert [finding.text for finding in examine(shelf.writer.folder).findings if finding.check == "words"] == [
        "2 files can be found by theirs"
    ]
    assert shelf.finds("first") == {"a.jpg"}


def test_what_is_saved_of_a_damaged_library_has_its_words(shelf: Shelf, tmp_path: Path) -> None:
    for number in range(300):
        shelf.put(f"dog/{number}.jpg", Metadata(title=f"title {number}"))
    shelf.writer.close()
    (tmp_path / "scratch").mkdir()
    found = salvage(shelf.writer.folder, tmp_path / "scratch")
    assert found.saved["files"] == 300
    assert not any(table.startswith("words") for table in found.saved)
    with contextlib.closing(sqlite3.connect(tmp_path / "scratch" / DATABASE)) as db:
        assert words.is_right(db)
        assert db.execute("SELECT count(*) FROM words('title:77')").fetchone() == (1,)
        assert db.execute("SELECT count(*) FROM words_stale").fetchone() == (0,)


def test_a_word_of_nearly_all_files_names_none(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(words, "COMMON", 3)
    for number in range(4):
        shelf.put(f"Photos/{'dog' if number < 3 else 'cat'} {number}.jpg", content=str(number))
    assert len(shelf.finds("dog")) == 3
    assert shelf.finds("photos") == set()
    assert shelf.finds("photos cat") == {"Photos/cat 3.jpg"}


# One order of both


@pytest.mark.parametrize(
    ("by_meaning", "by_words", "expected"),
    [
        ([], [], []),
        ([1, 2, 3], [], [1, 2, 3]),
        ([], [4, 5], [4, 5]),
        ([1, 2, 3], [9], [9, 1, 2, 3]),  # at a tie, words
        ([1, 2, 3], [9, 8, 7], [9, 1, 8, 2, 7, 3]),
        ([1, 2, 3, 4], [4], [4, 1, 2, 3]),  # in both
        ([1, 2, 3], [3, 2, 1], [3, 1, 2]),  # 1/61 + 1/63 is more than 2/62
    ],
)
def test_fused(by_meaning: list[int], by_words: list[int], expected: list[int]) -> None:
    assert fused(by_meaning, by_words) == expected


def test_fused_is_the_formula() -> None:
    dice = random.Random(1)
    for _ in range(50):
        by_meaning, by_words = (dice.sample(range(40), dice.randrange(30)) for _ in range(2))
        worth = {
            key: sum(1 / (K + ranked.index(key) + 1) for ranked in (by_meaning, by_words) if key in ranked)
            for key in {*by_meaning, *by_words}
        }
        order = fused(by_meaning, by_words)
        assert set(order) == set(worth)
        assert all(worth[a] >= worth[b] - 1e-12 for a, b in itertools.pairwise(order))


def test_a_folder_of_dogs_does_not_drown_better_pictures_of_dogs() -> None:
    pictures = list(range(40))  # of dogs, elsewhere
    folder = list(range(1000, 1300))  # dogs/dog/, as good as each other by their words
    by_words = settled([(key, 2.0) for key in folder], {1250: 0.9, 1100: 0.8})
    assert by_words[:3] == [1250, 1100, 1000]
    order = fused(pictures, by_words)
    assert order[:6] == [1250, 0, 1100, 1, 1000, 2]
    assert set(order) == {*pictures, *folder}


def test_words_settle_first_and_scores_where_they_tie() -> None:
    assert settled([(1, 1.0), (2, 3.0), (3, 3.0), (4, 3.0)], {1: 0.9, 3: -0.5}) == [3, 2, 4, 1]
