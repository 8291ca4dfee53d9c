"""What jobs tell, read once for all who listen, encoded as server-sent events.

For each job that somebody listens to there is one reader, at the end of the job's journal. It keeps the newest events
in a ring. A listener that comes with an earlier event, or that falls behind, reads the repository itself until it meets
the ring; so nobody is told less or more than `JobManager.events` tells, and fifty listeners cost about what one does.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import deque
from collections.abc import AsyncGenerator, Iterator
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from heliostat import AttemptFailed, ChunkProgressed, ChunkSucceeded, Event, JobEnded, JobState, Progressed, to_json
from heliostat.errors import JobNotFound, RepositoryUnavailable
from heliostat.studio.api.records import JobDeleted

if TYPE_CHECKING:
    from heliostat import JobManager, JobStatus

KEPT_EVENTS: Final = 4_096
"""Events in a ring."""
KEPT_BYTES: Final = 4 << 20
"""Bytes in a ring; the newest event is kept in any case."""
BATCH: Final = 256 << 10
"""Bytes that a listener is told at once, or one event that is larger."""
PACE: Final = 0.1
"""Seconds between two batches for one listener: each costs a write."""
QUIET: Final = 15.0
"""Seconds without anything to tell after which a listener is told just that."""
LOOK_EVERY: Final = 0.5
"""Seconds between looks at a job that nobody runs."""
RETRY: Final = 1.0
"""Seconds until a repository is tried again that cannot be used."""

KEEP_ALIVE: Final = b": keep-alive\n\n"

Place = tuple[int, int]
"""Where in a job's journal an event is: what its id says."""
START: Final[Place] = (0, 0)

logger = logging.getLogger("heliostat")


class Entry(Struct, frozen=True, gc=False):
    """An event that is told."""

    order: int
    """Counts what the reader was told."""
    place: Place
    id: str | None
    data: bytes


def place_of(event_id: str | None) -> Place:
    """Of an event that a job has told; the start for None."""
    if event_id is None:
        return START
    revision, place, _ = event_id.split("-", 2)
    return int(revision), int(place)


def encode(event_id: str | None, event: Event | JobDeleted) -> bytes:
    """As the HTML standard has it (9.2, Server-sent events)."""
    name = event.__struct_config__.tag
    head = f"event: {name}\n" if event_id is None else f"id: {event_id}\nevent: {name}\n"
    return b"%sdata: %s\n\n" % (head.encode(), to_json(event))


class JobFeed:
    """The reader of one job, and its ring."""

    def __init__(self, manager: JobManager, job_id: str) -> None:
        self.job_id = job_id
        self.listeners = 0
        self.started = asyncio.Event()
        self.moved = asyncio.Event()
        """Set, and replaced by another, when there is something new."""
        self.deleted = False
        self.over = False
        """Nothing more comes."""
        self.base = START
        """The place of the last event that is not in the ring."""
        self._manager = manager
        self._ring: deque[Entry] = deque()
        self._bytes = 0
        self._frames: dict[int | None, Entry] = {}
        """The newest event about the frames of each running chunk, and, under None, of the job."""
        self._order = 0

    async def read(self) -> None:
        """Until the job is deleted, or this is cancelled."""
        try:
            await self._read()
        except JobNotFound:
            self.deleted = True
        except Exception:
            logger.exception("the events of job %s cannot be read", self.job_id)
        finally:
            self.end()

    def end(self) -> None:
        self.over = True
        self.started.set()
        self._wake()

    def told_after(self, place: Place, order: int) -> list[Entry]:
        """The events in the ring after a place, and the newest about frames that come after `order`."""
        found = []
        for entry in reversed(self._ring):
            if entry.place <= place:
                break
            found.append(entry)
        found.reverse()
        newest = self._ring[-1].place if self._ring else self.base
        if newest < place:  # of what is no news any more to who has read on
            return []
        frames = [entry for entry in self._frames.values() if entry.order > order]
        return sorted(found + frames, key=lambda entry: entry.order) if frames else found

    async def _read(self) -> None:
        first: JobStatus | None = None
        after: str | None = None
        seen = -1
        while True:
            try:
                if first is None:
                    first = await self._manager.get(self.job_id)
                    after = await self._manager.newest_event(self.job_id)
                    self.base = place_of(after)
                    self.started.set()
                seen = await self._until_it_goes_on(first, seen)
                async with contextlib.aclosing(self._manager.events(self.job_id, after)) as events:
                    async for event_id, event in events:
                        self._add(event_id, event)
                        after = event_id or after
            except RepositoryUnavailable as error:
                logger.debug("job %s: %s", self.job_id, error)
                await asyncio.sleep(RETRY)

    async def _until_it_goes_on(self, first: JobStatus, seen: int) -> int:
        """Until the journal has another revision than `seen`, or somebody is to run the job; returns the revision."""
        while True:
            job = await self._manager.get(self.job_id)
            if job.created_at != first.created_at:
                raise JobNotFound(f"job {self.job_id} was deleted, and there is another one of that id now")
            if job.revision != seen or (job.state in (JobState.PENDING, JobState.RUNNING) and not job.orphaned):
                return job.revision
            await asyncio.sleep(LOOK_EVERY)

    def _add(self, event_id: str | None, event: Event) -> None:
        self._order += 1
        match event:
            case ChunkProgressed():
                self._frames[event.index] = Entry(self._order, START, None, encode(None, event))
            case Progressed():
                self._frames[None] = Entry(self._order, START, None, encode(None, event))
            case ChunkSucceeded() | AttemptFailed():
                self._frames.pop(event.index, None)
            case JobEnded():
                self._frames = {key: entry for key, entry in self._frames.items() if key is None}
        if event_id is not None:
            entry = Entry(self._order, place_of(event_id), event_id, encode(event_id, event))
            self._ring.append(entry)
            self._bytes += len(entry.data)
            while len(self._ring) > KEPT_EVENTS or (self._bytes > KEPT_BYTES and len(self._ring) > 1):
                oldest = self._ring.popleft()
                self._bytes -= len(oldest.data)
                self.base = oldest.place
        self._wake()

    def _wake(self) -> None:
        self.moved.set()
        self.moved = asyncio.Event()


class Feeds:
    """The feeds of all jobs that somebody listens to."""

    def __init__(self, manager: JobManager) -> None:
        self._manager = manager
        self._feeds: dict[str, tuple[JobFeed, asyncio.Task[None]]] = {}
        self._closed = False

    @property
    def listeners(self) -> int:
        return sum(feed.listeners for feed, _ in self._feeds.values())

    async def close(self) -> None:
        """Whoever listens hears nothing more."""
        self._closed = True
        feeds = list(self._feeds.values())
        for feed, reading in feeds:
            feed.end()
            reading.cancel()
        await asyncio.gather(*(reading for _, reading in feeds), return_exceptions=True)

    async def follow(self, job_id: str, after: str | None) -> AsyncGenerator[bytes, None]:
        """All that the job has told after an event, and what it tells from then on, run after run, until it is deleted.
        In batches, a few a second. Call `JobManager.check_event` before."""
        with self._listening(job_id) as feed:
            await feed.started.wait()
            place, order = place_of(after), 0
            while not self._closed:
                if place < feed.base:
                    if feed.over:
                        break  # what lies between cannot be told, so nothing after it is
                    before = place
                    async with contextlib.aclosing(self._catch_up(feed, after)) as batches:
                        async for after, batch in batches:
                            place = place_of(after)
                            yield batch
                            if self._closed:
                                return
                    if place == before:
                        await asyncio.sleep(PACE)
                    continue
                moved = feed.moved
                batch, after, order = _batch(feed.told_after(place, order), after, order)
                place = place_of(after)
                if batch:
                    yield batch
                    await asyncio.sleep(PACE)
                elif feed.over:
                    break
                else:
                    try:
                        await asyncio.wait_for(moved.wait(), QUIET)
                    except TimeoutError:
                        yield KEEP_ALIVE
            if feed.deleted and not self._closed:
                yield encode(None, JobDeleted(job_id=job_id, time=time.time()))

    async def replay(self, job_id: str, after: str | None) -> AsyncGenerator[bytes, None]:
        """All that the job has told after an event so far, and no more."""
        last = place_of(await self._manager.newest_event(job_id))
        if place_of(after) < last:
            async with contextlib.aclosing(self._read(job_id, after, last)) as batches:
                async for _, batch in batches:
                    yield batch

    @contextlib.contextmanager
    def _listening(self, job_id: str) -> Iterator[JobFeed]:
        if job_id not in self._feeds or self._feeds[job_id][0].over:
            feed = JobFeed(self._manager, job_id)
            self._feeds[job_id] = feed, asyncio.create_task(feed.read())
        feed, reading = self._feeds[job_id]
        feed.listeners += 1
        try:
            yield feed
        finally:
            feed.listeners -= 1
            if not feed.listeners:
                reading.cancel()
                if self._feeds.get(job_id, (None,))[0] is feed:
                    del self._feeds[job_id]

    async def _catch_up(self, feed: JobFeed, after: str | None) -> AsyncGenerator[tuple[str, bytes], None]:
        """From the repository, until the ring goes on from there, or the repository has no more."""
        try:
            async with contextlib.aclosing(self._read(feed.job_id, after, None, feed)) as batches:
                async for found in batches:
                    yield found
        except RepositoryUnavailable as error:
            logger.debug("job %s: %s", feed.job_id, error)
            await asyncio.sleep(RETRY)
        except JobNotFound:
            feed.deleted = True
            feed.end()

    async def _read(
        self, job_id: str, after: str | None, last: Place | None, feed: JobFeed | None = None
    ) -> AsyncGenerator[tuple[str, bytes], None]:
        """Batches, each with the id of its last event: up to an event, or until a feed's ring goes on from there."""
        parts: list[bytes] = []
        size = 0
        reached: str | None = None
        async with contextlib.aclosing(self._manager.events(job_id, after)) as events:
            async for event_id, event in events:
                if event_id is None:
                    continue
                reached, data = event_id, encode(event_id, event)
                parts.append(data)
                size += len(data)
                end = place_of(reached) >= (last if feed is None else feed.base)  # type: ignore[operator]
                if end or size >= BATCH:
                    yield reached, b"".join(parts)
                    parts, size = [], 0
                if end:
                    return
        if reached is not None and parts:
            yield reached, b"".join(parts)


def _batch(entries: list[Entry], after: str | None, order: int) -> tuple[bytes, str | None, int]:
    """As many as may be told at once; the id of the last one that has an id, or `after`, and the order of the last."""
    parts: list[bytes] = []
    size = 0
    for entry in entries:
        if parts and size + len(entry.data) > BATCH:
            break
        parts.append(entry.data)
        size += len(entry.data)
        order = max(order, entry.order)
        after = entry.id or after
    return b"".join(parts), after, order
