"""`glimpse status`."""

import json
from typing import Annotated

import typer

from glimpse.cli.options import JsonOption, LibraryOption
from glimpse.defaults import settings


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command("status", epilog="Example: glimpse status --errors")(status)


def status(
    errors: Annotated[bool, typer.Option("--errors", help="List the files that could not be read, and why.")] = False,
    json_: JsonOption = False,
    library: LibraryOption = None,
) -> None:
    """Show what is in the library."""
    from glimpse import render
    from glimpse.api import Library

    with Library(settings(library)) as opened:
        found = opened.status()
        failures = opened.failures() if errors else []
    if json_:
        shown = render.status_dict(found)
        if errors:
            shown["errors"] = [{"path": str(f.path), "reason": f.reason} for f in failures]
        render.emit(json.dumps(shown))
        return
    if not errors:
        render.emit(render.status_text(found))
    for failure in failures:
        render.emit(f"{render.printable(failure.path)}: {failure.reason}")
