"""`glimpse status`."""

from pathlib import Path

import click

from glimpse.cli.options import json_option, library_option
from glimpse.defaults import settings


@click.command()
@click.option("--errors", is_flag=True, help="List the files that could not be read, and why.")
@json_option
@library_option
def status(errors: bool, json_: bool, library: Path | None) -> None:
    """Show what is in the library.

    \b
    Examples:
      glimpse status
      glimpse status --errors
    """
    from glimpse import render
    from glimpse.api import Library

    with Library(settings(library)) as opened:
        found = opened.status()
        failures = opened.failures() if errors else []
    if json_:
        shown = render.status_dict(found)
        if errors:
            shown["errors"] = [{"path": str(f.path), "reason": f.reason} for f in failures]
        render.emit_json(shown)
    elif errors:
        for failure in failures:
            render.say(f"{render.printable(failure.path)}: {render.plain(failure.reason)}")
    else:
        render.say(render.status_text(found))
