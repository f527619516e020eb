"""Walk a folder: what files are there, and which parts could not be looked at."""

import contextlib
import os
from bisect import bisect_left
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from operator import attrgetter

from core.errors import GlimpseError
from core.types import FileStat, StopRequested, Walk
from indexer.ignore import IGNORE_FILE, Rules, left_out, read_rules
from media.kinds import expected_media
from media.sidecar import is_sidecar
from store.names import DATABASE, LOCK, MARK, PREVIEWS

IGNORED_FOLDERS = {b"@eaDir", b"#recycle", b"node_modules", b"__MACOSX"}
"""Folders of other programs: thumbnails, bins, packages."""


@dataclass
class Scan:
    """The files below one place, by path below its root.

    scope: that place below the root, b"" for the root itself; odd: things named like photos that are no files;
    sidecars: files that may hold metadata of those beside them;
    unseen: folders that could not be read, of whose files nothing is known;
    skipped: what was not looked at and may be there all the same: links to a drive that is away, and whatever else
    was asked for by name. What patterns exclude, hidden things, links that are not followed, and folders of other
    programs are none of these: they count as not there.
    """

    root_id: int
    root: bytes
    scope: bytes
    files: dict[bytes, FileStat] = field(default_factory=dict)
    sidecars: dict[bytes, FileStat] = field(default_factory=dict)
    odd: dict[bytes, FileStat] = field(default_factory=dict)
    unseen: dict[bytes, str] = field(default_factory=dict)
    skipped: set[bytes] = field(default_factory=set)

    def covers(self, path: bytes) -> bool:
        """Say whether this scan would have seen a file, had it been there."""
        if self.scope and path != self.scope and not path.startswith(self.scope + b"/"):
            return False
        while not (path in self.unseen or path in self.skipped):
            if path in (self.scope, b""):
                return True
            path = os.path.dirname(path)
        return False


def scan(
    root_id: int,
    root: bytes,
    scope: bytes,
    skip: Collection[bytes],
    stop: StopRequested,
    walk: Walk = Walk(),  # noqa: B008
) -> Scan:
    """Walk `scope` below `root`, the folders `skip` left out; a scope that is a file is taken whatever `walk` says.

    Names come in order, so that the same photos get the same ids in every new library. Patterns are relative to the
    scope. Raises GlimpseError for one that is no pattern.
    """
    found = Scan(root_id, root, scope)
    top = os.path.join(root, scope) if scope else root
    if os.path.isdir(top):
        _Walker(found, skip, walk).run(stop)
    else:
        _take_single(found, top)
    return found


def _is_library(entries: Iterable[os.DirEntry[bytes]]) -> bool:
    """Say whether a folder is a library of Glimpse's or a backup: its previews are no photos."""
    names = {entry.name for entry in entries}
    beside = {os.fsencode(name) for name in (LOCK, PREVIEWS, MARK)}
    return os.fsencode(DATABASE) in names and not names.isdisjoint(beside)


class _Walker:
    """The state of one walk."""

    def __init__(self, found: Scan, skip: Collection[bytes], walk: Walk) -> None:
        self.found = found
        self.walk = walk
        self.skip = {path.removeprefix(os.path.join(found.root, b"")) for path in skip}
        self.said = (Rules(found.scope, walk.exclude),) if walk.exclude else ()
        self.folders: list[tuple[bytes, tuple[Rules, ...]]] = []
        if walk.follow_symlinks:
            self.real_root = os.path.realpath(found.root)
            self.visited = {_identity(path) for path in (found.root, *skip, os.path.join(found.root, found.scope))}

    def run(self, stop: StopRequested) -> None:
        """Walk from the scope down."""
        try:
            self.folders = [(self.found.scope, _inherited(self.found.root, self.found.scope))]
        except GlimpseError as error:
            self.found.unseen[self.found.scope] = str(error)
        while self.folders and not stop():
            below, rules = self.folders.pop()
            try:
                self._enter(below, rules)
            except OSError as error:
                self.found.unseen[below] = _why(error)
            except GlimpseError as error:
                self.found.unseen[below] = str(error)

    def _enter(self, below: bytes, rules: tuple[Rules, ...]) -> None:
        """Put each entry of a folder where it belongs."""
        root, found = self.found.root, self.found
        name_of = attrgetter("name")
        with os.scandir(os.path.join(root, below) if below else root) as unsorted:
            entries = sorted(unsorted, key=name_of)
        if _is_library(entries):
            return
        place = bisect_left(entries, IGNORE_FILE, key=name_of)
        if place < len(entries) and entries[place].name == IGNORE_FILE:
            rules = read_rules(root, below) + rules
        patterns = self.said + rules
        start = os.path.join(below, b"")
        for entry in entries:
            name = entry.name
            path = start + name
            if ignored(name, self.walk.hidden):
                continue
            if entry.is_symlink() and not self._follows(entry):
                if self.walk.follow_symlinks and not os.path.exists(entry.path):
                    found.skipped.add(path)
                continue
            is_folder = entry.is_dir()
            if patterns and left_out(patterns, path, is_folder):
                continue
            if is_folder:
                self._queue(entry, path, rules)
                continue
            try:
                stat = FileStat.of(entry.stat())
            except OSError:  # it vanished while we looked
                continue
            if not entry.is_file():
                if expected_media(os.fsdecode(name)):
                    found.odd[path] = stat
            elif is_sidecar(name):
                found.sidecars[path] = stat
            else:
                found.files[path] = stat

    def _queue(self, entry: os.DirEntry[bytes], path: bytes, rules: tuple[Rules, ...]) -> None:
        """Note a folder for later, unless it is the one to skip or a walk through links was there before."""
        if self.walk.follow_symlinks:
            identity = _identity(entry.path)
            seen = identity in self.visited
            self.visited.add(identity)
        else:
            seen = path in self.skip
        if not seen:
            self.folders.append((path, rules))

    def _follows(self, link: os.DirEntry[bytes]) -> bool:
        """Say whether to follow a link: not where it leads nowhere, as to a drive that is away, nor within the root.

        What lies within the root is found where it lies.
        """
        return bool(self.walk.follow_symlinks) and _leads_out(link.path, self.real_root)


def _take_single(found: Scan, path: bytes) -> None:
    """Take one file that was asked for by name, and what may speak of it; one that is gone is not there."""
    try:
        found.files[found.scope] = FileStat.of(os.stat(path))
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        found.unseen[found.scope] = _why(error)
        return
    folder, name = os.path.split(found.scope)
    with contextlib.suppress(OSError), os.scandir(os.path.join(found.root, folder)) as entries:
        for entry in entries:
            if entry.name != name and is_sidecar(entry.name):
                found.sidecars[os.path.join(folder, entry.name)] = FileStat.of(entry.stat())


def _inherited(root: bytes, scope: bytes) -> tuple[Rules, ...]:
    """Return the rules of the folders above `scope`, the nearest first; raises GlimpseError."""
    rules: tuple[Rules, ...] = ()
    while scope:
        scope = os.path.dirname(scope)
        rules += read_rules(root, scope)
    return rules


def ignored(name: bytes, hidden: bool | None = False) -> bool:
    """Say whether a walk leaves out what has this name; with `hidden`, of names with a dot only macOS's shadows."""
    return name in IGNORED_FOLDERS or name.startswith(b"._" if hidden else b".")


def walk_reaches(folder: bytes, path: bytes, walk: Walk = Walk()) -> bool:  # noqa: B008
    """Say whether a walk of `folder` comes to `path`: it is in there, and not behind something that is left out."""
    start = os.path.join(folder, b"")
    if not path.startswith(start):
        return False
    said = (Rules(b"", walk.exclude),) if walk.exclude else ()
    real = os.path.realpath(folder) if walk.follow_symlinks else b""
    rules: tuple[Rules, ...] = ()
    below = b""
    for name in path[len(start) :].split(b"/"):
        try:
            rules = read_rules(folder, below) + rules
        except GlimpseError:
            return False
        below = os.path.join(below, name)
        here = start + below
        if ignored(name, walk.hidden) or left_out(said + rules, below, os.path.isdir(here)):
            return False
        if os.path.islink(here) and not (walk.follow_symlinks and _leads_out(here, real)):
            return False
    return True


def _leads_out(link: bytes, real_root: bytes) -> bool:
    """Say whether a link leads to something, and that out of the root."""
    target = os.path.realpath(link)
    return os.path.exists(target) and target != real_root and not target.startswith(os.path.join(real_root, b""))


def _identity(path: bytes) -> tuple[int, int]:
    """Return what tells a folder from every other, however it was reached; (-1, -1) where there is none."""
    try:
        stat = os.stat(path)
    except OSError:
        return -1, -1
    return stat.st_dev, stat.st_ino


def _why(error: OSError) -> str:
    return (error.strerror or str(error)).lower()
