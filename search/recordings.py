"""Sounds and films as questions: read and embed one file."""

from pathlib import Path

import numpy as np

from core.errors import MediaError, QueryError
from core.types import Vector, Vectors
from encoders.base import Encoder, SoundEncoder, unit
from media.film import frames
from media.recording import open_recording
from media.sound import windows


def encode_film(path: Path, encoder: Encoder) -> Vector:
    """Return the mean direction of a film's frames, a unit vector of shape (dim,); raises QueryError."""
    total = np.zeros(encoder.space.dim, np.float32)
    try:
        with open_recording(path) as recording:
            for frame in frames(recording, encoder.image_input):
                total += encoder.encode_images(frame.pixels[None])[0]
    except MediaError as error:
        raise QueryError(f"{path} cannot be used as a film: {error}") from error
    return unit(total)


def encode_sound(path: Path, ear: SoundEncoder) -> Vectors:
    """Return the vectors of a recording's windows, unit rows of shape (n, dim), n > 0; raises QueryError."""
    rows = []
    try:
        with open_recording(path) as recording:
            for window in windows(recording, ear.rate):
                rows.append(ear.encode_sounds([window.samples])[0])
    except MediaError as error:
        raise QueryError(f"{path} cannot be used as a sound: {error}") from error
    if not rows:
        raise QueryError(f"{path} is silent; there is nothing to look for")
    return np.stack(rows)
