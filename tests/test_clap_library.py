"""CLAP in a library of the built-in model: its own words, the bridge, what is learned upon it, and what if it goes.

CLAP is tiny and random, the captions and reference sounds are few; every answer is computed a second time, in NumPy.
"""

import shutil
import warnings
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from huggingface_hub import constants
from PIL import Image

import glimpse
from core.errors import QueryError
from core.resources import data_path
from core.settings import Settings
from core.types import Progress, Vector, Vectors
from encoders import bridge, learning, reference, registry
from encoders.base import Encoder
from encoders.captions import captions
from encoders.clap import ClapEncoder
from encoders.kept import kept
from encoders.learned import open_head
from glimpse import teaching
from media.photo import decode_photo
from media.recording import open_recording
from media.sound import windows
from search.compose import leading
from search.engine import EAR_GONE
from search.tags import read_vocabulary
from store.reader import Reader
from store.recordings import tower
from tests.conftest import DEMO
from tests.films import chirp, noise, tone, write_film, write_sound
from tests.test_ears import imported
from tests.tiny_clap import write_clap
from tests.tiny_models import into_hub

REPO = "laion/larger_clap_general"
CAPTIONS = captions()[::200]
REFERENCES = 10
SOUNDS = {
    "tone.wav": tone(2.0, 440),
    "hiss.wav": noise(2.0),
    "siren.wav": chirp(7.0),
    "long.wav": chirp(13.0, 90, 900),
}
PHOTOS = ("cat.png", "temple.jpg", "rocket.jpg")
ROUNDED = 2e-3
"""Rows are stored with 11 bits."""


@pytest.fixture(scope="module")
def clap_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return write_clap(tmp_path_factory.mktemp("clap"))


@pytest.fixture(scope="module")
def few() -> Iterator[None]:
    """Few captions and few reference sounds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bridge, "captions", lambda: CAPTIONS)
        patch.setattr(reference, "COUNT", REFERENCES)
        yield


@pytest.fixture(scope="module")
def own_cache(tmp_path_factory: pytest.TempPathFactory, cache: Path, builtin: Encoder) -> Path:
    """A cache with the exports of the user's own: what is made here with few captions stays out of that."""
    own = tmp_path_factory.mktemp("cache")
    for kind in ("models", "tags"):
        (own / kind).mkdir()
        for entry in (cache / kind).glob("*"):
            (own / kind / entry.name).symlink_to(entry)
    return own


@pytest.fixture(scope="module")
def media(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("media")
    for name in PHOTOS:
        (folder / name).write_bytes((DEMO / name).read_bytes())
    for name, samples in SOUNDS.items():
        write_sound(folder / name, samples)
    write_film(folder / "film.mp4", [((0, 90, 200), 3.0)], sound=tone(3.0, 900))
    return folder


@pytest.fixture(scope="module")
def made(
    tmp_path_factory: pytest.TempPathFactory, clap_files: Path, few: None, own_cache: Path, media: Path
) -> tuple[Path, list[Progress], glimpse.IndexReport]:
    """A library that was indexed with CLAP at hand, and what was told meanwhile."""
    place, told = tmp_path_factory.mktemp("made"), list[Progress]()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(constants, "HF_HUB_CACHE", str(place / "hub"))
        into_hub(REPO, clap_files)
        with glimpse.Library(Settings(place / "library", own_cache, model="builtin")) as library:
            report = library.index([media], told.append)
    return place / "library", told, report


@pytest.fixture
def snapshot(clap_files: Path, own_place: None) -> Path:
    return into_hub(REPO, clap_files)


@pytest.fixture
def library(made: tuple[Path, Any, Any], own_cache: Path, snapshot: Path) -> Iterator[glimpse.Library]:
    with glimpse.Library(Settings(made[0], own_cache)) as opened:
        yield opened


@pytest.fixture(scope="module")
def clap(made: tuple[Path, Any, Any], own_cache: Path) -> ClapEncoder:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(constants, "HF_HUB_CACHE", str(made[0].parent / "hub"))
        loaded = registry.sound_encoder(own_cache)
    assert loaded
    return loaded


def unit(rows: Any) -> Any:
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def heard(clap: ClapEncoder, path: Path) -> Vectors:
    """Return the rows of a recording's windows."""
    with open_recording(path) as recording:
        return clap.encode_sounds([window.samples for window in windows(recording, clap.rate)])


@pytest.fixture(scope="module")
def rows(clap: ClapEncoder, media: Path) -> dict[str, Vectors]:
    """The windows of every sound in the library."""
    return {name: heard(clap, media / name) for name in (*SOUNDS, "film.mp4")}


@pytest.fixture(scope="module")
def mean(clap: ClapEncoder, rows: dict[str, Vectors]) -> Vector:
    """The mean of the library's windows, drawn towards the reference as if that were 200 windows more."""
    every = np.concatenate(list(rows.values()))
    references = np.stack([clap.encode_sounds([s])[0] for s in reference.reference_sounds(clap.rate)])
    assert len(references) == REFERENCES
    found: Vector = (every.sum(0) + 200 * references.mean(0)) / (len(every) + 200)
    return found


@pytest.fixture(scope="module")
def bridged(
    clap: ClapEncoder, builtin: Encoder, mean: Vector, own_cache: Path, made: object
) -> Callable[[Vectors], Vectors]:
    """The way into the joint space: ridge regression, as it stands in a textbook."""
    x, y = (unit(tower.encode_texts(CAPTIONS)) for tower in (clap, builtin))
    (file,) = (own_cache / "bridges").glob("*--*.npz")
    alpha = float((kept(file) or {})["alpha"])
    x, y = x - x.mean(0), y - y.mean(0)
    gram = x.T @ x
    ridge = np.linalg.solve(gram + alpha * np.trace(gram) / len(gram) * np.eye(len(gram)), x.T @ y)
    return lambda some: unit((some - mean) @ ridge)


def picture(builtin: Encoder, path: Path) -> Vector:
    return builtin.encode_images(decode_photo(path.read_bytes(), path.name, builtin.image_input).frames[0][None])[0]


def words(builtin: Encoder, text: str) -> Vector:
    return builtin.encode_texts([text])[0]


def best(rows: Mapping[str, Vectors], score: Callable[[Vectors], Any]) -> dict[str, float]:
    """Return, best first, the best of each recording's windows."""
    scores = {name: float(np.max(score(some))) for name, some in rows.items()}
    return dict(sorted(scores.items(), key=lambda one: -one[1]))


def told(hits: list[glimpse.Hit]) -> dict[str, float]:
    return {hit.path.name: hit.score for hit in hits}


def assert_same(found: dict[str, float], expected: dict[str, float]) -> None:
    assert found == pytest.approx(expected, abs=ROUNDED)
    assert len(expected) > 1
    order = [expected[name] for name in found]
    assert all(a >= b - ROUNDED for a, b in pairwise(order))


def sounds_of(library: glimpse.Library, query: str, **more: Any) -> dict[str, float]:
    """Return the recordings that a query finds by their sound: the film by its frames is another matter."""
    hits = library.search(query, kind="audio", **more)
    assert {hit.kind.value for hit in hits} == {"audio"}
    return told(hits)


AUDIO = tuple(SOUNDS)


# --- words


def test_words_find_sounds_by_claps_own_texts(
    library: glimpse.Library, clap: ClapEncoder, rows: dict[str, Vectors]
) -> None:
    text = clap.encode_texts(["a dog barks"])[0]
    expected = best({name: rows[name] for name in AUDIO}, lambda some: some @ text)
    assert_same(sounds_of(library, "a dog barks"), expected)


def test_several_words_are_summed_among_claps_own_texts(
    library: glimpse.Library, clap: ClapEncoder, rows: dict[str, Vectors], mean: Vector
) -> None:
    names = [word.tag for word in read_vocabulary(data_path("sounds.tsv"))]
    ordinary = clap.encode_texts(names).mean(0)
    rain, thunder, wind = unit(clap.encode_texts(["rain", "thunder", "wind"]) - ordinary)
    asked = unit(rain + 2 * thunder - wind)
    expected = best({name: rows[name] for name in AUDIO}, lambda some: unit(some - mean) @ asked)
    assert_same(sounds_of(library, "rain", plus=["2:thunder"], minus=["wind"]), expected)


def test_words_never_wait_for_the_bridge(
    library: glimpse.Library, monkeypatch: pytest.MonkeyPatch, media: Path
) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("the bridge was opened")

    monkeypatch.setattr(bridge, "open_bridge", refuse)
    for more in ({}, {"plus": ["rain"]}, {"minus": ["2:rain"]}):
        for kind in (None, "audio", "video", "photo"):
            assert library.search("thunder", kind=kind, **more)
    with pytest.raises(AssertionError, match="the bridge was opened"):
        library.search(str(media / "cat.png"), kind="audio")


def test_words_need_nothing_heavy(made: tuple[Path, Any, Any], snapshot: Path, own_cache: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GLIMPSE_CACHE", str(own_cache))
        for options in ([], ["--kind", "audio"], ["--plus", "rain"]):
            *hits, last = imported(made[0], "thunder", *options).splitlines()
            assert [hit for hit in hits if ".wav" in hit]
            assert last == "0 []"


# --- over the bridge


def test_a_photo_finds_sounds(
    library: glimpse.Library, builtin: Encoder, rows: dict[str, Vectors], bridged: Any, media: Path
) -> None:
    asked = picture(builtin, media / "cat.png")[: builtin.space.shared_dim]
    width = builtin.space.shared_dim
    expected = best({name: rows[name] for name in AUDIO}, lambda some: bridged(some)[:, :width] @ unit(asked))
    assert_same(sounds_of(library, str(media / "cat.png")), expected)


def test_a_sound_finds_photos(
    library: glimpse.Library, builtin: Encoder, rows: dict[str, Vectors], bridged: Any, media: Path
) -> None:
    asked = unit(bridged(rows["long.wav"]).mean(0))
    expected = {name: picture(builtin, media / name) @ asked / builtin.space.shared_norm for name in PHOTOS}
    assert_same(told(library.search(str(media / "long.wav"), kind="photo")), expected)


@pytest.mark.parametrize("name", ["cat.png", "rocket.jpg"])
def test_a_photo_without_a_word_with_a_sound(
    name: str, library: glimpse.Library, builtin: Encoder, rows: dict[str, Vectors], bridged: Any, media: Path
) -> None:
    width = builtin.space.shared_dim
    photo = unit(picture(builtin, media / name)[:width])
    sound = unit(bridged(rows["hiss.wav"]).mean(0))[:width]
    asked = unit(photo - words(builtin, "cat")[:width] + 2 * sound)
    others = {other: picture(builtin, media / other)[:width] for other in PHOTOS if other != name}
    found = library.search(str(media / name), minus=["cat"], plus=[f"2:{media / 'hiss.wav'}"], kind="photo")
    assert_same(told(found), {other: float(unit(row) @ asked) for other, row in others.items()})
    sounds = {other: rows[other] for other in AUDIO if other != "hiss.wav"}
    found = library.search(str(media / name), minus=["cat"], plus=[f"2:{media / 'hiss.wav'}"], kind="audio")
    assert_same(told(found), best(sounds, lambda some: bridged(some)[:, :width] @ asked))


def test_a_sound_gets_the_names_of_sounds(
    library: glimpse.Library, clap: ClapEncoder, rows: dict[str, Vectors], mean: Vector, media: Path
) -> None:
    names = [word.tag for word in read_vocabulary(data_path("sounds.tsv"))]
    texts = clap.encode_texts(names)
    scores = unit(texts - texts.mean(0)) @ unit(unit(rows["siren.wav"].mean(0)) - mean)
    first, *_ = library.suggest_tags(media / "siren.wav")
    assert (first.name, first.score) == (names[int(scores.argmax())], pytest.approx(float(scores.max()), abs=ROUNDED))


def test_the_only_sound_of_a_library_is_not_its_own_mean(
    tmp_path: Path, own_cache: Path, snapshot: Path, few: None, media: Path
) -> None:
    with glimpse.Library(Settings(tmp_path / "library", own_cache, model="builtin")) as library:
        library.index([media / "tone.wav"])
        assert library.suggest_tags(media / "tone.wav")[0].score > 0.1
        assert library.search(str(media / "cat.png"), kind="audio")[0].score != 0


# --- the bridge is fitted when the sounds are taken in


def test_the_bridge_is_fitted_at_the_end_of_the_run(
    made: tuple[Path, list[Progress], glimpse.IndexReport], own_cache: Path
) -> None:
    _, told, report = made
    assert (report.failures, report.notes, report.interrupted) == ([], [], False)
    stages = list(dict.fromkeys(progress.stage.partition(" (")[0] for progress in told))
    assert stages[-1].startswith("encoding reference sounds with sound:clap")
    assert [stage for stage in stages if "bridge" in stage or "captions" in stage] == [
        "encoding captions with sound:clap",
        "encoding captions with builtin",
        "fitting a bridge from sound:clap to builtin",
    ]


def test_without_sound_nothing_is_fitted(tmp_path: Path, own_cache: Path, snapshot: Path, media: Path) -> None:
    told: list[Progress] = []
    write_film(tmp_path / "silent.mp4", [((0, 90, 200), 2.0)])
    empty = fresh_cache(tmp_path, own_cache)
    with glimpse.Library(Settings(tmp_path / "library", empty, model="builtin")) as library:
        library.index([tmp_path / "silent.mp4", media / "cat.png"], told.append)
    assert not (empty / "bridges").exists() and not (empty / "captions").exists()


def fresh_cache(place: Path, own_cache: Path) -> Path:
    """Return a cache with models and nothing else."""
    cache = place / "cache"
    cache.mkdir()
    for kind in ("models", "tags"):
        (cache / kind).symlink_to(own_cache / kind)
    return cache


def test_a_run_that_is_stopped_while_it_fits_goes_on_later(
    tmp_path: Path, own_cache: Path, snapshot: Path, few: None, media: Path
) -> None:
    stopping, told = list[bool](), list[str]()

    def tell(progress: Progress) -> None:
        told.append(progress.stage)
        if progress.stage.startswith("encoding captions with builtin"):
            stopping.append(True)

    cache = fresh_cache(tmp_path, own_cache)
    with glimpse.Library(Settings(tmp_path / "library", cache, model="builtin")) as library:
        report = library.index([media / "tone.wav"], tell, stop=lambda: bool(stopping))
        assert (report.added, report.interrupted) == (1, True)
        assert not list((cache / "bridges").glob("*--*"))
        assert library.search("a dog barks")
        told.clear()
        report = library.index((), lambda progress: told.append(progress.stage))
    assert (report.encoded, report.interrupted) == (0, False)
    assert list((cache / "bridges").glob("*--*"))
    assert not [stage for stage in told if stage.startswith("encoding captions with sound:clap")]


def test_a_bridge_that_cannot_be_fitted_is_a_note(
    tmp_path: Path, own_cache: Path, snapshot: Path, media: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> Vectors:
        raise RuntimeError("[ONNXRuntimeError] : 6\nat node 7")

    monkeypatch.setattr(bridge, "text_vectors", fail)
    cache = fresh_cache(tmp_path, own_cache)
    with glimpse.Library(Settings(tmp_path / "library", cache, model="builtin")) as library:
        report = library.index([media / "tone.wav", media / "cat.png"])
        assert (report.added, report.interrupted) == (2, False)
        assert report.notes == ["sounds and pictures cannot find each other yet: [ONNXRuntimeError] : 6"]
        assert {hit.path.name for hit in library.search("a dog barks")} == {"tone.wav", "cat.png"}


# --- CLAP is not there any more


def test_weights_that_vanish_cost_sounds_and_nothing_else(
    tmp_path: Path, own_cache: Path, clap_files: Path, snapshot: Path, few: None, media: Path
) -> None:
    told: list[str] = []
    settings = Settings(tmp_path / "library", own_cache, model="builtin")
    with glimpse.Library(settings) as library:
        library.index([media / "tone.wav", media / "cat.png"])
    shutil.rmtree(snapshot.parent.parent)
    with glimpse.Library(settings, lambda progress: told.append(progress.stage)) as library:
        assert [hit.path.name for hit in library.search("cat")] == ["cat.png"]
        assert told == [f"no sound is searched: {EAR_GONE}."]
        assert library.search("cat", kind="photo") and len(told) == 1
        assert [(hit.path.name, hit.by_name) for hit in library.search("tone", kind="audio")] == [("tone.wav", True)]
        for ask in (library.similar, library.suggest_tags, library.search):
            with pytest.raises(
                QueryError, match="not on this machine any more; get it with: glimpse models get clap"
            ):
                ask(str(media / "tone.wav"))
        report = library.index([media / "hiss.wav"])
        assert report.added == 1 and len(report.notes) == 1 and "found by name only" in report.notes[0]
        (space,) = [space for space in library.status().spaces if space.modality == "sound"]
        assert space.vectors == 1
    into_hub(REPO, clap_files)
    with glimpse.Library(settings) as library:
        assert library.index().encoded == 1
        assert told_by_ear(library.search("rain", kind="audio")) == {"tone.wav", "hiss.wav"}


def told_by_ear(hits: list[glimpse.Hit]) -> set[str]:
    return {hit.path.name for hit in hits if not hit.by_name}


# --- what is learned upon it


def test_a_head_that_was_learned_takes_the_place_of_the_bridge(
    tmp_path: Path,
    own_cache: Path,
    snapshot: Path,
    few: None,
    clap: ClapEncoder,
    builtin: Encoder,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pairs = tmp_path / "pairs"
    pairs.mkdir()
    for number in range(10):  # two kinds of things, with two kinds of sounds
        kind = number % 2
        with Image.open(DEMO / ("cat.png", "rocket.jpg")[kind]) as picture_of:
            picture_of.convert("RGB").resize((200 + number, 200)).save(pairs / f"{number}.png")
        write_sound(pairs / f"{number}.wav", noise(1.0, seed=number) if kind else tone(1.0, 300.0 + 20 * number))
    monkeypatch.setattr(learning, "_FOLDS", 3)  # a third of the time
    monkeypatch.setattr(learning, "Plan", partial(learning.Plan, epochs=15))
    asked_with = DEMO / "temple.jpg"
    encoded: list[int] = []
    encode, learn = ClapEncoder.encode_sounds, teaching.learn_sound

    def counting(self: ClapEncoder, some: Any) -> Vectors:
        encoded.append(len(some))
        return encode(self, some)

    def learn_only(*arguments: Any) -> Any:
        report = learn(*arguments)
        encoded.clear()
        return report

    monkeypatch.setattr(ClapEncoder, "encode_sounds", counting)
    monkeypatch.setattr(teaching, "learn_sound", learn_only)
    with glimpse.Library(Settings(tmp_path / "library", own_cache, model="builtin")) as library:
        library.index([pairs])
        before = sounds_of(library, str(asked_with))
        report = library.learn_sound()
        assert report and report["kind"] == "head" and report["recordings"] == 10
        assert encoded == []  # what was stored is only mapped anew
        after = sounds_of(library, str(asked_with))
        assert encoded == []
        look = library.look_inside()
        units = look.units()
        assert {unit.number for unit in units} == set(range(look.count))
        shown = next(unit.moments[0] for unit in units if unit.moments)
        assert look.picture(shown.path, shown.shown)[:4] == b"RIFF"
    assert after != pytest.approx(before, abs=ROUNDED)
    with Reader(tmp_path / "library") as reader:
        space = reader.space("builtin")
        assert space
        head = open_head(tower(reader, space) or b"", builtin.space, clap.space)
    asked = leading(picture(builtin, asked_with), builtin.space.shared_dim)
    rows = {f"{number}.wav": heard(clap, pairs / f"{number}.wav") for number in range(10)}
    assert_same(after, best(rows, lambda some: head.rows(some) @ asked))


def test_learning_may_be_stopped_while_the_bridge_is_fitted(
    tmp_path: Path, own_cache: Path, snapshot: Path, few: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache, stopping = fresh_cache(tmp_path, own_cache), list[bool]()

    def tell(progress: Progress) -> None:
        if progress.stage.startswith("encoding captions"):
            stopping.append(True)

    for number in range(8):
        Image.new("RGB", (32, 32), (30 * number, 0, 0)).save(tmp_path / f"{number}.png")
        write_sound(tmp_path / f"{number}.wav", tone(1.0, 300.0 + 20 * number))
    with glimpse.Library(Settings(tmp_path / "library", cache, model="builtin")) as library:
        with monkeypatch.context() as patch:
            patch.setattr("glimpse.ready.get_ready", lambda *_: None)
            library.index([tmp_path])
        assert library.learn_sound((), tell, lambda: bool(stopping)) is None
    assert stopping == [True]
