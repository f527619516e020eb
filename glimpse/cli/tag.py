"""`glimpse tag`."""

import json
from pathlib import Path
from typing import Annotated

import typer

from core.errors import GlimpseError, QueryError
from glimpse.cli.options import CountOption, JsonOption, LibraryOption, ModelOption
from glimpse.cli.search import note_stage
from glimpse.defaults import settings


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command("tag", epilog="Example: glimpse tag -k 3 cat.jpg beach.jpg")(tag)


def tag(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Pictures; they need not be in the library.")],
    count: CountOption = 5,
    json_: JsonOption = False,
    library: LibraryOption = None,
    model: ModelOption = None,
) -> None:
    """Suggest tags for photos, with scores; best first."""
    from glimpse import render
    from glimpse.api import Library

    failed = 0
    with Library(settings(library, model), note_stage) as opened:
        for file in files:
            try:
                tags = opened.suggest_tags(file, count)
            except QueryError as error:
                failed += 1
                render.note(str(error))
                continue
            if json_:
                found = [{"tag": t.name, "score": round(t.score, 4), "group": t.group} for t in tags]
                render.emit(json.dumps({"path": str(file), "tags": found}))
            else:
                render.emit(render.tags_line(file, tags))
    if failed == len(files):
        raise GlimpseError("no tags were suggested" if failed > 1 else "no tags were suggested for it")
