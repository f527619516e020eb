"""What `glimpse doctor` finds."""

from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any


class State(StrEnum):
    """How a part of a library is."""

    OK = "ok"
    NOTE = "note"
    """Nothing is wrong, but somebody may want to know."""
    PROBLEM = "problem"
    REPAIRED = "repaired"


@dataclass(frozen=True)
class Finding:
    """What one check found; remedy: what can be done about it, or what was, "" where there is nothing to do."""

    check: str
    state: State
    text: str
    remedy: str = ""


@dataclass(frozen=True)
class Diagnosis:
    """What all checks found.

    copy: where a damaged database was put aside; saved, lost: rows of each table that were and were not saved from
    it, None where nobody can tell how many there were.
    """

    library: Path
    findings: tuple[Finding, ...]
    copy: Path | None = None
    saved: dict[str, int] = field(default_factory=dict)
    lost: dict[str, int | None] = field(default_factory=dict)

    @property
    def healthy(self) -> bool:
        """Whether nothing was wrong."""
        return all(found.state in (State.OK, State.NOTE) for found in self.findings)

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON-ready values."""
        return {
            "library": str(self.library),
            "healthy": self.healthy,
            "findings": [
                {"check": f.check, "state": f.state.value, "text": f.text, "remedy": f.remedy} for f in self.findings
            ],
            "copy": None if self.copy is None else str(self.copy),
            "saved": self.saved,
            "lost": self.lost,
        }
