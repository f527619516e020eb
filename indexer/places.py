"""Where an index run looks: the folders and files that somebody named, now or before, as parts of roots."""

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from core.types import FileStat, StopRequested, Walk
from indexer.scan import Scan, scan, walk_reaches
from store.records import Source
from store.writer import Writer

Note = Callable[[str], None]


@dataclass(frozen=True)
class Place:
    """A folder or a file to look at: `scope` below a root, b"" for all of it.

    elsewhere: paths below the root that were asked for by name and that walking this place does not come to, or is
    not to: what was said of them may be something else.
    """

    root_id: int
    root: bytes
    scope: bytes
    walk: Walk
    elsewhere: tuple[bytes, ...]


def places(library: Writer, paths: Sequence[Path], walk: Walk | None, note: Note) -> Iterator[Place]:
    """Yield where to look for `paths`, without any for all that was ever asked for; makes roots that are missing.

    walk: how to walk, from now on; None for what was said before.
    """
    before = library.sources()
    if paths:
        named = [os.path.abspath(os.fsencode(path)) for path in paths]
        named = [b"/" + path.lstrip(b"/") if path.startswith(b"//") else path for path in named]
        library.add_sources({path: os.path.isdir(path) for path in named}, walk)
    else:
        named = [path for path, source in before.items() if _is_there(path, source.folder, note)]
        if walk is not None:  # said of all
            library.add_sources({path: source.folder for path, source in before.items()}, walk)
    sources = library.sources()
    taken: list[bytes] = []
    folders: list[bytes] = []
    inside = [path for path in sources if any(path.startswith(os.path.join(full, b"")) for full in named)]
    named += [path for path in inside if _is_own(sources[path]) and os.path.isdir(path)]
    for full in sorted(set(named), key=lambda path: path.split(b"/")):  # a folder, then all that is in it
        reached = any(walk_reaches(folder, full, sources[folder].walk) for folder in folders)
        if not reached or _is_own(sources[full]):
            taken.append(full)
            folders += [full] if os.path.isdir(full) else []
            _root_of(library, full)  # makes a root that may take over an earlier one: a/b, then a/c.jpg
    for full in taken:
        yield _place(library, full, sources)


def look(library: Writer, place: Place, skip: bytes, stop: StopRequested, note: Note) -> Scan:
    """Walk a place; what cannot be seen is noted, and what is known of it is kept. skip: a folder to leave out."""
    leave = (skip, *(os.path.join(place.root, path) for path in place.elsewhere))
    found = scan(place.root_id, place.root, place.scope, leave, stop, place.walk)
    found.skipped.update(place.elsewhere)
    if not found.files and not found.odd and not found.unseen:
        _distrust_empty(library, found)
    for folder, reason in found.unseen.items():
        name = os.fsdecode(os.path.join(place.root, folder) if folder else place.root)
        note(f"{name} was not looked at ({reason}); what is known of it is kept")
    return found


def _place(library: Writer, full: bytes, sources: dict[bytes, Source]) -> Place:
    root_id, root, scope = _root_of(library, full)
    walk = sources[full].walk
    inside = [path for path in sources if path.startswith(os.path.join(full, b""))]
    start = len(os.path.join(root, b""))
    elsewhere = tuple(path[start:] for path in inside if _is_own(sources[path]) or not walk_reaches(full, path, walk))
    return Place(root_id, root, scope, walk, elsewhere)


def _is_own(source: Source) -> bool:
    """Say whether something was said of how a folder is walked, so that the folder above does not decide."""
    return source.folder and source.walk != Walk()


def _is_there(source: bytes, folder: bool, note: Note) -> bool:
    """Say whether a source can be looked at; a file that is gone from its folder can, and is found missing."""
    there = os.path.isdir(source if folder else os.path.dirname(source))
    if not there:
        note(f"{os.fsdecode(source)} is not there; what is known of it is kept")
    return there


def _root_of(library: Writer, path: bytes) -> tuple[int, bytes, bytes]:
    """Find or make the root of a path; returns (root id, root, path below it)."""
    roots = library.roots()
    for root_id, root in roots.items():
        if path == root or path.startswith(os.path.join(root, b"")):
            return root_id, root, path[len(root) :].lstrip(b"/")
    folder = path if os.path.isdir(path) else os.path.dirname(path)
    start = os.path.join(folder, b"")
    inside = [(key, root[len(start) :]) for key, root in roots.items() if root.startswith(start)]
    return library.add_root(folder, inside), folder, path[len(start) :]


def _distrust_empty(library: Writer, found: Scan) -> None:
    """Take an empty folder for a drive that is not connected, if its files lay on another device."""
    try:
        device = FileStat.of(os.stat(found.root)).device
    except OSError as error:  # it went while we looked
        found.unseen[found.scope] = (error.strerror or str(error)).lower()
        return
    if library.devices(found.root_id) - {device}:
        found.unseen[found.scope] = "empty: is its drive connected?"
