"""Replace small files: each in one step, and with a log of what was there, from which all of it can be taken back."""

import base64
import contextlib
import json
import os
import stat
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

import xxhash

from core.errors import LibraryError, MediaError, TemporaryMediaError
from core.types import Failure
from media.files import read_file

MAX_BYTES = 4 << 20
"""Larger files are not small."""
LOG = ".jsonl"
UNDONE = ".undone"
"""Of logs: of those that can be undone, and of those that were."""


@dataclass(frozen=True)
class Change:
    """What is to become of a file; before: what was read of it, None where there was none.

    summary: what that means to a person, in a line: "+ beach  - day".
    """

    path: Path
    before: bytes | None
    after: bytes
    summary: str = ""


def content(path: Path) -> bytes | None:
    """Return all bytes of a regular file, None where there is nothing.

    Raises MediaError for what is no regular file, or larger than MAX_BYTES, TemporaryMediaError where it may pass.
    """
    try:
        linked = stat.S_ISLNK(os.lstat(path).st_mode)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise TemporaryMediaError(why(error)) from error
    if linked:
        raise MediaError("it is a link, and what links point to is not changed")
    return read_file(os.fspath(path), MAX_BYTES).data


def write(planned: Iterable[Change | Failure], folder: Path) -> Iterator[Change | Failure]:
    """Make the changes one by one, as they are asked for; yields each that was made, and a Failure for each other.

    folder: where a new log is kept, made if need be. Failures that come are passed on. A file that is not what it was
    when the change was planned is left alone, and so are links and read-only files. What was there is on the disk, in
    the log, before a file is touched; the file is the old one or the new one at any instant. Raises LibraryError, and
    changes nothing more, where the log cannot be written.
    """
    with _Log(folder) as log, _folders() as touched:
        for one in planned:
            if isinstance(one, Change):
                touched.add(one.path.parent)
                one = _written(one, log)
            yield one


def undo(log: Path) -> Iterator[Path | Failure]:
    """Bring back what was there before a run of `write`; yields each file that was, and a Failure for each other.

    A file that is no longer what was written stays as it is; one that is as before already is passed over, so that
    undoing can be interrupted and repeated. A log that was gone through to its end is renamed to NAME.undone, unless
    files could not be written. Raises LibraryError where the log cannot be read.
    """
    again = False
    with _folders() as touched:
        for number, entry in enumerate(_entries(log), 1):
            try:
                path, before, after = _parsed(entry)
            except (ValueError, KeyError, TypeError):
                yield Failure(log, f"line {number} is damaged, and what it says was not undone")
                continue
            try:
                if _undone(path, before, after, _scratch(path, log)):
                    touched.add(path.parent)
                    yield path
            except MediaError as error:
                again = again or isinstance(error, TemporaryMediaError)
                yield Failure(path, str(error))
    if not again and log.suffix == LOG:
        with contextlib.suppress(OSError):  # undoing it again does no harm
            os.replace(log, log.with_suffix(UNDONE))


def logs(folder: Path) -> list[Path]:
    """Return the logs in a folder that were not undone, the oldest first."""
    return sorted(folder.glob("*" + LOG))


class _Log:
    """The log of a run: a line of JSON for each file, with its path, what was there (base64) and the digest after.

    The file is made with the first entry.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / (datetime.now(UTC).strftime("%Y%m%d-%H%M%S-%f") + LOG)
        self._file: BinaryIO | None = None
        self._paths: set[Path] = set()

    def __enter__(self) -> "_Log":
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()

    def add(self, change: Change) -> None:
        """Have a change survive a power cut; raises LibraryError, and MediaError for the second change of a file."""
        if change.path in self._paths:
            raise MediaError("it was changed already in this run, which can be taken back once only; run it again")
        before = None if change.before is None else base64.b64encode(change.before).decode()
        entry = {"path": os.fspath(change.path), "before": before, "after": _digest(change.after)}
        try:
            file = self._file = self._file or self._made()
            file.write(json.dumps(entry).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
        except OSError as error:
            raise LibraryError(
                f"the undo log {self.path} cannot be written: {why(error)}; nothing more was changed"
            ) from error
        self._paths.add(change.path)

    def _made(self) -> BinaryIO:
        folder = self.path.parent
        folder.mkdir(parents=True, exist_ok=True)
        _sync_folder(folder.parent)
        file = open(self.path, "xb", opener=lambda path, flags: os.open(path, flags, 0o600))  # noqa: SIM115
        _sync_folder(folder)
        return file


def _written(change: Change, log: _Log) -> Change | Failure:
    """Make one change."""
    try:
        _replace(change.path, change.before, change.after, _scratch(change.path, log.path), lambda: log.add(change))
    except MediaError as error:
        return Failure(change.path, str(error))
    return change


def _replace(
    path: Path, old: bytes | None, new: bytes, scratch: Path, log: Callable[[], None] = lambda: None
) -> None:
    """Put new bytes in the place of the old, in one step; raises MediaError."""
    with _explained():
        _check_writable(path, old)
        log()
        try:
            _write_scratch(scratch, new, None if old is None else os.stat(path))
            if content(path) != old:
                raise MediaError("it was changed meanwhile, and is left as it is; run it again")
            os.replace(scratch, path)
        finally:
            scratch.unlink(missing_ok=True)


def _check_writable(path: Path, old: bytes | None) -> None:
    """Raise where a file or its folder is read-only: replacing a file would not mind that it is."""
    if not os.access(path.parent, os.W_OK):
        raise TemporaryMediaError(f"its folder cannot be written to: {path.parent}")
    if old is not None and not os.access(path, os.W_OK):
        raise TemporaryMediaError("it is read-only")


def _write_scratch(scratch: Path, data: bytes, like: os.stat_result | None) -> None:
    """Write a new file to the disk, with the mode and the owner of another, if the system lets us."""
    scratch.unlink(missing_ok=True)
    mode = 0o666 if like is None else stat.S_IMODE(like.st_mode)
    with open(scratch, "xb", opener=lambda path, flags: os.open(path, flags, mode)) as file:
        if like is not None:
            with contextlib.suppress(OSError, AttributeError):  # only root gives files away; Windows has no owners
                os.chown(scratch, like.st_uid, like.st_gid)
            os.chmod(scratch, mode)
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _entries(log: Path) -> Iterator[bytes]:
    """Yield the lines of a log but for a last one that was cut short: its file was not touched."""
    try:
        with log.open("rb") as file:
            yield from (line for line in file if line.endswith(b"\n"))
    except OSError as error:
        raise LibraryError(f"the undo log {log} cannot be read: {why(error)}") from error


def _parsed(entry: bytes) -> tuple[Path, bytes | None, str]:
    """Return the path, the bytes before and the digest after of an entry; raises ValueError, KeyError, TypeError."""
    said = json.loads(entry)
    before = None if said["before"] is None else base64.b64decode(said["before"], validate=True)
    return Path(said["path"]), before, str(said["after"])


def _undone(path: Path, before: bytes | None, after: str, scratch: Path) -> bool:
    """Bring one file back, and say whether there was anything to do; raises MediaError."""
    if not path.parent.is_dir():
        raise TemporaryMediaError("its folder is not there; connect the drive, and undo again")
    with _explained():
        scratch.unlink(missing_ok=True)  # a run that was killed leaves one
        found = content(path)
        if found == before:
            return False
        if found is None or _digest(found) != after:
            raise MediaError("it is no longer what was written, and is left as it is")
        if before is not None:
            _replace(path, found, before, scratch)
        else:
            path.unlink()
    return True


def _scratch(path: Path, log: Path) -> Path:
    """Return the name of a new file until it takes its place: hidden, no sidecar, known to whoever undoes the run."""
    return path.with_name(f".glimpse-{log.stem}.tmp")


def _digest(data: bytes) -> str:
    return xxhash.xxh3_128_hexdigest(data)


@contextlib.contextmanager
def _explained() -> Iterator[None]:
    """Raise TemporaryMediaError for an error of the system."""
    try:
        yield
    except OSError as error:
        raise TemporaryMediaError(f"it cannot be written: {why(error)}") from error


def why(error: OSError) -> str:
    """Turn what the system says into a reason without the path: "permission denied"."""
    return (error.strerror or str(error)).lower()


@contextlib.contextmanager
def _folders() -> Iterator[set[Path]]:
    """Have the new names in folders survive a power cut, at the end: until then it leaves old files or new ones."""
    folders: set[Path] = set()
    try:
        yield folders
    finally:
        for folder in folders:
            _sync_folder(folder)


def _sync_folder(folder: Path) -> None:
    """Have the names in a folder survive a power cut, where the system can do that."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
