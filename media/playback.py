"""What the decode process holds of a sound or a film: the open file, gone through anew for each thing wanted."""

import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from typing import TypeVar

from core.types import FileStat, Frame, ImageInput, Kind, Metadata, Window
from media.files import open_file
from media.labels import labels
from media.recording import Recording, check_recording, recording_in
from media.sound import Block, blocks, gather
from media.spectrogram import Spectrogram, picture

WINDOWS, FRAMES = 4, 8
"""How many are handed over at once: a few megabytes."""
LOT_SECONDS = 5.0
"""Of a film without keyframes, or a large one, a single frame may take that long."""
Item = TypeVar("Item")


class Playback:
    """An open sound or film; raises MediaError where it cannot be opened.

    damaged, seconds: see `media.recording.Recording`; of everything gone through so far.
    """

    def __init__(self, path: bytes, alive: Callable[[], None]) -> None:
        """alive: called as long as bytes come."""
        self.damaged = False
        self.seconds = 0.0
        self._name = os.path.basename(os.fsdecode(path))
        self._drawn: Spectrogram | None = None
        self._stack = ExitStack()
        self._file = self._stack.enter_context(open_file(path))
        self._file.alive = alive

    def close(self) -> None:
        """Close the file."""
        self._stack.close()

    def digest(self) -> tuple[bytes, FileStat]:
        """Return the XXH3-128 of all bytes, and the stat that they belong to."""
        check_recording(self._file, self._name)  # or a disk image would be read whole
        return self._file.digest(), self._file.stat

    def described(self) -> tuple[Kind, Metadata, tuple[int, int], bool]:
        """Return the kind, what is written in it, its upright size, (0, 0) for sound, and whether there is sound."""
        with recording_in(self._file, self._name) as recording:
            return recording.kind, labels(recording.container), recording.size, recording.has_sound

    def frames(self, want: ImageInput) -> Iterator[list[Frame]]:
        """Yield the frames of a film, some at a time."""
        from media.film import frames

        with recording_in(self._file, self._name) as recording:
            yield from self._watched(recording, frames(recording, want), FRAMES)

    def windows(self, rate: int) -> Iterator[list[Window]]:
        """Yield the windows of sound at `rate` Hz, some at a time; the spectrogram is drawn on the way."""
        with recording_in(self._file, self._name) as recording:
            drawn = Spectrogram()
            yield from self._watched(recording, gather(_tapped(blocks(recording), drawn), rate), WINDOWS)
            self._drawn = drawn

    def preview(self, size: int) -> bytes | None:
        """Return a WebP of at most `size` px, the longer side: a picture of the film, or the spectrogram."""
        with recording_in(self._file, self._name) as recording:
            if recording.kind is Kind.VIDEO:
                from media.film import preview

                return preview(recording, size)
            return self._drawn.webp(size) if self._drawn else picture(blocks(recording), size)

    def _watched(self, recording: Recording, items: Iterable[Item], count: int) -> Iterator[list[Item]]:
        """Yield lists of up to `count`; raises TemporaryMediaError where the file is no longer what was hashed."""
        going = iter(items)
        while True:
            lot = _lot(going, count)
            self._file.check_unchanged()
            self.damaged |= recording.damaged
            self.seconds = max(self.seconds, recording.seconds)
            if not lot:
                return
            yield lot


def _lot(items: Iterator[Item], count: int) -> list[Item]:
    """Return the next items, fewer than `count` where they take long: each answer has its deadline."""
    lot: list[Item] = []
    until = time.monotonic() + LOT_SECONDS
    for item in items:
        lot.append(item)
        if len(lot) == count or time.monotonic() > until:
            break
    return lot


def _tapped(stream: Iterable[Block], drawn: Spectrogram) -> Iterator[Block]:
    for block in stream:
        drawn.add(block)
        yield block
