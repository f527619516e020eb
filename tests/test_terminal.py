"""Pictures in the terminal: what each kind of terminal is sent, and what it is never asked."""

import base64
import fcntl
import io
import os
import pty
import re
import shutil
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from tests.conftest import COLOURS, paint, run

QUESTION = b"\x1b[16t\x1b[>q\x1b[c"
NO_SIXEL = b"\x1b[?62;22c"
SIXEL = b"\x1b[6;20;10t\x1b[?62;4;22c"
KITTY = {"TERM": "xterm-kitty"}
XTERM = {"TERM": "xterm-256color", "COLORTERM": "truecolor"}
NOTE = "no pictures: --preview draws in a terminal, and not with --json, --paths or -0\n"
CSI = re.compile(r"\x1b\[[\d;?>]*[A-Za-z]|\x1b[78]")


@dataclass(frozen=True)
class Seen:
    """What came onto the terminal, and into the pipe of stderr."""

    screen: str
    stderr: str
    code: int
    seconds: float


def in_terminal(
    *arguments: str | Path,
    environ: dict[str, str],
    answer: bytes = b"",
    width: int = 80,
    cell: tuple[int, int] = (0, 0),
) -> Seen:
    """Run the command line in a terminal that answers once it is asked for its attributes.

    cell: (width, height) in px, as the kernel knows it; (0, 0) for a terminal that has not told it.
    """
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, width, cell[0] * width, cell[1] * 50))
    terminals = ("TERM", "COLORTERM", "NO_COLOR", "TMUX", "STY", "SSH_TTY", "SSH_CONNECTION", "COLUMNS")
    kept = {name: value for name, value in os.environ.items() if name not in terminals}
    began = time.monotonic()
    with subprocess.Popen(
        [sys.executable, "-c", _IN_FRONT, *arguments],
        stdin=theirs, stdout=theirs, stderr=subprocess.PIPE, env={**kept, **environ}, start_new_session=True,
    ) as child:  # fmt: skip
        os.close(theirs)
        screen = b""
        for part in read_all(ours):
            screen += part
            if QUESTION in screen:
                os.write(ours, answer)
                answer = b""
        os.close(ours)
        assert child.stderr is not None
        stderr = child.stderr.read().decode()
    return Seen(screen.decode("utf-8", "surrogateescape"), stderr, child.returncode, time.monotonic() - began)


_IN_FRONT = """
import fcntl, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)  # the terminal that /dev/tty stands for
from glimpse.cli import main
main()
"""


def read_all(descriptor: int) -> Iterator[bytes]:
    while True:
        try:
            part = os.read(descriptor, 1 << 16)
        except OSError:  # how Linux ends a terminal
            return
        if not part:
            return
        yield part


@pytest.fixture(scope="module")
def standing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with photos/ (the four colours) and library/."""
    place = tmp_path_factory.mktemp("standing")
    (place / "photos").mkdir()
    for name, colour in COLOURS.items():
        paint(place / "photos" / f"{name}.png", colour)
    assert run("index", place / "photos", "--library", place / "library", "--model", "fake").returncode == 0
    return place


@pytest.fixture
def indexed(standing: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the four colours; GLIMPSE_LIBRARY names their library."""
    monkeypatch.setenv("GLIMPSE_LIBRARY", str(standing / "library"))
    return standing / "photos"


def kitty_pictures(screen: str) -> dict[int, Image.Image]:
    """Return the pictures that Kitty was sent, by their numbers."""
    data: dict[int, str] = {}
    for number, _, part in re.findall(r"\x1b_Gi=(\d+),m=([01]),f=100,q=2;([^\x1b]*)\x1b\\", screen):
        data[int(number)] = data.get(int(number), "") + part
    return {number: Image.open(io.BytesIO(base64.b64decode(text, validate=True))) for number, text in data.items()}


def sixel_pictures(screen: str) -> list[npt.NDArray[np.int64]]:
    """Return the pictures in sixels, shape (height, width, 3), 0..100; -1 where nothing was painted."""
    pictures = []
    for width, height, data in re.findall(r'\x1bP[\d;]*q"1;1;(\d+);(\d+)([^\x1b]*)\x1b\\', screen):
        canvas = np.full((int(height) + 6, int(width), 3), -1)
        palette: dict[str, list[int]] = {}
        x = y = 0
        for colour, rgb, times, sixel, move in re.findall(r"#(\d+)((?:;\d+){4})?|(?:!(\d+))?([?-~])|([$-])", data):
            if rgb:
                palette[colour] = [int(value) for value in rgb.split(";")[2:]]
            if colour:
                pen = palette[colour]
            if sixel:
                after = x + int(times or 1)
                for row in range(6):
                    if (ord(sixel) - 63) >> row & 1:
                        canvas[y + row, x:after] = pen
                x = after
            if move:
                x, y = 0, y + (6 if move == "-" else 0)
        pictures.append(canvas[: int(height)])
    return pictures


def blocks(screen: str) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
    """Return the colours of every half block: above, below."""
    cells = re.findall(r"\x1b\[38;2;(\d+);(\d+);(\d+);48;2;(\d+);(\d+);(\d+)m▀", screen)
    return [(tuple(map(int, cell[:3])), tuple(map(int, cell[3:]))) for cell in cells]


def near(one: object, other: object, tolerance: int = 6) -> bool:
    return bool(np.abs(np.asarray(one, dtype=int) - np.asarray(other, dtype=int)).max() <= tolerance)


def test_kitty_is_sent_the_photos_and_told_which_cells_they_fill(indexed: Path) -> None:
    seen = in_terminal("search", "red", "--preview", "-k", "2", environ=KITTY, cell=(10, 20))
    assert (seen.code, seen.stderr) == (0, "")
    pictures = kitty_pictures(seen.screen)
    red, white = pictures.values()
    assert near(red.convert("RGB").getpixel((9, 9)), COLOURS["red"])
    assert near(white.convert("RGB").getpixel((9, 9)), COLOURS["white"])
    assert red.size == (250, 180)  # 25 columns and, of a photo of 4:3, nine rows
    placed = re.findall(r"\x1b_Ga=p,i=(\d+),c=(\d+),r=(\d+),U=1,q=2\x1b\\", seen.screen)
    assert placed == [(str(number), "25", "9") for number in pictures]
    assert seen.screen.count("\U0010eeee") == 2 * 25 * 9
    for number in pictures:  # whose cell it is, is said by its colour
        assert f"\x1b[38;2;{number >> 16 & 255};{number >> 8 & 255};{number & 255}m\U0010eeee" in seen.screen


def test_sixel_paints_every_pixel(indexed: Path) -> None:
    seen = in_terminal("search", "red", "--preview", "-k", "2", environ=XTERM, answer=SIXEL)
    assert (seen.code, seen.stderr) == (0, "")
    red, white = sixel_pictures(seen.screen)
    assert red.shape == (180, 250, 3)
    assert near(red, np.broadcast_to((100, 0, 0), red.shape), 2)
    assert near(white, np.broadcast_to((100, 100, 100), white.shape), 2)


def test_blocks_elsewhere(indexed: Path) -> None:
    seen = in_terminal("search", "red", "--preview", "-k", "2", environ=XTERM, answer=NO_SIXEL)
    assert (seen.code, seen.stderr) == (0, "")
    cells = blocks(seen.screen)
    assert len(cells) == 2 * 25 * 9
    assert sum(near(cell, (COLOURS["red"],) * 2) for cell in cells) == 25 * 9
    assert sum(near(cell, (COLOURS["white"],) * 2) for cell in cells) == 25 * 9


def test_blocks_of_256_colours_where_no_more_are_promised(indexed: Path) -> None:
    seen = in_terminal("search", "red", "--preview", "-k", "1", environ={"TERM": "xterm"}, answer=NO_SIXEL)
    assert seen.screen.count("\x1b[38;5;196;48;5;196m▀") == 25 * 9


def test_shades_where_colours_are_not_wanted(indexed: Path) -> None:
    seen = in_terminal("search", "white", "--preview", "-k", "1", environ={**XTERM, "NO_COLOR": "1"}, answer=NO_SIXEL)
    assert seen.screen.count("█") == 25 * 9
    assert not re.search(r"\x1b\[[\d;]*[34]8;", seen.screen)


@pytest.mark.parametrize(
    ("environ", "drawn"),
    [
        ({**XTERM, "TMUX": "/tmp/tmux-0/default,1,0"}, "▀"),
        ({**KITTY, "STY": "1.pts-0", "COLORTERM": "truecolor"}, "▀"),
        ({**XTERM, "TERM": "screen-256color"}, "▀"),
        ({**XTERM, "SSH_TTY": "/dev/pts/1"}, "▀"),
        ({**KITTY, "SSH_CONNECTION": "10.0.0.1 1 10.0.0.2 22"}, "\U0010eeee"),
        ({"TERM": "foot", "SSH_TTY": "/dev/pts/1"}, '\x1bP0;0;0q"1;1;'),
        ({"TERM": "linux"}, "▀"),
    ],
)
def test_multiplexers_and_networks_are_not_asked(indexed: Path, environ: dict[str, str], drawn: str) -> None:
    seen = in_terminal("search", "red", "--preview", "-k", "1", environ=environ)
    assert drawn in seen.screen
    assert not re.search(r"\x1b\[[>?\d]*[tqc]", seen.screen)
    assert (seen.code, seen.stderr) == (0, "")


@pytest.mark.parametrize(
    ("version", "drawn"),
    [
        ("kitty(0.26.5)", "▀"),
        ("kitty(0.28.0)", "\U0010eeee"),
        ("kitty(1.0.0)", "\U0010eeee"),
        ("ghostty 1.2", "\U0010eeee"),
    ],
)
def test_a_kitty_from_before_placeholders_gets_blocks(indexed: Path, version: str, drawn: str) -> None:
    answer = f"\x1bP>|{version}\x1b\\\x1b[?62;c".encode()
    assert drawn in in_terminal("search", "red", "--preview", "-k", "1", environ=KITTY, answer=answer).screen


def test_a_terminal_that_never_answers_holds_nobody_up(indexed: Path) -> None:
    seen = in_terminal("search", "red", "--preview", "-k", "1", environ=XTERM)
    assert len(blocks(seen.screen)) == 25 * 9
    assert seen.seconds < 20  # a process that starts, and half a second


@pytest.mark.parametrize("options", [["--json"], ["--paths"], ["-0"]])
def test_forms_for_programs_stay_as_they_are(indexed: Path, options: list[str]) -> None:
    seen = in_terminal("search", "red", "--preview", *options, environ=KITTY)
    assert "\x1b" not in seen.screen
    assert f"{indexed}/red.png" in seen.screen
    assert seen.stderr == NOTE


def test_a_pipe_gets_ordinary_lines(indexed: Path) -> None:
    plain, asked = run("search", "red"), run("search", "red", "--preview")
    assert asked.stdout == plain.stdout
    assert asked.stderr.decode() == NOTE


def test_a_dumb_terminal_gets_ordinary_lines(indexed: Path) -> None:
    seen = in_terminal("search", "red", "--preview", "-k", "1", environ={"TERM": "dumb"})
    assert seen.screen == f" 1.000  {indexed}/red.png  (by its words)\r\n"
    assert seen.stderr == NOTE


@pytest.mark.parametrize(("width", "across"), [(30, 1), (80, 3), (110, 4)])
def test_as_many_stand_side_by_side_as_fit(indexed: Path, width: int, across: int) -> None:
    seen = in_terminal("search", "red", "--preview", environ={**XTERM, "TMUX": "1"}, width=width)
    lines = CSI.sub("", seen.screen).split("\r\n")
    captions = [line for line in lines if ".png" in line]
    assert captions[0].split()[:2] == ["1.000", "red.png"]
    assert [line.count(".png") for line in captions] == [across] * (4 // across) + [4 % across] * (4 % across > 0)
    assert max(map(len, lines)) <= width
    assert not any(line.strip() for line in lines[-2:])  # what comes next does not touch the last caption


def test_a_photo_that_vanished_is_a_line(tmp_path: Path, photos: Path) -> None:
    library = tmp_path / "library"
    assert run("index", photos, "--library", library, "--model", "fake").returncode == 0
    (photos / "red.png").unlink()
    shutil.rmtree(library / "previews")
    seen = in_terminal("search", "red", "--preview", "-k", "2", "--library", library, environ={**XTERM, "TMUX": "1"})
    assert (seen.code, seen.stderr) == (0, "")
    assert "no picture: no such" in CSI.sub("", seen.screen)
    assert "red.png" in seen.screen
    assert len(blocks(seen.screen)) == 25 * 9  # the other one


@pytest.mark.parametrize(
    ("environ", "size"),
    [(KITTY, (1500, 20)), ({"TERM": "foot", "SSH_TTY": "1"}, (20, 1500)), ({**XTERM, "TMUX": "1"}, (1500, 20))],
)
def test_a_strip_is_a_line(tmp_path: Path, environ: dict[str, str], size: tuple[int, int]) -> None:
    library = tmp_path / "library"
    paint(tmp_path / "strip.png", COLOURS["red"], size)
    assert run("index", tmp_path / "strip.png", "--library", library, "--model", "fake").returncode == 0
    seen = in_terminal("search", "red", "--preview", "--library", library, environ=environ)
    assert (seen.code, seen.stderr) == (0, "")
    assert "no picture: too narrow" in CSI.sub("", seen.screen)


def test_names_cannot_play_with_the_terminal(tmp_path: Path) -> None:
    folder, library = tmp_path / "photos", tmp_path / "library"
    folder.mkdir()
    paint(os.fsencode(folder) + b"/a\x1b[31m\nb\xff.png", (255, 0, 0))
    paint(folder / "white.png", COLOURS["white"])
    assert run("index", folder, "--library", library, "--model", "fake").returncode == 0
    inside = {**XTERM, "TMUX": "1"}
    seen = in_terminal("similar", folder / "white.png", "--preview", "--library", library, environ=inside)
    assert (seen.code, seen.stderr) == (0, "")
    assert "a\\x1b[31m\\nb\\xff.png" in seen.screen
    assert "\x1b[31m" not in seen.screen
