"""Disks that are full, read-only or away, files that change meanwhile, others who write: a sentence, and no loss."""

import contextlib
import functools
import os
import shutil
import sqlite3
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

import glimpse
from core.errors import LibraryError
from core.settings import Settings
from core.types import Progress
from media import isolated
from media.isolated import DecodeProcess, ReadFile
from store.names import DATABASE
from store.writer import Writer
from tests.conftest import paint
from tests.mounted import Said, glimpse_says, mount, mount_memory, unmount, where_mounts_are_own
from tests.plain_user import InThread, as_plain_user
from tests.scenes import check_database
from tests.test_file_life import counts, found

READING = {
    "search": ("search", "red", "-k", "1000", "--all", "--paths"),
    "similar": ("similar", "PHOTO", "--paths"),
    "tag": ("tag", "PHOTO"),
    "info": ("info", "PHOTO"),
    "status": ("status",),
}
WRITING = {"index": ("index",), "prune": ("prune",)}
FULL = "the disk that holds LIBRARY is full; free some space and run the command again"
AWAY = (
    "LIBRARY has gone while it was written to: moved, deleted, or on a drive that is away; "
    "put it back and run the command again"
)
NONE = "there is no library in LIBRARY; make one with: glimpse index FOLDER"


@pytest.fixture(autouse=True)
def in_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Spare the tests decode processes; those that run elsewhere have them."""
    monkeypatch.setattr(isolated, "DecodeProcess", InThread)


def paint_many(photos: Path, first: int, last: int) -> None:
    photos.mkdir(exist_ok=True)
    for number in range(first, last):
        paint(photos / f"{number:03}.png", (255, number, 0), (16, 16))


def says(library: Path, *command: str | Path) -> Said:
    """Run a command on a library."""
    return glimpse_says(*command, "--library", library)


def begin(library: Path, photos: Path, count: int = 20) -> None:
    """Index some photos with the fake encoder."""
    paint_many(photos, 0, count)
    said = glimpse_says("index", photos, "--model", "fake", "--library", library)
    assert said.code == 0, said


def tell(library: Path, photos: Path, commands: Mapping[str, tuple[str, ...]]) -> dict[str, object]:
    """Run commands; returns their sentences where they end with 2, or else what they printed, as a count of lines."""
    told: dict[str, object] = {}
    for name, command in commands.items():
        said = says(library, *(str(photos / "000.png") if part == "PHOTO" else part for part in command))
        told[name] = _sentence(said, library) if said.code == 2 else len(said.out.splitlines())
    return told


def _sentence(said: Said, library: Path) -> str:
    return said.sentence.replace(str(library), "LIBRARY")


# Full


def fill_up(disk: Path, leave: int) -> Path:
    """Fill a disk but for some bytes."""
    stat = os.statvfs(disk)
    ballast = disk / "ballast"
    ballast.write_bytes(b"\0" * (stat.f_bavail * stat.f_frsize - leave))
    return ballast


def index_into_a_full_disk(place: Path) -> list[object]:
    disk, photos = place / "disk", place / "photos"
    library = disk / "library"
    mount_memory(disk, 8)
    begin(library, photos)
    paint_many(photos, 20, 120)
    told: list[object] = []
    for leave in (200_000, 60_000, 0):
        ballast = fill_up(disk, leave)
        told.append(
            [_sentence(says(library, "index"), library), tell(library, photos, {"search": READING["search"]})]
        )
        ballast.unlink()
        check_database(library)
    last = says(library, "index")
    return [*told, last.code, last.out.partition(" moved")[0], tell(library, photos, {"search": READING["search"]})]


def test_a_disk_that_is_full_in_the_middle_of_a_run() -> None:
    *full, code, counted, last = where_mounts_are_own(index_into_a_full_disk)
    assert full == [[FULL, {"search": 20}]] * 3
    assert (code, counted, last) == (0, "100 added, 0 changed, 0", {"search": 120})


def ask_on_a_full_disk(place: Path) -> list[object]:
    disk, photos = place / "disk", place / "photos"
    library = disk / "library"
    mount_memory(disk, 8)
    begin(library, photos)
    says(library, "prune")  # closes the database as a writer does, which leaves nothing beside it
    assert not (library / f"{DATABASE}-shm").exists()
    ballast = fill_up(disk, 0)
    closed = tell(library, photos, READING | WRITING)
    ballast.unlink()
    with Writer(library) as writer:
        writer.preview_size(512)
        shutil.copy(library / f"{DATABASE}-wal", place / "kept")
    shutil.copy(place / "kept", library / f"{DATABASE}-wal")  # as a crash leaves it
    ballast = fill_up(disk, 0)
    crashed = tell(library, photos, READING | WRITING)
    ballast.unlink()
    return [closed, crashed, tell(library, photos, READING)]


def test_a_library_on_a_full_disk_answers_and_says_why_it_cannot_be_written() -> None:
    closed, crashed, last = where_mounts_are_own(ask_on_a_full_disk)
    assert closed == last | dict.fromkeys(WRITING, FULL)
    assert crashed == dict.fromkeys(READING | WRITING, FULL)
    assert (last["search"], last["similar"]) == (20, 10)


def make_on_a_full_disk(place: Path) -> list[object]:
    disk, photos = place / "disk", place / "photos"
    mount_memory(disk, 4)
    ballast = fill_up(disk, 100_000)
    paint_many(photos, 0, 3)
    first = glimpse_says("index", photos, "--model", "fake", "--library", disk / "library")
    ballast.unlink()
    begin(disk / "library", photos, 3)
    return [_sentence(first, disk / "library"), tell(disk / "library", photos, {"search": READING["search"]})]


def test_a_disk_without_room_for_a_new_library() -> None:
    assert where_mounts_are_own(make_on_a_full_disk) == [FULL, {"search": 3}]


def test_previews_without_room_are_told_once_and_made_again_when_they_are_wanted(
    library: glimpse.Library, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", fail)
        report = library.index([photos])
    assert counts(report) == {"added": 4, "encoded": 4}
    assert report.notes == ["previews cannot be stored: no space left on device"]
    assert library.status().previews == 0
    for hit in library.search("red"):
        library.preview(hit)
    assert library.status().previews == 4


# Read-only


def closed_to_a_plain_user(place: Path) -> dict[str, object]:
    library, photos = place / "library", place / "photos"
    begin(library, photos)
    for path in [*library.rglob("*"), library]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    try:
        return tell(library, photos, READING | WRITING)
    finally:
        for path in [library, *library.rglob("*")]:
            if path.is_dir():
                path.chmod(0o755)


def test_permissions_that_forbid_writing() -> None:
    told = as_plain_user(closed_to_a_plain_user)
    assert (told["search"], told["similar"], told["tag"]) == (20, 10, 1)
    assert {told[name] for name in WRITING} == {"cannot use LIBRARY as a library: permission denied"}
    assert all(isinstance(told[name], int) for name in READING)


def mounted_read_only(place: Path) -> dict[str, object]:
    library, photos = place / "library", place / "photos"
    begin(library, photos)
    says(library, "prune")
    mount("--bind", library, library)
    mount("-o", "remount,ro,bind", library)
    told = tell(library, photos, READING | WRITING)
    unmount(library)
    return told | {"afterwards": tell(library, photos, WRITING)}


def test_a_disk_mounted_read_only() -> None:
    told = where_mounts_are_own(mounted_read_only)
    assert (told["search"], told["similar"], told["tag"]) == (20, 10, 1)
    assert {told[name] for name in WRITING} == {"cannot use LIBRARY as a library: read-only file system"}
    assert all(isinstance(told[name], int) for name in READING)
    assert told["afterwards"] == {"index": 1, "prune": 1}


# Away


class Away:
    """Take a library away after some progress of a run, in a way that can be undone."""

    def __init__(self, take: Callable[[], object], photos: int) -> None:
        self._take, self._photos, self._taken = take, photos, False

    def __call__(self, progress: Progress) -> None:
        if progress.done >= self._photos and not self._taken:
            self._taken = True
            self._take()


def small_batches(library: Path) -> glimpse.Library:
    return glimpse.Library(Settings(library, library.parent / "cache", "fake", batch_size=4))


@pytest.mark.parametrize("how", ["moved", "deleted", "replaced"])
def test_a_library_that_goes_while_it_is_written_to(tmp_path: Path, how: str) -> None:
    place, aside, photos = tmp_path / "library", tmp_path / "aside", tmp_path / "photos"
    begin(place, photos, 8)
    shutil.copytree(place, tmp_path / "backup")
    paint_many(photos, 8, 40)

    def take() -> None:
        place.rename(aside)
        if how == "deleted":
            shutil.rmtree(aside)
        if how == "replaced":
            shutil.copytree(tmp_path / "backup", place)

    with small_batches(place) as library, pytest.raises(LibraryError) as caught:
        library.index([photos], Away(take, 12))
    assert str(caught.value).replace(str(place), "LIBRARY") == AWAY
    if how == "moved":
        assert not place.exists()  # nothing of it was made again
        aside.rename(place)
    elif how == "deleted":
        assert not place.exists()
        shutil.copytree(tmp_path / "backup", place)
    with small_batches(place) as library:
        assert len(library.search("red", k=100)) == (20 if how == "moved" else 8)
        assert library.index().failed == 0
        assert len(library.search("red", k=100)) == 40
    check_database(place)


def test_an_open_searcher_notices_that_its_library_went_and_came_back(tmp_path: Path) -> None:
    place, aside, photos = tmp_path / "library", tmp_path / "aside", tmp_path / "photos"
    begin(place, photos, 8)
    with small_batches(place) as library:
        assert len(library.search("red", k=100)) == 8
        place.rename(aside)
        for use in (lambda: library.search("red"), lambda: library.similar(photos / "000.png"), library.status):
            with pytest.raises(LibraryError) as caught:
                use()
            assert str(caught.value).replace(str(place), "LIBRARY") == NONE
        aside.rename(place)
        assert len(library.search("red", k=100)) == 8
        shutil.copytree(place, aside)
        shutil.rmtree(place)
        begin(aside, photos, 12)
        aside.rename(place)  # another database by the same name
        assert len(library.search("red", k=100)) == 12


def pull_the_plug(place: Path) -> list[object]:
    disk, photos = place / "disk", place / "photos"
    library = disk / "library"
    mount_memory(disk, 16)
    mount("--make-private", disk)
    begin(library, photos)
    paint_many(photos, 20, 60)
    kept = place / "kept"
    kept.mkdir()
    mount("--bind", disk, kept)  # the drive itself, which is to come back
    searcher = small_batches(library)
    told: list[object] = [len(searcher.search("red", k=100))]
    try:
        with small_batches(library) as writer:
            writer.index([photos], Away(lambda: unmount(disk), 16))
    except LibraryError as error:
        told.append(str(error).replace(str(library), "LIBRARY"))
    told.append(tell(library, photos, READING | WRITING))
    told.append(os.listdir(disk))
    try:
        searcher.search("red")
    except LibraryError as error:
        told.append(str(error).replace(str(library), "LIBRARY"))
    mount("--bind", kept, disk)
    told.append(len(searcher.search("red", k=100)))
    searcher.close()
    check_database(library)
    told.append(tell(library, photos, WRITING))
    return [*told, tell(library, photos, {"search": READING["search"]})]


def test_a_drive_that_is_pulled_out_under_a_run_and_a_searcher() -> None:
    first, said, commands, left, searcher, back, again, last = where_mounts_are_own(pull_the_plug)
    assert (first, said, left, searcher) == (20, AWAY, [], NONE)
    assert commands.pop("tag") == 1  # needs no library
    assert commands.pop("index") == "there is nothing indexed yet; name a folder: glimpse index FOLDER"
    assert set(commands.values()) == {NONE}
    assert 20 + 16 <= back < 60
    assert (again, last) == ({"index": 1, "prune": 1}, {"search": 60})


# Photos that change while they are read


def meanwhile(monkeypatch: pytest.MonkeyPatch, moment: str, name: str, change: Callable[[Path], None]) -> None:
    """Change a photo of the next run: before it is opened, or after it was read and before that is committed."""
    read = DecodeProcess.read

    def reading(self: DecodeProcess, path: bytes) -> ReadFile:
        file = Path(os.fsdecode(path))
        if file.name != name:
            return read(self, path)
        if moment == "after the walk":
            change(file)
            return read(self, path)
        result = read(self, path)
        change(file)
        return result

    monkeypatch.setattr(DecodeProcess, "read", reading)


BLUE = (0, 0, 255)


def put_another_in_its_place(path: Path) -> None:
    paint(path.with_suffix(".new"), BLUE, (20, 20))
    path.with_suffix(".new").rename(path)


def become_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


CHANGES: dict[str, Callable[[Path], None]] = {
    "is another photo": functools.partial(paint, colour=BLUE, size=(40, 40)),
    "is replaced by a rename": put_another_in_its_place,
    "shrinks": functools.partial(os.truncate, length=40),
    "is empty": functools.partial(os.truncate, length=0),
    "vanishes": Path.unlink,
    "is a folder": become_folder,
}
STILL_PHOTOS = {"is another photo", "is replaced by a rename"}


@pytest.mark.parametrize("known", [False, True], ids=["new", "known"])
@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("moment", ["after the walk", "after reading"])
def test_a_photo_that_changes_meanwhile_is_what_it_was_or_what_it_is(
    library: glimpse.Library, photos: Path, monkeypatch: pytest.MonkeyPatch, moment: str, change: str, known: bool
) -> None:
    victim = photos / "red.png"
    if known:
        library.index([photos])
        paint(victim, (255, 255, 0), (30, 30))
    with monkeypatch.context() as patch:
        meanwhile(patch, moment, "red.png", CHANGES[change])
        library.index([photos])
    last = library.index()  # makes good whatever was not seen
    assert last.encoded <= 1
    if change in STILL_PHOTOS:
        assert {hit.path.name for hit in library.search("blue", k=2)} == {"blue.png", "red.png"}
        assert last.failed == 0
    else:
        assert victim not in found(library)
        assert last.failed == (change in ("shrinks", "is empty"))
    assert counts(library.index()).get("encoded", 0) == 0  # nothing is left to do
    check_database(library.settings.library)


# Others who write


@contextlib.contextmanager
def write_lock(library: Path) -> Iterator[sqlite3.Connection]:
    """Hold SQLite's own write lock, as another program with the database open does."""
    with contextlib.closing(sqlite3.connect(library / DATABASE, isolation_level=None)) as db:
        db.execute("BEGIN IMMEDIATE")
        yield db


def impatient(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    monkeypatch.setattr("store.writer.BUSY_SECONDS", seconds)


def test_another_program_that_writes_for_too_long_is_told_and_nothing_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place, photos = tmp_path / "library", tmp_path / "photos"
    begin(place, photos, 8)
    paint_many(photos, 8, 20)
    impatient(monkeypatch, 0.1)
    with contextlib.ExitStack() as stack, small_batches(place) as library:
        hold = Away(lambda: stack.enter_context(write_lock(place)), 4)
        with pytest.raises(LibraryError, match=r"library.db is busy; try again when the other program has finished"):
            library.index([photos], hold)
        assert len(library.search("red", k=100)) == 12  # readers do not mind
    with small_batches(place) as library:
        assert counts(library.index()) == {"added": 8, "unchanged": 12, "encoded": 8}
    check_database(place)


def test_another_program_that_writes_for_a_moment_is_waited_for(tmp_path: Path) -> None:
    place, photos = tmp_path / "library", tmp_path / "photos"
    begin(place, photos, 8)
    paint_many(photos, 8, 20)
    locked, release = threading.Event(), threading.Event()

    def hold() -> None:
        with write_lock(place):
            locked.set()
            release.wait(10)

    holder = threading.Thread(target=hold)

    def take() -> None:
        holder.start()
        locked.wait(10)
        threading.Timer(0.3, release.set).start()

    with small_batches(place) as library:
        assert counts(library.index([photos], Away(take, 4))) == {"added": 12, "unchanged": 8, "encoded": 12}
    holder.join()
    assert release.is_set()


def test_a_reader_in_a_long_transaction_holds_nothing_up_and_sees_what_it_saw(tmp_path: Path) -> None:
    place, photos = tmp_path / "library", tmp_path / "photos"
    begin(place, photos, 8)
    with contextlib.closing(sqlite3.connect(place / DATABASE, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        count = "SELECT count(*) FROM vectors"
        assert reader.execute(count).fetchone() == (8,)
        paint_many(photos, 8, 40)
        with small_batches(place) as library:  # whose checkpoints cannot go past the reader
            assert library.index([photos]).added == 32
            assert len(library.search("red", k=100)) == 40
            for number in range(10):
                (photos / f"{number:03}.png").unlink()
            library.index()
            library.prune()
            assert len(library.search("red", k=100)) == 30
        assert reader.execute(count).fetchone() == (8,)
        reader.execute("COMMIT")
        assert reader.execute(count).fetchone() == (30,)
    check_database(place)
