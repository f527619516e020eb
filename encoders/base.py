"""What every encoder does."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from core.types import ImageInput, Pixels, Space, Vectors

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


def unit(rows: Vectors) -> Vectors:
    """Scale rows (the last axis) to Euclidean length 1; rows of zeros stay zeros."""
    norms = np.linalg.norm(rows, axis=-1, keepdims=True)
    return (rows / np.where(norms == 0, 1, norms)).astype(np.float32)
