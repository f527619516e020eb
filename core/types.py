"""The nouns of Glimpse."""

import os
import re
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Vectors = npt.NDArray[np.float32]
"""Unit rows, shape (n, dim)."""
Vector = npt.NDArray[np.float32]
"""One unit vector, shape (dim,)."""
Halves = npt.NDArray[np.float16]
"""Stored vectors, shape (n, dim)."""
Ids = npt.NDArray[np.int64]
"""Ids of vectors, shape (n,)."""
Pixels = npt.NDArray[np.uint8]
"""sRGB pixels 0..255, shape (height, width, 3), or (n, height, width, 3) for a batch."""
Samples = npt.NDArray[np.float32]
"""Mono sound, -1..1, shape (n,)."""

WINDOW_SECONDS, HOP_SECONDS = 10.0, 5.0
"""Sound is embedded in windows of this length, one beginning every so many seconds."""


class Modality(StrEnum):
    """What a vector was made from."""

    IMAGE = "image"
    TEXT = "text"
    SOUND = "sound"
    VIDEO = "video"


class Kind(StrEnum):
    """What a file is to a person: what has only sound is audio, whatever its container."""

    PHOTO = "photo"
    AUDIO = "audio"
    VIDEO = "video"


@dataclass(frozen=True, slots=True)
class Span:
    """A part of a recording, in seconds from its beginning; a frame of a film begins where it ends."""

    start: float
    end: float


@dataclass(frozen=True, slots=True)
class Window:
    """Up to WINDOW_SECONDS of sound, and where they lie."""

    span: Span
    samples: Samples


@dataclass(frozen=True, slots=True)
class Frame:
    """A picture of a film: the moment that it stands for, and pixels of shape (size, size, 3)."""

    span: Span
    pixels: Pixels


@dataclass(frozen=True)
class Space:
    """A joint embedding space; vectors compare only inside one.

    name: what --model takes; revision: changes whenever the vectors would; dim: length of a vector.
    shared_dim: the leading dimensions that every modality fills; those behind are filled by pictures only.
    shared_norm: Euclidean norm of a picture's leading block, in (0, 1].
    centred: the modality means are already subtracted, so nobody subtracts them again.
    """

    name: str
    revision: str
    dim: int
    shared_dim: int
    shared_norm: float = 1.0
    centred: bool = False

    def __post_init__(self) -> None:
        """Refuse a space whose means would have to be split, too: nobody has needed one."""
        if self.shared_dim != self.dim and not self.centred:
            raise ValueError("a space with dimensions for pictures alone must be centred by its encoder")

    @property
    def key(self) -> str:
        """Name and revision in one word, fit for a file name."""
        return f"{re.sub(r'[^A-Za-z0-9]+', '-', self.name)[-40:].strip('-')}-{self.revision}"


class FileStat(NamedTuple):
    """What the file system says of a file; a tuple, since a rescan makes 100,000 of them twice."""

    size: int
    mtime_ns: int
    inode: int
    device: int

    def unchanged(self, before: "FileStat") -> bool:
        """Say whether a path still holds what it held: same size, same time.

        Inode and device do not count: many file systems number both anew whenever they are mounted.
        """
        return self[:2] == before[:2]

    @classmethod
    def of(cls, result: os.stat_result) -> "FileStat":
        """Take the four figures from a stat result; numbers beyond 63 bits are cut, as SQLite ends there."""
        most = 0x7FFF_FFFF_FFFF_FFFF
        time = result.st_mtime_ns
        if not -most <= time <= most:
            time = max(-most, min(time, most))
        return cls(result.st_size, time, result.st_ino & most, result.st_dev & most)


@dataclass(frozen=True, slots=True)
class Walk:
    """How a folder is walked; None: as it was walked before, which at first is the plain way.

    exclude: patterns as in .gitignore, relative to the folder that was named; hidden: names that begin with a dot,
    too; follow_symlinks: links that lead out of the folder, too, each folder once.
    """

    exclude: tuple[str, ...] | None = None
    hidden: bool | None = None
    follow_symlinks: bool | None = None

    def over(self, before: "Walk") -> "Walk":
        """Return what was said before with what is said here in its place."""
        said = {name: value for name, value in asdict(self).items() if value is not None}
        return replace(before, **said)


@dataclass(frozen=True, slots=True)
class Metadata:
    """What is written about a photo, a recording or a film, in it or beside it; None where nobody says.

    taken: local wall time, ISO 8601 without offset; offset: minutes east of UTC, None where unknown, never guessed;
    taken_from: where the time was found, best first: "sidecar", "exif", "xmp", "iptc", "gps", "container",
    "takeout", "name", "modified".
    latitude, longitude: degrees; altitude: metres above the sea.
    exposure: seconds; aperture: the f-number; iso: ISO speed; focal_length: millimetres.
    rating: -1 (rejected), 0 to 5 stars. keywords: hierarchies with "/", as in "Places/Vienna".
    motion: a short video lies in the file itself, behind the photo. duration: seconds; artist: who plays, or speaks.
    """

    taken: str | None = None
    offset: int | None = None
    taken_from: str | None = None
    latitude: float | None = None
    longitude: float | None = None
    altitude: float | None = None
    make: str | None = None
    camera: str | None = None
    lens: str | None = None
    exposure: float | None = None
    aperture: float | None = None
    iso: int | None = None
    focal_length: float | None = None
    rating: int | None = None
    title: str | None = None
    description: str | None = None
    keywords: tuple[str, ...] = ()
    motion: bool = False
    duration: float | None = None
    artist: str | None = None


@dataclass(frozen=True, slots=True)
class Place:
    """Where a photo was taken, by name: the nearest town, its region, its country (ISO 3166, two letters)."""

    town: str
    region: str
    country: str


class Fit(StrEnum):
    """How a photo is brought to a square."""

    LETTERBOX = "letterbox"
    SQUASH = "squash"
    CROP = "crop"


class Interpolation(StrEnum):
    """How a photo is resized."""

    BICUBIC = "bicubic"
    BILINEAR = "bilinear"


@dataclass(frozen=True)
class ImageInput:
    """The pixels an encoder wants: a square of `size` px, photos fitted as `fit` says.

    margin: the grey, 0..255, that a letterbox leaves beside the photo.
    """

    size: int
    fit: Fit
    interpolation: Interpolation = Interpolation.BICUBIC
    margin: int = 255


Box = tuple[float, float, float, float]
"""A part of a photo: left, top, right, bottom in shares of the upright photo, 0..1 from its top left."""


@dataclass(frozen=True)
class Hit:
    """A photo, a recording or a film that was found.

    id: stable number of the content; score: cosine similarity, -1..1, of the best part, 0 where only its words were
    found; also: further paths where the same bytes lie; companions: what belongs to it, a RAW or a Live Photo's
    movie; start, end: the part of a recording that was found, in seconds, else None.
    by_name: the words stand in its name, title, keywords, or in the picture; confidence: 0..1 that it is what was
    asked for, None where nobody can tell; box: the part of a photo that was found, None for the whole; collapsed:
    further hits much like it, shown as this one; taken: when, ISO 8601, filled where the order is by date;
    contributions: what each term adds to the score, filled where that was asked for.
    """

    path: Path
    score: float
    kind: Kind
    id: int
    also: tuple[Path, ...] = ()
    companions: tuple[Path, ...] = ()
    start: float | None = None
    end: float | None = None
    by_name: bool = False
    confidence: float | None = None
    box: Box | None = None
    collapsed: int = 0
    taken: str | None = None
    contributions: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True)
class Tag:
    """A suggested tag.

    score: how well it fits, in standard deviations above the library's photos, the votes of photos like it included;
    of a sound, cosine similarity, -1..1. examples: how many photos and films have it; confidence: 0..1 that it would
    be accepted, None until enough suggestions were answered.
    """

    name: str
    score: float
    group: str
    examples: int = 0
    confidence: float | None = None


@dataclass(frozen=True)
class Failure:
    """A file that could not be indexed, and why."""

    path: Path
    reason: str


@dataclass(frozen=True)
class Progress:
    """How far a run has come: `done` of `total` files, or steps; total is 0 where nobody knows.

    detail: what may change with every step, such as a loss.
    """

    stage: str
    done: int = 0
    total: int = 0
    detail: str = ""


ProgressCallback = Callable[[Progress], None]
StopRequested = Callable[[], bool]


@dataclass
class IndexReport:
    """What an index run did, in photos.

    failed counts files that cannot be read, those remembered from earlier runs included.
    encoded: photos that went through the model; damaged: cut short, taken in as far as they go; seconds: wall time;
    dry_run: nothing was read or written, the counts say what would be.
    """

    added: int = 0
    changed: int = 0
    moved: int = 0
    gone: int = 0
    unchanged: int = 0
    failed: int = 0
    encoded: int = 0
    damaged: int = 0
    seconds: float = 0.0
    dry_run: bool = False
    interrupted: bool = False
    failures: list[Failure] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def photos_per_second(self) -> float:
        """Photos newly taken in per second of the run."""
        taken = self.added + self.changed + self.moved
        return taken / self.seconds if self.seconds > 0 else 0.0

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON-ready values."""
        plain = asdict(self)
        plain["failures"] = [{"path": str(f.path), "reason": f.reason} for f in self.failures]
        plain["seconds"] = round(self.seconds, 3)
        plain["photos_per_second"] = round(self.photos_per_second, 1)
        return plain


@dataclass(frozen=True)
class Info:
    """What a library knows about one of its files.

    id: of its content, None where it could not be read, and so is its kind; size: upright (width, height), None for
    audio; models: those that have a vector of it; companions: files that belong to it; belongs_to: the photo that it
    belongs to; failure: why it could not be read.
    """

    path: Path
    id: int | None
    size: tuple[int, int] | None
    metadata: Metadata
    place: Place | None
    models: tuple[str, ...]
    companions: tuple[Path, ...]
    belongs_to: Path | None
    failure: str | None
    damaged: bool
    kind: Kind | None = None


@dataclass(frozen=True)
class SpaceStatus:
    """What a library has of one model.

    modality: "sound" of one that hears; vectors: embeddings, of which `tiles` are of parts of photos and take
    `tile_bytes` in the library and once more in its index; missing: photos (or recordings) without one;
    from_previews: embeddings made from stored previews; precision: of the model's arithmetic for photos; self_test:
    what was measured before it was chosen, or None.
    index: how nearest photos are found: `tier` ("none": the few there are, or those behind the file, are compared
    one by one), `covers` so many vectors, and of an inverted file `lists`, `nprobe`, `recall` (at ten, of photos and
    of texts as queries); `refused`: the same of one that found too little and is not used.
    """

    model: str
    revision: str
    current: bool
    vectors: int
    missing: int
    from_previews: int
    precision: str
    self_test: list[dict[str, Any]] | None
    index: dict[str, Any]
    modality: Modality = Modality.IMAGE
    tiles: int = 0
    tile_bytes: int = 0


@dataclass(frozen=True)
class Status:
    """What is in a library.

    files: those that can be found now; companions: RAWs and movies that belong to one of them; gone: files missing at
    the last run; contents: distinct bytes, of which there are `kinds` of each kind; failures: files that cannot be
    read; damaged: those cut short; bytes: the whole library; preview_bytes: stored previews, of which there are
    `previews`; last_run: its summary; tiles: which photos have vectors of parts, "none", "wide" or "all".
    """

    library: Path
    model: str
    files: int
    companions: int
    gone: int
    contents: int
    kinds: dict[str, int]
    failures: int
    damaged: int
    bytes: int
    previews: int
    preview_bytes: int
    roots: tuple[Path, ...]
    spaces: tuple[SpaceStatus, ...]
    last_run: dict[str, Any] | None
    tiles: str
