"""What a worker hands back for one attempt."""

from __future__ import annotations

from msgspec import Struct

from heliostat.model.cause import Cause


class Output(Struct, frozen=True, rename="camel", omit_defaults=True, gc=False):
    """A file that an attempt delivered, checked where it was made."""

    path: str
    """As the chunk names it: relative to the job directory, or absolute inside it."""
    size: int
    """Bytes."""
    sha256: str
    """Hexadecimal digest of the content."""
    url: str | None = None
    """Where it lies in the artifact store, when the worker was not on this machine."""


class Usage(Struct, frozen=True, rename="camel", omit_defaults=True, gc=False):
    """What the platform charges for an attempt."""

    billed_seconds: float | None = None
    memory_mb: int | None = None
    cost_usd: float | None = None


class ChunkResult(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True, gc=False):
    """How one attempt ended. `exit_code` 0 is a success, whatever else is absent."""

    exit_code: int
    duration: float
    """Seconds that the work took, without the time that the attempt waited for a worker."""
    outputs: tuple[Output, ...] = ()
    stdout_tail: str = ""
    stderr_tail: str = ""
    cause: Cause | None = None
    """Why it failed; `command_failed` is understood when a failure gives none."""
    message: str | None = None
    """One sentence on what went wrong."""
    worker: str | None = None
    """Which worker ran it."""
    log_url: str | None = None
    usage: Usage | None = None
    attempt_id: str | None = None
    """Echoed by transports that deliver results on their own: a result of another attempt is stale and dropped."""
