"""`glimpse prune`."""

import typer

from glimpse.cli.options import LibraryOption
from glimpse.defaults import settings


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command("prune", epilog="Example: glimpse index && glimpse prune")(prune)


def prune(library: LibraryOption = None) -> None:
    """Forget photos that are gone. Until then they keep their vectors, in case they come back."""
    from glimpse import render
    from glimpse.api import Library

    with Library(settings(library)) as opened:
        count = opened.prune()
    render.emit(f"{count} gone files forgotten")
