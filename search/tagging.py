"""Suggest tags that learn: what the model sees, and the votes of the nearest photos that carry the user's own tags.

    logit_k = z_k + b_k VOTE sum_j w_j y_jk        b_k = n_k / (n_k + HALF)

z_k: the cosine of tag and photo in standard deviations over photos of the library, so that tags that fit everything
calm down. y_jk: 1 where neighbour j has tag k, -1 where it was removed or rejected, else 0; n_k: how many say either.
w: softmax of similarity over the nearest tagged photos and one more, without tags, that lies as near as one photo in
fifty does: where nothing tagged is near, it takes the votes. After TagProp (Guillaumin et al. 2009).
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import cached_property

import numpy as np

from core.types import Modality, Tag, Vector, Vectors
from encoders.base import Encoder, unit
from search.calibration import Calibration, calibrate
from search.owntags import Tagged, gather
from search.tags import TagBank, without_broader
from store.reader import Reader
from store.tagging import sample, tags_of, under, verdicts_of

SAMPLE = 2000
"""Photos of the library over which the scores of each tag are standardised."""
PRIOR, SPREAD = 250, 0.1
"""A tag's mean and deviation are drawn towards 0 and this spread, as by so many photos more: of few, they harm."""
HALF = 10
"""Examples of a tag at which the votes of neighbours have half of their weight."""
VOTE = 20.0
"""Standard deviations that all the votes for a tag of many examples are worth."""
NEIGHBOURS, TEMPERATURE = 100, 0.05
NEAR, PAIRED = 98.0, 256
"""Percentile of the similarities between photos of the library that counts as near, told from so many of them."""
JUDGED = 1000
"""Answers to suggestions that confidence is learned from, the newest."""


class Tagger:
    """Suggestions for photos and films of a library, or of none; to be opened anew when tags were given or taken."""

    def __init__(self, reader: Reader | None, encoder: Encoder, bank: TagBank) -> None:
        """reader: of the library, None where there is none; it must stay open."""
        space = encoder.space
        stored = reader.space(space.name, space.revision) if reader else None
        self._reader, self._shared = reader, space.shared_dim
        self._mean = reader.mean(stored, Modality.IMAGE) if reader and stored and not space.centred else None
        self._own = gather(reader, bank)
        self._words = bank.directions(np.concatenate([bank.vectors, bank.encoded(self._own.own)]))
        self._counts, self._having = self._own.counts(), self._own.counts([1])
        found = sample(reader, stored, SAMPLE)[1] if reader and stored else np.empty((0, space.dim), np.float32)
        photos = self._centred(found)
        self._middle, self._spread = _moments(unit(photos[:, : self._shared]), self._words)
        self._near = _near(photos)
        tagged = self._own.tagged(reader, stored) if reader and stored else Tagged.none(space.dim)
        self._tagged = replace(tagged, rows=self._centred(tagged.rows))

    @property
    def names(self) -> list[str]:
        """The candidates: the vocabulary, then the user's own tags that are not in it."""
        return self._own.names

    def suggest(self, vector: Vector, content_id: int | None, k: int) -> list[Tag]:
        """Return the k tags that fit best, best first, none that the content has, or that were rejected for it.

        vector: of a photo or a film, shape (dim,); content_id: None where the library does not know it. A broader
        word never stands beside a narrower one; of the levels of a user's own tags, the one that fits best is shown:
        where the narrower took the place of the broader, fewer were right (docs/benchmarks.md).
        """
        logits = self.logits(vector[None], [content_id])[0]
        settled = self._settled(content_id)
        order = np.argsort(-logits, kind="stable")
        ranked = (self._tag(place, float(logits[place])) for place in order if self.names[place] not in settled)
        return without_broader(_one_of_a_branch(ranked), self._own.above, k)

    def logits(self, vectors: Vectors, content_ids: Sequence[int | None]) -> Vectors:
        """Return how well each candidate fits each picture, shape (n, candidates), in standard deviations.

        What a picture is tagged with itself takes no part.
        """
        known = [self._tagged.place(key) for key in content_ids]
        return self._logits(self._centred(vectors), known)

    def _logits(self, rows: Vectors, known: Sequence[int | None]) -> Vectors:
        """As `logits`, of centred pictures; known: their places among those that vote."""
        logits: Vectors = (unit(rows[:, : self._shared]) @ self._words.T - self._middle) / self._spread
        alike = rows @ self._tagged.rows.T
        for row, place in enumerate(known):
            counts = self._counts
            if place is not None:
                alike[row, place] = -np.inf
                counts = counts - np.bincount(self._tagged.tags_of(place), minlength=len(counts))
            logits[row] += VOTE * counts / (counts + HALF) * self._votes(alike[row])
        return logits

    def _votes(self, alike: Vector) -> Vector:
        """Return the votes for each candidate, -1..1, from the similarities to all that vote."""
        near = np.arange(len(alike))
        if len(near) > NEIGHBOURS:
            near = np.argpartition(-alike, NEIGHBOURS)[:NEIGHBOURS]
        weights = np.exp(np.minimum((alike[near] - self._near) / TEMPERATURE, 80))  # beyond, exp overflows
        by, tags, signs = self._tagged.among(near)
        shares = weights / (1 + weights.sum())  # 1: of the one without tags
        return np.bincount(tags, shares[by] * signs, minlength=len(self.names)).astype(np.float32)

    def _centred(self, rows: Vectors) -> Vectors:
        """Return pictures without the library's mean, as they compare with each other."""
        return unit(rows if self._mean is None else rows - self._mean)

    def _settled(self, content_id: int | None) -> set[str]:
        """Return what is answered for a content: the tags that it has, what they imply, and refused ones."""
        if self._reader is None or content_id is None:
            return set()
        settled: set[str] = set()
        for name in tags_of(self._reader, [content_id])[content_id]:
            settled |= self._own.same_as(name) | self._own.above(name)
        for name, verdict in verdicts_of(self._reader, [content_id]).get(content_id, {}).items():
            settled |= set() if verdict.has else self._own.same_as(name)
        return settled

    def _tag(self, place: int, logit: float) -> Tag:
        confidence = self._calibration(logit) if self._calibration else None
        return Tag(self.names[place], logit, self._own.groups[place], int(self._having[place]), confidence)

    @cached_property
    def _calibration(self) -> Calibration | None:
        """What turns a logit into a confidence; None while too few suggestions were answered."""
        judged = self._own.examples.judged[-JUDGED:]
        known = [(row, tag, yes) for key, tag, yes in judged if (row := self._tagged.place(key)) is not None]
        rows = sorted({row for row, _, _ in known})
        at = {row: number for number, row in enumerate(rows)}
        logits = self._logits(self._tagged.rows[rows], rows)
        scores = np.array([logits[at[row], tag] for row, tag, _ in known], np.float32)
        return calibrate(scores, np.array([yes for _, _, yes in known], np.float32))


def _one_of_a_branch(ranked: Iterable[Tag]) -> Iterator[Tag]:
    """Yield tags in order, without those that lie above or below an earlier one in the hierarchy."""
    seen: list[str] = []
    for tag in ranked:
        if not any(under(tag.name, other) or under(other, tag.name) for other in seen):
            seen.append(tag.name)
            yield tag


def _moments(photos: Vectors, words: Vectors) -> tuple[Vector, Vector]:
    """Return mean and deviation of each word's cosines to photos, both of shape (words,)."""
    n = len(photos)
    middle = photos.sum(axis=0) @ words.T / (n + PRIOR)
    second = ((words @ (photos.T @ photos)) * words).sum(axis=1)  # of the products, without n x words of them
    mean = photos.mean(axis=0) @ words.T if n else np.zeros(len(words), np.float32)
    variance = np.maximum(second - n * mean**2, 0)
    spread: Vector = np.sqrt((variance + PRIOR * SPREAD**2) / (n + PRIOR)).astype(np.float32)
    return middle, spread


def _near(photos: Vectors) -> float:
    """Return the similarity that one in fifty pairs of photos exceeds; 1 where there are no pairs."""
    some = photos[:: -(-len(photos) // PAIRED) or 1]
    if len(some) < 2:
        return 1.0
    return float(np.percentile((some @ some.T)[~np.eye(len(some), dtype=bool)], NEAR))
