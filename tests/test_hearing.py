"""What becomes of sounds and films as they live among photos: heard, found at their best moment, moved, gone."""

import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import encoders.ears
import glimpse
from core.errors import QueryError
from core.settings import Settings
from core.types import Kind, Pixels, Progress, Samples, Space, Vectors
from encoders.fake import FakeEncoder, FakeSounds
from media.isolated import DecodeProcess, Opened
from store.previews import Previews
from tests.conftest import COLOURS, paint
from tests.films import tone, write_film, write_sound
from tests.recordings import HIGH, LOW, MAKE, ask, blinded, counts, names, reasons, segments, told
from tests.scenes import XMP

RED, GREEN, BLUE, WHITE = COLOURS.values()


@pytest.fixture
def opens(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the recordings that a decode process opens."""
    opened: list[str] = []
    before = DecodeProcess.open

    def counting(self: DecodeProcess, path: bytes) -> Opened:
        opened.append(os.path.basename(os.fsdecode(path)))
        return before(self, path)

    monkeypatch.setattr(DecodeProcess, "open", counting)
    return opened


@pytest.fixture
def work(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How many pictures and windows were encoded."""
    count: Counter[str] = Counter()
    images, sounds = FakeEncoder.encode_images, FakeSounds.encode_sounds

    def encode_images(self: FakeEncoder, pixels: Pixels) -> Vectors:
        count["pictures"] += len(pixels)
        return images(self, pixels)

    def encode_sounds(self: FakeSounds, windows: list[Samples]) -> Vectors:
        count["windows"] += len(windows)
        return sounds(self, windows)

    monkeypatch.setattr(FakeEncoder, "encode_images", encode_images)
    monkeypatch.setattr(FakeSounds, "encode_sounds", encode_sounds)
    return count


@pytest.fixture
def ear(monkeypatch: pytest.MonkeyPatch) -> Callable[[FakeSounds | None], None]:
    """Have another ear than the fake model's own, or none."""

    def has(other: FakeSounds | None) -> None:
        monkeypatch.setattr(encoders.ears, "sound_encoder", lambda *_, **__: other)

    return has


class OtherEar(FakeSounds):
    """A later version of the fake ear: low tones are blue, and high ones red."""

    def __init__(self) -> None:
        super().__init__()
        self.space = Space("sound:fake", "2", 3, 3)

    def _bands(self, samples: Samples) -> list[float]:
        return super()._bands(samples)[::-1]


# --- taking in


def test_sounds_films_and_photos_are_taken_in_together(
    library: glimpse.Library, put: Callable[..., Path], work: Counter[str]
) -> None:
    folder = put("low.flac", "long.flac", "film.mp4", "mute.mp4", "hushed.mp4", "silent.wav", "voice.mp4")
    paint(folder / "green.png", GREEN)
    report = library.index([folder])
    assert counts(report) == {"added": 8, "encoded": 7}
    assert report.notes == []
    assert segments(library, folder / "low.flac") == [("sound:fake", "window", 0.0, 3.0)]
    assert segments(library, folder / "long.flac") == [
        ("sound:fake", "window", start, min(start + 10.0, 22.0)) for start in (0.0, 5.0, 10.0, 15.0)
    ]
    assert segments(library, folder / "film.mp4") == [
        ("fake", "frame", 0.0, 3.0),
        ("sound:fake", "window", 0.0, 6.0),
        ("fake", "frame", 3.0, 6.0),
    ]
    assert [kind for _, kind, _, _ in segments(library, folder / "mute.mp4")] == ["frame", "frame"]
    assert [kind for _, kind, _, _ in segments(library, folder / "hushed.mp4")] == ["frame"]
    assert segments(library, folder / "voice.mp4") == [("sound:fake", "window", 0.0, 3.0)]
    assert segments(library, folder / "silent.wav") == []
    assert work == {"pictures": 6, "windows": 7}
    kinds = {name: library.info(folder / name).kind for name in ("low.flac", "voice.mp4", "silent.wav", "mute.mp4")}
    assert kinds == {"low.flac": "audio", "voice.mp4": "audio", "silent.wav": "audio", "mute.mp4": "video"}
    status = library.status()
    assert (status.files, status.contents) == (8, 8)
    assert status.kinds == {"audio": 4, "video": 3, "photo": 1}
    assert [(space.model, space.vectors, space.missing) for space in status.spaces] == [
        ("fake", 6, 0),
        ("sound:fake", 7, 0),
    ]


def test_nothing_is_opened_again_while_it_stays_as_it_is(
    library: glimpse.Library, put: Callable[..., Path], opens: list[str], work: Counter[str]
) -> None:
    folder = put(*MAKE)
    (folder / "broken.ogg").write_bytes(b"OggS and nothing behind it")
    first = library.index([folder])
    assert reasons(first).keys() == {"broken.ogg"}
    assert set(opens) == {*MAKE, "broken.ogg"}
    opens.clear()
    work.clear()
    again = library.index()
    assert counts(again) == {"unchanged": len(MAKE), "failed": 1}
    assert (opens, work) == ([], {})
    (folder / "broken.ogg").write_bytes((folder / "high.ogg").read_bytes())
    assert counts(library.index()) == {"unchanged": len(MAKE), "added": 1}
    assert (opens, work) == (["broken.ogg"], {})


def test_what_is_written_in_recordings_is_told(library: glimpse.Library, put: Callable[..., Path]) -> None:
    folder = put("high.ogg", "film.mp4")
    library.index([folder])
    sound, film = (library.info(folder / name) for name in ("high.ogg", "film.mp4"))
    assert (sound.metadata.title, sound.metadata.artist) == ("Night call", "Ann Otter")
    assert sound.metadata.duration == pytest.approx(3, abs=0.1)
    assert (sound.size, sound.models) == (None, ("sound:fake",))
    assert film.metadata.title == "The pond"
    assert film.metadata.duration == pytest.approx(6, abs=0.1)
    assert (film.size, film.models) == ((64, 48), ("fake", "sound:fake"))


@pytest.mark.parametrize("name", ["high.ogg", "film.mp4"])
def test_sidecars_of_recordings_are_read_and_read_again(
    library: glimpse.Library, put: Callable[..., Path], opens: list[str], name: str
) -> None:
    folder = put(name)
    sidecar = folder / f"{name}.xmp"
    sidecar.write_text(XMP.format(stars=3, word="summer"), encoding="utf-8")
    library.index([folder])
    metadata = library.info(folder / name).metadata
    assert (metadata.rating, metadata.keywords) == (3, ("summer",))
    assert metadata.title in ("Night call", "The pond")
    opens.clear()
    sidecar.write_text(XMP.format(stars=5, word="autumn"), encoding="utf-8")
    os.utime(sidecar, ns=(1, 1))
    assert counts(library.index()) == {"unchanged": 1}
    again = library.info(folder / name).metadata
    assert (again.rating, again.keywords, again.title) == (5, ("autumn",), metadata.title)
    assert opens == []


def test_recordings_have_previews(library: glimpse.Library, put: Callable[..., Path]) -> None:
    folder = put("high.ogg", "film.mp4")
    library.index([folder])
    assert library.status().previews == 2
    hits = {hit.path.name: hit for hit in library.search("red")}
    shutil.rmtree(library.settings.library / "previews")
    for hit in hits.values():
        assert library.preview(hit)[8:12] == b"WEBP"


def test_a_dry_run_counts_recordings_and_opens_none(
    library: glimpse.Library, put: Callable[..., Path], opens: list[str]
) -> None:
    folder = put("low.flac", "film.mp4")
    assert counts(library.index([folder], dry_run=True)) == {"added": 2}
    assert not library.exists()
    library.index([folder])
    opens.clear()
    (folder / "low.flac").write_bytes((put("long.flac") / "long.flac").read_bytes())
    assert counts(library.index(dry_run=True)) == {"added": 1, "changed": 1, "unchanged": 1}
    assert opens == []


# --- the lives of files


def test_the_life_of_a_recording(
    library: glimpse.Library, put: Callable[..., Path], opens: list[str], work: Counter[str]
) -> None:
    """Renamed, copied, touched, gone, back: it is encoded once."""
    folder = put("film.mp4", "low.flac")
    library.index([folder])
    done = dict(work)
    opens.clear()
    (folder / "film.mp4").rename(folder / "renamed.mp4")
    (folder / "low.flac").rename(folder / "renamed.flac")
    assert counts(library.index()) == {"moved": 2}
    assert opens == []  # the same inode
    shutil.copy(folder / "renamed.mp4", folder / "copy.mp4")
    shutil.copy(folder / "renamed.flac", folder / "copy.flac")
    assert counts(library.index()) == {"added": 2, "unchanged": 2}
    (film,) = library.search("red", kind="video")
    (sound,) = library.search("red", kind="audio")
    assert [names([film]), [path.name for path in film.also]] == [["copy.mp4"], ["renamed.mp4"]]
    assert [names([sound]), [path.name for path in sound.also]] == [["copy.flac"], ["renamed.flac"]]
    os.utime(folder / "copy.mp4", ns=(10**18, 10**18))
    assert counts(library.index()) == {"unchanged": 4}
    elsewhere = folder.parent / "elsewhere"
    elsewhere.mkdir()
    for path in list(folder.iterdir()):
        path.rename(elsewhere / path.name)
    paint(folder / "left.png", WHITE)
    assert counts(library.index()) == {"added": 1, "gone": 4, "encoded": 1}
    assert names(library.search("red")) == ["left.png"]
    for path in list(elsewhere.iterdir()):
        path.rename(folder / path.name)
    assert counts(library.index()) == {"added": 4, "unchanged": 1}
    assert names(library.search("red", k=2)) == ["copy.mp4", "copy.flac"]
    assert work == {**done, "pictures": done["pictures"] + 1}


def test_a_changed_recording_is_found_as_what_it_is_now(library: glimpse.Library, put: Callable[..., Path]) -> None:
    folder = put("low.flac", "film.mp4")
    library.index([folder])
    write_sound(folder / "low.flac", tone(4, HIGH))
    write_film(folder / "film.mp4", [(GREEN, 4.0)])
    assert counts(library.index()) == {"changed": 2, "encoded": 2}
    assert told(library.search("blue", kind="audio")) == [("low.flac", Kind.AUDIO, 0.0, 4.0)]
    assert told(library.search("green", kind="video")) == [("film.mp4", Kind.VIDEO, 0.0, 4.0)]


def test_prune_forgets_recordings_that_are_gone(library: glimpse.Library, put: Callable[..., Path]) -> None:
    folder = put("low.flac", "long.flac", "film.mp4")
    library.index([folder])
    for name in ("long.flac", "film.mp4"):
        (folder / name).unlink()
    library.index()
    assert library.prune() == 2
    assert ask(library, "SELECT kind, count(*) FROM segments GROUP BY kind") == [("window", 1)]
    assert ask(library, "SELECT count(*) FROM vectors") == [(1,)]
    assert Previews(library.settings.library).count()[0] == 1
    assert names(library.search("red")) == ["low.flac"]


def test_two_copies_in_one_run_are_gone_through_once(
    library: glimpse.Library, put: Callable[..., Path], work: Counter[str]
) -> None:
    folder = put("film.mp4", "blind.mp4", "silent.wav")
    for name in ("film.mp4", "blind.mp4", "silent.wav"):
        shutil.copy(folder / name, folder / f"a copy of {name}")
    report = library.index([folder])
    assert counts(report) == {"added": 6, "encoded": 2, "damaged": 2}
    assert work == {"pictures": 2, "windows": 2}
    assert counts(library.index()) == {"unchanged": 6}
    assert ask(library, "SELECT kind, heard FROM contents ORDER BY kind") == [
        ("audio", 1),
        ("audio", 1),
        ("video", 1),
    ]
    assert [len(hit.also) for hit in library.search("red")] == [1, 1]


@pytest.mark.parametrize("name", ["photo.jpg", "no-name-at-all", "photo.heic"])
@pytest.mark.parametrize("what", ["low.flac", "film.mp4"])
def test_a_recording_is_told_by_its_bytes(
    library: glimpse.Library, put: Callable[..., Path], opens: list[str], what: str, name: str
) -> None:
    folder = put(what)
    (folder / what).rename(folder / name)
    assert counts(library.index([folder])) == {"added": 1, "encoded": 1}
    kind = Kind.AUDIO if what == "low.flac" else Kind.VIDEO
    assert told(library.search("red")) == [(name, kind, 0.0, 3.0)]
    assert {row[1] for row in segments(library, folder / name)} >= {"window"}
    opens.clear()
    assert counts(library.index()) == {"unchanged": 1}
    assert opens == []


@pytest.mark.parametrize("what", ["low.flac", "film.mp4"])
def test_the_preview_of_a_recording_is_never_taken_for_a_photo(
    library: glimpse.Library, put: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """Another model takes photos from their previews, and a spectrogram is none."""
    folder = put(what)
    (folder / what).rename(folder / "photo.jpg")
    library.index([folder])
    before = segments(library, folder / "photo.jpg")
    monkeypatch.setattr(FakeEncoder, "__init__", _revised)
    assert library.index().notes == []
    assert {row[1] for row in segments(library, folder / "photo.jpg")} == {row[1] for row in before}
    assert ask(library, "SELECT count(*) FROM segments WHERE kind = 'whole'") == [(0,)]


def _revised(self: FakeEncoder) -> None:
    plain = FakeEncoder.__new__(FakeEncoder)
    _original(plain)
    self.space, self.image_input = Space("fake", "2", 3, 3), plain.image_input


_original = FakeEncoder.__init__


def test_a_photo_with_the_name_of_a_recording_is_a_photo(library: glimpse.Library, tmp_path: Path) -> None:
    paint(tmp_path / "red.png", RED)
    (tmp_path / "in").mkdir()
    (tmp_path / "red.png").rename(tmp_path / "in" / "song.mp3")
    assert counts(library.index([tmp_path / "in"])) == {"added": 1, "encoded": 1}
    assert told(library.search("red")) == [("song.mp3", Kind.PHOTO, None, None)]
    assert counts(library.index()) == {"unchanged": 1}


# --- damage


def test_a_film_without_pictures_to_decode_is_heard(library: glimpse.Library, put: Callable[..., Path]) -> None:
    folder = put("blind.mp4")
    assert counts(library.index([folder])) == {"added": 1, "encoded": 1, "damaged": 1}
    assert told(library.search("red")) == [("blind.mp4", Kind.AUDIO, 0.0, 3.0)]
    assert counts(library.index()) == {"unchanged": 1}


def test_a_film_of_which_nothing_can_be_decoded_is_a_failure(
    library: glimpse.Library, put: Callable[..., Path], opens: list[str]
) -> None:
    folder = put()
    blinded(write_film(folder / "broken.mp4", [(RED, 3.0)]))
    report = library.index([folder])
    assert reasons(report) == {"broken.mp4": "damaged: none of its pictures can be decoded"}
    opens.clear()
    assert counts(library.index()) == {"failed": 1}
    assert opens == []


def test_a_recording_that_breaks_keeps_nothing_of_what_it_was(
    library: glimpse.Library, put: Callable[..., Path]
) -> None:
    folder = put("low.flac", "film.mp4")
    library.index([folder])
    for name in ("low.flac", "film.mp4"):
        (folder / name).write_bytes((folder / name).read_bytes()[:20])
    assert counts(library.index()) == {"failed": 2}
    assert library.search("red") == []
    assert [failure.path.name for failure in library.failures()] == ["film.mp4", "low.flac"]


# --- interrupted


class Stopping:
    """Stops a run once something happened `after` times."""

    def __init__(self, after: int) -> None:
        self.left = after

    def happened(self) -> None:
        self.left -= 1

    def __call__(self) -> bool:
        return self.left <= 0


def test_a_stop_in_the_middle_of_a_long_film_loses_no_more_than_that_film(
    library: glimpse.Library, put: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, work: Counter[str]
) -> None:
    folder = put("high.ogg", "low.flac")
    (folder / "low.flac").rename(folder / "z.flac")
    colours = [(RED, 1.0), (BLUE, 1.0), (GREEN, 1.0)]
    write_film(folder / "long.mp4", colours * 20, sound=tone(60, LOW), rate=5, gop=5)
    paint(folder / "photo.png", WHITE)
    stop = Stopping(3)
    encode = FakeEncoder.encode_images

    def counted(self: FakeEncoder, pixels: Pixels) -> Vectors:
        stop.happened()
        return encode(self, pixels)

    with monkeypatch.context() as patch:
        patch.setattr(FakeEncoder, "encode_images", counted)
        report = library.index([folder], stop=stop)
    assert report.interrupted
    assert counts(report) == {"added": 2, "encoded": 2}
    assert sorted(names(library.search("red"))) == ["high.ogg", "photo.png"]
    assert ask(library, "SELECT count(*) FROM segments") == [(2,)]
    work.clear()
    assert counts(library.index()) == {"added": 2, "unchanged": 2, "encoded": 2}
    assert work == {"pictures": 60, "windows": 12}
    assert names(library.search("red", k=1)) == ["long.mp4"]


# --- another ear, or none


def test_an_ear_that_appears_hears_what_was_taken_in_without(
    library: glimpse.Library,
    put: Callable[..., Path],
    ear: Callable[[FakeSounds | None], None],
    opens: list[str],
    work: Counter[str],
) -> None:
    folder = put("low.flac", "film.mp4", "mute.mp4", "silent.wav")
    paint(folder / "green.png", GREEN)
    ear(None)
    report = library.index([folder])
    assert counts(report) == {"added": 5, "encoded": 3}
    (note,) = report.notes
    assert note.startswith("2 sounds are found by name only: nothing hears for 'fake' yet; glimpse learn-sound")
    opens.clear()
    again = library.index()
    assert (counts(again), again.notes, opens) == ({"unchanged": 5}, [], [])
    assert {space.model: space.missing for space in library.status().spaces} == {"fake": 0}
    pictures = work["pictures"]
    ear(FakeSounds())
    assert counts(library.index()) == {"added": 4, "unchanged": 1, "encoded": 2}
    assert work == {"pictures": pictures, "windows": 2}
    assert names(library.search("red", kind="audio")) == ["low.flac"]
    opens.clear()
    assert counts(library.index()) == {"unchanged": 5}
    assert opens == []


def test_a_new_version_of_an_ear_hears_everything_anew(
    library: glimpse.Library,
    put: Callable[..., Path],
    ear: Callable[[FakeSounds | None], None],
    opens: list[str],
    work: Counter[str],
) -> None:
    folder = put("low.flac", "high.ogg", "film.mp4", "silent.wav")
    library.index([folder])
    assert names(library.search("red", kind="audio", k=1)) == ["low.flac"]
    done, version = dict(work), OtherEar()
    ear(version)
    stop = Stopping(1)

    def progress(told: Progress) -> None:
        if told.done:
            stop.happened()

    halfway = library.index([folder], stop=stop, progress=progress)
    assert halfway.interrupted
    spaces = "SELECT revision FROM spaces WHERE modality = 'sound' ORDER BY id"
    assert ask(library, spaces) == [("1",), ("2",)]
    report = library.index()
    assert not report.notes
    assert work == {"pictures": done["pictures"], "windows": 2 * done["windows"]}
    assert opens.count("silent.wav") == 1
    assert ask(library, spaces) == [("2",)]
    assert [(space.model, space.vectors, space.missing) for space in library.status().spaces] == [
        ("fake", 2, 0),
        ("sound:fake", 3, 0),
    ]
    assert names(library.search("red", kind="audio", k=1)) == ["high.ogg"]
    assert counts(library.index()) == {"unchanged": 4}


def test_an_ear_that_vanishes_takes_nothing_with_it(
    library: glimpse.Library,
    put: Callable[..., Path],
    ear: Callable[[FakeSounds | None], None],
    opens: list[str],
    work: Counter[str],
) -> None:
    folder = put("low.flac", "film.mp4")
    library.index([folder])
    ear(None)
    opens.clear()
    assert counts(library.index()) == {"unchanged": 2}
    assert opens == []
    put("high.ogg")
    report = library.index()
    assert counts(report) == {"added": 1, "unchanged": 2}
    assert [note.partition(":")[0] for note in report.notes] == ["1 sound is found by name only"]
    work.clear()
    ear(FakeSounds())
    assert counts(library.index()) == {"added": 1, "unchanged": 2, "encoded": 1}
    assert work == {"windows": 1}


# --- found by name


@pytest.fixture
def deaf(
    tmp_path: Path, cache: Path, put: Callable[..., Path], ear: Callable[[FakeSounds | None], None]
) -> Iterator[tuple[glimpse.Library, list[str]]]:
    """A library whose model does not hear, and what it says: three sounds, a film, two photos."""
    ear(None)
    folder = put("high.ogg", "low.flac", "middle.mp3", "film.mp4")
    (folder / "middle.mp3").rename(folder / "Night at the pond, frogs.mp3")
    (folder / "low.flac.xmp").write_text(XMP.format(stars=3, word="Places/Lake"), encoding="utf-8")
    paint(folder / "night.png", BLUE)
    paint(folder / "red.png", RED)
    said: list[str] = []

    def say(progress: Progress) -> None:
        said.append(progress.stage)

    with glimpse.Library(Settings(tmp_path / "library", cache, "fake"), say) as library:
        library.index([folder])
        said.clear()
        yield library, said


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("high", ["high.ogg"]),
        ("night", ["Night at the pond, frogs.mp3", "high.ogg"]),
        ("NIGHT call", ["high.ogg"]),
        ("otter", ["high.ogg"]),
        ("call otter high", ["high.ogg"]),
        ("lake", ["low.flac"]),
        ("lake otter", []),
        ("pond", ["Night at the pond, frogs.mp3"]),
        ("red", []),
        ("100%", []),
    ],
)
def test_without_an_ear_sounds_are_found_by_all_the_words(
    deaf: tuple[glimpse.Library, list[str]], words: str, found: list[str]
) -> None:
    library, said = deaf
    hits = library.search(words, kind="audio")
    assert names(hits) == found
    assert all(hit.by_name and hit.score == 0 and hit.start is None for hit in hits)
    assert len([line for line in said if "sounds are found by name only: nothing hears for" in line]) == 1
    by_name = [hit for hit in library.search(words) if hit.by_name and hit.kind == "audio"]
    assert names(by_name) == found


def test_names_stand_between_what_is_seen(deaf: tuple[glimpse.Library, list[str]]) -> None:
    library, said = deaf
    hits = library.search("night red")
    assert names(hits)[:2] == ["red.png", "film.mp4"]
    assert not any(hit.by_name for hit in hits)
    hits = library.search("red night", kind="photo")
    assert names(hits) == ["red.png", "night.png"]
    found = names(library.search("night"))
    assert sorted(found[::2]) == ["film.mp4", "night.png", "red.png"]
    assert found[1::2] == ["Night at the pond, frogs.mp3", "high.ogg"]
    assert said == []  # only whoever asks for sounds is told how they are found


def test_names_are_found_in_their_folder(deaf: tuple[glimpse.Library, list[str]], tmp_path: Path) -> None:
    library, _ = deaf
    (tmp_path / "in" / "deep").mkdir()
    shutil.copy(tmp_path / "in" / "high.ogg", tmp_path / "in" / "deep" / "other.ogg")
    library.index()
    (hit,) = library.search("call", kind="audio", within=tmp_path / "in" / "deep")
    assert (hit.path.name, [path.name for path in hit.also]) == ("other.ogg", ["high.ogg"])
    assert library.search("lake", kind="audio", within=tmp_path / "in" / "deep") == []


def test_without_an_ear_a_sound_is_no_question(deaf: tuple[glimpse.Library, list[str]], tmp_path: Path) -> None:
    library, _ = deaf
    sound = tmp_path / "in" / "high.ogg"
    said = (
        r"^nothing hears for the model 'fake' yet: teach it with your own recordings \(glimpse learn-sound\), "
        r"or have it use CLAP \(glimpse models get clap\)$"
    )
    for asked in (
        lambda: library.search(str(sound)),
        lambda: library.search("red", plus=[str(sound)]),
        lambda: library.similar(sound),
        lambda: library.suggest_tags(sound),
    ):
        with pytest.raises(QueryError, match=said):
            asked()
    assert names(library.similar(tmp_path / "in" / "film.mp4"))[0] == "night.png"


def test_what_was_not_heard_yet_is_found_by_name(
    deaf: tuple[glimpse.Library, list[str]], ear: Callable[[FakeSounds | None], None]
) -> None:
    library, said = deaf
    ear(FakeSounds())
    library.close()
    assert names(library.search("otter", kind="audio")) == ["high.ogg"]
    assert said == [
        "sounds are found by name only: none of them has been heard yet; to have them heard: glimpse index."
    ]
    library.index()
    said.clear()
    assert names(library.search("blue", kind="audio", k=1)) == ["high.ogg"]
    assert said == []
