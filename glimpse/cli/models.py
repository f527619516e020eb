"""`glimpse models`."""

import sys
from pathlib import Path

import click

from glimpse.cli.options import json_option, library_option
from glimpse.defaults import offline, settings


@click.group(invoke_without_command=True)
@json_option
@click.pass_context
def models(context: click.Context, json_: bool) -> None:
    """List the models: what they are good for, their licence and size, and whether they are on this machine.

    \b
    Examples:
      glimpse models
      glimpse models get small
    """
    from encoders.registry import OPEN_FORMS, default, presets
    from glimpse import render

    if context.invoked_subcommand:
        return
    standard = default()
    for preset in presets().values():
        if preset.hidden:
            continue
        if json_:
            row = {
                "name": preset.name,
                "ready": preset.ready,
                "default": preset.name == standard,
                "what": preset.what,
            }
            render.emit_json({**row, "licence": preset.licence, "megabytes": preset.megabytes})
            continue
        state = "ready" if preset.ready else f"not downloaded (glimpse models get {preset.name})"
        state += ", the default" if preset.name == standard else ""
        render.say(f"{preset.name:8} {preset.what}\n         {state}; {preset.licence}; {preset.megabytes:,} MB")
    if not json_:
        render.note(f"--model takes any other model of open_clip as well: {' or '.join(OPEN_FORMS)}")


@models.command()
@click.argument("name")
def get(name: str) -> None:
    """Download a model, as safetensors. This alone uses the network; interrupted, it goes on where it stopped.

    \b
    Example:
      glimpse models get small
    """
    from core.errors import ModelError
    from core.types import Modality
    from encoders import hub
    from encoders.registry import preset
    from glimpse import render

    chosen = preset(name)
    if chosen.source and not chosen.repo:
        raise ModelError(f"'{name}' is none of the models in the list; get its files with: hf download REPOSITORY")
    if chosen.ready:
        render.note(f"{name} is here already")
        return
    if variable := offline():
        raise ModelError(f"'{name}' is not downloaded, since {variable} is set; unset it and run the command again")
    render.note(f"{name}: licence {chosen.licence}, from https://huggingface.co/{chosen.repo}")
    place = hub.download(
        chosen.repo,
        chosen.files,
        lambda size: render.note(f"{name}: {size / 1e6:,.0f} MB to {hub.folder()}"),
        bars=sys.stderr is not None and sys.stderr.isatty(),
        revision=chosen.revision,
    )
    render.emit_path(place)
    if chosen.modality == Modality.SOUND:
        render.note("it hears from the next run on: glimpse index")


@models.command()
@click.argument("name")
@click.option("--anyway", is_flag=True, help="Though it lacks some of the photos.")
@library_option
def use(name: str, anyway: bool, library: Path | None) -> None:
    """Have another model answer, once the library has its vectors (glimpse index --model NAME).

    \b
    Example:
      glimpse index --model small && glimpse models use small
    """
    from glimpse import render
    from glimpse.api import Library

    with Library(settings(library)) as opened:
        opened.use_model(name, anyway)
    render.say(f"'{render.plain(name)}' answers from now on")


@models.command()
@click.argument("name")
@library_option
def drop(name: str, library: Path | None) -> None:
    """Forget the vectors of a model that does not answer, and give their room back to the disk.

    \b
    Example:
      glimpse models drop builtin
    """
    from glimpse import render
    from glimpse.api import Library

    with Library(settings(library)) as opened:
        count = opened.drop_model(name)
    render.say(f"{count:,} vectors of '{render.plain(name)}' forgotten")
