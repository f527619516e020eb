"""The settings of one run, fixed when it starts."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Settings:
    """Say where things are and how much of the machine to use.

    library: the folder of the library; cache: exported models and tag vectors (deletable at any time);
    model: a preset's name, or None for the library's own; workers: decoding threads (>= 1);
    batch_size: photos encoded and committed together (>= 1), None for what the model likes best;
    preview: longer side of the stored previews in px,
    0 for none, None for what was said of the library before;
    tier: of the index: "exhaustive", "ivf", "auto" for whatever fits its size, None for what was said before;
    tiles: which photos have vectors of parts, too: "none", "wide", "all", None for what was said before;
    ocr: whether text in photos is read, None for what was said before.
    """

    library: Path
    cache: Path
    model: str | None = None
    workers: int = 2
    batch_size: int | None = None
    preview: int | None = None
    tier: str | None = None
    tiles: str | None = None
    ocr: bool | None = None
