"""What jobs have cost since this process began, as counters that never fall."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from msgspec.structs import fields

from heliostat import JobMetrics

if TYPE_CHECKING:
    from heliostat import JobStatus

_NUMBERS = tuple(field.name for field in fields(JobMetrics) if field.name != "failures")


class Totals:
    """The sums of what was added to the metrics of each job since they were last looked at, so that a job that is
    deleted takes nothing away. Jobs that were there before count in full."""

    def __init__(self) -> None:
        self.values: dict[str, float] = dict.fromkeys(_NUMBERS, 0.0)
        """By the fields of `JobMetrics`."""
        self.failures: dict[str, float] = {}
        """By cause."""
        self._seen: dict[tuple[str, float], JobMetrics] = {}

    def add(self, jobs: Iterable[JobStatus]) -> None:
        """`jobs`: all that there are."""
        now: dict[tuple[str, float], JobMetrics] = {}
        for job in jobs:
            key = (job.id, job.created_at.timestamp())
            before, now[key] = self._seen.get(key, JobMetrics()), job.metrics
            for name in _NUMBERS:
                self.values[name] += max(0, getattr(job.metrics, name) - getattr(before, name))
            for cause, number in job.metrics.failures.items():
                self.failures[cause] = self.failures.get(cause, 0) + max(0, number - before.failures.get(cause, 0))
        self._seen = now
