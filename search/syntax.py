r"""The syntax of questions: what is a word, a sign, a name, and in which order they may stand.

Blanks matter: `t-shirt` is a word, ` -shirt` subtracts. So what is a word is decided by the terminals, each of which
begins where a word can begin; what adds up and what is a set, by the meaning of the parts (search/grammar.py).
"""

import re
from collections.abc import Iterator
from functools import cache
from typing import TYPE_CHECKING

from core.errors import QueryError, QuerySyntaxError
from core.query import Field
from search.terms import KEYWORDS, NUMBER, unquoted

if TYPE_CHECKING:
    from lark import Lark, Token, Tree, UnexpectedToken

DEEPEST = 50
"""Parentheses in parentheses at most."""

_DOUBLE = r'"(?:[^"\\]++|\\.)*+"'
_SINGLE = r"'(?:[^'\\]++|\\.|'(?=\w))*+'(?!\w)"  # an apostrophe in a word does not end it
STRING = rf"(?:{_DOUBLE}|{_SINGLE})"
_WEIGHT = rf"(?:{NUMBER}\s*\*\s*|{NUMBER}:(?!\d)\s*)(?=[^\s)])"
_END = r"(?![^\s()])"
_FIELDS = "|".join(Field)
_GRAMMAR = rf"""
start: any
any: all (_OR all)*
all: group (_AND group)*
group: _words_then | _thing_then
_words_then: bare_words _thing_then?
_thing_then: bare_thing (_words_then | _thing_then)?
    | marked_thing (_words_then | _thing_then)?
    | marked_words _thing_then?
bare_words: words -> piece
bare_thing: thing -> piece
marked_words: _marks words -> piece
marked_thing: _marks thing -> piece
_marks: NOT+ SIGN? WEIGHT? | SIGN WEIGHT? | WEIGHT
words: (STRING | TEXT | WORD)+
?thing: FILTER | TAG | STORED | set
set: _OPEN any _CLOSE

_OPEN.9: "("
_CLOSE.9: ")"
STRING.8: /{STRING}/s
TEXT.8: /(?i:text:)(\s*{STRING}|\s*[^\s()]+|)/s
FILTER.7: /(?i:{_FIELDS}):({STRING}(,[^\s()]*)?|[^\s()]*)/s
TAG.7: /#({STRING}|[^\s()"'#][^\s()]*)/s
STORED.7: /(?i:id:)[^\s()]*/
_AND.6: /(and|AND){_END}/
_OR.6: /(or|OR){_END}/
NOT.6: /(not|NOT){_END}/
WEIGHT.5: /{_WEIGHT}/
SIGN.4: /[-+]((?![-+*=<>.,:;!?\d\s])|(?=\.\.?\/|{_WEIGHT})|(?=\s|$))/
WORD.1: /[^\s()]+/
%ignore /\s+/
"""
SPECIAL = re.compile(rf"""["()#:*]|(?<!\S)[-+']|(?<!\S)(?:{"|".join(KEYWORDS)}|AND|OR|NOT)(?!\S)""")
"""Where this is nowhere in a question, it is words and nothing else."""
_MISPLACED = {
    "_AND": "'{}' needs something on both sides; to search for the word, put it in quotes",
    "_OR": "'{}' needs something on both sides; to search for the word, put it in quotes",
    "_CLOSE": "something is missing before this parenthesis",
    "NOT": "'{}' cannot be added, subtracted or weighed; to search for the word, put it in quotes",
    "SIGN": "a sign cannot stand here; it comes first, then the weight: -2*night",
    "WEIGHT": "a second weight cannot stand here",
}


def tree_of(text: str) -> "Tree[Token]":
    """Return the tree of a question: any > all > group > piece > marks and one word list, set, or token.

    Raises QuerySyntaxError.
    """
    from lark import UnexpectedToken

    try:
        return _parser().parse(text)
    except _UnbalancedError as error:
        raise QuerySyntaxError(error.message, text, error.position) from error
    except UnexpectedToken as error:
        raise _unexpected(text, error) from error


def value_of(typed: str) -> str:
    """Return a value without its quotes, behind which a distance may follow."""
    match = re.fullmatch(rf"({STRING})(,\S*)?", typed, re.DOTALL)
    if match:
        return unquoted(match[1]) + (match[2] or "")
    if typed.startswith('"'):
        raise QueryError("the quotes that begin here never end; close them, or leave them out")
    return typed


class _Nesting:
    """Watches parentheses between the lexer and the parser."""

    always_accept = ()

    def process(self, stream: "Iterator[Token]") -> "Iterator[Token]":
        """Pass tokens on; raises _UnbalancedError."""
        opened: list[int] = []
        for token in stream:
            if token.type == "_OPEN":
                opened.append(token.start_pos or 0)
                if len(opened) > DEEPEST:
                    raise _UnbalancedError(f"parentheses may lie at most {DEEPEST} deep", opened[-1])
            elif token.type == "_CLOSE":
                if not opened:
                    raise _UnbalancedError(
                        "nothing was opened that this parenthesis could close", token.start_pos or 0
                    )
                opened.pop()
            yield token
        if opened:
            raise _UnbalancedError("this parenthesis is never closed", opened[-1])


class _UnbalancedError(Exception):
    """Parentheses do not match."""

    def __init__(self, message: str, position: int) -> None:
        super().__init__(message)
        self.message, self.position = message, position


@cache
def _parser() -> "Lark":
    """Make the parser, once; "basic", since what a word is does not depend on what may follow."""
    from lark import Lark

    return Lark(_GRAMMAR, parser="lalr", lexer="basic", propagate_positions=True, postlex=_Nesting())


def _unexpected(text: str, error: "UnexpectedToken") -> QuerySyntaxError:
    """Say what is wrong with the order of things."""
    token = error.token
    if token.type == "$END":
        return QuerySyntaxError("something is missing at the end", text, len(text.rstrip()))
    at = token.start_pos or 0
    return QuerySyntaxError(_MISPLACED.get(token.type, "this cannot stand here").format(token), text, at)
