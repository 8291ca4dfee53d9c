"""What a job has cost so far, counted while it runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from heliostat.model.status import JobMetrics

if TYPE_CHECKING:
    from heliostat.model.cause import Cause
    from heliostat.model.result import ChunkResult


class Counters:
    """Goes on from an earlier run's metrics."""

    def __init__(self, before: JobMetrics) -> None:
        self.attempts = before.attempts
        self.retries = before.retries
        self.failures = dict(before.failures)
        self.stale_results = before.stale_results
        self.render_seconds = before.render_seconds
        self.billed_seconds = before.billed_seconds
        self.cost_usd = before.cost_usd
        self.observer_failures = before.observer_failures

    def failed(self, cause: Cause) -> None:
        self.failures[cause.value] = self.failures.get(cause.value, 0) + 1

    def spent(self, result: ChunkResult) -> None:
        self.render_seconds += result.duration
        if result.usage is not None:
            self.billed_seconds += result.usage.billed_seconds or 0.0
            self.cost_usd += result.usage.cost_usd or 0.0

    def metrics(self, frames_done: float) -> JobMetrics:
        return JobMetrics(
            attempts=self.attempts,
            retries=self.retries,
            failures=dict(self.failures),
            stale_results=self.stale_results,
            frames_done=frames_done,
            render_seconds=self.render_seconds,
            billed_seconds=self.billed_seconds,
            cost_usd=self.cost_usd,
            observer_failures=self.observer_failures,
        )
