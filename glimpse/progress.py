"""How far a run has come, on stderr."""

import sys
import time
from types import TracebackType
from typing import Any, Self

from core.types import Progress
from glimpse.render import note

LINE_SECONDS = 10.0
"""How often progress is told where there is no terminal."""


class ProgressBar:
    """Progress on stderr: a bar with rate and time left on a terminal, a line now and then elsewhere."""

    def __enter__(self) -> Self:
        self._bar: Any = None
        self._stage = ""
        self._began = self._told = time.monotonic()
        return self

    def __exit__(self, _type: type | None, _error: BaseException | None, _trace: TracebackType | None) -> None:
        if self._bar is not None:
            self._bar.stop()

    def __call__(self, progress: Progress) -> None:
        """Show where the run is."""
        if progress.stage != self._stage:
            self._stage = progress.stage
            self._began = self._told = time.monotonic()
            if progress.total == 0:
                note(f"{progress.stage} ...")
        if progress.total == 0:
            return
        if sys.stderr is not None and sys.stderr.isatty():
            self._draw(progress)
        elif time.monotonic() - self._told > LINE_SECONDS:
            self._told = time.monotonic()
            rate = progress.done / (self._told - self._began)
            left = (progress.total - progress.done) / max(rate, 1e-9)
            detail = f", {progress.detail}" if progress.detail else ""
            done = f"{progress.stage}: {progress.done:,} of {progress.total:,}"
            note(f"{done}, {rate:.1f}/s, {left / 60:.0f} min left{detail}")

    def _draw(self, progress: Progress) -> None:
        """Draw the bar with rich, which is imported only here: the other commands answer faster without."""
        if self._bar is None:
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
            from rich.progress import Progress as Bar

            rate = TextColumn("{task.fields[rate]:.1f}/s")
            left = TimeRemainingColumn()
            self._bar = Bar(
                TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), rate, left, TextColumn("left"),
                TextColumn("{task.fields[detail]}"), console=Console(stderr=True),
            )  # fmt: skip
            self._task = self._bar.add_task(progress.stage, total=progress.total, rate=0.0, detail="")
            self._bar.start()
        rate_now = progress.done / max(time.monotonic() - self._began, 1e-9)
        self._bar.update(
            self._task, description=progress.stage, completed=progress.done, total=progress.total, rate=rate_now,
            detail=progress.detail,
        )  # fmt: skip
