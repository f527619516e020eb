"""Answer queries: embed the terms, look into the lanes that may hold an answer, and order what they found.

What only some queries need (decoding, the tags, what hears) is imported where it is needed: most are words.
"""

import functools
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from core.errors import LibraryError, ModelError, QueryError
from core.types import Hit, Ids, Kind, Modality, Progress, ProgressCallback, Query, Term, Vector, Vectors
from encoders.base import Encoder, unit
from search.compose import Target, compose, leading
from search.lanes import Found, Lane, Wanted, find
from store.reader import Asset, Reader
from store.recordings import has, has_sound, heard, named, of_kind
from store.vectors import VectorIndex

if TYPE_CHECKING:
    from search.hearing import Ear
    from search.tags import TagBank

NO_EAR = (
    "nothing hears for the model '{}' yet: teach it with your own recordings (glimpse learn-sound), "
    "or have it use CLAP (glimpse models get clap)"
)
EAR_GONE = "CLAP, which heard these sounds, is not on this machine any more; get it with: glimpse models get clap"

UNHEARD = "none of them has been heard yet; to have them heard: glimpse index"


@dataclass
class Engine:
    """A library opened for search with one model."""

    reader: Reader
    encoder: Encoder
    index: VectorIndex
    cache: Path
    progress: ProgressCallback | None = None
    _ear: "tuple[object, Ear | None] | None" = None
    _broken: str = ""
    _bank: "TagBank | None" = None

    def search(
        self,
        query: Query,
        k: int = 10,
        within: Path | None = None,
        exact: bool = False,
        kind: Kind | None = None,
    ) -> list[Hit]:
        """Return the k best photos, recordings and films, best first, ties by id; what was asked with is left out.

        within: only what lies in this folder (absolute) or below it; exact: compare every vector; kind: only those.
        Raises QueryError.
        """
        if k < 1:
            raise QueryError(f"the number of results must be at least 1, not {k}")
        if within is not None and not self.reader.knows(within):
            raise QueryError(f"the library knows nothing in {within}; see which folders it has: glimpse status")
        own: set[object] = set()
        vectors = [self._embed(term, own) for term in query.terms]
        lanes = list(self._lanes(query.terms, vectors, kind, within))
        wanted = Wanted(own, kind)
        found = [find(lane, self.reader, k, wanted, exact) for lane in lanes]
        hits = _merged(lanes, found)[:k]
        if names := self._by_name(query, kind, within):
            hits = _interleaved(hits, names)[:k]
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

    @property
    def ear(self) -> "Ear | None":
        """What hears, opened by whoever asks first, and again once it has learned; None where nothing does."""
        state = heard(self.reader, self.index.space)
        if self._ear is None or self._ear[0] != state:
            from search.hearing import open_ear

            self._broken = ""
            try:
                ear = open_ear(self.reader, self.encoder, self.index.space, self.cache, self.progress)
            except ModelError as error:  # photos are found all the same
                ear, self._broken = None, str(error)
            self._ear = state, ear
        return self._ear[1]

    def hearing(self) -> "Ear":
        """Return what hears; raises QueryError where nothing does."""
        if self.ear is None:
            raise QueryError(self._why_deaf())
        return self.ear

    def _why_deaf(self) -> str:
        if self._broken:
            return self._broken
        from encoders.registry import HEARING

        return EAR_GONE if self.reader.space(f"sound:{HEARING}") else NO_EAR.format(self.encoder.space.name)

    def _embed(self, term: Term, own: set[object]) -> Vector:
        """Return the joint vector of a term, and add what it is to those that are not to be found."""
        if term.modality is Modality.TEXT:
            row: Vector = self.encoder.encode_texts([term.value])[0]
            return row
        from search.asking import Asking

        path = Path(term.value)
        vector, content_id = Asking(self.reader, self.encoder, self.index.space).embed(path, term, self.hearing)
        own.add(Path(os.path.abspath(path)))  # though it was edited since it was indexed
        own.add(content_id)
        return vector

    def _lanes(
        self, terms: tuple[Term, ...], vectors: list[Vector], kind: Kind | None, within: Path | None
    ) -> "list[Lane]":
        """Return the Spaces to look into."""
        lanes = []
        listens = kind is not Kind.PHOTO and has_sound(self.reader)
        ear = self.ear if listens else None
        both = functools.cache(lambda: self._compose(terms, vectors, centre=True))
        if kind is not Kind.AUDIO:
            target = self._compose(terms, vectors)
            among = self._among(self.index, Kind.VIDEO if kind is Kind.VIDEO else None, within)
            standing = lambda rows: self._picture_standing(both(), rows)  # noqa: E731
            lanes.append(Lane(self.index, target.vector, target.scores, standing, among))
        if listens and ear is None and self.progress:
            self.progress(Progress(f"no sound is searched: {self._why_deaf()}."))
        if ear is not None and ear.index is not None:
            lanes.append(self._sound_lane(ear, ear.index, terms, both, kind, within))
        return [lane for lane in lanes if lane.among is None or len(lane.among)]

    def _sound_lane(
        self,
        ear: "Ear",
        index: VectorIndex,
        terms: tuple[Term, ...],
        both: Callable[[], Target],
        kind: Kind | None,
        within: Path | None,
    ) -> Lane:
        """Return the lane of sounds: words alone by its own words where it has some, all else by the joint Space."""
        among = self._among(index, kind, within)
        if read := ear.read(terms):
            own, standing = read
            return Lane(index, own.vector, own.scores, standing, among)
        shared = self.encoder.space.shared_dim
        target = replace(both(), vector=leading(both().vector, shared))  # sound has no more than texts have
        scores = ear.scores(target, shared)
        standing = lambda rows: ear.standing(target, shared, self._words())(rows)  # noqa: E731
        return Lane(index, ear.join.toward(target.vector), scores, standing, among)

    def _picture_standing(self, target: Target, rows: Vectors) -> Vector:
        """Return how far stored pictures stand out for a joint, centred target."""
        from search.standing import standings

        rows = target.centred(rows)
        joined = rows if target.whole else leading(rows, self.encoder.space.shared_dim)
        return standings(target.vector, joined, self._words())

    def _words(self) -> Vectors:
        """Return ordinary words in the joint Space, centred."""
        bank = self._tags()
        return bank.vectors if self.encoder.space.centred else unit(bank.vectors - bank.mean())

    def _tags(self) -> "TagBank":
        if self._bank is None:
            from search.tags import TagBank

            self._bank = TagBank(self.encoder, self.cache)
        return self._bank

    def _compose(self, terms: tuple[Term, ...], vectors: list[Vector], centre: bool = False) -> Target:
        """Compose the terms, looking up means only where they matter."""
        space = self.encoder.space
        means: dict[Modality, Vector | None] = dict.fromkeys(Modality)
        sounds = any(term.modality is Modality.SOUND for term in terms)
        if (len(terms) > 1 or centre or sounds) and not space.centred:
            pictures = self.reader.mean(self.index.space, Modality.IMAGE)
            means |= {Modality.IMAGE: pictures, Modality.VIDEO: pictures, Modality.TEXT: self._tags().mean()}
        return compose(terms, vectors, space, means, centre)

    def _among(self, index: VectorIndex, kind: Kind | None, within: Path | None) -> Ids | None:
        """Return the ids that a kind and a folder leave, None for all."""
        among = None if within is None else self.reader.within(index.space, within)
        if kind is None or (kind is Kind.AUDIO and not has(self.reader, Kind.VIDEO)):
            return among
        ids = of_kind(self.reader, index.space, kind)
        return ids if among is None else np.intersect1d(among, ids)

    def _by_name(self, query: Query, kind: Kind | None, within: Path | None) -> list[Hit]:
        """Return the sounds that nothing has heard and whose name, title or keywords have all the words."""
        (term, *others) = query.terms
        words_alone = not others and term.modality is Modality.TEXT
        if kind not in (None, Kind.AUDIO) or not words_alone or not has(self.reader, Kind.AUDIO):
            return []
        ear = self.ear
        index = ear.index if ear else None
        told = ear is None and has_sound(self.reader)  # where lanes were chosen
        if kind is Kind.AUDIO and index is None and self.progress and not told:
            why = UNHEARD if ear else self._why_deaf()
            self.progress(Progress(f"sounds are found by name only: {why}."))
        found = named(self.reader, term.value.split(), None if index is None else index.space)
        hits = [_hit(asset, 0.0, by_name=True) for asset in found]
        if within is None:
            return hits
        return [hit for hit in hits if any(path.is_relative_to(within) for path in (hit.path, *hit.also))]


def _merged(lanes: list[Lane], found: list[list[Found]]) -> list[Hit]:
    """Return the hits of all lanes, each content once: by score, or beside another lane by standing.

    What is better by score in a lane stays before what is worse: photos come in one order, whether or not there are
    sounds, and the first of many are the first of few.
    """
    filled = [(lane, some) for lane, some in zip(lanes, found, strict=True) if some]
    if len(filled) < 2:
        return [_hit(one.asset, one.score) for _, some in filled for one in some]
    ranked: list[tuple[float, int, int, Found]] = []
    for turn, (lane, some) in enumerate(filled):
        standings = np.minimum.accumulate(lane.standing(np.stack([one.row for one in some]))).tolist()
        ranked += [(-standings[rank], turn, rank, one) for rank, one in enumerate(some)]
    best: dict[int, Hit] = {}
    for *_, one in sorted(ranked, key=lambda entry: entry[:3]):
        best.setdefault(one.asset.content_id, _hit(one.asset, one.score))
    return list(best.values())


def _interleaved(hits: list[Hit], names: list[Hit]) -> list[Hit]:
    """Take turns: neither order says anything about the other (reciprocal rank fusion of disjoint lists)."""
    ranked = [(rank, turn, hit) for turn, some in enumerate((hits, names)) for rank, hit in enumerate(some)]
    return [hit for _, _, hit in sorted(ranked, key=lambda one: one[:2])]


def _hit(asset: Asset, score: float, by_name: bool = False) -> Hit:
    first, *also = asset.paths
    start, end = (asset.span.start, asset.span.end) if asset.span else (None, None)
    return Hit(first, score, asset.kind, asset.content_id, tuple(also), asset.companions, start, end, by_name)


def _seen_from(folder: Path, hit: Hit) -> Hit:
    """Return a hit by its path in a folder, where the same bytes lie elsewhere, too."""
    first, *also = sorted((hit.path, *hit.also), key=lambda path: not path.is_relative_to(folder))
    return replace(hit, path=first, also=tuple(also))


def open_engine(folder: Path, encoder: Encoder, cache: Path, progress: ProgressCallback | None = None) -> Engine:
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
    return Engine(reader, encoder, VectorIndex(reader, space), cache, progress)
