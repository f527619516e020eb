"""Which parts of a photo get vectors of their own: small things in big pictures are found by them."""

import math
from typing import Literal, get_args

from core.types import Box

Level = Literal["none", "wide", "all"]
"""Which photos have tiles: none; those whose one side is WIDE times the other or more; all that are large enough."""
LEVELS: tuple[Level, ...] = get_args(Level)
MOST = 8
"""Tiles of a photo."""
WIDE = 2.4
"""Longer side of panoramas and long screenshots, in shorter ones.

A phone's screen has 21:9 at most, and of pictures of a whole screen people have thousands.
"""
SQUARE = 1.25
"""Longer side, in shorter ones, up to which a tile is square enough for what an encoder does to it."""
OVERLAP = 1 / 5
"""Share of a tile that its neighbour has, too: whatever is smaller is whole in one of them. With 1/3 less is found
(docs/benchmarks.md)."""


def boxes(width: int, height: int, level: Level, least: int) -> tuple[Box, ...]:
    """Return the tiles of an upright photo, by rows: a grid of at most MOST, more or less square; () for none.

    width, height: of the photo in px; least: px that a tile's shorter side must have, the encoder's input: with
    fewer, it would show nothing that the whole does not. Where they lie depends on the photo's shape alone.
    """
    long, short = max(width, height), min(width, height)
    if level == "none" or short < 1 or (level == "wide" and long < WIDE * short):
        return ()
    columns, rows = _grid(long / short)
    if min(long * _share(columns), short * _share(rows)) < least:
        return ()
    if height > width:
        columns, rows = rows, columns
    return tuple((left, top, right, bottom) for top, bottom in _cuts(rows) for left, right in _cuts(columns))


def stored(box: Box, orientation: int) -> Box:
    """Return where a part of the upright photo lies in pixels that EXIF's `orientation`, 1..8, makes upright."""
    left, top, right, bottom = box
    if orientation in (2, 3, 6, 7):
        left, right = 1 - right, 1 - left
    if orientation in (3, 4, 7, 8):
        top, bottom = 1 - bottom, 1 - top
    return (left, top, right, bottom) if orientation < 5 else (top, left, bottom, right)


def _grid(ratio: float) -> tuple[int, int]:
    """Return in how many tiles the longer and the shorter side are cut: the most SQUARE ones, else the squarest."""
    grids = [(columns, rows) for columns in range(2, MOST + 1) for rows in range(1, MOST // columns + 1)]
    shapes = {grid: abs(math.log(ratio * _share(grid[0]) / _share(grid[1]))) for grid in grids}
    squarest = min(grids, key=lambda grid: shapes[grid])
    return max((grid for grid in grids if shapes[grid] <= math.log(SQUARE)), key=math.prod, default=squarest)


def _share(count: int) -> float:
    """Return the length of one of `count` overlapping tiles in a row of length 1."""
    return 1 / (count - (count - 1) * OVERLAP)


def _cuts(count: int) -> list[tuple[float, float]]:
    """Return where each tile of a row of length 1 begins and ends."""
    share = _share(count)
    starts = [number * share * (1 - OVERLAP) for number in range(count)]
    return [(start, 1.0 if number == count - 1 else start + share) for number, start in enumerate(starts)]
