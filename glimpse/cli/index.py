"""`glimpse index`."""

import json
import signal
from pathlib import Path
from types import FrameType

import click

from glimpse.cli.options import json_option, library_option, model_option
from glimpse.defaults import settings


@click.command()
@click.argument("paths", nargs=-1, type=click.Path(path_type=Path), metavar="[PATH]...")
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

    stopping = StopOnInterrupt()
    with Library(settings(library, model)) as opened, render.ProgressBar() as bar, stopping:
        render.note_model_once(opened)
        report = opened.index(paths, progress=bar, stop=stopping)
    render.index_report(report)
    render.emit(json.dumps(report.as_dict()) if json_ else render.summary(report))
    if not report.interrupted:
        return 0
    render.note("stopped; what was done is kept. To go on, run the same command again.")
    return 130


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
