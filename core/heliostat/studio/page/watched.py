"""Follows a job for as long as somebody looks at it, and keeps the picture that all of them are shown."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING, Final

from heliostat import JobEnded, JobEvent, JobStarted, JobState, Progressed
from heliostat.errors import JobNotFound, RepositoryUnavailable, SpecError
from heliostat.studio.page.picture import JobPicture

if TYPE_CHECKING:
    from collections.abc import Iterator

    from heliostat import Event, JobManager, JobRepository, JobStatus

LOOK_EVERY: Final = 0.5
"""Seconds between looks at a job's row, while its events do not lead to one."""
ENTRIES: Final = 200
"""Entries of the journal that are read at once."""
SETTLE: Final = 0.1
"""Seconds after an event by which it is told, when no account of frames has come that ends what belongs together."""


class WatchedJob:
    """Reads the repository and nothing else, so it is never ahead of it."""

    def __init__(self, manager: JobManager, repository: JobRepository, job_id: str) -> None:
        self.id = job_id
        self.picture: JobPicture | None = None
        """None until its rows have been read."""
        self.is_gone = False
        """There is no such job, or no longer."""
        self.trouble: str | None = None
        """Why nothing can be read at the moment."""
        self.version = 0
        """Rises when there is something new to show."""
        self._manager = manager
        self._repository = repository
        self._bell = asyncio.Event()
        self._soon: asyncio.TimerHandle | None = None
        self._looked = float("-inf")
        self._last: str | None = None
        """The id of the event that was told last."""
        self._followed = -1
        """The newest entry of the journal of which all events have been told."""

    async def changed(self, seen: int) -> None:
        """Wait until the version is another one."""
        while self.version == seen:
            await self._bell.wait()

    async def run(self) -> None:
        """Follow the job until it is gone or this is cancelled."""
        looking = asyncio.create_task(self._look())
        try:
            while not self.is_gone:
                with self._reading():
                    await self._follow()
                await asyncio.sleep(LOOK_EVERY)
        finally:
            looking.cancel()
            if self._soon is not None:
                self._soon.cancel()
            await asyncio.gather(looking, return_exceptions=True)

    async def _look(self) -> None:
        """See what no event tells of: what is asked of the coordinator, and that it has died."""
        while not self.is_gone:
            await asyncio.sleep(LOOK_EVERY)
            if self.picture is not None and time.monotonic() - self._looked >= LOOK_EVERY:
                with self._reading():
                    await self._update()

    @contextlib.contextmanager
    def _reading(self) -> Iterator[None]:
        try:
            yield
        except JobNotFound:
            self.is_gone = True
            self._publish()
        except RepositoryUnavailable as error:
            if self.trouble is None:
                self.trouble = str(error)
                self._publish()

    async def _follow(self) -> None:
        """Tell what has happened since this was done last, and go on while the job is pending or runs."""
        status = await self._update()
        picture = self.picture
        if picture is None or picture.status.created_at != status.created_at:
            picture, self._last, self._followed = JobPicture(status), await self._manager.newest_event(self.id), -1
            await self._load(picture)
            for event in await self._newest_run(self._last):
                picture.apply(event)
            self.picture = picture
            self._publish()
        active = status.state in (JobState.PENDING, JobState.RUNNING) and not status.orphaned
        if not active and status.revision == self._followed:
            return
        told = self._manager.events(self.id, self._last)
        try:
            async with contextlib.aclosing(told):
                async for event_id, event in told:
                    await self._take(picture, event_id, event)
        except SpecError:  # the job was deleted, and another one of that id has not told as much
            self.picture = None
            return
        self._followed = status.revision
        await self._update()

    async def _take(self, picture: JobPicture, event_id: str | None, event: Event) -> None:
        picture.apply(event)
        if event_id is not None:
            self._last = event_id
            if isinstance(event, JobStarted | JobEnded):
                await self._load(picture)  # no event tells of chunks that were withdrawn, or of attempts cancelled
        if isinstance(event, Progressed):
            await self._update()
            self._publish()
        elif self._soon is None:
            self._soon = asyncio.get_running_loop().call_later(SETTLE, self._publish)

    async def _load(self, picture: JobPicture) -> None:
        chunks = await self._repository.chunks(self.id)
        picture.load(chunks, await self._repository.attempts(self.id))

    async def _newest_run(self, last: str | None) -> list[Event]:
        """What had happened to the job as a whole in its newest run, up to the event of this id."""
        found: list[Event] = []
        upto = 0 if last is None else int(last.partition("-")[0])
        while upto > 0:
            after = max(0, upto - ENTRIES)
            for entry in reversed(await self._repository.journal(self.id, after=after, limit=upto - after)):
                for happening in reversed(entry.happened):
                    if isinstance(happening, JobEvent):
                        found.append(happening.event)
                        if isinstance(happening.event, JobStarted):
                            return found[::-1]
            upto = after
        return found[::-1]

    async def _update(self) -> JobStatus:
        """Read the job's row."""
        self._looked = time.monotonic()
        status = await self._manager.get(self.id)
        picture = self.picture
        if picture is not None and picture.status.created_at == status.created_at:
            before, picture.status = picture.status, status
            if _said(before) != _said(status):
                self._publish()
        if self.trouble is not None:
            self.trouble = None
            self._publish()
        return status

    def _publish(self) -> None:
        if self._soon is not None:
            self._soon.cancel()
            self._soon = None
        self.version += 1
        bell, self._bell = self._bell, asyncio.Event()
        bell.set()


def _said(status: JobStatus) -> tuple[object, ...]:
    """What a job's row says without what its events lead to."""
    return status.state, status.wish, status.coordinator, status.error, status.output
