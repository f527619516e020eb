"""Tags of a library, by the names of files: what is suggested, what people say of it, what sidecars are to say."""

import contextlib
import os
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from core.errors import LibraryError, NoLibraryError, UnknownFileError
from core.query import Term
from core.types import Failure, Modality, ProgressCallback, Tag
from encoders.base import Encoder
from glimpse.defaults import expanded
from search.tagging import Tagger
from search.tags import TagBank
from store.reader import Reader
from store.tagging import Verdict, contents_at, state, tags, tags_of, verdicts_of

if TYPE_CHECKING:
    from media.rewrite import Change
    from search.engine import Engine
    from search.hearing import Ear

FilePath = str | os.PathLike[str]
Unknown = Callable[[UnknownFileError], None]
"""Told of each file that a library does not know."""
UNDO = "undo"
"""The folder of a library with what sidecars said before they were written."""


class Suggester:
    """Suggests tags for photos and films; holds a library open, to be asked for many files one after another."""

    def __init__(
        self,
        encoder: Encoder,
        cache: Path,
        open_reader: Callable[[], Reader] | None,
        progress: ProgressCallback | None,
    ) -> None:
        """open_reader: None where there is no library."""
        self._encoder, self._reader = encoder, None
        if open_reader is not None:
            with contextlib.suppress(NoLibraryError):  # killed while it was made
                self._reader = open_reader()
        self._state = state(self._reader) if self._reader else None
        self._tagger = Tagger(self._reader, encoder, TagBank(encoder, cache, progress=progress))

    def is_current(self, encoder: Encoder, exists: bool) -> bool:
        """Say whether this still answers for a library: it is the same one, with the same tags and the same model."""
        if encoder is not self._encoder or exists != (self._reader is not None):
            return False
        return self._reader is None or (self._reader.is_current() and state(self._reader) == self._state)

    def close(self) -> None:
        """Close the library."""
        if self._reader is not None:
            self._reader.close()

    def suggest(self, path: Path, modality: Modality, k: int) -> list[Tag]:
        """Return the k tags that fit a photo or a film best, best first; raises QueryError."""
        space = self._encoder.space
        stored = self._reader.space(space.name, space.revision) if self._reader else None
        if self._reader is not None and stored is not None:
            from search.asking import Asking

            term = Term(modality, str(path))
            vector, content_id = Asking(self._reader, self._encoder, stored).embed(path, term, _no_ear)
        elif modality is Modality.VIDEO:
            from search.recordings import encode_film

            vector, content_id = encode_film(path, self._encoder), None
        else:
            from search.pictures import encode_photo, read_query

            vector, content_id = encode_photo(read_query(path), path, self._encoder), None
        return self._tagger.suggest(vector, content_id, k)


def _no_ear() -> "Ear":
    raise AssertionError("pictures need no ear")


def suggest_for_sound(engine: "Engine", path: Path, k: int) -> list[Tag]:
    """Return the k tags that fit a recording best; those that it has, or that were rejected, are left out."""
    from search.hearing import suggest

    known = contents_at(engine.reader, Path(os.path.abspath(path)))
    settled = {name for names in tags_of(engine.reader, known).values() for name in names}
    settled.update(name for said in verdicts_of(engine.reader, known).values() for name in said)
    return [tag for tag in suggest(engine, path, k + len(settled)) if tag.name not in settled][:k]


def contents_of(reader: Reader, files: Iterable[FilePath], unknown: Unknown | None = None) -> list[int]:
    """Return the contents of files, and of all in folders and below them.

    unknown: told of what the library does not know, None: that is raised.
    """
    found: dict[int, None] = {}
    for file in files:
        path = Path(os.path.abspath(expanded(file)))
        known = contents_at(reader, path)
        if not known:
            error = UnknownFileError(f"{path} is not in the library; take it in with: glimpse index {path}")
            if unknown is None:
                raise error
            unknown(error)
        found |= dict.fromkeys(known)
    return list(found)


def judge(folder: Path, content_ids: Collection[int], name: str, verdict: Verdict) -> int:
    """Note a verdict; returns how many contents gained or lost the tag."""
    from store.writer import Writer

    if not content_ids:
        return 0
    with Writer(folder) as writer:
        return writer.judge(content_ids, name, verdict)


def counted(reader: Reader, content_ids: Collection[int] | None = None) -> list[tuple[str, int]]:
    """Return the tags of contents, None for all of the library, by name, and how many of them have each."""
    if content_ids is None:
        return tags(reader)
    counts = Counter(name for names in tags_of(reader, content_ids).values() for name in names)
    return sorted(counts.items(), key=lambda item: (item[0].casefold(), item[0]))


def write_xmp(reader: Reader, content_ids: Collection[int] | None, dry_run: bool) -> "Iterator[Change | Failure]":
    """Have the sidecars of contents of whose tags anything was said say their tags; yields what changes.

    content_ids: None for all of the library. Raises LibraryError where the undo log cannot be written.
    """
    from media.rewrite import write
    from media.sidecar_tags import TagEdit, plan
    from store.tagging import files_with_verdicts

    said = files_with_verdicts(reader, content_ids)
    ids = {content_id for content_id, _ in said}
    has, verdicts = tags_of(reader, ids), verdicts_of(reader, ids)
    edits = (
        TagEdit(path, has[key], [name for name, verdict in verdicts[key].items() if not verdict.has])
        for key, path in said
    )
    planned = plan(edits)
    return planned if dry_run else write(planned, reader.folder / UNDO)


def undo_xmp(folder: Path) -> Iterator[Path | Failure]:
    """Bring back what sidecars said before the last run that wrote any; raises LibraryError where there was none."""
    from media.rewrite import logs, undo

    found = logs(folder / UNDO)
    if not found:
        raise LibraryError("there is nothing to undo: no sidecars were written, or all were brought back")
    return undo(found[-1])
