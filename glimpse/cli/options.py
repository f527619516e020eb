"""Options that several commands share."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click


class SomePath(click.Path):
    """A path that is not empty: "$UNSET" must not mean the folder one stands in."""

    def __init__(self) -> None:
        super().__init__(path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return a Path; fails for an empty text."""
        if value == "":
            self.fail("the path is empty", param, ctx)
        return super().convert(value, param, ctx)


F = TypeVar("F", bound=Callable[..., Any])

library_option = click.option(
    "--library",
    metavar="DIR",
    type=SomePath(),
    help="The library's folder (default: $GLIMPSE_LIBRARY, or a folder in your data directory).",
)
model_option = click.option(
    "--model", metavar="NAME", help="The model (default: the library's own; see: glimpse models)."
)
json_option = click.option("--json", "json_", is_flag=True, help="Print JSON, for programs.")


def count_option(default: int) -> Callable[[F], F]:
    """Return `-k`, how many results."""
    return click.option(
        "-k",
        "--count",
        type=click.IntRange(min=1),
        default=default,
        show_default=True,
        help="How many at most.",
    )


def hits_options(command: F) -> F:
    """Add the options that say how hits are shown."""
    for option in reversed(
        (
            count_option(10),
            click.option(
                "--in", "within", metavar="FOLDER", type=SomePath(), help="Only what lies in FOLDER or below it."
            ),
            click.option(
                "--kind",
                type=click.Choice(["photo", "audio", "video"]),
                help="Only photos, only sounds, or only films.",
            ),
            click.option("--exact", is_flag=True, help="Compare every vector, however many there are."),
            click.option("--paths", is_flag=True, help="Print bare paths."),
            click.option("-0", "--null", is_flag=True, help="Print bare paths, each ended by NUL, for xargs -0."),
            json_option,
            click.option("--preview", is_flag=True, help="Draw the hits in the terminal."),
            click.option(
                "--sheet",
                metavar="FILE.html",
                type=SomePath(),
                help="Write a page of thumbnails with scores.",
            ),
            click.option("--open", "open_", is_flag=True, help="Show the page of thumbnails in the browser."),
            library_option,
            model_option,
        )
    ):
        command = option(command)
    return command
