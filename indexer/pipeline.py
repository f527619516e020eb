"""An index run: scan, diff, decode, encode, commit. Decoding runs ahead in threads; everything else in order."""

import os
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from core.errors import GlimpseError, MediaError, TemporaryMediaError
from core.settings import Settings
from core.types import (
    Failure,
    FileStat,
    ImageInput,
    IndexReport,
    Pixels,
    Progress,
    ProgressCallback,
    StopRequested,
    Vector,
)
from encoders.base import Encoder
from indexer.diff import Job, Plan, diff
from indexer.scan import Scan, scan, walk_reaches
from media.files import read_file
from media.photo import decode_photo
from store.writer import Taken, Writer

ROWS_PER_BATCH = 500
SECONDS_PER_BATCH = 2.0
"""A batch is committed when it holds enough photos to encode, this many rows, or is this old."""


@dataclass(frozen=True)
class Read:
    """A file that was read: what it is, and its pixels if it still has to be encoded."""

    job: Job
    stat: FileStat
    digest: bytes | None = None
    pixels: Pixels | None = None
    size: tuple[int, int] | None = None
    failure: str | None = None
    retry: bool = False


def index(
    library: Writer,
    encoder: Encoder,
    paths: Sequence[Path],
    settings: Settings,
    progress: ProgressCallback = lambda _: None,
    stop: StopRequested = lambda: False,
) -> IndexReport:
    """Bring a library up to date with folders (or single files); without paths, with all it has indexed before.

    When `stop` turns true, the batch in flight is finished and the report says `interrupted`.
    Raises GlimpseError where a path does not exist, before anything is done.
    """
    check_paths(paths)
    run = _Run(library, encoder, settings, progress, stop)
    started = time.monotonic()
    scans = list(run.scans(paths))
    if not stop():
        roots = library.roots()
        run.take(diff(scans, library.known_files(run.encoded), roots, stop), roots)
    run.report.interrupted = stop()
    run.report.seconds = time.monotonic() - started
    summary = {key: value for key, value in run.report.as_dict().items() if key != "failures"}
    library.finish(encoder.space, run.space_id, summary, complete=not run.report.interrupted)
    return run.report


def check_paths(paths: Iterable[Path]) -> None:
    """Raise GlimpseError for a path that does not exist."""
    for path in paths:
        if not os.path.exists(path):
            raise GlimpseError(f"there is no file or folder {path}")


@dataclass
class _Run:
    """The state of one run."""

    library: Writer
    encoder: Encoder
    settings: Settings
    progress: ProgressCallback
    stop: StopRequested
    report: IndexReport = field(default_factory=IndexReport)

    def __post_init__(self) -> None:
        self.space_id = self.library.add_space(self.encoder.space)
        self.encoded = self.library.encoded_digests(self.space_id)

    def scans(self, paths: Sequence[Path]) -> Iterator[Scan]:
        """Walk every path; those that cannot be seen are noted, and what is known of them is kept."""
        self.progress(Progress("reading folders"))
        skip = os.path.abspath(os.fsencode(self.library.folder))
        for root_id, root, scope in self._places(paths):
            found = scan(root_id, root, scope, skip, self.stop)
            if not found.files and not found.odd and not found.unseen:
                self._distrust_empty(found)
            for folder, reason in found.unseen.items():
                name = os.fsdecode(os.path.join(root, folder) if folder else root)
                self.report.notes.append(f"{name} was not looked at ({reason}); what is known of it is kept")
            yield found

    def take(self, plan: Plan, roots: dict[int, bytes]) -> None:
        """Carry out a plan, batch by batch."""
        self.report.unchanged = plan.unchanged
        self.report.failed = len(plan.failing)
        self.report.failures += [_failure(path, reason) for path, reason in plan.failing]
        for start in range(0, len(plan.settled), ROWS_PER_BATCH):
            part = plan.settled[start : start + ROWS_PER_BATCH]
            self.library.commit(self.space_id, [row for _, row in part])
            for outcome, row in part:
                self._count(outcome, os.path.join(roots[row.root_id], row.path), row.failure)
        done = 0
        for batch in _batches(self._read_ahead(plan.jobs), self.settings.batch_size):
            self._take_batch(batch, plan)
            done += len(batch)
            self.progress(Progress("indexing", done, len(plan.jobs)))
        if not self.stop():  # a file that this run did not reach may still turn out to be a moved one
            gone = plan.missing.newly_gone()
            self.library.mark_gone(known.id for known in gone)
            self.report.gone = sum(known.digest is not None for known in gone)

    def _take_batch(self, batch: Sequence[Read], plan: Plan) -> None:
        """Encode a batch and commit it in one transaction."""
        vectors = self._encode(batch)
        rows, outcomes = [], []
        for read in batch:
            outcome, file_id = _outcome(read, plan)
            vector = vectors.pop(read.digest, None) if read.digest else None
            rows.append(
                Taken(
                    read.job.root_id,
                    read.job.path,
                    read.stat,
                    file_id=file_id,
                    digest=read.digest,
                    size=read.size,
                    vector=vector,
                    failure=read.failure,
                    retry=read.retry,
                )
            )
            outcomes.append(outcome)
        self.library.commit(self.space_id, rows)
        self.encoded.update(row.digest for row in rows if row.digest)
        for read, outcome in zip(batch, outcomes, strict=True):
            self._count(outcome, read.job.full_path, read.failure)

    def _encode(self, batch: Sequence[Read]) -> dict[bytes, Vector]:
        """Encode each new content of a batch once."""
        new = {
            r.digest: r.pixels for r in batch if r.digest and r.pixels is not None and r.digest not in self.encoded
        }
        if not new:
            return {}
        rows = self.encoder.encode_images(np.stack(list(new.values())))
        self.report.encoded += len(new)
        return dict(zip(new, rows, strict=True))

    def _read_ahead(self, jobs: Sequence[Job]) -> Iterator[Read]:
        """Read and decode in threads, a bounded number of files ahead, and yield in order until told to stop."""
        ahead = 2 * self.settings.batch_size + self.settings.workers
        pending: deque[Future[Read]] = deque()
        upcoming = iter(jobs)
        with ThreadPoolExecutor(self.settings.workers, thread_name_prefix="decode") as pool:
            try:
                while not self.stop():
                    while len(pending) < ahead and (job := next(upcoming, None)):
                        pending.append(pool.submit(_read, job, self.encoder.image_input, self.encoded))
                    if not pending:
                        return
                    yield pending.popleft().result()
            finally:
                pool.shutdown(wait=True, cancel_futures=True)

    def _count(self, outcome: str, path: bytes, reason: str | None) -> None:
        setattr(self.report, outcome, getattr(self.report, outcome) + 1)
        if reason is not None:
            self.report.failures.append(_failure(path, reason))

    def _places(self, paths: Sequence[Path]) -> Iterator[tuple[int, bytes, bytes]]:
        """Find or make the root of each path; yields (root id, root, path below it)."""
        if paths:
            named = [os.path.abspath(os.fsencode(path)) for path in paths]
            named = [b"/" + path.lstrip(b"/") if path.startswith(b"//") else path for path in named]
            self.library.add_sources({path: os.path.isdir(path) for path in named})
        else:
            named = [path for path, folder in self.library.sources().items() if self._is_there(path, folder)]
        taken: list[bytes] = []
        folders: list[bytes] = []
        for full in sorted(set(named), key=lambda path: path.split(b"/")):  # a folder, then all that is in it
            if not any(walk_reaches(folder, full) for folder in folders):
                taken.append(full)
                folders += [full] if os.path.isdir(full) else []
                self._place(full)  # makes a root that may take over an earlier one: a/b, then a/c.jpg
        yield from map(self._place, taken)

    def _is_there(self, source: bytes, folder: bool) -> bool:
        """Say whether a source can be looked at; a file that is gone from its folder can, and is found missing."""
        there = os.path.isdir(source if folder else os.path.dirname(source))
        if not there:
            self.report.notes.append(f"{os.fsdecode(source)} is not there; what is known of it is kept")
        return there

    def _place(self, path: bytes) -> tuple[int, bytes, bytes]:
        roots = self.library.roots()
        for root_id, root in roots.items():
            if path == root or path.startswith(os.path.join(root, b"")):
                return root_id, root, path[len(root) :].lstrip(b"/")
        folder = path if os.path.isdir(path) else os.path.dirname(path)
        start = os.path.join(folder, b"")
        inside = [(key, root[len(start) :]) for key, root in roots.items() if root.startswith(start)]
        return self.library.add_root(folder, inside), folder, path[len(start) :]

    def _distrust_empty(self, found: Scan) -> None:
        """Take an empty folder for a drive that is not connected, if its files lay on another device."""
        device = FileStat.of(os.stat(found.root)).device
        if self.library.devices(found.root_id) - {device}:
            found.unseen[found.scope] = "empty: is its drive connected?"


def _read(job: Job, want: ImageInput, encoded: set[bytes]) -> Read:
    """Read one file, and decode it unless its content has a vector already; failures become part of the result."""
    nothing = FileStat(0, 0, 0, 0)
    try:
        stat = FileStat.of(os.stat(job.full_path))
        file = read_file(job.full_path)
        if file.digest in encoded:
            return Read(job, file.stat, file.digest)
        photo = decode_photo(file.data, os.fsdecode(job.path), want)
        return Read(job, file.stat, file.digest, photo.frames[0], photo.size)
    except OSError as error:
        return Read(job, nothing, failure=(error.strerror or str(error)).lower(), retry=True)
    except MediaError as error:
        return Read(job, stat, failure=str(error), retry=isinstance(error, TemporaryMediaError))


def _batches(reads: Iterable[Read], size: int) -> Iterator[list[Read]]:
    """Group reads into batches of `size` photos to encode, of ROWS_PER_BATCH rows, or of SECONDS_PER_BATCH."""
    batch: list[Read] = []
    photos, opened = 0, time.monotonic()
    for read in reads:
        batch.append(read)
        photos += read.pixels is not None
        if photos >= size or len(batch) >= ROWS_PER_BATCH or time.monotonic() - opened > SECONDS_PER_BATCH:
            yield batch
            batch, photos, opened = [], 0, time.monotonic()
    if batch:
        yield batch


def _outcome(read: Read, plan: Plan) -> tuple[str, int | None]:
    """Say what became of a file, and which row it belongs to."""
    known = read.job.known
    if read.failure is not None:
        return "failed", known.id if known else None
    if known is None:
        moved = plan.missing.take_same_content(read.digest) if read.digest else None
        return ("moved", moved.id) if moved else ("added", None)
    if known.gone or known.digest is None or (known.digest == read.digest and not known.encoded):
        return "added", known.id  # it is back, readable at last, or new to this model
    return ("unchanged" if known.digest == read.digest else "changed"), known.id


def _failure(path: bytes, reason: str) -> Failure:
    return Failure(Path(os.fsdecode(path)), reason)
