"""Read the text in photos: a pass of its own at the end of a run, which goes on where the last one stopped."""

import os
import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

from core.errors import MediaError, ModelError, TemporaryMediaError
from core.types import Fit, ImageInput, Progress, ProgressCallback, StopRequested
from encoders.ocr import MISSING, SIDE, TextReader, can_read
from media.isolated import decode_process
from store.records import Unread
from store.writer import Writer

AHEAD = 2
"""Photos decoded while one is read, by as many threads."""
SECONDS_PER_BATCH = 5.0
NOTHING = ImageInput(8, Fit.LETTERBOX)
"""What is wanted of a photo beside its picture in reading size."""


class _Picture(NamedTuple):
    """A photo to be read: an encoded picture of SIDE px, or why there is none; later: it may be there next time."""

    photo: Unread
    data: bytes | None = None
    failure: str = ""
    later: bool = False


def read_texts(library: Writer, threads: int, progress: ProgressCallback, stop: StopRequested) -> list[str]:
    """Read the text in all photos in which nobody has looked and that are there; returns notes.

    A photo that cannot be decoded has no text; one that is out of reach is read when it is there again.
    """
    photos = library.unread()
    if not photos or stop():
        return []
    if not can_read():
        return [f"{len(photos):,} photos were not looked at for text: {MISSING}"]
    progress(Progress("getting ready to read text"))
    try:
        reader = TextReader(threads)
    except ModelError as error:
        return [str(error)]
    texts: dict[int, str] = {}
    troubles: list[str] = []
    written = time.monotonic()
    for done, picture in enumerate(_ahead(photos, stop), 1):
        if picture.data is not None:
            try:
                texts[picture.photo.content_id] = reader.read(picture.data)
            except ModelError as error:
                picture = picture._replace(failure=str(error))
        if picture.failure:
            troubles.append(f"{os.fsdecode(picture.photo.path)}: {picture.failure}")
            if not picture.later:
                texts[picture.photo.content_id] = ""
        if time.monotonic() - written > SECONDS_PER_BATCH:
            library.set_texts(texts)
            texts, written = {}, time.monotonic()
        progress(Progress("reading text", done, len(photos)))
    library.set_texts(texts)
    return [f"{len(troubles):,} photos were not read for text, such as {troubles[0]}"] if troubles else []


def _ahead(photos: Sequence[Unread], stop: StopRequested) -> Iterator[_Picture]:
    """Decode in processes, some photos ahead, and yield in order until told to stop."""
    pending: deque[Future[_Picture]] = deque()
    upcoming = iter(photos)
    with ThreadPoolExecutor(AHEAD, thread_name_prefix="decode") as pool:
        try:
            while not stop():
                while len(pending) < 2 * AHEAD and (photo := next(upcoming, None)):
                    pending.append(pool.submit(_decoded, photo))
                if not pending:
                    return
                yield pending.popleft().result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _decoded(photo: Unread) -> _Picture:
    try:
        with decode_process() as process:
            if process.read(photo.path).digest != photo.digest:
                return _Picture(photo, later=True)  # it has changed since, and comes as another
            name = os.path.basename(os.fsdecode(photo.path))
            return _Picture(photo, process.decode(name, NOTHING, SIDE).preview)
    except MediaError as error:
        return _Picture(photo, failure=str(error), later=isinstance(error, TemporaryMediaError))
