"""What goes into a library and comes out of it when it is brought up to date."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from core.types import Box, FileStat, Kind, Metadata, Place, Span, Vector, Walk

WHOLE, MIDDLE, TILE, FRAME, WINDOW = "whole", "middle", "tile", "frame", "window"
"""Kinds of segments: a photo, the middle frame of an animation, a part of a photo, a frame of a film, some sound."""

TILES_AT_FIRST = "wide"
"""Which photos have tiles where nobody has said anything: panoramas and long screenshots are few."""


class Source(NamedTuple):
    """What somebody asked to index: a folder (or a file), and how it is walked."""

    folder: bool
    walk: Walk


class Unread(NamedTuple):
    """A photo in which nobody has looked for text, and where it lies."""

    content_id: int
    digest: bytes
    path: bytes


class KnownFile(NamedTuple):
    """A file as the last run left it; a tuple, since a rescan makes 100,000 of them.

    encoded: its content has a vector in the space asked about; described: its content's metadata was read;
    primary: id of the file that it belongs to; beside: a hash of its sidecars' stats, None for none.
    """

    id: int
    stat: FileStat
    digest: bytes | None
    encoded: bool
    gone: bool
    failure: str | None
    retry: bool
    described: bool = False
    primary: int | None = None
    beside: str | None = None


@dataclass(frozen=True, slots=True)
class About:
    """What is known about a file beside its pixels: effective metadata, place, and a hash of the sidecars it used."""

    metadata: Metadata
    place: Place | None = None
    beside: str | None = None


Timed = Sequence[tuple[Span, Vector]]
"""Vectors, each of a part of a recording."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """What an index run found in a recording.

    frames: of a film, in the space of pictures; windows: of its sound, in the space of sound; each empty where it
    was there already. heard: the windows are all there are (none: it is silent), and not only those known before.
    """

    kind: Kind
    frames: Timed = ()
    windows: Timed = ()
    heard: bool = False


@dataclass(frozen=True, slots=True)
class Taken:
    """What an index run found out about one file.

    file_id: the row to update, None for a new one. Either `failure` says why the file could not be read, or
    `digest` names its content, or `primary` (a path below the same root) the file that it belongs to.
    New contents come with `size` (width, height), new vectors by the kind of their segment, as `tiles` with the part
    of the photo that each is of, or with what was `recorded`.
    embedded: what is written in the photo itself; about: None leaves what is known as it is.
    """

    root_id: int
    path: bytes
    stat: FileStat
    file_id: int | None = None
    digest: bytes | None = None
    size: tuple[int, int] | None = None
    vectors: Mapping[str, Vector] = field(default_factory=dict)
    tiles: Sequence[tuple[Box, Vector]] = ()
    recorded: Recorded | None = None
    from_preview: bool = False
    damaged: bool = False
    embedded: Metadata | None = None
    about: About | None = None
    primary: bytes | None = None
    failure: str | None = None
    retry: bool = False
