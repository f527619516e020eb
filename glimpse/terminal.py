"""Pictures in the terminal: real ones where it can draw (Kitty's protocol, sixel), blocks of colour elsewhere.

textual_image draws. It also asks the terminal what it can do as soon as it is imported, and writes past everybody
to `sys.__stdout__`; an answer that comes too late (ssh) would land on the user's next command line. So it is given a
page to write on instead, and what the terminal can do is found out here.
"""

import contextlib
import io
import os
import re
import select
import shutil
import struct
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.errors import MediaError
from core.types import Hit
from glimpse.render import emit, moment, plain, printable

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderResult

PictureOf = Callable[[Hit], bytes]
"""Returns a small picture of a hit, WebP; raises MediaError."""
ROWS, COLUMNS, GAP = 10, 25, 2
"""A picture is at most ROWS high; as many stand side by side as are COLUMNS wide, GAP apart."""
ANSWER_SECONDS = 0.5
_WHAT_CAN_YOU = "\x1b[16t\x1b[>q\x1b[c"
"""The size of a cell in px and the terminal's version (not every one says), then its attributes (every one does)."""
_ATTRIBUTES = re.compile(r"\x1b\[\?([\d;]*)c")


class Drawing(StrEnum):
    """How pictures come onto the screen."""

    KITTY = "kitty"
    SIXEL = "sixel"
    BLOCKS = "blocks"
    SHADES = "shades"


def can_draw() -> bool:
    """Say whether stdout is a terminal that does more than print."""
    return sys.stdout is not None and sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb"


def draw(hits: Sequence[Hit], picture_of: PictureOf) -> None:
    """Show hits on stdout as a grid of pictures, each with its score, name and folder; call only if `can_draw()`."""
    drawing, cell = _terminal(os.environ)
    easel = _Easel(drawing, cell, shutil.get_terminal_size().columns, picture_of)
    for start in range(0, len(hits), easel.across):  # row by row: the first ones appear while others are decoded
        emit(easel.row(hits[start : start + easel.across]), end="")


class _Easel:
    """Draws rows of hits for one terminal. cell: its (width, height) in px, None where unknown."""

    def __init__(self, drawing: Drawing, cell: tuple[int, int] | None, width: int, picture_of: PictureOf) -> None:
        from rich.console import Console

        self._picture_of = picture_of
        self.across = max(1, (width + GAP) // (COLUMNS + GAP))
        self._box = (width - GAP * (self.across - 1)) // self.across
        # Kitty's protocol says by colour which picture a cell belongs to: it needs all 16 million of them.
        many = drawing is Drawing.KITTY or os.environ.get("COLORTERM") in ("truecolor", "24bit")
        self._console = Console(
            file=io.StringIO(), force_terminal=True, width=width, color_system="truecolor" if many else "256",
            no_color=drawing is Drawing.SHADES, legacy_windows=False, highlight=False,
        )  # fmt: skip
        if cell:
            os.environ["TEXTUAL_CELL_WIDTH"], os.environ["TEXTUAL_CELL_HEIGHT"] = map(str, cell)
        with _aside():
            from textual_image import renderable

        self._picture: Any = {
            Drawing.KITTY: renderable.TGPImage,
            Drawing.SIXEL: renderable.SixelImage,
            Drawing.BLOCKS: renderable.HalfcellImage,
            Drawing.SHADES: renderable.UnicodeImage,
        }[drawing]

    def row(self, hits: Sequence[Hit]) -> str:
        """Return hits side by side, ready for the terminal."""
        from rich.table import Table

        grid = Table.grid(padding=(0, GAP, 0, 0))
        for _ in range(self.across):
            grid.add_column(width=self._box)
        grid.add_row(*(self._hit(hit) for hit in hits))
        with _aside() as pictures, self._console.capture() as text:
            self._console.print(grid, "")
        return pictures.getvalue() + text.get()  # Kitty's pictures are sent ahead, and then put into cells

    def _hit(self, hit: Hit) -> Any:
        from rich.console import Group
        from rich.text import Text

        name, folder = printable(Path(hit.path.name)), printable(hit.path.parent)
        more = f"  (+{len(hit.also)} more)" if hit.also else ""
        when = f"  {moment(hit)}" if hit.start is not None else ""
        caption = Text.assemble((f"{hit.score:.3f}  {name}", "bold"), f"{when}{more}\n{folder}", overflow="fold")
        try:
            picture = self._picture(io.BytesIO(self._picture_of(hit)), width="auto", height="auto")
        except MediaError as error:
            return Group(Text(f"no picture: {plain(str(error))}", style="italic"), caption)
        except OSError:  # a stored preview that begins well and does not go on
            return Group(Text("no picture: its preview is damaged", style="italic"), caption)
        return Group(_Framed(picture, self._box), caption)


class _Framed:
    """A picture that fills `width` columns or ROWS rows, whichever it reaches first."""

    def __init__(self, picture: Any, width: int) -> None:
        self._picture, self._width = picture, width

    def __rich_console__(self, console: "Console", options: "ConsoleOptions") -> "RenderResult":
        from rich.text import Text

        try:
            yield from list(console.render(self._picture, options.update_dimensions(self._width, ROWS)))
        except ValueError:  # a strip of 30:1 would be less than half a cell high
            yield Text("no picture: too narrow", style="italic")


@contextlib.contextmanager
def _aside() -> Iterator[io.StringIO]:
    """Let textual_image write to a page, which is no terminal that it could ask anything."""
    page, real = io.StringIO(), sys.__stdout__
    sys.__stdout__ = page  # type: ignore[misc, assignment]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # its remarks on Pillow are for its makers
            yield page
    finally:
        sys.__stdout__ = real  # type: ignore[misc]


def _terminal(environ: Mapping[str, str]) -> tuple[Drawing, tuple[int, int] | None]:
    """Return how this terminal draws, and its cell in px, None where unknown.

    Kitty's cells that stand for parts of a picture are known to Kitty (from 0.28) and Ghostty alone; other terminals
    that speak its protocol (WezTerm, iTerm2, Konsole) do sixel as well, and say so when asked. Multiplexers are not
    asked, since they answer for themselves and not for the terminal that is looked at; nor is anything over a
    network, for the answer may come too late.
    """
    term, cell = environ.get("TERM", ""), _cell_size()
    kitty = term in ("xterm-kitty", "xterm-ghostty")
    blocks = Drawing.SHADES if environ.get("NO_COLOR") else Drawing.BLOCKS
    if "TMUX" in environ or "STY" in environ or term.startswith(("tmux", "screen", "linux")):
        return blocks, None
    if "SSH_TTY" in environ or "SSH_CONNECTION" in environ:
        sixel = term.startswith(("foot", "mlterm", "contour"))
        return Drawing.KITTY if kitty else Drawing.SIXEL if sixel else blocks, cell
    answer = _asked(_WHAT_CAN_YOU)
    if size := re.search(r"\x1b\[6;([1-9]\d*);([1-9]\d*)t", answer):
        cell = cell or (int(size[2]), int(size[1]))
    if kitty:
        version = re.search(r"kitty\((\d+)\.(\d+)", answer)
        return blocks if version and (int(version[1]), int(version[2])) < (0, 28) else Drawing.KITTY, cell
    attributes = _ATTRIBUTES.search(answer)
    return Drawing.SIXEL if attributes and "4" in attributes[1].split(";") else blocks, cell


def _cell_size() -> tuple[int, int] | None:
    """Return (width, height) of a cell in px as the kernel knows it; terminals tell it if they can draw."""
    import fcntl
    import termios

    try:
        size = fcntl.ioctl(sys.stdout.fileno(), termios.TIOCGWINSZ, bytes(8))
    except OSError:
        return None
    rows, columns, width, height = struct.unpack("HHHH", size)
    return (width // columns, height // rows) if columns and rows and width >= columns and height >= rows else None


def _asked(question: str) -> str:
    """Ask the terminal, and return what it says up to the `c` that ends its attributes; "" if it cannot be asked."""
    import termios
    import tty

    try:
        terminal = os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY)
    except OSError:
        return ""
    try:
        if os.tcgetpgrp(terminal) != os.getpgrp():  # in the background, changing its mode would stop us
            return ""
        before = termios.tcgetattr(terminal)
        tty.setcbreak(terminal, termios.TCSANOW)
        try:
            os.write(terminal, question.encode())
            return _answer(terminal)
        finally:
            termios.tcsetattr(terminal, termios.TCSANOW, before)
    except (OSError, termios.error):
        return ""
    finally:
        os.close(terminal)


def _answer(terminal: int) -> str:
    """Read until the attributes are complete, ANSWER_SECONDS at most."""
    answer, until = "", time.monotonic() + ANSWER_SECONDS
    while not _ATTRIBUTES.search(answer):
        if not select.select([terminal], [], [], max(0.0, until - time.monotonic()))[0]:
            break
        answer += os.read(terminal, 256).decode("ascii", "replace")
    return answer
