"""Let what was said of a photo go on when its file was edited: a title written into it makes other bytes of it."""

from collections.abc import Iterable

import numpy as np
from sqlalchemy.engine import Connection

from core.types import Vector
from store.names import VECTOR_DTYPE
from store.records import WHOLE

SAME = 0.95
"""Cosine from which on what lies at a path is the same picture as before, edited, and not another of that name."""


def carry(db: Connection, space_id: int, replaced: Iterable[tuple[int, int]]) -> None:
    """Copy the verdicts of contents to those that took their place, where both look the same.

    replaced: (old, new) ids of contents; what was said of the new one stays.
    """
    for old, new in replaced:
        said = db.exec_driver_sql("SELECT 1 FROM verdicts WHERE content_id = ? LIMIT 1", (old,)).first()
        if said is None:
            continue
        before, now = _vector(db, space_id, old), _vector(db, space_id, new)
        if before is not None and now is not None and float(before @ now) >= SAME:
            db.exec_driver_sql(
                "INSERT OR IGNORE INTO verdicts (content_id, tag_id, verdict) "
                "SELECT ?, tag_id, verdict FROM verdicts WHERE content_id = ? ORDER BY id",
                (new, old),
            )


def _vector(db: Connection, space_id: int, content_id: int) -> Vector | None:
    query = (
        "SELECT v.vector FROM segments s JOIN vectors v ON v.segment_id = s.id AND v.space_id = ? "
        "WHERE s.content_id = ? AND s.kind = ?"
    )
    found = db.exec_driver_sql(query, (space_id, content_id, WHOLE)).first()
    return None if found is None else np.frombuffer(found[0], VECTOR_DTYPE).astype(np.float32)
