"""One index run, and many: what `glimpse index` does once, and with --watch again and again."""

import os
import signal
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Self

from glimpse.cli.search import note_stage
from glimpse.defaults import expanded

if TYPE_CHECKING:
    from core.settings import Settings
    from core.types import IndexReport, Progress, ProgressCallback, Walk

NEWS = ("added", "changed", "moved", "gone")


class StopOnInterrupt:
    """Turn the first Ctrl-C of a run into a request to stop after the batch in flight; a second one stops at once.

    So does the first, as long as the run has not begun: while the model is prepared there is nothing to finish.
    """

    def __init__(self) -> None:
        self._begun = False
        self._requested = False

    def begin(self) -> None:
        """Take note that the run has begun."""
        self._begun = True

    def requested(self) -> bool:
        """Say whether somebody asked to stop."""
        return self._requested

    def __enter__(self) -> Self:
        self._before = signal.signal(signal.SIGINT, self._interrupt)
        return self

    def __exit__(self, *_: object) -> None:
        signal.signal(signal.SIGINT, self._before)

    def _interrupt(self, _number: int, _frame: FrameType | None) -> None:
        if self._requested or not self._begun:
            raise KeyboardInterrupt
        self._requested = True


@dataclass
class Runs:
    """Index runs with the same settings, each with the library opened and closed again."""

    settings: "Settings"
    walk: "Walk | None"
    dry_run: bool
    json_: bool
    stopping: StopOnInterrupt
    _told: set[str] = field(default_factory=set)
    _last: "IndexReport | None" = None

    def once(self, paths: Sequence[Path]) -> "IndexReport":
        """Index, and show what was done; after the first time, only where there is something new to tell."""
        from glimpse import render
        from glimpse.api import Library
        from glimpse.progress import ProgressBar

        with Library(self.settings, note_stage) as opened, ProgressBar() as bar:
            render.note_model_once(opened)
            report = opened.index(
                paths,
                progress=self._progress(bar),
                stop=self.stopping.requested,
                walk=self.walk,
                dry_run=self.dry_run,
            )
        first, self._last = self._last is None, report
        if first or any(getattr(report, name) for name in NEWS):
            render.index_report(report)
            if self.json_:
                render.emit_json(report.as_dict())
            else:
                render.say(render.summary(report))
        else:
            for text in report.notes:
                self._tell(f"note: {text}")
        self._told.update(f"note: {text}" for text in report.notes)
        return report

    def for_ever(self, paths: Sequence[Path], every: float) -> None:
        """Index now, whenever photos have changed, and `every` so many seconds, until somebody asks to stop."""
        from glimpse.api import Library
        from indexer.watch import watch

        paths = [expanded(path) for path in paths]
        opened = Library(self.settings)
        roots = opened.status().roots if opened.exists() and not paths else ()
        folders = [path if path.is_dir() else path.parent for path in paths or roots]
        watch(folders, lambda: self._turn(paths), self.stopping.requested, every, self._tell, self.settings.library)

    def interrupted(self) -> bool:
        """Say whether the last run was stopped before its end."""
        return self._last is not None and self._last.interrupted

    def _turn(self, paths: Sequence[Path]) -> bool:
        """Index what is there; returns whether that could be done. Only the first run may fail for good."""
        from core.errors import GlimpseError, LibraryBusyError
        from glimpse import render

        there = [path for path in paths if os.path.exists(path)] if self._last else paths
        for path in set(paths) - set(there):
            self._tell(f"note: {render.printable(path)} is not there; what is known of it is kept")
        if paths and not there:
            return True
        try:
            self.once(there)
        except GlimpseError as error:
            if self._last is None and not isinstance(error, LibraryBusyError):
                raise
            self._tell(f"glimpse: {error}")
            return False
        return True

    def _tell(self, text: str) -> None:
        """Tell something that has not been told before."""
        from glimpse import render

        if text not in self._told:
            self._told.add(text)
            render.note(text)

    def _progress(self, bar: "ProgressCallback") -> "ProgressCallback":
        """Show how far the run is; from the second run on, only where there are photos to read."""
        quiet = self._last is not None

        def show(progress: "Progress") -> None:
            self.stopping.begin()
            if progress.total or not quiet:
                bar(progress)

        return show
