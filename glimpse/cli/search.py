"""`glimpse search`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from glimpse.cli.options import CountOption, JsonOption, LibraryOption, ModelOption
from glimpse.defaults import settings

if TYPE_CHECKING:
    from core.types import Hit

PathsOption = Annotated[bool, typer.Option("--paths", help="Print bare paths.")]
NulOption = Annotated[bool, typer.Option("-0", "--null", help="With --paths: end each with NUL, for xargs -0.")]
SheetOption = Annotated[
    Path | None, typer.Option("--sheet", metavar="FILE.html", help="Write a page of thumbnails with scores.")
]
OpenOption = Annotated[bool, typer.Option("--open", help="Show the page of thumbnails in the browser.")]


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        "search",
        epilog="Examples: glimpse search 'a dog on the beach'    glimpse search beach.jpg --minus day --plus 2:night"
        "    glimpse search cat --paths -0 | xargs -0 cp -t cats/",
    )(search)


def search(
    query: Annotated[str, typer.Argument(help="Words, or a picture: ./x.jpg, ~/x.jpg, x.jpg. A weight: '2:night'.")],
    plus: Annotated[list[str] | None, typer.Option("--plus", metavar="TERM", help="Words or a picture to add.")] = None,
    minus: Annotated[
        list[str] | None, typer.Option("--minus", metavar="TERM", help="Words or a picture to subtract.")
    ] = None,
    count: CountOption = 10,
    paths: PathsOption = False,
    null: NulOption = False,
    json_: JsonOption = False,
    sheet: SheetOption = None,
    open_: OpenOption = False,
    library: LibraryOption = None,
    model: ModelOption = None,
) -> None:
    """Find photos by words, by a picture, or by a sum of both; best first."""
    from glimpse.api import Library

    with Library(settings(library, model), note_stage) as opened:
        hits = opened.search(query, count, plus=plus or (), minus=minus or ())
    title = " ".join([query, *(f"+ {term}" for term in plus or ()), *(f"- {term}" for term in minus or ())])
    show(hits, title, paths, null, json_, sheet, open_)


def note_stage(progress: object) -> None:
    """Say on stderr what is being waited for."""
    from glimpse import render

    render.note(f"{getattr(progress, 'stage', progress)} ...")


def show(
    hits: "list[Hit]", title: str, paths: bool, null: bool, json_: bool, sheet: Path | None, open_: bool
) -> None:
    """Print hits in the form that was asked for, write the sheet, and end with 1 if there are none."""
    from glimpse import render

    if json_:
        for hit in hits:
            render.emit(render.hit_json(hit))
    elif paths or null:
        for hit in hits:
            render.emit(str(hit.path), end="\0" if null else "\n")
    else:
        for hit in hits:
            render.emit(render.hit_line(hit))
    if sheet is not None or open_:
        from glimpse.sheet import show_sheet

        show_sheet([(title, hits)], sheet, open_)
    if not hits:
        render.note("nothing found")
        raise typer.Exit(1)
