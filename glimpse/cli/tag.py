"""`glimpse tag`."""

from pathlib import Path

import click

from core.errors import QueryError
from glimpse.cli.options import SomePath, count_option, json_option, library_option, model_option
from glimpse.cli.search import note_stage
from glimpse.defaults import settings


@click.command()
@click.argument("files", nargs=-1, required=True, type=SomePath(), metavar="FILE...")
@count_option(5)
@json_option
@library_option
@model_option
def tag(files: tuple[Path, ...], count: int, json_: bool, library: Path | None, model: str | None) -> int:
    """Suggest tags for photos, sounds and films, with scores; best first. They need not be in the library.

    Exit code: 0, or 2 if a file could not be read; the others are tagged all the same.

    \b
    Example:
      glimpse tag -k 3 cat.jpg beach.jpg
    """
    from glimpse import render
    from glimpse.api import Library

    code = 0
    with Library(settings(library, model), note_stage) as opened:
        for file in files:
            try:
                tags = opened.suggest_tags(file, count)
            except QueryError as error:
                render.note(f"glimpse: {error}")
                code = 2
                continue
            if json_:
                found = [{"tag": t.name, "score": round(t.score, 4), "group": t.group} for t in tags]
                render.emit_json({"path": str(file), "tags": found})
            else:
                render.say(render.tags_line(file, tags))
    return code
