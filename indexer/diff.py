"""Compare what a scan found with what the library knows: what has to be read, and what need not be."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field

from core.types import FileStat, StopRequested
from indexer.scan import Scan
from media.files import read_head
from media.kinds import HEAD_BYTES, expected_photo, sniff
from store.writer import KnownFile, Taken

Key = tuple[int, bytes]
"""A file: id of its root and path below it."""


@dataclass(frozen=True, slots=True)
class Job:
    """A file to read; `known` is what the library has of it."""

    root_id: int
    root: bytes
    path: bytes
    known: KnownFile | None

    @property
    def full_path(self) -> bytes:
        """Return where the file lies."""
        return os.path.join(self.root, self.path)


@dataclass
class Plan:
    """What an index run has to do.

    jobs: files to read; settled: (what to count it as, row) of files known without reading; failing: files that
    could not be read and have not changed since; missing: files that are no longer where they were.
    """

    jobs: list[Job] = field(default_factory=list)
    settled: list[tuple[str, Taken]] = field(default_factory=list)
    failing: list[tuple[bytes, str]] = field(default_factory=list)
    unchanged: int = 0
    missing: "Missing" = field(default_factory=lambda: Missing({}, {}))


class Missing:
    """Files that are not where they were: each may turn up once, somewhere else."""

    def __init__(self, files: dict[Key, KnownFile], elsewhere: dict[bytes, list[tuple[bytes, KnownFile]]]) -> None:
        """files: missing ones; elsewhere: by digest, (full path, file) of files that this run does not look at."""
        self._files = files
        self._elsewhere = elsewhere
        # One that went long ago may have left its inode to another photo.
        self._by_stat = {known.stat: key for key, known in files.items() if known.encoded and not known.gone}
        self._by_digest: dict[bytes, list[Key]] = {}
        for key, known in files.items():
            if known.digest is not None:
                self._by_digest.setdefault(known.digest, []).append(key)

    def take_same_file(self, stat: FileStat) -> KnownFile | None:
        """Return, once, the missing file with this very inode, size and time: renamed, nothing to read."""
        return self._files.pop(self._by_stat.pop(stat, (0, b"")), None)

    def take_same_content(self, digest: bytes) -> KnownFile | None:
        """Return, once, a missing file with these bytes."""
        for key in self._by_digest.get(digest, ()):
            if known := self._files.pop(key, None):
                return known
        for path, known in self._elsewhere.pop(digest, ()):
            if not os.path.lexists(path):
                return known
        return None

    def newly_gone(self) -> list[KnownFile]:
        """Return the files that are left and were there at the last run."""
        return [known for known in self._files.values() if not known.gone]


def diff(
    scans: Sequence[Scan], known: dict[Key, KnownFile], roots: dict[int, bytes], stop: StopRequested = lambda: False
) -> Plan:
    """Compare scans with the known files of the whole library; told to stop, returns what it has until then."""
    plan = Plan()
    plan.missing = _missing(scans, known, roots)
    for scan in scans:
        for path, stat in scan.files.items():
            if stop():
                return plan
            _plan_file(plan, scan, path, stat, known.get((scan.root_id, path)))
        for path, stat in scan.odd.items():
            before = known.get((scan.root_id, path))
            row = Taken(scan.root_id, path, stat, before.id if before else None, failure="not a regular file")
            plan.settled.append(("failed", row))
    return plan


def _plan_file(plan: Plan, scan: Scan, path: bytes, stat: FileStat, known: KnownFile | None) -> None:
    """Decide about one file."""
    if known is None:
        asked_for = path == scan.scope or expected_photo(os.fsdecode(path))
        if not asked_for and not _looks_like_photo(os.path.join(scan.root, path)):
            return
        if moved := plan.missing.take_same_file(stat):
            plan.settled.append(("moved", Taken(scan.root_id, path, stat, moved.id, moved.digest)))
            return
    elif stat.unchanged(known.stat):
        if known.failure is not None and not known.retry:
            if known.gone:  # it is back
                plan.settled.append(("failed", Taken(scan.root_id, path, stat, known.id, failure=known.failure)))
            else:
                plan.failing.append((os.path.join(scan.root, path), known.failure))
            return
        if known.encoded and known.failure is None:
            if known.gone or stat != known.stat:  # it is back, or its inode is new, by which a renamed file is known
                outcome = "added" if known.gone else "unchanged"
                plan.settled.append((outcome, Taken(scan.root_id, path, stat, known.id, known.digest)))
            else:
                plan.unchanged += 1
            return
    plan.jobs.append(Job(scan.root_id, scan.root, path, known))


def _looks_like_photo(full_path: bytes) -> bool:
    return sniff(read_head(full_path, HEAD_BYTES)) is not None


def _missing(scans: Sequence[Scan], known: dict[Key, KnownFile], roots: dict[int, bytes]) -> Missing:
    """Split the known files that were not found into missing ones and ones that nobody looked at."""
    seen = {(scan.root_id, path) for scan in scans for path in (*scan.files, *scan.odd)}
    missing: dict[Key, KnownFile] = {}
    elsewhere: dict[bytes, list[tuple[bytes, KnownFile]]] = {}
    for (root_id, path), file in known.items():
        if (root_id, path) in seen:
            continue
        if file.gone or any(scan.root_id == root_id and scan.covers(path) for scan in scans):
            missing[root_id, path] = file
        elif file.digest is not None:
            elsewhere.setdefault(file.digest, []).append((os.path.join(roots[root_id], path), file))
    return Missing(missing, elsewhere)
