"""`glimpse similar`."""

from pathlib import Path
from typing import Any

import click

from glimpse.cli.options import SomePath, hits_options
from glimpse.cli.search import note_stage, show
from glimpse.defaults import settings


@click.command()
@click.argument("file", type=SomePath())
@hits_options
def similar(
    file: Path,
    library: Path | None,
    model: str | None,
    count: int,
    within: Path | None,
    exact: bool,
    kind: str | None,
    **shown: Any,
) -> int:
    """Find what is most like FILE, a picture, a sound or a film, which need not be in the library; best first.

    \b
    Examples:
      glimpse similar ~/Pictures/cat.jpg -k 20 --open
      glimpse similar waves.ogg --kind photo
    """
    from glimpse.api import Library

    with Library(settings(library, model), note_stage) as opened:
        hits = opened.similar(file, count, within=within, exact=exact, kind=kind)
        return show(opened, hits, str(file), **shown)
