"""Turns what happens to a job into events, and hands them to the ledger, which tells them after their commit."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from heliostat.model import events
from heliostat.model.status import JobState, percent

if TYPE_CHECKING:
    from heliostat.executor.attempt import Attempt
    from heliostat.executor.ledger import Ledger
    from heliostat.executor.outcome import JobResult
    from heliostat.executor.progress import Snapshot
    from heliostat.model.cause import Cause
    from heliostat.model.result import ChunkResult


class Announcer:
    """Makes no event when nobody listens: making them costs more than all the rest of a small chunk."""

    def __init__(self, job_id: str, total_chunks: int, total_frames: int, ledger: Ledger, *, listening: bool) -> None:
        self._job_id = job_id
        self._total_chunks = total_chunks
        self._total_frames = total_frames
        self._ledger = ledger
        self.listening = listening

    def job_started(self, name: str, worker: str, concurrency: int, completed_frames: int) -> None:
        if self.listening:
            self._ledger.tell(
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

    def chunk_started(self, attempt: Attempt) -> None:
        if self.listening:
            self._ledger.tell(
                events.ChunkStarted(
                    job_id=self._job_id,
                    time=attempt.started_at,
                    chunk=attempt.chunk.id,
                    index=attempt.index,
                    attempt=attempt.number,
                    frame_count=attempt.chunk.frame_count,
                )
            )

    def chunk_progressed(self, attempt: Attempt) -> None:
        if self.listening:
            self._ledger.tell(
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

    def chunk_succeeded(self, attempt: Attempt, position: int, result: ChunkResult) -> None:
        if self.listening:
            self._ledger.tell(
                events.ChunkSucceeded(
                    job_id=self._job_id,
                    time=time.time(),
                    chunk=attempt.chunk.id,
                    index=attempt.index,
                    attempt=attempt.number,
                    completed_chunks=position,
                    total_chunks=self._total_chunks,
                    progress=percent(position, self._total_chunks),
                    frame_count=attempt.chunk.frame_count,
                    result=result,
                )
            )

    def attempt_failed(
        self, attempt: Attempt, cause: Cause, message: str, stderr_tail: str, retry_in: float | None
    ) -> None:
        if self.listening:
            self._ledger.tell(
                events.AttemptFailed(
                    job_id=self._job_id,
                    time=time.time(),
                    chunk=attempt.chunk.id,
                    index=attempt.index,
                    attempt=attempt.number,
                    cause=cause,
                    message=message,
                    stderr_tail=stderr_tail,
                    retry_in=retry_in,
                )
            )

    def chunk_failed(self, attempt: Attempt, cause: Cause, message: str) -> None:
        if self.listening:
            self._ledger.tell(
                events.ChunkFailed(
                    job_id=self._job_id,
                    time=time.time(),
                    chunk=attempt.chunk.id,
                    index=attempt.index,
                    attempts=attempt.number,
                    cause=cause,
                    message=message,
                )
            )

    def concurrency_changed(self, concurrency: int) -> None:
        if self.listening:
            self._ledger.tell(events.ConcurrencyChanged(job_id=self._job_id, time=time.time(), concurrency=concurrency))

    def progressed(self, snapshot: Snapshot, running_chunks: int) -> None:
        if self.listening:
            self._ledger.tell(
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

    def merge_started(self, how: str) -> None:
        if self.listening:
            self._ledger.tell(events.MergeStarted(job_id=self._job_id, time=time.time(), how=how))

    def job_ended(self, result: JobResult, error: str | None) -> None:
        if self.listening:
            self._ledger.tell(
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
