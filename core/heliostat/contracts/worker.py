"""A worker adapter runs attempts somewhere. It knows nothing of jobs, retries or progress."""

from __future__ import annotations

from abc import ABC, abstractmethod
from types import TracebackType
from typing import Protocol, Self

from msgspec import Struct, field

from heliostat.model.result import ChunkResult
from heliostat.model.spec import Chunk


class ChunkRequest(Struct, frozen=True, kw_only=True, rename="camel", gc=False):
    """All that a worker needs to know for one attempt at one chunk."""

    job_id: str
    chunk: Chunk
    attempt: int
    """1 for the chunk's first attempt."""
    attempt_id: str
    """Unique over all attempts of all jobs."""
    command: list[str]
    """The argument list; run without a shell."""
    env: dict[str, str] = field(default_factory=dict)
    """What the specification and the options say. The worker adds its own allow-list."""
    timeout: float | None = None
    """Seconds until the executor gives the attempt up; None for no limit."""
    job_dir: str = "."
    """The directory that the command runs in and that outputs are relative to."""
    artifacts: str | None = None
    """Where the job's inputs and outputs lie in the artifact store, when there is one."""
    inputs: str | None = None
    """The key, in `artifacts`, of the manifest of the job's inputs (`heliostat.model.inputs`), when there are any."""
    progress: str | None = None
    """`JobSpec.progress`."""


class ChunkReport(Protocol):
    """How an attempt tells what it is doing. Every call is cheap, never blocks, never raises, and may come from any
    thread. What is reported for an attempt that is over goes nowhere."""

    def frames_done(self, frames: float, /) -> None:
        """Frames finished so far in this attempt; a lower number than before is ignored."""

    def log(self, stream: str, text: str, /) -> None:
        """Output of the command: `stream` is `"stdout"` or `"stderr"`, `text` one or more whole lines."""

    def heartbeat(self) -> None:
        """The worker lives. Says nothing of frames, so it does not hold off a stall timeout."""


class WorkerLimits(Struct, frozen=True, kw_only=True):
    """What an adapter can bear."""

    concurrency: int | None = None
    """The most attempts at once; None for no limit."""
    longest_chunk: float | None = None
    """Seconds that the platform lets one attempt run; None for no limit."""
    default_concurrency: int = 1
    """Attempts at once when the options do not say."""
    queues: bool = False
    """Whether attempts may have to wait for a worker. Chunk and stall timeouts then count from the first report of an
    attempt, which the worker runtime makes when the command starts."""


class WorkerAdapter(ABC):
    """An async context manager: opened before the first attempt, closed after the last, possibly several times."""

    name: str = "worker"
    """What events and messages call it."""
    limits: WorkerLimits = WorkerLimits()
    """Read once the adapter is open."""
    artifacts: str | None = None
    """The URL of the artifact store that its workers use, when they do not share the job directory. Known once the
    adapter is open; a store that the manager was given goes before it."""

    async def __aenter__(self) -> Self:
        """Connect; import the SDK here and not earlier. Raises Misconfigured when that cannot work."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Let go of everything; no attempt is running any more."""

    @abstractmethod
    async def run(self, request: ChunkRequest, report: ChunkReport) -> ChunkResult:
        """Run one attempt to its end.

        Called concurrently, up to the job's concurrency. A failure is a result with a non-zero `exit_code`, or one of
        the AttemptErrors of `heliostat.errors`; anything else that is raised counts as `WorkerLost`. When cancelled
        (asyncio.CancelledError), end the work and re-raise.
        """
