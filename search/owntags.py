"""The user's own tags beside the vocabulary: which candidates there are, and which photos are examples of what."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from core.types import Ids, Vectors
from search.tags import TagBank
from store.reader import Reader, StoredSpace
from store.tagging import Examples, examples, pictures_of

OWN = "own"
"""Group of tags that are not in the vocabulary."""
MOST = 20_000
"""Tagged photos that vote, of each tag its newest first: 40 MB in 512 dimensions, and 10 ms a question."""
Signs = npt.NDArray[np.int8]


@dataclass(frozen=True)
class Tagged:
    """Photos and films that vote. ids: their contents, ascending; rows: (n, dim).

    starts: where the candidates of each begin in `tags` and `signs` (1 has it, -1 must not), one more at the end.
    """

    ids: Ids
    rows: Vectors
    starts: Ids
    tags: Ids
    signs: Signs

    @classmethod
    def none(cls, dim: int) -> "Tagged":
        """Return nobody."""
        nothing = np.empty(0, np.int64)
        return cls(nothing, np.empty((0, dim), np.float32), np.zeros(1, np.int64), nothing, np.empty(0, np.int8))

    def place(self, content_id: int | None) -> int | None:
        """Return which row is of a content, None where none is."""
        place = len(self.ids) if content_id is None else int(np.searchsorted(self.ids, content_id))
        return place if place < len(self.ids) and self.ids[place] == content_id else None

    def tags_of(self, row: int) -> Ids:
        """Return the candidates that a row is an example of, or against."""
        return self.tags[self.starts[row] : self.starts[row + 1]]

    def among(self, rows: Ids) -> tuple[Ids, Ids, Signs]:
        """Return all that some rows say: places among `rows`, candidates, signs."""
        lengths = self.starts[rows + 1] - self.starts[rows]
        said_by = np.repeat(np.arange(len(rows)), lengths)
        firsts = np.cumsum(lengths) - lengths
        every = self.starts[rows][said_by] + np.arange(len(said_by)) - firsts[said_by]
        return said_by, self.tags[every], self.signs[every]


@dataclass(frozen=True)
class OwnTags:
    """The candidates of suggestions: the vocabulary, then the user's own tags that are not in it.

    examples: with candidates in the place of tag ids; spelled: words of the vocabulary by themselves, and by
    themselves in small letters.
    """

    bank: TagBank
    names: list[str]
    groups: list[str]
    examples: Examples
    spelled: dict[str, str]

    @property
    def own(self) -> list[str]:
        """The candidates that are not in the vocabulary."""
        return self.names[len(self.bank.words) :]

    def counts(self, signs: Sequence[int] = (1, -1)) -> Ids:
        """Return how many examples each candidate has, of these signs."""
        chosen = np.isin(self.examples.signs, signs)
        return np.bincount(self.examples.tag_ids[chosen], minlength=len(self.names))

    def word(self, name: str) -> str | None:
        """Return the word of the vocabulary that a tag is a spelling of, by its last level; None for none."""
        return name if name in self.spelled else self.spelled.get(name.rpartition("/")[2].casefold())

    def same_as(self, name: str) -> set[str]:
        """Return the candidates that say the same as a tag."""
        return {name} | ({word} if (word := self.word(name)) else set())

    def above(self, name: str) -> set[str]:
        """Return what a tag makes needless: the levels above it, and the word that it spells, with those above."""
        levels = name.split("/")
        higher = {"/".join(levels[:depth]) for depth in range(1, len(levels))}
        word = self.word(name)
        return (higher if word is None else higher | {word} | self.bank.above(word)) - {name}

    def tagged(self, reader: Reader, space: StoredSpace) -> Tagged:
        """Return the photos and films that are examples of anything, as they are stored."""
        found = self.examples
        ids, rows = pictures_of(reader, space, _newest(found, MOST))
        place = np.searchsorted(ids, found.content_ids)
        there = (place < len(ids)) & (np.append(ids, -1)[place] == found.content_ids)
        order = np.argsort(place[there], kind="stable")
        starts = np.searchsorted(place[there][order], np.arange(len(ids) + 1))
        return Tagged(ids, rows, starts, found.tag_ids[there][order], found.signs[there][order])


def gather(reader: Reader | None, bank: TagBank) -> OwnTags:
    """Return what can be suggested, and what there is to learn from; without a library, the vocabulary alone."""
    found = examples(reader) if reader else Examples.none()
    words = {word.tag: word.tag.casefold() for word in bank.words}
    used = {found.names[key] for key in np.unique(found.tag_ids[found.signs > 0]).tolist()}
    names = [*words, *sorted(used - words.keys())]
    groups = [word.group for word in bank.words] + [OWN] * (len(names) - len(words))
    spelled = {fold: word for word, fold in words.items()} | {word: word for word in words}
    return OwnTags(bank, names, groups, _placed(found, names), spelled)


def _placed(found: Examples, names: Sequence[str]) -> Examples:
    """Return examples with candidates in the place of tag ids, without those of what is no candidate."""
    places = {name: number for number, name in enumerate(names)}
    keys, which = np.unique(found.tag_ids, return_inverse=True)
    tags = np.array([places.get(found.names[key], -1) for key in keys.tolist()], np.int64)[which]
    there = tags >= 0
    judged = [
        (content, places[name], yes) for content, tag, yes in found.judged if (name := found.names[tag]) in places
    ]
    return Examples(found.content_ids[there], tags[there], found.signs[there], {}, judged)


def _newest(found: Examples, most: int) -> Ids:
    """Return the contents that have examples, at most so many: the newest of each tag come first, in turns."""
    if len(ids := np.unique(found.content_ids)) <= most:
        return ids
    order = np.lexsort((-found.content_ids, found.tag_ids))
    _, firsts, lengths = np.unique(found.tag_ids[order], return_index=True, return_counts=True)
    turn = np.arange(len(order)) - np.repeat(firsts, lengths)
    by_turn = found.content_ids[order][np.lexsort((-found.content_ids[order], turn))]
    _, first = np.unique(by_turn, return_index=True)
    chosen: Ids = np.sort(by_turn[np.sort(first)[:most]])
    return chosen
