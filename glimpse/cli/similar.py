"""`glimpse similar`."""

from pathlib import Path
from typing import Annotated

import typer

from glimpse.cli.options import CountOption, JsonOption, LibraryOption, ModelOption
from glimpse.cli.search import NulOption, OpenOption, PathsOption, SheetOption, note_stage, show
from glimpse.defaults import settings


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command("similar", epilog="Example: glimpse similar ~/Pictures/cat.jpg -k 20 --open")(similar)


def similar(
    file: Annotated[Path, typer.Argument(help="A picture; it need not be in the library.")],
    count: CountOption = 10,
    paths: PathsOption = False,
    null: NulOption = False,
    json_: JsonOption = False,
    sheet: SheetOption = None,
    open_: OpenOption = False,
    library: LibraryOption = None,
    model: ModelOption = None,
) -> None:
    """Find the photos most like a picture; best first."""
    from glimpse.api import Library

    with Library(settings(library, model), note_stage) as opened:
        hits = opened.similar(file, count)
    show(hits, str(file), paths, null, json_, sheet, open_)
