"""Follows a job, whoever runs it: what its journal tells, and between that the frames of what is running.

Events of the journal come exactly, in order and with their ids. Frames come as the rows have them at the moment,
without an id: the next ones replace them.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Final

from heliostat.errors import JobNotFound
from heliostat.executor.progress import FrameMeter
from heliostat.journal import JournalReader, Key, rows_by_key
from heliostat.model.events import (
    AttemptFailed,
    ChunkProgressed,
    ChunkSucceeded,
    Event,
    JobEnded,
    JobStarted,
    Progressed,
)
from heliostat.model.status import AttemptState, JobState

if TYPE_CHECKING:
    from heliostat.contracts.repository import JobRepository
    from heliostat.model.status import AttemptStatus, JobStatus

POLL_EVERY: Final = 0.3
"""Seconds between looks at what other processes write, and at the least between two accounts of the frames."""

TELL_EVERY: Final = 1.0
"""Seconds between two accounts of the frames at the most, so that it is seen when there are none."""

Told = tuple[str | None, Event]
"""An event with its id; None for one about frames."""


class Bells:
    """Wakes those who follow a job as soon as this process has committed something of it."""

    def __init__(self) -> None:
        self._bells: dict[str, set[asyncio.Event]] = {}

    def ring(self, job_id: str) -> None:
        for bell in self._bells.get(job_id, ()):
            bell.set()

    @contextlib.contextmanager
    def hung_up(self, job_id: str) -> Iterator[asyncio.Event]:
        """A bell that rings for the job."""
        bell = asyncio.Event()
        self._bells.setdefault(job_id, set()).add(bell)
        try:
            yield bell
        finally:
            self._bells[job_id].discard(bell)
            if not self._bells[job_id]:
                del self._bells[job_id]


async def follow(
    repository: JobRepository,
    get: Callable[[], Awaitable[JobStatus]],
    bell: asyncio.Event,
    *,
    after: str | None = None,
    newest_run: bool = False,
) -> AsyncGenerator[Told, None]:
    """Everything after an event, or from the start of the first or the newest run, until the job is no longer pending
    or running, or nobody runs it. `get` reads the job as it is now, which it is asked for when the bell rings.

    Raises SpecError for an `after` that the job has not told, JobNotFound and RepositoryUnavailable.
    """
    first = status = await get()
    journal, frames = JournalReader(repository, first), _Frames(first)
    if after is not None:
        await journal.seek_event(after)
    elif newest_run:
        await journal.seek_newest_run()
    while True:
        looking = frames.are_due() or not journal.in_run
        telling = over = False
        if looking:
            status = await get()
            telling = frames.are_to_be_told(status)
            if telling:  # before the status, so that the journal up to that tells of the beginning of each of them
                frames.look(await repository.attempts(status.id, state=AttemptState.RUNNING))
                status = await get()
            if status.created_at != first.created_at:
                raise JobNotFound(f"job {status.id} was deleted, and there is another one of that id now")
            over = status.state not in (JobState.PENDING, JobState.RUNNING) or status.orphaned
        async with contextlib.aclosing(journal.read(status.revision if looking else None)) as events:
            async for event_id, event in events:
                if isinstance(event, JobEnded) and (ended := await get()).revision == journal.revision:
                    yield None, frames.overall(ended, 0)  # as the coordinator tells it in the end
                frames.hear(event)
                yield event_id, event
        if over:
            return
        if telling and journal.in_run:
            for event in frames.account(status):
                yield None, event
        if looking or journal.in_run:  # else the run has just ended
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(bell.wait(), POLL_EVERY)
            bell.clear()


class _Frames:
    """The frames of a job, from its rows. `look`, then `hear` what the journal tells, then `account`."""

    def __init__(self, status: JobStatus) -> None:
        self._job_id = status.id
        self._spec = status.spec
        self._meter = FrameMeter(self._spec.metadata.total_frames, int(status.metrics.frames_done), time.monotonic())
        self._seen: tuple[object, ...] = ()
        self._seen_clock = self._told_clock = float("-inf")
        self._told: dict[Key, float] = {}
        """Frames of running attempts, as they were accounted for last."""
        self._running: dict[Key, AttemptStatus] = {}

    def are_due(self) -> bool:
        """Whether it is long enough that the job was looked at."""
        return time.monotonic() - self._seen_clock >= POLL_EVERY

    def are_to_be_told(self, status: JobStatus) -> bool:
        """Whether anything has changed since the job was looked at last, or nothing has for long."""
        before, self._seen = self._seen, (status.revision, status.updated_at)
        self._seen_clock = time.monotonic()
        return self._seen != before or self._seen_clock - self._told_clock >= TELL_EVERY

    def look(self, running: Sequence[AttemptStatus]) -> None:
        self._running = rows_by_key(running)

    def hear(self, event: Event) -> None:
        match event:
            case JobStarted():
                self._meter = FrameMeter(event.total_frames, event.completed_frames, time.monotonic())
            case ChunkSucceeded() | AttemptFailed():  # since they were looked at
                self._running.pop((event.index, event.attempt), None)

    def account(self, status: JobStatus) -> Iterator[Event]:
        """What is to be told of a job as it was when they were looked at."""
        before, self._told = self._told, {key: attempt.frames_done for key, attempt in self._running.items()}
        for key, attempt in self._running.items():
            if attempt.frames_done > before.get(key, 0.0):
                chunk = self._spec.chunks[attempt.index]
                yield ChunkProgressed(
                    job_id=self._job_id,
                    time=time.time(),
                    chunk=chunk.id,
                    index=attempt.index,
                    attempt=attempt.number,
                    frames_done=attempt.frames_done,
                    frame_count=chunk.frame_count,
                )
        yield self.overall(status, len(self._running))

    def overall(self, status: JobStatus, running: int) -> Event:
        self._told_clock = time.monotonic()
        snapshot = self._meter.reached(status.metrics.frames_done, self._told_clock)
        return Progressed(
            job_id=self._job_id,
            time=time.time(),
            completed_chunks=status.completed_chunks,
            total_chunks=status.total_chunks,
            running_chunks=running,
            frames_done=snapshot.frames_done,
            total_frames=self._meter.total_frames,
            percent=snapshot.percent,
            rate=snapshot.rate,
            eta=snapshot.eta,
        )
