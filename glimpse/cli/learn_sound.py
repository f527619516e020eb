"""`glimpse learn-sound`."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from glimpse.cli.options import SomePath, json_option, library_option, model_option
from glimpse.cli.runs import StopOnInterrupt
from glimpse.cli.search import note_stage
from glimpse.defaults import settings

if TYPE_CHECKING:
    from core.types import Progress
    from glimpse.api import Library


@click.command("learn-sound")
@click.argument("paths", nargs=-1, type=SomePath(), metavar="[PATH]...")
@click.option("--explain", metavar="UNIT|all", help="Do not learn: show which sounds drive a hidden unit most.")
@click.option("--sheet", metavar="FILE.html", type=SomePath(), help="With --explain: where the page is written.")
@click.option("--open", "open_", is_flag=True, help="With --explain: show the page in the browser.")
@json_option
@library_option
@model_option
def learn_sound(
    paths: tuple[Path, ...],
    explain: str | None,
    sheet: Path | None,
    open_: bool,
    json_: bool,
    library: Path | None,
    model: str | None,
) -> int:
    """Teach the library to hear, from its own films and from sounds beside pictures of one name (frog.ogg, frog.png).

    No labels are needed: what is seen teaches where sound belongs among pictures. PATH is taken in first. Ends with
    how well it hears recordings that were kept aside; everything is heard anew afterwards. Interrupted, the same
    command goes on.

    \b
    Examples:
      glimpse learn-sound ~/Videos
      glimpse learn-sound --explain all --open
    """
    from glimpse import render
    from glimpse.api import Library
    from glimpse.progress import ProgressBar

    if explain is None and (sheet is not None or open_):
        raise click.UsageError("--sheet and --open go with --explain")
    if explain is not None and paths:
        raise click.UsageError("--explain looks at what is in the library; it takes no PATH")
    with StopOnInterrupt() as stopping, Library(settings(library, model), note_stage) as opened:
        if explain is not None:
            _explain(opened, explain, sheet, open_, stopping)
            return 0
        with ProgressBar() as bar:

            def show(progress: "Progress") -> None:
                stopping.begin()
                bar(progress)

            report = opened.learn_sound(paths, show, stopping.requested)
    if report is None:
        render.note("stopped; to go on, run the same command again.")
        return 130
    if json_:
        render.emit_json(report)
    else:
        render.say(render.learned_text(report))
    if not report["heard"]:
        render.note("stopped; what was learned is kept. To have everything heard with it: glimpse index")
        return 130
    return 0


def _explain(library: "Library", which: str, sheet: Path | None, open_: bool, stopping: StopOnInterrupt) -> None:
    """Write the page of one unit, or of all."""
    from core.errors import QueryError
    from glimpse.explain import show_units
    from glimpse.progress import ProgressBar

    if which != "all" and not which.isdecimal():
        raise click.UsageError(f"--explain takes the number of a unit, or all; not '{which}'")
    with ProgressBar() as bar:
        look = library.look_inside(bar, stopping.requested)
        if which != "all" and int(which) >= look.count:
            raise QueryError(f"there is no unit {which}; they are numbered 0 to {look.count - 1}")
        units = look.units()
    chosen = [unit for unit in units if which == "all" or unit.number == int(which)]
    show_units(chosen, "What it learned to hear", look.picture, sheet, open_)
