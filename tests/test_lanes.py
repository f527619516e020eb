"""What any query finds among photos, sounds and films: held to brute force in numpy over all vectors."""

import contextlib
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pytest

import glimpse
import search.tags
from core.errors import QueryError
from core.settings import Settings
from core.types import Kind, Samples
from encoders.fake import FakeEncoder
from store.names import VECTOR_DTYPE
from tests.conftest import paint
from tests.films import silence, tone, write_film, write_sound
from tests.recordings import BLUE, GREEN, HIGH, LOW, MIDDLE, RED, ask, names

Numbers = npt.NDArray[np.float64]
CLOSE = 1e-3
"""fp16 rounds each number by 5e-4 of it at most."""
TAGS = ("red", "green", "blue")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with a library, and "in" with the photos, sounds and films that it has."""
    place = tmp_path_factory.mktemp("lanes")
    (place / "in" / "deep").mkdir(parents=True)
    dice = np.random.default_rng(7)
    for number in range(12):
        colour = dice.integers(20, 256, 3).tolist()
        paint(place / "in" / ("deep" if number % 4 == 0 else "") / f"photo{number}.png", tuple(colour))
    for number in range(8):
        chord = [mixed(dice.uniform(0.05, 0.3, 3), seconds) for seconds in (3, 10, 10)[: 1 + number % 3]]
        write_sound(place / "in" / ("deep" if number % 3 == 0 else "") / f"sound{number}.flac", np.concatenate(chord))
    for number in range(4):
        shots = [(tuple(dice.integers(20, 256, 3).tolist()), 3.0) for _ in range(1 + number)]
        sound = mixed(dice.uniform(0.05, 0.3, 3), 3 * len(shots)) if number % 2 else None
        write_film(place / "in" / ("deep" if number == 3 else "") / f"film{number}.mp4", shots, sound=sound)
    with few_tags(place), opened(place) as library:
        library.index([place / "in"])
        yield place


def mixed(levels: npt.NDArray[np.float64], seconds: float) -> Samples:
    """Return a chord of a low, a middle and a high tone."""
    tones = [tone(seconds, hertz, level=level) for hertz, level in zip((LOW, MIDDLE, HIGH), levels, strict=True)]
    whole: Samples = np.sum(tones, axis=0, dtype=np.float32)
    return whole


@contextlib.contextmanager
def few_tags(place: Path) -> Iterator[None]:
    """Have red, green and blue for all words."""
    (place / "tags.tsv").write_text("tag\tgroup\tparent\n" + "".join(f"{tag}\tc\t\n" for tag in TAGS))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(search.tags, "data_path", lambda _: place / "tags.tsv")
        yield


def opened(place: Path) -> glimpse.Library:
    return glimpse.Library(Settings(place / "library", place / "cache", "fake"))


class Part(NamedTuple):
    """A vector of the library, and of what it is."""

    content: int
    name: str
    kind: str
    start: float | None
    vector: Numbers


class Oracle:
    """All vectors of a library, compared one by one."""

    def __init__(self, library: Path) -> None:
        with contextlib.closing(sqlite3.connect(library / "library.db")) as db:
            rows = db.execute(
                "SELECT p.modality, c.id, CAST(f.path AS TEXT), c.kind, s.start, v.vector FROM vectors v "
                "JOIN spaces p ON p.id = v.space_id JOIN segments s ON s.id = v.segment_id "
                "JOIN contents c ON c.id = s.content_id JOIN files f ON f.content_id = c.id ORDER BY v.id"
            ).fetchall()
        parts = [
            (modality, Part(content, name, kind, start, np.frombuffer(blob, VECTOR_DTYPE).astype(float)))
            for modality, content, name, kind, start, blob in rows
        ]
        self.lanes = [[part for lane, part in parts if lane == modality] for modality in ("image", "sound")]
        self.means = [np.mean([part.vector for part in lane], axis=0) for lane in self.lanes]
        self.tag_mean = np.mean(np.eye(3), axis=0)
        self.words = unit(np.eye(3) - self.tag_mean)

    def find(
        self, terms: list[tuple[str, float]], k: int, kind: str | None, within: str
    ) -> list[tuple[str, float | None, float]]:
        """Return name, start and score of what must be found, in order."""
        sound_asked = any(what.endswith(".flac") for what, _ in terms)
        centred = unit(np.sum([weight * self.vector(what, centred=True) for what, weight in terms], axis=0))
        plain = centred if sound_asked or len(terms) > 1 else self.vector(terms[0][0], centred=False)
        ranked: list[tuple[float, int, int, tuple[str, float | None, float], int]] = []
        lists = []
        for turn, (lane, mean) in enumerate(zip(self.lanes, self.means, strict=True)):
            best: dict[int, tuple[float, Part]] = {}
            for part in lane:
                if kind not in (None, part.kind) or part.name in dict(terms) or not part.name.startswith(within):
                    continue
                row = unit(part.vector - mean) if turn or plain is centred else unit(part.vector)
                score = float(row @ (centred if turn else plain))
                if part.content not in best or best[part.content][0] < score - 1e-9:
                    best[part.content] = score, part
            lists.append(sorted(best.values(), key=lambda one: (-round(one[0], 6), one[1].content))[:k])
        for turn, (some, mean) in enumerate(zip(lists, self.means, strict=True)):
            least = np.inf
            for rank, (score, part) in enumerate(some):
                least = min(least, self.standing(centred, unit(part.vector - mean)))
                stands = least if all(lists) else -rank
                ranked.append((-stands, turn, rank, (part.name, part.start, score), part.content))
        found: dict[int, tuple[str, float | None, float]] = {}
        for *_, hit, content in sorted(ranked, key=lambda one: one[:3]):
            found.setdefault(content, hit)
        return list(found.values())[:k]

    def standing(self, question: Numbers, row: Numbers) -> float:
        ordinary = self.words @ row
        return float((question @ row - ordinary.mean()) / ordinary.std())

    def vector(self, what: str, centred: bool) -> Numbers:
        """Return the vector of words or of a file of the library."""
        turn = 1 if what.endswith(".flac") else 0
        rows = [part.vector for part in self.lanes[turn] if part.name == what]
        if turn:
            return unit(np.mean([unit(row - self.means[1]) for row in rows], axis=0))
        if not rows:
            text = FakeEncoder().encode_texts([what])[0].astype(float)
            return unit(text - self.tag_mean) if centred else text
        row = unit(np.mean(rows, axis=0)) if len(rows) > 1 else rows[0]
        return unit(row - self.means[0]) if centred else row


def unit(rows: Numbers) -> Numbers:
    scaled: Numbers = rows / np.linalg.norm(rows, axis=-1, keepdims=True)
    return scaled


ASKED: list[list[tuple[str, float]]] = [
    [("red", 1)],
    [("green blue", 1)],
    [("photo1.png", 1)],
    [("film1.mp4", 1)],
    [("film2.mp4", 1)],
    [("sound1.flac", 1)],
    [("sound2.flac", 1)],
    [("sound1.flac", 1), ("red", 1)],
    [("sound2.flac", 2), ("blue", 0.5)],
    [("sound4.flac", 1), ("photo2.png", 1), ("film1.mp4", -1)],
    [("photo1.png", 1), ("green", 1), ("sound5.flac", -0.5)],
    [("film1.mp4", 1), ("red", -1)],
    [("blue", 1), ("sound7.flac", -1)],
]


@pytest.mark.parametrize("kind", [None, "photo", "audio", "video"])
@pytest.mark.parametrize("terms", ASKED, ids=str)
def test_every_pair_of_modalities_finds_what_brute_force_finds(
    place: Path, terms: list[tuple[str, float]], kind: str | None
) -> None:
    oracle = Oracle(place / "library")

    def typed(what: str, weight: float) -> str:
        value = str(place / "in" / what) if "." in what else what
        return f"{abs(weight)}:{value}"

    first, *others = terms
    plus = [typed(*term) for term in others if term[1] > 0]
    minus = [typed(*term) for term in others if term[1] < 0]
    with few_tags(place), opened(place) as library:
        for k in (1, 4, 1000):
            hits = library.search(typed(*first), k, plus=plus, minus=minus, kind=kind)
            expected = oracle.find(terms, k, kind, "")
            found = [(str(hit.path.relative_to(place / "in")), hit.start, hit.score) for hit in hits]
            assert [one[:2] for one in found] == [one[:2] for one in expected]
            assert [one[2] for one in found] == pytest.approx([one[2] for one in expected], abs=CLOSE)
            assert library.search(typed(*first), k, plus=plus, minus=minus, kind=kind, exact=True) == hits
            deep = library.search(typed(*first), k, plus=plus, minus=minus, kind=kind, within=place / "in" / "deep")
            assert [(str(hit.path.relative_to(place / "in")), hit.start) for hit in deep] == [
                one[:2] for one in oracle.find(terms, k, kind, "deep/")
            ]


def test_everything_is_found_once_and_never_what_was_asked_with(place: Path) -> None:
    there = {str(path.relative_to(place / "in")) for path in (place / "in").rglob("*.*")}
    with few_tags(place), opened(place) as library:
        assert {hit.path.name for hit in library.search("red", k=10**6)} == {Path(path).name for path in there}
        for name in sorted(there):
            found = [str(hit.path.relative_to(place / "in")) for hit in library.similar(place / "in" / name, k=10**6)]
            assert sorted([*found, name]) == sorted(there)


def test_photos_come_in_one_order_whether_or_not_there_are_sounds(place: Path) -> None:
    with few_tags(place), opened(place) as library:
        for words in ("red", "green", "blue", "red blue", "something else"):
            all_of_it = library.search(words, k=1000)
            photos = library.search(words, k=1000, kind="photo")
            assert [hit for hit in all_of_it if hit.kind is Kind.PHOTO] == photos
            for k in (1, 3, 7):
                assert library.search(words, k=k) == all_of_it[:k]


# --- worked out by hand


@pytest.fixture
def library(tmp_path: Path) -> Iterator[glimpse.Library]:
    with few_tags(tmp_path), opened(tmp_path) as library:
        yield library


def test_a_film_is_one_hit_by_its_best_moment(library: glimpse.Library, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    shots = [(RED, 4.0), (GREEN, 4.0), (RED, 4.0)]
    write_film(tmp_path / "in" / "film.mp4", shots, sound=np.concatenate([silence(6), tone(6, HIGH)]))
    for name, colour in (("red", RED), ("green", GREEN), ("blue", BLUE)):
        paint(tmp_path / "in" / f"{name}.png", colour)
    library.index([tmp_path / "in"])
    for words, start in (("red", 0.0), ("green", 4.0), ("blue", 0.0)):
        hits = library.search(words)
        assert sorted(names(hits)) == ["blue.png", "film.mp4", "green.png", "red.png"]
        assert [hit.start for hit in hits if hit.kind is Kind.VIDEO] == [start]
    (film,) = library.search("blue", kind="video")
    assert (film.start, round(film.end or 0)) == (0.0, 10)  # of its sound: in its pictures is no blue


def test_of_hits_that_are_alike_the_first_to_come_is_first(library: glimpse.Library, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for name in ("b", "c", "a"):
        write_sound(tmp_path / "in" / f"{name}.wav", tone(3, LOW))
        library.index([tmp_path / "in"])
        (tmp_path / "in" / "other.wav").write_bytes(b"")
        write_sound(tmp_path / "in" / "other.wav", tone(2, HIGH))
        write_sound(tmp_path / "in" / f"{name}{name}.wav", tone(3.001, LOW))
        library.index()
    hits = library.search("red", kind="audio")
    assert names(hits)[:2] == ["a.wav", "aa.wav"]
    assert [len(hit.also) for hit in hits[:2]] == [2, 2]
    assert hits[0].id < hits[1].id


def test_a_sound_finds_photos_and_a_photo_finds_sounds(library: glimpse.Library, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for name, colour, hertz in (("red", RED, LOW), ("green", GREEN, MIDDLE), ("blue", BLUE, HIGH)):
        paint(tmp_path / "in" / f"{name}.png", colour)
        write_sound(tmp_path / "in" / f"{name}.ogg", tone(3, hertz))
    library.index([tmp_path / "in"])
    for name in ("red", "green", "blue"):
        sound, picture = tmp_path / "in" / f"{name}.ogg", tmp_path / "in" / f"{name}.png"
        assert names(library.similar(sound, k=1)) == [f"{name}.png"]
        assert names(library.similar(picture, k=1, kind="audio")) == [f"{name}.ogg"]
        assert library.search(str(sound), k=1)[0].score == pytest.approx(1, abs=CLOSE)
    mixed = library.search(str(tmp_path / "in" / "red.ogg"), plus=["2:blue"], kind="photo")
    assert names(mixed) == ["blue.png", "red.png", "green.png"]
    less = library.search(str(tmp_path / "in" / "red.ogg"), minus=["blue"], kind="audio")
    assert names(less) == ["green.ogg", "blue.ogg"]
    unknown = write_sound(tmp_path / "unknown.wav", tone(4, MIDDLE))
    assert names(library.search(str(unknown), k=2)) == ["green.png", "green.ogg"]


def test_a_film_has_the_tags_of_its_pictures(library: glimpse.Library, tmp_path: Path) -> None:
    film = write_film(tmp_path / "film.mp4", [(GREEN, 3.0)], sound=tone(3, LOW))
    assert library.suggest_tags(film, k=1)[0].name == "green"


def test_a_silent_sound_is_no_question(library: glimpse.Library, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    write_sound(tmp_path / "in" / "low.wav", tone(3, LOW))
    quiet = write_sound(tmp_path / "quiet.wav", silence(3))
    broken = tmp_path / "broken.ogg"
    broken.write_bytes(b"OggS" + bytes(40))
    library.index([tmp_path / "in"])
    with pytest.raises(QueryError, match=r"quiet\.wav is silent; there is nothing to look for$"):
        library.similar(quiet)
    with pytest.raises(QueryError, match=r"broken\.ogg cannot be used as a recording: the file is cut short"):
        library.similar(broken)


# --- while it is written to


def test_who_keeps_searching_hears_what_comes_in(library: glimpse.Library, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    paint(tmp_path / "in" / "green.png", GREEN)
    library.index([tmp_path / "in"])
    with opened(tmp_path) as searcher:
        assert names(searcher.search("red")) == ["green.png"]
        for number, hertz in enumerate((LOW, HIGH, MIDDLE)):
            write_sound(tmp_path / "in" / f"{number}.wav", tone(3 + number, hertz))
            library.index()
            with opened(tmp_path) as fresh:
                for words in ("red", "blue"):
                    assert searcher.search(words) == fresh.search(words)
        (tmp_path / "in" / "0.wav").unlink()
        library.index()
        assert "0.wav" not in names(searcher.search("red"))


def test_searches_beside_a_run_find_only_what_is_whole(library: glimpse.Library, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for number in range(12):
        write_film(tmp_path / "in" / f"{number:02}.mp4", [(RED, 2.0), (BLUE, 2.0)], sound=tone(4 + number / 9, LOW))
    paint(tmp_path / "in" / "a.png", RED)
    library.index([tmp_path / "in" / "a.png"])
    indexing = threading.Thread(target=library.index, args=([tmp_path / "in"],))
    seen = set[int]()
    half = (
        "SELECT c.id FROM contents c LEFT JOIN segments s ON s.content_id = c.id LEFT JOIN vectors v "
        "ON v.segment_id = s.id WHERE c.kind = 'video' GROUP BY c.id HAVING count(v.id) != 3"
    )
    with opened(tmp_path) as searcher:
        indexing.start()
        while indexing.is_alive():
            hits = searcher.search("red", k=100, kind="video")
            seen.add(len(hits))
            assert len({hit.id for hit in hits}) == len(hits)
            assert ask(searcher, half) == []
        indexing.join()
        assert len(searcher.search("red", k=100)) == 13
    assert max(seen) <= 12


def test_a_search_that_stays_open_listens_with_what_was_learned_since(
    library: glimpse.Library, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody else teaches the library: the ear is opened again, and only then."""
    opens = 0
    before = search.hearing.open_ear

    def counting(*args: object) -> object:
        nonlocal opens
        opens += 1
        return before(*args)  # type: ignore[arg-type]

    monkeypatch.setattr("search.hearing.open_ear", counting)
    (tmp_path / "in").mkdir()
    write_sound(tmp_path / "in" / "low.wav", tone(3, LOW))
    library.index([tmp_path / "in"])
    with opened(tmp_path) as searcher:
        for _ in range(3):
            searcher.search("red")
        assert opens == 1
        write_sound(tmp_path / "in" / "high.wav", tone(3, HIGH))
        library.index()
        for _ in range(3):
            searcher.search("red")
        assert opens == 2
