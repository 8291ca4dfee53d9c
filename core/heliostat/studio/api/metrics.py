"""Figures for Prometheus, of all jobs in the database."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Final

from fastapi import APIRouter
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from starlette.responses import Response

from heliostat import ChunkState, JobState, __version__
from heliostat.errors import JobNotFound
from heliostat.studio.api.openapi import answers
from heliostat.studio.api.parameters import InStudio

if TYPE_CHECKING:
    from heliostat import JobStatus
    from heliostat.studio.studio import Studio
    from heliostat.studio.totals import Totals

TEXT: Final = "text/plain; version=0.0.4; charset=utf-8"
"""The exposition format of Prometheus."""
MANY: Final = 1_000_000
"""Jobs."""

router = APIRouter(tags=["about"])


@router.get("/metrics", summary="Figures for Prometheus", **answers(None, 503, media_type="text/plain"))
async def show_metrics(studio: InStudio) -> Response:
    jobs = await studio.manager.list(limit=MANY, with_chunks=False)
    studio.totals.add(jobs)
    chunks = dict.fromkeys(ChunkState, 0)
    for job in jobs:
        if job.state is JobState.PENDING and not job.has_run:  # known without asking, for as many as wait
            chunks[ChunkState.PENDING] += job.total_chunks
        elif job.state in (JobState.PENDING, JobState.RUNNING):
            try:
                for state, number in (await studio.repository.count(job.id)).items():
                    chunks[state] += number
            except JobNotFound:  # deleted since
                continue
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Snapshot([*_gauges(studio, jobs, chunks), *_counters(studio.totals)]))
    return Response(generate_latest(registry), headers={"Content-Type": TEXT})


_COUNTERS: Final = {
    "attempts": ("attempts", "Attempts that were begun."),
    "retries": ("retries", "Attempts at chunks that had failed before."),
    "stale_results": ("stale_results", "Results of attempts that were no longer their chunk's own."),
    "frames_done": ("frames", "Frames that were rendered, also by attempts that failed then."),
    "render_seconds": ("render_seconds", "Seconds that ended attempts took, added up."),
    "billed_seconds": ("billed_seconds", "Seconds that platforms bill."),
    "cost_usd": ("cost_usd", "What platforms charge, in US dollars."),
    "observer_failures": ("observer_failures", "Callbacks and sinks that raised or hung."),
}
"""Name and text by the field of `JobMetrics`."""


class _Snapshot:
    """Metrics that have been gathered already."""

    def __init__(self, families: list[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterator[Metric]:
        return iter(self._families)


def _gauges(studio: Studio, jobs: Iterable[JobStatus], chunks: dict[ChunkState, int]) -> Iterator[Metric]:
    states = dict.fromkeys(JobState, 0)
    orphaned = 0
    for job in jobs:
        states[job.state] += 1
        orphaned += job.orphaned
    yield _by_state("heliostat_jobs", "Jobs by state.", states)
    yield _by_state("heliostat_chunks", "Chunks of pending and running jobs by state.", chunks)
    yield GaugeMetricFamily("heliostat_jobs_orphaned", "Jobs that read running and that nobody runs.", orphaned)
    coordinator = studio.coordinator.status
    yield GaugeMetricFamily(
        "heliostat_coordinator_up", "Whether the coordinator process runs.", studio.coordinator.alive
    )
    yield CounterMetricFamily(
        "heliostat_coordinator_restarts", "How often the coordinator process was started again.", coordinator.restarts
    )
    yield GaugeMetricFamily("heliostat_event_listeners", "Clients that listen to events.", studio.feeds.listeners)
    info = GaugeMetricFamily("heliostat_info", "Which Heliostat this is.", labels=["version"])
    info.add_metric([__version__], 1)
    yield info


def _counters(totals: Totals) -> Iterator[Metric]:
    for field, (name, text) in _COUNTERS.items():
        yield CounterMetricFamily(f"heliostat_{name}", text, value=totals.values[field])
    failures = CounterMetricFamily("heliostat_attempt_failures", "Failed attempts.", labels=["cause"])
    for cause, value in totals.failures.items():
        failures.add_metric([cause], value)
    yield failures


def _by_state(name: str, text: str, counts: dict[JobState, int] | dict[ChunkState, int]) -> Metric:
    family = GaugeMetricFamily(name, text, labels=["state"])
    for state, number in counts.items():
        family.add_metric([state.value], number)
    return family
