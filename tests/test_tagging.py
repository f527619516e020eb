"""Tags that learn: what people say of tags, what that makes of a content, and suggestions that follow from it."""

import math
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

import glimpse
from core.errors import LibraryError, QueryError, UnknownFileError
from core.types import Vector, Vectors
from encoders.base import unit
from encoders.fake import FakeEncoder
from media.xmp_write import with_tags
from search import owntags, tagging
from search.calibration import LEAST, calibrate
from search.owntags import _newest
from search.tagging import HALF, PRIOR, SPREAD, TEMPERATURE, VOTE, Tagger
from search.tags import TagBank
from store.reader import Reader
from store.tagging import (
    Examples,
    Verdict,
    clean,
    contents_at,
    effective,
    keywords_of,
    pictures_of,
    renamed,
    sample,
    tags_of,
    verdicts_of,
)
from store.writer import Writer
from tests.conftest import paint

ADDED, REMOVED, ACCEPTED, REJECTED = Verdict


# The algebra of verdicts


@pytest.mark.parametrize(
    ("keywords", "verdicts", "tags"),
    [
        ([], {}, []),
        (["a", "b", "a"], {}, ["a", "b"]),
        ([], {"a": ADDED}, ["a"]),
        ([], {"a": ACCEPTED}, ["a"]),
        ([], {"a": REMOVED}, []),
        ([], {"a": REJECTED}, []),
        (["a"], {"a": REMOVED}, []),
        (["a"], {"a": REJECTED}, []),
        (["a"], {"a": ADDED}, ["a"]),
        (["a", "b"], {"a": REMOVED, "c": ACCEPTED}, ["b", "c"]),
        (["a/b"], {"a": REMOVED}, ["a/b"]),  # a level above is another tag
    ],
)
def test_what_a_content_has(keywords: list[str], verdicts: dict[str, Verdict], tags: list[str]) -> None:
    assert effective(keywords, verdicts) == tags


@pytest.mark.parametrize(
    ("keywords", "verdicts", "names", "after", "tags"),
    [
        (["a"], {}, {"a": "b"}, {"a": REMOVED, "b": ADDED}, ["b"]),
        ([], {"a": ADDED}, {"a": "b"}, {"b": ADDED}, ["b"]),
        ([], {"a": ACCEPTED}, {"a": "b"}, {"b": ACCEPTED}, ["b"]),
        (["a"], {"a": ACCEPTED}, {"a": "b"}, {"a": REMOVED, "b": ACCEPTED}, ["b"]),
        ([], {"a": REJECTED}, {"a": "b"}, {"b": REJECTED}, []),
        (["a"], {"a": REMOVED}, {"a": "b"}, {"a": REMOVED, "b": REMOVED}, []),
        (["a", "b"], {}, {"a": "b"}, {"a": REMOVED}, ["b"]),  # a file says the new name already
        (["a", "b"], {"b": REMOVED}, {"a": "b"}, {"a": REMOVED}, ["b"]),  # refused, but had by the old name
        (["b"], {"a": REMOVED}, {"a": "b"}, {}, ["b"]),  # the old one was refused, but the new one is there
        ([], {"a": ADDED, "b": REJECTED}, {"a": "b"}, {"b": ADDED}, ["b"]),
        (["a/x"], {"a": ADDED}, {"a": "b", "a/x": "b/x"}, {"a/x": REMOVED, "b": ADDED, "b/x": ADDED}, ["b", "b/x"]),
        ([], {"a": ADDED}, {"a": "a/a", "a/a": "a/a/a"}, {"a/a": ADDED}, ["a/a"]),  # into itself
        (["a/a", "a"], {}, {"a": "a/a", "a/a": "a/a/a"}, {"a/a/a": ADDED, "a": REMOVED}, ["a/a", "a/a/a"]),
        (["c"], {"d": ADDED}, {"a": "b"}, {"d": ADDED}, ["c", "d"]),
    ],
)
def test_renaming(
    keywords: list[str],
    verdicts: dict[str, Verdict],
    names: dict[str, str],
    after: dict[str, Verdict],
    tags: list[str],
) -> None:
    assert renamed(keywords, verdicts, names) == after
    assert sorted(effective(keywords, after)) == tags


@pytest.mark.parametrize(
    ("name", "cleaned"),
    [
        ("beach", "beach"),
        ("  white   beach ", "white beach"),
        ("Places / Vienna/", "Places/Vienna"),
        ("//Places//Vienna", "Places/Vienna"),
        ("Places|Vienna", "Places/Vienna"),
        ("Cafe\u0301", "Caf\xe9"),
        ("夏休み", "夏休み"),
    ],
)
def test_names_are_cleaned(name: str, cleaned: str) -> None:
    assert clean(name) == cleaned


@pytest.mark.parametrize("name", ["", " ", "/", " | / ", "a\x1b[0m", "a\udcff", "a\u202eb", "x" * 200])
def test_what_is_no_name(name: str) -> None:
    with pytest.raises(QueryError, match="tag"):
        clean(name)


# In a library


def say(photo: Path, *keywords: str) -> None:
    """Have the sidecar of a photo say keywords."""
    photo.with_name(f"{photo.name}.xmp").write_bytes(with_tags(None, keywords))


def names(library: glimpse.Library, file: Path | None = None) -> dict[str, int]:
    return dict(library.tags(file))


def test_the_last_word_wins(library: glimpse.Library, photos: Path) -> None:
    red = photos / "red.png"
    say(red, "beach")
    library.index([photos])
    assert names(library) == {"beach": 1}
    assert library.remove_tag("beach", [red]) == 1
    assert names(library) == {}
    assert library.remove_tag("beach", [red]) == 0
    assert library.accept_tag("beach", [red]) == 1
    assert library.add_tag("beach", [red, photos / "blue.png"]) == 1
    assert names(library) == {"beach": 2}
    assert library.reject_tag("beach", [red]) == 1
    assert names(library, red) == {}
    assert names(library, photos) == {"beach": 1}


def test_upper_and_lower_case_are_one(library: glimpse.Library, photos: Path) -> None:
    say(photos / "red.png", "Beach")
    library.index([photos])
    library.add_tag("beach", [photos / "blue.png"])
    library.remove_tag("BEACH", [photos / "red.png"])
    assert names(library) == {"Beach": 1}
    library.rename_tag("beach", "beach")
    assert names(library) == {"beach": 1}


def test_copies_share_what_is_said(library: glimpse.Library, photos: Path) -> None:
    shutil.copy(photos / "red.png", photos / "copy.png")
    library.index([photos])
    library.add_tag("sea", [photos / "copy.png"])
    assert names(library, photos / "red.png") == {"sea": 1}
    assert names(library) == {"sea": 1}


def test_a_folder_stands_for_all_in_it(library: glimpse.Library, photos: Path) -> None:
    (photos / "in").mkdir()
    (photos / "in2").mkdir()
    for name in ("red", "blue"):
        (photos / f"{name}.png").rename(photos / "in" / f"{name}.png")
    (photos / "green.png").rename(photos / "in2" / "green.png")
    library.index([photos])
    assert library.add_tag("x", [photos / "in"]) == 2
    assert library.add_tag("y", [photos.parent]) == 4


def test_a_file_that_is_not_known_raises_before_anything_is_done(library: glimpse.Library, photos: Path) -> None:
    library.index([photos])
    with pytest.raises(UnknownFileError, match=r"nowhere\.png is not in the library"):
        library.add_tag("x", [photos / "red.png", photos / "nowhere.png"])
    told: list[UnknownFileError] = []
    assert names(library) == {}
    assert library.add_tag("x", [photos / "nowhere.png", photos / "red.png"], told.append) == 1
    assert len(told) == 1


def test_what_belongs_to_a_photo_stands_for_it(library: glimpse.Library, photos: Path) -> None:
    paint(photos / "IMG.jpg", (1, 2, 3))
    (photos / "IMG.dng").write_bytes(b"II*\0" + bytes(2000))
    library.index([photos])
    library.add_tag("x", [photos / "IMG.dng"])
    assert names(library, photos / "IMG.jpg") == {"x": 1}
    assert names(library) == {"x": 1}


def test_prune_keeps_tags_that_verdicts_use(library: glimpse.Library, photos: Path) -> None:
    say(photos / "blue.png", "gone")
    library.index([photos])
    library.add_tag("kept", [photos / "red.png"])
    library.reject_tag("refused", [photos / "red.png"])
    (photos / "blue.png").unlink()
    library.index()
    library.prune()
    with Reader(library.settings.library) as reader:
        assert {name for (name,) in reader.rows("SELECT name FROM tags")} == {"kept", "refused"}
    assert names(library) == {"kept": 1}


def test_verdicts_go_with_their_content(library: glimpse.Library, photos: Path) -> None:
    library.index([photos])
    library.add_tag("x", [photos / "red.png"])
    (photos / "red.png").unlink()
    library.index()
    assert names(library) == {}
    library.prune()
    with Reader(library.settings.library) as reader:
        assert reader.tally("verdicts") == 0


def test_renaming_goes_below_and_over_keywords(library: glimpse.Library, photos: Path) -> None:
    say(photos / "red.png", "Places/Vienna")
    say(photos / "white.png", "Placesque")
    library.index([photos])
    library.add_tag("Places", [photos / "blue.png"])
    library.accept_tag("Places/Rome", [photos / "green.png"])
    assert library.rename_tag("Places", "Orte") == 3
    assert names(library) == {"Orte": 1, "Orte/Rome": 1, "Orte/Vienna": 1, "Placesque": 1}
    assert library.rename_tag("Orte/Rome", "Orte/Vienna") == 1  # two become one
    assert names(library, photos) == {"Orte": 1, "Orte/Vienna": 2, "Placesque": 1}
    say(photos / "red.png", "Places/Vienna", "more")  # the file still says the old name
    library.index()
    assert names(library, photos / "red.png") == {"more": 1, "Orte/Vienna": 1}
    with pytest.raises(LibraryError, match="nothing has the tag 'Places'"):
        library.rename_tag("Places", "x")


def test_a_rename_holds_for_files_that_come_back(library: glimpse.Library, photos: Path, tmp_path: Path) -> None:
    say(photos / "red.png", "old")
    say(photos / "blue.png", "old")
    library.index([photos])
    (photos / "red.png").rename(tmp_path / "red.png")
    library.index()
    library.rename_tag("old", "new")
    (tmp_path / "red.png").rename(photos / "red.png")
    library.index()
    assert names(library) == {"new": 2}


def test_sidecars_agree_with_what_was_said(library: glimpse.Library, photos: Path) -> None:
    red, blue = photos / "red.png", photos / "blue.png"
    say(red, "day", "beach")
    library.index([photos])
    library.remove_tag("day", [red])
    library.add_tag("Places/Vienna", [red, blue])
    before = names(library, red), names(library, blue)
    assert [change.path.name for change in library.write_xmp(dry_run=True)] == ["blue.png.xmp", "red.png.xmp"]
    assert not (photos / "blue.png.xmp").exists()
    assert [change.path.name for change in library.write_xmp([blue])] == ["blue.png.xmp"]
    assert [change.path.name for change in library.write_xmp()] == ["red.png.xmp"]
    for _ in range(2):
        library.index()
        assert (names(library, red), names(library, blue)) == before
        assert list(library.write_xmp()) == []
    with Reader(library.settings.library) as reader:
        (key,) = contents_at(reader, red)
        assert set(keywords_of(reader, [key])[key]) == {"beach", "Places/Vienna"}
        assert verdicts_of(reader, [key])[key] == {"day": REMOVED, "Places/Vienna": ADDED}
    assert list(library.undo_xmp()) == [photos / "red.png.xmp"]
    library.index()
    assert names(library, red) == before[0]  # the file says "day" again, and it stays removed


# Suggestions


VOCABULARY = "tag\tgroup\tparent\nred\tcolours\t\ngreen\tcolours\t\nblue\tcolours\t\nred blue\tmixed\tred\n"


@pytest.fixture
def bank(tmp_path: Path) -> TagBank:
    (tmp_path / "tags.tsv").write_text(VOCABULARY)
    return TagBank(FakeEncoder(), tmp_path / "cache", tmp_path / "tags.tsv")


@pytest.fixture
def shades(library: glimpse.Library, tmp_path: Path) -> Path:
    """Twelve photos of different colours, of which the library knows all."""
    folder = tmp_path / "shades"
    folder.mkdir()
    for number in range(12):
        paint(folder / f"{number:02}.png", (20 * number, 250 - 15 * number, (number * 67) % 250))
    library.index([folder])
    return folder


@pytest.fixture
def reader(library: glimpse.Library, shades: Path) -> Iterator[Reader]:
    with Reader(library.settings.library) as reader:
        yield reader


def vector_of(reader: Reader, path: Path) -> tuple[int, Vector]:
    space = reader.space()
    assert space is not None
    ids, rows = pictures_of(reader, space, contents_at(reader, path))
    return int(ids[0]), rows[0]


def oracle(reader: Reader, bank: TagBank, own: Sequence[str], vector: Vector, asking: int) -> dict[str, float]:
    """Return the logits by the formula, one photo and one tag after another."""
    space = reader.space()
    assert space is not None
    keys = [key for (key,) in reader.rows("SELECT id FROM contents ORDER BY id")]
    rows = {key: pictures_of(reader, space, [key])[1][0] for key in keys}
    mean = reader.mean(space, "image")
    assert mean is not None
    photos = {key: unit(row - mean) for key, row in rows.items()}
    asked = unit(vector - mean)
    texts = dict(zip([w.tag for w in bank.words], bank.vectors, strict=True))
    texts |= {name: FakeEncoder().encode_texts([name.replace("/", " ")])[0] for name in own}
    pairs = [float(photos[a] @ photos[b]) for a in keys for b in keys if a != b]
    near = float(np.percentile(pairs, 98))
    has, said = tags_of(reader, keys), verdicts_of(reader, keys)
    value = {
        key: dict.fromkeys(has[key], 1) | {name: -1 for name, v in said.get(key, {}).items() if not v.has}
        for key in keys
    }
    voters = {key: math.exp((float(asked @ photos[key]) - near) / TEMPERATURE) for key in keys if value[key]}
    voters.pop(asking, None)
    logits = {}
    for name, text in texts.items():
        word = unit(text - bank.mean())
        cosines = np.array([float(photos[key] @ word) for key in keys])
        n = len(keys)
        spread = math.sqrt((n * cosines.var() + PRIOR * SPREAD**2) / (n + PRIOR))
        seen = (float(asked @ word) - cosines.sum() / (n + PRIOR)) / spread
        vote = sum(weight * value[key].get(name, 0) for key, weight in voters.items()) / (1 + sum(voters.values()))
        count = sum(1 for key in keys if key != asking and name in value[key])
        logits[name] = seen + count / (count + HALF) * VOTE * vote
    return logits


def test_the_blend_by_its_formula(
    library: glimpse.Library, shades: Path, reader: Reader, bank: TagBank, tmp_path: Path
) -> None:
    library.add_tag("Sea/Side", [shades / f"{number:02}.png" for number in (1, 2, 5)])
    library.accept_tag("blue", [shades / "03.png", shades / "07.png"])
    library.reject_tag("green", [shades / "02.png", shades / "04.png"])
    tagger = Tagger(reader, FakeEncoder(), bank)
    assert tagger.names == ["red", "green", "blue", "red blue", "Sea/Side"]
    for name in ("00.png", "02.png", "07.png", "11.png"):
        key, vector = vector_of(reader, shades / name)
        expected = oracle(reader, bank, ["Sea/Side"], vector, key)
        found = dict(zip(tagger.names, tagger.logits(vector[None], [key])[0].tolist(), strict=True))
        assert found == pytest.approx(expected, abs=2e-3)
        suggested = tagger.suggest(vector, key, 5)
        assert {tag.name: tag.score for tag in suggested} == pytest.approx(
            {tag.name: expected[tag.name] for tag in suggested}, abs=2e-3
        )


def test_a_vote_by_hand(library: glimpse.Library, shades: Path, reader: Reader, bank: TagBank) -> None:
    library.add_tag("mine", [shades / "03.png"])
    key, vector = vector_of(reader, shades / "03.png")
    tagger = Tagger(reader, FakeEncoder(), bank)
    tagger._near = 1.0  # the tagged photo is as near as the one without tags: each has half of the votes
    asked_anew = tagger.logits(vector[None], [None])[0]
    asked_itself = tagger.logits(vector[None], [key])[0]
    assert asked_anew[-1] - asked_itself[-1] == pytest.approx(1 / (1 + HALF) * VOTE / 2, abs=1e-3)
    assert asked_anew[:-1] == pytest.approx(asked_itself[:-1])


def test_without_a_library_the_order_is_that_of_the_cosines(bank: TagBank) -> None:
    tagger = Tagger(None, FakeEncoder(), bank)
    for photo in unit(np.random.default_rng(0).random((20, 3), np.float32)):
        plain, ours = bank.suggest(photo, None, 4), tagger.suggest(photo, None, 4)
        assert [tag.name for tag in ours] == [tag.name for tag in plain]
        assert [tag.score * SPREAD for tag in ours] == pytest.approx([tag.score for tag in plain], abs=1e-6)
        assert {(tag.examples, tag.confidence) for tag in ours} == {(0, None)}


def test_a_library_without_tags_suggests_too(library: glimpse.Library, shades: Path, reader: Reader) -> None:
    assert len(library.suggest_tags(shades / "00.png", k=3)) == 3


def test_hub_tags_calm_down(
    library: glimpse.Library, tmp_path: Path, bank: TagBank, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tagging, "PRIOR", 10)  # as if there were many more of them
    folder = tmp_path / "reddish"
    folder.mkdir()
    for number in range(40):  # all a little red, and none stands out by that; one in ten is green
        paint(folder / f"{number:02}.png", (200, 120 if number % 10 == 0 else 40, 90 + number))
    paint(folder / "asked.png", (200, 130, 100))
    library.index([folder])
    with Reader(library.settings.library) as reader:
        key, vector = vector_of(reader, folder / "asked.png")
        cosines = {tag.name: tag.score for tag in bank.suggest(vector, None, 9)}
        assert max(cosines, key=lambda name: cosines[name]) != "green"
        assert Tagger(reader, FakeEncoder(), bank).suggest(vector, key, 1)[0].name == "green"


def test_what_is_answered_is_not_suggested(
    library: glimpse.Library, shades: Path, reader: Reader, bank: TagBank
) -> None:
    key, vector = vector_of(reader, shades / "03.png")

    def suggested() -> set[str]:
        return {tag.name for tag in Tagger(reader, FakeEncoder(), bank).suggest(vector, key, 9)}

    assert suggested() == {"green", "blue", "red blue"}  # "red" is broader
    library.reject_tag("green", [shades / "03.png"])
    assert suggested() == {"blue", "red blue"}
    library.add_tag("Colours/Blue", [shades / "03.png"])  # which is the word, below a level of one's own
    library.add_tag("Colours", [shades / "04.png"])
    library.add_tag("Colours/Other", [shades / "05.png"])
    assert suggested() == {"red blue", "Colours/Other"}
    library.add_tag("red blue", [shades / "03.png"])
    assert suggested() == {"Colours/Other"}  # and not "red", which is above it
    library.add_tag("green", [shades / "03.png"])
    library.remove_tag("red blue", [shades / "03.png"])
    assert suggested() == {"Colours/Other", "red"}


def test_copies_share_what_was_rejected(library: glimpse.Library, shades: Path, tmp_path: Path) -> None:
    shutil.copy(shades / "03.png", tmp_path / "elsewhere.png")  # not indexed: known by its bytes
    first = library.suggest_tags(tmp_path / "elsewhere.png", k=1)[0].name
    library.reject_tag(first, [shades / "03.png"])
    assert first not in {tag.name for tag in library.suggest_tags(tmp_path / "elsewhere.png", k=2000)}


def test_examples_raise_a_tag_near_them_and_rejections_lower_it(
    library: glimpse.Library, tmp_path: Path, bank: TagBank
) -> None:
    folder = tmp_path / "many"
    folder.mkdir()
    for number in range(30):
        paint(folder / f"red{number:02}.png", (250, number, 0))
        paint(folder / f"blue{number:02}.png", (0, number, 250))
    library.index([folder])

    def logit(tag: str, name: str) -> float:
        with Reader(library.settings.library) as reader:
            key, vector = vector_of(reader, folder / name)
            tagger = Tagger(reader, FakeEncoder(), bank)
            return float(tagger.logits(vector[None], [key])[0][tagger.names.index(tag)])

    library.accept_tag("mine", [folder / "red10.png"])
    scores = [logit("mine", "red15.png")]
    for number in (11, 12, 13):
        library.accept_tag("mine", [folder / f"red{number}.png"])
        scores.append(logit("mine", "red15.png"))
    assert scores == sorted(scores)
    far = logit("mine", "blue15.png")
    assert scores[-1] > far + 1
    before, elsewhere = logit("green", "blue15.png"), logit("green", "red25.png")
    library.reject_tag("green", [folder / f"blue{number}.png" for number in range(10, 15)])
    assert logit("green", "blue15.png") < before - 0.5
    assert logit("green", "red25.png") == pytest.approx(elsewhere, abs=1e-3)


def test_of_a_branch_the_tag_that_fits_best_is_shown(
    library: glimpse.Library, shades: Path, reader: Reader, bank: TagBank
) -> None:
    key, vector = vector_of(reader, shades / "09.png")

    def branch() -> dict[str, int]:
        found = Tagger(reader, FakeEncoder(), bank).suggest(vector, key, 9)
        return {tag.name: tag.examples for tag in found if tag.group == "own"}

    library.add_tag("A", [shades / "00.png", shades / "01.png"])
    library.add_tag("A/B/C", [shades / f"{number:02}.png" for number in (8, 10, 11)])
    library.add_tag("AB", [shades / "00.png"])
    assert branch() == {"A/B/C": 3, "AB": 1}
    library.remove_tag("A/B/C", [shades])
    library.add_tag("A/B/C", [shades / "00.png"])
    library.add_tag("A", [shades / f"{number:02}.png" for number in (8, 10, 11)])
    assert branch() == {"A": 5, "AB": 1}
    library.add_tag("A/B/C", [shades / "09.png"])
    assert branch() == {"AB": 1}  # it has one below


def test_confidence_comes_with_answers(library: glimpse.Library, tmp_path: Path, bank: TagBank) -> None:
    folder = tmp_path / "many"
    folder.mkdir()
    for number in range(LEAST):
        colour = (250, 3 * number, 0) if number % 2 else (0, 3 * number, 250)
        paint(folder / f"{number:02}.png", colour)
    paint(folder / "asked.png", (240, 30, 10))
    library.index([folder])
    reds = [folder / f"{number:02}.png" for number in range(1, LEAST, 2)]
    blues = [folder / f"{number:02}.png" for number in range(0, LEAST, 2)]
    library.accept_tag("red", reds)
    library.reject_tag("red", blues[1:])

    def asked() -> list[tuple[float, float | None]]:
        with Reader(library.settings.library) as reader:
            key, vector = vector_of(reader, folder / "asked.png")
            return [(t.score, t.confidence) for t in Tagger(reader, FakeEncoder(), bank).suggest(vector, key, 9)]

    assert {confidence for _, confidence in asked()} == {None}
    library.reject_tag("red", blues[:1])
    found = asked()
    sure = [confidence for _, confidence in found if confidence is not None]
    assert len(sure) == len(found)
    assert sure == sorted(sure, reverse=True)
    assert 0 <= sure[-1] < 0.5 < sure[0] <= 1


def test_calibration_by_hand() -> None:
    scores = np.array([1.0] * 40 + [-1.0] * 40, np.float32)
    accepted = np.array([1.0] * 30 + [0.0] * 10 + [1.0] * 10 + [0.0] * 30, np.float32)
    found = calibrate(scores, accepted)
    assert found is not None
    # Platt's targets: 41 / 42 for yes, 1 / 42 for no; their mean at each score is what two free numbers fit.
    mean = (30 * 41 / 42 + 10 / 42) / 40
    assert found(1.0) == pytest.approx(mean, abs=1e-6)
    assert found(-1.0) == pytest.approx(1 - mean, abs=1e-6)
    assert found(-1e9) == 0
    assert found(1e9) == 1
    values = [found(score) for score in np.linspace(-20, 20, 100)]
    assert values == sorted(values)


@pytest.mark.parametrize(
    ("yes", "no", "upside_down"),
    [(20, 20, False), (LEAST, 4, False), (4, LEAST, False), (LEAST, 0, False), (40, 40, True)],
)
def test_no_calibration_from_little_or_from_nonsense(yes: int, no: int, upside_down: bool) -> None:
    scores = np.array([1.0] * yes + [-1.0] * no, np.float32) * (-1 if upside_down else 1)
    scores += np.random.default_rng(0).normal(0, 0.5, yes + no).astype(np.float32)
    assert calibrate(scores, np.array([1.0] * yes + [0.0] * no, np.float32)) is None


def test_calibration_of_answers_that_a_score_tells_apart_stays_finite() -> None:
    scores = np.concatenate([np.linspace(5, 9, 60), np.linspace(-9, 3, 60)]).astype(np.float32)
    found = calibrate(scores, (scores > 4).astype(np.float32))
    assert found is not None
    assert 0.5 < found(5.0) < 1
    assert 0 < found(3.0) < 0.5


# What votes


@pytest.mark.parametrize(
    ("pairs", "most", "kept"),
    [
        ([(1, 0), (2, 0), (3, 0)], 9, [1, 2, 3]),
        ([(1, 0), (2, 0), (3, 0)], 2, [2, 3]),
        ([(1, 7), (2, 0), (3, 0), (4, 0)], 2, [1, 4]),  # each tag's newest come before the second of any
        ([(1, 7), (2, 7), (3, 0), (4, 0), (5, 0)], 3, [2, 4, 5]),
    ],
)
def test_of_many_the_newest_of_each_tag_vote(pairs: list[tuple[int, int]], most: int, kept: list[int]) -> None:
    found = np.array(pairs, np.int64)
    examples = Examples(found[:, 0], found[:, 1], np.ones(len(found), np.int8), {}, [])
    assert _newest(examples, most).tolist() == kept


def test_few_may_vote(
    library: glimpse.Library, shades: Path, reader: Reader, bank: TagBank, monkeypatch: pytest.MonkeyPatch
) -> None:
    library.add_tag("mine", [shades])
    monkeypatch.setattr(owntags, "MOST", 3)
    monkeypatch.setattr(tagging, "NEIGHBOURS", 2)
    tagger = Tagger(reader, FakeEncoder(), bank)
    assert tagger._tagged.ids.tolist() == [10, 11, 12]
    assert tagger._having[-1] == 12
    assert np.isfinite(tagger.logits(vector_of(reader, shades / "09.png")[1][None], [10])).all()


def test_a_sample_has_all_of_a_small_library_and_some_of_a_large_one(reader: Reader) -> None:
    space = reader.space()
    assert space is not None
    ids, rows = sample(reader, space, 2000)
    assert ids.tolist() == list(range(1, 13))
    assert np.linalg.norm(rows, axis=1) == pytest.approx(np.ones(12))
    assert len(sample(reader, space, 5)[0]) == 5


def test_a_sample_of_nothing(tmp_path: Path) -> None:
    with Writer(tmp_path / "l") as writer:
        writer.add_space(FakeEncoder().space)
    with Reader(tmp_path / "l") as reader:
        space = reader.space()
        assert space is not None
        assert sample(reader, space, 10)[1].shape == (0, 3)


class Counting(FakeEncoder):
    """The fake encoder, which remembers what it was asked."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []

    def encode_texts(self, texts: Sequence[str]) -> Vectors:
        self.asked += texts
        return super().encode_texts(texts)


def test_vectors_of_own_tags_are_made_once(tmp_path: Path) -> None:
    encoder = Counting()
    first = TagBank(encoder, tmp_path).encoded(["Places/Red", "Blue"])
    again = TagBank(encoder, tmp_path).encoded(["Blue", "Green", "Places/Red"])
    assert encoder.asked == ["Places Red", "Blue", "Green"]
    assert np.array_equal(again[[2, 0]], first)
    assert TagBank(encoder, tmp_path).encoded([]).shape == (0, 3)


def test_a_tagger_is_opened_anew_when_tags_were_given(library: glimpse.Library, shades: Path) -> None:
    first = library.suggest_tags(shades / "03.png", k=1)[0].name
    opened = library._open_suggester()
    assert library._open_suggester() is opened
    with glimpse.Library(library.settings) as other:
        other.add_tag(first, [shades / "03.png"])
    assert library.suggest_tags(shades / "03.png", k=1)[0].name != first
    assert library._open_suggester() is not opened
