"""Small files are replaced in one step, and everything can be taken back."""

import errno
import json
import os
import stat
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from core.errors import LibraryError
from core.types import Failure
from media.rewrite import Change, logs, undo, write
from tests.conftest import ROOT
from tests.plain_user import as_plain_user
from tests.rewriting import CHANGES


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    (folder / "a").write_bytes(b"before")
    return folder


def state(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def changes(folder: Path) -> list[Change]:
    return [Change(folder / "a", b"before", b"after"), Change(folder / "b", None, b"made")]


def reasons(done: Sequence[object]) -> list[str]:
    return [one.reason for one in done if isinstance(one, Failure)]


def test_changes_are_made_and_taken_back(photos: Path, tmp_path: Path) -> None:
    done = list(write(changes(photos), tmp_path / "undo"))
    assert done == changes(photos)
    assert state(photos) == {"a": b"after", "b": b"made"}
    (log,) = logs(tmp_path / "undo")
    assert list(undo(log)) == [photos / "a", photos / "b"]
    assert state(photos) == {"a": b"before"}
    assert logs(tmp_path / "undo") == []


def test_undoing_again_does_nothing(photos: Path, tmp_path: Path) -> None:
    list(write(changes(photos), tmp_path / "undo"))
    (log,) = logs(tmp_path / "undo")
    list(undo(log))
    assert list(undo(log.with_suffix(".undone"))) == []
    assert state(photos) == {"a": b"before"}


def test_what_was_changed_since_stays_and_is_named(photos: Path, tmp_path: Path) -> None:
    list(
        write(
            [*changes(photos), Change(photos / "c", None, b"c"), Change(photos / "d", None, b"d")], tmp_path / "undo"
        )
    )
    (photos / "a").write_bytes(b"by another program")
    (photos / "b").write_bytes(b"")
    (photos / "c").unlink()
    (photos / "c").symlink_to("d")
    (log,) = logs(tmp_path / "undo")
    assert list(undo(log)) == [
        Failure(photos / "a", "it is no longer what was written, and is left as it is"),
        Failure(photos / "b", "the file is empty (0 bytes)"),
        Failure(photos / "c", "it is a link, and what links point to is not changed"),
        photos / "d",
    ]
    assert (photos / "a").read_bytes() == b"by another program"
    assert logs(tmp_path / "undo") == []


def test_a_file_that_is_gone_is_named_and_not_made_again(photos: Path, tmp_path: Path) -> None:
    list(write(changes(photos), tmp_path / "undo"))
    (photos / "a").unlink()
    (log,) = logs(tmp_path / "undo")
    assert list(undo(log)) == [
        Failure(photos / "a", "it is no longer what was written, and is left as it is"),
        photos / "b",
    ]


def test_runs_are_undone_from_the_last(photos: Path, tmp_path: Path) -> None:
    for before, after in [(b"before", b"1"), (b"1", b"2")]:
        list(write([Change(photos / "a", before, after)], tmp_path / "undo"))
    assert reasons(list(undo(logs(tmp_path / "undo")[0])))
    list(undo(logs(tmp_path / "undo")[-1]))
    assert state(photos) == {"a": b"1"}


def test_nothing_to_write_leaves_no_log(tmp_path: Path) -> None:
    failure = Failure(tmp_path / "a", "a reason")
    assert list(write([failure], tmp_path / "undo")) == [failure]
    assert not (tmp_path / "undo").exists()
    assert logs(tmp_path / "undo") == []


def test_what_changed_meanwhile_is_left_alone_and_the_others_are_written(photos: Path, tmp_path: Path) -> None:
    planned = changes(photos)
    (photos / "a").write_bytes(b"by another program")
    (photos / "c").write_bytes(b"made by another program")
    done = list(write([*planned, Change(photos / "c", None, b"c")], tmp_path / "undo"))
    assert reasons(done) == ["it was changed meanwhile, and is left as it is; run it again"] * 2
    assert state(photos) == {"a": b"by another program", "b": b"made", "c": b"made by another program"}


def test_a_link_that_came_meanwhile_is_not_followed(photos: Path, tmp_path: Path) -> None:
    (photos / "b").symlink_to(photos / "a")
    done = list(write([Change(photos / "b", None, b"made")], tmp_path / "undo"))
    assert reasons(done) == ["it is a link, and what links point to is not changed"]
    assert (photos / "a").read_bytes() == b"before"


def test_a_file_is_changed_once_in_a_run(photos: Path, tmp_path: Path) -> None:
    done = list(write([*changes(photos), Change(photos / "a", b"after", b"more")], tmp_path / "undo"))
    assert len(reasons(done)) == 1
    (log,) = logs(tmp_path / "undo")
    list(undo(log))
    assert state(photos) == {"a": b"before"}


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o664])
def test_the_mode_stays(mode: int, photos: Path, tmp_path: Path) -> None:
    (photos / "a").chmod(mode)
    list(write(changes(photos), tmp_path / "undo"))
    assert stat.S_IMODE((photos / "a").stat().st_mode) == mode
    umask = os.umask(0)
    os.umask(umask)
    assert stat.S_IMODE((photos / "b").stat().st_mode) == 0o666 & ~umask
    (log,) = logs(tmp_path / "undo")
    assert stat.S_IMODE(log.stat().st_mode) == 0o600
    list(undo(log))
    assert stat.S_IMODE((photos / "a").stat().st_mode) == mode


@pytest.mark.skipif(not hasattr(os, "getuid") or os.getuid() != 0, reason="only root gives files away")
def test_the_owner_stays(photos: Path, tmp_path: Path) -> None:
    os.chown(photos / "a", 1234, 1234)
    list(write(changes(photos), tmp_path / "undo"))
    assert ((photos / "a").stat().st_uid, (photos / "a").stat().st_gid) == (1234, 1234)


def test_names_of_any_bytes_come_back(photos: Path, tmp_path: Path) -> None:
    path = photos / os.fsdecode(b"caf\xe9\xff")
    list(write([Change(path, None, b"made")], tmp_path / "undo"))
    assert list(undo(logs(tmp_path / "undo")[0])) == [path]


def test_the_log_is_on_the_disk_before_a_file_is_touched(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flushed: dict[int, int] = {}
    fsync, replace, order = os.fsync, os.replace, []

    def watched_fsync(descriptor: int) -> None:
        fsync(descriptor)
        found = os.fstat(descriptor)
        flushed[found.st_ino] = found.st_size

    def watched_replace(source: Path, target: Path) -> None:
        (log,) = logs(tmp_path / "undo")
        assert json.loads(log.read_bytes().splitlines()[-1])["path"] == str(target)
        assert flushed[log.stat().st_ino] == log.stat().st_size
        assert flushed[source.stat().st_ino] == source.stat().st_size
        assert log.parent.stat().st_ino in flushed
        order.append(target.name)
        replace(source, target)

    monkeypatch.setattr(os, "fsync", watched_fsync)
    monkeypatch.setattr(os, "replace", watched_replace)
    list(write(changes(photos), tmp_path / "undo"))
    assert order == ["a", "b"]
    assert photos.stat().st_ino in flushed


def test_a_kill_at_any_step_leaves_the_old_or_the_new_and_can_be_undone(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.rewriting", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr.decode()
    told: list[Any] = json.loads(done.stdout)
    olds = {name: before.decode() for name, (before, _) in CHANGES.items() if before is not None}
    assert min(sum(kind == which for kind, *_ in told) for which in ("write", "undo")) > 20
    for which, killed, failures, undone in told:
        assert (which, failures, undone) == (which, [], olds)
        for name, (before, after) in CHANGES.items():
            assert killed.pop(name, None) in (before and before.decode(), after.decode())
        assert len(killed) <= 1
        assert all(name.startswith(".glimpse-") for name in killed)


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_full_disk_is_named_and_the_old_file_stays(
    call: str, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fsync, replace, full = os.fsync, os.replace, photos

    def no_room(*arguments: Any) -> None:
        on = os.fstat(arguments[0]).st_ino if call == "fsync" else arguments[0]
        scratch = [path.stat().st_ino if call == "fsync" else path for path in full.glob(".*")]
        if on in scratch:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        (fsync if call == "fsync" else replace)(*arguments)

    monkeypatch.setattr(os, call, no_room)
    done = list(write(changes(photos), tmp_path / "undo"))
    assert reasons(done) == ["it cannot be written: no space left on device"] * 2
    monkeypatch.undo()
    assert state(photos) == {"a": b"before"}
    assert list(undo(logs(tmp_path / "undo")[0])) == []


def test_without_a_log_nothing_is_written(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_room(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", no_room)
    with pytest.raises(
        LibraryError, match=r"the undo log .* cannot be written: no space left on device; nothing more"
    ):
        list(write(changes(photos), tmp_path / "undo"))
    assert state(photos) == {"a": b"before"}


def test_a_log_where_a_file_is(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "undo").write_bytes(b"")
    with pytest.raises(LibraryError, match="cannot be written: "):
        list(write(changes(photos), tmp_path / "undo"))
    assert state(photos) == {"a": b"before"}


def test_a_log_that_is_damaged_is_used_as_far_as_it_goes(photos: Path, tmp_path: Path) -> None:
    more = [Change(photos / name, None, b"x") for name in "cdefgh"]
    list(write([*changes(photos), *more], tmp_path / "undo"))
    (log,) = logs(tmp_path / "undo")
    first, *lines, last = log.read_bytes().splitlines()
    bad = [b"", b"\0\0", b"[]", b'{"path": 5, "before": null, "after": ""}', b'{"path": "a", "before": "?"}']
    log.write_bytes(b"\n".join([*bad, first, *lines, last[:-9]]))
    done = list(undo(log))
    assert reasons(done) == [f"line {number} is damaged, and what it says was not undone" for number in range(1, 6)]
    assert state(photos) == {"a": b"before", "h": b"x"}


def test_a_log_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(LibraryError, match="cannot be read: no such file"):
        list(undo(tmp_path / "x.jsonl"))


def read_only(place: Path) -> list[list[str]]:
    """Write where nothing may be written, and undo there."""
    photos = place / "photos"
    photos.mkdir()
    for name in ("closed", "c"):
        (photos / name).write_bytes(b"before")
    (photos / "closed").chmod(0o444)
    said = [reasons(list(write([Change(photos / "closed", b"before", b"x"), *more(photos)], place / "undo")))]
    photos.chmod(0o555)
    said += [reasons(list(write([Change(photos / "e", None, b"x")], place / "undo-2")))]
    said += [reasons(list(undo(logs(place / "undo")[0])))]
    photos.chmod(0o777)
    said += [reasons(list(undo(logs(place / "undo")[0]))), sorted(path.name for path in photos.iterdir())]
    return [*said, [path.read_text() for path in sorted(photos.iterdir())]]


def more(photos: Path) -> list[Change]:
    return [Change(photos / "c", b"before", b"after"), Change(photos / "d", None, b"x")]


def test_read_only_files_and_folders_are_named_and_undone_when_they_are_open_again() -> None:
    closed_file, closed_folder, not_undone, undone, names, contents = as_plain_user(read_only)
    assert closed_file == ["it is read-only"]
    assert [reason.partition(":")[0] for reason in closed_folder] == ["its folder cannot be written to"]
    assert len(not_undone) == 2
    assert undone == []
    assert (names, contents) == (["c", "closed"], ["before", "before"])
