"""What a library's sounds are looked for with: their index, and the way into the Space of pictures and texts."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from core.query import Term
from core.resources import data_path
from core.types import Modality, ProgressCallback, Tag, Vector, Vectors
from encoders.base import Encoder, Hears, Join, Reads, SoundEncoder, unit
from search.compose import Target, compose, leading
from search.lanes import Scores
from search.tags import Named, TagBank
from store.reader import Reader, StoredSpace
from store.recordings import tower as tower_of
from store.vectors import VectorIndex

if TYPE_CHECKING:
    from search.engine import Engine


@dataclass(frozen=True)
class Ear:
    """A sound encoder with its place in a library; index: None where the library has no sound of it yet.

    joining: makes the way into the joint Space, and averaging the mean of sounds, when asked for: words may find
    sounds without either.
    """

    encoder: SoundEncoder
    index: VectorIndex | None
    cache: Path
    joining: Callable[[], Join]
    averaging: Callable[[], Vector]

    @cached_property
    def join(self) -> Join:
        """The way into the joint Space."""
        return self.joining()

    @cached_property
    def mean(self) -> Vector:
        """The mean of sounds, shape (dim,): the library's, drawn towards that of others while it has few."""
        return self.averaging()

    def joined(self, rows: Vectors, target: Target, shared_dim: int) -> Vectors:
        """Return stored rows in the joint Space, without what a target has no part of."""
        joined = self.join.rows(rows)
        return joined if target.whole else leading(joined, shared_dim)

    def scores(self, target: Target, shared_dim: int) -> Scores:
        """Return what gives the cosine of stored rows to a joint, centred target."""

        def of(rows: Vectors) -> Vector:
            found: Vector = np.clip(self.joined(rows, target, shared_dim) @ target.vector, -1, 1)
            return found

        return of

    @cached_property
    def bank(self) -> TagBank | None:
        """The names of sounds in the Space of the sounds themselves, None where that has no words."""
        return sounds_bank(self.encoder, self.cache) if isinstance(self.encoder, Reads) else None

    def read(self, terms: Sequence[Term]) -> "Read | None":
        """Return words as a question to the sounds themselves, None where those have no words."""
        bank = self.bank
        if bank is None or not isinstance(self.encoder, Reads):
            return None
        if any(term.modality is not Modality.TEXT or term.stored for term in terms):
            return None
        means = dict[Modality, Vector | None].fromkeys(Modality)
        if mixed := len(terms) > 1:
            means |= {Modality.TEXT: bank.mean(), Modality.IMAGE: self.mean}
        vectors = self.encoder.encode_texts([term.value for term in terms])
        target = compose(terms, list(vectors), self.encoder.space, means)
        question = target.vector if mixed else unit(target.vector - bank.mean())
        return Read(target, question, lambda rows: unit(rows - self.mean), unit(bank.vectors - bank.mean()))


@dataclass(frozen=True)
class Read:
    """Words as a question in the Space of the sounds themselves.

    question: the target's vector, centred; centred: centres stored rows; words: names of sounds, centred unit rows.
    """

    target: Target
    question: Vector
    centred: Callable[[Vectors], Vectors]
    words: Vectors


def open_ear(
    reader: Reader, encoder: Encoder, space: StoredSpace, cache: Path, progress: ProgressCallback | None = None
) -> Ear | None:
    """Open what hears for a library's model, None where nothing does; raises ModelError."""
    from encoders.ears import centre, join, sound_encoder

    tower = tower_of(reader, space)
    sounds = sound_encoder(encoder, tower, cache, progress)
    if sounds is None:
        return None
    stored = reader.space(sounds.space.name, sounds.space.revision)
    mean = reader.counted_mean(stored, Modality.SOUND) if stored else (0, None)
    index = VectorIndex(reader, stored) if stored else None
    return Ear(
        sounds,
        index,
        cache,
        joining=lambda: join(encoder, sounds, tower, mean, cache, progress),
        averaging=lambda: centre(sounds, mean, cache, progress),
    )


def suggest(engine: "Engine", path: Path, k: int) -> list[Tag]:
    """Return the k tags that fit a recording best, best first; raises QueryError.

    What knows words for sounds is asked for names of sounds; what learned from pictures, for names of what is seen.
    """
    from search.recordings import encode_sound

    ear = engine.hearing()
    rows = encode_sound(path, ear.encoder)
    if isinstance(ear.encoder, Reads):
        return sounds_bank(ear.encoder, engine.cache, engine.progress).suggest(unit(rows.mean(axis=0)), ear.mean, k)
    joined = unit(ear.join.rows(rows).mean(axis=0))  # centred: no mean of its own is left
    if isinstance(engine.encoder, Hears):
        return sounds_bank(engine.encoder, engine.cache, engine.progress).suggest(joined, None, k)
    return TagBank(engine.encoder, engine.cache, progress=engine.progress).suggest(joined, None, k)


def sounds_bank(encoder: Named, cache: Path, progress: ProgressCallback | None = None) -> TagBank:
    """Return the vocabulary of sounds."""
    return TagBank(encoder, cache, data_path("sounds.tsv"), progress)
