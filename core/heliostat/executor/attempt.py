"""One try at one chunk while it runs: what its worker has reported so far, and why it is to end."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from heliostat.model.status import AttemptState, AttemptStatus

if TYPE_CHECKING:
    import asyncio

    from heliostat.executor.logs import JobLogs
    from heliostat.model.cause import Cause
    from heliostat.model.result import ChunkResult
    from heliostat.model.spec import Chunk

# Looked up once: Python 3.11 takes as long for a member of an enum as for making a record.
_RUNNING = AttemptState.RUNNING
_SUCCEEDED = AttemptState.SUCCEEDED


class Attempt:
    """The live side of an attempt, and the ChunkReport that its worker is given.

    Workers report from any thread, so a report only sets plain attributes; the executor looks at them when it ticks.
    """

    __slots__ = (
        "_logs",
        "abandoned",
        "began_clock",
        "chunk",
        "dirty",
        "ended",
        "frames",
        "heard",
        "id",
        "index",
        "last_frame_at",
        "number",
        "persisted",
        "slot",
        "started_at",
        "started_clock",
        "stop_cause",
        "stopped_clock",
    )

    def __init__(
        self, index: int, chunk: Chunk, number: int, attempt_id: str, slot: asyncio.Task[None], logs: JobLogs
    ) -> None:
        self.index = index
        self.chunk = chunk
        self.number = number
        self.id = attempt_id
        self.slot = slot
        """The task that awaits the adapter; cancelling it ends the attempt."""
        self.started_at = time.time()
        self.started_clock = self.began_clock = self.last_frame_at = time.monotonic()
        self.frames = 0.0
        self.dirty = False
        """Frames were reported since sinks were last told."""
        self.persisted = 0.0
        """The frames that the attempt's row has."""
        self.stop_cause: Cause | None = None
        """Why the executor ended it, once it has."""
        self.stopped_clock = 0.0
        self.ended = False
        self.heard = False
        """Something was reported: its worker has begun."""
        self.abandoned = False
        """Stopped, not ended by its worker, and no longer waited for."""
        self._logs = logs

    def frames_done(self, frames: float, /) -> None:
        self.heartbeat()
        try:
            if frames > self.frames and not self.ended:
                self.frames = min(float(frames), float(self.chunk.frame_count))
                self.last_frame_at = time.monotonic()
                self.dirty = True
        except (TypeError, ValueError):
            pass  # a report never raises, whatever an adapter passes

    def log(self, stream: str, text: str, /) -> None:
        self.heartbeat()
        self._logs.write(self, text)

    def status(
        self,
        state: AttemptState,
        *,
        cause: Cause | None = None,
        message: str | None = None,
        retry_in: float | None = None,
        stderr_tail: str = "",
        result: ChunkResult | None = None,
    ) -> AttemptStatus:
        """The attempt's row as it is now."""
        return AttemptStatus(
            index=self.index,
            number=self.number,
            attempt_id=self.id,
            state=state,
            started_at=self.started_at,
            ended_at=None if state is _RUNNING else time.time(),
            frames_done=self.chunk.frame_count if state is _SUCCEEDED else self.frames,
            cause=cause,
            message=message,
            retry_in=retry_in,
            stderr_tail=stderr_tail,
            result=result,
        )

    def heartbeat(self) -> None:
        """Only the first one counts: the adapter's `run` raises when its worker is lost."""
        if not self.heard:
            self.began_clock = self.last_frame_at = time.monotonic()
            self.heard = True  # last, since others look at it first

    def stop(self, cause: Cause) -> None:
        """End the attempt; the first cause counts."""
        if self.stop_cause is None and not self.ended:
            self.stop_cause = cause
            self.stopped_clock = time.monotonic()
            self.slot.cancel()
