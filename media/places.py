"""Name the places of coordinates, offline."""

from collections.abc import Sequence

from core.types import Place


def places_of(points: Sequence[tuple[float, float]]) -> list[Place]:
    """Return the nearest town of each (latitude, longitude), in degrees, in the same order.

    The towns are those of GeoNames with at least 1,000 people. Loading them takes a second, so ask for many at once.
    The nearest is found in degrees, so in the far north it may be the second nearest.
    """
    if not points:
        return []
    import reverse_geocode

    towns = reverse_geocode.search([(latitude, longitude) for latitude, longitude in points])
    return [
        Place(town["city"], town.get("state") or town.get("county") or "", town["country_code"]) for town in towns
    ]
