"""Which model of a library answers, and how one is given up; in the caller's transaction."""

from collections.abc import Sequence
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy import delete, exists, select, update
from sqlalchemy.engine import Connection

from core.errors import LibraryError
from core.types import Kind, Modality
from store.indexfile import sweep
from store.names import INDEX, SOUND
from store.schema import contents, files, library, runs, segments, spaces, vectors


def use(db: Connection, model: str, anyway: bool) -> None:
    """Make a model's newest space the one that answers; raises LibraryError where it lacks something."""
    space_id = _newest(db, model)
    there = exists().where(segments.c.content_id == contents.c.id, segments.c.id == vectors.c.segment_id)
    visible = contents.c.kind != Kind.AUDIO, exists().where(files.c.content_id == contents.c.id, ~files.c.gone)
    seen = select(sa.func.count()).where(*visible).select_from(contents)
    total = db.execute(seen).scalar_one()
    missing = db.execute(seen.where(~there.where(vectors.c.space_id == space_id))).scalar_one()
    if missing and not anyway:
        raise LibraryError(
            f"'{model}' has only {total - missing:,} of {total:,} photos and films; let it have the others first: "
            f"glimpse index --model {model}, or do without: glimpse models use --anyway {model}"
        )
    db.execute(update(library).values(current_space_id=space_id))


def drop(db: Connection, folder: Path, model: str) -> int:
    """Forget all vectors of a model, those of its own ear too; returns their number, raises LibraryError."""
    _newest(db, model)
    if db.execute(select(spaces.c.name).join_from(library, spaces)).scalar() == model:
        raise LibraryError(f"'{model}' is the model that answers; choose another first: glimpse models use NAME")
    own = spaces.c.name.in_((model, f"{SOUND}{model}"))
    return _forget(db, folder, db.execute(select(spaces.c.id).where(own)).scalars().all())


def drop_older(db: Connection, folder: Path, sound_id: int, model: str) -> None:
    """Forget the earlier versions of a space of sound, and that of what the model learned before it had this one."""
    name = select(spaces.c.name).where(spaces.c.id == sound_id).scalar_subquery()
    older = (spaces.c.name == name) | (spaces.c.name == f"{SOUND}{model}")
    _forget(db, folder, db.execute(select(spaces.c.id).where(older, spaces.c.id != sound_id)).scalars().all())


def _forget(db: Connection, folder: Path, space_ids: Sequence[int]) -> int:
    """Delete spaces with all that is theirs; the runs that made them stand to the credit of the one that answers."""
    current = select(library.c.current_space_id).scalar_subquery()
    count = db.execute(delete(vectors).where(vectors.c.space_id.in_(space_ids))).rowcount
    db.execute(update(runs).where(runs.c.space_id.in_(space_ids)).values(space_id=current))
    db.execute(delete(spaces).where(spaces.c.id.in_(space_ids)))
    for key in space_ids:  # before the commit: afterwards nobody would know whose they are
        sweep(folder / INDEX, key, keep=set())
    return int(count)


def _newest(db: Connection, model: str) -> int:
    """Return the id of a model's newest space; raises LibraryError with the names of those that there are."""
    name = model.encode(errors="replace").decode()  # a command line may hold other bytes, no name does
    pictures = spaces.c.modality == Modality.IMAGE
    newest = select(spaces.c.id).where(spaces.c.name == name, pictures).order_by(spaces.c.id.desc())
    found = db.execute(newest).scalar()
    if found is None:
        there = ", ".join(sorted(set(db.execute(select(spaces.c.name).where(pictures)).scalars()))) or "none"
        raise LibraryError(
            f"nothing in the library is indexed with '{model}' (but with: {there}); "
            f"run: glimpse index --model {model}"
        )
    return int(found)
