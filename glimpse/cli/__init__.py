"""The command line: one small file per command, and one place that turns errors into exit codes.

Exit codes: 0 done (with hits, for a search), 1 no hits, 2 an error, 130 interrupted.
"""

import os
import sys

import typer

from core.errors import GlimpseError
from glimpse.cli import demo, index, models, prune, search, similar, status, tag

app = typer.Typer(
    name="glimpse",
    help="Search your own photos with words, pictures and tags. Nothing leaves this machine.",
    epilog="Begin with: glimpse demo    Then: glimpse index ~/Pictures && glimpse search 'a cat'",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for module in (index, search, similar, tag, status, models, prune, demo):
    module.add_to(app)


def _version(show: bool) -> None:
    if show:
        from glimpse import __version__

        typer.echo(f"glimpse {__version__}")
        raise typer.Exit


@app.callback()
def _glimpse(
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Show the version."),
) -> None:
    """Search your own photos with words, pictures and tags. Nothing leaves this machine."""


def main() -> None:
    """Run the command line, and end with one clear line if it cannot be done."""
    try:
        app()
    except GlimpseError as error:
        _fail(str(error))
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:
        if os.environ.get("GLIMPSE_DEBUG"):
            raise
        _fail(f"unexpected {type(error).__name__}: {error} (set GLIMPSE_DEBUG=1 and run again to see where)")


def _fail(message: str) -> None:
    line = " ".join(message.split())
    print(f"glimpse: {line}".encode("utf-8", "backslashreplace").decode(), file=sys.stderr)
    sys.exit(2)
