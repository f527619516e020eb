"""Read a question as a person types it: docs/query.md is the language, in examples.

Words without any sign do without the parser, whose import takes as long as the model takes for the words.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from core.errors import QueryError, QuerySyntaxError
from core.query import And, Field, Node, Not, Or, Query, Stored, Sum, Term, sums
from core.types import Modality
from search.fields import Towns, filter_of
from search.runs import BESIDE, Chunk, chunk_of, run_term
from search.syntax import SPECIAL, tree_of, value_of
from search.terms import existing_file, file_term, located, weighed, weight_of, weighted_file
from search.terms import modality_of as modality_of  # where others look for it

Branch: TypeAlias = Any
"""A token or a tree of them: which rules give which, lark's types cannot tell."""
LONGEST = 6_000
"""Characters of a question at most."""
MOST_EXAMPLES = 100
TOWARD, AWAY = 0.75, 0.15
"""What all examples to be like, and unlike, weigh beside a query (Rocchio 1971; Manning et al. 2008, 9.1.1)."""

_SETS = "and, or and not combine sets, which cannot be added, subtracted or weighed; write (a + c) or (b + c)"
_UNWEIGHED = "a filter has no weight; it holds or it does not"
_INTO = "into the query itself"


def parse_query(
    query: str = "",
    plus: Iterable[str] = (),
    minus: Iterable[str] = (),
    like: Iterable[str] = (),
    unlike: Iterable[str] = (),
    *,
    towns: Towns | None = None,
) -> Query:
    """Parse a question; raises QueryError, and QuerySyntaxError where it can say at which character.

    plus, minus: terms or sums to add and to subtract; like, unlike: examples of what is meant and what is not, which
    are added as Rocchio (1971) did, or where nothing else is asked for are all that is asked: the way from the one
    to the other. query: may be empty where any of these is there. towns: looks up names of towns, None for the
    gazetteer that comes with Glimpse.
    """
    root = _parse(query, towns) if query.strip() else None
    terms = [term for text in plus for term in _terms(text, 1.0, towns)]
    terms += [term for text in minus for term in _terms(text, -1.0, towns)]
    beside = bool(terms or (root is not None and sums(root)))
    for texts, weight in ((list(like), TOWARD if beside else 1.0), (list(unlike), -AWAY if beside else -1.0)):
        if len(texts) > MOST_EXAMPLES:
            raise QueryError(f"there are {len(texts)} examples; give at most {MOST_EXAMPLES} of a sort")
        terms += [term for text in texts for term in _terms(text, weight / len(texts), towns)]
    if root is None and not terms:
        raise QueryError("the query is empty; say what to look for, for example: glimpse search 'a cat'")
    return Query(_added(root, tuple(terms)))


def all_of(nodes: Iterable[Node]) -> Node:
    """Return what is in all of some sets, without nesting."""
    parts = tuple(part for node in nodes for part in (node.parts if isinstance(node, And) else (node,)))
    return And(parts) if len(parts) > 1 else parts[0]


def any_of(nodes: Iterable[Node]) -> Node:
    """Return what is in any of some sets, without nesting."""
    parts = tuple(part for node in nodes for part in (node.parts if isinstance(node, Or) else (node,)))
    return Or(parts) if len(parts) > 1 else parts[0]


def negated(node: Node, times: int = 1) -> Node:
    """Return what is not in a set; twice not is not said."""
    if times % 2 == 0:
        return node
    return node.part if isinstance(node, Not) else Not(node)


def _terms(text: str, weight: float, towns: Towns | None) -> list[Term]:
    """Parse what is added to a question."""
    if not text.strip():
        raise QueryError("a term is empty; say what to add or to subtract")
    node = _parse(text, towns)
    if not isinstance(node, Sum):
        raise QuerySyntaxError(f"only words and files can be added; put sets and filters {_INTO}", text, 0)
    with located(text, 0):
        return [weighed(term, weight) for term in node.terms]


def _added(root: Node | None, terms: tuple[Term, ...]) -> Node:
    """Add terms to the one sum of a question, or to its filters the sum that they are."""
    if root is None:
        return Sum(terms)
    if not terms:
        return root
    if isinstance(root, Sum):
        return Sum(root.terms + terms)
    if not sums(root):
        return all_of((root, Sum(terms)))
    if isinstance(root, And) and len(sums(root)) == 1:
        parts = [Sum(part.terms + terms) if isinstance(part, Sum) else part for part in root.parts]
        if any(isinstance(part, Sum) for part in parts):
            return And(tuple(parts))
    raise QueryError(_SETS)


def _parse(text: str, towns: Towns | None) -> Node:
    """Parse what was typed in one piece."""
    if len(text) > LONGEST:
        raise QuerySyntaxError(f"the query has {len(text):,} characters; it may have {LONGEST:,}", text, LONGEST)
    if named := weighted_file(text) or weighted_file(text.strip()):  # a name may be anything, operators and all
        with located(text, 0):
            weight, file = named
            term = file_term(existing_file(file) or Path(file))
            return Sum((weighed(term, weight_of(weight) if weight else 1.0),))
    if not SPECIAL.search(text):
        words = [Chunk(match.start(), match.end(), match[0]) for match in re.finditer(r"\S+", text)]
        return Sum((run_term(text, words),))
    return _Reader(text, towns).read()


@dataclass(frozen=True)
class _Piece:
    """An element of a question with what stands in front of it; sign: "+", "-" or ""."""

    node: Node
    start: int
    nots: int
    sign: str
    weight: float | None


class _Group:
    """Elements side by side: what is to be looked for adds up to one sum, filters stand for themselves.

    A sign adds to what it follows, which may be a `not`; behind a filter, to the sum of the group.
    """

    def __init__(self) -> None:
        self._parts: list[tuple[int, list[Term]] | Node] = []
        self._main: list[Term] | None = None
        self._open: list[Term] | None = None
        self._combined = False

    def take(self, piece: _Piece) -> None:
        """Take the next element; raises QueryError where it does not fit to those before it."""
        if isinstance(piece.node, Sum):
            self._look_for(piece, piece.node)
        else:
            self._keep_to(piece)

    def nodes(self) -> list[Node]:
        """Return the sets."""
        return [negated(Sum(tuple(part[1])), part[0]) if isinstance(part, tuple) else part for part in self._parts]

    def _look_for(self, piece: _Piece, node: Sum) -> None:
        weight = (1.0 if piece.weight is None else piece.weight) * (-1.0 if piece.sign == "-" else 1.0)
        terms = [weighed(term, weight) for term in node.terms]
        if piece.nots:
            self._parts.append((piece.nots, terms))
            self._open = terms
            return
        if piece.sign and self._combined:
            raise QueryError(_SETS)
        if not piece.sign and self._main is not None:
            raise QueryError(BESIDE)
        target = self._open if self._open is not None else self._main
        if piece.sign and target is not None:
            target += terms
            return
        self._parts.append((0, terms))
        self._main = self._open = terms

    def _keep_to(self, piece: _Piece) -> None:
        filters = not sums(piece.node)
        if piece.weight is not None or (piece.sign and not filters):
            raise QueryError(_UNWEIGHED if filters else _SETS)
        self._combined |= not filters
        self._open = None
        self._parts.append(negated(piece.node, piece.nots + (piece.sign == "-")))


class _Reader:
    """Makes a question of what the parser found."""

    def __init__(self, text: str, towns: Towns | None) -> None:
        self._text, self._towns = text, towns

    def read(self) -> Node:
        """Return the question; raises QuerySyntaxError."""
        return self._any(tree_of(self._text).children[0])

    def _any(self, tree: Branch) -> Node:
        return any_of([self._all(part) for part in tree.children])

    def _all(self, tree: Branch) -> Node:
        return all_of([node for group in tree.children for node in self._group(group)])

    def _group(self, tree: Branch) -> list[Node]:
        group = _Group()
        for piece in map(self._piece, tree.children):
            with located(self._text, piece.start):
                group.take(piece)
        return group.nodes()

    def _piece(self, tree: Branch) -> _Piece:
        *marks, what = tree.children
        nots, sign, weight = 0, "", None
        for mark in marks:
            if mark.type == "NOT":
                nots += 1
            elif mark.type == "SIGN":
                sign = str(mark)
            else:
                weight = weight_of(mark)
        return _Piece(self._what(what), tree.meta.start_pos, nots, sign, weight)

    def _what(self, what: Branch) -> Node:
        if hasattr(what, "children"):
            if what.data == "set":
                return self._any(what.children[0])
            return Sum((run_term(self._text, [self._chunk(token) for token in what.children]),))
        start = what.start_pos
        if what.type == "FILTER":
            name, _, value = what.partition(":")
            with located(self._text, start + len(name) + 1):
                return filter_of(Field(name.lower()), value_of(value), self._towns)
        with located(self._text, start):
            if what.type == "TAG":
                tag = " ".join(value_of(what[1:]).split())
                if not tag:
                    raise QueryError("the tag has no name; write for example #holiday")
                return Sum((Term(Modality.TEXT, tag, stored=Stored.TAG),))
            return Sum((_stored(what.partition(":")[2]),))

    def _chunk(self, token: Branch) -> Chunk:
        with located(self._text, token.start_pos):
            return chunk_of(token)


def _stored(number: str) -> Term:
    if not re.fullmatch(r"[0-9]{1,18}", number):
        raise QueryError(f"id: needs the number of something in the library, as in id:12, not '{number[:40]}'")
    return Term(Modality.IMAGE, str(int(number)), stored=Stored.CONTENT)
