"""`glimpse dupes`."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from glimpse.cli.options import SomePath, json_option, library_option, model_option
from glimpse.cli.search import note_stage
from glimpse.defaults import settings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from core.types import Hit
    from search.dupes import Duplicate, Group


@click.command()
@click.option("--exact", is_flag=True, help="Only files with the same bytes.")
@click.option("--in", "within", metavar="FOLDER", type=SomePath(), help="Only what lies in FOLDER or below it.")
@click.option("paths", "--paths", "-f", is_flag=True, help="Print the bare paths of all but the best of each group.")
@click.option("-0", "--null", is_flag=True, help="The same, each path ended by NUL.")
@json_option
@click.option("--sheet", metavar="FILE.html", type=SomePath(), help="Write a page of thumbnails.")
@click.option("--open", "open_", is_flag=True, help="Show the page of thumbnails in the browser.")
@library_option
@model_option
def dupes(
    exact: bool,
    within: Path | None,
    paths: bool,
    null: bool,
    json_: bool,
    sheet: Path | None,
    open_: bool,
    library: Path | None,
    model: str | None,
) -> int:
    """Find copies of files, photos that are much alike, and bursts; nothing is changed or deleted.

    Of each group the best comes first, marked with a star: the one with most pixels, then most bytes, then the
    sharpest. Look at the others before you delete any. Exit code: 0 with groups, 1 without, 2 on an error.

    \b
    Examples:
      glimpse dupes
      glimpse dupes --exact --in ~/Pictures/2023
      glimpse dupes --open
    """
    from glimpse import render
    from glimpse.api import Library
    from glimpse.progress import ProgressBar

    with Library(settings(library, model), note_stage) as opened:
        with ProgressBar() as bar:
            groups = opened.dupes(exact, within, bar)
        for number, group in enumerate(groups, 1):
            if json_:
                render.emit_json(_group_dict(group))
            elif paths or null:
                for file in group.files[1:]:
                    render.emit_path(file.path, end="\0" if null else "\n")
            else:
                render.say(_group_text(number, group))
        if sheet is not None or open_:
            from glimpse.sheet import show_sheet

            show_sheet(
                [(_title(n, group), _hits(group)) for n, group in enumerate(groups, 1)], opened.preview, sheet, open_
            )
    if not groups:
        render.note("no duplicates")
    elif render.is_for_people() and not (json_ or paths or null):
        spare = sum(group.spare for group in groups)
        render.note(f"{len(groups):,} groups; all but the best of each are {_megabytes(spare)}")
    return 0 if groups else 1


TITLES = {"exact": "the same bytes", "near": "much alike", "burst": "a burst"}


def _title(number: int, group: "Group") -> str:
    return f"{number}  {TITLES[group.sameness]}, {len(group.files)} files"


def _group_text(number: int, group: "Group") -> str:
    """Return a line for the group and one for each of its files."""
    return "\n".join([_title(number, group), *(_line(group, file) for file in group.files), ""])


def _line(group: "Group", file: "Duplicate") -> str:
    from glimpse import render

    best = file is group.files[0]
    size = "{}x{}".format(*file.size) if file.pixels else file.kind
    beside = "".join(f"  + {render.printable(Path(path.name))}" for path in file.companions)
    why = f"  ({group.why})" if best else ""
    mark, much = "*" if best else " ", _megabytes(file.bytes)
    return f"  {mark} {size:>11}  {much:>8}  {render.printable(file.path)}{beside}{why}"


def _megabytes(count: int) -> str:
    return f"{count / 1e6:,.1f} MB" if count >= 100_000 else f"{count / 1e3:,.1f} kB"


def _group_dict(group: "Group") -> "dict[str, object]":
    files = [
        {
            "path": str(file.path),
            "id": file.id,
            "kind": file.kind,
            "width": file.size[0],
            "height": file.size[1],
            "bytes": file.bytes,
            "sharpness": round(file.sharpness, 4),
            "companions": [str(path) for path in file.companions],
        }
        for file in group.files
    ]
    return {"sameness": group.sameness, "why": group.why, "files": files}


def _hits(group: "Group") -> "Sequence[Hit]":
    """Return the files as a page shows them."""
    from core.types import Hit

    return [Hit(file.path, 0.0, file.kind, file.id, companions=file.companions) for file in group.files]
