"""What is known of a job, of its chunks and of their attempts: the rows of a repository, read back."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any

from msgspec import Struct, field
from msgspec.structs import replace

from heliostat.model.cause import Cause
from heliostat.model.result import ChunkResult
from heliostat.model.spec import JobSpec


class JobState(StrEnum):
    PENDING = "pending"
    RUNNING = "running"
    PAUSED = "paused"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


class ChunkState(StrEnum):
    PENDING = "pending"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


class AttemptState(StrEnum):
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Wish(StrEnum):
    """What somebody, perhaps in another process, asks of the coordinator of a running job."""

    PAUSE = "pause"
    CANCEL = "cancel"


class WorkerChoice(Struct, frozen=True, rename="camel", omit_defaults=True):
    """The worker adapter that a job asks for, by the name it is registered under."""

    name: str = "local"
    options: dict[str, Any] = field(default_factory=dict)


class JobSettings(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """The part of `JobExecutionOptions` that outlives the process: kept with the job for a resume elsewhere."""

    concurrency: int | None = None
    retries: int = 2
    retry_delay: float = 1.0
    chunk_timeout: float | None = None
    stall_timeout: float | None = None
    fail_fast: bool = True
    merge: bool = True
    only_chunks: tuple[int | str, ...] | None = None
    retry_chunks: tuple[int | str, ...] | None = None
    """The chunks of a retry, while that is the newest run or is to be the next one; None when it is none."""
    job_dir: str | None = None
    env: dict[str, str] = field(default_factory=dict)


class JobMetrics(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """What the job has cost so far, over all its runs. Counts are attempts unless said otherwise. While a job runs they
    are of the same moment as its chunk rows."""

    attempts: int = 0
    retries: int = 0
    failures: dict[str, int] = field(default_factory=dict)
    """Failed attempts by cause."""
    stale_results: int = 0
    """Results that came for an attempt that was no longer the chunk's own, and were dropped."""
    frames_done: float = 0.0
    """Frames of succeeded chunks and of those that are running."""
    render_seconds: float = 0.0
    """Durations of all ended attempts, added up."""
    billed_seconds: float = 0.0
    cost_usd: float = 0.0
    observer_failures: int = 0
    """Callbacks and sinks that raised or hung."""


class JobStatus(Struct, frozen=True, kw_only=True, rename="camel"):
    """A job as its rows say it is."""

    id: str
    spec: JobSpec
    state: JobState
    completed_chunks: int
    total_chunks: int
    error: str | None = None
    created_at: datetime
    updated_at: datetime
    revision: int = 0
    """The newest entry of the job's journal; 0 before the first."""
    metrics: JobMetrics = field(default_factory=JobMetrics)
    settings: JobSettings = field(default_factory=JobSettings)
    worker: WorkerChoice | None = None
    wish: Wish | None = None
    """What was asked of the coordinator and not yet carried out."""
    coordinator: str | None = None
    """Who holds the lease while it lives, else None."""
    output: str | None = None
    """The film, once it is joined."""

    @property
    def progress(self) -> int:
        """Percent of chunks that succeeded, 0 to 100."""
        return percent(self.completed_chunks, self.total_chunks)

    @property
    def percent_of_frames(self) -> float:
        """Percent of frames that are done, those of running chunks among them, 0 to 100; 100 where there are none."""
        total = self.spec.metadata.total_frames
        return 100 * min(self.metrics.frames_done, total) / total if total else 100.0

    @property
    def has_run(self) -> bool:
        """Whether there may be something of earlier runs; a pending job may have been put back into the queue."""
        return self.state is not JobState.PENDING or self.revision > 0

    @property
    def orphaned(self) -> bool:
        """Whether the job reads `running` and nobody runs it: its coordinator died."""
        return self.state is JobState.RUNNING and self.coordinator is None


class ChunkStatus(Struct, frozen=True, kw_only=True, rename="camel"):
    """A chunk of a job: `index` is its place in `JobSpec.chunks`, from 0."""

    index: int
    id: int | str
    state: ChunkState
    attempts: int = 0
    """The number of the newest attempt; 0 before the first."""
    position: int | None = None
    """The value of `completed_chunks` that its success was reported with: 1 for the first chunk that succeeded."""


class AttemptStatus(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True, gc=False):
    """One try at one chunk."""

    index: int
    """The chunk's place in `JobSpec.chunks`, from 0."""
    number: int
    """1 for the chunk's first attempt; rises over resumes too."""
    attempt_id: str
    state: AttemptState
    started_at: float
    """Seconds since the epoch."""
    ended_at: float | None = None
    frames_done: float = 0.0
    cause: Cause | None = None
    message: str | None = None
    """One sentence on what went wrong."""
    retry_in: float | None = None
    """Seconds from its failure until the chunk is tried again; None where it is not, or where nothing failed."""
    stderr_tail: str = ""
    """The last that it wrote on stderr, where it failed without a result. With one, see there."""
    result: ChunkResult | None = None


def without_chunks(job: JobStatus) -> JobStatus:
    """The same with a specification that has no chunks; there may be a million of them."""
    return replace(job, spec=replace(job.spec, chunks=()))


def percent(completed: int, total: int) -> int:
    """`floor(100 * completed / total + 0.5)` in exact arithmetic; 100 for a job of no chunks."""
    return (200 * completed + total) // (2 * total) if total else 100
