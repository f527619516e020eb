"""Write a question down: `parse_query` reads it back as the same one."""

import math
from datetime import date, timedelta

from core.query import And, Days, Field, Filter, Near, Node, Not, Or, Query, Range, Stored, Sum, Term
from core.types import Modality
from search.fields import ROUNDED
from search.terms import TEXT, like_a_file, plain_words, quoted, strictly_quoted

_EXPLICIT = ("/", "../")


def written(query: Query) -> str:
    """Return a question as it can be typed, in one form of the many that mean the same.

    Folders and files that are relative stay so, and files are looked at again when it is read.
    """
    return written_node(query.root)


def written_node(node: Node) -> str:
    """Return a part of a question as it can be typed."""
    match node:
        case Sum(terms):
            first, *others = terms
            return _signed(first, "-", "") + "".join(_signed(term, " - ", " + ") for term in others)
        case Filter(field, value):
            return f"{field}:{_value(field, value)}"
        case Not(Filter() as part):
            return f"-{written_node(part)}"
        case Not(part):
            return f"not {_inside(part, And, Or)}"
        case And(parts):
            first_part, *other_parts = parts
            return _inside(first_part, Or) + "".join(_joined(part) for part in other_parts)
        case Or(parts):
            return " or ".join(map(written_node, parts))


def _joined(part: Node) -> str:
    """Write a further part of a conjunction: filters need no "and"."""
    plain = isinstance(part, Filter) or (isinstance(part, Not) and isinstance(part.part, Filter))
    return f"{' ' if plain else ' and '}{_inside(part, Or)}"


def _inside(part: Node, *looser: type[Node]) -> str:
    """Write a part, in parentheses where it binds less than what it stands in."""
    shown = written_node(part)
    return f"({shown})" if isinstance(part, looser) else shown


def _signed(term: Term, minus: str, plus: str) -> str:
    weight = abs(term.weight)
    times = "" if weight == 1 else f"{_number(weight)}*"
    return f"{minus if term.weight < 0 else plus}{times}{written_term(term)}"


def written_term(term: Term) -> str:
    """Return a term without its weight as it can be typed."""
    if term.stored is Stored.TAG:
        return f"#{quoted(term.value)}"
    if term.stored is Stored.CONTENT:
        return f"id:{term.value}"
    if term.modality is not Modality.TEXT:
        path = term.value if term.value.startswith(_EXPLICIT) else f"./{term.value}"
        return quoted(path)
    if like_a_file(term.value) or "/" in term.value:
        return f"{TEXT}{strictly_quoted(term.value)}"
    return term.value if plain_words(term.value) else strictly_quoted(term.value)


def _value(field: Field, value: str | Range | Days | Near) -> str:
    match value:
        case Range():
            return _range(field, value)
        case Days():
            return _days(value)
        case Near(latitude, longitude, kilometres):
            return f"{_number(latitude)},{_number(longitude)},{_number(kilometres)}km"
    return quoted(value)


def _range(field: Field, numbers: Range) -> str:
    low, high = numbers.low, numbers.high
    if low is None:
        return f"<{'' if numbers.open_high else '='}{_number(high or 0.0)}"
    if high is None:
        return f">{'' if numbers.open_low else '='}{_number(low)}"
    if low == high and not (numbers.open_low or numbers.open_high):
        return f"{_number(low)}..{_number(high)}" if field in ROUNDED else _number(low)
    return f"{'>' if numbers.open_low else ''}{_number(low)}..{'<' if numbers.open_high else ''}{_number(high)}"


def _days(days: Days) -> str:
    """Write a year, a month or a day as such, and what else there is as a range."""
    start, end = days.start or "", days.end or ""
    last = (date.fromisoformat(end) - timedelta(days=1)).isoformat() if end else ""
    if start == last:
        return start
    if start and last and start[7:] == "-01" and end[7:] == "-01":
        first, after = date.fromisoformat(start), date.fromisoformat(end)
        months = (after.year - first.year) * 12 + after.month - first.month
        if months == 1:
            return start[:7]
        if months == 12 and first.month == 1:
            return start[:4]
    return f"{start}..{last}"


def _number(value: float) -> str:
    """Write a number so that it is read back to the last bit."""
    return str(int(value)) if math.isfinite(value) and value == int(value) and abs(value) < 1e15 else repr(value)
