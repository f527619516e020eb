"""Plan what has to be written into the sidecars of photos so that they say other tags."""

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from core.errors import MediaError
from core.types import Failure
from media.kinds import expected_media
from media.rewrite import Change, content, why
from media.sidecar import xmp_names
from media.xmp import parse_xmp, read_xmp
from media.xmp_write import normalised, with_tags


class TagEdit(NamedTuple):
    """Tags that the sidecar of a photo, a recording or a film is to say, or not to say any more, besides its own."""

    path: Path
    add: Sequence[str] = ()
    remove: Sequence[str] = ()


def plan(edits: Iterable[TagEdit]) -> Iterator[Change | Failure]:
    """Yield what has to be changed, for `rewrite.write` or to be shown, and a Failure for each file that cannot be.

    What already says so is passed over. Each sidecar is read when it is its turn, so a plan may be of any length.
    Edits are asked for and no lists, since a sidecar may say more than a library remembers of it.

    IMG.jpg.xmp is written, since it goes before IMG.xmp with every program that reads both. Where there is only
    IMG.xmp, that one is: another beside it would hide from those programs what it says. But not if it belongs to
    several files, as to IMG.jpg and IMG.png: then IMG.jpg.xmp begins as a copy of it. Either way nothing that it says
    is lost; tags that IMG.xmp says are taken out of IMG.xmp only if that is the one to write.
    """
    stems = lru_cache(maxsize=16)(_stems)
    for edit in edits:
        path = Path(os.path.abspath(edit.path))
        target = path
        try:
            os.lstat(path)
            target, source = _sidecar(path, stems)
            change = _change(target, source, edit)
        except MediaError as error:
            yield Failure(target, str(error))
        except FileNotFoundError:
            yield Failure(target, "there is no such file; connect the drive, or index again")
        except OSError as error:
            yield Failure(target, why(error))
        else:
            if change:
                yield change


def _sidecar(path: Path, stems: Callable[[Path], Counter[str]]) -> tuple[Path, Path | None]:
    """Return the sidecar that is to be written for a file, and the one that it begins as, which may be itself."""
    own, *others = (path.with_name(os.fsdecode(name)) for name in xmp_names(os.fsencode(path.name)))
    found = next((one for one in (own, *others) if os.path.lexists(one)), None)
    shared = found is not None and found.stem != path.name and stems(path.parent)[path.stem] > 1
    return own if found is None or shared else found, found


def _stems(folder: Path) -> Counter[str]:
    """Count the photos, sounds and films of a folder that have the same name but for the extension."""
    return Counter(os.path.splitext(name)[0] for name in os.listdir(folder) if expected_media(name))


def _change(target: Path, source: Path | None, edit: TagEdit) -> Change | None:
    """Return what has to be changed in a sidecar, if anything; raises MediaError."""
    existing = content(source) if source else None
    said = read_xmp(parse_xmp(existing)).keywords if existing else ()
    unwanted = {tag.casefold() for tag in normalised(edit.remove)}
    tags = normalised([*(tag for tag in normalised(said) if tag.casefold() not in unwanted), *edit.add])
    if existing is None and not tags:
        return None
    after = with_tags(existing, tags)
    if after == existing:
        return None
    return Change(target, existing if target == source else None, after, _summary(said, tags, source, target))


def _summary(said: Sequence[str], tags: Sequence[str], source: Path | None, target: Path) -> str:
    """Return what changes, in a line: "+ beach  - day"."""
    signs = [("+", tag) for tag in tags if tag not in said] + [("-", tag) for tag in said if tag not in tags]
    words = (
        "  ".join(f"{sign} {tag}" for sign, tag in signs) or "the same tags, for programs that read only some of them"
    )
    return words if source in (None, target) else f"{words}  (from a copy of {source.name})"
