"""`glimpse models`."""

import json

import typer

from glimpse.cli.options import JsonOption


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command("models", epilog="Example: glimpse models")(models)


def models(json_: JsonOption = False) -> None:
    """List the models: what they are good for, their licence and size."""
    from encoders.registry import DEFAULT, presets
    from glimpse import render

    for preset in presets().values():
        if preset.hidden:
            continue
        ready = preset.loader is not None
        if json_:
            row = {"name": preset.name, "ready": ready, "default": preset.name == DEFAULT, "what": preset.what}
            render.emit(json.dumps({**row, "licence": preset.licence, "megabytes": preset.megabytes}))
            continue
        state = "ready" if ready else "next version"
        render.emit(f"{preset.name:8}  {state:12}  {preset.megabytes:5} MB  {preset.licence}")
        render.emit(f"          {preset.what}")
