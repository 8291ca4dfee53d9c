"""Attempts that are tasks: what is known of each while it waits, runs and answers."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final

from heliostat.errors import AttemptError, WorkerLost
from heliostat.worker import relay

if TYPE_CHECKING:
    from heliostat import ChunkReport, ChunkRequest, ChunkResult
    from heliostat_gcp.mailbox import Letter

LOOK_FIRST: Final = 4.0
"""Seconds until Cloud Run is first asked how an execution is."""
LOOK_LATER: Final = 30.0
"""Seconds between later questions, at the most."""


class Errand:
    """One attempt, from its coordinator's side."""

    def __init__(self, request: ChunkRequest, report: ChunkReport) -> None:
        self.request = request
        self.outcome: asyncio.Future[ChunkResult] = asyncio.get_running_loop().create_future()
        self.over = asyncio.Event()
        """The task has ended, or never began."""
        self.cancelled = False
        self.batch: Batch | None = None
        """Once it is started."""
        self._report = report
        self._heard = 0
        self._answer: tuple[ChunkResult, int] | None = None
        self._is_late = False

    def hear(self, letter: Letter) -> None:
        """Pass on a report, or take the result: that counts once the reports before it are there."""
        if letter.reports is not None:
            result = None
            for line in letter.lines.splitlines():
                result = relay(line, self._report) or result
            if result is None:
                self.fail(WorkerLost("the task answered without a result; install the same version on both sides"))
            else:
                self._answer = result, letter.reports
            return
        self._heard += 1
        self._report.heartbeat()
        for line in letter.lines.splitlines():
            relay(line, self._report)
        if letter.frames is not None:
            self._report.frames_done(letter.frames)

    def settle(self) -> None:
        """After all letters that there are: hand over the result. A report that is missing has a second chance: it may
        have been written just after the listing had passed its place."""
        if self._answer is None or self.over.is_set():
            return
        result, reports = self._answer
        if self._heard < reports and not self._is_late:
            self._is_late = True
            return
        self.over.set()
        if not self.outcome.done():
            self.outcome.set_result(result)

    def fail(self, error: AttemptError) -> None:
        if not self.over.is_set():
            self.over.set()
            if not self.outcome.done():
                self.outcome.set_exception(error)
                self.outcome.exception()  # whoever was cancelled does not ask


class Batch:
    """The attempts of one execution: the place of an errand is the index of its task."""

    def __init__(self, number: int, errands: list[Errand]) -> None:
        self.number = number
        self.errands = errands
        self.execution: str | None = None
        """The name that Cloud Run gave it."""
        self.cancelling: asyncio.Task[None] | None = None
        self._pause = LOOK_FIRST
        self._look_clock = time.monotonic() + self._pause
        for errand in errands:
            errand.batch = self

    @property
    def ended(self) -> int:
        """Tasks that are known to have ended."""
        return sum(errand.over.is_set() for errand in self.errands)

    @property
    def is_over(self) -> bool:
        return all(errand.over.is_set() for errand in self.errands)

    def is_due(self) -> bool:
        """Whether Cloud Run should be asked how it is; then not again for a while, which grows."""
        if time.monotonic() < self._look_clock:
            return False
        self._pause = min(LOOK_LATER, self._pause * 1.5)
        self._look_clock = time.monotonic() + self._pause
        return True

    def look_soon(self) -> None:
        self._pause, self._look_clock = LOOK_FIRST, time.monotonic()

    def fail(self, error: AttemptError) -> None:
        """All that have not ended, each with an error of its own: tracebacks are kept in them."""
        for errand in self.errands:
            errand.fail(_copy(error))


def _copy(error: AttemptError) -> AttemptError:
    made = type(error)(str(error))
    made.__dict__.update(error.__dict__)
    return made
