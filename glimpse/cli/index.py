"""`glimpse index`."""

import json
import signal
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Self

import click

from glimpse.cli.options import SomePath, json_option, library_option, model_option
from glimpse.cli.search import note_stage
from glimpse.defaults import settings

if TYPE_CHECKING:
    from core.types import Progress, ProgressCallback


@click.command()
@click.argument("paths", nargs=-1, type=SomePath(), metavar="[PATH]...")
@library_option
@model_option
@json_option
def index(paths: tuple[Path, ...], library: Path | None, model: str | None, json_: bool) -> int:
    """Take photos in: new and changed ones are encoded, moved ones recognised, missing ones noted.

    PATH is a folder or a photo; without any, all that was indexed before is looked at again.

    \b
    Examples:
      glimpse index ~/Pictures /media/usb/DCIM
      glimpse index
    """
    from glimpse import render
    from glimpse.api import Library

    with (
        Library(settings(library, model), note_stage) as opened,
        render.ProgressBar() as bar,
        StopOnInterrupt(bar) as stopping,
    ):
        render.note_model_once(opened)
        report = opened.index(paths, progress=stopping.progress, stop=stopping.requested)
    render.index_report(report)
    render.emit(json.dumps(report.as_dict()) if json_ else render.summary(report))
    if not report.interrupted:
        return 0
    render.note("stopped; what was done is kept. To go on, run the same command again.")
    return 130


class StopOnInterrupt:
    """Turn the first Ctrl-C of a run into a request to stop after the batch in flight; a second one stops at once.

    So does the first, as long as the run has not begun: while the model is prepared there is nothing to finish.
    """

    def __init__(self, show: "ProgressCallback") -> None:
        self._show = show
        self._begun = False
        self._requested = False

    def progress(self, progress: "Progress") -> None:
        """Pass progress on; the first sign of it means that the run has begun."""
        self._begun = True
        self._show(progress)

    def requested(self) -> bool:
        """Say whether somebody asked to stop."""
        return self._requested

    def __enter__(self) -> Self:
        self._before = signal.signal(signal.SIGINT, self._interrupt)
        return self

    def __exit__(self, *_: object) -> None:
        signal.signal(signal.SIGINT, self._before)

    def _interrupt(self, _number: int, _frame: FrameType | None) -> None:
        if self._requested or not self._begun:
            raise KeyboardInterrupt
        self._requested = True
