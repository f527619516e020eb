"""Look into files: read, hash and decode each in a process of its own, and read what is written beside it."""

import contextlib
import os
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from core.errors import MediaError, TemporaryMediaError
from core.settings import Settings
from core.types import Box, FileStat, ImageInput, Metadata, Pixels, StopRequested
from indexer.diff import Job
from media.files import read_file, read_head
from media.isolated import DecodeProcess, decode_process
from media.kinds import HEAD_BYTES, photo_format, recording_format
from media.metadata import merge
from media.sidecar import MAX_BYTES, read_sidecar
from media.tiles import Level
from store.previews import Previews
from store.records import Recorded


@dataclass(frozen=True)
class Read:
    """A file that was looked into: what it is, and its pixels if it still has to be encoded.

    frames, tiles: see `media.photo.Photo`; embedded: what is written in the photo; metadata: that and what is beside
    it. recorded: of a recording, whose vectors are there already. is_recording: it has the name of a photo, and is
    not one.
    """

    job: Job
    stat: FileStat
    digest: bytes | None = None
    frames: tuple[Pixels, ...] = ()
    size: tuple[int, int] | None = None
    preview: bytes | None = None
    from_preview: bool = False
    damaged: bool = False
    embedded: Metadata | None = None
    metadata: Metadata | None = None
    notes: tuple[str, ...] = ()
    failure: str | None = None
    retry: bool = False
    recorded: Recorded | None = None
    is_recording: bool = False
    tiles: tuple[tuple[Box, Pixels], ...] = ()

    @property
    def pictures(self) -> int:
        """How many pictures there are to encode."""
        return len(self.frames) + len(self.tiles)


_one_big_photo = threading.Lock()
"""Big photos are decoded one at a time, so that memory does not grow with the processors."""


@dataclass(frozen=True)
class Reader:
    """What looking into a file needs to know.

    encoded: digests that have a vector already; it grows meanwhile. animated: those of animations; recordings: those
    of recordings, whose previews are no photos; preview: longer side of previews in px, or 0. tiles: which photos are
    cut up; untiled: digests of those known ones that have yet to be; it shrinks meanwhile.
    """

    want: ImageInput
    encoded: set[bytes]
    animated: frozenset[bytes]
    recordings: set[bytes]
    previews: Previews
    settings: Settings
    stop: StopRequested
    preview: int
    tiles: Level
    untiled: set[bytes]

    def ahead(self, jobs: Sequence[Job], batch_size: int) -> Iterator[Read]:
        """Look into files in threads, two batches of pictures ahead, and yield them in order until told to stop."""
        most = 2 * batch_size + self.settings.workers
        pending: deque[Future[Read]] = deque()
        held = _Held()
        upcoming = iter(jobs)
        with ThreadPoolExecutor(self.settings.workers, thread_name_prefix="decode") as pool:
            try:
                while not self.stop():
                    while len(pending) + held.further < most and (job := next(upcoming, None)):
                        pending.append(pool.submit(held.counting(self.read), job))
                    if not pending:
                        return
                    yield held.released(pending.popleft().result())
            finally:
                pool.shutdown(wait=True, cancel_futures=True)

    def read(self, job: Job) -> Read:
        """Look into one file; failures become part of the result."""
        try:
            with decode_process() as process:
                return self._from_preview(job, process) or self._from_file(job, process)
        except OSError as error:
            return Read(job, job.stat, failure=(error.strerror or str(error)).lower(), retry=True)
        except MediaError as error:
            return Read(job, job.stat, failure=str(error), retry=isinstance(error, TemporaryMediaError))

    def _from_preview(self, job: Job, process: DecodeProcess) -> Read | None:
        """Take the pixels of an unchanged photo from its preview, for another model; None where that cannot be."""
        known = job.known
        if not known or not known.digest or not known.described or known.encoded or known.gone or known.failure:
            return None
        if known.digest in self.recordings:
            return None
        there = os.path.lexists(job.full_path)
        if there and (known.digest in self.animated or known.digest in self.untiled):
            return None  # it has more frames than its preview, or more detail
        preview = self.previews.read(known.digest) if job.stat.unchanged(known.stat) else None
        if preview is None:
            return None
        try:  # an enlarged one is better than nothing where the photo is not there
            pixels = process.decode_preview(preview, self.want, least=self.want.size if there else 0)
        except MediaError:  # a damaged cache, or too small
            return None
        return Read(job, job.stat, known.digest, (pixels,), from_preview=True)

    def _from_file(self, job: Job, process: DecodeProcess) -> Read:
        """Read a file, and decode it unless its content has its vectors already."""
        stat = FileStat.of(os.stat(job.full_path))
        try:
            file = process.read(job.full_path)
            new, uncut = file.digest not in self.encoded, file.digest in self.untiled
            preview = 0 if self.previews.has(file.digest) else self.preview
            wanted = self.want if new or uncut or (preview and job.known and not job.known.described) else None
            with _one_big_photo if file.big and wanted else contextlib.nullcontext():
                photo = process.decode(job.name, wanted, preview, self.tiles if new or uncut else "none")
        except MediaError as error:
            other = _is_recording(job)
            retry = isinstance(error, TemporaryMediaError)
            return Read(job, stat, failure=str(error), retry=retry, is_recording=other)
        beside, notes = read_beside(job)
        return Read(
            job,
            file.stat,
            file.digest,
            frames=photo.frames if new else (),
            size=photo.size,
            preview=photo.preview,
            damaged=photo.damaged,
            embedded=photo.metadata,
            metadata=merge(photo.metadata, beside, job.name, file.stat.mtime_ns),
            notes=notes,
            tiles=photo.tiles,
        )


class _Held:
    """Counts the pictures that were decoded and not yet taken, beyond one a photo: some have nine."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.further = 0

    def counting(self, read: Callable[[Job], Read]) -> Callable[[Job], Read]:
        """Return what reads a file and counts its pictures."""

        def counted(job: Job) -> Read:
            found = read(job)
            self._add(found.pictures - 1)
            return found

        return counted

    def released(self, read: Read) -> Read:
        """Note that somebody takes what was read."""
        self._add(1 - read.pictures)
        return read

    def _add(self, number: int) -> None:
        with self._lock:
            self.further += number


def _is_recording(job: Job) -> bool:
    """Say whether a file that could not be read as a photo is a recording, whatever its name."""
    with contextlib.suppress(OSError, MediaError):
        head = read_head(job.full_path, HEAD_BYTES)
        return photo_format(head, job.name) is None and recording_format(head, job.name) is not None
    return False


def read_beside(job: Job) -> tuple[list[Metadata], tuple[str, ...]]:
    """Return what the sidecars of a photo say, best first, and a note for each that cannot be read."""
    found, notes = [], []
    for sidecar in job.sidecars:
        path = os.path.join(job.root, sidecar)
        try:
            found.append(read_sidecar(os.fsdecode(os.path.basename(sidecar)), read_file(path, MAX_BYTES).data))
        except MediaError as error:
            if not sidecar.lower().endswith(b".json"):  # which may be anybody's
                notes.append(f"{os.fsdecode(path)} was not used: {error}")
    return found, tuple(notes)
