"""What is ordinary: words, and what a library has, against which one question stands out or does not."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np

from core.types import Modality, ProgressCallback, Vector, Vectors
from encoders.base import Encoder, unit
from search.cutoff import ENOUGH, SAMPLE, Nulls
from search.rerank import projector
from search.tags import TagBank
from store.reader import Reader
from store.vectors import VectorIndex

STYLES = ("styles", "light", "weather")
"""Groups of words that say how something looks, and not what it is."""
_GROWTH = 8
"""Times that a sample of the library is drawn anew while the library doubles."""

Joined = Callable[[Vectors], Vectors]
"""From stored rows to those of the joint Space, as a target wants them."""


@dataclass
class Ordinary:
    """The words of the vocabulary in the joint Space, and samples of a library; each made when it is first needed."""

    reader: Reader
    encoder: Encoder
    cache: Path
    progress: ProgressCallback | None = None
    _nulls: dict[tuple[int, bool, int], Nulls] = field(default_factory=dict)

    @cached_property
    def bank(self) -> TagBank:
        """The vocabulary."""
        return TagBank(self.encoder, self.cache, progress=self.progress)

    @cached_property
    def words(self) -> Vectors:
        """Ordinary words, centred unit rows of shape (n, dim)."""
        return self.bank.vectors if self.encoder.space.centred else unit(self.bank.vectors - self.bank.mean())

    @cached_property
    def telling(self) -> Vectors:
        """The projection onto what tells things apart, whatever they look like, shape (dim, dim)."""
        styles = np.array([word.group in STYLES for word in self.bank.words])
        return projector(self.words[~styles], self.words[styles])

    def means(self, index: VectorIndex) -> dict[Modality, Vector | None]:
        """Return the mean vector of each modality that has one to be taken away, in the Space of pictures."""
        pictures = self.reader.mean(index.space, Modality.IMAGE)
        return {
            Modality.IMAGE: pictures,
            Modality.VIDEO: pictures,
            Modality.TEXT: self.bank.mean(),
            Modality.SOUND: None,
        }

    def among(self, index: VectorIndex, joined: Joined, whole: bool = True, words: Vectors | None = None) -> Nulls:
        """Return what scores are held against in a Space, drawn anew when the library has grown by a tenth.

        joined: takes stored rows to where words are; whole: they keep what only pictures have; words: others than
        those of the vocabulary.
        """
        grown = int(_GROWTH * np.log2(self.reader.newest_vector(index.space.id) + 1))
        key = index.space.id, whole and words is None, grown
        if key not in self._nulls:
            others = {known: nulls for known, nulls in self._nulls.items() if known[:2] != key[:2]}
            sample = joined(self.reader.sample(index.space, SAMPLE).astype(np.float32))
            nulls = Nulls(self.words if words is None else words, sample, self.reader.count(index.space))
            self._nulls = others | {key: nulls}
        return self._nulls[key]

    def is_enough(self, index: VectorIndex) -> bool:
        """Say whether there are enough vectors for one to stand out among."""
        few = "(SELECT 1 FROM vectors WHERE space_id = ? LIMIT ?)"  # counting a million takes as long as a search
        return self.reader.tally(few, index.space.id, ENOUGH) >= ENOUGH
