"""`glimpse index`."""

import json
import signal
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer

from glimpse.cli.options import JsonOption, LibraryOption, ModelOption
from glimpse.defaults import settings


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command("index", epilog="Example: glimpse index ~/Pictures /media/usb/DCIM")(index)


def index(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[PATH]...", help="Folders or photos; without any: all that was indexed before."),
    ] = None,
    library: LibraryOption = None,
    model: ModelOption = None,
    json_: JsonOption = False,
) -> None:
    """Take photos in: new and changed ones are encoded, moved ones recognised, missing ones noted."""
    from glimpse import render
    from glimpse.api import Library

    stopping = StopOnInterrupt()
    with Library(settings(library, model)) as opened, render.ProgressBar() as bar, stopping:
        render.note_model_once(opened)
        report = opened.index(paths or [], progress=bar, stop=stopping)
    render.index_report(report)
    if json_:
        render.emit(json.dumps(report.as_dict()))
    else:
        render.emit(render.summary(report))
    if report.interrupted:
        render.note("stopped; what was done is kept. To go on, run the same command again.")
        raise typer.Exit(130)


class StopOnInterrupt:
    """Turn the first Ctrl-C into a request to stop after the batch in flight; a second one stops at once."""

    def __init__(self) -> None:
        self.requested = False

    def __call__(self) -> bool:
        """Say whether somebody asked to stop."""
        return self.requested

    def __enter__(self) -> None:
        self._before = signal.signal(signal.SIGINT, self._interrupt)

    def __exit__(self, *_: object) -> None:
        signal.signal(signal.SIGINT, self._before)

    def _interrupt(self, _number: int, _frame: FrameType | None) -> None:
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True
