"""What becomes of a photo as its file lives: found, changed, moved, away, back, gone, pruned."""

import contextlib
import os
import sqlite3
import tempfile
from pathlib import Path

import pytest
from PIL import Image

import encoders.registry
import glimpse
import indexer.diff
from core.errors import GlimpseError
from core.settings import Settings
from core.types import IndexReport, Pixels, Space, Vectors
from encoders.fake import FakeEncoder
from media.isolated import DecodeProcess, ReadFile
from store.writer import Writer, _driver
from tests.conftest import COLOURS, paint
from tests.plain_user import as_plain_user

RED, GREEN, BLUE, WHITE = COLOURS.values()


def counts(report: IndexReport) -> dict[str, int]:
    """Return what a run counted, without the zeros."""
    names = ("added", "changed", "moved", "gone", "unchanged", "failed", "encoded")
    return {name: getattr(report, name) for name in names if getattr(report, name)}


def found(library: glimpse.Library, query: str = "red") -> list[Path]:
    """Return every path that can be found, aliases included."""
    return sorted(path for hit in library.search(query, k=1000) for path in (hit.path, *hit.also))


def ask(library: glimpse.Library, sql: str) -> list[tuple[object, ...]]:
    with contextlib.closing(sqlite3.connect(library.settings.library / "library.db")) as db:
        return db.execute(sql).fetchall()


def reasons(report: IndexReport) -> dict[str, str]:
    return {failure.path.name: failure.reason for failure in report.failures}


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The files that the indexer opens, whole or only their heads."""
    opened: list[bytes] = []
    read, read_head = DecodeProcess.read, indexer.diff.read_head

    def counting_read(self: DecodeProcess, path: bytes) -> ReadFile:
        opened.append(path)
        return read(self, path)

    def counting_head(path: bytes, count: int) -> bytes:
        opened.append(path)
        return read_head(path, count)

    monkeypatch.setattr(DecodeProcess, "read", counting_read)
    monkeypatch.setattr(indexer.diff, "read_head", counting_head)
    return opened


@pytest.fixture
def indexed(library: glimpse.Library, photos: Path) -> glimpse.Library:
    """A library that knows the four colours."""
    assert counts(library.index([photos])) == {"added": 4, "encoded": 4}
    return library


# The same bytes in several places


def test_two_paths_with_one_content_share_one_vector_and_one_hit(library: glimpse.Library, photos: Path) -> None:
    paint(photos / "a red copy.png", RED)
    assert counts(library.index([photos])) == {"added": 5, "encoded": 4}
    (best, *_) = library.search("red")
    assert (best.path, best.also) == (photos / "a red copy.png", (photos / "red.png",))
    assert ask(library, "SELECT count(*) FROM vectors") == [(4,)]


def test_a_copy_made_later_is_not_encoded_again(indexed: glimpse.Library, photos: Path) -> None:
    paint(photos / "later.png", RED)
    assert counts(indexed.index([photos])) == {"added": 1, "unchanged": 4}
    assert indexed.search("red")[0].also == (photos / "red.png",)


def test_copies_beyond_one_batch_are_encoded_once(tmp_path: Path, cache: Path, photos: Path) -> None:
    for number in range(9):
        paint(photos / f"{number}.png", RED)
    with glimpse.Library(Settings(tmp_path / "library", cache, "fake", batch_size=2)) as library:
        assert counts(library.index([photos])) == {"added": 13, "encoded": 4}
        assert len(library.search("red")[0].also) == 9


# Changed, touched, moved


def test_a_changed_file_is_encoded_again(indexed: glimpse.Library, photos: Path) -> None:
    paint(photos / "red.png", (255, 255, 0))
    assert counts(indexed.index([photos])) == {"changed": 1, "unchanged": 3, "encoded": 1}
    best = indexed.search("yellow")[0]
    assert (best.path, round(best.score, 3)) == (photos / "red.png", 1.0)
    assert len(found(indexed)) == 4


def test_a_touched_file_is_read_but_not_encoded(indexed: glimpse.Library, photos: Path, reads: list[bytes]) -> None:
    os.utime(photos / "red.png", ns=(1, 1))
    assert counts(indexed.index([photos])) == {"unchanged": 4}
    assert reads == [os.fsencode(photos / "red.png")]
    assert counts(indexed.index([photos])) == {"unchanged": 4}
    assert len(reads) == 1


def test_a_moved_file_is_not_read(indexed: glimpse.Library, photos: Path, reads: list[bytes]) -> None:
    (photos / "deep").mkdir()
    (photos / "red.png").rename(photos / "deep" / "rouge.png")
    assert counts(indexed.index([photos])) == {"moved": 1, "unchanged": 3}
    assert reads == []
    assert indexed.search("red")[0].path == photos / "deep" / "rouge.png"


def test_a_file_moved_to_another_disk_is_known_by_its_bytes(indexed: glimpse.Library, photos: Path) -> None:
    content = (photos / "red.png").read_bytes()
    (photos / "rouge.png").write_bytes(content)  # another inode, another time
    (photos / "red.png").unlink()
    assert counts(indexed.index([photos])) == {"moved": 1, "unchanged": 3}
    assert indexed.search("red")[0].also == ()


def test_a_file_moved_and_copied_within_one_run(indexed: glimpse.Library, photos: Path) -> None:
    (photos / "red.png").rename(photos / "moved.png")
    (photos / "copy.png").write_bytes((photos / "moved.png").read_bytes())
    assert counts(indexed.index([photos])) == {"moved": 1, "added": 1, "unchanged": 3}
    best = indexed.search("red")[0]
    assert (best.path, best.also) == (photos / "copy.png", (photos / "moved.png",))


def test_two_files_that_swap_names(indexed: glimpse.Library, photos: Path) -> None:
    (photos / "red.png").rename(photos / "aside")
    (photos / "blue.png").rename(photos / "red.png")
    (photos / "aside").rename(photos / "blue.png")
    assert counts(indexed.index([photos])) == {"changed": 2, "unchanged": 2}
    assert indexed.search("red", plus=["red"])[0].path == photos / "blue.png"


def test_files_renamed_in_a_chain(indexed: glimpse.Library, photos: Path) -> None:
    (photos / "blue.png").rename(photos / "z.png")
    (photos / "red.png").rename(photos / "blue.png")
    report = indexed.index([photos])
    assert report.encoded == 0
    assert indexed.search("red", plus=["red"])[0].path == photos / "blue.png"
    assert indexed.search("blue", plus=["blue"])[0].path == photos / "z.png"
    assert len(found(indexed)) == 4


def test_a_renamed_folder_is_not_read(indexed: glimpse.Library, photos: Path, reads: list[bytes]) -> None:
    (photos / "old").mkdir()
    for name in ("red", "blue"):
        (photos / f"{name}.png").rename(photos / "old" / f"{name}.png")
    indexed.index([photos])
    (photos / "old").rename(photos / "new")
    assert counts(indexed.index([photos])) == {"moved": 2, "unchanged": 2}
    assert reads == []
    assert {photos / "new" / "red.png", photos / "new" / "blue.png"} <= set(found(indexed))


def test_an_indexed_folder_indexed_under_another_name_is_moved(indexed: glimpse.Library, photos: Path) -> None:
    renamed = photos.rename(photos.with_name("pictures"))
    assert counts(indexed.index([renamed])) == {"moved": 4}
    assert found(indexed) == sorted(renamed / f"{name}.png" for name in COLOURS)


# Away, back, gone, pruned


def test_a_file_away_and_back_is_found_again(
    indexed: glimpse.Library, photos: Path, tmp_path: Path, reads: list[bytes]
) -> None:
    (photos / "red.png").rename(tmp_path / "away.png")
    assert counts(indexed.index([photos])) == {"gone": 1, "unchanged": 3}
    assert photos / "red.png" not in found(indexed)
    (tmp_path / "away.png").rename(photos / "red.png")
    assert counts(indexed.index([photos])) == {"added": 1, "unchanged": 3}
    assert reads == []
    assert indexed.search("red", plus=["red"])[0].path == photos / "red.png"


def test_a_gone_file_is_counted_once_and_keeps_its_vector(indexed: glimpse.Library, photos: Path) -> None:
    (photos / "red.png").unlink()
    assert counts(indexed.index([photos])) == {"gone": 1, "unchanged": 3}
    assert counts(indexed.index([photos])) == {"unchanged": 3}
    status = indexed.status()
    assert (status.files, status.gone, status.contents, status.spaces[0].vectors) == (3, 1, 4, 4)


def test_a_gone_file_that_comes_back_elsewhere_later_is_moved(indexed: glimpse.Library, photos: Path) -> None:
    content = (photos / "red.png").read_bytes()
    (photos / "red.png").unlink()
    indexed.index([photos])
    (photos / "again.png").write_bytes(content)
    assert counts(indexed.index([photos])) == {"moved": 1, "unchanged": 3}
    assert indexed.status().gone == 0


def test_prune_frees_contents_and_vectors(indexed: glimpse.Library, photos: Path) -> None:
    (photos / "red.png").unlink()
    indexed.index([photos])
    assert indexed.prune() == 1
    status = indexed.status()
    assert (status.files, status.gone, status.contents, status.spaces[0].vectors) == (3, 0, 3, 3)
    assert ask(indexed, "SELECT count(*) FROM segments") == [(3,)]
    assert len(found(indexed)) == 3


def test_prune_frees_what_a_changed_file_was_before(indexed: glimpse.Library, photos: Path) -> None:
    paint(photos / "red.png", (255, 255, 0))
    indexed.index([photos])
    assert indexed.status().contents == 5
    assert indexed.prune() == 0
    assert indexed.status().contents == 4


def test_prune_keeps_a_content_that_lies_elsewhere_too(indexed: glimpse.Library, photos: Path) -> None:
    paint(photos / "copy.png", RED)
    indexed.index([photos])
    (photos / "red.png").unlink()
    indexed.index([photos])
    assert indexed.prune() == 1
    assert indexed.search("red")[0].path == photos / "copy.png"


def test_what_was_pruned_is_not_found_and_leaves_the_index_file(
    indexed: glimpse.Library, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("store.growth.FEW_NEW", 0)
    paint(photos / "yellow.png", (255, 255, 0))
    indexed.index([photos])
    (before,) = (indexed.settings.library / "index").iterdir()
    (photos / "red.png").unlink()
    indexed.index([photos])
    indexed.prune()
    assert len(found(indexed)) == 4
    assert ask(indexed, "SELECT count(*) FROM tombstones") == [(1,)]
    indexed.index()
    (after,) = (indexed.settings.library / "index").iterdir()
    assert before.name != after.name
    assert ask(indexed, "SELECT count(*) FROM tombstones") == [(0,)]


def test_ids_are_never_used_again(indexed: glimpse.Library, photos: Path) -> None:
    (photos / "white.png").unlink()
    indexed.index([photos])
    ids = {table: ask(indexed, f"SELECT max(id) FROM {table}")[0][0] for table in ("contents", "vectors", "files")}
    indexed.prune()
    paint(photos / "white.png", WHITE)
    indexed.index([photos])
    for table, highest in ids.items():
        assert ask(indexed, f"SELECT max(id) FROM {table}") == [(int(str(highest)) + 1,)]


# Files that cannot be read


def test_a_known_failure_is_not_tried_again_until_the_file_changes(
    library: glimpse.Library, photos: Path, reads: list[bytes]
) -> None:
    broken = photos / "broken.png"
    broken.write_bytes(b"no photo")
    assert counts(library.index([photos])) == {"added": 4, "encoded": 4, "failed": 1}
    reads.clear()
    report = library.index([photos])
    assert counts(report) == {"unchanged": 4, "failed": 1}
    assert list(reasons(report)) == ["broken.png"]
    assert reads == []
    paint(broken, (255, 255, 0))
    assert counts(library.index([photos])) == {"added": 1, "unchanged": 4, "encoded": 1}
    assert library.failures() == []


def test_a_known_failure_that_was_away_is_told_again(library: glimpse.Library, photos: Path, tmp_path: Path) -> None:
    broken = photos / "broken.png"
    broken.write_bytes(b"no photo")
    library.index([photos])
    broken.rename(tmp_path / "aside")
    assert counts(library.index([photos])) == {"unchanged": 4}
    assert library.failures() == []
    (tmp_path / "aside").rename(broken)
    assert counts(library.index([photos])) == {"unchanged": 4, "failed": 1}
    assert [failure.path for failure in library.failures()] == [broken]


def fail_for_a_while(place: Path) -> dict[str, object]:
    photos = place / "photos"
    photos.mkdir()
    paint(photos / "red.png", RED)
    paint(photos / "green.png", GREEN)
    with glimpse.Library(Settings(place / "library", place / "cache", "fake")) as library:
        (photos / "green.png").chmod(0)
        first = counts(library.index([photos]))
        os.utime(photos / "red.png", ns=(1, 1))
        (photos / "red.png").chmod(0)
        report = library.index()
        found_meanwhile = [path.name for path in found(library)]
        for name in ("red.png", "green.png"):
            (photos / name).chmod(0o600)
        third = counts(library.index())
        failures = len(library.failures())
    return {"counts": [first, counts(report), third], "reasons": reasons(report), "found": found_meanwhile,
            "failures": failures}  # fmt: skip


def test_a_temporary_failure_is_tried_again_and_nothing_known_is_lost() -> None:
    told = as_plain_user(fail_for_a_while)
    assert told["counts"] == [
        {"added": 1, "failed": 1, "encoded": 1},
        {"failed": 2},
        {"added": 1, "unchanged": 1, "encoded": 1},
    ]
    assert told["reasons"] == {"red.png": "permission denied", "green.png": "permission denied"}
    assert (told["found"], told["failures"]) == (["red.png"], 0)


# Roots and parts of them


def test_a_folder_indexed_alone_touches_only_its_own_files(library: glimpse.Library, photos: Path) -> None:
    inner = photos / "inner"
    inner.mkdir()
    paint(inner / "yellow.png", (255, 255, 0))
    library.index([photos])
    (photos / "red.png").unlink()
    (inner / "yellow.png").unlink()
    paint(photos / "new.png", (9, 9, 0))
    paint(inner / "copy.png", BLUE)
    assert counts(library.index([inner])) == {"added": 1, "gone": 1}
    assert photos / "red.png" in found(library)
    assert library.status().roots == (photos,)
    assert counts(library.index()) == {"added": 1, "gone": 1, "unchanged": 4, "encoded": 1}


def test_a_folder_whose_name_only_begins_alike_is_not_inside(library: glimpse.Library, tmp_path: Path) -> None:
    for name in ("a", "a-b", "ab"):
        (tmp_path / name).mkdir()
        paint(tmp_path / name / "x.png", RED)
    assert counts(library.index([tmp_path / "a"])) == {"added": 1, "encoded": 1}
    assert counts(library.index([tmp_path / "a-b", tmp_path / "ab", tmp_path / "a"])) == {"added": 2, "unchanged": 1}
    assert len(library.status().roots) == 3


@pytest.mark.parametrize("order", [1, -1])
def test_overlapping_paths_are_looked_at_once(library: glimpse.Library, photos: Path, order: int) -> None:
    inner = photos / "inner"
    inner.mkdir()
    paint(inner / "yellow.png", (255, 255, 0))
    assert counts(library.index([photos, inner, photos][::order])) == {"added": 5, "encoded": 5}
    assert library.status().roots == (photos,)


def test_a_folder_inside_is_seen_as_such_whatever_else_is_named(library: glimpse.Library, tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("a", "a-b", "a/c")]
    for folder in folders:
        folder.mkdir()
        paint(folder / "x.png", RED)
    assert counts(library.index(folders)) == {"added": 3, "encoded": 1}
    assert library.status().roots == (tmp_path / "a", tmp_path / "a-b")


def test_a_parent_indexed_later_takes_over_its_folders_and_reads_nothing_again(
    library: glimpse.Library, photos: Path, reads: list[bytes]
) -> None:
    inner, other = photos / "inner", photos / "x" / "other"
    for folder in (inner, other):
        folder.mkdir(parents=True)
    paint(inner / "yellow.png", (255, 255, 0))
    paint(other / "cyan.png", (0, 255, 255))
    library.index([inner, other])
    reads.clear()
    assert counts(library.index([photos])) == {"added": 4, "unchanged": 2, "encoded": 4}
    assert sorted(reads) == sorted(os.fsencode(photos / f"{name}.png") for name in COLOURS)
    assert library.status().roots == (photos,)
    assert inner / "yellow.png" in found(library)
    assert other / "cyan.png" in found(library)


def test_a_single_file(library: glimpse.Library, photos: Path) -> None:
    assert counts(library.index([photos / "red.png"])) == {"added": 1, "encoded": 1}
    assert found(library) == [photos / "red.png"]
    assert counts(library.index([photos / "red.png", photos / "blue.png"])) == {
        "added": 1, "unchanged": 1, "encoded": 1,
    }  # fmt: skip
    paint(photos / "red.png", GREEN)
    assert counts(library.index([photos / "red.png"])) == {"changed": 1, "encoded": 1}


def test_the_folder_of_a_single_file_indexed_later_takes_it_over(library: glimpse.Library, photos: Path) -> None:
    library.index([photos / "red.png"])
    assert counts(library.index([photos])) == {"added": 3, "unchanged": 1, "encoded": 3}
    assert library.status().roots == (photos,)
    assert counts(library.index([photos / "red.png"])) == {"unchanged": 1}


@pytest.mark.parametrize("order", [1, -1])
def test_a_file_and_a_folder_beside_it_in_one_call(library: glimpse.Library, photos: Path, order: int) -> None:
    inner = photos / "inner"
    inner.mkdir()
    paint(inner / "yellow.png", (255, 255, 0))
    assert counts(library.index([inner, photos / "red.png"][::order])) == {"added": 2, "encoded": 2}
    assert counts(library.index([inner, photos / "red.png", photos][::order])) == {
        "added": 3, "unchanged": 2, "encoded": 3,
    }  # fmt: skip


def test_without_paths_all_that_was_indexed_is_looked_at_again(library: glimpse.Library, tmp_path: Path) -> None:
    folders = [tmp_path / "a", tmp_path / "b"]
    for folder in folders:
        folder.mkdir()
        library.index([folder])
        paint(folder / f"{folder.name}.png", RED)
    assert counts(library.index()) == {"added": 2, "encoded": 1}


def test_a_path_that_is_not_there_stops_the_run_before_it_begins(library: glimpse.Library, photos: Path) -> None:
    with pytest.raises(GlimpseError, match="there is no file or folder"):
        library.index([photos, photos / "nothing"])
    assert not library.exists()


# What cannot be seen is not gone


def test_a_folder_that_has_vanished_is_noted_and_kept(indexed: glimpse.Library, photos: Path) -> None:
    photos.rename(photos.with_name("unplugged"))
    report = indexed.index()
    assert counts(report) == {}
    assert report.notes == [f"{photos} is not there; what is known of it is kept"]
    assert len(found(indexed)) == 4


def test_a_photo_on_an_unplugged_drive_survives_that_its_copy_is_taken_for_it(
    indexed: glimpse.Library, photos: Path, tmp_path: Path
) -> None:
    photos.rename(tmp_path / "unplugged")
    (tmp_path / "here").mkdir()
    paint(tmp_path / "here" / "copy.png", RED)
    assert counts(indexed.index([tmp_path / "here"])) == {"moved": 1}
    (tmp_path / "unplugged").rename(photos)
    assert counts(indexed.index()) == {"added": 1, "unchanged": 4}
    assert {photos / "red.png", tmp_path / "here" / "copy.png"} <= set(found(indexed))


def test_a_file_moved_between_two_folders_of_which_one_is_indexed(
    indexed: glimpse.Library, photos: Path, tmp_path: Path
) -> None:
    (tmp_path / "other").mkdir()
    (photos / "red.png").rename(tmp_path / "other" / "red.png")
    assert counts(indexed.index([tmp_path / "other"])) == {"moved": 1}
    assert counts(indexed.index()) == {"unchanged": 4}


def hide_a_folder(place: Path) -> dict[str, object]:
    inner = place / "photos" / "inner"
    inner.mkdir(parents=True)
    paint(inner / "red.png", RED)
    paint(inner.parent / "green.png", GREEN)
    with glimpse.Library(Settings(place / "library", place / "cache", "fake")) as library:
        library.index([place / "photos"])
        told: dict[str, object] = {}
        for name, folder in (("inner", inner), ("all", place / "photos")):
            folder.chmod(0)
            report = library.index()
            folder.chmod(0o700)
            notes = [note.replace(str(place), "") for note in report.notes]
            told[name] = [counts(report), notes, len(found(library))]
    return told


def test_a_folder_that_cannot_be_read_is_noted_and_kept() -> None:
    told = as_plain_user(hide_a_folder)
    note = "was not looked at (permission denied); what is known of it is kept"
    assert told["inner"] == [{"unchanged": 1}, [f"/photos/inner {note}"], 2]
    assert told["all"] == [{}, [f"/photos {note}"], 2]


def test_an_empty_folder_on_another_device_is_a_drive_not_connected(library: glimpse.Library, tmp_path: Path) -> None:
    memory = Path("/dev/shm")
    if not memory.is_dir() or memory.stat().st_dev == tmp_path.stat().st_dev or not os.access(memory, os.W_OK):
        pytest.skip("there is no second device to write to")
    with tempfile.TemporaryDirectory(dir=memory) as drive:
        paint(Path(drive) / "red.png", RED)
        mount = tmp_path / "mount"
        mount.symlink_to(drive)
        library.index([mount])
        mount.unlink()
        mount.mkdir()
        report = library.index()
        assert counts(report) == {}
        assert report.notes == [
            f"{mount} was not looked at (empty: is its drive connected?); what is known of it is kept"
        ]
        assert found(library) == [mount / "red.png"]


def test_an_emptied_folder_on_its_own_device_is_believed(indexed: glimpse.Library, photos: Path) -> None:
    for path in photos.iterdir():
        path.unlink()
    assert counts(indexed.index()) == {"gone": 4}


# What is a photo and what is not


@pytest.mark.parametrize("detour", ["", "inner/.."])
def test_the_library_inside_the_indexed_folder_is_skipped(photos: Path, cache: Path, detour: str) -> None:
    (photos / "inner").mkdir()
    place = photos / "library"
    place.mkdir()
    paint(place / "preview.png", RED)
    with glimpse.Library(Settings(photos / detour / "library", cache, "fake")) as library:
        assert counts(library.index([photos])) == {"added": 4, "encoded": 4}


def test_hidden_files_and_links_are_not_followed(library: glimpse.Library, photos: Path, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    paint(tmp_path / "outside" / "x.png", (1, 2, 3))
    (photos / ".hidden").mkdir()
    paint(photos / ".hidden" / "x.png", (1, 2, 3))
    paint(photos / ".hidden.png", (1, 2, 3))
    (photos / "@eaDir").mkdir()
    paint(photos / "@eaDir" / "x.png", (1, 2, 3))
    (photos / "link.png").symlink_to(tmp_path / "outside" / "x.png")
    (photos / "folder").symlink_to(tmp_path / "outside")
    (photos / "loop").symlink_to(photos)
    (photos / "broken.png").symlink_to(photos / "nothing")
    assert counts(library.index([photos])) == {"added": 4, "encoded": 4}


def test_a_link_given_by_name_is_followed(library: glimpse.Library, photos: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(photos)
    assert counts(library.index([tmp_path / "link"])) == {"added": 4, "encoded": 4}


@pytest.mark.parametrize("name", ["photo", "photo.dat", "photo.JPG.bak"])
def test_a_photo_is_known_by_its_content(library: glimpse.Library, tmp_path: Path, name: str) -> None:
    (tmp_path / "in").mkdir()
    paint(tmp_path / "in" / name, RED)
    (tmp_path / "in" / "notes.txt").write_text("no photo, no failure")
    assert counts(library.index([tmp_path / "in"])) == {"added": 1, "encoded": 1}


def test_a_folder_named_like_a_photo_is_a_folder(library: glimpse.Library, tmp_path: Path) -> None:
    (tmp_path / "in" / "x.jpg").mkdir(parents=True)
    paint(tmp_path / "in" / "x.jpg" / "red.png", RED)
    assert counts(library.index([tmp_path / "in"])) == {"added": 1, "encoded": 1}


NO_PHOTOS = {
    "empty.jpg": (b"", "the file is empty (0 bytes)"),
    "text.jpg": (b"Dear diary", "not a photo in a known format (JPEG, PNG, WEBP, GIF, TIFF, BMP, AVIF, HEIF, RAW)"),
    "raw.cr2": (b"II*\0 and so on", "the file is cut short"),
    "raw.raf": (b"FUJIFILMCCD-RAW" + bytes(500), "a RAW photo of an unknown camera, or damaged"),
    "photo.heic": (b"\0\0\0\x18ftypheic", "damaged: its header cannot be read"),
}


@pytest.mark.parametrize("name", NO_PHOTOS)
def test_what_only_looks_like_a_photo_is_one_failure(library: glimpse.Library, photos: Path, name: str) -> None:
    content, reason = NO_PHOTOS[name]
    (photos / name).write_bytes(content)
    report = library.index([photos])
    assert counts(report) == {"added": 4, "encoded": 4, "failed": 1}
    assert reasons(report) == {name: reason}


def test_a_photo_that_is_cut_short_is_found_by_what_is_left(library: glimpse.Library, photos: Path) -> None:
    Image.effect_noise((200, 200), 50).save(photos / "cut.jpg")
    whole = (photos / "cut.jpg").read_bytes()
    (photos / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    (photos / "header.jpg").write_bytes(whole[:100])
    report = library.index([photos])
    assert (counts(report), report.damaged) == ({"added": 5, "encoded": 5, "failed": 1}, 1)
    assert reasons(report).keys() == {"header.jpg"}
    assert photos / "cut.jpg" in found(library)
    assert library.status().damaged == 1


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes on this system")
def test_a_pipe_named_like_a_photo_is_one_failure(library: glimpse.Library, photos: Path) -> None:
    os.mkfifo(photos / "pipe.jpg")
    for _ in range(2):
        report = library.index([photos])
        assert reasons(report) == {"pipe.jpg": "not a regular file"}
    assert reasons(library.index([photos / "pipe.jpg"])) == {"pipe.jpg": "not a regular file"}


ODD_NAMES = [
    b"not \xff utf-8.png",
    b"quote ' and \" and %.png",
    b"new\nline.png",
    b"tab\t and \x1b[31m.png",
    "ü combined u\u0308.png".encode(),
    b"-k.png",
    b" .png",
    b"a" * 251 + b".png",
]


@pytest.mark.parametrize("name", ODD_NAMES, ids=[str(number) for number in range(len(ODD_NAMES))])
@pytest.mark.parametrize("broken", [False, True])
def test_odd_names_are_photos_or_failures_like_others(
    library: glimpse.Library, photos: Path, name: bytes, broken: bool
) -> None:
    folder = os.path.join(os.fsencode(photos), b"folder " + name[:50])
    try:
        os.mkdir(folder)
        path = os.path.join(folder, name)
        paint(path, (255, 255, 0))
    except OSError as error:
        pytest.skip(f"this file system does not take such a name: {error}")
    if broken:
        Path(os.fsdecode(path)).write_bytes(b"")
    report = library.index([photos])
    if broken:
        assert [os.fsencode(failure.path) for failure in report.failures] == [path]
        assert library.failures() == report.failures
    else:
        assert os.fsencode(library.search("yellow")[0].path) == path
        assert library.similar(os.fsdecode(path))[0].path == photos / "white.png"
    assert (report.added, report.failed) == (4 + (not broken), int(broken))
    assert library.index([photos]).unchanged == report.added


# A second model


class Mirrored(FakeEncoder):
    """The fake encoder with blue for red: another space with other vectors."""

    def __init__(self) -> None:
        super().__init__()
        self.space = Space(name="mirrored", revision="1", dim=3, shared_dim=3)

    def encode_images(self, pixels: Pixels) -> Vectors:
        return super().encode_images(pixels)[:, ::-1]


def test_a_second_model_stands_beside_the_first(
    indexed: glimpse.Library, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    models = {"fake": FakeEncoder, "mirrored": Mirrored}
    monkeypatch.setattr(encoders.registry, "load", lambda name, *_: models[name]())
    place, cache = indexed.settings.library, indexed.settings.cache
    with glimpse.Library(Settings(place, cache, "mirrored")) as second:
        with pytest.raises(GlimpseError, match=r"'mirrored'.*'fake'.*run: glimpse index --model mirrored"):
            second.search("red")
        assert counts(second.index()) == {"added": 4, "encoded": 4}
        assert second.search("red", plus=["red"])[0].path == photos / "blue.png"
        status = second.status()
        spaces = [(space.model, space.current, space.vectors, space.missing) for space in status.spaces]
        assert (status.contents, spaces) == (4, [("fake", True, 4, 0), ("mirrored", False, 4, 0)])
    assert indexed.search("red", plus=["red"])[0].path == photos / "red.png"
    with glimpse.Library(Settings(place, cache)) as current:
        assert current.search("red", plus=["red"])[0].path == photos / "red.png"
        current.use_model("mirrored")
        assert current.search("red", plus=["red"])[0].path == photos / "blue.png"
        assert counts(current.index()) == {"unchanged": 4}


def test_a_new_revision_of_a_model_encodes_everything_again(
    indexed: glimpse.Library, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    newer = FakeEncoder()
    newer.space = Space(name="fake", revision="2", dim=3, shared_dim=3)
    monkeypatch.setattr(encoders.registry, "load", lambda *_: newer)
    with glimpse.Library(indexed.settings) as updated:
        with pytest.raises(GlimpseError, match="this version of 'fake'"):
            updated.search("red")
        assert counts(updated.index()) == {"added": 4, "encoded": 4}
        assert updated.search("red", plus=["red"])[0].path == photos / "red.png"
    assert indexed.search("red", plus=["red"])[0].path == photos / "red.png"
    indexed.close()
    assert indexed.search("red", plus=["red"])[0].path == photos / "red.png"


def test_a_run_without_paths_takes_only_what_was_asked_for(library: glimpse.Library, photos: Path) -> None:
    library.index([photos / "red.png"])
    paint(photos / "red.png", (250, 0, 0))
    assert counts(library.index()) == {"changed": 1, "encoded": 1}
    assert found(library) == [photos / "red.png"]


def test_a_single_file_that_is_deleted_is_gone(library: glimpse.Library, photos: Path) -> None:
    library.index([photos / "red.png", photos / "blue.png"])
    (photos / "red.png").unlink()
    assert counts(library.index()) == {"gone": 1, "unchanged": 1}


def test_another_model_answers_once_it_is_complete_and_chosen(
    library: glimpse.Library, photos: Path, cache: Path
) -> None:
    library.index([photos])
    with glimpse.Library(Settings(library.settings.library, cache, model="builtin")) as other:
        assert other.index([photos], stop=lambda: True).interrupted
        with pytest.raises(GlimpseError, match=r"only 0 of 4 photos.*glimpse index --model builtin"):
            other.use_model("builtin")
        other.index([photos])
        assert other.status().model == "fake"
        other.use_model("builtin")
        assert other.status().model == "builtin"


def test_a_remounted_drive_is_not_read_again(indexed: glimpse.Library, photos: Path, reads: list[bytes]) -> None:
    with contextlib.closing(sqlite3.connect(indexed.settings.library / "library.db")) as db, db:
        db.execute("UPDATE files SET device = device + 1, inode = inode + 1000")
    assert counts(indexed.index([photos])) == {"unchanged": 4}
    assert reads == []
    (photos / "red.png").rename(photos / "renamed.png")
    assert counts(indexed.index([photos])) == {"moved": 1, "unchanged": 3}
    assert reads == []


def test_what_was_asked_for_behind_a_link_or_a_hidden_name_stays(library: glimpse.Library, tmp_path: Path) -> None:
    for folder, colour in (("pics", RED), ("pics/.secret", GREEN), ("other", BLUE)):
        (tmp_path / folder).mkdir()
        paint(tmp_path / folder / "a.png", colour)
    (tmp_path / "pics" / "link").symlink_to(tmp_path / "other")
    library.index([tmp_path / "pics" / "link", tmp_path / "pics" / ".secret"])
    assert counts(library.index([tmp_path / "pics"])) == {"added": 1, "encoded": 1}
    assert counts(library.index()) == {"unchanged": 3}
    assert library.prune() == 0


@pytest.mark.parametrize("seconds", [99999999999, -99999999999])
def test_a_time_beyond_all_clocks_is_no_reason_to_stop(library: glimpse.Library, photos: Path, seconds: int) -> None:
    try:
        os.utime(photos / "red.png", (seconds, seconds))
    except (OverflowError, OSError):
        pytest.skip("this file system keeps no such time")
    assert counts(library.index([photos])) == {"added": 4, "encoded": 4}
    assert counts(library.index([photos])) == {"unchanged": 4}


def test_two_slashes_lead_to_the_same_place(indexed: glimpse.Library, photos: Path) -> None:
    assert counts(indexed.index([Path(f"/{photos}")])) == {"unchanged": 4}


def test_a_photo_that_was_edited_is_not_found_by_itself(indexed: glimpse.Library, photos: Path) -> None:
    paint(photos / "red.png", (200, 30, 30))
    assert photos / "red.png" not in [hit.path for hit in indexed.similar(photos / "red.png")]


def test_many_copies_of_one_photo_are_found_in_no_time(library: glimpse.Library, tmp_path: Path) -> None:
    (tmp_path / "copies").mkdir()
    paint(tmp_path / "copies" / "0.png", RED)
    for number in range(1, 5000):
        os.link(tmp_path / "copies" / "0.png", tmp_path / "copies" / f"{number}.png")
    assert counts(library.index([tmp_path / "copies"])) == {"added": 5000, "encoded": 1}
    (hit,) = library.search("red")
    assert len(hit.also) == 4999


def test_nothing_looks_at_every_vector_for_every_file(indexed: glimpse.Library) -> None:
    """A run over 80,000 photos would stand still for minutes before it began."""
    asked: list[str] = []
    with Writer(indexed.settings.library) as writer:
        with writer._begin() as db:
            _driver(db).set_trace_callback(asked.append)
        writer.known_files(writer.encoded_digests(1))
    queries = [sql for sql in asked if sql.startswith("SELECT") and "words_stale" not in sql]
    assert len(queries) == 2
    for sql in queries:
        with contextlib.closing(sqlite3.connect(indexed.settings.library / "library.db")) as db:
            plan = db.execute(f"EXPLAIN QUERY PLAN {sql}", [1] * sql.count("?")).fetchall()
        assert not [step for *_, step in plan if "CORRELATED" in step]
