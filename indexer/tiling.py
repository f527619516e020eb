"""Which photos of a library are to have vectors of their parts, and which of them have none yet."""

from core.errors import GlimpseError
from media.tiles import LEVELS, WIDE, Level, boxes
from store.writer import Writer


def tile_level(library: Writer, said: str | None) -> Level:
    """Return which photos have tiles; what is `said` holds from now on, and the tiles of others are forgotten."""
    if said is not None:
        level = _level(said)
        library.set_tiles(
            level, [key for key, width, height in library.tiled() if not boxes(width, height, level, 1)]
        )
    return _level(library.tiles())


def untiled(library: Writer, space_id: int, level: Level, least: int) -> set[bytes]:
    """Return the digests of the photos that lack tiles in a space; least: see `boxes`."""
    if level == "none":
        return set()
    counted = library.tile_counts(space_id, least, WIDE if level == "wide" else 1.0)
    return {digest for digest, width, height, there in counted if there < len(boxes(width, height, level, least))}


def _level(said: str) -> Level:
    if said not in LEVELS:
        raise GlimpseError(f"tiles are of photos of the kinds {', '.join(LEVELS)}, not '{said}'")
    return said
