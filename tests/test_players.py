"""Recordings and films on the page, in the terminal and in results: when something happens, and how it is played."""

import re
from pathlib import Path

import pytest

from core.errors import MediaError
from core.types import Hit
from glimpse.players import moment_url, player
from glimpse.render import clock, hit_dict, hit_line
from glimpse.sheet import page
from glimpse.terminal import Drawing, _Easel


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0, "0:00"), (9.99, "0:09"), (42, "0:42"), (60, "1:00"), (3599.9, "59:59"), (3600, "1:00:00"), (3725, "1:02:05"),
     (86_400, "24:00:00")],
)  # fmt: skip
def test_a_clock_shows_hours_only_where_there_are_some(seconds: float, shown: str) -> None:
    assert clock(seconds) == shown


@pytest.mark.parametrize(
    ("hit", "line"),
    [
        (Hit(Path("/a.jpg"), 0.5, "photo", 1), " 0.500  /a.jpg"),
        (Hit(Path("/a.ogg"), 0.5, "audio", 1, start=42.0, end=52.0), " 0.500  /a.ogg  0:42-0:52"),
        (Hit(Path("/a.ogg"), 0.5, "audio", 1, start=0.0, end=0.3), " 0.500  /a.ogg  0:00-0:01"),
        (Hit(Path("/a.ogg"), 0.5, "audio", 1, start=0.0, end=10.0000001), " 0.500  /a.ogg  0:00-0:10"),
        (Hit(Path("/a.ogg"), 0.5, "audio", 1), " 0.500  /a.ogg"),
        (Hit(Path("/a.mp4"), 0.5, "video", 1, start=3725.9, end=3735.9), " 0.500  /a.mp4  1:02:05"),
        (
            Hit(Path("/a.mp4"), 0.5, "video", 1, (Path("/b.mp4"),), (Path("/a.srt"),), start=5.0, end=5.0),
            " 0.500  /a.mp4  0:05  (+1 more)  + a.srt",
        ),
    ],
)
def test_a_line_tells_when_it_happens(hit: Hit, line: str) -> None:
    assert hit_line(hit) == line


def test_programs_get_seconds_and_null_for_photos() -> None:
    times = [(row["start"], row["end"]) for row in map(hit_dict, (
        Hit(Path("/a.jpg"), 0.5, "photo", 1), Hit(Path("/a.ogg"), 0.5, "audio", 2, start=5.0, end=14.123456),
    ))]  # fmt: skip
    assert times == [(None, None), (5.0, 14.123)]


@pytest.mark.parametrize(
    ("path", "start", "end", "url"),
    [
        ("/a/b.ogg", None, None, "file:///a/b.ogg"),
        ("/a/b.ogg", 1.5, 11.5, "file:///a/b.ogg#t=1.50,11.50"),
        ("/a/b.mp4", 4.0, 4.0, "file:///a/b.mp4#t=4.00"),
        ("/a/b.mp4", 4.0, None, "file:///a/b.mp4#t=4.00"),
        ("/100%/a #1?&.ogg", 0.0, 2.0, "file:///100%25/a%20%231%3F%26.ogg#t=0.00,2.00"),
        ('/it\'s "so".ogg', None, None, "file:///it%27s%20%22so%22.ogg"),
        ("/<b>.ogg", None, None, "file:///%3Cb%3E.ogg"),
        ("/caf\udce9.ogg", None, None, "file:///caf%E9.ogg"),
        ("/caf\u00e9.ogg", None, None, "file:///caf%C3%A9.ogg"),
    ],
)
def test_a_url_names_any_file_and_its_moment(path: str, start: float | None, end: float | None, url: str) -> None:
    assert moment_url(Path(path), start, end) == url


def test_nothing_is_read_before_somebody_plays() -> None:
    for kind, element in (("audio", "audio"), ("video", "video")):
        shown = player(kind, "file:///a", "a", "data:,")
        assert shown.startswith(f'<{element} controls preload="none" ')
        assert "autoplay" not in shown
    assert 'poster="data:,"' in player("video", "file:///a", "a", "data:,")
    assert "poster" not in player("video", "file:///a", "a") + player("audio", "file:///a", "a", "data:,")


def test_each_kind_is_shown_in_its_own_way() -> None:
    shown = page([("frogs", [
        Hit(Path("/m/frog.jpg"), 0.9, "photo", 1),
        Hit(Path("/m/frog.ogg"), 0.8, "audio", 2, start=42.0, end=52.0),
        Hit(Path("/m/frog.mp4"), 0.7, "video", 3, start=5.0, end=15.0),
    ])], lambda hit: f"picture {hit.id}".encode())  # fmt: skip
    photo, sound, film = re.findall("<figure.*?</figure>", shown)
    assert "audio" not in photo
    assert "href" not in photo
    assert '<img alt="frog.ogg"' in sound
    assert '<audio controls preload="none" src="file:///m/frog.ogg#t=42.00,52.00"' in sound
    assert '<a href="file:///m/frog.ogg#t=42.00,52.00">frog.ogg</a> <i>0:42-0:52</i>' in sound
    assert '<video controls preload="none" poster="data:image/webp;base64,cGljdHVyZSAz"' in film
    assert "<img" not in film
    assert "<i>0:05</i>" in film
    assert "<script" not in shown


def test_what_has_no_picture_can_be_played_all_the_same() -> None:
    def none(hit: Hit) -> bytes:
        raise MediaError("no <picture>")

    hits = [Hit(Path("/a.ogg"), 0.5, "audio", 1, start=0.0, end=1.0), Hit(Path("/a.mp4"), 0.5, "video", 2)]
    shown = page([("x", hits)], none)
    assert shown.count("no &lt;picture&gt;") == 2
    assert 'src="file:///a.ogg#t=0.00,1.00"' in shown
    assert 'src="file:///a.mp4"' in shown
    assert "<i>" not in shown.partition("/a.mp4")[2]


def test_captions_in_the_terminal_tell_when() -> None:
    def none(hit: Hit) -> bytes:
        raise MediaError("gone")

    easel = _Easel(Drawing.SHADES, None, 80, none)
    shown = easel.row(
        [Hit(Path("/a.ogg"), 0.5, "audio", 1, start=42.0, end=52.0), Hit(Path("/b.jpg"), 0.4, "photo", 2)]
    )
    sound, photo = re.sub(r"\x1b\[[\d;]*m", "", shown).splitlines()[1].split("0.400")
    assert sound.split() == ["0.500", "a.ogg", "0:42-0:52"]
    assert photo.split() == ["b.jpg"]
