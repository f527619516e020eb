"""Read a file once: its bytes, their hash, and the stat they belong to."""

import contextlib
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass

import xxhash

from core.errors import MediaError, TemporaryMediaError
from core.types import FileStat

MAX_BYTES = 1 << 30
"""Larger files are not read: no photo is, and a file is held in memory whole."""


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
    try:
        with _opened(path) as descriptor:
            before = os.fstat(descriptor)
            if not stat.S_ISREG(before.st_mode):
                raise MediaError("not a regular file")
            if before.st_size == 0:
                raise MediaError("the file is empty (0 bytes)")
            if before.st_size > most:
                size = f"{most >> 30} GB" if most >= 1 << 30 else f"{most >> 20} MB"
                raise MediaError(f"the file is larger than {size}")
            data = _read_all(descriptor, before.st_size)
            after = os.fstat(descriptor)
    except OSError as error:
        raise TemporaryMediaError(_why(error)) from error
    if len(data) != before.st_size or after.st_mtime_ns != before.st_mtime_ns:
        raise TemporaryMediaError("the file changed while it was read")
    return FileBytes(data, xxhash.xxh3_128_digest(data), FileStat.of(before))


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
