"""Look inside what a library learned to hear with: what each hidden unit answers to, in its own recordings."""

from collections import OrderedDict
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from core.errors import LibraryError, MediaError
from core.types import HOP_SECONDS, Progress, ProgressCallback, Span, StopRequested, Vectors
from encoders.base import Encoder, unit
from glimpse.units import Recording, Unit, select

if TYPE_CHECKING:
    from encoders.learned import LearnedEncoder
    from glimpse.api import Library

MOST = 1000
"""Recordings that are gone through, spread evenly over those that there are."""
WIDTH = 256
"""Pixels of a spectrogram."""
NAMES = 5
"""Tags that each moment is named by."""
KEPT = 8
"""Recordings whose pictures are kept: those of a unit's moments come one after another."""


class Look:
    """What the hidden units of a learned tower answer to in the recordings of a library."""

    def __init__(self, library: "Library", encoder: Encoder, progress: ProgressCallback, stop: StopRequested) -> None:
        """Raises LibraryError where nothing was learned."""
        from encoders.ears import sound_encoder
        from encoders.learned import HeardBy, is_head, open_head, open_learned
        from search.tags import TagBank
        from store.reader import Reader
        from store.recordings import paths, tower

        with Reader(library.settings.library) as reader:
            space = reader.space(encoder.space.name, encoder.space.revision)
            weights = tower(reader, space) if space else None
            found = paths(reader)
        if weights is None:
            raise LibraryError(f"nothing was learned for '{encoder.space.name}' yet; run: glimpse learn-sound")
        self._tower: LearnedEncoder | HeardBy
        if is_head(weights):
            clap = sound_encoder(encoder, weights, library.settings.cache, progress)
            if clap is None:
                raise LibraryError("what was learned is a head upon CLAP, which is gone; glimpse models get clap")
            self._tower = HeardBy(clap, open_head(weights, encoder.space, clap.space))
        else:
            self._tower = open_learned(weights, encoder.space)
        self._paths: list[Path] = found[:: -(-len(found) // MOST)] if found else []
        self._bank: TagBank = TagBank(encoder, library.settings.cache, progress=progress)
        self._encoder, self._progress, self._stop = encoder, progress, stop
        self._pictures: OrderedDict[Path, dict[float, bytes]] = OrderedDict()

    @property
    def count(self) -> int:
        """Return how many units there are."""
        return self._tower.units

    def units(self) -> list[Unit]:
        """Return all units, the most selective first."""
        recordings = []
        for done, path in enumerate(self._paths):
            self._progress(Progress("listening", done, len(self._paths)))
            if self._stop():
                break
            if (recording := self._recording(path)) is not None:
                recordings.append(recording)
        return select(recordings, self._names)

    def picture(self, path: Path, span: Span) -> bytes:
        """Return the spectrogram of a window of a recording, WebP; raises MediaError."""
        if path not in self._pictures:
            self._pictures[path] = dict(self._drawn(path))
            while len(self._pictures) > KEPT:
                self._pictures.popitem(last=False)
        drawn = self._pictures[path]
        if not drawn:
            raise MediaError("nothing is to be heard there now")
        return drawn[min(drawn, key=lambda start: abs(start - span.start))]

    def _drawn(self, path: Path) -> "list[tuple[float, bytes]]":
        from indexer.learning import windows_of
        from media.sound import Block
        from media.spectrogram import picture

        drawn = []
        for window in windows_of(path, self._tower.rate):
            if shown := picture([Block(0.0, self._tower.rate, window.samples, follows=False)], WIDTH):
                drawn.append((window.span.start, shown))
        return drawn

    def _recording(self, path: Path) -> Recording | None:
        """Return what the tower makes of a recording; where windows overlap, of the earlier one."""
        from indexer.learning import windows_of

        times, values, vectors = [], [], []
        covered, step = 0.0, HOP_SECONDS  # where a window is one moment
        for window in windows_of(path, self._tower.rate):
            at, rows = self._tower.activations(window.samples)
            if len(at) > 1:
                step = float(np.median(np.diff(at)))
            begins = window.span.start + np.maximum(0, at - step / 2)
            new = begins >= covered
            if new.any():
                covered = max(window.span.start + HOP_SECONDS, float(begins[new][-1]) + step)
                times.append(begins[new])
                values.append(rows[new])
                vectors.append(np.repeat(self._tower.encode_sounds([window.samples]), int(new.sum()), axis=0))
        if not times:
            return None
        return Recording(path, np.concatenate(times), step, np.concatenate(values), np.concatenate(vectors))

    @cached_property
    def _words(self) -> Vectors:
        rows = self._bank.vectors if self._encoder.space.centred else self._bank.vectors - self._bank.mean()
        return unit(rows)

    def _names(self, rows: Vectors) -> Sequence[Sequence[str]]:
        """Return the few best tags of each row."""
        best = np.argsort(-(rows @ self._words.T), axis=1)[:, :NAMES]
        return [[self._bank.words[i].tag for i in some] for some in best.tolist()]
