"""What hears for a Space of pictures and texts: the model itself, a tower that learned to, or CLAP over a bridge."""

from pathlib import Path

from core.types import ProgressCallback, Vector
from encoders.base import Encoder, Hears, Join, SoundEncoder
from encoders.joins import MeanJoin

LEAST = 3
"""Windows of sound whose mean says what all sounds have in common: that of one is that sound itself."""
MANY = 2000
"""Windows that need no others beside them, which would take minutes to encode where nobody has."""
Counted = tuple[int, Vector | None]
"""Of how many sounds of a library the mean is, and the mean."""


def sound_encoder(
    joint: Encoder, tower: bytes | None, cache: Path, progress: ProgressCallback | None = None
) -> SoundEncoder | None:
    """Return what encodes sound for a model, None where nothing does; tower: what was learned, if anything was.

    Raises ModelError for a tower that cannot be used.
    """
    if isinstance(joint, Hears):
        return joint.sounds()
    if tower is not None:
        from encoders.learned import is_head, open_learned

        if not is_head(tower):
            return open_learned(tower, joint.space)
    from encoders.registry import sound_encoder as clap

    return clap(cache, progress)


def join(
    joint: Encoder,
    sounds: SoundEncoder,
    tower: bytes | None,
    mean: Counted,
    cache: Path,
    progress: ProgressCallback | None = None,
) -> Join:
    """Return what takes stored sound into the joint Space; mean: of the library's sounds. Raises ModelError.

    The bridge of two models that meet for the first time takes minutes: every caption goes through both.
    """
    if isinstance(joint, Hears):
        return MeanJoin(mean[1] if mean[0] >= LEAST else None)
    if tower is not None:
        from encoders.learned import is_head, open_head

        return open_head(tower, joint.space, sounds.space) if is_head(tower) else MeanJoin()
    from encoders.bridge import open_bridge

    bridge = open_bridge(sounds, joint, cache, progress)  # type: ignore[arg-type]  # only CLAP is left, and it reads
    return bridge.join(centre(sounds, mean, cache, progress))


def centre(sounds: SoundEncoder, mean: Counted, cache: Path, progress: ProgressCallback | None = None) -> Vector:
    """Return what to centre the rows of a sound encoder with, shape (dim,); mean: of the library's sounds."""
    from encoders.reference import reference_mean, sound_mean

    count, own = mean
    if own is not None and count >= MANY:
        return own
    return sound_mean(*mean, reference_mean(sounds, cache, progress))
