"""Find files with the same bytes, and photos that are much alike; changes nothing."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import numpy as np

from core.types import Halves, Kind, ProgressCallback
from media.thumbs import sharpness
from search.alike import Alike, Links, Places, around, link, pairs
from search.cells import cells
from store.copies import described, places, present, repeated, wholes
from store.previews import Previews
from store.reader import Reader, StoredSpace

SAME_BYTES = 0.8
"""Share of the most bytes from which a photo counts as no smaller: then the sharper one is better."""


class Sameness(StrEnum):
    """Why files are in a group: the same bytes; much alike by the looks; or by the looks and the time."""

    EXACT = "exact"
    NEAR = "near"
    BURST = "burst"


@dataclass(frozen=True)
class Duplicate:
    """A file of a group.

    id: of its content; size: upright width and height in px, (0, 0) of a sound; bytes: of the file; companions: files
    that belong to it, such as a RAW; sharpness: see media/thumbs.py, 0 where nobody looked.
    """

    path: Path
    id: int
    kind: Kind
    size: tuple[int, int]
    bytes: int
    companions: tuple[Path, ...] = ()
    sharpness: float = 0.0

    @property
    def pixels(self) -> int:
        """Width times height."""
        return self.size[0] * self.size[1]


@dataclass(frozen=True)
class Group:
    """Files that are much alike, the best first; why: what makes it the best."""

    sameness: Sameness
    files: tuple[Duplicate, ...]
    why: str

    @property
    def spare(self) -> int:
        """Bytes of all but the best."""
        return sum(file.bytes for file in self.files[1:])


def dupes(
    reader: Reader, space: StoredSpace | None, exact: bool, folder: Path | None, progress: ProgressCallback
) -> list[Group]:
    """Return groups of files with the same bytes and of photos that are much alike, those with most bytes first.

    space: whose vectors tell what is near, None where there are none; exact: the same bytes only; folder: only what
    lies in it. A file is in one group at most; sounds and films are compared by their bytes alone.
    """
    found = [] if exact or space is None else _near(reader, space, folder, progress)
    grouped = {file.id for group in found for file in group.files}
    same = [key for key in repeated(reader, folder) if key not in grouped]
    for files in _files(reader, same, folder).values():
        if len(files) > 1:
            found.append(Group(Sameness.EXACT, tuple(files), _why(files)))
    return sorted(found, key=lambda group: (-group.spare, group.files[0].path))


def _near(reader: Reader, space: StoredSpace, folder: Path | None, progress: ProgressCallback) -> list[Group]:
    """Return the groups of several contents."""
    ids, contents = wholes(reader, space)
    here = np.isin(contents, present(reader, folder))
    ids, contents = ids[here], contents[here]
    alike, links = Alike(reader, contents), Links(len(ids))
    for cell in cells(reader, space, ids, progress):
        known, vectors = reader.vectors_by_id(space, cell.tolist())
        homes = np.searchsorted(ids, known)
        for i, j, cosines in pairs(vectors):
            link(links, alike, homes[i], homes[j], cosines)
    groups: list[Group] = []
    for members in links.groups():
        files = _files(reader, contents[members].tolist(), folder, sharp=True)
        place_of = dict(zip(contents[members].tolist(), members.tolist(), strict=True))
        ranking = np.array([place_of[key] for key in _best_first(files)], np.intp)
        known, vectors = reader.vectors_by_id(space, ids[ranking].tolist())
        ranking = ranking[np.isin(ids[ranking], known)]  # somebody may write meanwhile
        vectors = vectors[np.searchsorted(known, ids[ranking])]
        for group in around(vectors):
            found = [file for place in ranking[group].tolist() for file in files[int(contents[place])]]
            groups.append(Group(_sameness(alike, ranking[group], vectors[group]), tuple(found), _why(found)))
    return groups


def _sameness(alike: Alike, members: Places, vectors: Halves) -> Sameness:
    """Return a burst where what is not a copy of the best was taken beside it."""
    best, others = np.repeat(members[:1], len(members) - 1), members[1:]
    rows = vectors.astype(np.float32)
    copies = alike.copies(best, others, rows[1:] @ rows[0])
    return Sameness.BURST if alike.bursts(best, others)[~copies].any() else Sameness.NEAR


def _files(
    reader: Reader, contents: Sequence[int], folder: Path | None, sharp: bool = False
) -> dict[int, list[Duplicate]]:
    """Return the files of contents; of several with the same bytes first what something belongs to, then short names.

    sharp: look how sharp they are.
    """
    about, where = described(reader, contents), places(reader, contents, folder)
    previews = Previews(reader.folder)
    found: dict[int, list[Duplicate]] = {}
    for key in contents:
        if key in about and key in where:
            kind, digest, size, count = about[key]
            preview = previews.read(digest) if sharp else None
            sharpness_ = 0.0 if preview is None else sharpness(preview)
            copies = [Duplicate(path, key, kind, size, count, beside, sharpness_) for path, beside in where[key]]
            found[key] = sorted(copies, key=lambda file: (not file.companions, len(file.path.name), file.path))
    return found


def _best_first(files: dict[int, list[Duplicate]]) -> list[int]:
    """Return contents by their pixels, then by whether they have about the most bytes, then by sharpness."""
    most: dict[int, int] = {}
    for file, *_ in files.values():
        most[file.pixels] = max(file.bytes, most.get(file.pixels, 0))

    def standing(key: int) -> tuple[object, ...]:
        file = files[key][0]
        small = file.bytes < SAME_BYTES * most[file.pixels]
        return -file.pixels, small, 0.0 if small else -file.sharpness, -file.bytes, file.path

    return sorted(files, key=standing)


def _why(files: Sequence[Duplicate]) -> str:
    """Return what makes the first the best, in two or three words."""
    best = files[0]
    others = [file for file in files if file.id != best.id]
    if not others:
        beside = [file for file in files if file.companions]
        return "has files beside it" if beside and len(beside) < len(files) else "shortest name"
    level = [file for file in others if file.pixels == best.pixels]
    if not level:
        return "most pixels"
    if all(file.bytes < SAME_BYTES * best.bytes for file in level):
        return "most bytes"
    return "sharpest" if best.sharpness > max(file.sharpness for file in level) else "most bytes"
