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
    unseen: folders that could not be read, of whose files nothing is known.
    """

    root_id: int
    root: bytes
    scope: bytes
    files: dict[bytes, FileStat] = field(default_factory=dict)
    odd: dict[bytes, FileStat] = field(default_factory=dict)
    unseen: dict[bytes, str] = field(default_factory=dict)

    def covers(self, path: bytes) -> bool:
        """Say whether this scan would have seen a file, had it been there."""
        return _below(path, self.scope) and not any(_below(path, folder) for folder in self.unseen)


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
    if entry.name.startswith(b".") or entry.is_symlink():
        return
    if entry.is_dir():
        if entry.name not in IGNORED_FOLDERS and entry.path != skip:
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


def _below(path: bytes, folder: bytes) -> bool:
    return not folder or path == folder or path.startswith(folder + b"/")
