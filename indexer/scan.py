"""Walk a folder: what files are there, and which parts could not be looked at."""

import contextlib
import os
from dataclasses import dataclass, field

from core.types import FileStat, StopRequested
from media.kinds import expected_photo

IGNORED_FOLDERS = {b"@eaDir", b"#recycle", b"node_modules", b"__MACOSX"}
"""Folders of other programs: thumbnails, bins, packages."""


@dataclass
class Scan:
    """The files below one place, by path below its root.

    scope: that place below the root, b"" for the root itself; odd: things named like photos that are no files;
    unseen: folders that could not be read, of whose files nothing is known;
    skipped: hidden things, links, and folders of other programs, which count only when they are asked for by name.
    """

    root_id: int
    root: bytes
    scope: bytes
    files: dict[bytes, FileStat] = field(default_factory=dict)
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


def scan(root_id: int, root: bytes, scope: bytes, skip: bytes, stop: StopRequested) -> Scan:
    """Walk `scope` below `root` without following links; hidden names and the folder `skip` are left out.

    Names come in order, so that the same photos get the same ids in every new library.
    """
    found = Scan(root_id, root, scope)
    top = os.path.join(root, scope) if scope else root
    if not os.path.isdir(top):
        with contextlib.suppress(FileNotFoundError):  # a file that was asked for once, and is gone
            found.files[scope] = FileStat.of(os.stat(top))
        return found
    folders = [scope]
    while folders and not stop():
        below = folders.pop()
        try:
            with os.scandir(os.path.join(root, below) if below else root) as entries:
                for entry in sorted(entries, key=lambda entry: entry.name):
                    _sort_in(found, entry, os.path.join(below, entry.name), folders, skip)
        except OSError as error:
            found.unseen[below] = (error.strerror or str(error)).lower()
    return found


def _sort_in(found: Scan, entry: os.DirEntry[bytes], path: bytes, folders: list[bytes], skip: bytes) -> None:
    """Put one directory entry where it belongs."""
    if ignored(entry.name) or entry.is_symlink() or entry.path == skip:
        found.skipped.add(path)
        return
    if entry.is_dir():
        folders.append(path)
        return
    try:
        stat = FileStat.of(entry.stat(follow_symlinks=False))
    except OSError:  # it vanished while we looked
        return
    if entry.is_file():
        found.files[path] = stat
    elif expected_photo(os.fsdecode(entry.name)):
        found.odd[path] = stat


def ignored(name: bytes) -> bool:
    """Say whether a walk leaves out what has this name."""
    return name.startswith(b".") or name in IGNORED_FOLDERS


def walk_reaches(folder: bytes, path: bytes) -> bool:
    """Say whether a walk of `folder` comes to `path`: it is in there, and not behind a link or a name left out."""
    if not path.startswith(os.path.join(folder, b"")):
        return False
    while path != folder:
        if ignored(os.path.basename(path)) or os.path.islink(path):
            return False
        path = os.path.dirname(path)
    return True
