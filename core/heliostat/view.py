"""A job as programs are shown it: what `heliostat show --json` prints, and Studio's API answers."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from msgspec import Struct, field

from heliostat.model.cause import Cause
from heliostat.model.spec import Merge, Metadata
from heliostat.model.status import ChunkState, JobMetrics, JobSettings, JobState, JobStatus, WorkerChoice

if TYPE_CHECKING:
    from heliostat.contracts.repository import JobRepository
    from heliostat.model.status import AttemptStatus

T = TypeVar("T", bound=Struct)

LAST_LINES: Final = 10
"""Lines that count as a command's last words."""


class SpecView(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A specification without its chunks, of which there may be many."""

    metadata: Metadata
    id: str | None = None
    name: str = ""
    merge_command: str | None = None
    merge: Merge | None = None
    assets_url: str | None = None
    inputs: tuple[str, ...] = ()
    env: dict[str, str] = field(default_factory=dict)
    progress: str | None = None


class MetricsView(JobMetrics, frozen=True, kw_only=True, omit_defaults=False):
    """`JobMetrics` with all its fields."""


class SettingsView(JobSettings, frozen=True, kw_only=True, omit_defaults=False):
    """`JobSettings` with all its fields."""


class WorkerView(WorkerChoice, frozen=True, omit_defaults=False):
    """`WorkerChoice` with all its fields."""


class JobView(Struct, frozen=True, kw_only=True, rename="camel"):
    """A job, with what is computed of its `JobStatus`."""

    id: str
    spec: SpecView
    state: JobState
    completed_chunks: int
    total_chunks: int
    error: str | None
    created_at: datetime
    updated_at: datetime
    revision: int
    metrics: MetricsView
    settings: SettingsView
    worker: WorkerView | None
    wish: str | None
    coordinator: str | None
    output: str | None
    progress: int
    """Percent of chunks that succeeded, 0 to 100."""
    orphaned: bool
    """Whether it reads `running` and nobody runs it."""
    job_dir: str
    film: str | None
    """The path of the film, once it is joined."""


class ChunkCounts(Struct, frozen=True, kw_only=True):
    """How many chunks are in each state."""

    pending: int
    running: int
    succeeded: int
    failed: int


class FailedChunk(Struct, frozen=True, kw_only=True, rename="camel"):
    """A chunk that was given up."""

    chunk: int | str
    index: int
    attempts: int
    cause: Cause | None
    message: str | None
    last_words: list[str]
    """The last lines that its last attempt wrote on stderr, or else on stdout, without control characters."""


class JobDetails(JobView, frozen=True, kw_only=True):
    """A job with its chunks' states, and why those failed that did."""

    chunks: ChunkCounts
    failed_chunks: list[FailedChunk]


def view_job(job: JobStatus) -> JobView:
    return JobView(**_view(job))


async def view_details(repository: JobRepository, job: JobStatus, *, failures: int | None = None) -> JobDetails:
    """`failures`: the most failed chunks to tell of. Raises JobNotFound and RepositoryUnavailable."""
    counts = await repository.count(job.id)
    failed = await repository.chunks(job.id, state=ChunkState.FAILED, limit=failures)
    attempts = await repository.attempts(job.id, keys=[(chunk.index, chunk.attempts) for chunk in failed])
    last = {attempt.index: attempt for attempt in attempts}
    return JobDetails(
        **_view(job),
        chunks=ChunkCounts(**{state.value: number for state, number in counts.items()}),
        failed_chunks=[
            FailedChunk(
                chunk=chunk.id,
                index=chunk.index,
                attempts=chunk.attempts,
                cause=last[chunk.index].cause,
                message=last[chunk.index].message,
                last_words=last_words(last[chunk.index]),
            )
            for chunk in failed
            if chunk.index in last
        ],
    )


def last_words(attempt: AttemptStatus) -> list[str]:
    """The last lines that an attempt wrote on stderr, or else on stdout."""
    from heliostat.builtin.console.terminal import plain_lines

    tail, result = attempt.stderr_tail, attempt.result
    if result is not None:
        tail = result.stderr_tail if result.stderr_tail.strip() else result.stdout_tail
    return plain_lines(tail)[-LAST_LINES:] if tail.strip() else []


def job_dir(job: JobStatus) -> Path:
    """Absolute."""
    return Path(job.settings.job_dir or ".").absolute()


def film(job: JobStatus) -> Path | None:
    """Where the film of a completed job is, as far as the specification tells."""
    return job_dir(job) / job.output if job.output else None


def _view(job: JobStatus) -> dict[str, Any]:
    path = film(job)
    return {
        **{name: getattr(job, name) for name in job.__struct_fields__},
        "spec": _as(SpecView, job.spec),
        "metrics": _as(MetricsView, job.metrics),
        "settings": _as(SettingsView, job.settings),
        "worker": None if job.worker is None else _as(WorkerView, job.worker),
        "progress": job.progress,
        "orphaned": job.orphaned,
        "job_dir": str(job_dir(job)),
        "film": None if path is None else str(path),
    }


def _as(kind: type[T], record: Struct) -> T:
    """The same values in another type of record."""
    return kind(**{name: getattr(record, name) for name in kind.__struct_fields__})
