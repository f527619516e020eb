"""Files as questions: the vector of a picture, a film or a sound, the stored one where the library knows it."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from core.errors import MediaError, QueryError
from core.types import Modality, Term, Vector
from encoders.base import Encoder, unit
from media.files import open_file
from search.pictures import encode_photo, read_query
from store.reader import Reader, StoredSpace
from store.recordings import recording

if TYPE_CHECKING:
    from search.hearing import Ear


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
            return unit(known[1].astype(np.float32).mean(axis=0)), known[0]
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
        return unit(ear.join.rows(rows).mean(axis=0)), known[0] if known else None


def _digest(path: Path) -> bytes:
    try:
        with open_file(str(path)) as file:
            return file.digest()
    except MediaError as error:
        raise QueryError(f"{path} cannot be read: {error}") from error
