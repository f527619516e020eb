"""`glimpse prune`."""

from pathlib import Path

import click

from glimpse.cli.options import library_option
from glimpse.defaults import settings


@click.command()
@library_option
def prune(library: Path | None) -> None:
    """Forget photos that are gone. Until then they keep their vectors, in case they come back.

    \b
    Example:
      glimpse index && glimpse prune
    """
    from glimpse import render
    from glimpse.api import Library

    with Library(settings(library)) as opened:
        count = opened.prune()
    render.say(f"{count:,} gone files forgotten")
