"""What happens to a job, as progress sinks are told. One tagged union; a new field breaks nobody.

In JSON every event has a `type` (`chunk_succeeded` for `ChunkSucceeded`), field names are camelCase.
Everything that touches a chunk's or a job's row is told after its commit.
"""

from __future__ import annotations

import re

from msgspec import Struct

from heliostat.model.cause import Cause
from heliostat.model.result import ChunkResult
from heliostat.model.status import JobState


def _tag(class_name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", class_name).lower()


class _Event(Struct, frozen=True, kw_only=True, rename="camel", tag=_tag, omit_defaults=True):
    job_id: str
    time: float
    """Seconds since the epoch."""


class JobStarted(_Event, frozen=True, kw_only=True):
    """The first event of every run."""

    name: str
    completed_chunks: int
    """Above 0 when this run resumes an earlier one."""
    total_chunks: int
    completed_frames: int
    total_frames: int
    concurrency: int
    worker: str
    """The adapter's name."""


class ChunkStarted(_Event, frozen=True, kw_only=True):
    """An attempt began."""

    chunk: int | str
    index: int
    attempt: int
    frame_count: int


class ChunkProgressed(_Event, frozen=True, kw_only=True):
    """Frames done inside a running chunk, at most a few times a second."""

    chunk: int | str
    index: int
    attempt: int
    frames_done: float
    frame_count: int


class ChunkSucceeded(_Event, frozen=True, kw_only=True):
    """An attempt's result was accepted and committed."""

    chunk: int | str
    index: int
    attempt: int
    completed_chunks: int
    total_chunks: int
    progress: int
    """Percent of chunks, 0 to 100."""
    frame_count: int
    result: ChunkResult


class AttemptFailed(_Event, frozen=True, kw_only=True):
    """An attempt failed; the chunk is retried after `retry_in` seconds, or not at all where that is None."""

    chunk: int | str
    index: int
    attempt: int
    cause: Cause
    message: str
    stderr_tail: str = ""
    retry_in: float | None = None


class ChunkFailed(_Event, frozen=True, kw_only=True):
    """A chunk is given up on in this run."""

    chunk: int | str
    index: int
    attempts: int
    cause: Cause
    message: str


class ConcurrencyChanged(_Event, frozen=True, kw_only=True):
    """The platform throttles, or no longer does."""

    concurrency: int


class Progressed(_Event, frozen=True, kw_only=True):
    """The job as a whole, in frames: a few times a second while it runs, and once after the last chunk."""

    completed_chunks: int
    total_chunks: int
    running_chunks: int
    frames_done: float
    """Frames of succeeded chunks and of those that are running."""
    total_frames: int
    percent: float
    """`100 * frames_done / total_frames`, the same for whoever looks. Falls when an attempt fails that had frames."""
    rate: float | None = None
    """Frames a second, lately; None until it is known."""
    eta: float | None = None
    """Seconds to go at that rate."""


class MergeStarted(_Event, frozen=True, kw_only=True):
    """All chunks are there and are being joined."""

    how: str
    """The stitcher's name, or the command."""


class ObserverFailed(_Event, frozen=True, kw_only=True):
    """A callback or sink raised or hung. Told once for each."""

    observer: str
    message: str


class JobEnded(_Event, frozen=True, kw_only=True):
    """The last event of every run, told after the job's own row is committed."""

    state: JobState
    completed_chunks: int
    total_chunks: int
    duration: float
    """Seconds that this run took."""
    error: str | None = None
    output: str | None = None
    """The film."""


Event = (
    JobStarted
    | ChunkStarted
    | ChunkProgressed
    | ChunkSucceeded
    | AttemptFailed
    | ChunkFailed
    | ConcurrencyChanged
    | Progressed
    | MergeStarted
    | ObserverFailed
    | JobEnded
)
