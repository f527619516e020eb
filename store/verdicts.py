"""Write what a person says of tags, in the caller's transaction; store/tagging.py has what verdicts mean."""

from collections.abc import Collection, Mapping

from sqlalchemy import delete, exists, insert, select
from sqlalchemy.engine import Connection

from core.errors import LibraryError
from store.batch import parts, tag_ids
from store.schema import file_tags, files, tags, verdicts
from store.tagging import Verdict, clean, effective, renamed, under

Said = dict[int, dict[str, Verdict]]
"""Verdicts by content and tag, oldest first."""


def judge(db: Connection, content_ids: Collection[int], name: str, verdict: Verdict) -> int:
    """Note a verdict for each content, in the place of an earlier one; returns how many gained or lost the tag.

    Upper and lower case are one, as they are in the keywords of files; raises QueryError.
    """
    name, changed = _spelled(db, name), 0
    key = tag_ids(db, {name})[name]
    for part in parts(list(dict.fromkeys(content_ids))):
        had = _having(db, part, key)
        changed += len(part) - had if verdict.has else had
        db.execute(delete(verdicts).where(verdicts.c.content_id.in_(part), verdicts.c.tag_id == key))
        rows = [{"content_id": content_id, "tag_id": key, "verdict": verdict.value} for content_id in part]
        db.execute(insert(verdicts), rows)
    return changed


def rename(db: Connection, old: str, new: str) -> int:
    """Rename a tag and all below it; returns how many contents had one of them; raises LibraryError, QueryError.

    Raises LibraryError where nothing has such a tag.
    """
    old = _spelled(db, old)
    new = clean(new) if clean(new).casefold() == old.casefold() else _spelled(db, new)
    all_tags = db.execute(select(tags.c.name, tags.c.id)).all()
    there = {row.name: row.id for row in all_tags if under(row.name.casefold(), old.casefold())}
    names = {name: new + name[len(old) :] for name in there}
    ids = there | tag_ids(db, set(names.values()))
    written, said = _written(db, ids), _verdicts(db, ids)
    had, rows = 0, []
    for content_id in sorted({*written, *said}):
        keywords, before = written.get(content_id, []), said.get(content_id, {})
        had += not names.keys().isdisjoint(effective(keywords, before))
        rows += [
            {"content_id": content_id, "tag_id": ids[name], "verdict": verdict.value}
            for name, verdict in renamed(keywords, before, names).items()
        ]
    if not had:
        raise LibraryError(f"nothing has the tag '{old}'; see which there are: glimpse tag list")
    for part in parts(list(ids.values())):
        db.execute(delete(verdicts).where(verdicts.c.tag_id.in_(part)))
    if rows:
        db.execute(insert(verdicts), rows)
    forget_unused(db)
    return had


def forget_unused(db: Connection) -> None:
    """Delete the tags that neither files nor verdicts use."""
    used = exists().where(file_tags.c.tag_id == tags.c.id) | exists().where(verdicts.c.tag_id == tags.c.id)
    db.execute(delete(tags).where(~used))


def _spelled(db: Connection, name: str) -> str:
    """Return a tag as the library spells it already: files may do so in their own way; cleaned if it is new."""
    if db.execute(select(tags.c.id).where(tags.c.name == name)).first() is not None:
        return name
    cleaned = clean(name)
    same = [row for row in db.execute(select(tags.c.name)).scalars() if row.casefold() == cleaned.casefold()]
    return cleaned if cleaned in same else min(same, default=cleaned)


def _having(db: Connection, content_ids: Collection[int], key: int) -> int:
    """Return how many of some contents have a tag."""
    query = select(verdicts.c.content_id, verdicts.c.verdict)
    rows = db.execute(query.where(verdicts.c.content_id.in_(content_ids), verdicts.c.tag_id == key))
    said = {content_id: Verdict(verdict).has for content_id, verdict in rows}
    query = select(files.c.content_id).join(file_tags, file_tags.c.file_id == files.c.id)
    query = query.where(files.c.content_id.in_(content_ids), file_tags.c.tag_id == key, ~files.c.gone)
    written = set(db.execute(query).scalars())
    return sum(said.get(content_id, content_id in written) for content_id in content_ids)


def _written(db: Connection, ids: Mapping[str, int]) -> dict[int, list[str]]:
    """Return which of some tags the files of contents have, also of files that are gone: they may come back."""
    found: dict[int, list[str]] = {}
    named = {key: name for name, key in ids.items()}
    for part in parts(list(named)):
        query = select(files.c.content_id, file_tags.c.tag_id).join(file_tags, file_tags.c.file_id == files.c.id)
        for content_id, key in db.execute(
            query.where(file_tags.c.tag_id.in_(part), files.c.content_id.is_not(None)).order_by(file_tags.c.id)
        ):
            found.setdefault(content_id, []).append(named[key])
    return found


def _verdicts(db: Connection, ids: Mapping[str, int]) -> Said:
    """Return what was said of some tags."""
    found: Said = {}
    named = {key: name for name, key in ids.items()}
    for part in parts(list(named)):
        query = select(verdicts.c.content_id, verdicts.c.tag_id, verdicts.c.verdict).order_by(verdicts.c.id)
        for content_id, key, verdict in db.execute(query.where(verdicts.c.tag_id.in_(part))):
            found.setdefault(content_id, {})[named[key]] = Verdict(verdict)
    return found
