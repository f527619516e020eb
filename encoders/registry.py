"""Which models there are, and how one is loaded: a table in presets.toml, two open forms, and one function."""

import contextlib
import hashlib
import importlib
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from core.errors import ModelError
from core.types import Modality, Progress, ProgressCallback
from encoders.base import Encoder

if TYPE_CHECKING:
    from encoders.clap import ClapEncoder

FALLBACK = "builtin"
"""The model that is always there."""
PREFERRED = "small"
"""The model of a new library if its weights are there."""
HEARING = "clap"
"""The model that hears for those that cannot, if its weights are there."""
OPEN_FORMS = ("open_clip:MODEL/TAG", "local-dir:PATH")
RESEARCH_ONLY = {
    "mobileclip": "Apple ML Research Model licence",
    "dfn": "Apple ML Research Model licence",
    "metaclip": "CC-BY-NC 4.0",
    "nllb-clip": "CC-BY-NC 4.0",
}
"""How models or tags of open_clip begin whose weights are not for commercial use: these are never a preset."""


@dataclass(frozen=True)
class Preset:
    """A model that can be named.

    loader: the module with load(); source: which of open_clip's models, "" for the others; repo: where in the
    Hugging Face cache its weights are, "" where they come with the installation; revision: the branch or pull request
    there that has them in a format that cannot run code. modality: "sound" where it only hears, for other models.
    """

    name: str
    what: str
    licence: str
    megabytes: int
    loader: str
    source: str = ""
    repo: str = ""
    revision: str = "main"
    modality: str = Modality.IMAGE
    hidden: bool = False

    @property
    def ready(self) -> bool:
        """Whether everything that the model needs is on this machine."""
        if not self.repo:
            return True
        from encoders.hub import cached

        return cached(self.repo, self.files[0]) is not None

    @property
    def files(self) -> tuple[str, ...]:
        """Which files of `repo` the model needs, as patterns of names: the weights first."""
        from encoders.hub import CLAP_FILES, FILES, OMNI_FILES

        return {"omni": OMNI_FILES, "clap": CLAP_FILES}.get(self.loader, FILES)

    @property
    def missing(self) -> str:
        """What to tell when the model's files are not there, "" where only the loader knows them."""
        if not self.repo:
            return ""
        other = "" if self.modality == Modality.SOUND else f", or use --model {FALLBACK}"
        return (
            f"the model '{self.name}' ({self.megabytes:,} MB) is not on this machine; "
            f"get it with: glimpse models get {self.name}{other}"
        )


def presets() -> dict[str, Preset]:
    """Return all presets by name, hidden ones included."""
    table = tomllib.loads(Path(__file__).with_name("presets.toml").read_text(encoding="utf-8"))
    return {name: Preset(name=name, **entry) for name, entry in table.items()}


def preset(name: str) -> Preset:
    """Return the preset of that name, or one made for an open form; raises ModelError."""
    known = presets()
    if name in known:
        return known[name]
    if any(name.startswith(form.partition(":")[0] + ":") for form in OPEN_FORMS):
        return Preset(name, "your own choice", licence="its own", megabytes=0, loader="openclip", source=name)
    names = ", ".join([p.name for p in known.values() if not p.hidden] + list(OPEN_FORMS))
    raise ModelError(f"there is no model '{name}'; the models are: {names}")


def default() -> str:
    """Return the name of the model that a new library gets."""
    return PREFERRED if preset(PREFERRED).ready else FALLBACK


def load(name: str, cache: Path, progress: ProgressCallback | None = None) -> Encoder:
    """Load a model, making what it needs below `cache` the first time; raises ModelError."""
    known = preset(name)
    if known.modality == Modality.SOUND:
        raise ModelError(
            f"'{name}' hears for other models, by itself once it is on this machine, and sees nothing; "
            f"use another: --model {FALLBACK}"
        )
    if not known.ready:
        raise ModelError(known.missing)
    module = importlib.import_module(f"encoders.{known.loader}")
    encoder: Encoder = module.load(cache, progress, *([known] if known.source or known.repo else []))
    if progress and (licence := research_only(known.source)):
        _tell_once(f"{name}: these weights are for research only ({licence})", cache, progress)
    return encoder


def sound_encoder(cache: Path, progress: ProgressCallback | None = None) -> "ClapEncoder | None":
    """Load the model that hears for those that cannot, None where it is not on this machine; raises ModelError."""
    known = preset(HEARING)
    if not known.ready:
        return None
    from encoders import clap

    return clap.load(cache, progress, known)


def research_only(source: str) -> str:
    """Return the licence of `open_clip:MODEL/TAG` where it rules out commercial use, "" where that is not known."""
    form, _, named = source.lower().partition(":")
    names = named.split("/") if form == "open_clip" else []
    return next((terms for start, terms in RESEARCH_ONLY.items() if any(n.startswith(start) for n in names)), "")


def _tell_once(text: str, cache: Path, progress: ProgressCallback) -> None:
    """Tell something, unless it has been told on this machine."""
    mark = cache / "told" / hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()[:16]
    if mark.exists():
        return
    progress(Progress(text))
    with contextlib.suppress(OSError):  # a read-only cache: told again next time
        mark.parent.mkdir(parents=True, exist_ok=True)
        mark.touch()
