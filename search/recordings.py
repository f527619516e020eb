"""Sounds and films as questions: read and embed one file."""

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import TypeVar

import numpy as np

from core.errors import MediaError, QueryError
from core.types import Vector, Vectors
from encoders.base import Encoder, SoundEncoder, unit
from media.film import frames
from media.recording import open_recording
from media.sound import windows

T = TypeVar("T")


def encode_film(path: Path, encoder: Encoder) -> Vector:
    """Return the mean direction of a film's frames, a unit vector of shape (dim,); raises QueryError."""
    total = np.zeros(encoder.space.dim, np.float32)
    try:
        with open_recording(path) as recording:
            for some in _lots(frames(recording, encoder.image_input), encoder.batch_size):
                total += encoder.encode_images(np.stack([frame.pixels for frame in some])).sum(axis=0)
    except MediaError as error:
        raise QueryError(f"{path} cannot be used as a film: {error}") from error
    return unit(total)


def encode_sound(path: Path, ear: SoundEncoder) -> Vectors:
    """Return the vectors of a recording's windows, unit rows of shape (n, dim), n > 0; raises QueryError."""
    try:
        with open_recording(path) as recording:
            rows = [
                ear.encode_sounds([window.samples for window in some])
                for some in _lots(windows(recording, ear.rate), ear.batch_size)
            ]
    except MediaError as error:
        raise QueryError(f"{path} cannot be used as a sound: {error}") from error
    heard = np.concatenate(rows) if rows else np.empty((0, ear.space.dim), np.float32)
    heard = heard[heard.any(axis=1)]
    if not len(heard):
        raise QueryError(f"{path} is silent; there is nothing to look for")
    return heard


def _lots(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Yield some items at a time: a recording of hours does not fit into memory."""
    upcoming = iter(items)
    while lot := list(islice(upcoming, size)):
        yield lot
