"""Turn a question into the ways in which something can answer it: a disjunction of conjunctions."""

import itertools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from core.errors import QueryError
from core.query import And, Field, Filter, Node, Not, Or, Sum, sums
from core.types import Kind

MOST_WAYS = 64


@dataclass(frozen=True)
class Way:
    """What fits all of `sums` and none of `without`, and passes `filter`, which has no sums (None: all does)."""

    sums: tuple[Sum, ...] = ()
    without: tuple[Sum, ...] = ()
    filter: Node | None = None


def ways(node: Node) -> list[Way]:
    """Return the ways to fit a question; raises QueryError where they are too many."""
    found = _ways(node, negated=False)
    return list(dict.fromkeys(found))


def _ways(node: Node, negated: bool) -> list[Way]:
    if not sums(node):
        return [Way(filter=Not(node) if negated else node)]
    if isinstance(node, Sum):
        return [Way(without=(node,)) if negated else Way(sums=(node,))]
    if isinstance(node, Not):
        return _ways(node.part, not negated)
    if isinstance(node, Filter):  # which has no sums
        raise TypeError(node)
    parts = [_ways(part, negated) for part in node.parts]
    if isinstance(node, Or) != negated:
        joined = [way for part in parts for way in part]
    else:
        joined = [Way()]
        for part in parts:
            joined = [_both(one, other) for one, other in itertools.product(joined, part)]
            _few(joined)
    _few(joined)
    return joined


def _few(found: list[Way]) -> None:
    if len(found) > MOST_WAYS:
        raise QueryError(
            f"the question can be answered in more than {MOST_WAYS} ways; ask for less at once, with fewer 'or's"
        )


def _both(one: Way, other: Way) -> Way:
    return Way(
        tuple(dict.fromkeys(one.sums + other.sums)),
        tuple(dict.fromkeys(one.without + other.without)),
        all_of(filter(None, (one.filter, other.filter))),
    )


def all_of(nodes: Iterable[Node]) -> Node | None:
    """Return what is in all of some sets, None where there are none."""
    parts = list(dict.fromkeys(part for node in nodes for part in (node.parts if isinstance(node, And) else (node,))))
    if not parts:
        return None
    return parts[0] if len(parts) == 1 else And(tuple(parts))


def kind_of(node: Node | None) -> tuple[Kind | None, Node | None]:
    """Return the one kind that a filter lets through, None for more or none, and the filter without saying so."""
    parts = node.parts if isinstance(node, And) else (node,) if node else ()
    kinds = [part for part in parts if isinstance(part, Filter) and part.field is Field.KIND]
    if len(kinds) != 1:
        return None, node
    return Kind(str(kinds[0].value)), all_of(part for part in parts if part is not kinds[0])


def countries_for(node: Node | None) -> Mapping[str, str]:
    """Return the names of countries by their codes where a filter asks for places, which takes a while to read."""
    if node is None or not any(part.field is Field.PLACE for part in filters(node)):
        return {}
    from media.places import countries

    return countries()


def filters(node: Node) -> list[Filter]:
    """Return the filters in a question."""
    if isinstance(node, Filter):
        return [node]
    if isinstance(node, Sum):
        return []
    parts = (node.part,) if isinstance(node, Not) else node.parts
    return [found for part in parts for found in filters(part)]


def folder_of(node: Node | None) -> Path | None:
    """Return the folder that all that passes a filter lies in, None where it names none."""
    parts = node.parts if isinstance(node, And) else (node,) if node else ()
    folders = [Path(str(part.value)) for part in parts if isinstance(part, Filter) and part.field is Field.IN]
    return next((folder for folder in folders if folder.is_absolute()), None)
