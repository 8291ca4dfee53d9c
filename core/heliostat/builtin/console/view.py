"""What a display knows of one run of a job, kept up to date by its events."""

from __future__ import annotations

import copy
import time
from typing import Self

from heliostat.builtin.console.terminal import plain
from heliostat.model.events import (
    AttemptFailed,
    ChunkFailed,
    ChunkProgressed,
    ChunkStarted,
    ChunkSucceeded,
    ConcurrencyChanged,
    Event,
    JobEnded,
    JobStarted,
    MergeStarted,
    Progressed,
)


class RunningChunk:
    """An attempt that is under way."""

    __slots__ = ("attempt", "frame_count", "frames_done", "name")

    def __init__(self, event: ChunkStarted) -> None:
        self.name = plain(str(event.chunk))
        self.attempt = event.attempt
        self.frame_count = event.frame_count
        self.frames_done = 0.0


class JobView:
    """Made from the first event of a run. All texts are plain."""

    def __init__(self, started: JobStarted) -> None:
        self.started = started
        self.name = plain(started.name) or plain(started.job_id)
        self.began = time.monotonic()
        self.completed_chunks = started.completed_chunks
        self.total_chunks = started.total_chunks
        self.frames_done = float(started.completed_frames)
        self.total_frames = started.total_frames
        self.percent = 100 * self.frames_done / self.total_frames if self.total_frames else 100.0
        self.rate: float | None = None
        self._eta: float | None = None
        self._eta_told = self.began
        self.concurrency = started.concurrency
        self.throttled = False
        self.running: dict[int, RunningChunk] = {}
        self.retries = 0
        self.failed_chunks = 0
        self.last_failure: str | None = None
        self.merging: str | None = None
        self.ended: JobEnded | None = None

    @property
    def elapsed(self) -> float:
        return self.ended.duration if self.ended else time.monotonic() - self.began

    @property
    def eta(self) -> float | None:
        """Seconds to go, counted on since they were told."""
        return None if self._eta is None else max(0.0, self._eta - (time.monotonic() - self._eta_told))

    @property
    def average_rate(self) -> float | None:
        """Frames a second over the whole run; None when it rendered none."""
        frames = self.frames_done - self.started.completed_frames
        return frames / self.elapsed if frames > 0 and self.elapsed > 0 else None

    def copy(self) -> Self:
        """The view as it is now, for another thread to draw."""
        copied = copy.copy(self)
        copied.running = dict(self.running)
        return copied

    def apply(self, event: Event) -> None:
        match event:
            case ChunkStarted():
                self.running[event.index] = RunningChunk(event)
            case ChunkProgressed():
                chunk = self.running.get(event.index)
                if chunk is not None and chunk.attempt == event.attempt:
                    chunk.frames_done = event.frames_done
            case ChunkSucceeded():
                self.running.pop(event.index, None)
                self.completed_chunks = event.completed_chunks
                if self.completed_chunks == self.total_chunks:
                    self.frames_done, self.percent = float(self.total_frames), 100.0
            case AttemptFailed():
                self.running.pop(event.index, None)
                self.retries += event.retry_in is not None
                self.last_failure = failure_line(event)
            case ChunkFailed():
                self.failed_chunks += 1
            case Progressed():
                self.completed_chunks = event.completed_chunks
                self.frames_done = event.frames_done
                self.percent = event.percent
                self.rate, self._eta = event.rate, event.eta
                self._eta_told = time.monotonic()
            case ConcurrencyChanged():
                self.throttled = event.concurrency < self.started.concurrency
                self.concurrency = event.concurrency
            case MergeStarted():
                self.merging = plain(event.how)
            case JobEnded():
                self.completed_chunks = event.completed_chunks
                self.running.clear()
                self.ended = event


def failure_line(event: AttemptFailed) -> str:
    """What failed and why, in one line: the cause, what is known of it, and the last thing that the command said."""
    said = plain(event.stderr_tail.strip().rpartition("\n")[2])
    message = plain(event.message)
    tail = f" · {said}" if said and said not in message else ""
    return f"chunk {plain(str(event.chunk))}, attempt {event.attempt}: {event.cause}: {message}{tail}"
