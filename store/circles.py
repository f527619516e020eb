"""Circles on the Earth: what lies within some kilometres of a point."""

import math

import numpy as np
import numpy.typing as npt

from core.query import Near

EARTH = 6371.0088
"""Mean radius in kilometres (IUGG)."""
_ROUNDING = 1e-9
"""Degrees, a tenth of a millimetre, by which a box is larger than its circle."""


def box(near: Near) -> tuple[str, list[float]]:
    """Return a test of m.latitude and m.longitude in SQL, true of all in the circle, and its values.

    After J. P. Matuschek, "Finding points within a distance of a latitude/longitude using bounding coordinates": a
    circle with a pole in it has all longitudes; others reach asin(sin r / cos latitude) to either side.
    """
    if not near.kilometres >= 0:
        return "FALSE", []
    reach = near.kilometres / EARTH
    latitude = math.radians(near.latitude)
    south, north = (math.degrees(latitude + way * reach) + way * _ROUNDING for way in (-1, 1))
    test = "m.latitude BETWEEN ? AND ? AND m.longitude IS NOT NULL"
    if not (south > -90 and north < 90):
        return test, [south, north]
    half = math.degrees(math.asin(min(1.0, math.sin(reach) / math.cos(latitude)))) + _ROUNDING
    turns = [near.longitude + turn for turn in (-360, 0, 360)]  # the date line may run through it
    beside = " OR ".join(["m.longitude BETWEEN ? AND ?"] * len(turns))
    return f"{test} AND ({beside})", [south, north, *(turn + way * half for turn in turns for way in (-1, 1))]


def around(
    near: Near, latitudes: npt.NDArray[np.float64], longitudes: npt.NDArray[np.float64]
) -> npt.NDArray[np.bool_]:
    """Say which of some points, in degrees, lie in the circle: haversine formula (Sinnott 1984)."""
    centre, points = math.radians(near.latitude), np.radians(latitudes)
    high = np.sin((points - centre) / 2) ** 2
    wide = np.sin(np.radians(longitudes - near.longitude) / 2) ** 2
    half_chord = np.sqrt(np.clip(high + math.cos(centre) * np.cos(points) * wide, 0, 1))
    inside: npt.NDArray[np.bool_] = 2 * EARTH * np.arcsin(half_chord) <= near.kilometres
    return inside
