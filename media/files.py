"""Read a file once: its bytes, their hash, and the stat they belong to."""

import contextlib
import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import xxhash

from core.errors import MediaError, TemporaryMediaError
from core.types import FileStat

MAX_BYTES = 1 << 30
"""Larger files are not read whole: no photo is that large, and it is held in memory."""
BLOCK = 1 << 20
"""Bytes of a large file that are read at once."""
_CHANGED = "the file changed while it was read"


@dataclass(frozen=True)
class FileBytes:
    """All bytes of a file; digest: 16 bytes, XXH3-128 over every one of them."""

    data: bytes
    digest: bytes
    stat: FileStat


def read_file(path: str | bytes, most: int = MAX_BYTES) -> FileBytes:
    """Read a regular file whole, of at most `most` bytes.

    A FIFO or a device is refused instead of waited for, and a file that changes while it is read is not
    taken. Raises TemporaryMediaError where the next run may succeed, else MediaError.
    """
    with open_file(path) as file:
        if file.stat.size > most:
            size = f"{most >> 30} GB" if most >= 1 << 30 else f"{most >> 20} MB"
            raise MediaError(f"the file is larger than {size}")
        try:
            data = _read_all(file.descriptor, file.stat.size)
        except OSError as error:
            raise TemporaryMediaError(_why(error)) from error
        if len(data) != file.stat.size:
            raise TemporaryMediaError(_CHANGED)
        file.check_unchanged()
    return FileBytes(data, xxhash.xxh3_128_digest(data), file.stat)


@dataclass
class OpenFile:
    """A regular file that is open, of any size; stat: when it was opened.

    alive: called whenever bytes of it arrive for the first time, hours long where a disk is slow.
    """

    descriptor: int
    stat: FileStat
    alive: Callable[[], None] = lambda: None

    def digest(self) -> bytes:
        """Return the XXH3-128 over all bytes, 16 of them; raises TemporaryMediaError."""
        hashed, reader = xxhash.xxh3_128(), Reader(self)
        try:
            while block := reader.read(BLOCK):
                hashed.update(block)
        except OSError as error:
            raise TemporaryMediaError(_why(error)) from error
        if reader.tell() != self.stat.size:
            raise TemporaryMediaError(_CHANGED)
        self.check_unchanged()
        return hashed.digest()

    def check_unchanged(self) -> None:
        """Raise TemporaryMediaError if somebody has written to the file since it was opened."""
        try:
            unchanged = FileStat.of(os.fstat(self.descriptor)).unchanged(self.stat)
        except OSError as error:
            raise TemporaryMediaError(_why(error)) from error
        if not unchanged:
            raise TemporaryMediaError(_CHANGED)


class Reader:
    """A place in an OpenFile, with the methods of Python's files; several of them do not disturb each other.

    trouble: what the system said when bytes could not be read: a decoder may take that for the end of the file.
    """

    def __init__(self, file: OpenFile) -> None:
        self._file = file
        self._at = 0
        self._seen: set[int] = set()
        self.trouble: OSError | None = None

    def read(self, count: int) -> bytes:
        """Return up to `count` bytes, none at the end; raises OSError."""
        try:
            data = os.pread(self._file.descriptor, count, self._at)
        except OSError as error:
            self.trouble = error
            raise
        if data and (block := self._at // BLOCK) not in self._seen:
            self._seen.add(block)
            self._file.alive()
        self._at += len(data)
        return data

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to an offset, counted as `whence` says, and return where that is."""
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._file.stat.size}[whence]
        if base + offset < 0:
            raise ValueError("before the beginning")
        self._at = base + offset
        return self._at

    def tell(self) -> int:
        """Return the place, in bytes from the beginning."""
        return self._at

    def check(self) -> None:
        """Raise TemporaryMediaError if bytes could not be read, or have changed."""
        if self.trouble:
            raise TemporaryMediaError(_why(self.trouble)) from self.trouble
        self._file.check_unchanged()


@contextlib.contextmanager
def open_file(path: str | bytes) -> Iterator[OpenFile]:
    """Open a regular file; raises MediaError, TemporaryMediaError where the next run may succeed.

    What is raised while it is open passes.
    """
    with contextlib.ExitStack() as stack:
        try:
            descriptor = stack.enter_context(_opened(path))
            found = os.fstat(descriptor)
        except OSError as error:
            raise TemporaryMediaError(_why(error)) from error
        if not stat.S_ISREG(found.st_mode):
            raise MediaError("not a regular file")
        if found.st_size == 0:
            raise MediaError("the file is empty (0 bytes)")
        yield OpenFile(descriptor, FileStat.of(found))


def _read_all(descriptor: int, size: int) -> bytes:
    """Read to the end, or one byte beyond `size`; network file systems hand out less at a time than was asked for."""
    parts = []
    left = size + 1
    while left > 0 and (part := os.read(descriptor, left)):
        parts.append(part)
        left -= len(part)
    return b"".join(parts)


def read_head(path: str | bytes, count: int) -> bytes:
    """Return the first bytes of a regular file, or nothing where it cannot be read."""
    try:
        with _opened(path) as descriptor:
            return os.read(descriptor, count) if stat.S_ISREG(os.fstat(descriptor).st_mode) else b""
    except OSError:
        return b""


@contextlib.contextmanager
def _opened(path: str | bytes) -> Iterator[int]:
    """Open a file for reading; without O_NONBLOCK, a FIFO would wait for a writer for ever."""
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _why(error: OSError) -> str:
    """Turn an operating system error into a reason without the path: 'permission denied'."""
    return (error.strerror or str(error)).lower()
