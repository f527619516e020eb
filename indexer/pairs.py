"""Files that are one picture: a Live Photo and its film, a RAW file and the JPEG that the camera made with it.

All by name, in one folder. Two photos of one stem of which none is RAW stay two: `IMG_1.png` beside `IMG_1.jpg` is as
often another picture as not, and so is `IMG_1.heic`, where folders of two phones were put together. To take two
pictures for one would lose a photo; to take one for two shows it twice.
"""

import re
from collections.abc import Collection, Iterator

from media.kinds import EXTENSIONS

HEIC, JPEG, RAW = (
    frozenset(name.removeprefix(".").encode() for name in EXTENSIONS[kind]) for kind in ("HEIF", "JPEG", "RAW")
)
MOVIES = frozenset({b"mov", b"mp4", b"m4v"})
"""What phones write beside a photo, and what exports make of it; `.MP` and `.MP~2` of Google's phones besides."""

_BEST = {extension: rank for rank, group in enumerate((HEIC, JPEG, RAW)) for extension in group}
"""HEIC before JPEG: the film of a Live Photo belongs to it, and a JPEG of that stem was made from it."""
_FOLLOWERS = RAW | MOVIES
_GOOGLE = re.compile(rb"mp(~\d+)?")


def companions(names: Collection[bytes]) -> dict[bytes, bytes]:
    """Return which files belong to another: the path of each, and of the photo that stands for both.

    names: paths of files, of whatever kind; those that are neither photo nor film of a phone or camera take no part.
    """
    # Nearly all names are neither, and there may be half a million: no call for each.
    tails = [(name[-6:].lower().rpartition(b".")[2], name) for name in names]
    followers = [name for kind, name in tails if kind in _FOLLOWERS or (kind.startswith(b"mp") and is_movie(kind))]
    if not followers:
        return {}
    primaries: dict[bytes, bytes] = {}
    for name in sorted(names, key=lambda name: (_BEST.get(_extension(name), len(_BEST)), name)):
        if _extension(name) in _BEST:
            primaries.setdefault(_key(name).rpartition(b".")[0], name)
    found = {}
    for name in followers:
        primary = next((primaries[stem] for stem in _stems(name) if stem in primaries), name)
        if _extension(name) not in RAW or _extension(primary) not in RAW:
            found[name] = primary
    return {name: primary for name, primary in found.items() if name != primary}


def is_movie(extension: bytes) -> bool:
    """Say whether an extension, in lower case and without its dot, is one of a film that stands beside a photo."""
    return extension in MOVIES or _GOOGLE.fullmatch(extension) is not None


def _stems(name: bytes) -> Iterator[bytes]:
    """Yield the stems that the photo of a film, or of a RAW file, may have, the likeliest first."""
    key = _key(name)
    stem = key.rpartition(b".")[0]
    if _GOOGLE.fullmatch(_extension(name)):  # x.MP~2 belongs to x.MP~2.jpg, or else to x.MP.jpg, or to x.jpg
        yield key
        yield stem + b".mp"
        yield stem
    elif is_movie(_extension(name)):
        yield stem
        yield stem + b".mp"
        yield stem.removesuffix(b"_hevc")  # icloudpd's name for the film of a HEIC photo
    else:
        yield stem


def _key(name: bytes) -> bytes:
    """Return a path with its last part in lower case."""
    folder, slash, last = name.rpartition(b"/")
    return folder + slash + last.lower()


def _extension(name: bytes) -> bytes:
    return name.rpartition(b".")[2].lower()
