"""Answer queries: embed the terms, find candidates, re-score them from the stored vectors, name the photos.

What only some queries need (decoding pictures, the tags) is imported where it is needed: most are words.
"""

import os
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from core.errors import LibraryError, QueryError
from core.types import Hit, Ids, Modality, Query, Term, Vector
from encoders.base import Encoder
from search.compose import Target, compose
from store.reader import Reader
from store.vectors import VectorIndex

OVERFETCH = 4
FETCH_AT_LEAST = 40
"""Candidates fetched for k hits: some share a content, some are gone, and fp16 ranks a few anew."""
NAMED_BESIDE = 8
"""Candidates that are named beside the k best, in case some are gone or share a content: naming takes longest."""


@dataclass
class Engine:
    """A library opened for search with one model."""

    reader: Reader
    encoder: Encoder
    index: VectorIndex
    cache: Path

    def search(self, query: Query, k: int = 10, within: Path | None = None, exact: bool = False) -> list[Hit]:
        """Return the k best photos, best first, ties by id; pictures of the query are not among them.

        within: only photos in this folder (absolute) or below it; exact: compare every vector.
        """
        if k < 1:
            raise QueryError(f"the number of results must be at least 1, not {k}")
        among = None if within is None else self._within(within)
        vectors: list[Vector] = []
        own: set[int | Path] = set()
        for term in query.terms:
            if term.modality is Modality.TEXT:
                vectors.append(self.encoder.encode_texts([term.value])[0])
            else:
                vector, content_id = self._picture(Path(term.value))
                vectors.append(vector)
                own.add(Path(os.path.abspath(term.value)))  # though it was edited since it was indexed
                if content_id is not None:
                    own.add(content_id)
        hits = self._rank(self._compose(query.terms, vectors), k, own, among, exact)
        return hits if within is None else [_seen_from(within, hit) for hit in hits]

    def answers(self, model: str | None) -> bool:
        """Say whether this is still the model to ask, None for the library's own: somebody may have switched."""
        space, current = self.encoder.space, self.reader.space()
        is_current = current is not None and current.name == space.name
        return (model is not None or is_current) and self.reader.space(space.name, space.revision) is not None

    def is_complete(self) -> bool:
        """Say whether this model has all photos: another than the current one may still be filled."""
        current = self.reader.space()
        return current is None or current.id == self.index.space.id or self.reader.missing(self.index.space.id) == 0

    def _compose(self, terms: tuple[Term, ...], vectors: list[Vector]) -> Target:
        """Compose the terms, looking up means only where they matter."""
        space = self.encoder.space
        means: dict[Modality, Vector | None] = {Modality.IMAGE: None, Modality.TEXT: None}
        if len(terms) > 1 and not space.centred:
            from search.tags import TagBank

            means[Modality.IMAGE] = self.reader.mean(self.index.space, Modality.IMAGE)
            means[Modality.TEXT] = TagBank(self.encoder, self.cache).mean()
        return compose(terms, vectors, space, means)

    def _picture(self, path: Path) -> tuple[Vector, int | None]:
        """Return the vector of a picture file, and its content's id if the library has it."""
        from search.pictures import encode_photo, read_query

        file = read_query(path)
        known = self.reader.content(file.digest, self.index.space)
        if known is not None and known[1] is not None:
            return known[1], known[0]
        return encode_photo(file, path, self.encoder), None

    def _within(self, folder: Path) -> Ids | None:
        """Return the vectors of the photos below a folder, None for all; raises QueryError if there are none."""
        among = self.reader.within(self.index.space, folder)
        if among is not None and len(among) == 0:
            raise QueryError(f"the library knows no photos in {folder}; see which folders it has: glimpse status")
        return among

    def _rank(
        self, target: Target, k: int, own: set[int | Path], among: Ids | None = None, exact: bool = False
    ) -> list[Hit]:
        """Fetch more and more candidates until k distinct photos are left, and order them by exact score."""
        fetch = max(OVERFETCH * k, FETCH_AT_LEAST)
        while True:
            candidates = self.index.search(target.vector, fetch, among, exact)
            ids, stored = self.reader.vectors_by_id(self.index.space, candidates)
            scores = target.scores(stored.astype(np.float32))
            hits = self._hits(*_best(ids, scores, k + NAMED_BESIDE), own)
            if len(hits) < k:
                hits = self._hits(ids, scores, own)
            if len(hits) >= k or len(candidates) < fetch:  # enough, or no more
                return hits[:k]
            fetch *= 4

    def _hits(self, ids: np.ndarray, scores: Vector, own: set[int | Path]) -> list[Hit]:
        """Name the photos behind vectors, one hit a content, best first."""
        assets = self.reader.assets(ids)
        best: dict[int, Hit] = {}
        for vector_id, score in zip(ids.tolist(), scores.tolist(), strict=True):
            asset = assets.get(vector_id)
            if asset is None or asset.content_id in own or own.intersection(asset.paths):
                continue
            if asset.content_id not in best or best[asset.content_id].score < score:
                first, *also = asset.paths
                best[asset.content_id] = Hit(
                    first, score, asset.kind, asset.content_id, tuple(also), asset.companions
                )
        return sorted(best.values(), key=lambda hit: (-hit.score, hit.id))


def _best(ids: Ids, scores: Vector, count: int) -> tuple[Ids, Vector]:
    """Return the `count` best, and whatever scores as much as the last of them."""
    if len(ids) <= count:
        return ids, scores
    best = scores >= np.partition(scores, -count)[-count]
    return ids[best], scores[best]


def _seen_from(folder: Path, hit: Hit) -> Hit:
    """Return a hit by its path in a folder, where the same bytes lie elsewhere, too."""
    first, *also = sorted((hit.path, *hit.also), key=lambda path: not path.is_relative_to(folder))
    return replace(hit, path=first, also=tuple(also))


def open_engine(folder: Path, encoder: Encoder, cache: Path) -> Engine:
    """Open a library for search; raises LibraryError if its vectors were not made by this model."""
    reader = Reader(folder)
    name = encoder.space.name
    space = reader.space(name, encoder.space.revision)
    if space is None:
        older, current = reader.space(name), reader.space()
        reader.close()
        has = f"those of '{current.name}'" if current else "none"
        which = f"'{name}'" if older is None else f"this version of '{name}'"
        raise LibraryError(
            f"the library {folder} has no vectors of {which} but {has}, and the two do not compare; "
            f"run: glimpse index --model {name}"
        )
    return Engine(reader, encoder, VectorIndex(reader, space), cache)
