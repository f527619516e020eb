"""`glimpse search`, and how hits are shown."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from glimpse.cli.options import hits_options
from glimpse.defaults import settings

if TYPE_CHECKING:
    from core.types import Hit, Progress
    from glimpse.api import Library


@click.command()
@click.argument("query")
@click.option("--plus", multiple=True, metavar="TERM", help="Words or a file to add; may be repeated.")
@click.option("--minus", multiple=True, metavar="TERM", help="Words or a file to subtract; may be repeated.")
@hits_options
def search(
    query: str,
    plus: tuple[str, ...],
    minus: tuple[str, ...],
    library: Path | None,
    model: str | None,
    count: int,
    within: Path | None,
    exact: bool,
    kind: str | None,
    **shown: Any,
) -> int:
    """Find photos, sounds and films by words, by a file of any of them, or by a sum of those; best first.

    QUERY is words, or a file (./x.jpg, ~/x.mp4, x.ogg). A term may carry a weight: 2:night.
    Exit code: 0 with hits, 1 without, 2 on an error.

    \b
    Examples:
      glimpse search 'a dog on the beach'
      glimpse search beach.jpg --minus day --plus 2:night
      glimpse search bark.ogg --kind photo
      glimpse search 'birthday cake' --in ~/Pictures/2023 --preview
      glimpse search cat -0 | xargs -0 cp -t cats/
    """
    from glimpse.api import Library

    with Library(settings(library, model), note_stage) as opened:
        hits = opened.search(query, count, plus=plus, minus=minus, within=within, exact=exact, kind=kind)
        title = " ".join([query, *(f"+ {term}" for term in plus), *(f"- {term}" for term in minus)])
        return show(opened, hits, title, **shown)


def note_stage(progress: "Progress") -> None:
    """Say on stderr what is being waited for, once."""
    from glimpse import render

    if progress.done:
        return
    render.note(progress.stage if progress.stage.endswith(".") else f"{progress.stage} ...")


def show(
    library: "Library",
    hits: "list[Hit]",
    title: str,
    paths: bool,
    null: bool,
    json_: bool,
    preview: bool,
    sheet: Path | None,
    open_: bool,
) -> int:
    """Print hits in the form that was asked for and write the sheet; returns the exit code."""
    from glimpse import render

    drawn = preview and _draw(library, hits, for_programs=json_ or paths or null)
    for hit in () if drawn else hits:
        if json_:
            render.emit_json(render.hit_dict(hit))
        elif paths or null:
            render.emit_path(hit.path, end="\0" if null else "\n")
        else:
            render.say(render.hit_line(hit))
    if sheet is not None or open_:
        from glimpse.sheet import show_sheet

        show_sheet([(title, hits)], library.preview, sheet, open_)
    if not hits:
        render.note("nothing found")
    return 0 if hits else 1


def _draw(library: "Library", hits: "list[Hit]", for_programs: bool) -> bool:
    """Draw hits in the terminal; says on stderr why not, and returns false, where that cannot be."""
    from glimpse import render
    from glimpse.terminal import can_draw, draw

    if for_programs or not can_draw():
        render.note("no pictures: --preview draws in a terminal, and not with --json, --paths or -0")
        return False
    draw(hits, library.preview)
    return True
