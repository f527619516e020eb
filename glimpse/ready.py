"""Make, at the end of an index run, what the first questions would otherwise wait for."""

from pathlib import Path

from core.types import IndexReport, Modality, Progress, ProgressCallback, StopRequested
from encoders.base import Encoder, Reads
from indexer.hearing import Hearing


class Stopped(Exception):  # noqa: N818 - no error
    """Somebody wants what is being made to end; what is done is kept in the cache."""


def stoppable(progress: ProgressCallback, stop: StopRequested) -> ProgressCallback:
    """Return what tells of progress, and raises Stopped once `stop` says so."""

    def tell(step: Progress) -> None:
        if stop():
            raise Stopped
        progress(step)

    return tell


def get_ready(
    folder: Path,
    encoder: Encoder,
    hearing: Hearing,
    cache: Path,
    progress: ProgressCallback,
    stop: StopRequested,
    report: IndexReport,
) -> None:
    """Fit the bridge and encode the tags that sounds are looked for with, unless that was done before.

    The first time takes minutes with CLAP. Marks the report as interrupted where `stop` turned true meanwhile; the
    next run goes on from there. What fails is a note: all works but questions that lead from pictures to sound or
    back.
    """

    try:
        _make(folder, encoder, hearing, cache, stoppable(progress, stop))
    except Stopped:
        report.interrupted = True
    except Exception as error:  # each library has its own
        reason = (str(error) or type(error).__name__).partition("\n")[0]
        report.notes.append(f"sounds and pictures cannot find each other yet: {reason}")


def _make(folder: Path, encoder: Encoder, hearing: Hearing, cache: Path, progress: ProgressCallback) -> None:
    """Make what is missing: ordinary words, and what sounds and pictures need to find each other."""
    from encoders.ears import join
    from search.hearing import sounds_bank
    from search.tags import TagBank
    from store.reader import Reader
    from store.recordings import has_sound, tower

    with Reader(folder) as reader:
        space = reader.space(encoder.space.name, encoder.space.revision)
        if space is None:
            return
        if reader.newest_vector(space.id):
            _ = TagBank(encoder, cache, progress=progress).vectors
        if not has_sound(reader):
            return
        learned = tower(reader, space)
        sounds = hearing(learned)
        if sounds is None:
            return
        stored = reader.space(sounds.space.name, sounds.space.revision)
        if stored is None or not reader.newest_vector(stored.id):
            return
        mean = reader.counted_mean(stored, Modality.SOUND)
    if isinstance(sounds, Reads):
        _ = sounds_bank(sounds, cache, progress).vectors
    join(encoder, sounds, learned, mean, cache, progress)
