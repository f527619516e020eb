"""Teach a library to hear from its own recordings, keep what it learned, and hear everything anew."""

import hashlib
import shutil
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.errors import LibraryError
from core.types import Modality, ProgressCallback, StopRequested
from encoders.base import Encoder, Hears, unit
from glimpse.ready import Stopped, stoppable

if TYPE_CHECKING:
    from glimpse.api import Library
    from indexer.learning import Basis


def learn_sound(
    library: "Library", encoder: Encoder, progress: ProgressCallback, stop: StopRequested
) -> dict[str, Any] | None:
    """Learn, keep it, and encode all sound with it; returns the report of `encoders.learning`, None if stopped.

    Raises GlimpseError where there is nothing to learn, or too little to learn from.
    """
    from indexer.learning import teach
    from search.tags import TagBank
    from store.writer import Writer

    if isinstance(encoder, Hears):
        raise LibraryError(f"'{encoder.space.name}' hears by itself; there is nothing to learn for it")
    folder, cache = library.settings.library, library.settings.cache
    bank = TagBank(encoder, cache, progress=progress)
    tags = bank.vectors if encoder.space.centred else unit(bank.vectors - bank.mean())
    scratch = cache / "learning" / _name(folder, encoder)
    basis = partial(_basis, library, encoder, stoppable(progress, stop))
    try:
        learned = teach(folder, encoder, tags, scratch, progress, stop, basis)
    except Stopped:
        return None
    if learned is None:
        return None
    with Writer(folder) as writer:
        writer.set_tower(writer.add_space(encoder.space), learned.weights, learned.report)
    shutil.rmtree(scratch, ignore_errors=True)
    return learned.report


def _basis(library: "Library", encoder: Encoder, progress: ProgressCallback) -> "Basis | None":
    """Return CLAP and its bridge to learn upon, None where CLAP is not on this machine."""
    from encoders.bridge import open_bridge
    from encoders.reference import reference_mean, sound_mean
    from encoders.registry import sound_encoder
    from indexer.learning import Basis
    from store.reader import Reader

    cache = library.settings.cache
    clap = sound_encoder(cache, progress)
    if clap is None:
        return None
    with Reader(library.settings.library) as reader:
        stored = reader.space(clap.space.name, clap.space.revision)
        count, mean = reader.counted_mean(stored, Modality.SOUND) if stored else (0, None)
    bridge = open_bridge(clap, encoder, cache, progress)
    return Basis(clap, sound_mean(count, mean, reference_mean(clap, cache, progress)), bridge.matrix)


def _name(folder: Path, encoder: Encoder) -> str:
    """Return a name for what is half learned, which belongs to a library and a model."""
    what = f"{folder.resolve()}\n{encoder.space.key}".encode(errors="surrogateescape")
    return hashlib.sha256(what).hexdigest()[:16]
