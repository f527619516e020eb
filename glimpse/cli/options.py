"""Options that several commands share."""

from collections.abc import Callable, Iterable, Sequence
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


class Several(click.Option):
    """An option that takes all values up to the next option, and may be repeated."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs | {"multiple": True})


class Asking(click.Command):
    """A command whose arguments are a question: of those with a dash in front, only options are taken as such."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the options, and leave the words of the question in their order."""
        options, words = apart(args, self.get_params(ctx))
        return super().parse_args(ctx, [*options, "--", *words])


def apart(arguments: Sequence[str], parameters: Iterable[click.Parameter]) -> tuple[list[str], list[str]]:
    """Split arguments into options with their values, and the words of a question: `-`, `+`, `-tag:indoor`, `-5`.

    An option is what is known as one, whatever begins with two dashes, and a dash with one letter. Raises
    click.BadOptionUsage for an option without its value.
    """
    known = {name: option for option in parameters if isinstance(option, click.Option) for name in option.opts}
    options: list[str] = []
    words: list[str] = []
    rest = list(arguments)
    while rest:
        word = rest.pop(0)
        name, equals, value = word.partition("=") if word.startswith("--") else (word, "", "")
        option = known.get(name)
        if word == "--":
            return options, words + rest
        if option is not None and not option.is_flag:
            values = [value] if equals else []
            if isinstance(option, Several):
                while rest and not rest[0].startswith(("-", "+")):
                    values.append(rest.pop(0))
            elif not equals:
                values, rest = rest[:1], rest[1:]
            if not values:
                raise click.BadOptionUsage(name, f"Option {name!r} requires an argument.")
            options += [part for each in values for part in (name, each)]
        elif option is not None or _like_an_option(word, known):
            options.append(word)
        else:
            words.append(word)
    return options, words


def _like_an_option(word: str, known: dict[str, click.Option]) -> bool:
    """Say whether a word that is no known option is a slip of the pen, or several short ones: `-k5`, `-0f`."""
    if word.startswith("--") or (len(word) == 2 and word[0] == "-" and word[1].isascii() and word[1].isalpha()):
        return True
    first = known.get(word[:2])
    if first is None or len(word) < 3:
        return False
    if not first.is_flag:
        return word[2:].isdecimal() and isinstance(first.type, click.IntRange)
    return all(f"-{letter}" in known and known[f"-{letter}"].is_flag for letter in word[1:])


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


def count_option(default: int, *more: str) -> Callable[[F], F]:
    """Return `-k`, how many results; more: further names of it."""
    return click.option(
        "count",
        "-k",
        "--count",
        *more,
        type=click.IntRange(min=1),
        default=default,
        show_default=True,
        help="How many at most.",
    )


def hits_options(command: F) -> F:
    """Add the options that say how hits are shown."""
    for option in reversed(
        (
            count_option(10, "--top", "-t"),
            click.option(
                "--in", "within", metavar="FOLDER", type=SomePath(), help="Only what lies in FOLDER or below it."
            ),
            click.option(
                "--kind",
                type=click.Choice(["photo", "audio", "video"]),
                help="Only photos, only sounds, or only films.",
            ),
            click.option("--exact", is_flag=True, help="Compare every vector, however many there are."),
            click.option("paths", "--paths", "--filepath-only", "-f", is_flag=True, help="Print bare paths."),
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
