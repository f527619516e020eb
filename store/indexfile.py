"""Files of the index: what they were made from stands in their name, what is known about them at their end.

`SPACE-LAST-FINGERPRINT-CHECKSUM.TIER` holds the vectors of a space up to id LAST. FINGERPRINT is a hash of that row,
which tells a database that was put back from a backup. Behind what FAISS wrote comes a footer: facts as JSON, its
length, a mark. CHECKSUM covers all that FAISS takes its bearings by, and the footer; the codes are covered by a
checksum of the whole, among the facts. One rename puts a file in its place, and nothing beside it can disagree.
"""

import contextlib
import json
import mmap
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from errno import EACCES, EDQUOT, EIO, ENOSPC, EROFS
from pathlib import Path
from typing import Any

import xxhash

FLAT, IVF = "flat", "ivf"
_MARK = b"GLIMPSE1"
_WHOLE = 300_000_000
"""Files of up to so many bytes are checked whole whenever they are opened: 30 ms, and a query reads them anyway."""
_FORGOTTEN = 3600.0
"""Seconds after which a scratch file is that of a killed process."""

FingerprintOf = Callable[[int], str | None]
"""Returns a hash of the vector with an id, None where the database has never had it."""
Bulk = Callable[[int], tuple[int, int]]
"""Returns where in a file of so many bytes the codes lie, from and to."""


@dataclass(frozen=True)
class IndexFile:
    """A file that fits the database and is whole, as far as that was looked at."""

    path: Path
    last: int
    facts: dict[str, Any]


def find(folder: Path, space_id: int, tier: str, fingerprint_of: FingerprintOf, deaths: int) -> Iterator[IndexFile]:
    """Yield the files of a space that fit the database and are not damaged, those that cover most first.

    deaths: how many vectors were ever deleted; a file that was made after more of them may lack some that are back.
    """
    for path in sorted(folder.glob(f"{space_id}-*.{tier}"), key=_last, reverse=True):
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            last, fingerprint, checksum = path.stem.split("-")[1:]
            if fingerprint != fingerprint_of(int(last)):
                continue
            with _content(path) as content:
                facts = _facts(content)
                whole = len(content) > _WHOLE or _whole(content, facts)
                if facts["deaths"] <= deaths and whole and checksum == _checksum(content, facts):
                    yield IndexFile(path, int(last), facts)


def write(
    folder: Path,
    tier: str,
    made_from: tuple[int, int, str],
    save: Callable[[Path], None],
    bulk: Bulk,
    facts: dict[str, Any],
) -> IndexFile:
    """Write a file and put it in its place; raises OSError where the disk does not take it.

    made_from: space, LAST and FINGERPRINT; save: writes what FAISS has to say to a path; facts: among them `deaths`,
    how many vectors had been deleted ever.
    """
    folder.mkdir(exist_ok=True)
    scratch = folder / f"{os.urandom(8).hex()}.tmp"
    try:
        try:
            save(scratch)
        except RuntimeError as error:  # FAISS's, with lines of its source
            known = (os.strerror(number) for number in (ENOSPC, EACCES, EROFS, EDQUOT))
            why = next((text for text in known if text in str(error)), "it cannot be written")
            raise OSError(EIO, why, str(folder)) from error
        size = scratch.stat().st_size
        facts = {**facts, "size": size, "bulk": bulk(size), "whole": ""}
        with _content(scratch) as content:
            facts["whole"] = xxhash.xxh3_64_hexdigest(content)
        footer = json.dumps(facts).encode()
        with scratch.open("ab") as file:
            file.write(footer + len(footer).to_bytes(8, "little") + _MARK)
            file.flush()
            os.fsync(file.fileno())
        with _content(scratch) as content:
            checksum = _checksum(content, facts)
        space_id, last, fingerprint = made_from
        path = folder / f"{space_id}-{last}-{fingerprint}-{checksum}.{tier}"
        scratch.replace(path)
    finally:
        scratch.unlink(missing_ok=True)
    return IndexFile(path, last, facts)


def verify(path: Path) -> bool:
    """Say whether a file is whole, every byte of it; raises OSError."""
    try:
        with _content(path) as content:
            facts = _facts(content)
            return _whole(content, facts) and path.stem.rpartition("-")[2] == _checksum(content, facts)
    except (ValueError, KeyError, TypeError):
        return False


def sweep(folder: Path, space_id: int, keep: set[Path], last: int | None = None) -> None:
    """Delete the files of a space but those to keep, and what killed processes left behind.

    last: leave alone what covers more: another process may just have made it.
    """
    hour_ago = time.time() - _FORGOTTEN
    for path in list(folder.glob("*")) if folder.is_dir() else ():
        with contextlib.suppress(OSError, ValueError):
            mine = path.suffix in (f".{FLAT}", f".{IVF}") and path.name.startswith(f"{space_id}-")
            older = mine and path not in keep and (last is None or _last(path) <= last)
            forgotten = path.suffix == ".tmp" and path.stat().st_mtime < hour_ago
            if older or forgotten or path.suffix == ".faiss":  # as they were called before
                path.unlink()


def _last(path: Path) -> int:
    """Return LAST of a name, -1 if it has none."""
    part = path.stem.split("-")[1:2]
    return int(part[0]) if part and part[0].isdecimal() else -1


@contextlib.contextmanager
def _content(path: Path) -> Iterator["mmap.mmap"]:
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        yield content


def _facts(content: "mmap.mmap") -> dict[str, Any]:
    """Read the footer; raises ValueError where there is none."""
    end = len(content) - 8 - len(_MARK)
    length = int.from_bytes(content[end : end + 8], "little")
    if end < 0 or content[end + 8 :] != _MARK or length > end:
        raise ValueError("no footer")
    facts = json.loads(content[end - length : end])
    if not isinstance(facts, dict) or facts["size"] != end - length:
        raise ValueError("a footer of another file")
    return facts


def _whole(content: "mmap.mmap", facts: dict[str, Any]) -> bool:
    with memoryview(content) as view, view[: facts["size"]] as written:
        return xxhash.xxh3_64_hexdigest(written) == str(facts["whole"])


def _checksum(content: "mmap.mmap", facts: dict[str, Any]) -> str:
    """Return XXH3-64 of everything but the codes."""
    start, end = facts["bulk"]
    hashed = xxhash.xxh3_64()
    with memoryview(content) as view:
        for part in (view[:start], view[end:]):
            hashed.update(part)
            part.release()
    return hashed.hexdigest()
