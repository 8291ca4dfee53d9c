"""A job's events, from its journal: the very ones, in the same order, that its coordinator's sinks are told.

The id of an event is `revision-place-job`: its entry in the journal, its place from 1 among the events of that entry,
and when the job was created, in microseconds since the epoch, in hexadecimal. An entry never changes and says by itself
how many events it has, and a job that is made under the id of one that was deleted is another job; so an id means the
same event to every reader, for ever.
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from heliostat.contracts.repository import AttemptChange, Happening, JobEvent, JournalEntry
from heliostat.errors import SpecError
from heliostat.model.cause import Cause
from heliostat.model.events import AttemptFailed, ChunkFailed, ChunkStarted, ChunkSucceeded, Event, JobEnded, JobStarted
from heliostat.model.status import AttemptState, JobState, percent

if TYPE_CHECKING:
    from heliostat.contracts.repository import JobRepository
    from heliostat.model.spec import JobSpec
    from heliostat.model.status import AttemptStatus, JobStatus

ENTRIES: Final = 200
"""Entries of a journal that are read at once at the most, as of a job that does little at a time."""
HAPPENINGS: Final = 20_000
"""How many happenings are to be read at once. A fast job has thousands in an entry."""
ROWS: Final = 1_000
"""Attempt rows that are read at once."""

Key = tuple[int, int]
"""A chunk's index and an attempt's number."""

# Looked up once: Python 3.11 takes as long for a member of an enum as for making a record.
_RUNNING, _SUCCEEDED, _CANCELLED = AttemptState.RUNNING, AttemptState.SUCCEEDED, AttemptState.CANCELLED

_ID = re.compile(r"([1-9][0-9]{0,17})-([1-9][0-9]{0,17})-([0-9a-f]{1,16})")


class Retelling:
    """Makes the events of one job from what happened and the rows of its attempts."""

    def __init__(self, job_id: str, spec: JobSpec) -> None:
        self._job_id = job_id
        self._chunks = spec.chunks

    def events(self, happening: Happening, rows: Mapping[Key, AttemptStatus]) -> tuple[Event, ...]:
        """`rows` has that of the attempt, as it was at that time or any time later."""
        if isinstance(happening, JobEvent):
            return (happening.event,)
        state = happening.state
        if state is _CANCELLED:
            return ()
        attempt = rows[happening.index, happening.number]
        if state is _RUNNING:
            return (self._started(attempt),)
        if state is _SUCCEEDED:
            return (self._succeeded(attempt, happening.position),)
        return self._failed(attempt, happening.given_up)

    def _started(self, attempt: AttemptStatus) -> Event:
        chunk = self._chunks[attempt.index]
        return ChunkStarted(
            job_id=self._job_id,
            time=attempt.started_at,
            chunk=chunk.id,
            index=attempt.index,
            attempt=attempt.number,
            frame_count=chunk.frame_count,
        )

    def _succeeded(self, attempt: AttemptStatus, position: int | None) -> Event:
        assert position is not None
        assert attempt.result is not None
        chunk, total = self._chunks[attempt.index], len(self._chunks)
        return ChunkSucceeded(
            job_id=self._job_id,
            time=_end(attempt),
            chunk=chunk.id,
            index=attempt.index,
            attempt=attempt.number,
            completed_chunks=position,
            total_chunks=total,
            progress=percent(position, total),
            frame_count=chunk.frame_count,
            result=attempt.result,
        )

    def _failed(self, attempt: AttemptStatus, given_up: bool) -> tuple[Event, ...]:
        chunk = self._chunks[attempt.index].id
        cause, message = attempt.cause or Cause.COMMAND_FAILED, attempt.message or ""
        failed = AttemptFailed(
            job_id=self._job_id,
            time=_end(attempt),
            chunk=chunk,
            index=attempt.index,
            attempt=attempt.number,
            cause=cause,
            message=message,
            stderr_tail=attempt.stderr_tail if attempt.result is None else attempt.result.stderr_tail,
            retry_in=attempt.retry_in,
        )
        if not given_up:
            return (failed,)
        return failed, ChunkFailed(
            job_id=self._job_id,
            time=failed.time,
            chunk=chunk,
            index=attempt.index,
            attempts=attempt.number,
            cause=cause,
            message=message,
        )


def rows_by_key(attempts: Collection[AttemptStatus]) -> dict[Key, AttemptStatus]:
    return {(attempt.index, attempt.number): attempt for attempt in attempts}


class JournalReader:
    """Reads one job's journal on from a place. All methods raise JobNotFound and RepositoryUnavailable."""

    def __init__(self, repository: JobRepository, job: JobStatus) -> None:
        """At the beginning, until one of the `seek` methods says otherwise."""
        self.in_run = False
        """Whether the event before this place is one of a run that has not ended."""
        self.revision = 0
        """The entry of the event that was read last."""
        self._repository = repository
        self._job = job
        self._retelling = Retelling(job.id, job.spec)
        self._made = f"{round(job.created_at.timestamp() * 1e6):x}"
        self._read = 0
        """The last entry that was read to its end."""
        self._skipped = 0
        """Events of the entry after it that were read too."""
        self._page = 10
        """How many entries are read at once: by experience with those before."""

    async def seek_event(self, event_id: str) -> None:
        """Go on after an event. Raises SpecError when there is none of that id so far."""
        match = _ID.fullmatch(event_id)
        if match is not None and match[3] == self._made and int(match[1]) <= self._job.revision:
            revision, place = int(match[1]), int(match[2])
            for entry in await self._repository.journal(self._job.id, after=revision - 1, limit=1):
                before = 0
                for happening in entry.happened:
                    before += _count(happening)
                    if before >= place:
                        ended = isinstance(happening, JobEvent) and isinstance(happening.event, JobEnded)
                        self._read, self._skipped, self.in_run = revision - 1, place, not ended
                        return
        raise SpecError(
            f"job {self._job.id} has told no event {event_id!r}; give the id of one that it has told, or none to begin"
            " at the first"
        )

    async def seek_newest_run(self) -> None:
        """Go to the start of the newest run; where the job is about to run again, to the end of the one before."""
        job = self._job
        upto = job.revision
        while upto > 0:
            after = max(0, upto - self._page)
            for entry in reversed(await self._entries(after, upto - after)):
                before = sum(map(_count, entry.happened))
                for happening in reversed(entry.happened):
                    before -= _count(happening)
                    event = happening.event if isinstance(happening, JobEvent) else None
                    if isinstance(event, JobStarted):
                        self._read, self._skipped = entry.revision - 1, before
                        return
                    if isinstance(event, JobEnded) and job.state in (JobState.PENDING, JobState.RUNNING):
                        self._read, self._skipped = entry.revision - 1, before + 1
                        return
            upto = after

    async def newest_event(self) -> str | None:
        """The id of the last event so far; None before the first."""
        upto = self._job.revision
        while upto > 0:
            after = max(0, upto - self._page)
            for entry in reversed(await self._entries(after, upto - after)):
                if events := sum(map(_count, entry.happened)):
                    return f"{entry.revision}-{events}-{self._made}"
            upto = after
        return None

    async def read(self, upto: int | None = None) -> AsyncGenerator[tuple[str, Event], None]:
        """The events from here to the end of the entry `upto`, or of the last there is, with their ids. Only when it
        is read to its end does the next one go on from there."""
        while upto is None or self._read < upto:
            limit = self._page if upto is None else min(self._page, upto - self._read)
            entries = await self._entries(self._read, limit)
            happened = [(entry.revision, happening) for entry in entries for happening in entry.happened]
            place = 0
            for first in range(0, len(happened), ROWS):
                part = happened[first : first + ROWS]
                rows = await self._rows([happening for _, happening in part])
                for revision, happening in part:
                    if revision != self.revision:
                        self.revision, place = revision, 0
                    for event in self._retelling.events(happening, rows):
                        place += 1
                        if revision > self._read + 1 or place > self._skipped:
                            self.in_run = not isinstance(event, JobEnded)
                            yield f"{revision}-{place}-{self._made}", event
            if entries:
                self._read, self._skipped = entries[-1].revision, 0
            if len(entries) < limit:
                return

    async def _entries(self, after: int, limit: int) -> Sequence[JournalEntry]:
        entries = await self._repository.journal(self._job.id, after=after, limit=limit)
        if entries:
            happenings = sum(len(entry.happened) for entry in entries)
            self._page = min(ENTRIES, max(1, HAPPENINGS * len(entries) // happenings))
        return entries

    async def _rows(self, happened: Sequence[Happening]) -> Mapping[Key, AttemptStatus]:
        keys = {
            (change.index, change.number)
            for change in happened
            if isinstance(change, AttemptChange) and change.state is not _CANCELLED
        }
        return rows_by_key(await self._repository.attempts(self._job.id, keys=keys)) if keys else {}


def _count(happening: Happening) -> int:
    """How many events tell of it."""
    if isinstance(happening, JobEvent):
        return 1
    return 0 if happening.state is _CANCELLED else 1 + happening.given_up


def _end(attempt: AttemptStatus) -> float:
    return attempt.started_at if attempt.ended_at is None else attempt.ended_at
