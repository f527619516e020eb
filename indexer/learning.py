"""Teach a library to hear: go through its recordings with a picture, and learn where their sound belongs."""

import contextlib
import os
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from core.errors import MediaError
from core.types import HOP_SECONDS, Modality, Progress, ProgressCallback, StopRequested, Vector, Vectors, Window
from encoders.base import Encoder, SoundEncoder, unit
from encoders.examples import Examples
from encoders.heard import RATE
from encoders.learning import FEWEST, Frozen, Learned, learn
from media.isolated import decode_process
from store.lessons import lessons
from store.reader import Reader

MOST, LEAST = 50_000, 8
"""Windows that are learned from: some MOST in all, which take 4 GB of disk, and up to LEAST of each recording."""


@dataclass(frozen=True)
class Basis:
    """A frozen sound encoder to learn a head upon; mean: of sounds, (d,); bridge: (d, joint dim), to begin with."""

    encoder: SoundEncoder
    mean: Vector
    bridge: Vectors


def teach(
    folder: Path,
    encoder: Encoder,
    tags: Vectors,
    scratch: Path,
    progress: ProgressCallback,
    stop: StopRequested,
    basis_of: Callable[[], Basis | None] = lambda: None,
) -> Learned | None:
    """Learn from a library's recordings; None where `stop` said so, and the same call goes on later.

    tags: centred unit rows of the joint Space, shape (k, dim). scratch: a folder for what is half done. basis_of:
    asked for something to learn upon where there is enough to learn from, since its bridge may take minutes.
    Raises GlimpseError where there is too little to learn from.
    """
    with Reader(folder) as reader:
        space = reader.space(encoder.space.name, encoder.space.revision)
        taught = lessons(reader, space) if space else []
        mean = None if encoder.space.centred or space is None else reader.mean(space, Modality.IMAGE)
    basis = basis_of() if len(taught) >= FEWEST else None
    rows: list[Vectors] = []
    scratch.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=scratch) as spectrograms:
        examples = Examples(Path(spectrograms), basis.encoder.rate if basis else RATE)
        for done, lesson in enumerate(taught):
            progress(Progress("listening", done, len(taught)))
            for window in windows_of(lesson.path, examples.rate, max(LEAST, MOST // len(taught))):
                if stop():
                    return None
                target = lesson.target(window.span)
                if target is None:
                    continue
                centred = unit(target if mean is None else target - mean)
                if examples.add(window.samples, centred, lesson.content_id) and basis:
                    rows.append(basis.encoder.encode_sounds([window.samples]))
        frozen = None
        if basis and rows:
            frozen = Frozen(np.concatenate(rows), basis.encoder.space, basis.mean, basis.bridge)
        return learn(examples, tags, encoder.space, scratch / "checkpoint", progress, stop, frozen=frozen)


def windows_of(path: Path, rate: int, most: int | None = None) -> Iterator[Window]:
    """Yield windows of a recording's sound, spread evenly if there are more than `most`; a broken one has fewer."""
    with decode_process() as process, contextlib.suppress(MediaError):
        opened = process.open(os.fsencode(path))
        count = 1 + int((opened.metadata.duration or 0) / HOP_SECONDS)
        number = 0
        for part in process.windows(rate) if opened.has_sound else ():
            for window in part:
                if most is None or count <= most or (number + 1) * most // count > number * most // count:
                    yield window
                number += 1
