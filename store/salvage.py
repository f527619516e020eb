"""Save what is left of a damaged library.db: every row that can still be read, into a fresh database."""

import contextlib
import os
import secrets
import shutil
import sqlite3
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from core.types import Modality
from store import words
from store.durable import flush, sync_folder
from store.layout import Layout, layouts
from store.names import DATABASE, DATABASE_ERRORS, DERIVED, NEWEST, SOUND
from store.pages import LEAF, Pages, Value
from store.records import FRAME, MIDDLE, WHOLE
from store.versions import migrate
from store.writer import PAGE_SIZE, new_engine

SAMPLE = 20
"""Rows of a page by which its table is told."""
MASTER_COLUMNS = 5


@dataclass
class Salvage:
    """How many rows of each table were saved and lost; None: nobody can tell how many there were."""

    saved: dict[str, int] = field(default_factory=dict)
    lost: dict[str, int | None] = field(default_factory=dict)


def salvage(folder: Path, scratch: Path) -> Salvage:
    """Write what can be read of a library's database into a fresh one of the newest schema in the folder `scratch`.

    Rows that are unsound, or belong to rows that are lost, are left out; the index of words is made anew. Raises
    OSError and sqlite3.Error.
    """
    with contextlib.closing(Pages(folder / DATABASE, PAGE_SIZE)) as pages:
        free = pages.free()
        leaves = [n for n in range(1, len(pages) + 1) if n not in free and pages.kind(n) == LEAF]
        _upgrade(scratch, _version(pages, leaves))
        with contextlib.closing(sqlite3.connect(scratch / DATABASE, isolation_level=None)) as db:
            known = layouts(db)
            # A scratch file that nobody else opens: what counts is that it is whole before it gets its name.
            for pragma in ("journal_mode = DELETE", "synchronous = OFF", "foreign_keys = OFF"):
                db.execute(f"PRAGMA {pragma}")
            db.execute("BEGIN")
            _copy_rows(pages, leaves, known, db)
            with _old(folder) as old:
                drop_rows(db, doubtful(old, db) if old else set())
                _from_indexes(old, db)
                mend_references(db)
                mend_recordings(db)
                mend_facts(db)
                counts = {name: db.execute(f"SELECT count(*) FROM {name}").fetchone()[0] for name in known}  # noqa: S608
                lost = {name: _lost(old, name, count) for name, count in counts.items()}
                if lost.get("tags") != 0 or lost.get("file_tags") != 0:
                    _have_tags_read(db)
            db.execute("COMMIT")
            db.execute("PRAGMA journal_mode = WAL")
    _upgrade(scratch, "head")
    with contextlib.closing(sqlite3.connect(scratch / DATABASE)) as db, db:
        words.refresh(db)
    flush(scratch / DATABASE)
    return Salvage(counts, lost)


def install(folder: Path, scratch: Path) -> Path:
    """Put a fresh database in the place of the damaged one, which is kept beside it; returns where."""
    database = folder / DATABASE
    aside = database.with_name(f"{DATABASE}.damaged-{time.strftime('%Y%m%d-%H%M%S')}")
    for end in ("", "-wal"):
        part, kept = Path(f"{database}{end}"), Path(f"{aside}{end}")
        if part.exists() and (part.stat().st_size or not end):
            try:
                os.link(part, kept)  # at once, and without a second gigabyte
            except OSError:
                shutil.copy2(part, kept)
                flush(kept)
    sync_folder(folder)
    # The old log first: it must never meet the new database.
    for end in ("-wal", "-shm"):
        Path(f"{database}{end}").unlink(missing_ok=True)
    shutil.copymode(database, scratch / DATABASE)
    os.replace(scratch / DATABASE, database)
    sync_folder(folder)
    return aside


def _upgrade(scratch: Path, version: str) -> None:
    """Make the database in a scratch folder, or bring it to a version of the schema."""
    engine = new_engine(scratch / DATABASE)
    try:
        migrate(engine, scratch, version)
    finally:
        engine.dispose()


def _version(pages: Pages, leaves: Sequence[int]) -> str:
    """Return the version of the schema by which the rows were written; the newest where that is lost."""
    for number in leaves:
        for row in pages.rows(number):
            if row and len(row[1]) == 1 and isinstance(text := row[1][0], str) and text.isdigit() and text <= NEWEST:
                return text
            break  # it has a page of its own
    return NEWEST


def _copy_rows(pages: Pages, leaves: Sequence[int], known: dict[str, Layout], db: sqlite3.Connection) -> None:
    """Insert the sound rows of all pages; ids that were given away are remembered, those of lost rows too."""
    claims = _claims(pages)
    highest: Counter[str] = Counter()
    # Those that are where they belong come first: elsewhere there may be older versions of the same rows.
    for number in sorted(leaves, key=lambda number: number not in claims):
        if claims.get(number, "").startswith(DERIVED):
            continue
        rows = [row for row in pages.rows(number) if row is not None]
        for _, values in rows:
            if len(values) == 2 and values[0] in known and isinstance(values[1], int):  # sqlite_sequence
                highest[str(values[0])] = max(highest[str(values[0])], values[1])
        layout = _table_of([values for _, values in rows[:SAMPLE]], known, claims.get(number))
        if layout is None:
            continue
        for rowid, values in rows:
            own = layout.mended(values[1:])
            if values[:1] == [None] and layout.fits(own):
                names = ", ".join(f'"{column.name}"' for column in layout.columns[: len(values) - 1])
                marks = ", ".join("?" * len(values))
                db.execute(
                    f"INSERT OR IGNORE INTO {layout.table} (id, {names}) VALUES ({marks})",  # noqa: S608
                    (rowid, *own),
                )
    for name, highest_id in highest.items():
        raised = db.execute("UPDATE sqlite_sequence SET seq = max(seq, ?) WHERE name = ?", (highest_id, name))
        if not raised.rowcount:
            db.execute("INSERT INTO sqlite_sequence (name, seq) VALUES (?, ?)", (name, highest_id))


def _claims(pages: Pages) -> dict[int, str]:
    """Return which table each page belongs to, as far as one can get there from the table's root."""
    claims: dict[int, str] = {}
    for number in pages.leaves(1):
        for row in pages.rows(number):
            match row:
                case (_, ["table", str(name), _, int(root), *_]):
                    claims |= dict.fromkeys(pages.leaves(root), name)
    return claims


def _table_of(rows: Sequence[Sequence[Value]], known: dict[str, Layout], claim: str | None) -> Layout | None:
    """Return the table of a page: the one that claims it, if half of the rows fit it, or else the one that most fit.

    None for none.
    """
    votes = {
        name: sum(values[:1] == [None] and layout.fits(values[1:]) for values in rows)
        for name, layout in known.items()
    }
    if claim is not None and 0 < len(rows) <= 2 * votes.get(claim, 0):
        return known[claim]
    best = max(votes, key=lambda name: (votes[name], name == claim), default=None)
    return known[best] if best is not None and votes[best] else None


@contextlib.contextmanager
def _old(folder: Path) -> Iterator[sqlite3.Connection | None]:
    """Open the damaged database as far as SQLite does, for what its indexes still tell."""
    try:
        db = sqlite3.connect(f"{(folder / DATABASE).absolute().as_uri()}?mode=ro", uri=True, isolation_level=None)
    except DATABASE_ERRORS:
        yield None
        return
    with contextlib.closing(db):
        yield db


def _indexes(old: sqlite3.Connection, table: str) -> dict[str, list[str]]:
    """Return the indexes of a table and their columns."""
    with contextlib.suppress(*DATABASE_ERRORS):
        names = [row[1] for row in old.execute(f"PRAGMA index_list({table})")]
        return {name: [row[2] for row in old.execute(f'PRAGMA index_info("{name}")')] for name in names}
    return {}


def _lost(old: sqlite3.Connection | None, table: str, saved: int) -> int | None:
    """Return how many rows of a table were not saved, by the table itself or whichever of its indexes is whole."""
    found: list[int] = []
    for how in ["NOT INDEXED", *(f'INDEXED BY "{name}"' for name in _indexes(old, table))] if old else []:
        with contextlib.suppress(*DATABASE_ERRORS):
            found += old.execute(f"SELECT count(*) FROM {table} {how}").fetchone()  # type: ignore[union-attr]  # noqa: S608
    return max(0, *(count - saved for count in found)) if found else None


def _from_indexes(old: sqlite3.Connection | None, db: sqlite3.Connection) -> None:
    """Make rows again that only an index still knows, where the rest of them can be told: vectors need a space."""
    for space_id, name, revision in _covered(old, "spaces", ("name", "revision")):
        usual = "SELECT length(vector) FROM vectors WHERE space_id = ? GROUP BY 1 ORDER BY count(*) DESC LIMIT 1"
        sizes = db.execute(usual, (space_id,)).fetchone()
        values = {"id": space_id, "name": name, "revision": revision, "dim": sizes[0] // 2 if sizes else None}
        if any(column.name == "epoch" for column in layouts(db)["spaces"].columns):
            values["epoch"] = secrets.token_hex(4)
        if isinstance(name, str) and name.startswith(SOUND):
            values["modality"] = Modality.SOUND.value
        if sizes:
            names, marks = ", ".join(values), ", ".join("?" * len(values))
            db.execute(f"INSERT OR IGNORE INTO spaces ({names}) VALUES ({marks})", tuple(values.values()))  # noqa: S608
    for root_id, path in _covered(old, "roots", ("path",)):
        if isinstance(path, bytes) and os.path.isabs(path):
            db.execute("INSERT OR IGNORE INTO roots (id, path) VALUES (?, ?)", (root_id, path))
    known = _covered(old, "segments", ("content_id",))
    parts = Counter(content_id for _, content_id in known)
    timed = {row[0] for row in db.execute("SELECT id FROM contents WHERE kind != 'photo'")}
    for segment_id, content_id in sorted(known):  # whole photos come first
        there = db.execute("SELECT 1 FROM segments WHERE content_id = ?", (content_id,)).fetchone()
        # An index does not know the times of segments, nor which parts of a photo they are.
        if content_id in timed or (there and parts[content_id] > 2):
            continue
        whole = "SELECT 1 FROM segments WHERE content_id = ? AND kind = ?"
        kind = MIDDLE if db.execute(whole, (content_id, WHOLE)).fetchone() else WHOLE
        row = (segment_id, content_id, kind)
        db.execute("INSERT OR IGNORE INTO segments (id, content_id, kind) VALUES (?, ?, ?)", row)


def _covered(old: sqlite3.Connection | None, table: str, columns: tuple[str, ...]) -> list[tuple[object, ...]]:
    """Return id and columns of all rows, from an index that has those columns, as far as it can be read."""
    found: list[tuple[object, ...]] = []
    for index, covered in _indexes(old, table).items() if old else ():
        if set(columns) <= set(covered):
            with contextlib.suppress(*DATABASE_ERRORS):
                names = ", ".join(columns)
                rows = old.execute(f'SELECT id, {names} FROM {table} INDEXED BY "{index}"')  # type: ignore[union-attr]  # noqa: S608
                found.extend(rows)  # keeps what came before an error
    return found


def doubtful(old: sqlite3.Connection, db: sqlite3.Connection) -> set[tuple[str, int]]:
    """Return (table, id) of the rows of `db` of which an index of `old` says something else: one of both is wrong."""
    found: set[tuple[str, int]] = set()
    for table in layouts(db):
        for index, columns in _indexes(old, table).items():
            names = ", ".join(f'"{name}"' for name in columns)
            there = f"SELECT {names} FROM {table} NOT INDEXED WHERE id = ?"  # noqa: S608
            with contextlib.suppress(*DATABASE_ERRORS):
                for rowid, *told in old.execute(f'SELECT id, {names} FROM {table} INDEXED BY "{index}"'):  # noqa: S608
                    row = db.execute(there, (rowid,)).fetchone()
                    if row is not None and row != tuple(told):
                        found.add((table, rowid))
    return found


def drop_rows(db: sqlite3.Connection, rows: Iterable[tuple[str, int]]) -> None:
    """Delete rows, (table, id); what belongs to them is left to `mend_references`."""
    for table, rowid in rows:
        db.execute(f"DELETE FROM {table} WHERE id = ?", (rowid,))  # noqa: S608


def mend_references(db: sqlite3.Connection) -> None:
    """Leave out what belongs to rows that are lost, until nothing does."""
    while broken := db.execute("PRAGMA foreign_key_check").fetchall():
        for table, rowid, parent, key in broken:
            keys = {row[0]: row for row in db.execute(f"PRAGMA foreign_key_list({table})") if row[2] == parent}
            _, _, _, column, _, _, on_delete, _ = keys[key]
            if on_delete == "SET NULL" or table == "library":
                db.execute(f"UPDATE {table} SET {column} = NULL WHERE id = ?", (rowid,))  # noqa: S608
            else:
                db.execute(f"DELETE FROM {table} WHERE id = ?", (rowid,))  # noqa: S608


def mend_recordings(db: sqlite3.Connection) -> None:
    """Have recordings of which rows may be lost heard again, and films seen again whose frames leave out a time.

    The span of each frame reaches to the next one, that of the last to the end.
    """
    if not db.execute("SELECT 1 FROM contents WHERE kind != 'photo'").fetchone():  # or the schema knows of none
        return
    db.execute("UPDATE contents SET heard = 0 WHERE kind != 'photo'")
    db.execute(
        """
        WITH frames AS (
          SELECT content_id, start, "end", lag(start) OVER film AS before, lead(start) OVER film AS next
          FROM segments WHERE kind = ? WINDOW film AS (PARTITION BY content_id ORDER BY start)
        ), broken AS (
          SELECT f.content_id FROM frames f JOIN contents c ON c.id = f.content_id
          WHERE (f.before IS NULL AND f.start > 0) OR f.next != f."end"
          OR (f.next IS NULL AND f."end" < coalesce(json_extract(c.metadata, '$.duration'), 0))
        )
        DELETE FROM vectors WHERE segment_id IN (
          SELECT s.id FROM segments s JOIN broken b ON b.content_id = s.content_id WHERE s.kind = ?
        )
        """,
        (FRAME, FRAME),
    )


def mend_facts(db: sqlite3.Connection) -> None:
    """Put right what rows say together: no content lacks some of its vectors, a model answers, folders are known."""
    db.execute(
        "DELETE FROM vectors WHERE id IN (SELECT v.id FROM vectors v JOIN segments s ON s.id = v.segment_id "
        "JOIN segments o ON o.content_id = s.content_id AND o.id != s.id AND (o.kind = s.kind OR "
        "(s.kind IN ('whole', 'middle') AND o.kind IN ('whole', 'middle'))) WHERE NOT EXISTS "
        "(SELECT 1 FROM vectors w WHERE w.segment_id = o.id AND w.space_id = v.space_id))"
    )
    # Whose metadata is lost is read again: so it is with photos that nobody has read metadata from yet.
    if _has_metadata(db):
        db.execute(
            "UPDATE contents SET metadata = NULL WHERE id IN (SELECT content_id FROM files f WHERE NOT EXISTS "
            "(SELECT 1 FROM metadata m WHERE m.file_id = f.id))"
        )
    fullest = db.execute(
        "SELECT v.space_id FROM vectors v JOIN segments s ON s.id = v.segment_id WHERE s.kind != 'window' "
        "GROUP BY 1 ORDER BY count(*) DESC LIMIT 1"
    ).fetchone()
    if fullest:
        answers = db.execute("UPDATE library SET current_space_id = coalesce(current_space_id, ?)", fullest)
        if not answers.rowcount:
            db.execute("INSERT INTO library (current_space_id) VALUES (?)", fullest)
    if not db.execute("SELECT 1 FROM sources").fetchone():
        db.execute("INSERT INTO sources (path, folder) SELECT path, 1 FROM roots")


def _have_tags_read(db: sqlite3.Connection) -> None:
    """Have the next run read keywords again, in photos and beside them."""
    if _has_metadata(db):
        db.execute("""UPDATE contents SET metadata = NULL WHERE metadata LIKE '%"keywords"%'""")
        db.execute("UPDATE files SET beside = '' WHERE beside IS NOT NULL")


def _has_metadata(db: sqlite3.Connection) -> bool:
    """Say whether a schema is one that keeps metadata."""
    return any(row[1] == "metadata" for row in db.execute("PRAGMA table_info(contents)"))
