"""Which models there are, and how one is loaded: a table in presets.toml and one function."""

import importlib
import tomllib
from dataclasses import dataclass
from pathlib import Path

from core.errors import ModelError
from core.types import ProgressCallback
from encoders.base import Encoder

DEFAULT = "builtin"
"""The model of a new library as long as no stronger one is there."""


@dataclass(frozen=True)
class Preset:
    """A model that can be named; `loader` is None while this version cannot run it."""

    name: str
    what: str
    licence: str
    megabytes: int
    loader: str | None = None
    hidden: bool = False


def presets() -> dict[str, Preset]:
    """Return all presets by name, hidden ones included."""
    table = tomllib.loads(Path(__file__).with_name("presets.toml").read_text(encoding="utf-8"))
    return {name: Preset(name=name, **entry) for name, entry in table.items()}


def preset(name: str) -> Preset:
    """Return the preset of that name if this version can run it; raises ModelError."""
    known = presets()
    if name not in known:
        names = ", ".join(p.name for p in known.values() if not p.hidden)
        raise ModelError(f"there is no model '{name}'; the models are: {names}")
    if known[name].loader is None:
        raise ModelError(f"the model '{name}' comes with the next version; use --model {DEFAULT}")
    return known[name]


def load(name: str, cache: Path, progress: ProgressCallback | None = None) -> Encoder:
    """Load a model, making what it needs below `cache` the first time; raises ModelError."""
    module = importlib.import_module(f"encoders.{preset(name).loader}")
    encoder: Encoder = module.load(cache, progress)
    return encoder
