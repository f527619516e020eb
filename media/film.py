"""Choose the frames of a film that are worth a vector: where the shot changes, and every few seconds."""

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from core.types import Frame, ImageInput, Span
from media.reel import THUMBNAIL, Film, Look, Reel

EVERY = 5.0
"""Seconds after which a frame is kept in any case."""
FAR = 10.0
"""Seconds without a keyframe, from which on the frames between are decoded."""
SHORTEST = 0.9
"""Seconds between frames that are kept: a little less than between a phone's keyframes."""
MOST_FRAMES = 8_000
"""A film has no more frames than this: from two hours on, all three times above grow with its length."""
CHANGED = 0.3
"""A shot has changed where this part of a picture has other colours: docs/benchmarks.md."""
FLAT = 4.0
"""A picture whose channels deviate less than this (of 255) is of one colour, or black."""
ONLY_FLAT = 600.0
"""Seconds of nothing but one colour, after which a film is taken for what it is."""

_BINS = 4
"""Of each colour, in a histogram."""
_PREVIEW_PART, _PREVIEW_AT_MOST, _PREVIEW_KEYS = 0.1, 60.0, 20
"""Where in a film, and how many seconds in, its preview is looked for, and in how many keyframes."""


@dataclass(frozen=True)
class _Pace:
    """How far apart frames are: EVERY, FAR and SHORTEST, longer for a long film."""

    every: float
    far: float
    shortest: float

    @classmethod
    def of(cls, duration: float | None) -> "_Pace":
        stretch = max(1.0, (duration or 0.0) / (SHORTEST * MOST_FRAMES))
        return cls(EVERY * stretch, FAR * stretch, SHORTEST * stretch)


def frames(recording: Film, want: ImageInput) -> Iterator[Frame]:
    """Yield the frames of a film that are worth a vector, in order of time, from its beginning.

    A frame is kept where the shot changed since the last one, or EVERY seconds after it; no more than FAR seconds
    go by without one. Pictures of one colour are passed over, unless there is nothing else. A frame's span reaches
    to the next one, the last one's to the end. At most MOST_FRAMES. What is damaged is passed over; raises MediaError
    where nothing can be decoded at all.
    """
    reel = Reel(recording)
    for flat_too in (False, True):
        held: Frame | None = None
        for look in itertools.islice(_kept(reel, _Pace.of(recording.duration), flat_too), MOST_FRAMES):
            if held:
                yield Frame(Span(held.span.start, look.time), held.pixels)
            held = Frame(Span(look.time, look.time), reel.pixels(look.frame, want))
        if held:
            yield Frame(Span(held.span.start, max(held.span.start, reel.end, recording.duration or 0)), held.pixels)
            return
    raise reel.nothing()


def preview(recording: Film, size: int) -> bytes:
    """Return the first frame worth looking at, some way into the film, as an upright WebP.

    size: its longer side in px, never larger than the film. Raises MediaError.
    """
    reel = Reel(recording)
    start = min(_PREVIEW_PART * (recording.duration or 0), _PREVIEW_AT_MOST)
    looks = itertools.islice(reel.keyframes(start), _PREVIEW_KEYS)
    pace = _Pace.of(recording.duration)
    tries = itertools.chain((look for look in looks if not _flat(look)), _kept(reel, pace), _kept(reel, pace, True))
    for look in tries:
        return reel.webp(look.frame, size)
    raise reel.nothing()


def still(recording: Film, seconds: float, size: int) -> bytes:
    """Return what is seen at a moment as an upright WebP of at most `size` px, the longer side; raises MediaError.

    seconds: from the beginning; before it, the first frame counts, after its end the last.
    """
    reel = Reel(recording)
    return reel.webp(reel.at(seconds), size)


def _kept(reel: Reel, pace: _Pace, flat_too: bool = False) -> Iterator[Look]:
    """Yield the looks that are worth a vector."""
    last: Look | None = None
    colours: npt.NDArray[np.intp] = np.zeros(0, np.intp)
    for look, following in _pairs(_worth(reel.looks(pace.shortest, pace.far), flat_too)):
        new = _colours(look)
        if last is not None:
            passed = round(look.time - last.time, 3)
            if passed < pace.shortest:
                continue
            late = passed >= pace.every or following - last.time > pace.far
            if not late and np.abs(new - colours).sum() < 2 * CHANGED * THUMBNAIL**2:
                continue
        yield look
        last, colours = look, new


def _worth(looks: Iterable[Look], flat_too: bool) -> Iterator[Look]:
    """Yield what is not of one colour; nothing, if that is not found within ONLY_FLAT."""
    found = flat_too
    for look in looks:
        if flat_too or not _flat(look):
            found = True
            yield look
        elif not found and look.time > ONLY_FLAT:
            return


def _pairs(looks: Iterable[Look]) -> Iterator[tuple[Look, float]]:
    """Yield each look with the time of the one after it; of the last, its own."""
    for look, following in itertools.pairwise(itertools.chain(looks, [None])):
        if look is not None:
            yield look, following.time if following else look.time


def _flat(look: Look) -> bool:
    """Say whether a picture is of one colour."""
    return bool(look.thumbnail.std(axis=(0, 1)).max() < FLAT)


def _colours(look: Look) -> npt.NDArray[np.intp]:
    """Return how many pixels of a thumbnail have each of 4 x 4 x 4 colours."""
    red, green, blue = np.moveaxis(look.thumbnail.astype(np.intp) * _BINS // 256, 2, 0)
    return np.bincount(((red * _BINS + green) * _BINS + blue).ravel(), minlength=_BINS**3)
