"""What a reader asks about tags: keywords of files, and what a person says of a tag over what the files say.

Verdicts belong to contents, so that copies share them, and the last word on a tag wins. A content has the keywords of
its files, less those that were removed or rejected, and what was added or accepted. Names are hierarchies with "/".
"""

import os
import unicodedata
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from core.errors import LibraryError, QueryError
from core.types import Ids, Vectors
from store.names import REPAIR, VECTOR_DTYPE
from store.reader import Reader, StoredSpace, full_path, path_below
from store.records import FRAME, WHOLE


class Verdict(StrEnum):
    """What a person says of a tag for a content; accepted and rejected answer a suggestion."""

    ADDED = "added"
    REMOVED = "removed"
    ACCEPTED = "accepted"
    REJECTED = "rejected"

    @property
    def has(self) -> bool:
        """Say whether a content has the tag by this verdict."""
        return self in (Verdict.ADDED, Verdict.ACCEPTED)


EFFECTIVE = (
    "SELECT f.content_id, ft.tag_id FROM file_tags ft JOIN files f ON f.id = ft.file_id "
    "WHERE f.content_id IS NOT NULL AND NOT f.gone "
    "UNION SELECT v.content_id, v.tag_id FROM verdicts v WHERE v.verdict IN ('added', 'accepted') "
    "AND EXISTS (SELECT 1 FROM files f WHERE f.content_id = v.content_id AND NOT f.gone) "
    "EXCEPT SELECT content_id, tag_id FROM verdicts WHERE verdict IN ('removed', 'rejected')"
)
"""The tags of all contents that are there, as (content_id, tag_id)."""
LONGEST = 200
"""Characters at which keywords of files are cut, too."""
_BLOCKS = 256
"""Places in a space from which a sample is taken, some of each: a vector at a time would be a seek each."""


def clean(name: str) -> str:
    """Return a tag as it is stored: NFC, single spaces, no empty levels; raises QueryError for what is no name."""
    text = unicodedata.normalize("NFC", name).replace("|", "/")  # which stands between levels in sidecars
    levels = (" ".join(level.split()) for level in text.split("/"))
    cleaned = "/".join(filter(None, levels))
    if not cleaned:
        raise QueryError("a tag needs a name")
    if not cleaned.isprintable():
        raise QueryError(f"{name!a} cannot be the name of a tag: a character in it cannot be shown")
    if len(cleaned) >= LONGEST:
        raise QueryError(f"the tag '{cleaned[:20]}...' is too long: fewer than {LONGEST} characters are allowed")
    return cleaned


def effective(keywords: Iterable[str], verdicts: Mapping[str, Verdict]) -> list[str]:
    """Return the tags of a content: keywords first, in their order, then what was said, in its order."""
    said = (name for name, verdict in verdicts.items() if verdict.has)
    return [name for name in dict.fromkeys((*keywords, *said)) if verdicts.get(name, Verdict.ADDED).has]


def renamed(keywords: Iterable[str], verdicts: Mapping[str, Verdict], names: Mapping[str, str]) -> dict[str, Verdict]:
    """Return the verdicts of a content after its tags were renamed: files keep their words, so verdicts say it.

    keywords: of its files; names: new ones by old ones. What it has keeps its kind of verdict under the new name;
    what it must not have goes on being refused, unless the new name is one that it has.
    """
    written = list(dict.fromkeys(keywords))
    has: dict[str, Verdict | None] = {}  # None: a file says it, and nobody else
    for name in effective(written, verdicts):
        new = names.get(name, name)
        has[new] = has.get(new) or verdicts.get(name)
    after = {
        name: verdict or Verdict.ADDED for name, verdict in has.items() if verdict is not None or name not in written
    }
    for name, verdict in verdicts.items():
        if not verdict.has and names.get(name, name) not in has:
            after.setdefault(names.get(name, name), verdict)
    for name in written:
        if name not in has:
            said = verdicts.get(name, Verdict.REMOVED)
            after.setdefault(name, Verdict.REMOVED if said.has else said)
    return after


def under(name: str, other: str) -> bool:
    """Say whether a tag is another, or lies below it in the hierarchy."""
    return name == other or name.startswith(f"{other}/")


def contents_at(reader: Reader, path: Path) -> list[int]:
    """Return the ids of the content at an absolute path, or of all in a folder and below it; none if not known.

    What belongs to a photo (its RAW, its movie) stands for the photo.
    """
    found: set[int] = set()
    there = (
        "SELECT DISTINCT coalesce(f.content_id, p.content_id) FROM files f LEFT JOIN files p ON p.id = f.primary_id "
        "WHERE f.root_id = ? AND NOT f.gone AND coalesce(f.content_id, p.content_id) IS NOT NULL"
    )
    for root_id, root in reader.rows("SELECT id, path FROM roots"):
        inside = path_below(os.fsencode(path), root)
        if inside == b"":
            found.update(row[0] for row in reader.rows(there, root_id))
        elif inside is not None:
            for part, values in (("f.path = ?", (inside[:-1],)), ("f.path > ? AND f.path < ?", _range(inside))):
                found.update(row[0] for row in reader.rows(f"{there} AND {part}", root_id, *values))
    return sorted(found)


def _range(inside: bytes) -> tuple[bytes, bytes]:
    """Return between which paths all of a folder lie; its own ends with a slash."""
    return inside, inside[:-1] + b"0"  # the byte after "/"


def keywords_of(reader: Reader, content_ids: Iterable[int]) -> dict[int, list[str]]:
    """Return what the files of contents say, by content; those without are left out."""
    found: dict[int, list[str]] = {}
    for content_id, name in reader.where_in(
        "SELECT f.content_id, t.name FROM files f JOIN file_tags ft ON ft.file_id = f.id "
        "JOIN tags t ON t.id = ft.tag_id WHERE NOT f.gone AND f.content_id IN",
        content_ids,
    ):
        found.setdefault(content_id, []).append(name)
    return found


def verdicts_of(reader: Reader, content_ids: Iterable[int]) -> dict[int, dict[str, Verdict]]:
    """Return what was said, by content and tag, oldest first; contents of which nothing was said are left out."""
    found: dict[int, dict[str, Verdict]] = {}
    said = "SELECT v.id, v.content_id, t.name, v.verdict FROM verdicts v JOIN tags t ON t.id = v.tag_id"
    for _, content_id, name, verdict in sorted(reader.where_in(f"{said} WHERE v.content_id IN", content_ids)):
        found.setdefault(content_id, {})[name] = _verdict(verdict)
    return found


def _verdict(said: str) -> Verdict:
    """Return a stored verdict; raises LibraryError for what is none."""
    if said in set(Verdict):
        return Verdict(said)
    raise LibraryError(f"the database is damaged: '{said}' was never said of a tag; {REPAIR}")


def tags_of(reader: Reader, content_ids: Iterable[int]) -> dict[int, list[str]]:
    """Return the tags that contents have, by content."""
    wanted = list(content_ids)
    written, said = keywords_of(reader, wanted), verdicts_of(reader, wanted)
    return {key: effective(written.get(key, ()), said.get(key, {})) for key in wanted}


def files_with_verdicts(reader: Reader, content_ids: Collection[int] | None = None) -> list[tuple[int, Path]]:
    """Return the files, by path, of contents of which anything was said, and those contents; None: of all."""
    found = (
        "SELECT f.content_id, r.path, f.path FROM files f JOIN roots r ON r.id = f.root_id "
        "WHERE NOT f.gone AND f.content_id IN"
    )
    said = {row[0] for row in reader.rows("SELECT DISTINCT content_id FROM verdicts")}
    wanted = said if content_ids is None else said.intersection(content_ids)
    rows = ((key, full_path(root, path)) for key, root, path in reader.where_in(found, wanted))
    return sorted(rows, key=lambda row: row[1])


def tags(reader: Reader) -> list[tuple[str, int]]:
    """Return every tag that something has, by name, and how many contents have it."""
    rows = reader.rows(
        f"SELECT t.name, count(*) FROM ({EFFECTIVE}) e JOIN tags t ON t.id = e.tag_id GROUP BY t.id"  # noqa: S608
    )
    return sorted(rows, key=lambda row: (row[0].casefold(), row[0]))


def state(reader: Reader) -> object:
    """Return what changes when a tag is given or taken away."""
    return reader.rows("SELECT name, seq FROM sqlite_sequence WHERE name IN ('verdicts', 'file_tags') ORDER BY name")


@dataclass(frozen=True)
class Examples:
    """Which contents have which tags, and which must not: three arrays of one length, and the tags' names by id.

    signs: 1 has it, -1 was removed or rejected; judged: answers to suggestions, oldest first, as
    (content id, tag id, accepted).
    """

    content_ids: Ids
    tag_ids: Ids
    signs: npt.NDArray[np.int8]
    names: dict[int, str]
    judged: Sequence[tuple[int, int, bool]]

    @classmethod
    def none(cls) -> "Examples":
        """Return what a library without tags has."""
        return cls(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.int8), {}, [])


def examples(reader: Reader) -> Examples:
    """Return all that can be learned from."""
    said = reader.rows("SELECT content_id, tag_id, 2 * (verdict IN ('added', 'accepted')) - 1 FROM verdicts")
    written = reader.rows(
        "SELECT f.content_id, ft.tag_id, 1 FROM file_tags ft JOIN files f ON f.id = ft.file_id "
        "WHERE f.content_id IS NOT NULL AND NOT f.gone"
    )
    rows = np.array([*said, *written], np.int64).reshape(-1, 3)
    _, first = np.unique(rows[:, 0] << 32 | rows[:, 1], return_index=True)  # verdicts stand first
    rows = rows[first]
    judged = reader.rows(
        "SELECT content_id, tag_id, verdict = 'accepted' FROM verdicts "
        "WHERE verdict IN ('accepted', 'rejected') ORDER BY id"
    )
    names = dict(reader.rows("SELECT id, name FROM tags"))
    judgements = [(content_id, tag_id, bool(yes)) for content_id, tag_id, yes in judged]
    return Examples(rows[:, 0], rows[:, 1], rows[:, 2].astype(np.int8), names, judgements)


def pictures_of(reader: Reader, space: StoredSpace, content_ids: Iterable[int]) -> tuple[Ids, Vectors]:
    """Return ids and vectors of the contents that have one: of a photo its own, of a film the mean of its frames.

    Ids ascend; rows have shape (n, dim).
    """
    rows = list(
        reader.where_in(
            # As it stands, and by the segment: a space is most of all vectors.
            "SELECT s.content_id, v.vector FROM segments s CROSS JOIN vectors v ON v.segment_id = s.id "  # noqa: S608
            f"AND +v.space_id = ? WHERE s.kind IN ('{WHOLE}', '{FRAME}') AND s.content_id IN",
            content_ids,
            space.id,
        )
    )
    return _means(rows, space.dim)


def sample(reader: Reader, space: StoredSpace, most: int) -> tuple[Ids, Vectors]:
    """Return contents and vectors of some photos and films, at most `most`, from all parts of a space; see above."""
    last = reader.newest_vector(space.id)
    first = reader.rows("SELECT min(id) FROM vectors WHERE space_id = ?", space.id)[0][0] or 0
    each = -(-most // _BLOCKS)
    found: dict[int, Any] = {}
    begin = first
    for place in np.linspace(first, last + 1, _BLOCKS, endpoint=False).astype(int):
        rows = reader.rows(
            "SELECT v.id, s.content_id, v.vector FROM vectors v JOIN segments s ON s.id = v.segment_id "  # noqa: S608
            f"WHERE v.space_id = ? AND v.id >= ? AND s.kind IN ('{WHOLE}', '{FRAME}') ORDER BY v.id LIMIT ?",
            space.id,
            max(begin, int(place)),
            each,
        )
        found |= {row[0]: row[1:] for row in rows}
        begin = rows[-1][0] + 1 if rows else begin
    return _means(list(found.values())[:most], space.dim)


def _means(rows: Sequence[tuple[int, bytes]], dim: int) -> tuple[Ids, Vectors]:
    """Return the mean row of each content, of length 1."""
    ids, places = np.unique(np.fromiter((row[0] for row in rows), np.int64, len(rows)), return_inverse=True)
    total = np.zeros((len(ids), dim), np.float32)
    halves = np.frombuffer(b"".join([row[1] for row in rows]), VECTOR_DTYPE).reshape(len(rows), dim)
    if len(ids) == len(rows):
        total[places] = halves
    else:
        np.add.at(total, places, halves.astype(np.float32))
    return ids, total / np.maximum(np.linalg.norm(total, axis=1, keepdims=True), 1e-12)
