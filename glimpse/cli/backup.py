"""`glimpse backup`."""

from pathlib import Path

import click

from glimpse.cli.options import SomePath, library_option
from glimpse.defaults import settings


@click.command()
@click.argument("folder", type=SomePath(), metavar="FOLDER")
@click.option("--previews", is_flag=True, help="Copy the previews, too; else they come back by themselves.")
@library_option
def backup(folder: Path, previews: bool, library: Path | None) -> None:
    """Copy the library into a folder: safe while photos are indexed and searched. Photos are not copied.

    FOLDER becomes a library of its own, which can be searched: glimpse search --library FOLDER cat. An earlier backup
    there is replaced, once the new one is complete and sound. To go back to a backup, move the library's folder away
    and copy FOLDER to its place.

    \b
    Examples:
      glimpse backup /media/usb/glimpse-backup
      mv ~/.local/share/glimpse/library ~/old && cp -r /media/usb/glimpse-backup ~/.local/share/glimpse/library
    """
    from glimpse import render
    from glimpse.api import Library
    from glimpse.progress import ProgressBar

    with Library(settings(library)) as opened, ProgressBar() as bar:
        made = opened.backup(folder, previews, bar)
    render.emit_path(made)
