"""`glimpse doctor`."""

from pathlib import Path

import click

from glimpse.cli.options import json_option, library_option
from glimpse.defaults import settings

HEALTHY, FOUND = 0, 1


@click.command()
@click.option("--repair", is_flag=True, help="Mend what can be mended.")
@json_option
@library_option
def doctor(repair: bool, json_: bool, library: Path | None) -> int:
    """Look the library over: the database, its rows and vectors, previews, index files, disk and model.

    Without --repair nothing is changed. A damaged database is repaired by saving what can be read into a fresh one;
    the damaged one is kept beside it. Photos whose vectors were lost are encoded again by the next glimpse index.

    Exit code: 0 healthy, 1 something was found (or repaired), 2 an error.

    \b
    Examples:
      glimpse doctor
      glimpse doctor --repair && glimpse index
    """
    from glimpse import render
    from glimpse.api import Library
    from glimpse.progress import ProgressBar

    with Library(settings(library)) as opened, ProgressBar() as bar:
        found = opened.doctor(repair, bar)
    if json_:
        render.emit_json(found.as_dict())
    else:
        render.say(render.diagnosis_text(found))
    return HEALTHY if found.healthy else FOUND
