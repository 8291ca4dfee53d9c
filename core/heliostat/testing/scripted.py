"""An adapter whose attempts end as a script says: for tests of what is built on Heliostat."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from heliostat.contracts.worker import WorkerAdapter, WorkerLimits
from heliostat.errors import AttemptError
from heliostat.model.result import ChunkResult

if TYPE_CHECKING:
    from heliostat.contracts.worker import ChunkReport, ChunkRequest

Outcome = ChunkResult | AttemptError | BaseException | None
"""A result is returned and an error raised; None stands for a plain success."""


class ScriptedWorker(WorkerAdapter):
    """Runs nothing. `script(request)` gives each attempt's outcome, after `steps(request)` turns of the event loop.

    `started` and `ended` record attempts as `(chunk id, attempt)`, `most_at_once` how many ran together.
    """

    name = "scripted"

    def __init__(
        self,
        script: Callable[[ChunkRequest], Outcome] = lambda request: None,
        *,
        steps: Callable[[ChunkRequest], int] = lambda request: 0,
        limits: WorkerLimits | None = None,
    ) -> None:
        self.limits = limits or WorkerLimits(default_concurrency=2)
        self.started: list[tuple[int | str, int]] = []
        self.ended: list[tuple[int | str, int]] = []
        self.at_once = 0
        self.most_at_once = 0
        self._script = script
        self._steps = steps

    async def run(self, request: ChunkRequest, report: ChunkReport) -> ChunkResult:
        key = (request.chunk.id, request.attempt)
        self.started.append(key)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            for step in range(self._steps(request)):
                report.frames_done(min(step, request.chunk.frame_count))
                await asyncio.sleep(0)
            outcome = self._script(request)
        finally:
            self.at_once -= 1
            self.ended.append(key)
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome or ChunkResult(exit_code=0, duration=0.0)
