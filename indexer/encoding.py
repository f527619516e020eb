"""Encode the photos of a run: in the precision that the library has chosen, on the GPU where there is one."""

import csv
from collections.abc import Sequence

import numpy as np

from core.errors import ModelError
from core.resources import data_path
from core.types import Pixels, ProgressCallback, Vectors
from encoders.base import Encoder
from encoders.cuda import bulk
from encoders.precision import FP32, best, precisions, self_test, with_precision
from store.writer import Writer

MANY = 64
"""Photos from which on a run may take seconds to get ready for them."""
ENOUGH, LEAST = 200, 50
"""Photos for a test of precisions: ENOUGH, or LEAST if a run has no more."""
EVERY_TAG = 8
"""Of the tags, which serve as queries in that test, every so many are taken."""


class PhotoEncoder:
    """Encodes photos, and tests once for each Space whether fewer bits are as good.

    The first photos of a Space are encoded in fp32. Once there are ENOUGH, the precisions that this machine has are
    tested on them; the result and the choice are written into the library and hold from then on.
    """

    def __init__(self, library: Writer, space_id: int, encoder: Encoder, progress: ProgressCallback) -> None:
        self._library, self._space_id, self._progress = library, space_id, progress
        self._reference = self._encoder = encoder
        self._photos: list[Pixels] = []
        self._rows: list[Vectors] = []
        precision, tested = library.precision(space_id)
        self._testing = not tested and bool(precisions(encoder))
        self._precision = precision

    @property
    def batch_size(self) -> int:
        """How many photos to hand over at once."""
        return self._encoder.batch_size

    def prepare(self, count: int) -> None:
        """Get ready for that many photos."""
        if count < MANY:
            return
        self._encoder = bulk(self._reference, self._progress)
        if self._encoder is not self._reference:  # a GPU: faster than any precision of the CPU
            self._testing = False
        elif self._precision != FP32:
            self._use(self._precision)

    def encode(self, pixels: Pixels, whole: int | None = None) -> Vectors:
        """Encode photos of shape (n, size, size, 3) into unit rows of shape (n, dim).

        whole: the first so many are photos, all for None; the others are parts of some, which are none to test a
        precision on, since they look alike.
        """
        rows = self._encoder.encode_images(pixels)
        if self._testing and whole != 0:
            self._photos.append(pixels[:whole])
            self._rows.append(rows[:whole])
            if sum(map(len, self._rows)) >= ENOUGH:
                self._test()
        return rows

    def encode_frames(self, pixels: Pixels) -> Vectors:
        """Encode frames of films, which are no photos to test a precision on: their neighbours look all alike."""
        return self._encoder.encode_images(pixels)

    def finish(self) -> None:
        """Test with the photos of a run that has come to its end, if they are LEAST."""
        if self._testing and sum(map(len, self._rows)) >= LEAST:
            self._test()

    def _test(self) -> None:
        """Test, choose, and write down both."""
        self._testing = False
        pixels, rows = np.concatenate(self._photos)[:ENOUGH], np.concatenate(self._rows)[:ENOUGH]
        self._photos, self._rows = [], []
        texts = self._reference.encode_texts(some_tags())
        tests = self_test(self._reference, pixels, rows, texts, self._progress)
        self._library.set_precision(self._space_id, best(tests), [test.as_dict() for test in tests])
        if best(tests) != FP32:
            self._use(best(tests))

    def _use(self, precision: str) -> None:
        """Go on in a precision, or in fp32 where this machine does not have it: their vectors compare."""
        try:
            self._encoder = with_precision(self._reference, precision, self._progress)
        except (ModelError, ValueError):
            self._encoder = self._reference


def some_tags() -> Sequence[str]:
    """Return every EVERY_TAG-th tag of the vocabulary."""
    with data_path("tags.tsv").open(encoding="utf-8", newline="") as file:
        return [row["tag"] for row in csv.DictReader(file, delimiter="\t")][::EVERY_TAG]
