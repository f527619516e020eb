"""Compare what a scan found with what the library knows: what has to be read, and what need not be."""

import mimetypes
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import xxhash

from core.types import FileStat, StopRequested
from indexer.pairs import companions
from indexer.scan import Scan
from media.files import read_head
from media.kinds import HEAD_BYTES, expected_media, recording_format, sniff
from media.sidecar import sidecars_of
from store.records import KnownFile, Taken

Key = tuple[int, bytes]
"""A file: id of its root and path below it."""


@dataclass(frozen=True, slots=True)
class Job:
    """A file to look into.

    known: what the library has of it; sidecars: paths below the root of the files with its metadata, best first;
    beside: a hash of their stats, None for none.
    """

    root_id: int
    root: bytes
    path: bytes
    stat: FileStat
    known: KnownFile | None = None
    sidecars: tuple[bytes, ...] = ()
    beside: str | None = None

    @property
    def full_path(self) -> bytes:
        """Return where the file lies."""
        return os.path.join(self.root, self.path)

    @property
    def name(self) -> str:
        """Return the file's name without its folders."""
        return os.fsdecode(os.path.basename(self.path))


@dataclass
class Plan:
    """What an index run has to do.

    jobs: files to read; settled: (what to count it as, row) of files known without reading; failing: files that
    could not be read and have not changed since; retold: unchanged files whose sidecars changed; companions: files
    that belong to another (path below the same root; None: to none any more), a RAW or a movie; missing: files no
    longer where they were.
    """

    jobs: list[Job] = field(default_factory=list)
    settled: list[tuple[str, Taken]] = field(default_factory=list)
    failing: list[tuple[bytes, str]] = field(default_factory=list)
    retold: list[Job] = field(default_factory=list)
    companions: list[tuple[Job, bytes | None]] = field(default_factory=list)
    unchanged: int = 0
    missing: "Missing" = field(default_factory=lambda: Missing({}, {}, {}))


class Missing:
    """Files that are not where they were: each may turn up once, somewhere else."""

    def __init__(self, files: dict[Key, KnownFile], unseen: dict[Key, KnownFile], roots: dict[int, bytes]) -> None:
        """files: missing ones; unseen: files that this run does not look at; roots: the indexed folders by id."""
        self._files = files
        self._unseen = unseen
        self._roots = roots
        self._turned_up: set[int] = set()
        # One that went long ago may have left its inode to another photo.
        self._by_stat = {known.stat: key for key, known in files.items() if known.encoded and not known.gone}
        self._by_digest = _by_digest(files)
        self._unseen_by_digest = _by_digest(unseen)

    def take_same_file(self, stat: FileStat) -> tuple[bytes, KnownFile] | None:
        """Return, once, the missing file with this very inode, size and time, and its path: nothing to read."""
        key = self._by_stat.pop(stat, None)
        known = self._files.pop(key, None) if key else None
        return (key[1], known) if key and known else None

    def take_same_content(self, digest: bytes) -> KnownFile | None:
        """Return, once, a missing file with these bytes."""
        for key in self._by_digest.get(digest, ()):
            if known := self._files.pop(key, None):
                return known
        for root_id, path in self._unseen_by_digest.pop(digest, ()):
            if not os.path.lexists(os.path.join(self._roots[root_id], path)):
                found = self._unseen[root_id, path]
                self._turned_up.add(found.id)
                return found
        return None

    def turned_up(self, known: KnownFile | None) -> bool:
        """Say whether a file out of sight has been found somewhere else since `out_of_sight` named it."""
        return known is not None and known.id in self._turned_up

    def newly_gone(self) -> list[KnownFile]:
        """Return the files that are left and were there at the last run."""
        return [known for known in self._files.values() if not known.gone]

    def out_of_sight(self) -> Iterator[Job]:
        """Yield the files that this run does not look at, though they are not gone: on a drive that is not there."""
        for (root_id, path), known in self._unseen.items():
            yield Job(root_id, self._roots[root_id], path, known.stat, known)


def diff(
    scans: Sequence[Scan], known: dict[Key, KnownFile], roots: dict[int, bytes], stop: StopRequested = lambda: False
) -> Plan:
    """Compare scans with the known files of the whole library; told to stop, returns what it has until then."""
    plan = Plan()
    plan.missing = _missing(scans, known, roots)
    others = _Others(known)
    for scan in scans:
        belongs = companions(scan.files)
        beside = _by_folder(scan.sidecars)
        for path, stat in scan.files.items():
            if stop():
                return plan
            before = known.get((scan.root_id, path))
            if before is not None and stat != before.stat and stat.unchanged(before.stat) and others.had(stat):
                plan.jobs.append(Job(scan.root_id, scan.root, path, stat, before, *_sidecars(path, beside)))
                continue
            if before is not None and _is_settled(before, stat) and not beside and path not in belongs:
                plan.unchanged += 1  # nearly all of them, nearly always
                continue
            primary = known.get((scan.root_id, belongs[path])) if path in belongs else None
            alone = primary is not None and _is_unreadable(primary, scan.files[belongs[path]])
            if path not in belongs or (alone and expected_media(os.fsdecode(path))):
                _plan_file(plan, scan, path, stat, before, beside)
            elif not _belongs(stat, before, primary, scan.files[belongs[path]]):
                plan.companions.append((Job(scan.root_id, scan.root, path, stat, before), belongs[path]))
        for path, stat in scan.odd.items():
            before = known.get((scan.root_id, path))
            row = Taken(scan.root_id, path, stat, before.id if before else None, failure="not a regular file")
            plan.settled.append(("failed", row))
    return plan


class _Others:
    """What files were, to tell one that was put in the place of another of its size and time."""

    def __init__(self, known: dict[Key, KnownFile]) -> None:
        self._known = known

    @cached_property
    def _stats(self) -> set[FileStat]:
        return {file.stat for file in self._known.values()}

    def had(self, stat: FileStat) -> bool:
        """Say whether a file was this very one at the last run."""
        return stat in self._stats


Beside = dict[bytes, dict[bytes, FileStat]]
"""Sidecars: by folder, then by name."""


def _plan_file(plan: Plan, scan: Scan, path: bytes, stat: FileStat, known: KnownFile | None, beside: Beside) -> None:
    """Decide about one file."""
    sidecars, told = _sidecars(path, beside) if beside else ((), None)
    if known is None or (known.digest is None and known.failure is None):  # new, or it belonged to another until now
        asked_for = path == scan.scope or expected_media(os.fsdecode(path))
        if not asked_for and not _looks_like_media(os.path.join(scan.root, path)):
            if known is not None and known.primary is not None:  # its photo went without it
                plan.companions.append((Job(scan.root_id, scan.root, path, stat, known), None))
            return
    if known is None:
        if moved := plan.missing.take_same_file(stat):
            before, file = moved
            plan.settled.append(("moved", Taken(scan.root_id, path, stat, file.id, file.digest)))
            if file.beside != told or os.path.basename(before) != os.path.basename(path):  # names may tell the time
                plan.retold.append(Job(scan.root_id, scan.root, path, stat, file, sidecars, told))
            return
    elif stat.unchanged(known.stat):
        if _is_unreadable(known, stat):
            if known.gone:  # it is back
                plan.settled.append(("failed", Taken(scan.root_id, path, stat, known.id, failure=known.failure)))
            else:
                plan.failing.append((os.path.join(scan.root, path), known.failure or ""))
            return
        if known.encoded and known.described and known.failure is None:
            if known.gone or stat != known.stat:  # it is back, or its inode is new, by which a renamed file is known
                outcome = "added" if known.gone else "unchanged"
                plan.settled.append((outcome, Taken(scan.root_id, path, stat, known.id, known.digest)))
            else:
                plan.unchanged += 1
            if known.beside != told:
                plan.retold.append(Job(scan.root_id, scan.root, path, stat, known, sidecars, told))
            return
    plan.jobs.append(Job(scan.root_id, scan.root, path, stat, known, sidecars, told))


def _is_settled(known: KnownFile, stat: FileStat) -> bool:
    """Say whether a file is as it was, with a vector and without sidecars: there is nothing to do."""
    return (
        known.stat == stat
        and known.encoded
        and known.described
        and known.failure is None
        and not known.gone
        and known.beside is None
    )


def _is_unreadable(known: KnownFile, stat: FileStat) -> bool:
    """Say whether a file could not be read, for good, and is as it was."""
    return known.failure is not None and not known.retry and stat.unchanged(known.stat)


def _belongs(stat: FileStat, known: KnownFile | None, primary: KnownFile | None, primary_stat: FileStat) -> bool:
    """Say whether the library knows already that a file belongs to another, and both are as they were."""
    if known is None or primary is None or known.primary != primary.id:
        return False
    return stat == known.stat and not known.gone and primary_stat.unchanged(primary.stat)


def _looks_like_media(full_path: bytes) -> bool:
    """Say whether a file without the name of one is a photo or a recording; texts are not opened at every run."""
    name = os.fsdecode(full_path)
    kind, _ = mimetypes.guess_type(name)
    if kind is not None and kind.startswith(("video/", "audio/", "text/")):
        return False
    head = read_head(full_path, HEAD_BYTES)
    return sniff(head) is not None or recording_format(head, name) is not None


def _sidecars(path: bytes, beside: Beside) -> tuple[tuple[bytes, ...], str | None]:
    """Return the sidecars of a photo, best first, and a hash of their names, sizes and times."""
    folder, name = os.path.split(path)
    there = beside.get(folder)
    names = sidecars_of(name, there) if there else ()
    if not there or not names:
        return (), None
    stats = [(sidecar, *there[sidecar][:2]) for sidecar in names]
    return tuple(os.path.join(folder, sidecar) for sidecar in names), xxhash.xxh3_64_hexdigest(repr(stats).encode())


def _by_folder(sidecars: dict[bytes, FileStat]) -> Beside:
    folders: Beside = {}
    for path, stat in sidecars.items():
        folder, name = os.path.split(path)
        folders.setdefault(folder, {})[name] = stat
    return folders


def _by_digest(files: dict[Key, KnownFile]) -> dict[bytes, list[Key]]:
    keys: dict[bytes, list[Key]] = {}
    for key, known in files.items():
        if known.digest is not None:
            keys.setdefault(known.digest, []).append(key)
    return keys


def _missing(scans: Sequence[Scan], known: dict[Key, KnownFile], roots: dict[int, bytes]) -> Missing:
    """Split the known files that were not found into missing ones and ones that nobody looked at."""
    missing: dict[Key, KnownFile] = {}
    unseen: dict[Key, KnownFile] = {}
    by_root: dict[int, list[Scan]] = {}
    for scan in scans:
        by_root.setdefault(scan.root_id, []).append(scan)
    for key, file in known.items():
        root_id, path = key
        here = by_root.get(root_id, ())
        if any(path in scan.files or path in scan.odd for scan in here):
            continue
        if file.gone or any(scan.covers(path) for scan in here):
            missing[key] = file
        else:
            unseen[key] = file
    return Missing(missing, unseen, roots)
