"""Copy a library that is in use into a folder that is a library itself."""

import contextlib
import os
import secrets
import shutil
import sqlite3
import time
from collections.abc import Set
from pathlib import Path

from core.errors import LibraryError
from core.types import Progress, ProgressCallback
from store.connection import connect
from store.durable import flush, sync_folder
from store.lock import write_lock
from store.names import DATABASE, LOCK, MARK, REPAIR, check_version, explain
from store.previews import Previews

_IS_OF = "This is a backup of the Glimpse library "
STEP = 256
"""Pages copied at a time, 4 MB."""
SPARE_BYTES = 16 << 20
SCRATCH = ".tmp"


def backup(library: Path, target: Path, previews: bool = False, progress: ProgressCallback = lambda _: None) -> None:
    """Copy library.db into the folder `target`, as of now, though others read and write it; and previews, if wanted.

    The copy is checked before it takes the place of an earlier one. Raises LibraryError where the target is no
    backup, cannot be written or has no room, or the library is damaged.
    """
    _check_target(library, target)
    fresh = not target.exists()
    with explain(target):
        target.mkdir(exist_ok=True)
    try:
        with contextlib.ExitStack() as stack:
            stack.callback(write_lock(target).release)
            stack.enter_context(explain(target))
            _clean(target)
            scratch = target / f"{DATABASE}.{secrets.token_hex(8)}{SCRATCH}"
            stack.callback(scratch.unlink, missing_ok=True)
            _copy(library, scratch, progress)
            digests = _checked(library, scratch, progress)
            flush(scratch)
            _mark(library, target)
            _install(scratch, target)
            if previews:
                _copy_previews(library, target, digests, progress)
    except BaseException:
        if fresh:  # where nothing came of it, nothing is left
            with contextlib.suppress(OSError):
                (target / LOCK).unlink(missing_ok=True)
                target.rmdir()
        raise


def _check_target(library: Path, target: Path) -> None:
    """Raise LibraryError where a backup must not or cannot be made."""
    here, there = library.resolve(), target.resolve()
    if there == here or here in there.parents:
        raise LibraryError(f"{target} is the library itself or inside it; name a folder elsewhere, on another disk")
    if target.exists() and not target.is_dir():
        raise LibraryError(f"{target} is a file; name a folder for the backup")
    if not target.exists() and not target.parent.is_dir():
        raise LibraryError(f"there is no folder {target.parent}; connect the drive, or make the folder first")
    if target.is_dir():
        with explain(target):
            names = set(os.listdir(target))
        ours = {name for name in names if name == LOCK or (name.startswith(DATABASE) and name.endswith(SCRATCH))}
        if MARK in names and (other := _source(target)) not in ("", _shown(library)):
            raise LibraryError(f"{target} is a backup of another library, {other}; name another folder, or delete it")
        if names - ours and MARK not in names:
            what = "a library that is no backup" if DATABASE in names else "a folder with other things in it"
            raise LibraryError(f"{target} is {what}, and is not replaced; name a new folder, as {target / 'backup'}")


def _shown(library: Path) -> str:
    return os.fsencode(library.absolute()).decode("utf-8", "replace")


def _source(target: Path) -> str:
    """Return the library that a folder says it is a backup of, "" where it does not say."""
    with explain(target):
        first = (target / MARK).read_text(encoding="utf-8", errors="replace").partition(",\n")[0]
    return first.removeprefix(_IS_OF) if first.startswith(_IS_OF) else ""


def _copy(library: Path, scratch: Path, progress: ProgressCallback) -> None:
    """Copy the database as it is now, step by step."""
    with contextlib.ExitStack() as stack:
        with explain(library):
            source = stack.enter_context(contextlib.closing(connect(library)[0]))
            # Held to the end, so that commits beside it do not have the copy begin again and again.
            source.execute("BEGIN")
            version = source.execute("SELECT version_num FROM alembic_version").fetchone()
            check_version(str(version[0]) if version else None, library)
            photos = source.execute("SELECT count(*) FROM contents").fetchone()[0]
            (count,) = source.execute("PRAGMA page_count").fetchone()
            (size,) = source.execute("PRAGMA page_size").fetchone()
        free = shutil.disk_usage(scratch.parent).free
        if free < count * size + SPARE_BYTES:
            raise LibraryError(
                f"the disk that holds {scratch.parent} is too full: the backup takes {count * size / 1e6:,.0f} MB, "
                f"{free / 1e6:,.0f} MB are free"
            )
        copy = stack.enter_context(contextlib.closing(sqlite3.connect(scratch, isolation_level=None)))
        # A scratch file: it is flushed as a whole before it gets its name.
        copy.execute("PRAGMA journal_mode = OFF")
        copy.execute("PRAGMA synchronous = OFF")

        def tell(_: int, left: int, total: int) -> None:
            progress(Progress("copying the library", photos * (total - left) // max(total, 1), photos))

        with explain(library):
            source.backup(copy, pages=STEP, progress=tell)


def _checked(library: Path, scratch: Path, progress: ProgressCallback) -> set[bytes]:
    """Check a copy, and return the digests of its photos; raises LibraryError where it is not sound."""
    progress(Progress("checking the copy"))
    uri = f"{scratch.absolute().as_uri()}?mode=ro&immutable=1"
    with contextlib.closing(sqlite3.connect(uri, uri=True, isolation_level=None)) as copy:
        try:
            (found,) = copy.execute("PRAGMA quick_check(1)").fetchone()
            digests = {row[0] for row in copy.execute("SELECT digest FROM contents")}
        except sqlite3.DatabaseError as error:
            found, digests = str(error), set()
    if found != "ok":
        raise LibraryError(
            f"{library / DATABASE} is damaged, and no backup was made (an earlier one is as it was); {REPAIR}"
        )
    return digests


def _install(scratch: Path, target: Path) -> None:
    """Put a copy in the place of an earlier one, whose log must never meet it."""
    database = target / DATABASE
    log, memory = (database.with_name(f"{DATABASE}{end}") for end in ("-wal", "-shm"))
    if log.exists():  # somebody wrote to the backup
        with (
            contextlib.suppress(sqlite3.Error),
            contextlib.closing(sqlite3.connect(database, isolation_level=None)) as db,
        ):
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    for path in (log, memory):
        path.unlink(missing_ok=True)
    scratch.replace(database)
    sync_folder(target)


def _mark(library: Path, target: Path) -> None:
    """Say in words what the folder is."""
    text = (
        f"{_IS_OF}{_shown(library)},\n"
        f"made on {time.strftime('%Y-%m-%d at %H:%M')}. The photos themselves are not in it.\n\n"
        f"To search it:       glimpse search --library THIS_FOLDER cat\n"
        f"To go back to it:   move the library's folder away, and copy this folder to its place.\n\n"
        f"The next backup to this folder replaces it.\n"
    )
    scratch = target / f"{DATABASE}.{secrets.token_hex(8)}{SCRATCH}"
    scratch.write_text(text, encoding="utf-8")
    scratch.replace(target / MARK)


def _copy_previews(library: Path, target: Path, digests: Set[bytes], progress: ProgressCallback) -> None:
    """Copy the previews that are not there yet, and forget those of photos that are gone."""
    source, copies = Previews(library), Previews(target)
    copies.sweep(digests)
    for done, digest in enumerate(sorted(digests), 1):
        preview = None if _same_size(source.path(digest), copies.path(digest)) else source.read(digest)
        if preview is not None:
            copies.write(digest, preview)
        progress(Progress("copying previews", done, len(digests)))


def _same_size(one: Path, other: Path) -> bool:
    try:
        return one.stat().st_size == other.stat().st_size
    except OSError:
        return False


def _clean(target: Path) -> None:
    """Delete what a killed backup left."""
    for path in target.glob(f"{DATABASE}.*{SCRATCH}"):
        path.unlink(missing_ok=True)
