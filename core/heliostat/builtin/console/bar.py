"""The sink `bar`: a live display on stderr."""

from __future__ import annotations

import threading
from typing import IO

from rich.text import Text

from heliostat.builtin.console.display import Display
from heliostat.builtin.console.frame import Frame
from heliostat.builtin.console.lines import closing
from heliostat.builtin.console.view import JobView
from heliostat.model.events import ChunkFailed, Event, JobEnded, JobStarted
from heliostat.model.status import JobState

FAILURES_TOLD = 10
"""Chunks given up on that get a line of their own above the display; the others are counted."""

_MARKS = {JobState.COMPLETED: ("✓", "green"), JobState.PAUSED: ("‖", "yellow")}
_FAILED = ("✗", "red")


class BarSink:
    """Shows the jobs whose events it gets until each has ended, then leaves one line about it."""

    def __init__(self, *, rows: int | None = None, job_dir: str | None = None, file: IO[str] | None = None) -> None:
        """`rows`, `job_dir`: see `BarOptions`; `file`: a terminal other than stderr."""
        self._rows = rows
        self._job_dir = job_dir
        self._lock = threading.Lock()
        self._views: dict[str, JobView] = {}
        self._display = Display(self._frame, file)

    def handle(self, event: Event, /) -> None:
        with self._lock:
            if isinstance(event, JobStarted):
                self._views[event.job_id] = JobView(event)
            view = self._views.get(event.job_id)
            if view is None:
                return
            view.apply(event)
            if isinstance(event, JobEnded):
                del self._views[event.job_id]
            last = not self._views
        match event:
            case JobStarted():
                self._display.start()
            case ChunkFailed() if view.failed_chunks <= FAILURES_TOLD and view.last_failure:
                self._display.say(Text(f"given up: {view.last_failure}", "red"))
            case JobEnded():
                if last:
                    self._display.stop()
                mark, style = _MARKS.get(event.state, _FAILED)
                self._display.say(
                    Text.assemble((mark, style), " ", (view.name, "bold"), f": {closing(view, self._job_dir)}")
                )

    def _frame(self) -> Frame:
        with self._lock:
            return Frame([view.copy() for view in self._views.values()], rows=self._rows)
