"""`glimpse info`."""

from pathlib import Path

import click

from core.errors import UnknownFileError
from glimpse.cli.options import SomePath, json_option, library_option
from glimpse.defaults import settings


@click.command()
@click.argument("files", nargs=-1, required=True, type=SomePath(), metavar="FILE...")
@json_option
@library_option
def info(files: tuple[Path, ...], json_: bool, library: Path | None) -> int:
    """Show what the library knows about photos: when, where and with what they were taken, their keywords.

    Exit code: 0, or 2 if one is not in the library; the others are shown all the same.

    \b
    Example:
      glimpse info ~/Pictures/cat.jpg
    """
    from glimpse import render
    from glimpse.api import Library

    code = 0
    with Library(settings(library)) as opened:
        for number, file in enumerate(files):
            try:
                found = opened.info(file)
            except UnknownFileError as error:
                render.note(f"glimpse: {error}")
                code = 2
                continue
            if json_:
                render.emit_json(render.info_dict(found))
            else:
                render.say(("\n" if number else "") + render.info_text(found))
    return code
