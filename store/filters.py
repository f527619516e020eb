"""What filters leave: from a question without sums to the contents that match, and to their vectors.

A filter is a statement that selects contents; And, Or and Not join them in numpy. Ids leave SQLite as one text, since
a tuple for each takes three times as long. What is written in files is compared in Python, as SQLite knows the case
of ASCII only: each value once, and of paths those that may hold the words.
"""

import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property, reduce
from types import MappingProxyType
from typing import Any, TypeAlias

import numpy as np

from core.query import And, Days, Field, Filter, Has, Near, Node, Not, Or, Range, Shape
from core.text import fold, plain, words
from core.types import Ids, Kind
from store.circles import around, box
from store.reader import Reader, StoredSpace, path_below
from store.records import WINDOW

Countries: TypeAlias = Mapping[str, str]
"""The names of countries by their codes."""
_NO_NAMES: Countries = MappingProxyType({})
_NOTHING = np.array([], np.int64)

_THERE = "f.content_id IS NOT NULL AND NOT f.gone"
_FILES = f"SELECT f.content_id AS id FROM files f WHERE {_THERE}"  # noqa: S608 (our own words, here and below)
# CROSS: in the order of the metadata, whose files lie in the same.
_FILES_OF_METADATA = f"FROM metadata m CROSS JOIN files f ON f.id = m.file_id WHERE {_THERE}"
_METADATA = f"SELECT f.content_id AS id {_FILES_OF_METADATA}"
_STANDS = "EXISTS (SELECT 1 FROM files f WHERE f.content_id = c.id AND NOT f.gone)"
_RECORDINGS = f"SELECT c.id AS id FROM contents c WHERE c.kind != 'photo' AND {_STANDS}"  # noqa: S608
_SIZED = "SELECT c.id AS id FROM contents c WHERE c.width > 0 AND c.height > 0"
_TAGGED = (
    f"SELECT f.content_id AS id FROM file_tags t CROSS JOIN files f ON f.id = t.file_id WHERE {_THERE} AND {{which}} "  # noqa: S608
    "AND NOT EXISTS (SELECT 1 FROM verdicts v WHERE v.content_id = f.content_id AND v.tag_id = t.tag_id "
    "AND v.verdict IN ('removed', 'rejected')) UNION ALL "
    "SELECT c.id FROM verdicts t CROSS JOIN contents c ON c.id = t.content_id "
    f"WHERE t.verdict IN ('added', 'accepted') AND {{which}} AND {_STANDS}"
)
_ODD = "length(CAST(f.path AS TEXT)) < length(f.path)"
"""Says that a path is not all ASCII."""
_ASCII_IN_DISGUISE = "ßſİŉ\u037eẚẞ\u1fef\u212aﬀﬁﬂﬃﬄﬅﬆ"
"""What is ASCII, or has some, when it is folded."""

_HAS = {
    Has.TAG: _TAGGED.format(which="TRUE"),
    Has.DATE: f"{_METADATA} AND m.taken IS NOT NULL AND m.taken_from IS NOT 'modified'",
    Has.PLACE: f"{_METADATA} AND m.latitude IS NOT NULL AND m.longitude IS NOT NULL",
    Has.RATING: f"{_METADATA} AND m.rating != 0",  # XMP's 0 is unrated, and some cameras write it into every photo
    Has.TITLE: f"{_METADATA} AND m.title > ''",
    Has.TEXT: f"SELECT c.id AS id FROM contents c WHERE c.text > '' AND {_STANDS}",  # noqa: S608
    Has.SOUND: f"{_RECORDINGS} AND (c.kind = '{Kind.AUDIO}' OR EXISTS "  # noqa: S608
    f"(SELECT 1 FROM segments s WHERE s.content_id = c.id AND s.kind = '{WINDOW}'))",
}
_SHAPES = {
    Shape.LANDSCAPE: "c.width > c.height",
    Shape.PORTRAIT: "c.width < c.height",
    Shape.SQUARE: "50 * max(c.width, c.height) <= 51 * min(c.width, c.height)",
    Shape.PANORAMA: "max(c.width, c.height) >= 2 * min(c.width, c.height)",
}
_NUMBERS = {
    Field.SIZE: (_SIZED, "c.width * c.height / 1e6"),
    Field.WIDTH: (_SIZED, "c.width"),
    Field.HEIGHT: (_SIZED, "c.height"),
    Field.BYTES: ("SELECT c.id AS id FROM contents c WHERE TRUE", "c.size"),
}
_MANY = 0.75
"""The share of all contents from which on it is faster to look up the vectors of the others."""
_LONGEST = 100
"""Characters of a word that SQLite is to look for; it refuses patterns of 50,000 bytes."""


def contents(reader: Reader, node: Node | None, countries: Countries = _NO_NAMES) -> Ids:
    """Return the ids, ascending, of the contents that are there and match, all for None; raises ValueError for a sum.

    Of a content's files, one that matches is enough for each filter. countries: names of countries by their codes,
    which PLACE is to know besides what is stored.
    """
    sets = _Sets(reader, countries)
    return sets.there if node is None else sets.of(node)


def matching(reader: Reader, space: StoredSpace, node: Node, countries: Countries = _NO_NAMES) -> Ids | None:
    """Return the ids, ascending, of the vectors of a space whose contents are there and match; None where all do."""
    sets = _Sets(reader, countries)
    found = sets.of(node)
    if len(found) <= _MANY * reader.tally("contents"):
        return sets.vectors(space, found)
    if len(found) == len(sets.there):
        return None
    others = _without(sets.ids("SELECT id FROM contents"), found)
    return _without(sets.ids("SELECT id FROM vectors WHERE space_id = ?", space.id), sets.vectors(space, others))


class _Sets:
    """The sets of contents that a question is made of: ids of those that are there, each once, ascending."""

    def __init__(self, reader: Reader, countries: Countries) -> None:
        self._reader = reader
        self._countries = countries

    def of(self, node: Node) -> Ids:
        match node:
            case Filter():
                return self._filter(node)
            case And(parts):
                return reduce(_both, map(self.of, parts))
            case Or(parts):
                return _distinct(np.concatenate([self.of(part) for part in parts]))
            case Not(part):
                return _without(self.there, self.of(part))
        raise ValueError("a sum of meanings is no set; its vectors are")

    def ids(self, sql: str, *values: object) -> Ids:
        """Return the distinct ids that a statement selects."""
        text = self._reader.rows(f"SELECT group_concat(id) FROM ({sql})", *values)[0][0]  # noqa: S608 (our own words)
        return _distinct(np.fromstring(text, np.int64, sep=",")) if text else _NOTHING

    @cached_property
    def there(self) -> Ids:
        """The contents of files that are not gone."""
        return self.ids(_FILES)

    def those(self, sql: str, *values: object) -> Ids:
        """Return the distinct ids that a statement selects, without those of what is gone."""
        return _both(self.there, self.ids(sql, *values))

    def vectors(self, space: StoredSpace, found: Ids) -> Ids:
        """Return the ids of the vectors of contents."""
        sql = (
            "SELECT v.id AS id FROM json_each(?) j CROSS JOIN segments s ON s.content_id = j.value "
            "CROSS JOIN vectors v ON v.segment_id = s.id AND v.space_id = ?"
        )
        return self.ids(sql, json.dumps(found.tolist()), space.id)

    def _filter(self, asked: Filter) -> Ids:
        match asked:
            case Filter(Field.TAG, str(value)):
                return self._tagged(value)
            case Filter(Field.HAS, str(value)):
                return self.ids(_HAS[Has(value)])
            case Filter(Field.IN, str(value)):
                return self._below(value) if os.path.isabs(value) else self._in_folders(value)
            case Filter(Field.NAME, str(value)):
                return self._named(value)
            case Filter(Field.KIND, str(value)):
                return self._of_kind(Kind(value))
            case Filter(Field.DATE, Days(start, end)):
                ends = (">=", start and _text(start)), ("<", end and _text(end))
                return self.ids(*_between(_METADATA, "m.taken", *ends))
            case Filter(Field.CAMERA, str(value)):
                return self._written(("make", "camera"), lambda camera: _holds(fold(" ".join(camera)), value))
            case Filter(Field.LENS, str(value)):
                return self._written(("lens",), lambda lens: _holds(fold(lens[0]), value))
            case Filter(Field.PLACE, str(value)):
                return self._at(value)
            case Filter(Field.NEAR, Near() as near):
                return self._near(near)
            case Filter(Field.SHAPE, str(value)):
                return self.those(f"{_SIZED} AND {_SHAPES[Shape(value)]}")
            case Filter(Field.RATING, Range() as stars):
                return self.ids(*_between(_METADATA, "m.rating", *_ends(stars)))
            case Filter(field, Range() as numbers) if field in _NUMBERS:
                return self.those(*_between(*_NUMBERS[field], *_ends(numbers)))
        raise ValueError(f"{asked.field} does not take {asked.value!r}")

    def _of_kind(self, kind: Kind) -> Ids:
        if kind is Kind.PHOTO:  # nearly all there is, and what else there is an index has
            return _without(self.there, self.ids(_RECORDINGS))
        return self.ids(f"{_RECORDINGS} AND c.kind = ?", kind)

    def _tagged(self, value: str) -> Ids:
        """Return what has a tag, or one below it: levels of the value follow each other among those of the tag."""
        wanted = [set(words(level)) for level in fold(value).split("/") if level]
        rows = self._reader.rows("SELECT id, name FROM tags")
        tags = [key for key, name in rows if _levels_hold(fold(name), wanted)]
        which = "t.tag_id IN (SELECT value FROM json_each(?1))"
        return self.ids(_TAGGED.format(which=which), json.dumps(tags))

    def _written(self, columns: Sequence[str], fits: Callable[[Sequence[str]], bool]) -> Ids:
        """Return what has fitting texts in some columns of its metadata; each different one is looked at once."""
        texts = ", ".join(f"coalesce(m.{column}, '')" for column in columns)
        rows = self._reader.rows(f"SELECT DISTINCT {texts} FROM metadata m")  # noqa: S608
        fitting = [row for row in rows if any(row) and fits(row)]
        values = ", ".join(f"json_extract(value, '$[{place}]')" for place in range(len(columns)))
        listed = f"({texts}) IN (SELECT {values} FROM json_each(?))"  # noqa: S608
        return self.ids(f"{_METADATA} AND {listed}", json.dumps(fitting))

    def _at(self, value: str) -> Ids:
        """Return what was taken at places with all of the words, a country's code among them, as whole words."""
        wanted = set(words(plain(value)))

        def fits(place: Sequence[str]) -> bool:
            return wanted <= set(words(plain(" ".join([*place, self._countries.get(place[-1], "")]))))

        return self._written(("town", "region", "country"), fits)

    def _near(self, near: Near) -> Ids:
        test, values = box(near)
        sql = f"SELECT f.content_id, m.latitude, m.longitude {_FILES_OF_METADATA} AND {test}"
        rows = np.array(self._reader.rows(sql, *values), np.float64).reshape(-1, 3)
        return _distinct(rows[around(near, rows[:, 1], rows[:, 2]), 0].astype(np.int64))

    def _named(self, value: str) -> Ids:
        wanted = fold(value).split()
        rows = self._paths(max(wanted, key=lambda word: (not word.isascii(), len(word)), default=""))
        names = ((content_id, fold(os.fsdecode(os.path.basename(path)))) for content_id, _, path in rows)
        return _listed(content_id for content_id, name in names if all(word in name for word in wanted))

    def _paths(self, part: str) -> Iterable[tuple[int, int, bytes]]:
        """Return content, root and path of files, those with a folded text in their paths certainly among them."""
        sql = f"SELECT f.content_id, f.root_id, f.path FROM files f WHERE {_THERE}"  # noqa: S608
        if part.isascii():
            disguised = "".join(letter for letter in _ASCII_IN_DISGUISE if set(fold(letter)) & set(part))
            pattern = "".join(f"!{letter}" if letter in "!%_" else letter for letter in part[:_LONGEST])
            test = f"CAST(f.path AS TEXT) LIKE ? ESCAPE '!' OR ({_ODD} AND CAST(f.path AS TEXT) GLOB ?)"
            return self._reader.rows(f"{sql} AND ({test})", f"%{pattern}%", f"*[{disguised or 'ß'}]*")
        decodable = part.encode("utf-8", "ignore").decode() == part  # else: bytes that _ODD takes for ASCII
        return self._reader.rows(f"{sql} AND {_ODD}" if decodable else sql)

    def _below(self, value: str) -> Ids:
        """Return what lies in an absolute folder or below it."""
        try:
            folder = os.fsencode(value)
        except UnicodeEncodeError:  # no folder can be called so
            return _NOTHING
        if b"\0" in folder:
            return _NOTHING
        found = [_NOTHING]
        for root_id, root in self._reader.rows("SELECT id, path FROM roots"):
            inside = path_below(folder, root)
            if inside == b"":
                found.append(self.ids(f"{_FILES} AND f.root_id = ?", root_id))
            elif inside is not None:
                ends = inside, inside[:-1] + b"0"  # the byte after "/"
                found.append(self.ids(f"{_FILES} AND f.root_id = ? AND f.path > ? AND f.path < ?", root_id, *ends))
        return _distinct(np.concatenate(found))

    def _in_folders(self, value: str) -> Ids:
        """Return what lies in or below folders whose paths have all parts of a relative one, one behind the other."""
        wanted = [part for part in fold(value).split("/") if part not in ("", ".")]
        roots = dict(self._reader.rows("SELECT id, path FROM roots"))
        whole = [key for key, root in roots.items() if _runs(root, wanted)]
        found = [self.ids(f"{_FILES} AND f.root_id = ?", root_id) for root_id in whole]
        if len(whole) < len(roots):
            known: dict[tuple[int, bytes], bool] = {}
            inside = []
            for content_id, root_id, path in self._paths(f"{wanted[-1]}/"):
                folder = (root_id, os.path.dirname(path))
                if folder not in known:
                    known[folder] = _runs(os.path.join(roots[root_id], folder[1]), wanted)
                if known[folder]:
                    inside.append(content_id)
            found.append(_listed(inside))
        return _distinct(np.concatenate([_NOTHING, *found]))


def _ends(numbers: Range) -> tuple[tuple[str, float | None], ...]:
    return (">" if numbers.open_low else ">=", numbers.low), ("<" if numbers.open_high else "<=", numbers.high)


def _between(source: str, value: str, *ends: tuple[str, object]) -> tuple[Any, ...]:
    """Return a statement, and its values, for what of a source has a value between ends."""
    given = [(sign, end) for sign, end in ends if end is not None]
    tests = "".join(f" AND {value} {sign} ?" for sign, _ in given)
    return (f"{source} AND {value} IS NOT NULL{tests}", *(end for _, end in given))


def _distinct(ids: Ids) -> Ids:
    """Return ids once each, ascending; numpy's own unique takes forty times as long."""
    ids = np.sort(ids)
    once: Ids = ids[np.diff(ids, prepend=ids[:1] - 1) != 0]
    return once


def _both(ids: Ids, others: Ids) -> Ids:
    return ids[np.isin(ids, others)]


def _without(ids: Ids, others: Ids) -> Ids:
    return ids[np.isin(ids, others, invert=True)]


def _listed(ids: Iterable[int]) -> Ids:
    return _distinct(np.fromiter(ids, np.int64))


def _text(value: str) -> str:
    """Return a text that SQLite takes."""
    return value.encode("utf-8", "replace").decode()


def _holds(text: str, value: str) -> bool:
    return all(word in text for word in fold(value).split())


def _levels_hold(tag: str, wanted: list[set[str]]) -> bool:
    """Say whether levels of a tag, one behind the other, have the words of each; for one level, all of the tag."""
    levels = [set(words(level)) for level in (tag.split("/") if len(wanted) > 1 else [tag])]
    starts = range(len(levels) - len(wanted) + 1)
    return any(all(some <= level for some, level in zip(wanted, levels[at:], strict=False)) for at in starts)


def _runs(folder: bytes, wanted: list[str]) -> bool:
    """Say whether the parts of a path have some, folded, one behind the other."""
    parts = fold(os.fsdecode(folder)).split("/")
    return any(parts[at : at + len(wanted)] == wanted for at in range(len(parts) - len(wanted) + 1))
