"""A small picture of whatever was found: a photo, a moment of a film, what is to be heard."""

import contextlib
from pathlib import Path

from core.errors import MediaError
from core.types import Hit, Kind
from store.previews import PREVIEW_SIZE, Previews, is_preview
from store.reader import Reader


def picture_of(hit: Hit, reader: Reader) -> bytes:
    """Return a small picture of a hit, WebP: the stored one, or else one made from the file; raises MediaError.

    Of a film, the moment that was found, where the file is there. One that is made of a photo is kept.
    """
    if hit.kind is Kind.VIDEO and hit.start:
        with contextlib.suppress(MediaError):
            return _still(hit.path, hit.start)
    previews, digest = Previews(reader.folder), reader.digest(hit.id)
    kept = previews.read(digest) if digest else None
    if kept is not None and is_preview(kept):
        return kept
    match hit.kind:
        case Kind.VIDEO:
            return _still(hit.path, hit.start or 0.0)
        case Kind.AUDIO:
            return _spectrogram(hit.path)
    return _thumbnail(hit.path, previews, digest, reader.preview_size())


def _thumbnail(path: Path, previews: Previews, digest: bytes | None, wanted: int) -> bytes:
    """Return a photo, and keep it as its preview; wanted: the longer side of previews in px, 0 for none."""
    from media.files import read_file
    from media.photo import thumbnail

    file = read_file(str(path))
    made = thumbnail(file.data, path.name, wanted or PREVIEW_SIZE)
    if wanted and file.digest == digest:
        with contextlib.suppress(OSError):  # a read-only disk: made again next time
            previews.write(digest, made)
    return made


def _still(path: Path, seconds: float) -> bytes:
    """Return the frame of a film at a moment."""
    from media.film import still
    from media.recording import open_recording

    with open_recording(path) as recording:
        return still(recording, seconds, PREVIEW_SIZE)


def _spectrogram(path: Path) -> bytes:
    """Return a picture of what is to be heard."""
    from media.recording import open_recording
    from media.sound import blocks
    from media.spectrogram import picture

    with open_recording(path) as recording:
        drawn = picture(blocks(recording))
    if drawn is None:
        raise MediaError("there is nothing to be heard in it")
    return drawn
