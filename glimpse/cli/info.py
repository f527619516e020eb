"""`glimpse info`."""

import json
from pathlib import Path

import click

from glimpse.cli.options import SomePath, json_option, library_option
from glimpse.defaults import settings


@click.command()
@click.argument("files", nargs=-1, required=True, type=SomePath(), metavar="FILE...")
@json_option
@library_option
def info(files: tuple[Path, ...], json_: bool, library: Path | None) -> None:
    """Show what the library knows about photos: when, where and with what they were taken, their keywords.

    \b
    Example:
      glimpse info ~/Pictures/cat.jpg
    """
    from glimpse import render
    from glimpse.api import Library

    with Library(settings(library)) as opened:
        for number, file in enumerate(files):
            found = opened.info(file)
            if json_:
                render.emit(json.dumps(render.info_dict(found)))
            else:
                render.emit(("\n" if number else "") + render.info_text(found))
