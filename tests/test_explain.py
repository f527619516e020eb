"""Looking inside what learned to hear: which moments a unit is shown with, what they share, and the page."""

import os
import re
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import GlimpseError, MediaError
from core.types import Span
from glimpse import explain
from glimpse.render import plain
from glimpse.units import Moment, NamesOf, Recording, Shared, Unit, select, shared_tags
from tests.test_escaping import POLICY, Structure, assert_printable

TAGS = {0: ("dog", "sound"), 1: ("rain", "sound"), 2: ("bell", "sound")}


def names(vectors: np.ndarray) -> list[tuple[str, ...]]:
    """Name a vector by its first number."""
    return [TAGS[int(row[0])] for row in vectors]


def recording(name: str, *steps: tuple[float, ...], tags: list[int] | None = None, step: float = 1.0) -> Recording:
    """Return a recording: what the units do in each step, and which of TAGS is heard."""
    vectors = np.array([[tag] for tag in tags or [0] * len(steps)], np.float32).reshape(-1, 1)
    values = np.array(steps, np.float32).reshape(len(steps), len(steps[0]) if steps else 1)
    return Recording(Path("/", name), np.arange(len(steps)) * step, step, values, vectors)


def peak(at: int, length: int, height: float = 1.0) -> list[tuple[float, ...]]:
    """Return the steps of one unit that does something once."""
    return [(height if i == at else 0.0,) for i in range(length)]


# --- which units, and which recordings


def test_units_are_ordered_by_how_far_their_best_moments_rise_above_the_rest() -> None:
    """Unit 0 tells one half from the other; unit 1 always does the same; unit 2 is about one recording of four.

    Two moments of each count. Unit 0: peaks 1 1 0 0, mean .5, deviation .5: (1 - .5) / .5 = 1. Unit 2: 4 0 0 0,
    mean 1, deviation 3^.5: (2 - 1) / 3^.5 = .577.
    """
    rows = [(1.0, 5.0, 4.0), (1.0, 5.0, 0.0), (0.0, 5.0, 0.0), (0.0, 5.0, 0.0)]
    units = select([recording(f"{i}", row) for i, row in enumerate(rows)], names)
    assert [unit.number for unit in units] == [0, 2, 1]
    assert [unit.strength for unit in units] == pytest.approx([1.0, 3**-0.5, 0.0])
    assert [[moment.path.name for moment in unit.moments] for unit in units] == [["0", "1"], ["0"], []]


def test_a_recording_is_shown_once_where_it_is_strongest_the_strongest_first() -> None:
    units = select(
        [
            recording("a", (3.0,), (9.0,), (8.0,)),
            recording("b", (2.0,), (0.0,), (12.0,)),
            *(recording(f"{i}", (0.0,)) for i in range(4)),
        ],
        names,
    )
    assert [(moment.path.name, moment.activation) for moment in units[0].moments] == [("b", 12.0), ("a", 9.0)]


@pytest.mark.parametrize(
    ("recordings", "count", "expected"), [(40, 8, 8), (40, 3, 3), (10, 8, 5), (3, 8, 1), (2, 8, 1)]
)
def test_never_more_than_half_of_the_recordings(recordings: int, count: int, expected: int) -> None:
    """Of what half of all recordings do, the chosen moments are above the average."""
    some = [recording(f"{i}", (float(i < (recordings + 1) // 2),)) for i in range(recordings)]
    assert len(select(some, names, count)[0].moments) == expected


@pytest.mark.parametrize("some", [[], [recording("silent")], [recording("alone", (1.0,), (2.0,))]])
def test_where_there_is_nothing_to_compare_no_unit_has_moments(some: list[Recording]) -> None:
    assert not any(unit.moments for unit in select(some, names))


def test_recordings_without_sound_are_left_out() -> None:
    units = select([recording("silent"), recording("a", (1.0,)), recording("silence"), recording("b", (0.0,))], names)
    assert [moment.path.name for moment in units[0].moments] == ["a"]


def test_half_precision_is_taken_as_it_is() -> None:
    plain_ones = [recording(f"{i}", *peak(i, 9, 1000.0 + i)) for i in range(6)]
    halves = [Recording(r.path, r.times, r.step, r.values.astype(np.float16), r.vectors) for r in plain_ones]
    for one, other in zip(select(plain_ones, names), select(halves, names), strict=True):
        assert (one.number, one.strength, one.shared) == (other.number, pytest.approx(other.strength), other.shared)
        assert [m.span for m in one.moments] == [m.span for m in other.moments]


# --- the moment


@pytest.mark.parametrize(
    ("steps", "span", "shown"),
    [
        # at 30 of 60 s: the window that begins at 25, and at least two seconds
        (peak(30, 60), (29.5, 31.5), (25.0, 35.0)),
        (peak(0, 60), (0.0, 1.5), (0.0, 10.0)),
        (peak(59, 60), (58.5, 60.0), (50.0, 60.0)),
        (peak(56, 57), (55.5, 57.0), (50.0, 57.0)),
        (peak(2, 4), (1.5, 3.5), (0.0, 4.0)),
        # above half of the height it goes on: .6 does, .4 does not
        ([(0.0,), (0.4,), (0.6,), (1.0,), (0.6,), (0.5,), (0.4,), (1.0,)], (2.0, 6.0), (0.0, 8.0)),
        # all of it, but no more than is shown
        ([(1.0,)] * 60, (0.0, 10.0), (0.0, 10.0)),
    ],
)
def test_a_moment_is_where_the_unit_stays_above_half_of_its_height(
    steps: list[tuple[float, ...]], span: tuple[float, float], shown: tuple[float, float]
) -> None:
    units = select([recording("a", *steps), recording("b", (-1.0,))], names)
    (moment,) = units[0].moments
    assert (moment.span, moment.shown) == (Span(*span), Span(*shown))


def test_steps_may_be_as_long_as_windows_and_overlap() -> None:
    heard = Recording(
        Path("/a"), np.array([0.0, 5.0, 10.0]), 10.0, np.array([[0.0], [0.0], [1.0]]), np.zeros((3, 1), np.float32)
    )
    (moment,) = select([heard, recording("b", (0.0,))], names)[0].moments
    assert (moment.span, moment.shown) == (Span(10.0, 20.0), Span(10.0, 20.0))


def test_the_curve_covers_what_is_shown() -> None:
    values = np.arange(60.0)
    values[30] = 100
    (moment,) = select([recording("a", *((v,) for v in values)), recording("b", (0.0,))], names)[0].moments
    assert moment.times.tolist() == [25.5 + i for i in range(10)]
    assert moment.values.tolist() == values[25:35].tolist()


@given(
    values=st.lists(st.floats(-9, 9, width=32), min_size=1, max_size=80),
    step=st.sampled_from([0.01, 0.3, 1.0, 5.0, 10.0]),
)
def test_a_moment_holds_its_peak_and_lies_in_what_is_shown(values: list[float], step: float) -> None:
    some = [recording("a", *((v,) for v in values), step=step), recording("b", (-99.0,))]
    (moment,) = select(some, names)[0].moments
    top = int(np.argmax(values))
    middle, end = (top + 0.5) * step, len(values) * step
    span, shown = moment.span, moment.shown
    assert 0 <= shown.start <= span.start <= middle <= span.end <= shown.end <= end + 1e-9
    assert shown.end - shown.start <= 10 + 1e-9
    assert len(moment.times) == len(moment.values) >= 1
    assert moment.values.max() == moment.activation == pytest.approx(max(values))


# --- what moments share


@pytest.mark.parametrize(
    ("with_tag", "of", "usual", "shared"),
    [
        (8, 8, 0.4, True),  # .4^8 = .0007
        (8, 8, 0.5, False),  # .5^8 = .0039: eight heads in a row happen
        (8, 8, 0.99, False),  # most frequent, and no wonder
        (3, 8, 0.01, True),  # 56 * .01^3 and a little = .00005
        (3, 8, 0.05, False),  # .0058
        (2, 8, 0.0001, False),  # however rare, two of eight are too few
        (2, 2, 0.01, True),  # .0001
        (1, 1, 0.0001, False),  # nothing is shared by one
    ],
)
def test_a_tag_is_shared_if_chance_does_not_explain_it(with_tag: int, of: int, usual: float, shared: bool) -> None:
    moments = [("dog",)] * with_tag + [()] * (of - with_tag)
    expected = (Shared("dog", with_tag / of, usual),) if shared else ()
    assert shared_tags(moments, {"dog": usual}) == expected


def test_what_chance_explains_least_comes_first() -> None:
    usual = {"animal": 0.3, "dog": 0.02, "sound": 1.0, "puppy": 0.01}
    moments = [("animal", "dog", "sound", "puppy")] * 4 + [("animal", "dog", "sound")] * 4
    assert [shared.tag for shared in shared_tags(moments, usual)] == ["dog", "puppy", "animal"]


def test_what_is_usual_is_counted_over_recordings_alike_and_not_over_their_length() -> None:
    """In each of 10 recordings, one step of four is of dogs; 30 are of rain, all through, and much longer.

    With the one recording more that has everything: (10 / 4 + 1) / 41 of all sound is of dogs.
    """
    dogs = [recording(f"dog {i}", (0.0,), (1.0,), (0.0,), (0.0,), tags=[1, 0, 1, 1]) for i in range(10)]
    rain = [recording(f"rain {i}", *[(0.0,)] * 200, tags=[1] * 200) for i in range(30)]
    (unit,) = select([*dogs, *rain], names)
    assert [moment.tags for moment in unit.moments] == [("dog", "sound")] * 8
    assert unit.shared == (Shared("dog", 1.0, pytest.approx(3.5 / 41)),)


def test_units_that_answer_to_noise_seldom_get_a_word() -> None:
    """And those to which a thing was given get it."""
    rng = np.random.default_rng(0)
    weights = 1 / np.arange(1, 501) ** 0.8
    heard = [rng.choice(500, 5, replace=False, p=weights / weights.sum()) for _ in range(300)]
    values = rng.normal(size=(300, 10, 200)).astype(np.float32)
    for i, tags in enumerate(heard):
        values[i, 5, :5] += 9 * np.isin(np.arange(20, 25), tags)
    some = [
        Recording(Path(f"/{i}"), np.arange(10.0), 1.0, values[i], np.full((10, 1), i, np.float32)) for i in range(300)
    ]
    units = select(some, lambda rows: [[f"tag {tag}" for tag in heard[int(row[0])]] for row in rows])
    given = {unit.number: unit for unit in units if unit.number < 5}
    assert [unit.number for unit in units[:5]] == sorted(given, key=lambda n: -given[n].strength)
    assert all(given[n].shared[0].tag == f"tag {20 + n}" for n in range(5))
    assert sum(bool(unit.shared) for unit in units if unit.number >= 5) < 0.1 * 195


# --- the page


def moment(path: str = "/m/a.ogg", start: float = 2.0, tags: tuple[str, ...] = ("dog",)) -> Moment:
    times = np.arange(10) + 0.5
    shown = Span(0.0, 10.0)
    return Moment(Path(path), Span(start, start + 3), shown, 4.5, times, (times == start + 0.5) * 4.5, tags)


def webp(path: Path, shown: Span) -> bytes:
    return f"{path} {shown.start}".encode()


def test_the_page_shows_units_their_words_and_moments() -> None:
    units = [
        Unit(12, 3.25, (Shared("dog", 0.5, 0.04), Shared("puppy", 0.5, 0.001)), (moment(), moment("/m/b #1.mp4"))),
        Unit(3, 1.5, (), (moment(),)),
        Unit(7, 0.0),
    ]
    shown = explain.page(units, "What sound:x hears", webp)
    assert "<h1>What sound:x hears</h1>" in shown
    assert re.search(r'<a href="#unit-12"><b>12</b><span>dog, puppy</span><u style="width:100%">', shown)
    assert re.search(r'<a href="#unit-3"><b>3</b><span><span class="none">no word for it</span></span>', shown)
    assert "2 units, the most selective first; 1 of them can be put into words." in shown
    assert "answer to all recordings alike: unit 7." in shown
    assert "Dog in 1 of its 2 moments (of all sound: 4&nbsp;%); puppy in 1 of its 2" in shown
    assert "less than 1&nbsp;%" in shown
    assert "They rise 3.2 standard deviations above the average." in shown
    assert shown.count('src="file:///m/a.ogg#t=2.00,5.00"') == 2
    assert 'src="file:///m/b%20%231.mp4#t=2.00,5.00"' in shown
    assert "0:02-0:05" in shown
    assert 'style="left:20.0%;width:30.0%"' in shown
    assert "unit-7" not in shown


def test_a_picture_of_many_units_is_on_the_page_once_and_made_once() -> None:
    asked: list[tuple[Path, Span]] = []

    def picture(path: Path, shown: Span) -> bytes:
        asked.append((path, shown))
        return b"the same"

    units = [Unit(i, 1.0, (), (moment(), moment("/m/b.ogg"))) for i in range(20)]
    shown = explain.page(units, "x", picture)
    assert len(asked) == 2
    assert shown.count("data:image/webp;base64,") == 1
    assert shown.count('class="sound s0"') == 40


def test_a_curve_goes_from_edge_to_edge_on_the_scale_of_its_unit() -> None:
    """Ten steps of a second, the third one at the unit's greatest value: x in thousandths, y 92 (low) to 8 (high)."""
    shown = explain.page([Unit(0, 1.0, (), (moment(), moment(start=5.0)))], "x", webp)
    first, second = re.findall(r'points="([^"]*)"', shown)
    assert first == "0,92 50,92 150,92 250,8 350,92 450,92 550,92 650,92 750,92 850,92 950,92 1000,92"
    assert second.split()[6] == "550,8"


@pytest.mark.parametrize(("steps", "value"), [(1, 0.0), (1, 5.0), (99, 1.0), (100, 1.0), (5000, 1.0)])
def test_a_curve_has_few_points_and_keeps_its_peak(steps: int, value: float) -> None:
    values = np.zeros(steps)
    values[steps // 3] = value
    one = Moment(Path("/a"), Span(0, 10), Span(0, 10), value, (np.arange(steps) + 0.5) * 10 / steps, values)
    (points,) = re.findall(r'points="([^"]*)"', explain.page([Unit(0, 1.0, (), (one,))], "x", webp))
    xs, ys = zip(*(map(int, point.split(",")) for point in points.split()), strict=True)
    assert list(xs) == sorted(xs)
    assert (xs[0], xs[-1]) == (0, 1000)
    assert len(xs) <= 102
    assert set(ys) <= set(range(8, 93))
    assert steps == 1 or min(ys) == 8


@pytest.mark.parametrize(
    ("units", "reason"),
    [([], "there are no recordings"), ([Unit(0, 0.0)], "no unit answers to one recording more than to another")],
)
def test_nothing_to_show_is_said_in_a_sentence(units: list[Unit], reason: str) -> None:
    shown = explain.page(units, "x", webp)
    assert f"Nothing to show: {reason}." in shown
    assert "<details" not in shown


def test_what_has_no_picture_says_why_and_can_be_played() -> None:
    def none(path: Path, shown: Span) -> bytes:
        raise MediaError("it is <gone>")

    shown = explain.page([Unit(0, 1.0, (), (moment(),))], "x", none)
    assert '<div class="sound none">it is &lt;gone&gt;</div>' in shown
    assert "<audio" in shown


ANY = st.text(max_size=20) | st.sampled_from(['"><script>alert(1)</script>', "</style>", "&amp;", "\x1b[31m", "{x}"])


@given(title=ANY, name=st.binary(min_size=1, max_size=20), tag=ANY, reason=ANY, seen=st.booleans())
def test_whatever_is_on_the_page_is_text(title: str, name: bytes, tag: str, reason: str, seen: bool) -> None:
    def picture(path: Path, shown: Span) -> bytes:
        if not seen:
            raise MediaError(reason)
        return b"webp"

    path = os.fsdecode(b"/" + name)
    units = [Unit(1, 1.0, (Shared(tag, 1.0, 0.1),), (moment(path, tags=(tag,)), moment(path)))]
    shown = explain.page(units, title, picture)
    assert_printable(shown)
    found = Structure(shown)
    assert found.other == []
    count: dict[str, int] = defaultdict(int)
    for element, held in found.elements:
        count[element] += 1
        assert held.keys() <= {
            "lang", "charset", "name", "content", "http-equiv", "class", "id", "aria-label", "aria-hidden", "href",
            "style", "open", "title", "role", "viewbox", "preserveaspectratio", "points", "controls",
            "preload", "src",
        }  # fmt: skip
    assert (count["details"], count["figure"], count["audio"], count["polyline"], count["script"]) == (1, 2, 2, 2, 0)
    assert ("meta", {"http-equiv": "Content-Security-Policy", "content": POLICY}) in found.elements
    assert [held["title"] for element, held in found.elements if element == "figure"] == [plain(str(Path(path)))] * 2


def test_the_page_is_written_and_a_photo_never_overwritten(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    units = [Unit(0, 1.0, (), (moment(),))]
    explain.show_units(units, "x", webp, tmp_path / "units.html")
    assert (tmp_path / "units.html").read_text(encoding="utf-8") == explain.page(units, "x", webp)
    assert "units.html" in capsys.readouterr().err
    with pytest.raises(GlimpseError, match=r"must be called something\.html"):
        explain.show_units(units, "x", webp, tmp_path / "photo.jpg")


def test_512_units_fit_on_a_page() -> None:
    """With 6 KB a picture, as spectrograms are: 4,096 of them are some 34 MB."""
    units = [
        Unit(u, 1.0, (Shared("dog", 1.0, 0.1),) * 3, tuple(moment(f"/some/folder/{u}-{i}.mp3") for i in range(8)))
        for u in range(512)
    ]
    shown = explain.page(units, "x", lambda path, _: str(path).encode().ljust(6000))
    assert len(shown) < 42e6
    assert shown.count("<audio") == 4096


def test_names_are_asked_for_in_batches_of_rows_that_occur() -> None:
    sizes: list[int] = []

    def counting(rows: np.ndarray) -> list[tuple[str, ...]]:
        sizes.append(len(rows))
        return names(rows)

    ask: NamesOf = counting
    select([recording(f"{i}", *[(float(i),)] * 1000) for i in range(10)], ask)
    assert sizes == [1] * 5 + [4] * 10
