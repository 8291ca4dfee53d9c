"""How one job is to be executed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from pathlib import Path

from msgspec import Struct, field

from heliostat.contracts.progress import ProgressSink
from heliostat.model.events import Event
from heliostat.model.status import JobSettings

OnProgress = Callable[[int, int], Awaitable[None] | None]
OnEvent = Callable[[Event], Awaitable[None] | None]


class JobExecutionOptions(Struct, frozen=True, kw_only=True):
    """Every field is optional."""

    concurrency: int | None = None
    """Attempts at once; the adapter's default when None, never more than it can bear."""
    retries: int = 2
    """Further attempts at a chunk after the first one failed, for causes that cost an attempt."""
    retry_delay: float = 1.0
    """Seconds; the delay before retry n is drawn evenly from 0 to `min(60, retry_delay * 2**(n - 1))` (full jitter)."""
    chunk_timeout: float | None = None
    """Seconds that one attempt may take."""
    stall_timeout: float | None = None
    """Seconds that an attempt may go without finishing a frame. For commands whose frames are known."""
    fail_fast: bool = True
    """Stop at the first chunk that is given up on; otherwise render the rest, then fail."""
    merge: bool = True
    """Join the chunk outputs when all chunks have succeeded."""
    completed_chunks: Collection[int | str] = ()
    """Ids of chunks that are done already: neither run nor reported. A manager fills this in from the repository."""
    only_chunks: Collection[int | str] | None = None
    """Ids of the chunks to run; the others stay as they are. None for all."""
    job_dir: str | Path | None = None
    """The directory that commands run in and outputs are relative to; the current one when None."""
    env: Mapping[str, str] = field(default_factory=dict)
    """Environment variables for every command, over those of the specification."""
    on_progress: OnProgress | None = None
    """Called as `on_progress(completed_chunks, total_chunks)`, once for each chunk that succeeds, after its commit. A
    coroutine function is awaited on the event loop; a plain function is called on a thread of its own, so that one
    that blocks holds back nothing."""
    on_event: OnEvent | None = None
    """Called with every event of `heliostat.model.events`, in the same manner."""
    sinks: Sequence[ProgressSink] = ()
    """Progress sinks for this job alone."""

    @classmethod
    def from_settings(cls, settings: JobSettings) -> JobExecutionOptions:
        """Options as they were kept with a job; callbacks and sinks are not."""
        known = set(cls.__struct_fields__)
        return cls(**{name: getattr(settings, name) for name in settings.__struct_fields__ if name in known})

    def settings(self) -> JobSettings:
        """The part that is kept with the job."""
        return JobSettings(
            concurrency=self.concurrency,
            retries=self.retries,
            retry_delay=self.retry_delay,
            chunk_timeout=self.chunk_timeout,
            stall_timeout=self.stall_timeout,
            fail_fast=self.fail_fast,
            merge=self.merge,
            only_chunks=None if self.only_chunks is None else tuple(self.only_chunks),
            job_dir=str(Path(self.job_dir or ".").resolve()),
            env=dict(self.env),
        )
