"""What the end of an attempt means: whatever an adapter returned or raised, the chunk has succeeded or has failed for
one cause."""

from __future__ import annotations

from typing import Final, TypeGuard

from msgspec import Struct

from heliostat.errors import AttemptError, Throttled
from heliostat.model.cause import Cause
from heliostat.model.result import ChunkResult

STDERR_KEPT: Final = 8 << 10
"""Characters that are kept of what an adapter's error says the worker last wrote on stderr."""


class AttemptFailure(Struct, frozen=True, gc=False):
    """Why an attempt has failed."""

    cause: Cause
    message: str
    """One sentence."""
    result: ChunkResult | None = None
    """Of a command that failed."""
    stderr_tail: str = ""
    retry_after: float | None = None
    """Seconds until the platform takes more, where it has said so."""
    stale: bool = False
    """A result came, and was dropped."""


def verdict(attempt_id: str, worker: str, result: object, error: BaseException | None) -> ChunkResult | AttemptFailure:
    """On an attempt that nobody has stopped: the result when its chunk has succeeded. `worker`: the adapter's name."""
    if isinstance(error, AttemptError):
        retry_after = error.retry_after if isinstance(error, Throttled) else None
        message = _writable(str(error)) or error.cause.value
        said = _writable(error.stderr_tail)[-STDERR_KEPT:]
        return AttemptFailure(_unasked(error.cause), message, stderr_tail=said, retry_after=retry_after)
    if not _is_result(result):
        what = f"the {worker} adapter returned {type(result).__name__} instead of a valid ChunkResult"
        return AttemptFailure(Cause.WORKER_LOST, what)
    if result.attempt_id is not None and result.attempt_id != attempt_id:
        return AttemptFailure(Cause.WORKER_LOST, "the worker answered with another attempt's result", stale=True)
    if result.exit_code != 0:
        message = result.message or f"exit status {result.exit_code}"
        return AttemptFailure(_unasked(result.cause or Cause.COMMAND_FAILED), message, result, result.stderr_tail)
    return result


def _unasked(cause: Cause) -> Cause:
    """A worker that says it was cancelled, though nobody here did that, was ended by somebody else: a preemption."""
    return Cause.WORKER_LOST if cause is Cause.CANCELLED else cause


def _writable(text: object) -> str:
    """What an adapter raised, so that it can be written as UTF-8: it may hold bytes that nobody could decode."""
    return str(text).encode(errors="replace").decode()


def _is_result(result: object) -> TypeGuard[ChunkResult]:
    return (
        isinstance(result, ChunkResult)
        and isinstance(result.exit_code, int)
        and isinstance(result.duration, int | float)
    )
