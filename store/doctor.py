"""Look a library over, and put right what can be: the database first, then the files beside it.

Each check is a function that yields what it finds; one that finds something wrong says what mends it. Told to repair,
the doctor mends at once, so that the checks behind see the library as it is by then.
"""

import contextlib
import os
from pathlib import Path

from core.diagnosis import Diagnosis, Finding, State
from core.errors import LibraryError
from core.types import ProgressCallback
from store.checkup import DATABASE_CHECKS
from store.lock import write_lock
from store.names import DATABASE, DATABASE_ERRORS, explain
from store.patient import Patient, Trouble
from store.upkeep import FILE_CHECKS


def examine(folder: Path, repair: bool = False, progress: ProgressCallback = lambda _: None) -> Diagnosis:
    """Look a library over, and with `repair` mend what can be mended; without, nothing is changed.

    Raises LibraryError where there is no library or a newer program made it, LibraryBusyError where somebody writes
    to it that is to be repaired.
    """
    with explain(folder):
        there = (folder / DATABASE).is_file()
    if not there:
        raise LibraryError(f"there is no library in {folder}; make one with: glimpse index FOLDER")
    if not os.access(folder / DATABASE, os.R_OK):
        raise LibraryError(f"you may not read {folder / DATABASE}; whoever owns it can let you: chmod u+r")
    with contextlib.ExitStack() as stack:
        stack.enter_context(explain(folder))
        if repair:
            stack.callback(write_lock(folder).release)
        patient = stack.enter_context(Patient(folder, progress, mending=repair))
        findings = [
            _settled(name, found, repair)
            for name, check in (*DATABASE_CHECKS, *FILE_CHECKS)
            for found in check(patient)
        ]
        return Diagnosis(folder, tuple(findings), patient.copy, patient.salvaged.saved, patient.salvaged.lost)


def damage(folder: Path) -> str:
    """Return the first thing that is wrong with a library's database, "" where nothing is; never raises."""
    try:
        with Patient(folder, lambda _: None, mending=False) as patient:
            for _, check in DATABASE_CHECKS:
                for found in check(patient):
                    if isinstance(found, Trouble) and found.mend:
                        return found.text
    except (OSError, *DATABASE_ERRORS, LibraryError) as error:
        return str(error)
    return ""


def _settled(name: str, found: Finding | Trouble, repair: bool) -> Finding:
    if isinstance(found, Finding):
        return found
    if repair and found.mend:
        return Finding(name, State.REPAIRED, found.text, found.mend())
    remedy = f"glimpse doctor --repair {found.remedy}" if found.mend else found.remedy
    return Finding(name, State.PROBLEM, found.text, remedy)
