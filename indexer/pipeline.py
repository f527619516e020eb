"""An index run: scan, diff, read, encode, commit. Files are read ahead in processes; all else goes in order."""

import contextlib
import gc
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from core.errors import GlimpseError
from core.settings import Settings
from core.types import (
    Box,
    Failure,
    IndexReport,
    Metadata,
    Modality,
    Progress,
    ProgressCallback,
    StopRequested,
    Vector,
    Vectors,
    Walk,
)
from encoders.base import Encoder, Reads
from indexer.diff import Job, Plan, diff
from indexer.encoding import MANY, PhotoEncoder, some_tags
from indexer.hearing import Ears, Hearing
from indexer.listening import Listener, is_film, is_recording
from indexer.places import look, places
from indexer.reading import Read, Reader, read_beside
from indexer.scan import Scan
from indexer.text import read_texts
from indexer.tiling import tile_level, untiled
from media.kinds import expected_media
from media.metadata import merge
from media.places import places_of
from store.growth import MANY_NEW, Growth
from store.indexfile import IVF
from store.previews import Previews
from store.records import MIDDLE, WHOLE, About, Taken
from store.writer import Writer

ROWS_PER_BATCH = 500
SECONDS_PER_BATCH = 2.0
"""A batch is committed when it holds enough photos to encode, this many rows, or is this old."""
SEGMENTS = (WHOLE, MIDDLE)
"""What the frames of a photo become, in their order."""


def index(
    library: Writer,
    encoder: Encoder,
    paths: Sequence[Path],
    settings: Settings,
    progress: ProgressCallback = lambda _: None,
    stop: StopRequested = lambda: False,
    walk: Walk | None = None,
    dry_run: bool = False,
    texts: Callable[[], Vectors] | None = None,
    hearing: Hearing = lambda _: None,
) -> IndexReport:
    """Bring a library up to date with folders (or single files); without paths, with all it has indexed before.

    walk: how the folders are walked, now and later; None for what was said last. dry_run: only count what would be
    done. texts: returns unit rows of shape (n, dim) that the index is measured with, beside photos. hearing: asked
    once there are recordings.
    When `stop` turns true, the batch in flight is finished and the report says `interrupted`.
    Raises GlimpseError where a path does not exist, before anything is done.
    """
    check_paths(paths)
    library.tier(settings.tier)
    run = _Run(library, encoder, settings, progress, stop, texts, hearing)
    reads = library.ocr(settings.ocr)
    started = time.monotonic()
    with _no_garbage():
        scans = list(run.scans(paths, walk))
        if run.ears.known:
            run.listen()
        roots = library.roots()
        known = library.known_files(run.ears.complete(run.reader.encoded) - run.reader.untiled)
        plan = Plan() if stop() else diff(scans, known, roots, stop)
    if not stop():
        if dry_run:
            run.foresee(plan)
        else:
            run.take(plan, roots, everything=not paths)
            if reads:
                run.report.notes += read_texts(library, settings.workers, progress, stop)
    run.report.interrupted = stop()
    run.report.seconds = time.monotonic() - started
    if not dry_run:
        summary = {key: value for key, value in run.report.as_dict().items() if key != "failures"}
        library.finish(encoder.space, run.space_id, summary, complete=not run.report.interrupted)
        if run.ears.encoder and run.ears.space_id:
            library.set_mean(run.ears.encoder.space, run.ears.space_id, Modality.SOUND)
            if not run.report.interrupted and not paths:
                library.drop_older(run.ears.space_id, encoder.space.name)
        name, current = encoder.space.name, library.current_model()
        if current != name and not run.report.interrupted:
            run.report.notes.append(f"'{current}' still answers; to search with '{name}': glimpse models use {name}")
        if not run.report.interrupted:
            run.grow(again=settings.tier == IVF)
    return run.report


@contextlib.contextmanager
def _no_garbage() -> Iterator[None]:
    """Do not look for cycles meanwhile: hundreds of thousands of rows come in and none of them is one."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()


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
    texts: Callable[[], Vectors] | None = None
    hearing: Hearing = lambda _: None
    report: IndexReport = field(default_factory=IndexReport)

    def __post_init__(self) -> None:
        self.new = 0
        texts = self.texts or self._no_texts
        self.growths = [Growth(self.library, self.encoder.space, texts, self.progress, self.stop)]
        self.space_id = self.library.add_space(self.encoder.space)
        self.previews = Previews(self.library.folder)
        self.photos = PhotoEncoder(self.library, self.space_id, self.encoder, self.progress)
        encoded = self.library.encoded_digests(self.space_id)
        preview = self.library.preview_size(self.settings.preview)
        animated = self.library.animated_digests()
        self.ears = Ears(self.library, self.space_id, self.hearing)
        want = self.encoder.image_input
        tiles = tile_level(self.library, self.settings.tiles)
        uncut = untiled(self.library, self.space_id, tiles, want.size)
        self.uncut = frozenset(uncut & encoded)  # which need their files, and are not new
        self.reader = Reader(
            want, encoded, animated, self.ears.known, self.previews, self.settings, self.stop, preview, tiles,
            uncut,
        )  # fmt: skip

    def listen(self) -> None:
        """Open what hears, if anything does; its index grows beside that of pictures."""
        if self.ears.open() and (ear := self.ears.encoder) is not None:
            texts = self.texts or self._no_texts
            if isinstance(own := ear, Reads):  # texts of its own lie elsewhere
                texts = lambda: own.encode_texts(some_tags())  # noqa: E731
            self.growths.append(Growth(self.library, ear.space, texts, self.progress, self.stop))

    def scans(self, paths: Sequence[Path], walk: Walk | None) -> Iterator[Scan]:
        """Walk every path; those that cannot be seen are noted, and what is known of them is kept."""
        self.progress(Progress("reading folders"))
        skip = os.path.abspath(os.fsencode(self.library.folder))
        for place in places(self.library, paths, walk, self.report.notes.append):
            yield look(self.library, place, skip, self.stop, self.report.notes.append)

    def take(self, plan: Plan, roots: dict[int, bytes], everything: bool) -> None:
        """Carry out a plan, batch by batch; everything: also photos out of sight, from their previews."""
        self._count_known(plan)
        for start in range(0, len(plan.settled), ROWS_PER_BATCH):
            part = plan.settled[start : start + ROWS_PER_BATCH]
            self.library.commit(self.space_id, [row for _, row in part])
            for outcome, row in part:
                self._count(outcome, os.path.join(roots[row.root_id], row.path), row.failure)
        self._retell(plan.retold)
        jobs = [*plan.jobs, *(self._out_of_sight(plan) if everything else ())]
        unreadable = self._take_jobs(jobs, plan)
        self._take_companions(plan, unreadable)
        if told := self.ears.finish(self.encoder.space.name):
            self.report.notes.append(told)
        if not self.stop():
            self.photos.finish()
        if not self.stop():  # a file that this run did not reach may still turn out to be a moved one
            gone = plan.missing.newly_gone()
            self.library.mark_gone(known.id for known in gone)
            self.report.gone = sum(known.digest is not None for known in gone)

    def grow(self, train: bool = True, again: bool = False) -> None:
        """Have the index files cover what is new; without them, searching is only slower."""
        self.new = 0
        try:
            for growth in self.growths:
                if excuse := growth.grow(train, again):
                    self.report.notes.append(excuse)
        except (GlimpseError, OSError, RuntimeError, MemoryError) as error:
            why = (getattr(error, "strerror", None) or str(error) or "no memory").partition("\n")[0].lower()
            self.report.notes.append(f"the index could not be written, so that searching is slower: {why}")

    def _no_texts(self) -> Vectors:
        return np.empty((0, self.encoder.space.dim), np.float32)

    def foresee(self, plan: Plan) -> None:
        """Count what `take` would do, as far as names and times tell: what seems new may turn out to be moved."""
        self.report.dry_run = True
        self._count_known(plan)
        for outcome, _ in plan.settled:
            setattr(self.report, outcome, getattr(self.report, outcome) + 1)
        for job in plan.jobs:
            known = job.known
            if known is None or known.gone or not (known.encoded or known.digest in self.uncut):
                self.report.added += 1
            else:
                self.report.changed += 1
        self.report.unchanged += sum(_is_there(job) for job, _ in plan.companions)  # long films beside photos
        self.report.gone = sum(known.digest is not None for known in plan.missing.newly_gone())

    def _count_known(self, plan: Plan) -> None:
        self.report.unchanged = plan.unchanged
        self.report.failed = len(plan.failing)
        self.report.failures += [_failure(path, reason) for path, reason in plan.failing]

    def _out_of_sight(self, plan: Plan) -> Iterator[Job]:
        """Yield the photos that are not there to be read and that this model can have from their previews."""
        for job in plan.missing.out_of_sight():
            known = job.known
            photo = known and known.digest and known.digest not in self.ears.known and known.digest not in self.uncut
            if photo and known and not known.encoded and self.previews.has(known.digest or b""):
                yield job

    def _take_jobs(self, jobs: Sequence[Job], plan: Plan) -> set[tuple[int, bytes]]:
        """Read, encode and commit, photos before recordings; returns the files that could not be read."""
        recordings = [job for job in jobs if is_recording(job)]
        unread = {id(job) for job in recordings}
        photos = [job for job in jobs if id(job) not in unread]
        unreadable: set[tuple[int, bytes]] = set()
        done = 0

        def take(batches: Iterator[list[Read]]) -> None:
            nonlocal done
            for batch in batches:
                recordings.extend(read.job for read in batch if read.is_recording)
                batch = [read for read in batch if not read.is_recording]
                self._take_batch(batch, plan)
                unreadable.update((read.job.root_id, read.job.path) for read in batch if read.failure is not None)
                done += len(batch)
                self.progress(Progress("indexing", done, len(jobs)))

        self.photos.prepare(max(len(photos), MANY if recordings else 0))  # a film has many frames
        size = self.settings.batch_size or self.photos.batch_size
        take(_batches(self.reader.ahead(photos, size), size))
        if recordings and not self.stop():
            self.listen()  # some turn out to be recordings that have the names of photos, or none
            take(_batches(self._listener().ahead(recordings), size))
        return unreadable

    def _listener(self) -> Listener:
        return Listener(
            self.encoder.image_input, self.photos, self.ears.encoder, self.reader.encoded, self.ears.heard,
            self.previews, self.reader.preview, self.stop,
        )  # fmt: skip

    def _take_batch(self, batch: Sequence[Read], plan: Plan) -> None:
        """Encode a batch and commit it in one transaction."""
        vectors, tiles = self._encode(batch)
        found = [(read, *self._outcome(read, plan)) for read in batch]
        found = [one for one in found if not plan.missing.turned_up(one[0].job.known)]
        about = self._about([(read.job, read.metadata) for read, _, _ in found])
        rows = []
        for (read, _, file_id), what in zip(found, about, strict=True):
            job = read.job
            rows.append(
                Taken(
                    job.root_id, job.path, read.stat, file_id=file_id, digest=read.digest, size=read.size,
                    vectors=vectors.pop(read.digest, {}) if read.digest else {}, from_preview=read.from_preview,
                    damaged=read.damaged, embedded=read.embedded, about=what, failure=read.failure, retry=read.retry,
                    recorded=read.recorded, tiles=tiles.pop(read.digest, ()) if read.digest else (),
                )
            )  # fmt: skip
            self._keep_preview(read)
        self.library.commit(self.space_id, rows, self.ears.space_id)
        self._remember(rows)
        if self.new >= MANY_NEW:
            self.grow(train=False)
        for read, outcome, _ in found:
            self._count(outcome, read.job.full_path, read.failure)
            self.report.damaged += read.damaged
            self.report.notes += read.notes

    def _outcome(self, read: Read, plan: Plan) -> tuple[str, int | None]:
        """Say what became of a file, and which row it belongs to."""
        known = read.job.known
        if read.failure is not None:
            return "failed", known.id if known else None
        if known is None:
            moved = plan.missing.take_same_content(read.digest) if read.digest else None
            return ("moved", moved.id) if moved else ("added", None)
        if known.gone or known.digest is None:
            return "added", known.id  # it is back, or readable at last
        if known.digest != read.digest or known.digest in self.uncut:
            return "changed", known.id
        return ("unchanged" if known.encoded else "added"), known.id  # new to this model

    def _remember(self, rows: Sequence[Taken]) -> None:
        """Note what has vectors now."""
        for row in rows:
            if row.digest is None:
                continue
            if row.recorded is None or row.recorded.frames:
                self.reader.encoded.add(row.digest)
            if row.tiles:
                self.reader.untiled.discard(row.digest)
            self.new += len(row.vectors) + len(row.tiles)
            if row.recorded is not None:
                self.ears.took(row.digest, row.recorded)
                self.new += len(row.recorded.frames) + len(row.recorded.windows)
                self.report.encoded += bool(row.recorded.frames or row.recorded.windows)

    def _encode(
        self, batch: Sequence[Read]
    ) -> tuple[dict[bytes, dict[str, Vector]], dict[bytes, list[tuple[Box, Vector]]]]:
        """Encode the frames and the tiles that each content of a batch lacks, once; return both by digest."""
        encoded, uncut = self.reader.encoded, self.reader.untiled
        new = {r.digest: r.frames for r in batch if r.digest and r.frames and r.digest not in encoded}
        cut = {r.digest: r.tiles for r in batch if r.digest and (r.digest in new or r.digest in uncut) and r.tiles}
        frames = [
            (digest, kind, pixels) for digest, own in new.items() for kind, pixels in zip(SEGMENTS, own, strict=False)
        ]
        tiles = [(digest, box, pixels) for digest, own in cut.items() for box, pixels in own]
        if not frames and not tiles:
            return {}, {}
        pixels = np.stack([pixels for *_, pixels in (*frames, *tiles)])
        rows = self.photos.encode(pixels, whole=len(frames))
        self.report.encoded += len(new.keys() | cut.keys())
        vectors: dict[bytes, dict[str, Vector]] = {}
        for (digest, kind, _), row in zip(frames, rows, strict=False):
            vectors.setdefault(digest, {})[kind] = row
        parts: dict[bytes, list[tuple[Box, Vector]]] = {}
        for (digest, box, _), row in zip(tiles, rows[len(frames) :], strict=True):
            parts.setdefault(digest, []).append((box, row))
        return vectors, parts

    def _keep_preview(self, read: Read) -> None:
        """Store a preview, before the commit: what is committed has one. A disk without room costs only that."""
        if read.preview and read.digest:
            try:
                self.previews.write(read.digest, read.preview)
            except OSError as error:
                note = f"previews cannot be stored: {(error.strerror or str(error)).lower()}"
                if note not in self.report.notes:
                    self.report.notes.append(note)

    def _retell(self, jobs: Sequence[Job]) -> None:
        """Read the changed sidecars of unchanged photos; neither decodes nor encodes anything."""
        for start in range(0, len(jobs), ROWS_PER_BATCH):
            part = jobs[start : start + ROWS_PER_BATCH]
            embedded = self.library.embedded([job.known.digest for job in part if job.known and job.known.digest])
            told = []
            for job in part:
                if job.known and job.known.digest in embedded:
                    beside, notes = read_beside(job)
                    told.append((job, merge(embedded[job.known.digest], beside, job.name, job.stat.mtime_ns)))
                    self.report.notes += notes
            rows = [
                Taken(job.root_id, job.path, job.stat, job.known.id, job.known.digest, about=about)
                for (job, _), about in zip(told, self._about(told), strict=True)
                if job.known
            ]
            self.library.commit(self.space_id, rows)

    def _about(self, told: Sequence[tuple[Job, Metadata | None]]) -> list[About | None]:
        """Add the names of places to metadata."""
        points = [
            (m.latitude, m.longitude) for _, m in told if m and m.latitude is not None and m.longitude is not None
        ]
        places = iter(places_of(points)) if points else iter(())
        return [
            None
            if m is None
            else About(m, None if m.latitude is None or m.longitude is None else next(places), job.beside)
            for job, m in told
        ]

    def _take_companions(self, plan: Plan, unreadable: set[tuple[int, bytes]]) -> None:
        """Note what belongs to a photo; what belongs to one that cannot be read has to stand for itself."""
        alone, rows = [], []
        for job, primary in plan.companions:
            if self.stop():  # each may be opened
                return
            if primary is not None and is_film(job, self.library, self.stop):
                if _is_there(job):
                    self.report.unchanged += 1
                else:
                    alone.append(job)
            elif primary is None or (job.root_id, primary) not in unreadable:
                file_id = job.known.id if job.known else None
                rows.append(Taken(job.root_id, job.path, job.stat, file_id, primary=primary))
            elif expected_media(os.fsdecode(job.path)):
                alone.append(job)
        if self.stop():  # the photos may not be there yet
            return
        self._take_jobs(alone, plan)
        for start in range(0, len(rows), ROWS_PER_BATCH):
            self.library.commit(self.space_id, rows[start : start + ROWS_PER_BATCH])

    def _count(self, outcome: str, path: bytes, reason: str | None) -> None:
        setattr(self.report, outcome, getattr(self.report, outcome) + 1)
        if reason is not None:
            self.report.failures.append(_failure(path, reason))


def _batches(reads: Iterable[Read], size: int) -> Iterator[list[Read]]:
    """Group reads into batches of `size` pictures to encode, of ROWS_PER_BATCH rows, or of SECONDS_PER_BATCH."""
    batch: list[Read] = []
    photos, opened = 0, time.monotonic()
    for read in reads:
        batch.append(read)
        photos += read.pictures
        if photos >= size or len(batch) >= ROWS_PER_BATCH or time.monotonic() - opened > SECONDS_PER_BATCH:
            yield batch
            batch, photos, opened = [], 0, time.monotonic()
    if batch:
        yield batch


def _is_there(job: Job) -> bool:
    """Say whether a file is as the library knows it, with all its vectors."""
    known = job.known
    return known is not None and known.encoded and not known.gone and job.stat.unchanged(known.stat)


def _failure(path: bytes, reason: str) -> Failure:
    return Failure(Path(os.fsdecode(path)), reason)
