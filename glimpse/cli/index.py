"""`glimpse index`."""

from dataclasses import replace
from pathlib import Path

import click

from glimpse.cli.options import SomePath, json_option, library_option, model_option
from glimpse.cli.runs import Runs, StopOnInterrupt
from glimpse.defaults import settings

EVERY = 600.0


@click.command()
@click.argument("paths", nargs=-1, type=SomePath(), metavar="[PATH]...")
@click.option(
    "--exclude",
    metavar="PATTERN",
    multiple=True,
    help="Leave out what fits, as in .gitignore; may be repeated. See also: .glimpseignore files.",
)
@click.option("--no-exclude", is_flag=True, help="Leave nothing out any more that --exclude said.")
@click.option("--hidden/--no-hidden", default=None, help="Take names that begin with a dot, too.")
@click.option(
    "--follow-symlinks/--no-follow-symlinks", default=None, help="Follow links that lead out of the folder."
)
@click.option("--no-previews", is_flag=True, help="Store no more previews: less disk, more to read later.")
@click.option(
    "--preview-size", metavar="PX", type=click.IntRange(64, 4096), help="Longer side of new previews (at first: 512)."
)
@click.option(
    "--tier",
    type=click.Choice(["auto", "exhaustive", "ivf"]),
    help="How nearest photos are found: all compared (exact), an inverted file (fast), or by size (at first: auto).",
)
@click.option(
    "--tiles",
    type=click.Choice(["none", "wide", "all"]),
    help="Which photos are looked at in parts, too, for small things in them: wide ones (at first), or all large "
    "ones, which takes several times as long; none forgets the parts.",
)
@click.option(
    "--ocr/--no-ocr", default=None, help="Read the text in photos, too (at first: no); needs the extra 'ocr'."
)
@click.option("--dry-run", is_flag=True, help="Only say what would be done.")
@click.option("--watch", is_flag=True, help="Go on: look again whenever photos have changed.")
@click.option(
    "--every",
    metavar="SECONDS",
    type=click.FloatRange(min=1),
    help=f"With --watch: look again that often in any case, for network drives (default: {EVERY:.0f}).",
)
@library_option
@model_option
@json_option
def index(
    paths: tuple[Path, ...],
    exclude: tuple[str, ...],
    no_exclude: bool,
    hidden: bool | None,
    follow_symlinks: bool | None,
    no_previews: bool,
    preview_size: int | None,
    tier: str | None,
    tiles: str | None,
    ocr: bool | None,
    dry_run: bool,
    watch: bool,
    every: float | None,
    library: Path | None,
    model: str | None,
    json_: bool,
) -> int:
    """Take photos, sounds and films in: new and changed ones are encoded, moved ones recognised, missing ones noted.

    PATH is a folder or a file; without any, all that was indexed before is looked at again. How a folder is walked
    (--exclude, --hidden, --follow-symlinks) is said once and holds for it until something else is said, without any
    PATH for all; so does what is said of previews, of the index and of tiles.

    \b
    Examples:
      glimpse index ~/Pictures /media/usb/DCIM
      glimpse index ~/Pictures --exclude 'raw/' --exclude '*.png'
      glimpse index
      glimpse index --watch
    """
    from core.types import Walk
    from glimpse import render

    for first, second, clash in (
        ("--no-previews", "--preview-size", no_previews and preview_size),
        ("--watch", "--dry-run", watch and dry_run),
    ):
        if clash:
            raise click.UsageError(f"{first} and {second} exclude each other")
    if every and not watch:
        raise click.UsageError("--every goes with --watch")
    chosen = replace(settings(library, model), tier=tier, tiles=tiles, ocr=ocr)
    if no_previews or preview_size:
        chosen = replace(chosen, preview=0 if no_previews else preview_size)
    if exclude and no_exclude:
        raise click.UsageError("--exclude and --no-exclude exclude each other")
    walk: Walk | None = Walk(exclude or (() if no_exclude else None), hidden, follow_symlinks)
    if walk == Walk():
        walk = None
    if exclude:
        from indexer.ignore import Rules

        Rules(b"", exclude)  # before a library is made for a slip of the pen
    with StopOnInterrupt() as stopping:
        runs = Runs(chosen, walk, dry_run, json_, stopping)
        if watch:
            runs.for_ever(paths, every or EVERY)
        else:
            runs.once(paths)
    if not runs.interrupted():
        return 0
    render.note("stopped; what was done is kept. To go on, run the same command again.")
    return 130
