"""`glimpse models`."""

import json

import click

from glimpse.cli.options import json_option


@click.command()
@json_option
def models(json_: bool) -> None:
    """List the models: what they are good for, their licence and size.

    \b
    Example:
      glimpse models
    """
    from encoders.registry import DEFAULT, presets
    from glimpse import render

    for preset in presets().values():
        if preset.hidden:
            continue
        ready = preset.loader is not None
        if json_:
            row = {
                "name": preset.name,
                "ready": ready,
                "default": preset.name == DEFAULT,
                "what": preset.what,
            }
            render.emit(json.dumps({**row, "licence": preset.licence, "megabytes": preset.megabytes}))
            continue
        state = "ready" if ready else "comes with the next version"
        render.emit(f"{preset.name:8} {preset.what}\n         {state}; {preset.licence}; {preset.megabytes:,} MB")
