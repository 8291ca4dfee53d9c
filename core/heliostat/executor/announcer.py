"""Tells the ledger what happens to the job as a whole, as events."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from heliostat.contracts.repository import JobEvent
from heliostat.model import events
from heliostat.model.status import JobState

if TYPE_CHECKING:
    from heliostat.executor.attempt import Attempt
    from heliostat.executor.ledger import Ledger
    from heliostat.executor.outcome import JobResult
    from heliostat.executor.progress import Snapshot


class Announcer:
    """Events that are journaled are always made; those about frames only when somebody listens."""

    def __init__(self, job_id: str, total_chunks: int, total_frames: int, ledger: Ledger, *, listening: bool) -> None:
        self._job_id = job_id
        self._total_chunks = total_chunks
        self._total_frames = total_frames
        self._ledger = ledger
        self.listening = listening

    def job_started(self, name: str, worker: str, concurrency: int, completed_frames: int) -> None:
        self._ledger.tell(
            JobEvent(
                events.JobStarted(
                    job_id=self._job_id,
                    time=time.time(),
                    name=name,
                    completed_chunks=self._ledger.accepted,
                    total_chunks=self._total_chunks,
                    completed_frames=completed_frames,
                    total_frames=self._total_frames,
                    concurrency=concurrency,
                    worker=worker,
                )
            )
        )

    def concurrency_changed(self, concurrency: int) -> None:
        self._ledger.tell(
            JobEvent(events.ConcurrencyChanged(job_id=self._job_id, time=time.time(), concurrency=concurrency))
        )

    def merge_started(self, how: str) -> None:
        self._ledger.tell(JobEvent(events.MergeStarted(job_id=self._job_id, time=time.time(), how=how)))

    def observer_failed(self, name: str, message: str) -> None:
        self._ledger.tell(
            JobEvent(events.ObserverFailed(job_id=self._job_id, time=time.time(), observer=name, message=message))
        )

    def job_ended(self, result: JobResult, error: str | None) -> None:
        self._ledger.tell(
            JobEvent(
                events.JobEnded(
                    job_id=self._job_id,
                    time=time.time(),
                    state=JobState(result.state),
                    completed_chunks=result.completed_chunks,
                    total_chunks=result.total_chunks,
                    duration=result.duration,
                    error=error,
                    output=result.output,
                )
            )
        )

    def chunk_progressed(self, attempt: Attempt) -> None:
        if self.listening:
            self._ledger.show(
                events.ChunkProgressed(
                    job_id=self._job_id,
                    time=time.time(),
                    chunk=attempt.chunk.id,
                    index=attempt.index,
                    attempt=attempt.number,
                    frames_done=attempt.frames,
                    frame_count=attempt.chunk.frame_count,
                )
            )

    def progressed(self, snapshot: Snapshot, running_chunks: int) -> None:
        if self.listening:
            self._ledger.show(
                events.Progressed(
                    job_id=self._job_id,
                    time=time.time(),
                    completed_chunks=self._ledger.accepted,
                    total_chunks=self._total_chunks,
                    running_chunks=running_chunks,
                    frames_done=snapshot.frames_done,
                    total_frames=self._total_frames,
                    percent=snapshot.percent,
                    rate=snapshot.rate,
                    eta=snapshot.eta,
                )
            )
