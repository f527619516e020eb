"""Questions as they are typed: what they mean, where they go wrong, and that they can be written down again."""

import contextlib
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any, get_args

import click
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import glimpse.cli
from core.errors import QueryError, QuerySyntaxError
from core.query import (
    And,
    Days,
    Field,
    Filter,
    Has,
    Near,
    Node,
    Not,
    Or,
    Order,
    Query,
    Range,
    Rule,
    Shape,
    Stored,
    Sum,
    Term,
    sums,
)
from core.types import Kind, Modality
from glimpse.cli.options import Asking, apart
from glimpse.cli.search import ORDERS, RULES, search
from glimpse.pointing import pointed
from search import grammar, syntax
from search.fields import EXAMPLES
from search.grammar import LONGEST, MOST_EXAMPLES, all_of, any_of, negated, parse_query
from search.syntax import DEEPEST
from search.terms import joined
from search.written import written
from tests.conftest import ROOT

TOWNS = {"vienna": (48.2, 16.4), "new york": (40.7, -74.0)}


def towns(name: str) -> tuple[float, float] | None:
    return TOWNS.get(name.lower())


def parse(typed: str) -> Node:
    return parse_query(typed, towns=towns).root


def words(text: str, weight: float = 1) -> Sum:
    return Sum((Term(Modality.TEXT, text, weight),))


def file(path: str, weight: float = 1) -> Sum:
    return Sum((Term(Modality.IMAGE, path, weight),))


def tag(name: str, weight: float = 1) -> Sum:
    return Sum((Term(Modality.TEXT, name, weight, Stored.TAG),))


def stored(number: int, weight: float = 1) -> Sum:
    return Sum((Term(Modality.IMAGE, str(number), weight, Stored.CONTENT),))


def plus(*parts: Sum) -> Sum:
    return Sum(tuple(term for part in parts for term in part.terms))


def keep(field: str, value: str | Range | Days | Near) -> Filter:
    return Filter(Field(field), value)


A, B, C = words("a"), words("b"), words("c")
X, Y = keep("tag", "x"), keep("tag", "y")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder: tmp_path/here, with photos in it, beside it and in the home folder."""
    (tmp_path / "here" / "folder.jpg").mkdir(parents=True)
    (tmp_path / "here" / "sub").mkdir()
    (tmp_path / "home").mkdir()
    for name in (
        "here/x.jpg", "here/a b.jpg", "here/cat", "here/sub/y", "here/2:z.jpg", "y.jpg", "home/h.jpg",
        "here/IMG (1) - b.jpg", "here/#1.jpg",
    ):  # fmt: skip
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return tmp_path


MEANINGS: dict[str, Node] = {
    # words
    "red car": words("red car"),
    "  a \t cat\n": words("a cat"),
    '"red car" snow': words("red car snow"),
    "snow 'red car'": words("snow red car"),
    "t-shirt": words("t-shirt"),
    "c++": words("c++"),
    "x-ray 4+1 well-known": words("x-ray 4+1 well-known"),
    "-5 at night": words("-5 at night"),
    "+5 at night": words("+5 at night"),
    "winter -5": words("winter -5"),
    "a -> b --c": words("a -> b --c"),
    "don't rock'n'roll": words("don't rock'n'roll"),
    "'tis the season": words("'tis the season"),
    "'don't stop' me": words("don't stop me"),
    'a 5" nail': words('a 5" nail'),
    r'"say \"cheese\" \\ \n"': words(r'say "cheese" \ \n'),
    '"salt and pepper"': words("salt and pepper"),
    '"a" "b"': words("a b"),
    "Salt And Pepper": words("Salt And Pepper"),
    "12:30": words("12:30"),
    "4:3 wide": words("4:3 wide"),
    "re:invent": words("re:invent"),
    "http://x.y/z": words("http://x.y/z"),
    "cats / dogs": words("cats / dogs"),
    "cat and/or dog": words("cat and/or dog"),
    "cat": words("cat"),  # a file of that name does not matter without ./
    "sub": words("sub"),
    "~": words("~"),
    "# 1": words("# 1"),
    "text:x.jpg": words("x.jpg"),
    "text:./x.jpg is here.jpg": words("./x.jpg is here.jpg"),
    'text:"a (b).jpg"': words("a (b).jpg"),
    "text: 2:cat": words("2:cat"),
    "nul \0 inside": words("nul \0 inside"),
    "a" * 5000: words("a" * 5000),
    # files
    "x.jpg": file("x.jpg"),
    "./x.jpg": file("x.jpg"),
    "./cat": file("cat"),
    "sub/y": file("sub/y"),
    "../y.jpg": file("../y.jpg"),
    "a b.jpg": file("a b.jpg"),
    '"a b.jpg"': file("a b.jpg"),
    "a b.jpg - day": plus(file("a b.jpg"), words("day", -1)),
    "./2:z.jpg": file("2:z.jpg"),
    "IMG (1) - b.jpg": file("IMG (1) - b.jpg"),
    "2:IMG (1) - b.jpg": file("IMG (1) - b.jpg", 2),
    "#1.jpg": file("#1.jpg"),
    '"IMG (1) - b.jpg" + cat': plus(file("IMG (1) - b.jpg"), words("cat")),
    # weights and sums
    "2*night": words("night", 2),
    "2:night sky": words("night sky", 2),
    "2 * night": words("night", 2),
    "2: a cat": words("a cat", 2),
    ".5:./x.jpg": file("x.jpg", 0.5),
    "1.:cat": words("cat"),
    "0.25:text:x.jpg": words("x.jpg", 0.25),
    "-2*x": words("x", -2),
    "-2:x": words("x", -2),
    "2:2:cat": words("2:2:cat"),
    "1..:cat": words("1..:cat"),
    "2:": words("2:"),
    ":cat": words(":cat"),
    "a + b - c": plus(A, B, words("c", -1)),
    "a +b -c": plus(A, B, words("c", -1)),
    "-a + b": plus(words("a", -1), B),
    'a -"b c"': plus(A, words("b c", -1)),
    "red car - blue sky": plus(words("red car"), words("blue sky", -1)),
    "2*(a + b)": plus(words("a", 2), words("b", 2)),
    "a - (b - 2*c)": plus(A, words("b", -1), words("c", 2)),
    "(a)-(b)": plus(A, words("b", -1)),
    "((a))": A,
    "2*(a - 3*(b + x.jpg)) + c": plus(words("a", 2), words("b", -6), file("x.jpg", -6), C),
    "a -.5*b -./x.jpg": plus(A, words("b", -0.5), file("x.jpg", -1)),
    # what is stored
    "#holiday": tag("holiday"),
    '#"new york" + beach': plus(tag("new york"), words("beach")),
    "a -2*#x/y": plus(A, tag("x/y", -2)),
    "id:12 - id:007": plus(stored(12), stored(7, -1)),
    # sets
    "a and b": And((A, B)),
    "a AND b OR c": Or((And((A, B)), C)),
    "a and (b and c)": And((A, B, C)),
    "a or (b or c)": Or((A, B, C)),
    "a or b and c": Or((A, And((B, C)))),
    "(a or b) and c": And((Or((A, B)), C)),
    "(a or b) c": And((Or((A, B)), C)),
    "a not b": And((A, Not(B))),
    "not not a": A,
    "not a + b": Not(plus(A, B)),
    "not -a": Not(words("a", -1)),
    "a + b or c": Or((plus(A, B), C)),
    "salt and pepper": And((words("salt"), words("pepper"))),
    "(dog or cat) -tag:indoor": And((Or((words("dog"), words("cat"))), Not(keep("tag", "indoor")))),
    # filters
    "tag:x": X,
    "TAG:x": X,
    "-tag:x": Not(X),
    "a tag:x": And((A, X)),
    "a + tag:x": And((A, X)),
    "a - tag:x + b": And((plus(A, B), Not(X))),
    "tag:x -b": And((X, words("b", -1))),
    "not tag:x tag:y": And((Not(X), Y)),
    "-(tag:x or tag:y)": Not(Or((X, Y))),
    "-(tag:x)": Not(X),
    "not a tag:x": And((Not(A), X)),
    "not -tag:x": X,
    "(tag:x or tag:y) + a": And((Or((X, Y)), A)),
    'tag:"new  york"': keep("tag", "new york"),
    "(tag:x)": X,
    "tag:'it's me'": keep("tag", "it's me"),
    "kind:PHOTO": keep("kind", "photo"),
    "has:place": keep("has", "place"),
    "shape:panorama": keep("shape", "panorama"),
    "camera:pixel": keep("camera", "pixel"),
    "in:2023//summer/": keep("in", "2023/summer"),
    "in:/nowhere/./x/": keep("in", "/nowhere/x"),
    "rating:3": keep("rating", Range(3, 3)),
    "rating:>=3": keep("rating", Range(3)),
    "rating:>3": keep("rating", Range(3, open_low=True)),
    "rating:<=3": keep("rating", Range(None, 3)),
    "rating:<3": keep("rating", Range(None, 3, open_high=True)),
    "rating:-1..2": keep("rating", Range(-1, 2)),
    "rating:3..": keep("rating", Range(3)),
    "rating:..3": keep("rating", Range(None, 3)),
    "width:>1000..<2000px": keep("width", Range(1000, 2000, True, True)),
    "size:12": keep("size", Range(11.5, 12.5, open_high=True)),
    "size:>=12.5MP": keep("size", Range(12.5)),
    "size:>5MB": keep("bytes", Range(5e6, open_low=True)),
    "bytes:..2KiB": keep("bytes", Range(None, 2048)),
    "bytes:1.5MB": keep("bytes", Range(1.45e6, 1.55e6, open_high=True)),
    "date:2023": keep("date", Days("2023-01-01", "2024-01-01")),
    "date:2023-12": keep("date", Days("2023-12-01", "2024-01-01")),
    "date:2024-02-28": keep("date", Days("2024-02-28", "2024-02-29")),
    "date:2023-06..2023-08": keep("date", Days("2023-06-01", "2023-09-01")),
    "date:2023-06..": keep("date", Days("2023-06-01")),
    "date:..2023": keep("date", Days(None, "2024-01-01")),
    "date:>=2023-06": keep("date", Days("2023-06-01")),
    "date:>2023-06": keep("date", Days("2023-07-01")),
    "date:<2020": keep("date", Days(None, "2020-01-01")),
    "date:<=2020": keep("date", Days(None, "2021-01-01")),
    "near:48.21,16.37": keep("near", Near(48.21, 16.37, 1)),
    "near:48.21,-16.37,500m": keep("near", Near(48.21, -16.37, 0.5)),
    "near:48,16,5": keep("near", Near(48, 16, 5)),
    "near:Vienna": keep("near", Near(48.2, 16.4, 10)),
    "near:vienna,3km": keep("near", Near(48.2, 16.4, 3)),
    'near:"new york",1mi': keep("near", Near(40.7, -74.0, 1.609344)),
    "tag:holiday in:2023/ date:2023-06..2023-08 camera:pixel near:48.21,16.37,5km rating:>=3 kind:photo": And(
        (
            keep("tag", "holiday"),
            keep("in", "2023"),
            keep("date", Days("2023-06-01", "2023-09-01")),
            keep("camera", "pixel"),
            keep("near", Near(48.21, 16.37, 5)),
            keep("rating", Range(3)),
            keep("kind", "photo"),
        )
    ),
}


@pytest.mark.parametrize("typed", MEANINGS, ids=lambda typed: typed[:40])
@pytest.mark.usefixtures("here")
def test_what_is_typed_means(typed: str) -> None:
    assert parse(typed) == MEANINGS[typed]
    again = written(Query(MEANINGS[typed]))
    assert parse(again) == MEANINGS[typed]
    assert written(Query(parse(again))) == again


SETS, BESIDE = "and, or and not combine sets, which cannot be added", "two things to look for stand side by side"
MISTAKES: dict[str, tuple[int, str]] = {
    "2: ./no.jpg": (3, "there is no file ./no.jpg; to search for these words, write text:./no.jpg"),
    "y.jpg": (0, "there is no file y.jpg; to search for these words, write text:y.jpg"),
    "cat + y.jpg": (6, "there is no file y.jpg; to search for these words, write text:y.jpg"),
    "no such file.jpg": (8, "there is no file file.jpg, nor 'no such file.jpg'"),
    '"no such file.jpg"': (0, 'there is no file no such file.jpg; .* write text:"no such file.jpg"'),
    "folder.jpg": (0, "folder.jpg is a folder; name a file in it, or write text:folder.jpg"),
    "./nothing": (0, "there is no file ./nothing; to search for these words, write text:./nothing"),
    "~/nothing": (0, "there is no file .*; to search for these words, write text:~/nothing"),
    "/no/such": (0, "there is no file /no/such"),
    "./sub": (0, r"\./sub is a folder; name a file in it"),
    "/": (0, "/ is a folder; name a file in it"),
    "./" + "a" * 5000: (0, r"there is no file \./a+\.\.\.; "),
    "text:": (0, "there are no words here"),
    '""': (0, "there are no words here"),
    'a - "  "': (4, "there are no words here"),
    "0:cat": (0, "the weight of 'cat' must be between 0.001 and 1000, not 0"),
    "dog 0.0*cat": (4, "the weight of 'cat' must be between 0.001 and 1000"),
    "9" * 400 + ":cat": (0, "the weight of 'cat' must be between 0.001 and 1000, not inf"),
    "a - 2000*cat": (4 - 2, "the weight of 'cat' must be between 0.001 and 1000, not -2000"),
    "100*(a + 100*b)": (0, "the weight of 'b' must be between 0.001 and 1000, not 10000"),
    "2*3*x": (2, "a second weight cannot stand here"),
    "2*-x": (2, "a sign cannot stand here"),
    "a + - b": (4, "a sign cannot stand here"),
    "a -": (3, "something is missing at the end"),
    "a + ": (3, "something is missing at the end"),
    "not": (3, "something is missing at the end"),
    "a or": (4, "something is missing at the end"),
    "or a": (0, "'or' needs something on both sides"),
    "a and and b": (6, "'and' needs something on both sides"),
    "(AND)": (1, "'AND' needs something on both sides"),
    "- not a": (2, "'not' cannot be added, subtracted or weighed"),
    "((a)": (0, "this parenthesis is never closed"),
    "a (b": (2, "this parenthesis is never closed"),
    "a) b": (1, "nothing was opened that this parenthesis could close"),
    ":)": (1, "nothing was opened"),
    "a ()": (3, "something is missing before this parenthesis"),
    "(a + )": (5, "something is missing before this parenthesis"),
    '"abc': (0, "the quotes that begin here never end"),
    'red "car': (4, "the quotes that begin here never end"),
    'text:"car': (0, "the quotes that begin here never end"),
    'a tag:"new york': (6, "the quotes that begin here never end"),
    '#"a': (0, "the quotes that begin here never end"),
    "cat x.jpg": (4, BESIDE),
    "x.jpg cat": (6, BESIDE),
    "cat (dog)": (4, BESIDE),
    "#holiday beach": (9, BESIDE),
    "cat 2*dog": (4, BESIDE),
    "dog tag:x cat": (10, BESIDE),
    "(a or b) + c": (9, SETS),
    "c + (a or b)": (2, SETS),
    "2*(a and b)": (0, SETS),
    "-(a tag:x)": (0, SETS),
    "c (a or b) + d": (11, SETS),
    "2*tag:x": (0, "a filter has no weight"),
    "a 2*(tag:x)": (2, "a filter has no weight"),
    '#""': (0, "the tag has no name"),
    "id:": (0, "id: needs the number of something in the library, as in id:12, not ''"),
    "a id:x1": (2, "id: needs the number"),
    "tag:": (4, "tag: needs a value right behind it, as in tag:holiday"),
    "place: vienna": (6, "place: needs a value right behind it"),
    'a camera:""': (9, "camera: needs a value"),
    "kind:movie": (5, "there is no kind:movie; there are: photo, audio, video"),
    "has:wings": (4, "there is no has:wings; there are: tag, date, place, rating, title, text, sound"),
    "shape:round": (6, "there is no shape:round; there are: landscape, portrait, square, panorama"),
    "cat rating:good": (11, "'good' is no number for rating:; write for example rating:>=3"),
    "size:5GHz": (5, "'5GHz' is no number for size:, which takes the units mp"),
    "width:..": (6, "a range needs a beginning or an end"),
    "rating:5..3": (7, "rating:5..3 ends before it begins"),
    "width:" + "9" * 400: (6, "is too large for width:"),
    "date:2023-13": (5, "'2023-13' is no date; write 2023, 2023-06, 2023-06-15, today, or a range"),
    "date:2023-02-30": (5, "is no date"),
    "date:06/15/2023": (5, "is no date"),
    "date:9999": (5, "is no date"),
    "date:0000": (5, "is no date"),
    "date:..": (5, "a range of dates needs a beginning or an end"),
    "date:2023-08..2023-06": (5, "ends before it begins"),
    "near:91,0": (5, "91,0 is no point on Earth"),
    "near:48,16,0km": (5, "'0km' is no distance"),
    "near:48,16,5furlongs": (5, "'5furlongs' is no distance"),
    "a-(b)": (3 - 1, BESIDE),
    "near:nowhere": (5, "no town is called 'nowhere'; write coordinates: near:48.21,16.37,5km"),
    "a camrea:pixel": (2, r"there is no filter camrea:, did you mean camera: \(camera:pixel\)"),
    "tags:x": (0, r"did you mean tag: \(tag:holiday\)\? To search for these words, write text:\"tags:x\""),
    "before:2020": (0, "did you mean date:"),
    "a" * (LONGEST + 1): (LONGEST, "the query has 6,001 characters; it may have 6,000"),
    "(" * DEEPEST + "(a": (DEEPEST, "parentheses may lie at most 50 deep"),
}


@pytest.mark.parametrize("typed", MISTAKES, ids=lambda typed: typed[:40])
@pytest.mark.usefixtures("here")
def test_mistakes_are_pointed_at(typed: str) -> None:
    position, message = MISTAKES[typed]
    with pytest.raises(QuerySyntaxError, match=message) as caught:
        parse(typed)
    assert (caught.value.text, caught.value.position) == (typed, position)
    assert "\n" not in str(caught.value)
    assert f"(at character {position + 1}" in str(caught.value)


def test_the_table_is_long_enough() -> None:
    assert len(MEANINGS) + len(MISTAKES) >= 80


@pytest.mark.parametrize(
    ("typed", "path"),
    [("{}/y.jpg", "y.jpg"), ("~/h.jpg", "home/h.jpg"), ("-~/h.jpg", "home/h.jpg"), ('2*"{}/y.jpg"', "y.jpg")],
)
def test_files_elsewhere(here: Path, typed: str, path: str) -> None:
    (term,) = parse_query(typed.format(here)).terms
    assert Path(term.value) == here / path
    assert parse(written(Query(Sum((term,))))) == Sum((term,))


def test_folders_that_are_here_are_absolute(here: Path) -> None:
    for typed, folder in (
        ("in:sub", here / "here" / "sub"), ("in:~", here / "home"), ("in:~/x", here / "home" / "x"),
        ("in:.", here / "here"), ("in:../y", here / "y"), ("in:./z", here / "here" / "z"),
        ("in:z/../a", here / "here" / "a"),
    ):  # fmt: skip
        assert parse(typed) == keep("in", str(folder))


def test_today_and_yesterday() -> None:
    before = date.today()
    days = parse("date:yesterday..today")
    if date.today() == before:
        assert days == keep("date", Days(str(before - timedelta(days=1)), str(before + timedelta(days=1))))


# What is added beside the query


def test_terms_to_add_and_to_subtract() -> None:
    asked = parse_query("a", ["2:b"], ["c", ".5*(d - e)"])
    assert asked.root == plus(A, words("b", 2), words("c", -1), words("d", -0.5), words("e", 0.5))


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", plus(B)),
        ("tag:x", And((X, B))),
        ("tag:x tag:y", And((X, Y, B))),
        ("a tag:x", And((plus(A, B), X))),
        ("-tag:x a", And((Not(X), plus(A, B)))),
    ],
)
def test_terms_are_added_to_the_sum_of_a_query(query: str, expected: Node) -> None:
    assert parse_query(query, ["b"]).root == expected


@pytest.mark.parametrize("query", ["a or c", "a and c", "not a", "not a tag:x", "(a or tag:x) tag:y"])
def test_nothing_can_be_added_to_sets(query: str) -> None:
    with pytest.raises(QueryError, match=SETS):
        parse_query(query, ["b"])


def test_examples_beside_a_query_are_added_as_by_rocchio() -> None:
    asked = parse_query("a", ["2*b"], like=["c", "d"], unlike=["e"])
    assert asked.root == plus(A, words("b", 2), words("c", 0.375), words("d", 0.375), words("e", -0.15))
    within = parse_query("tag:x a", like=["2*c"])
    assert within.root == And((X, plus(A, words("c", 1.5))))


def test_examples_alone_are_a_direction() -> None:
    asked = parse_query(like=["a", "b"], unlike=["c"])
    assert asked.root == plus(words("a", 0.5), words("b", 0.5), words("c", -1))
    assert parse_query("tag:x", like=["a"]).root == And((X, A))


def test_there_can_be_too_many_examples() -> None:
    assert len(parse_query("a", unlike=["b"] * MOST_EXAMPLES).terms) == 1 + MOST_EXAMPLES
    with pytest.raises(QueryError, match="there are 101 examples; give at most 100 of a sort"):
        parse_query("a", unlike=["b"] * (MOST_EXAMPLES + 1))


@pytest.mark.parametrize("how", ["plus", "minus", "like", "unlike"])
@pytest.mark.parametrize("typed", ["tag:x", "a or b", "a tag:x"])
def test_only_sums_can_be_added(how: str, typed: str) -> None:
    with pytest.raises(QuerySyntaxError, match="only words and files can be added; put sets and filters into"):
        parse_query("a", **{how: [typed]})  # type: ignore[arg-type]


@pytest.mark.parametrize("asked", [{"query": ""}, {"query": " \n"}, {"query": "", "like": []}])
def test_something_must_be_asked(asked: dict[str, Any]) -> None:
    with pytest.raises(QueryError, match="the query is empty; say what to look for"):
        parse_query(**asked)
    with pytest.raises(QueryError, match="a term is empty"):
        parse_query("a", plus=[" "])


# Any question can be written down

anything = st.text(max_size=12)
ascii_words = st.text("ab-+'\"\\ ().:*#é", min_size=1, max_size=8)
texts = (anything | ascii_words).map(lambda text: " ".join(text.split())).filter(bool)
weights = st.floats(0.001, 1000) | st.floats(-1000, -0.001) | st.sampled_from([1.0, -1.0, 2.0])
terms = st.one_of(
    st.builds(Term, st.just(Modality.TEXT), texts, weights),
    st.builds(Term, st.just(Modality.TEXT), texts, weights, st.just(Stored.TAG)),
    st.builds(Term, st.just(Modality.IMAGE), st.integers(0, 10**17).map(str), weights, st.just(Stored.CONTENT)),
)
all_sums = st.builds(Sum, st.lists(terms, min_size=1, max_size=3).map(tuple))
numbers = st.floats(-1e12, 1e12) | st.integers(-5, 5000).map(float)
days = st.dates(date(1, 1, 1), date(9998, 12, 30))


@st.composite
def ranges(draw: st.DrawFn) -> Range:
    low, high = sorted(draw(st.tuples(numbers, numbers)))
    match draw(st.sampled_from(["both", "low", "high"])):
        case "low":
            return Range(low, None, draw(st.booleans()))
        case "high":
            return Range(None, high, False, draw(st.booleans()))
    return Range(low, high, draw(st.booleans()), draw(st.booleans()))


@st.composite
def spans(draw: st.DrawFn) -> Days:
    start, end = sorted(draw(st.tuples(days, days)))
    end += timedelta(days=1)
    kind = draw(st.sampled_from(["both", "start", "end", "month", "year"]))
    if kind in ("month", "year") and start.year <= 9997:
        first = start.replace(month=1, day=1) if kind == "year" else start.replace(day=1)
        after = first.replace(year=first.year + 1) if kind == "year" else (first + timedelta(days=31)).replace(day=1)
        return Days(str(first), str(after))
    return Days(None if kind == "end" else str(start), None if kind == "start" else str(end))


RANGED = (Field.RATING, Field.SIZE, Field.BYTES, Field.WIDTH, Field.HEIGHT)
WORDED = (Field.TAG, Field.CAMERA, Field.LENS, Field.PLACE, Field.NAME)
all_filters = st.one_of(
    st.builds(Filter, st.sampled_from(RANGED), ranges()),
    st.builds(Filter, st.sampled_from(WORDED), texts),
    st.builds(Filter, st.just(Field.KIND), st.sampled_from([kind.value for kind in Kind])),
    st.builds(Filter, st.just(Field.HAS), st.sampled_from([has.value for has in Has])),
    st.builds(Filter, st.just(Field.SHAPE), st.sampled_from([shape.value for shape in Shape])),
    st.builds(Filter, st.just(Field.DATE), spans()),
    st.builds(Filter, st.just(Field.IN), st.sampled_from(["/a/b", "2023", "a b/c", '/x"y', "#1/(2)"])),
    st.builds(
        Filter,
        st.just(Field.NEAR),
        st.builds(Near, st.floats(-90, 90), st.floats(-180, 180), st.floats(1e-6, 30000)),
    ),
)
nodes: st.SearchStrategy[Node] = st.recursive(
    all_sums | all_filters,
    lambda inner: st.one_of(
        st.lists(inner, min_size=2, max_size=3).map(all_of),
        st.lists(inner, min_size=2, max_size=3).map(any_of),
        inner.map(negated),
    ),
    max_leaves=8,
)


@settings(deadline=None, max_examples=300)
@given(nodes)
def test_a_question_that_is_written_down_is_read_back(node: Node) -> None:
    assert parse(written(Query(node))) == node


FRAGMENTS = st.sampled_from(
    [
        "a", "b c", " ", " + ", " - ", "-", "+", "2*", ".5:", "(", ")", " and ", " or ", "not ", " NOT ", "tag:x",
        '"', "'", "\\", "#t", "id:3", "x.jpg", "./", "text:", "date:2023", "..", "near:1,2", ">=", "size:5",
        "MB", ",", "don't", "é", "\n", "\0", "*", ":", "in:a/b", "kind:", "rating:>3",
    ]
)  # fmt: skip
typed = st.lists(FRAGMENTS, max_size=14).map("".join) | st.text(max_size=30)


@settings(deadline=None, max_examples=600)
@given(typed)
def test_whatever_is_typed_is_a_question_or_a_clear_error(text: str) -> None:
    try:
        asked = parse_query(text, towns=towns)
    except QueryError as error:
        assert "\n" not in str(error) or "\n" in text
        if isinstance(error, QuerySyntaxError):
            assert 0 <= error.position <= len(text)
            assert error.text == text
            assert all(line.isprintable() for line in pointed(error)[1:])
        return
    assert parse_query(written(asked), towns=towns) == asked


@settings(deadline=None, max_examples=300)
@given(st.text("ab 1.,-'+é\n?!", max_size=20) | st.text(max_size=20))
def test_words_without_any_sign_mean_the_same_to_the_parser(text: str) -> None:
    if not text.strip() or syntax.SPECIAL.search(text):
        return
    try:
        meant = parse(text)
    except QueryError as error:
        with pytest.raises(QueryError, match=f"^{re.escape(str(error))}$"):
            grammar._Reader(text, towns).read()
    else:
        assert grammar._Reader(text, towns).read() == meant


UNITS = (
    "(", ")", "(a", "a - ", "not ", "'a ", '"a ', "'a' ", "'", '"', "tag:a ", "-a ", "a or ", "a and ", "1*",
    "\\", "'\\", "text:", "2", "2 ", "2*", "+", "+ ", "..", "/ ", "a/ ", "a.jpg ", "near:1", "near:1,1", "size:1",
    '#"', "date:.", "size:.", "(a) ", "(a or b) ", "tag:'a ", "\n", "é", "🐈 ",
)  # fmt: skip


@pytest.mark.parametrize("unit", UNITS)
def test_no_question_takes_long(unit: str) -> None:
    parse("a - b")
    started = time.process_time()
    for length in (LONGEST, 100_000):
        with contextlib.suppress(QueryError):
            parse((unit * length)[:length])
    assert time.process_time() - started < 2


def test_words_without_any_sign_do_without_the_parser() -> None:
    code = (
        "import sys; from search.grammar import parse_query; parse_query('a red car, again');"
        "print('lark' in sys.modules); parse_query('a - b'); print('lark' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.split() == ["False", "True"]


# The page


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder with the files that the page speaks of."""
    for name in ("beach.jpg", "photo.jpg", "cat.jpg", "my cat.jpg"):
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(grammar, "file_term", lambda path: Term(Modality.IMAGE, str(path)))
    monkeypatch.setattr("search.runs.file_term", lambda path: Term(Modality.IMAGE, str(path)))
    (tmp_path / "waves.ogg").touch()


PAGE = (ROOT / "docs" / "query.md").read_text(encoding="utf-8")
SPANS = [
    span
    for row in re.findall(r"^\| (`.*?) \| ", PAGE, re.MULTILINE)
    for span in re.findall(r"``.+?``|`([^`]+)`", row)
    if span
]
COMMANDS = re.findall(r"^glimpse search (.*)$", PAGE, re.MULTILINE)


@pytest.mark.parametrize("query", SPANS)
@pytest.mark.usefixtures("files")
def test_the_examples_of_the_page_can_be_asked(query: str) -> None:
    assert parse(query)


def test_what_the_page_says_of_them() -> None:
    assert parse("red car or blue bike + snow tag:holiday") == parse(
        "(red car) or ((blue bike + snow) and tag:holiday)"
    )
    assert {field for field in Field if f"`{field}:" in PAGE} == set(Field) == set(EXAMPLES)
    for kind in (Kind, Has, Shape):
        assert all(f":{value}`" in PAGE for value in kind)
    assert f"{LONGEST:,} characters, and parentheses {DEEPEST} deep" in PAGE


@pytest.mark.parametrize("line", COMMANDS)
@pytest.mark.usefixtures("files")
def test_the_commands_of_the_page_can_be_asked(line: str) -> None:
    with search.make_context("search", shlex.split(line)) as context:
        given_ = context.params
        asked = parse_query(
            joined(given_["words"]), given_["plus"], given_["minus"], given_["like"], given_["unlike"]
        )
    assert sums(asked.root)


def test_the_mistake_of_the_page_is_shown_so(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(QuerySyntaxError) as caught:
        parse("dog + (cat")
    assert "\n".join([f"glimpse: {pointed(caught.value)[0]}", *pointed(caught.value)[1:]]) in PAGE


# The command line


@pytest.mark.parametrize(
    ("arguments", "words_", "more"),
    [
        ("cat + dog", ["cat", "+", "dog"], {}),
        ("apple - fruit", ["apple", "-", "fruit"], {}),
        ("dog -tag:indoor -k 3", ["dog", "-tag:indoor"], {"count": 3}),
        ("-k3 dog -2*cat -t 5", ["dog", "-2*cat"], {"count": 5}),
        ("dog -kind:photo -fluffy --paths", ["dog", "-kind:photo", "-fluffy"], {"paths": True}),
        ("dog -f0", ["dog"], {"paths": True, "null": True}),
        ("at -5 degrees", ["at", "-5", "degrees"], {}),
        ("a -5", ["a", "-5"], {}),
        ("-- -x --json", ["-x", "--json"], {"json_": False}),
        ("a --add b --plus c -a -d", ["a"], {"plus": ("b", "c", "-d")}),
        ("a --sub b --subtract c --minus d -s e f", ["a", "f"], {"minus": ("b", "c", "d", "e")}),
        ("--like a b --unlike c d e -k 2", [], {"like": ("a", "b"), "unlike": ("c", "d", "e"), "count": 2}),
        ("q --like a --like=b c -tag:x", ["q", "-tag:x"], {"like": ("a", "b", "c")}),
        ("--like a -- q", ["q"], {"like": ("a",)}),
        ("--kind=photo q --rule slerp --sort date", ["q"], {"kind": "photo", "rule": "slerp", "sort": "date"}),
        ("q --all --collapse --diverse --explain", ["q"], {"all_": True, "collapse": True, "explain": True}),
    ],
)
def test_options_and_words(arguments: str, words_: list[str], more: dict[str, Any]) -> None:
    with search.make_context("search", arguments.split()) as context:
        assert context.params["words"] == tuple(words_)
        assert {name: context.params[name] for name in more} == more


@pytest.mark.parametrize(
    "arguments", ["--nonsense q", "-x q", "--like", "q --like -k 2", "q -k", "q --plus", "-k0 q", "--rule x q"]
)
def test_slips_of_the_pen_are_told(arguments: str) -> None:
    with pytest.raises(click.UsageError):
        search.make_context("search", arguments.split())


def test_apart_keeps_every_argument() -> None:
    options, words_ = apart(["a", "-k", "3", "-", "--like", "b", "c", "+"], search.params)
    assert (options, words_) == (["-k", "3", "--like", "b", "--like", "c"], ["a", "-", "+"])


@pytest.mark.parametrize(
    ("arguments", "question"),
    [
        (["a cat"], "a cat"),
        (["red car", "+", "x.jpg"], "red car + x.jpg"),
        (["a b.jpg", "-", "day"], '"a b.jpg" - day'),
        (["2:a b.jpg", "-", "day"], '2:"a b.jpg" - day'),
        (["-2*a b.jpg", "day"], '-2*"a b.jpg" day'),
        (["a b.jpg"], "a b.jpg"),
        (["IMG (1) - b.jpg", "+", "a"], '"IMG (1) - b.jpg" + a'),
        (["no b.jpg", "+", "a"], "no b.jpg + a"),
        ([], ""),
    ],
)
@pytest.mark.usefixtures("here")
def test_arguments_are_joined(arguments: list[str], question: str) -> None:
    assert joined(arguments) == question


def test_rules_and_orders_are_those_of_the_query() -> None:
    assert (tuple(Rule), tuple(Order)) == (RULES, ORDERS)
    assert isinstance(search, Asking)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[int, list[dict[str, Any]]]]:
    """Run `glimpse search` with a search that only notes what it was asked."""
    from glimpse.api import Library
    from search.answer import Answer

    calls: list[dict[str, Any]] = []

    def noting(self: Library, query: str, k: int, **more: Any) -> Answer:
        parse_query(query, *(more.get(name, ()) for name in ("plus", "minus", "like", "unlike")))
        calls.append({"query": query, "k": k, **more})
        return Answer(())

    monkeypatch.setattr(Library, "ask", noting)

    def run(*arguments: str) -> tuple[int, list[dict[str, Any]]]:
        monkeypatch.setattr(sys, "argv", ["glimpse", "search", *arguments])
        calls.clear()
        return glimpse.cli.run(), calls

    return run


def test_the_library_is_asked_what_was_asked(asked: Callable[..., tuple[int, list[dict[str, Any]]]]) -> None:
    assert asked("cat", "+", "dog", "-tag:indoor") == (1, [{"query": "cat + dog -tag:indoor", "k": 10}])
    assert asked("--like", "a", "b", "--all", "--sort", "date") == (
        1,
        [{"query": "", "k": 10, "like": ("a", "b"), "cut": False, "sort": "date"}],
    )
    assert asked("a", "--exact", "--kind", "photo", "--in", "x", "--rule", "basic", "-s", "b") == (
        1,
        [
            {
                "query": "a", "k": 10, "exact": True, "kind": "photo", "within": Path("x"), "rule": "basic",
                "minus": ("b",),
            }
        ],
    )  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "shown"),
    [
        (["dog", "+", "(cat"], ["glimpse: this parenthesis is never closed", "  dog + (cat", "        ^"]),
        (["(cat"], ["glimpse: this parenthesis is never closed"]),
        (["日本 + (a"], ["glimpse: this parenthesis is never closed", "  日本 + (a", "         ^"]),
        (["\x1b[2J\n (a"], ["glimpse: this parenthesis is never closed", r"  \x1b[2J\n (a", "            ^"]),
        (
            ["dog " * 50 + "(cat " + "eel " * 50],
            [
                "glimpse: this parenthesis is never closed",
                f"  ...{'dog ' * 10}(cat {'eel ' * 6}e...",
                f"  {' ' * 43}^",
            ],
        ),
        (
            ["a", "--minus", "b )"],
            ["glimpse: nothing was opened that this parenthesis could close", "  b )", "    ^"],
        ),
        ([], ["glimpse: the query is empty; say what to look for, for example: glimpse search 'a cat'"]),
    ],
)
def test_a_mistake_is_shown_under_the_question(
    asked: Callable[..., tuple[int, list[dict[str, Any]]]],
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    shown: list[str],
) -> None:
    assert asked(*arguments) == (2, [])
    assert capsys.readouterr().err.splitlines() == shown


def test_every_kind_of_node_can_be_written() -> None:
    assert set(get_args(Node)) == {Sum, Filter, And, Or, Not}
