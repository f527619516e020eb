"""Suggest tags for a photo: the words of a vocabulary that lie nearest to it."""

import csv
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Protocol

import numpy as np

from core.resources import data_path
from core.types import Progress, ProgressCallback, Space, Tag, Vector, Vectors
from encoders.base import unit
from encoders.kept import keep, kept


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
        rows = encoder.encode_texts([word.tag for word in self.words])
        keep(path, vectors=rows)
        return rows

    def mean(self) -> Vector:
        """Return the mean of all tags, which stands for the mean of all texts."""
        mean: Vector = self.vectors.mean(axis=0)
        return mean

    def suggest(self, photo: Vector, image_mean: Vector | None, k: int) -> list[Tag]:
        """Return the k best tags, best first; a broader tag never stands beside a narrower one of its own."""
        space = self._encoder.space
        rows = self.vectors[:, : space.shared_dim]
        photo = photo[: space.shared_dim]
        if not space.centred:
            rows = rows - self.mean()
            photo = photo if image_mean is None else photo - image_mean
        scores = unit(rows) @ unit(photo)
        order = np.argsort(-scores, kind="stable")
        ranked = [Tag(self.words[i].tag, float(scores[i]), self.words[i].group) for i in order]
        return _without_broader(ranked, {word.tag: word.parent for word in self.words}, k)


def _without_broader(ranked: list[Tag], parents: dict[str, str], k: int) -> list[Tag]:
    """Take k tags in order; a narrower tag drives the broader ones of its own from the list."""
    kept: list[Tag] = []
    for tag in ranked:
        if any(tag.name in _broader(other.name, parents) for other in kept):
            continue
        broader = _broader(tag.name, parents)
        if len(kept) == k and not any(other.name in broader for other in kept):
            break
        kept = [other for other in kept if other.name not in broader]
        kept.append(tag)
    return kept


def _broader(name: str, parents: dict[str, str]) -> set[str]:
    """Return all tags above a tag."""
    above: set[str] = set()
    while (name := parents.get(name, "")) and name not in above:
        above.add(name)
    return above
