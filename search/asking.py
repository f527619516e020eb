"""Files, tags and what is stored as questions: their vectors, the stored ones where the library knows them."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from core.errors import MediaError, QueryError
from core.query import Field, Filter, Term
from core.types import Kind, Modality, Vector, Vectors
from encoders.base import Encoder, unit
from media.files import open_file
from search.pictures import encode_photo, read_query
from store.reader import Reader, StoredSpace
from store.recordings import recording

if TYPE_CHECKING:
    from search.hearing import Ear

ENOUGH_EXAMPLES, MANY_EXAMPLES = 5, 1000
"""Pictures that a tag needs to be known by them rather than by its name, and those that are looked at, the newest."""


@dataclass(frozen=True)
class Asking:
    """A library whose stored vectors may be asked with."""

    reader: Reader
    encoder: Encoder
    space: StoredSpace

    def embed(self, path: Path, term: Term, hearing: "Callable[[], Ear]") -> tuple[Vector, int | None]:
        """Return the joint vector of a file, of sound a centred one, and its content's id if the library knows it.

        hearing: asked only for sound. Raises QueryError.
        """
        if term.modality is Modality.SOUND:
            return self._sound(path, hearing())
        return self._film(path) if term.modality is Modality.VIDEO else self._picture(path)

    def tag(self, term: Term) -> tuple[Term, Vector]:
        """Return the direction of a tag: of the pictures that carry it, or of its name while they are few."""
        from store.filters import contents

        carriers = contents(self.reader, Filter(Field.TAG, term.value))[-MANY_EXAMPLES:]
        rows = self.reader.vectors_by_id(self.space, self.reader.of_contents(self.space, carriers))[1]
        if len(rows) < ENOUGH_EXAMPLES:
            name = term.value.rpartition("/")[2]
            row: Vector = self.encoder.encode_texts([name])[0]
            return replace(term, modality=Modality.TEXT), row
        return replace(term, modality=Modality.IMAGE), unit(rows.astype(np.float32).mean(axis=0))

    def stored(self, term: Term, hearing: "Callable[[], Ear]") -> tuple[Term, Vector]:
        """Return what the library has of a content, of sound a centred vector; raises QueryError."""
        found = self.reader.rows("SELECT digest, kind FROM contents WHERE id = ?", int(term.value))
        if not found:
            raise QueryError(f"the library has nothing with the id {term.value}; ids are in: glimpse search --json")
        digest, kind = found[0]
        if kind == Kind.PHOTO:
            known = self.reader.content(digest, self.space)
            vector = known[1] if known else None
            return replace(term, modality=Modality.IMAGE), self._there(term, vector)
        ear = hearing() if kind == Kind.AUDIO else None
        space = self.space if ear is None else ear.index.space if ear.index else None
        heard = recording(self.reader, digest, space) if space else None
        rows = heard[1].astype(np.float32) if heard and len(heard[1]) else None
        if ear is None:
            return replace(term, modality=Modality.VIDEO), self._there(term, None if rows is None else mean(rows))
        joined = None if rows is None else mean(ear.join.rows(rows))
        return replace(term, modality=Modality.SOUND), self._there(term, joined)

    def _there(self, term: Term, vector: Vector | None) -> Vector:
        if vector is None:
            raise QueryError(f"what has the id {term.value} has no vector of this model yet; run: glimpse index")
        return vector

    def _picture(self, path: Path) -> tuple[Vector, int | None]:
        file = read_query(path)
        known = self.reader.content(file.digest, self.space)
        if known is not None and known[1] is not None:
            return known[1], known[0]
        return encode_photo(file, path, self.encoder), None

    def _film(self, path: Path) -> tuple[Vector, int | None]:
        """Return the mean direction of a film's frames."""
        known = recording(self.reader, _digest(path), self.space)
        if known is not None and len(known[1]):
            return mean(known[1].astype(np.float32)), known[0]
        from search.recordings import encode_film

        return encode_film(path, self.encoder), known[0] if known else None

    def _sound(self, path: Path, ear: "Ear") -> tuple[Vector, int | None]:
        """Return the mean direction of a recording's windows in the joint Space."""
        known = recording(self.reader, _digest(path), ear.index.space) if ear.index is not None else None
        if known is not None and len(known[1]):
            rows = known[1].astype(np.float32)
        else:
            from search.recordings import encode_sound

            rows = encode_sound(path, ear.encoder)
        return mean(ear.join.rows(rows)), known[0] if known else None


def mean(rows: Vectors) -> Vector:
    """Return the mean direction of rows, a unit vector."""
    return unit(rows.mean(axis=0))


def _digest(path: Path) -> bytes:
    try:
        with open_file(str(path)) as file:
            return file.digest()
    except MediaError as error:
        raise QueryError(f"{path} cannot be read: {error}") from error
