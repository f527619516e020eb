"""`glimpse search`, and how hits are shown."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from glimpse.cli.options import Asking, Several, hits_options
from glimpse.defaults import settings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from core.types import Hit, Progress
    from glimpse.api import Library

RULES = ("add", "slerp", "project-out", "product", "basic")
ORDERS = ("score", "date")
"""Those of core.query, which would import numpy for every --help."""
NEAREST = "what comes nearest all the same: --all"


@click.command(cls=Asking)
@click.argument("words", nargs=-1, metavar="[QUERY]...")
@click.option(
    "plus", "--plus", "--add", "-a", multiple=True, metavar="TERM", help="Words or a file to add; may be repeated."
)
@click.option(
    "minus",
    "--minus",
    "--subtract",
    "--sub",
    "-s",
    multiple=True,
    metavar="TERM",
    help="Words or a file to subtract; may be repeated.",
)
@click.option("--like", cls=Several, metavar="TERM...", help="Examples of what is meant, files or words.")
@click.option("--unlike", cls=Several, metavar="TERM...", help="Examples of what is not meant.")
@click.option("--rule", type=click.Choice(RULES), help="How terms become a score.")
@click.option("all_", "--all", is_flag=True, help="Also what is probably not what was asked for.")
@click.option("--sort", type=click.Choice(ORDERS), help="What comes first.")
@click.option("--collapse", is_flag=True, help="Show what is much alike, as a burst is, as one.")
@click.option("--diverse", is_flag=True, help="Prefer hits unlike those before them.")
@click.option("--explain", is_flag=True, help="Say what each term adds to each hit.")
@hits_options
def search(
    words: tuple[str, ...],
    library: Path | None,
    model: str | None,
    count: int,
    paths: bool,
    null: bool,
    json_: bool,
    preview: bool,
    sheet: Path | None,
    open_: bool,
    **asked: Any,
) -> int:
    """Find photos, sounds and films by words, by a file of any of them, or by a sum of those; best first.

    QUERY is words and files, added up with + and -, weighed as in 2*night, combined with and, or, not and
    parentheses, and filtered with tag:, date:, in:, near:, kind: and more. Quotes keep words together.
    Exit code: 0 with hits, 1 without, 2 on an error.

    \b
    Examples:
      glimpse search a dog on the beach
      glimpse search beach.jpg - day + 2*night
      glimpse search '(dog or cat)' -tag:indoor date:2023-06..2023-08
      glimpse search bark.ogg kind:photo
      glimpse search --like a.jpg b.jpg --unlike c.jpg
      glimpse search 'birthday cake' --in ~/Pictures/2023 --preview
      glimpse search cat -0 | xargs -0 cp -t cats/
    """
    from glimpse.api import Library
    from search.terms import joined

    query = joined(words)
    said = {name: value for name, value in asked.items() if value}
    if said.pop("all_", False):
        said["cut"] = False
    with Library(settings(library, model), note_stage) as opened:
        answer = opened.ask(query, count, **said)
        title = _title(query, asked)
        return show(opened, answer.hits, title, paths, null, json_, preview, sheet, open_, answer.more)


def _title(query: str, asked: dict[str, Any]) -> str:
    """Return what was asked for in one line."""
    said = {"+": asked["plus"], "-": asked["minus"], "like": asked["like"], "unlike": asked["unlike"]}
    return " ".join([query, *(f"{how} {term}" for how, terms in said.items() for term in terms)]).strip()


def note_stage(progress: "Progress") -> None:
    """Say on stderr what is being waited for, once."""
    from glimpse import render

    if progress.done:
        return
    render.note(progress.stage if progress.stage.endswith(".") else f"{progress.stage} ...")


def show(
    library: "Library",
    hits: "Sequence[Hit]",
    title: str,
    paths: bool,
    null: bool,
    json_: bool,
    preview: bool,
    sheet: Path | None,
    open_: bool,
    more: bool = False,
) -> int:
    """Print hits in the form that was asked for and write the sheet; returns the exit code.

    more: something was found that is probably not what was asked for, and is not among the hits.
    """
    from glimpse import render

    if sheet is not None or open_:
        from glimpse.sheet import show_sheet

        show_sheet([(title, hits)], library.preview, sheet, open_)
    drawn = preview and _draw(library, hits, for_programs=json_ or paths or null)
    for hit in () if drawn else hits:
        if json_:
            render.emit_json(render.hit_dict(hit))
        elif paths or null:
            render.emit_path(hit.path, end="\0" if null else "\n")
        else:
            render.say(render.hit_line(hit))
            for line in render.contribution_lines(hit):
                render.say(line)
    if not hits:
        render.note(f"nothing here looks like that; {NEAREST}" if more else "nothing found")
    elif more and render.is_for_people():
        render.note(f"no more looks like that; {NEAREST}")
    return 0 if hits else 1


def _draw(library: "Library", hits: "Sequence[Hit]", for_programs: bool) -> bool:
    """Draw hits in the terminal; says on stderr why not, and returns false, where that cannot be."""
    from glimpse import render
    from glimpse.terminal import can_draw, draw

    if for_programs or not can_draw():
        render.note("no pictures: --preview draws in a terminal, and not with --json, --paths or -0")
        return False
    draw(hits, library.preview)
    return True
