"""Look into recordings and films: decode ahead in a thread, encode as the pieces come, whatever their length."""

import os
import threading
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing, nullcontext, suppress
from dataclasses import dataclass, field, replace
from queue import Empty, Full, Queue
from typing import NamedTuple

import numpy as np

from core.errors import MediaError, TemporaryMediaError
from core.types import FileStat, Frame, ImageInput, Kind, Span, StopRequested, Vector, Window
from encoders.base import SoundEncoder
from indexer.diff import Job
from indexer.encoding import PhotoEncoder
from indexer.pairs import is_movie
from indexer.reading import Read, read_beside
from media.files import read_head
from media.isolated import DecodeProcess, Opened, decode_process
from media.kinds import HEAD_BYTES, expected_recording, photo_format
from media.metadata import merge
from store.previews import Previews
from store.records import Recorded
from store.writer import Writer

LIVE_SECONDS = 10.0
"""The film of a Live Photo has three seconds; a longer one beside a photo is a film of its own."""
AHEAD = 4
"""Pieces that are decoded before they are asked for: a few windows or frames each."""
PATIENCE = 0.1
"""Seconds after which a thread looks whether it is still wanted."""


def is_recording(job: Job) -> bool:
    """Say whether a file is to be read as a recording: by its name, unless it begins as a photo does."""
    if not expected_recording(job.name):
        return False
    try:
        return photo_format(read_head(job.full_path, HEAD_BYTES), job.name) is None
    except (OSError, MediaError):  # which is told when it is read
        return True


def is_film(job: Job, library: Writer, stop: StopRequested) -> bool:
    """Say whether a movie beside a photo of its name is too long to belong to it; one look is remembered."""
    if not is_movie(os.path.splitext(job.path)[1][1:].lower()):
        return False
    known = job.known
    try:
        if known and known.digest and job.stat.unchanged(known.stat):
            seconds = library.embedded([known.digest])[known.digest].duration
        else:
            with decode_process(stop) as process:
                seconds = process.seconds_of(job.full_path)
    except (KeyError, MediaError):  # what cannot be read stays with its photo
        return False
    return seconds is not None and seconds > LIVE_SECONDS


@dataclass(frozen=True)
class Listener:
    """What looking into recordings needs to know.

    want: pixels of frames; ear: None where nothing hears; seen: digests of films whose frames have vectors, heard:
    of recordings whose sound has; both grow meanwhile. preview: longer side of previews in px, or 0.
    """

    want: ImageInput
    photos: PhotoEncoder
    ear: SoundEncoder | None
    seen: set[bytes]
    heard: set[bytes]
    previews: Previews
    preview: int
    stop: StopRequested

    def ahead(self, jobs: Sequence[Job]) -> Iterator[Read]:
        """Yield what is in each file, in order, until told to stop; failures become part of the result."""
        with closing(_ahead(self._pieces(jobs), self.stop)) as pieces:
            taken = _Taking(self.photos, self.ear)
            for piece in pieces:
                if self.stop():
                    return
                if isinstance(piece, Read):
                    yield taken.whole(piece)
                    taken = _Taking(self.photos, self.ear)
                else:
                    taken.add(piece)

    def _pieces(self, jobs: Sequence[Job]) -> Generator["Piece", None, None]:
        done: dict[bytes, _Whole] = {}
        for job in jobs:
            with decode_process(self.stop) as process:
                yield from self._of_file(job, process, done)

    def _of_file(self, job: Job, process: DecodeProcess, done: "dict[bytes, _Whole]") -> Iterator["Piece"]:
        """Yield the frames and the windows of a file that have no vector yet, then what it is.

        done: what was found in the files before it; a copy of one of them is not gone through again.
        """
        stat = job.stat
        try:
            stat = FileStat.of(os.stat(job.full_path))
            file = process.open(job.full_path)
            if file.digest not in done:
                done[file.digest] = yield from self._gone_through(job, file, process)
            process.release()
        except OSError as error:
            yield Read(job, stat, failure=(error.strerror or str(error)).lower(), retry=True)
            return
        except MediaError as error:
            yield Read(job, stat, failure=str(error), retry=isinstance(error, TemporaryMediaError))
            return
        kind, heard, damaged, preview = done[file.digest]
        done[file.digest] = done[file.digest]._replace(preview=None)
        beside, notes = read_beside(job)
        yield Read(
            job,
            file.stat,
            file.digest,
            size=file.size if kind is Kind.VIDEO else (0, 0),
            preview=preview,
            damaged=damaged,
            embedded=file.metadata,
            metadata=merge(file.metadata, beside, job.name, file.stat.mtime_ns),
            notes=notes,
            recorded=Recorded(kind, heard=heard),
        )

    def _gone_through(self, job: Job, file: Opened, process: DecodeProcess) -> Generator["Piece", None, "_Whole"]:
        """Yield what has no vector yet; raises MediaError where neither pictures nor sound can be decoded."""
        kind, damaged = file.kind, False
        why: MediaError | None = None
        if kind is Kind.VIDEO and file.digest not in self.seen:
            kind, why = yield from _frames(job, file, process, self.want)
            damaged = why is not None
        listens = self.ear is not None and file.digest not in self.heard
        if self.ear is not None and listens and file.has_sound:
            yield from process.windows(self.ear.rate)
            if why and kind is Kind.AUDIO and not process.seconds:
                raise why
        preview = None
        if self.preview and not self.previews.has(file.digest):
            with suppress(MediaError) if damaged else nullcontext():
                preview = process.preview(self.preview)
        return _Whole(kind, listens, damaged or process.damaged, preview)


class _Whole(NamedTuple):
    """What a recording is; heard: its sound was gone through."""

    kind: Kind
    heard: bool
    damaged: bool
    preview: bytes | None


Piece = Sequence[Frame] | Sequence[Window] | Read
"""Some frames, some windows; at the end of a file, what it is."""


def _frames(
    job: Job, file: Opened, process: DecodeProcess, want: ImageInput
) -> Generator[Piece, None, tuple[Kind, MediaError | None]]:
    """Yield the frames of a film; returns AUDIO where there are none and there is sound to go on with, and why."""
    found = False
    try:
        for part in process.frames(want):
            found = True
            yield part
    except TemporaryMediaError:
        raise
    except MediaError as error:
        if not found and not file.has_sound:
            raise
        process.open(job.full_path)  # for its sound
        return Kind.VIDEO if found else Kind.AUDIO, error
    return Kind.VIDEO, None


@dataclass
class _Taking:
    """The vectors of the file that is being read."""

    photos: PhotoEncoder
    ear: SoundEncoder | None
    frames: list[tuple[Span, Vector]] = field(default_factory=list)
    windows: list[tuple[Span, Vector]] = field(default_factory=list)

    def add(self, part: Sequence[Frame] | Sequence[Window]) -> None:
        """Encode some frames, or some windows."""
        spans = [one.span for one in part]
        frames = [one.pixels for one in part if isinstance(one, Frame)]
        if frames:
            self.frames += zip(spans, self.photos.encode_frames(np.stack(frames)), strict=True)
        elif part and self.ear is not None:
            samples = [one.samples for one in part if isinstance(one, Window)]
            rows = self.ear.encode_sounds(samples)
            self.windows += [(span, row) for span, row in zip(spans, rows, strict=True) if row.any()]  # not silence

    def whole(self, read: Read) -> Read:
        """Return what was read of a file with its vectors."""
        if read.recorded is None:
            return read
        return replace(read, recorded=replace(read.recorded, frames=self.frames, windows=self.windows))


def _ahead(pieces: Generator[Piece, None, None], stop: StopRequested) -> Generator[Piece, None, None]:
    """Run an iterator in a thread, a few pieces ahead, until told to stop."""
    queue: Queue[Piece | BaseException | None] = Queue(AHEAD)
    wanted = threading.Event()
    wanted.set()

    def put(piece: Piece | BaseException | None) -> None:
        while wanted.is_set():
            try:
                return queue.put(piece, timeout=PATIENCE)
            except Full:
                continue

    def run() -> None:
        try:
            for piece in pieces:
                put(piece)
                if not wanted.is_set():
                    break
            put(None)
        except BaseException as error:
            put(error)
        finally:
            pieces.close()

    thread = threading.Thread(target=run, name="listen", daemon=True)
    thread.start()
    try:
        while True:
            try:
                piece = queue.get(timeout=PATIENCE)
            except Empty:
                if stop():
                    return
                continue
            if piece is None:
                return
            if isinstance(piece, BaseException):
                raise piece
            yield piece
    finally:
        wanted.clear()
        thread.join()
