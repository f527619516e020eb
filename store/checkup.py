"""The doctor's checks of the database."""

import contextlib
import os
import re
import shutil
import sqlite3
import time
from collections import Counter
from pathlib import Path

import numpy as np

from core.diagnosis import Finding, State
from core.errors import LibraryError
from core.types import Progress
from store import words
from store.durable import flush
from store.layout import layouts
from store.names import (
    DATABASE,
    DATABASE_ERRORS,
    NEWEST,
    VECTOR_DTYPE,
    check_size,
    check_version,
    tower_revision,
)
from store.pages import is_log
from store.patient import Check, Found, Patient, Trouble
from store.records import FRAME, WHOLE
from store.salvage import doubtful, drop_rows, mend_facts, mend_recordings, mend_references

SHOWN = 100
"""Errors of SQLite's own check that are asked for."""
INDEX_ONLY = re.compile(r"row \d+ missing from index |wrong # of entries in index |non-unique entry in index ")
# What SQLite's own check says of them from 3.44 on.
WORDS_ONLY = re.compile(r"(malformed|unable to validate the) inverted index for FTS5 table")
BLOCK = 8192
TOLERANCE = 2.0**-11 + 1e-5
"""How far from 1 a unit vector's length may lie in fp16: half a unit in each number's last place, and fp32's own."""
SAVES = "saves what can be read into a fresh one, and keeps the damaged one beside it"


def check_database(patient: Patient) -> Found:
    """See whether the database opens, and what its schema is."""
    size = patient.database.stat().st_size
    # Before SQLite opens it: whoever opens a log that is none begins a new one.
    log = patient.database.with_name(f"{DATABASE}-wal")
    with contextlib.suppress(FileNotFoundError):
        with log.open("rb") as file:
            head = file.read(32)
        if head and not is_log(head):
            yield Trouble(
                f"{log.name} is damaged: what was written last may be missing",
                "empties it, and keeps a copy",
                lambda: _empty_log(patient, log),
            )
    error = ""
    try:
        check_size(patient.folder)
        rows = patient.db.execute("SELECT version_num FROM alembic_version").fetchall()
        patient.version = str(rows[0][0]) if rows else None
    except (*DATABASE_ERRORS, LibraryError) as caught:
        error = str(caught)
    if patient.version is not None and patient.version.isdigit():
        check_version(patient.version, patient.folder)
        age = "" if patient.version == NEWEST else ", which the next glimpse index brings up to date"
        yield _fine("database", f"{DATABASE} opens: {size / 1e6:,.1f} MB, schema {patient.version}{age}")
        return
    patient.sound = False
    why = "it is empty" if size == 0 else error or "it has no version"
    yield Trouble(f"{DATABASE} cannot be used: {why}", SAVES, lambda: _rebuilt(patient))


def check_structure(patient: Patient) -> Found:
    """Have SQLite look at every page, row and index."""
    if not patient.sound:
        return
    patient.progress(Progress("checking the database"))
    errors = [error for error in _errors(patient.db) if not WORDS_ONLY.match(error)]
    if not errors:
        yield _fine("structure", "every page and every index is sound")
        return
    patient.sound = False
    text = f"{DATABASE} is damaged: {_first_line(errors[0])}" + (f" (and {len(errors) - 1} more)" * (len(errors) > 1))
    if all(INDEX_ONLY.match(error) for error in errors):
        yield Trouble(text, "builds its indexes anew", lambda: _reindex(patient) or patient.rebuild())
    else:
        yield Trouble(text, SAVES, patient.rebuild)


def check_references(patient: Patient) -> Found:
    """See whether rows belong to rows that are there."""
    if not patient.sound:
        return
    broken = Counter(row[0] for row in patient.db.execute("PRAGMA foreign_key_check"))
    if not broken:
        yield _fine("references", "every row belongs to one that is there")
        return
    patient.sound = False
    yield Trouble(f"rows belong to nothing: {_counts(broken)}", SAVES, patient.rebuild)


def check_values(patient: Patient) -> Found:
    """See whether every value is one that could have been written."""
    if not patient.sound:
        return
    broken: Counter[str] = Counter()
    rows = 0
    for name, layout in layouts(patient.db).items():
        columns = ", ".join(f'"{column.name}"' for column in layout.columns)
        for row in patient.db.execute(f"SELECT {columns} FROM {name}"):  # noqa: S608
            rows += 1
            broken[name] += not layout.fits(row)
    if not +broken:
        yield _fine("values", f"{rows:,} rows say what rows of their tables can say")
        return
    patient.sound = False
    yield Trouble(f"rows say what was never written: {_counts(+broken)}", SAVES, patient.rebuild)


def check_vectors(patient: Patient) -> Found:
    """See whether vectors are as long as their model's, finite, and of unit length."""
    if not patient.sound:
        return
    total, bad = 0, list[int]()
    for space_id, dim in patient.db.execute("SELECT id, dim FROM spaces").fetchall():
        query = "SELECT id, vector FROM vectors WHERE +space_id = ? AND id > ? ORDER BY id LIMIT ?"
        after = 0
        while rows := patient.db.execute(query, (space_id, after, BLOCK)).fetchall():
            after = rows[-1][0]
            total += len(rows)
            bad += damaged_vectors(rows, dim)
    if not bad:
        yield _fine("vectors", f"{total:,}, all finite and of unit length")
        return
    yield Trouble(
        f"{len(bad):,} of {total:,} vectors are damaged",
        "forgets them; then glimpse index encodes their photos again",
        lambda: _forget(patient, bad),
    )


def damaged_vectors(rows: list[tuple[int, bytes]], dim: int) -> list[int]:
    """Return the ids of the vectors, (id, bytes), that cannot be what an encoder wrote."""
    size = dim * np.dtype(VECTOR_DTYPE).itemsize
    bad = [key for key, data in rows if len(data) != size]
    good = [(key, data) for key, data in rows if len(data) == size]
    values = np.frombuffer(b"".join(data for _, data in good), VECTOR_DTYPE).reshape(len(good), dim)
    with np.errstate(invalid="ignore", over="ignore"):
        lengths = np.linalg.norm(values.astype(np.float32), axis=1)
        wrong = ~(np.abs(lengths - 1) <= TOLERANCE)  # NaN compares with nothing
    return bad + [good[at][0] for at in np.flatnonzero(wrong)]


def check_towers(patient: Patient) -> Found:
    """See whether what learned to hear is what was learned: its revision is a hash of it."""
    if not patient.sound or not _count(patient, "sqlite_master WHERE name = 'towers'"):
        return
    rows = patient.db.execute("SELECT id, revision, weights FROM towers").fetchall()
    bad = [key for key, revision, weights in rows if tower_revision(weights) != revision]
    if bad:
        yield Trouble(
            "what learned to hear is damaged",
            "forgets it; then teach it again: glimpse learn-sound",
            lambda: _forget_towers(patient, bad),
        )
    elif rows:
        yield _fine("hearing", "what was learned is whole")


def check_words(patient: Patient) -> Found:
    """See whether the index of words is what the other tables say, by its rows, and by SQLite's own check."""
    if not patient.sound or patient.db.execute("SELECT 1 FROM alembic_version WHERE version_num < '0005'").fetchone():
        return
    patient.progress(Progress("checking the index of words"))
    with contextlib.suppress(*DATABASE_ERRORS):
        if words.is_right(patient.db):
            yield _fine("words", f"{_count(patient, 'words'):,} files can be found by theirs")
            return
    yield Trouble(
        "the index of words is wrong: files are not found by theirs", "makes it anew", lambda: _reword(patient)
    )


def check_photos(patient: Patient) -> Found:
    """See whether every photo has its vectors, and every content its file."""
    if not patient.sound:
        return
    contents = _count(patient, "contents")
    lacking = _count(
        patient,
        "contents c WHERE EXISTS (SELECT 1 FROM files f WHERE f.content_id = c.id AND NOT f.gone) AND NOT EXISTS "
        "(SELECT 1 FROM segments s JOIN vectors v ON v.segment_id = s.id WHERE s.content_id = c.id "
        "AND s.kind IN (?, ?)) AND c.kind != 'audio'",  # which may be silent, or nobody hears
        WHOLE,
        FRAME,
    )
    alone = _count(patient, "contents c WHERE NOT EXISTS (SELECT 1 FROM files f WHERE f.content_id = c.id)")
    if lacking:
        yield Trouble(f"{lacking:,} of {contents:,} photos have no vector and are not found", "glimpse index")
    if alone:
        yield _noted(
            "photos",
            f"{alone:,} photos have no file that is known",
            "glimpse index finds those that are there again; after that, glimpse prune forgets the others",
        )
    if not lacking and not alone:
        yield _fine("photos", f"{contents:,} with sounds and films, all with a file; all but sounds with a vector")


def check_folders(patient: Patient) -> Found:
    """See whether a model answers, and whether the indexed folders are known and there."""
    if not patient.sound:
        return
    roots = [os.fsdecode(row[0]) for row in patient.db.execute("SELECT path FROM roots ORDER BY path")]
    answers = _count(patient, "library WHERE current_space_id IS NOT NULL")
    if (_count(patient, "vectors") and not answers) or (roots and not _count(patient, "sources")):
        yield Trouble(
            "nothing says which model answers, or which folders to look at",
            "takes the model with the most vectors, and the folders with photos",
            lambda: _mend_facts(patient),
        )
    for root in roots:
        if not os.path.isdir(root):
            yield _noted("folders", f"{root} is not there now; what is known of it is kept")
    if all(os.path.isdir(root) for root in roots):
        yield _fine("folders", f"{len(roots):,} indexed, all there")


DATABASE_CHECKS: tuple[tuple[str, Check], ...] = (
    ("database", check_database),
    ("structure", check_structure),
    ("references", check_references),
    ("values", check_values),
    ("vectors", check_vectors),
    ("hearing", check_towers),
    ("words", check_words),
    ("photos", check_photos),
    ("folders", check_folders),
)


def _errors(db: sqlite3.Connection) -> list[str]:
    """Return what SQLite finds wrong, nothing where all is well."""
    try:
        found = [str(row[0]) for row in db.execute(f"PRAGMA integrity_check({SHOWN})")]
    except DATABASE_ERRORS as error:
        return [str(error)]
    return [] if found == ["ok"] else found


def _reindex(patient: Patient) -> str:
    """Build all indexes anew; returns what was done, "" where that does not help, and then nothing is changed."""
    with contextlib.suppress(*DATABASE_ERRORS), patient.writing() as db:
        wrong = doubtful(db, db)
        db.execute("REINDEX")
        drop_rows(db, wrong)
        mend_references(db)
        if wrong:
            mend_recordings(db)
        mend_facts(db)
        if errors := _errors(db):
            raise sqlite3.DatabaseError(errors[0])
        patient.sound = True
    return "its indexes were built anew" if patient.sound else ""


def _rebuilt(patient: Patient) -> str:
    done = patient.rebuild()
    patient.version = NEWEST
    return done


def _empty_log(patient: Patient, log: Path) -> str:
    kept = log.with_name(f"{DATABASE}.damaged-{time.strftime('%Y%m%d-%H%M%S')}-log")
    shutil.copy2(log, kept)
    flush(kept)
    patient.close()
    with (
        contextlib.suppress(*DATABASE_ERRORS),  # a damaged database is put aside with its log
        contextlib.closing(sqlite3.connect(patient.database, isolation_level=None, timeout=30)) as db,
    ):
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return f"it was emptied; a copy is kept as {kept.name}"


def _forget(patient: Patient, ids: list[int]) -> str:
    with patient.writing() as db:
        db.executemany("DELETE FROM vectors WHERE id = ?", [(key,) for key in ids])
        mend_facts(db)
    return f"{len(ids):,} forgotten; encode their photos again with: glimpse index"


def _reword(patient: Patient) -> str:
    with contextlib.suppress(*DATABASE_ERRORS), patient.writing() as db:
        words.rebuild(db)
        return "it was made anew"
    return patient.rebuild()


def _forget_towers(patient: Patient, ids: list[int]) -> str:
    with patient.writing() as db:
        db.executemany("DELETE FROM towers WHERE id = ?", [(key,) for key in ids])
    return "forgotten; teach it again with: glimpse learn-sound"


def _mend_facts(patient: Patient) -> str:
    with patient.writing() as db:
        mend_facts(db)
    return "taken from what is there"


def _count(patient: Patient, what: str, *values: object) -> int:
    return int(patient.db.execute(f"SELECT count(*) FROM {what}", values).fetchone()[0])  # noqa: S608


def _counts(numbers: "Counter[str]") -> str:
    return ", ".join(f"{count:,} of {table}" for table, count in sorted(numbers.items()))


def _first_line(text: str) -> str:
    lines = [line for line in text.splitlines() if line and not line.startswith("***")]
    return lines[0] if lines else text.strip()


def _fine(check: str, text: str) -> Finding:
    return Finding(check, State.OK, text)


def _noted(check: str, text: str, remedy: str = "") -> Finding:
    return Finding(check, State.NOTE, text, remedy)
