"""What is to be shown of one job: kept up to date by its rows and its events, the same for everybody who looks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

from heliostat import (
    AttemptFailed,
    AttemptState,
    ChunkFailed,
    ChunkProgressed,
    ChunkStarted,
    ChunkState,
    ChunkSucceeded,
    ConcurrencyChanged,
    JobEnded,
    JobStarted,
    JobState,
    MergeStarted,
    ObserverFailed,
    Progressed,
    plain,
)
from heliostat.studio.page.cells import STATES, Cells
from heliostat.studio.page.failures import Failures
from heliostat.studio.page.slots import Slots
from heliostat.studio.page.throughput import Throughput, throughput

if TYPE_CHECKING:
    from heliostat import AttemptStatus, ChunkStatus, Event, JobStatus
    from heliostat.studio.page.slots import Bar

LOST_OBSERVERS = 5
"""Observers that were given up on which are named, the newest."""


_plain_worker = lru_cache(maxsize=1_000)(plain)
"""Many chunks share few workers: each name is kept once."""


class JobPicture:
    """Made from the job and the rows of its chunks and attempts, as they were at any times after it. Events come in
    their order, from the start of the newest run or any later one; what the rows had already changes nothing.

    All texts that a command or a specification may have chosen are plain.
    """

    def __init__(self, status: JobStatus) -> None:
        self.status = status
        self.cells = Cells([chunk.frame_count for chunk in status.spec.chunks])
        self.slots = Slots()
        self.failures = Failures()
        self.run: JobStarted | None = None
        """The beginning of the newest run."""
        self.concurrency: int | None = None
        """Attempts at once, as the newest run does or did them."""
        self.merging: str | None = None
        """How the chunks are being joined at this moment."""
        self.join: str | None = None
        """How the newest run joins or joined them; None when it has not come to that."""
        self.ended: JobEnded | None = None
        """The end of the newest run."""
        self.progress: Progressed | None = None
        """The latest account of the newest run's frames, while it runs."""
        self.lost_observers: list[str] = []
        self.workers: dict[int, str] = {}
        """By chunk, which worker ran its newest attempt, where one has said so."""

    def load(self, chunks: Iterable[ChunkStatus], attempts: Sequence[AttemptStatus]) -> None:
        """The rows of all chunks and attempts, which are newer than what was known."""
        self.cells.load(chunks)
        self.slots.load(attempts)
        self.failures.load(attempt for attempt in attempts if attempt.state is AttemptState.FAILED)
        self.workers = {
            attempt.index: _plain_worker(attempt.result.worker)
            for attempt in attempts
            if attempt.result is not None and attempt.result.worker
        }

    @property
    def name(self) -> str:
        return plain(self.status.spec.name) or plain(self.status.id)

    @property
    def completed_chunks(self) -> int:
        return self.cells.counts[STATES.index(ChunkState.SUCCEEDED)]

    @property
    def frames_done(self) -> float:
        """Of succeeded chunks and of those running."""
        return self.status.metrics.frames_done if self.progress is None else self.progress.frames_done

    @property
    def percent(self) -> float:
        """Of frames, 0 to 100; as all displays of Heliostat have it."""
        return self.status.percent_of_frames if self.progress is None else self.progress.percent

    @property
    def rate(self) -> float | None:
        """Frames a second: of late while it runs, else over the whole of the newest run; None where it is not known."""
        if self.ended is None or self.run is None:
            return None if self.progress is None or not self.is_running else self.progress.rate
        frames = self.frames_done - self.run.completed_frames
        return frames / self.ended.duration if frames > 0 and self.ended.duration > 0 else None

    @property
    def eta(self) -> float | None:
        """Seconds to go."""
        return None if self.progress is None or not self.is_running else self.progress.eta

    @property
    def is_running(self) -> bool:
        return self.status.state is JobState.RUNNING and not self.status.orphaned

    @property
    def now(self) -> float:
        """The latest time that this tells of, in seconds since the epoch."""
        known = [self.status.updated_at.timestamp()]
        if self.progress is not None and self.is_running:
            known.append(self.progress.time)
        return max(known)

    @property
    def elapsed(self) -> float | None:
        """Seconds that the newest run has taken."""
        if self.ended is not None:
            return self.ended.duration
        return None if self.run is None else max(0.0, self.now - self.run.time)

    def apply(self, event: Event) -> None:
        match event:
            case ChunkStarted():
                self.cells.started(event.index, event.attempt)
                self.slots.started(event.index, event.attempt, event.time)
            case ChunkProgressed():
                self.cells.progressed(event.index, event.attempt, event.frames_done)
            case ChunkSucceeded():
                self.cells.succeeded(event.index, event.attempt)
                self.slots.ended(event.index, event.attempt, event.time, AttemptState.SUCCEEDED)
                if event.result.worker:
                    self.workers[event.index] = _plain_worker(event.result.worker)
            case AttemptFailed():
                self.cells.attempt_failed(event.index, event.attempt)
                self.slots.ended(event.index, event.attempt, event.time, AttemptState.FAILED)
                self.failures.failed(event)
            case ChunkFailed():
                self.cells.given_up(event.index, event.attempts)
            case Progressed():
                self.progress = event
            case ConcurrencyChanged():
                self.concurrency = event.concurrency
            case MergeStarted():
                self.merging = self.join = plain(event.how)
            case JobStarted():
                self.run, self.ended, self.progress = event, None, None
                self.merging = self.join = None
                self.concurrency = event.concurrency
                self.lost_observers = []
            case ObserverFailed():
                said = f"{plain(event.observer)}: {plain(event.message)}"
                self.lost_observers = [*self.lost_observers, said][-LOST_OBSERVERS:]
            case JobEnded():
                self.ended, self.merging, self.progress = event, None, None

    def throughput(self) -> Throughput | None:
        """Of the newest run; None before the first."""
        if self.run is None:
            return None
        chunks = self.status.spec.chunks

        def frames(bar: Bar) -> float:
            if bar.state is AttemptState.SUCCEEDED:
                return float(chunks[bar.index].frame_count)
            return self.cells.running.get(bar.index, 0.0)

        return throughput(self.slots, frames, self.run.time, self.now)
