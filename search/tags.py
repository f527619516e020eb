"""Suggest tags for a photo: the words of a vocabulary that lie nearest to it."""

import csv
import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Protocol

import numpy as np

from core.resources import data_path
from core.types import Progress, ProgressCallback, Space, Tag, Vector, Vectors
from encoders.base import unit
from encoders.kept import keep, kept

MANY = 200
"""Tags whose encoding takes long enough to be told."""
KEPT = 50_000
"""Vectors of people's own tags that the cache has at most, the newest."""


@dataclass(frozen=True)
class Word:
    """A tag of the vocabulary, with its group and the broader tag it is one of ("" for none)."""

    tag: str
    group: str
    parent: str


def read_vocabulary(path: Path) -> list[Word]:
    """Read a vocabulary: tab-separated, with the header tag, group, parent."""
    with path.open(encoding="utf-8", newline="") as file:
        return [Word(row["tag"], row["group"], row["parent"]) for row in csv.DictReader(file, delimiter="\t")]


class Named(Protocol):
    """What has a tower for texts: every encoder of pictures, and some of sound."""

    @property
    def space(self) -> Space:
        """The Space."""
        ...

    def encode_texts(self, texts: Sequence[str]) -> Vectors:
        """Encode texts into unit rows of shape (n, dim)."""
        ...


class TagBank:
    """The vocabulary with its vectors, which are made once per model and kept in the cache."""

    def __init__(
        self,
        encoder: Named,
        cache: Path,
        vocabulary: Path | None = None,
        progress: ProgressCallback | None = None,
    ) -> None:
        """cache: the folder where vectors are kept; vocabulary: a file like data/tags.tsv, None for that one."""
        self._encoder = encoder
        self._cache = cache
        self._vocabulary = vocabulary or data_path("tags.tsv")
        self._progress = progress

    @cached_property
    def words(self) -> list[Word]:
        """The tags, in the order of their vectors."""
        return read_vocabulary(self._vocabulary)

    @cached_property
    def vectors(self) -> Vectors:
        """One unit row per tag, shape (n, dim)."""
        encoder = self._encoder
        version = hashlib.sha256(self._vocabulary.read_bytes()).hexdigest()[:8]
        path = self._cache / "tags" / f"{encoder.space.key}-{version}.npz"
        if (found := kept(path)) is not None:
            return found["vectors"]
        if self._progress:
            self._progress(Progress(f"encoding {len(self.words):,} tags (once)"))
        rows = encoder.encode_texts([spoken(word.tag) for word in self.words])
        keep(path, vectors=rows)
        return rows

    def encoded(self, texts: Sequence[str]) -> Vectors:
        """Return one unit row per tag that is not in the vocabulary, shape (n, dim); kept in the cache by hashes."""
        path = self._cache / "tags" / f"{self._encoder.space.key}-own.npz"
        keys = [int.from_bytes(hashlib.sha256(text.encode(errors="replace")).digest()[:8]) for text in texts]
        found = kept(path) if keys else None
        rows = dict(zip(found["keys"].tolist(), found["vectors"], strict=True)) if found else {}
        new = {key: text for key, text in zip(keys, texts, strict=True) if key not in rows}
        if new:
            if self._progress and len(new) > MANY:
                self._progress(Progress(f"encoding {len(new):,} tags of your own (once)"))
            rows |= zip(new, self._encoder.encode_texts([spoken(text) for text in new.values()]), strict=True)
            last = list(rows)[-KEPT:]
            keep(path, keys=np.array(last, np.uint64), vectors=np.stack([rows[key] for key in last]))
        return np.stack([rows[key] for key in keys]) if keys else np.empty((0, self._encoder.space.dim), np.float32)

    def mean(self) -> Vector:
        """Return the mean of all tags, which stands for the mean of all texts."""
        mean: Vector = self.vectors.mean(axis=0)
        return mean

    def suggest(self, photo: Vector, image_mean: Vector | None, k: int) -> list[Tag]:
        """Return the k best tags, best first; a broader tag never stands beside a narrower one of its own."""
        scores = self.directions(self.vectors) @ self.toward(photo, image_mean)
        order = np.argsort(-scores, kind="stable")
        ranked = (Tag(self.words[i].tag, float(scores[i]), self.words[i].group) for i in order)
        return without_broader(ranked, self.above, k)

    @cached_property
    def _parents(self) -> dict[str, str]:
        return {word.tag: word.parent for word in self.words}

    def above(self, name: str) -> set[str]:
        """Return all tags of the vocabulary that are broader than one of it; none for other names."""
        return broader_than(name, self._parents)

    def directions(self, texts: Vectors) -> Vectors:
        """Return texts centred, in the part of the space that they share with pictures: unit rows (n, shared_dim)."""
        space = self._encoder.space
        rows = texts[:, : space.shared_dim]
        return unit(rows if space.centred else rows - self.mean())

    def toward(self, photos: Vectors, image_mean: Vector | None) -> Vectors:
        """Return pictures as `directions` has texts; their products are cosines.

        photos: shape (n, dim), or one of (dim,).
        """
        space = self._encoder.space
        rows = photos[..., : space.shared_dim]
        return unit(rows if space.centred or image_mean is None else rows - image_mean)


def without_broader(ranked: Iterable[Tag], above: Callable[[str], Set[str]], k: int) -> list[Tag]:
    """Take k tags in order; a narrower tag drives the broader ones, those `above` it, from the list."""
    kept: list[Tag] = []
    for tag in ranked:
        if any(tag.name in above(other.name) for other in kept):
            continue
        broader = above(tag.name)
        if len(kept) == k and not any(other.name in broader for other in kept):
            break
        kept = [other for other in kept if other.name not in broader]
        kept.append(tag)
    return kept


def broader_than(name: str, parents: Mapping[str, str]) -> set[str]:
    """Return all tags above a tag."""
    above: set[str] = set()
    while (name := parents.get(name, "")) and name not in above:
        above.add(name)
    return above


def spoken(name: str) -> str:
    """Return a tag as a text for a model: all levels, "Places/Vienna" as "Places Vienna"."""
    return name.replace("/", " ")
