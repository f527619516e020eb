"""What every encoder does."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np

from core.types import ImageInput, Pixels, Samples, Space, Vector, Vectors

BATCH_SIZE = 32
"""Photos that an encoder on a CPU is handed at once: more are no faster, and wait longer to be committed."""


class Encoder(Protocol):
    """Turn pixels and texts into unit vectors of one Space.

    Indexing calls `encode_images` with batches of `batch_size` photos, search both methods with single queries.
    """

    space: Space
    image_input: ImageInput
    batch_size: int

    def encode_images(self, pixels: Pixels) -> Vectors:
        """Encode photos of shape (n, size, size, 3) into unit rows of shape (n, dim)."""
        ...

    def prepare_texts(self) -> None:
        """Begin to open what texts need, while the caller does other things; an index run never calls this."""
        ...

    def encode_texts(self, texts: Sequence[str]) -> Vectors:
        """Encode texts into unit rows of shape (n, dim), zero behind `space.shared_dim`."""
        ...


class SoundEncoder(Protocol):
    """Turn sound into unit vectors of a Space of its own (`space`), which is what the library stores.

    rate: Hz of the samples it wants; batch_size: windows that it is handed at once when indexing.
    """

    space: Space
    rate: int
    batch_size: int

    def encode_sounds(self, windows: Sequence[Samples]) -> Vectors:
        """Encode windows of at most WINDOW_SECONDS each, of any lengths, into unit rows of shape (n, dim)."""
        ...


@runtime_checkable
class Hears(Protocol):
    """An encoder of pictures and texts whose Space takes in sound by itself."""

    def sounds(self) -> SoundEncoder:
        """Return what encodes sound."""
        ...


@runtime_checkable
class Reads(Protocol):
    """A sound encoder with a tower for texts of its own, in its own Space."""

    def encode_texts(self, texts: Sequence[str]) -> Vectors:
        """Encode texts into unit rows of shape (n, dim)."""
        ...


class Join(Protocol):
    """Take sound from the Space of its encoder into the joint Space of pictures and texts."""

    def rows(self, stored: Vectors) -> Vectors:
        """Return unit rows of shape (n, joint dim), comparable with centred pictures and texts."""
        ...

    def toward(self, target: Vector) -> Vector:
        """Return the direction among stored rows in which the cosine of `rows` to a joint vector grows, unit length.

        Only good enough to fetch candidates with: those are scored through `rows`.
        """
        ...


def unit(rows: Vectors) -> Vectors:
    """Scale rows (the last axis) to Euclidean length 1; rows of zeros stay zeros."""
    norms = np.linalg.norm(rows, axis=-1, keepdims=True)
    return (rows / np.where(norms == 0, 1, norms)).astype(np.float32)
