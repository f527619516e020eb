"""Options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

LibraryOption = Annotated[
    Path | None,
    typer.Option(
        "--library",
        metavar="DIR",
        show_default=False,
        help="The library's folder (default: $GLIMPSE_LIBRARY, or a folder in your data directory).",
    ),
]
ModelOption = Annotated[
    str | None,
    typer.Option(
        "--model", metavar="NAME", show_default=False, help="The model (default: the library's own; see: glimpse models)."
    ),
]
CountOption = Annotated[int, typer.Option("-k", "--count", min=1, help="How many results at most.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
