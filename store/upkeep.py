"""The doctor's checks of what lies beside the database: previews, index files, leftovers, the disk, the lock."""

import contextlib
import os
import shutil
import time
from collections.abc import Sequence
from pathlib import Path

from core.diagnosis import Finding, State
from core.errors import LibraryBusyError, LibraryError
from core.types import Progress
from store.indexfile import FLAT, IVF, verify
from store.lock import write_lock
from store.names import DATABASE, INDEX, LOCK, PREVIEWS
from store.patient import Check, Found, Patient, Trouble
from store.previews import Previews, is_preview

OLD_SECONDS = 3600
"""A scratch file that has not changed for so long belongs to nobody any more."""
LOW_BYTES = 100 << 20
HEAD = 12


def check_previews(patient: Patient) -> Found:
    """See whether each preview is a whole picture, and of a photo that is known."""
    patient.progress(Progress("checking previews"))
    if why := _shut(patient.folder / PREVIEWS):
        yield why
        return
    known: set[bytes] = set()
    if patient.sound:
        known = {row[0] for row in patient.db.execute("SELECT digest FROM contents")}
    previews = Previews(patient.folder)
    names = {str(previews.path(digest)) for digest in known}
    whole, foreign, bad = 0, 0, list[Path]()
    for path in map(Path, previews.files()):
        if path.suffix == ".webp":
            if not _is_whole(path):
                bad.append(path)
            elif str(path) in names or not patient.sound:
                whole += 1
            else:
                foreign += 1
        elif _is_old(path):
            bad.append(path)
    if bad:
        yield Trouble(
            f"{len(bad):,} files in previews/ are damaged or left over",
            "deletes them; previews come back by themselves",
            lambda: _delete(bad),
        )
    if foreign:
        yield Finding(
            "previews",
            State.NOTE,
            f"{foreign:,} belong to photos that the library does not know",
            "glimpse index, which may find them again; after that, glimpse prune deletes the others",
        )
    if not bad:
        yield Finding("previews", State.OK, f"{whole + foreign:,}, all whole" if whole + foreign else "none")


def check_index(patient: Patient) -> Found:
    """See whether the index files are whole."""
    patient.progress(Progress("checking index files"))
    if why := _shut(patient.folder / INDEX):
        yield why
        return
    files = [path for path in _entries(patient.folder / INDEX) if path.suffix in (f".{FLAT}", f".{IVF}")]
    if patient.copy:  # made from what is not there any more
        _delete(files)
        files = []
    bad = [path for path in files if not _is_index(path)]
    if bad:
        yield Trouble(
            f"{len(bad):,} of {len(files):,} index files are damaged",
            "deletes them; they come back by themselves",
            lambda: _delete(bad),
        )
    else:
        yield Finding("index", State.OK, f"{len(files):,}, all whole" if files else "none")


def _shut(folder: Path) -> Trouble | None:
    """Return what keeps anybody from looking into a folder, None where nothing does."""
    if folder.exists() and not folder.is_dir():
        return Trouble(f"{folder} is no folder, and one is wanted there", "move it away")
    if folder.is_dir() and not os.access(folder, os.R_OK | os.X_OK):
        return Trouble(f"you may not look into {folder}", f"let yourself: chmod u+rwx {folder}")
    return None


def _is_index(path: Path) -> bool:
    try:
        return verify(path)
    except FileNotFoundError:  # a newer one took its place just now
        return True
    except OSError:
        return False


def check_leftovers(patient: Patient) -> Found:
    """Look for what killed processes left, and for damaged databases that were put aside."""
    folder = patient.folder
    left = [path for path in (*folder.glob("*.tmp"), *folder.glob(f"{INDEX}/*.tmp")) if _is_old(path)]
    if left:
        yield Trouble(f"{_size(left):,.1f} MB were left by killed processes", "deletes them", lambda: _delete(left))
    if aside := sorted(folder.glob(f"{DATABASE}.damaged-*")):
        yield Finding(
            "leftovers", State.NOTE, f"{_size(aside):,.1f} MB of damaged databases are kept",
            f"delete {folder / DATABASE}.damaged-* when you are sure that nothing in them is missed",
        )  # fmt: skip
    if not left and not aside:
        yield Finding("leftovers", State.OK, "none")


def check_disk(patient: Patient) -> Found:
    """See whether there is room for what comes."""
    free = shutil.disk_usage(patient.folder).free
    if free < LOW_BYTES:
        yield Trouble(f"only {free / 1e6:,.0f} MB are free on the disk", "free some space")
    else:
        yield Finding("disk", State.OK, f"{free / 1e9:,.1f} GB are free")


def check_lock(patient: Patient) -> Found:
    """See whether somebody is writing."""
    state, text = State.OK, "nobody else is writing"
    if not patient.mending and (patient.folder / LOCK).exists():
        try:
            write_lock(patient.folder).release()
        except LibraryBusyError:
            state, text = State.NOTE, "another glimpse is writing to the library now"
        except LibraryError:
            state, text = State.NOTE, "the library cannot be written to"
    yield Finding("lock", state, text)


FILE_CHECKS: tuple[tuple[str, Check], ...] = (
    ("previews", check_previews),
    ("index", check_index),
    ("leftovers", check_leftovers),
    ("disk", check_disk),
    ("lock", check_lock),
)


def _is_whole(path: Path) -> bool:
    """Say whether a file is a whole WebP, by its header and its size."""
    try:
        with path.open("rb") as file:
            head = file.read(HEAD)
            size = os.fstat(file.fileno()).st_size
    except FileNotFoundError:  # it was deleted just now
        return True
    except OSError:
        return False
    return is_preview(head, size)


def _is_old(path: Path) -> bool:
    try:
        return path.stat().st_mtime < time.time() - OLD_SECONDS
    except OSError:
        return False


def _entries(folder: Path) -> Sequence[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:
        return ()


def _size(paths: Sequence[Path]) -> float:
    """Return how many MB files and folders take."""
    files = [file for path in paths for file in (path.rglob("*") if path.is_dir() else (path,))]
    total = 0
    for file in files:
        with contextlib.suppress(OSError):
            total += file.stat().st_size
    return total / 1e6


def _delete(paths: Sequence[Path]) -> str:
    for path in paths:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
    return "deleted"
