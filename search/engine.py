"""Answer queries: embed the terms, look into the lanes that may hold an answer, and order what they found.

What only some queries need (decoding, the tags, what hears) is imported where it is needed: most are words.
"""

import functools
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from core.errors import LibraryError, ModelError, QueryError
from core.query import Node, Options, Query, Rule, Stored, Sum, Term, sums
from core.types import Ids, Kind, Modality, Progress, ProgressCallback, Vector, Vectors
from encoders.base import Encoder
from search.answer import Answer, answered
from search.compose import Target, compose, leading
from search.cutoff import confidences
from search.lanes import Lane
from search.ordinary import Joined, Ordinary
from search.ranking import union
from search.seeking import DEPTH, Seeking
from search.sets import folder_of, ways
from search.standing import standings
from store.reader import Reader, StoredSpace
from store.recordings import has_sound, heard
from store.vectors import VectorIndex

if TYPE_CHECKING:
    from search.hearing import Ear
    from search.rerank import Product

NO_EAR = (
    "nothing hears for the model '{}' yet: teach it with your own recordings (glimpse learn-sound), "
    "or have it use CLAP (glimpse models get clap)"
)
EAR_GONE = "CLAP, which heard these sounds, is not on this machine any more; get it with: glimpse models get clap"

UNHEARD = "none of them has been heard yet; to have them heard: glimpse index"
PRODUCTS = (Rule.PRODUCT, Rule.BASIC)
SPARE = 10
"""Times as many hits as wanted are looked at where some will be left out as much alike."""

Among = Callable[[StoredSpace, Kind | None], Ids | None]
"""Returns the only ids of a Space that may be found, of a kind or any."""


@dataclass(frozen=True)
class Asked:
    """A sum with the vectors of its terms, each of what the term turned out to be."""

    terms: tuple[Term, ...]
    vectors: tuple[Vector, ...]

    @property
    def words(self) -> str | None:
        """The words, where they are all that is asked."""
        (term, *others) = self.terms
        plain = not others and term.modality is Modality.TEXT and term.stored is None and term.weight > 0
        return term.value if plain else None

    @property
    def has_words(self) -> bool:
        """Whether words are among what is asked: a picture has pictures like it nearly everywhere, and no end."""
        return any(term.modality is Modality.TEXT for term in self.terms)


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

    @functools.cached_property
    def ordinary(self) -> Ordinary:
        """What is ordinary in this library."""
        return Ordinary(self.reader, self.encoder, self.cache, self.progress)

    def answer(self, query: Query, options: Options | None = None) -> Answer:
        """Return the best photos, recordings and films, best first, ties by id; what was asked with is left out.

        Of filters alone, all that pass, the newest first. Raises QueryError.
        """
        options = options or Options()
        if options.k < 1:
            raise QueryError(f"the number of results must be at least 1, not {options.k}")
        own: set[object] = set()
        asked = {some: self._asked(some, own) for some in dict.fromkeys(sums(query.root))}
        seeking, found_ways = Seeking(self, asked, own, options), ways(query.root)
        depth = options.k
        if options.collapse or options.diverse:
            depth *= SPARE
        if options.order is not Options.order:
            depth = max(depth, DEPTH)
        while True:
            found = [seeking.ranked(way, depth) for way in found_ways]
            ranked = found[0] if len(found) == 1 else union(found)
            answer = answered(self.reader, ranked, folder_of(_filters(query.root)), options)
            ended = options.cut and not all(one.shown for one in ranked)
            if not options.collapse or ended or len(answer.hits) == options.k or len(ranked) < depth:
                return answer
            depth *= SPARE  # what is much alike took the place of others

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

    def _asked(self, some: Sum, own: set[object]) -> Asked:
        """Embed the terms of a sum, and add what they are to those that are not to be found."""
        embedded = [self._embed(term, own) for term in some.terms]
        return Asked(tuple(term for term, _ in embedded), tuple(vector for _, vector in embedded))

    def _embed(self, term: Term, own: set[object]) -> tuple[Term, Vector]:
        """Return a term as what it turns out to be, and its joint vector."""
        if term.modality is Modality.TEXT and term.stored is None:
            row: Vector = self.encoder.encode_texts([term.value])[0]
            return term, row
        from search.asking import Asking

        asking = Asking(self.reader, self.encoder, self.index.space)
        if term.stored is Stored.TAG:
            return asking.tag(term)
        if term.stored is Stored.CONTENT:
            own.add(int(term.value))
            return asking.stored(term, self.hearing)
        path = Path(term.value)
        vector, content_id = asking.embed(path, term, self.hearing)
        own.add(Path(os.path.abspath(path)))  # though it was edited since it was indexed
        own.add(content_id)
        return term, vector

    def lanes(self, asked: Asked, kind: Kind | None, rule: Rule, among: Among, tell: bool = True) -> list[Lane]:
        """Return the Spaces to look into; tell: say which are not, and why."""
        lanes = []
        listens = kind is not Kind.PHOTO and has_sound(self.reader)
        ear = self.ear if listens else None
        one = Rule.ADD if rule in PRODUCTS else rule
        both = functools.cache(lambda: self._centred(asked, one))
        if kind is not Kind.AUDIO:
            left = among(self.index.space, Kind.VIDEO if kind is Kind.VIDEO else None)
            lanes.append(self._picture_lane(asked, both, rule, left))
        if ear is not None and ear.index is not None:
            lanes.append(self._sound_lane(ear, ear.index, asked, both, among(ear.index.space, kind)))
        if tell and self.progress and (why := self._not_searched(kind, listens, ear)):
            self.progress(Progress(why))
        return [lane for lane in lanes if lane.among is None or len(lane.among)]

    def _not_searched(self, kind: Kind | None, listens: bool, ear: "Ear | None") -> str:
        """Return which sounds cannot be found by what they sound like, and why, "" for none."""
        if listens and ear is None:
            return f"no sound is searched: {self._why_deaf()}."
        if kind is Kind.AUDIO and (ear is None or ear.index is None):
            return f"sounds are found by name only: {UNHEARD if self.ear else self._why_deaf()}."
        return ""

    def _picture_lane(self, asked: Asked, both: Callable[[], Target], rule: Rule, among: Ids | None) -> Lane:
        """Return the lane of photos and films."""
        ordinary = self.ordinary

        def joined(rows: Vectors) -> Vectors:
            rows = both().centred(rows)
            return rows if both().whole else leading(rows, self.encoder.space.shared_dim)

        towards: tuple[Vector, ...]
        target: Target | Product
        if rule in PRODUCTS:
            target, towards, names = self._product(asked, both(), rule, joined)
        else:
            target = self._compose(asked, rule=rule)
            towards, names = (target.vector,), tuple(map(_name, asked.terms))
        return Lane(
            self.index,
            towards,
            target.scores,
            lambda rows: standings(both().vector, joined(rows), ordinary.words),
            lambda rows: confidences(both().vector, joined(rows), ordinary.among(self.index, joined, both().whole)),
            names,
            target.contributions,
            among,
            ordinary.is_enough(self.index) and rule not in PRODUCTS,
            asked.has_words,
        )

    def _product(
        self, asked: Asked, both: Target, rule: Rule, joined: Joined
    ) -> "tuple[Product, tuple[Vector, ...], tuple[str, ...]]":
        """Return how pictures and words are ranked by together, what to fetch by, and the names of the two."""
        from search.rerank import product

        words = [term.modality is Modality.TEXT for term in asked.terms]
        if all(words) or not any(words):
            raise QueryError(f"the rule '{rule}' is for a picture and words together; without both, leave it out")
        sides = []
        for of_words in (False, True):
            terms = tuple(term for term, word in zip(asked.terms, words, strict=True) if word is of_words)
            vectors = [vector for vector, word in zip(asked.vectors, words, strict=True) if word is of_words]
            if not both.whole:
                vectors = [leading(vector, self.encoder.space.shared_dim) for vector in vectors]
            sides.append(
                (self._compose(Asked(terms, tuple(vectors)), centre=True).vector, " ".join(map(_name, terms)))
            )
        (pictures, one), (said, other) = sides
        sample = self.ordinary.among(self.index, joined, both.whole).rows
        found = product(rule, pictures, said, joined, self.ordinary.telling, sample)
        return found, (pictures, said), (one, other)

    def _sound_lane(
        self, ear: "Ear", index: VectorIndex, asked: Asked, both: Callable[[], Target], among: Ids | None
    ) -> Lane:
        """Return the lane of sounds: words alone by its own words where it has some, all else by the joint Space."""
        ordinary, shared = self.ordinary, self.encoder.space.shared_dim
        joint = functools.cache(lambda: both().leading(shared))  # sound has no more than texts have

        def joined(rows: Vectors) -> Vectors:
            return ear.joined(rows, joint(), shared)

        def contributions(rows: Vectors) -> Vectors:
            added: Vectors = joined(rows) @ joint().parts.T
            return added

        lane = functools.partial(
            Lane,
            index,
            names=tuple(map(_name, asked.terms)),
            among=among,
            tells=ordinary.is_enough(index),
            ends=asked.has_words,
        )
        if read := ear.read(asked.terms):
            said, question, centred, words = read.target, read.question, read.centred, read.words
            return lane(
                towards=(said.vector,),
                scores=said.scores,
                standing=lambda rows: standings(question, centred(rows), words),
                confidence=lambda rows: confidences(
                    question, centred(rows), ordinary.among(index, centred, words=words)
                ),
                contributions=said.contributions,
            )
        return lane(
            towards=(ear.join.toward(joint().vector),),
            scores=ear.scores(joint(), shared),
            standing=lambda rows: standings(joint().vector, joined(rows), ordinary.words),
            confidence=lambda rows: confidences(joint().vector, joined(rows), ordinary.among(index, joined)),
            contributions=contributions,
        )

    def _centred(self, asked: Asked, rule: Rule) -> Target:
        """Return what is asked, centred; a text that is just the mean of all has no direction, and stays as it is."""
        try:
            return self._compose(asked, centre=True, rule=rule)
        except QueryError:
            return self._compose(asked, rule=rule)

    def _compose(self, asked: Asked, centre: bool = False, rule: Rule = Rule.ADD) -> Target:
        """Compose the terms, looking up means only where they matter."""
        space = self.encoder.space
        means: dict[Modality, Vector | None] = dict.fromkeys(Modality)
        sounds = any(term.modality is Modality.SOUND for term in asked.terms)
        if (len(asked.terms) > 1 or centre or sounds) and not space.centred:
            means = self.ordinary.means(self.index)
        return compose(asked.terms, asked.vectors, space, means, centre, rule)


def _filters(node: Node) -> Node | None:
    """Return what filters a question as a whole."""
    return functools.reduce(lambda one, other: one if one == other else None, [way.filter for way in ways(node)])


def _name(term: Term) -> str:
    """Return a term as somebody would call it."""
    sign = {Stored.TAG: "#", Stored.CONTENT: "id:", None: ""}[term.stored]
    return f"{'-' if term.weight < 0 else ''}{sign}{term.value}"


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
