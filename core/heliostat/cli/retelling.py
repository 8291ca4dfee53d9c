"""The events of a job as its rows tell them, for progress sinks in another process than the job's own."""

from __future__ import annotations

import inspect
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from heliostat.cli.faults import say
from heliostat.executor import merge
from heliostat.executor.progress import FrameMeter
from heliostat.model import events
from heliostat.model.cause import Cause
from heliostat.model.status import AttemptState, ChunkState, JobState

if TYPE_CHECKING:
    from heliostat.contracts.progress import ProgressSink
    from heliostat.contracts.repository import JobRepository
    from heliostat.model.events import Event
    from heliostat.model.status import AttemptStatus, JobStatus

_MANY_CHUNKS = 10_000
"""Above this, the frames of succeeded chunks are taken for an even share of all frames, rather than read and added."""


class Retelling:
    """`begin`, `go_on` with each change, `end`. What both began and ended between two looks is told only in sum."""

    def __init__(self, repository: JobRepository, sinks: Iterable[ProgressSink]) -> None:
        self._repository = repository
        self._sinks = list(sinks)
        self._began = time.monotonic()
        self._running: dict[int, AttemptStatus] = {}
        self._completed = -1
        self._frames = 0
        """Of the succeeded chunks, when `_completed` of them were."""
        self._merging = False
        self._meter = FrameMeter(0, 0, self._began)

    async def begin(self, status: JobStatus) -> None:
        running = await self._repository.attempts(status.id, state=AttemptState.RUNNING)
        frames = await self._completed_frames(status)
        self._meter = FrameMeter(status.spec.metadata.total_frames, frames, self._began)
        await self._tell(
            events.JobStarted,
            status,
            name=status.spec.name,
            completed_chunks=status.completed_chunks,
            total_chunks=status.total_chunks,
            completed_frames=frames,
            total_frames=status.spec.metadata.total_frames,
            concurrency=status.settings.concurrency or max(1, len(running)),
            worker=status.worker.name if status.worker else "local",
        )

    async def go_on(self, status: JobStatus) -> None:
        now = {a.index: a for a in await self._repository.attempts(status.id, state=AttemptState.RUNNING)}
        for index, before in self._running.items():
            if index not in now or now[index].number != before.number:
                await self._tell_outcome(status, before)
        for index, attempt in now.items():
            earlier = self._running.get(index)
            if earlier is None or earlier.number != attempt.number:
                await self._tell_of_chunk(events.ChunkStarted, status, attempt)
            if attempt.frames_done > 0:
                await self._tell_of_chunk(events.ChunkProgressed, status, attempt, frames_done=attempt.frames_done)
        self._running = now
        self._meter.completed_frames = await self._completed_frames(status)
        snapshot = self._meter.snapshot(sum(attempt.frames_done for attempt in now.values()), time.monotonic())
        await self._tell(
            events.Progressed,
            status,
            completed_chunks=status.completed_chunks,
            total_chunks=status.total_chunks,
            running_chunks=len(now),
            frames_done=snapshot.frames_done,
            total_frames=self._meter.total_frames,
            percent=snapshot.percent,
            rate=snapshot.rate,
            eta=snapshot.eta,
        )
        complete = status.completed_chunks == status.total_chunks and status.state is JobState.RUNNING
        if complete and not self._merging and status.settings.merge and (how := merge.how(status.spec)) is not None:
            self._merging = True
            await self._tell(events.MergeStarted, status, how=how)

    async def end(self, status: JobStatus) -> None:
        await self._tell(
            events.JobEnded,
            status,
            state=status.state,
            completed_chunks=status.completed_chunks,
            total_chunks=status.total_chunks,
            duration=time.monotonic() - self._began,
            error=status.error,
            output=status.output,
        )

    async def _tell_outcome(self, status: JobStatus, attempt: AttemptStatus) -> None:
        attempts = await self._repository.attempts(status.id, index=attempt.index)
        ended = next((row for row in attempts if row.number == attempt.number), None)
        if ended is None:
            return
        if ended.state is AttemptState.SUCCEEDED and ended.result is not None:
            await self._tell_of_chunk(
                events.ChunkSucceeded,
                status,
                ended,
                completed_chunks=status.completed_chunks,
                total_chunks=status.total_chunks,
                progress=status.progress,
                result=ended.result,
            )
            return
        (chunk,) = await self._repository.chunks(status.id, offset=attempt.index, limit=1)
        given_up = chunk.state is ChunkState.FAILED
        cause, message = ended.cause or Cause.WORKER_LOST, ended.message or ""
        await self._tell_of_chunk(
            events.AttemptFailed,
            status,
            ended,
            cause=cause,
            message=message,
            stderr_tail=ended.result.stderr_tail if ended.result else "",
            retry_in=None if given_up else 0.0,
        )
        if given_up:
            await self._tell_of_chunk(
                events.ChunkFailed, status, ended, attempts=chunk.attempts, cause=cause, message=message
            )

    async def _completed_frames(self, status: JobStatus) -> int:
        if status.total_chunks > _MANY_CHUNKS:
            return status.spec.metadata.total_frames * status.completed_chunks // status.total_chunks
        if status.completed_chunks != self._completed:
            self._completed = status.completed_chunks
            rows = await self._repository.chunks(status.id, state=ChunkState.SUCCEEDED)
            self._frames = sum(status.spec.chunks[row.index].frame_count for row in rows)
        return self._frames

    async def _tell_of_chunk(
        self, kind: type[Event], status: JobStatus, attempt: AttemptStatus, **fields: object
    ) -> None:
        chunk = status.spec.chunks[attempt.index]
        known = {"attempt": attempt.number, "frame_count": chunk.frame_count, **fields}
        wanted = {name: value for name, value in known.items() if name in kind.__struct_fields__}
        await self._tell(kind, status, chunk=chunk.id, index=attempt.index, **wanted)

    async def _tell(self, kind: type[Any], status: JobStatus, **fields: object) -> None:
        event = kind(job_id=status.id, time=time.time(), **fields)
        for sink in list(self._sinks):
            try:
                returned = sink.handle(event)
                if inspect.isawaitable(returned):
                    await returned
            except Exception as error:
                self._sinks.remove(sink)
                say(f"warning: {type(sink).__name__} raised {type(error).__name__}: {error}; it is told nothing more")
