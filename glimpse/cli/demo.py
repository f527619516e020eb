"""`glimpse demo`."""

from pathlib import Path

import click

from glimpse.cli.options import SomePath
from glimpse.cli.search import note_stage
from glimpse.defaults import data_folder, settings

SEARCHES = ("a cat", "a cup of coffee", "an old temple by the water")
TAGGED = "cat.png"


@click.command()
@click.option("--sheet", metavar="FILE.html", type=SomePath(), help="Where the page of results goes.")
@click.option("--open", "open_", is_flag=True, help="Show the page in the browser.")
@click.option(
    "--library",
    metavar="DIR",
    type=SomePath(),
    help="A folder for the demonstration's library.",
)
def demo(sheet: Path | None, open_: bool, library: Path | None) -> None:
    """Index the photos that come with Glimpse, search them, suggest tags, and write a page to look at.

    \b
    Example:
      glimpse demo --open
    """
    from core.resources import data_path
    from glimpse import render
    from glimpse.api import Library
    from glimpse.progress import ProgressBar
    from glimpse.sheet import show_sheet

    folder = library or data_folder() / "demo"
    photos = data_path("demo")
    with Library(settings(folder, "builtin"), note_stage) as opened, ProgressBar() as bar:
        report = opened.index([photos], progress=bar)
        render.say(f"$ glimpse index {photos}\n{render.summary(report)}")
        results = [(query, opened.search(query, 3)) for query in SEARCHES]
        for query, hits in results:
            render.say(f"\n$ glimpse search '{query}' -k 3")
            for hit in hits:
                render.say(render.hit_line(hit))
        tags = opened.suggest_tags(photos / TAGGED)
        render.say(f"\n$ glimpse tag {photos / TAGGED}\n{render.tags_line(photos / TAGGED, tags)}")
        render.say("")
        show_sheet(results, opened.preview, sheet or folder / "demo.html", open_)
    render.say("Now your own: glimpse index ~/Pictures && glimpse search 'a dog'")
