"""Follows a part of the list of jobs for as long as somebody looks at it."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from heliostat import JobState
from heliostat.errors import RepositoryUnavailable

if TYPE_CHECKING:
    from heliostat import JobManager, JobRepository, JobStatus
    from heliostat.studio.page.sharing import Sharing
    from heliostat.studio.page.watched import WatchedJob

LOOK_EVERY: Final = 0.5
"""Seconds between looks at the list."""
ROWS: Final = 25
"""Jobs on one page."""
MOST_CHUNKS: Final = 100_000
"""Jobs of more chunks than this are listed without their rate, which would need all their rows."""


class Query(Struct, frozen=True):
    """Which part."""

    state: JobState | None = None
    name: str = ""
    """What is to be in the name, whatever the case of its letters."""
    page: int = 0


class JobList:
    """Jobs, the newest first."""

    is_gone = False

    def __init__(
        self, manager: JobManager, repository: JobRepository, watched: Sharing[str, WatchedJob], query: Query
    ) -> None:
        self.jobs: list[JobStatus] = []
        self.counts: dict[JobState, int] = {}
        """How many jobs of that name are in each state."""
        self.is_read = False
        self.trouble: str | None = None
        """Why nothing can be read at the moment."""
        self.live: dict[str, WatchedJob] = {}
        """Those of the jobs that run, by id."""
        self.version = 0
        """Rises when there is something new to show."""
        self._manager = manager
        self._repository = repository
        self._watched = watched
        self._query = query
        self._looks: dict[str, contextlib.ExitStack] = {}
        self._seen: object = None
        self._bell = asyncio.Event()

    @property
    def total(self) -> int:
        """How many jobs there are, on all pages together."""
        return sum(self.counts.values()) if self._query.state is None else self.counts.get(self._query.state, 0)

    async def changed(self, seen: int) -> None:
        """Wait until the version is another one."""
        while self.version == seen:
            await self._bell.wait()

    async def run(self) -> None:
        """Until cancelled."""
        try:
            while True:
                try:
                    await self._read()
                    self.is_read, self.trouble = True, None
                    self._watch([job for job in self.jobs if job.state is JobState.RUNNING and not job.orphaned])
                except RepositoryUnavailable as error:
                    self.trouble = str(error)
                self._publish()
                await asyncio.sleep(LOOK_EVERY)
        finally:
            self._watch([])

    async def _read(self) -> None:
        query = self._query
        self.jobs = await self._manager.list(
            None if query.state is None else [query.state],
            name=query.name or None,
            limit=ROWS,
            offset=query.page * ROWS,
            with_chunks=False,
        )
        self.counts = await self._repository.count_jobs(name=query.name or None)

    def _watch(self, running: list[JobStatus]) -> None:
        wanted = {job.id for job in running if job.total_chunks <= MOST_CHUNKS}
        for job_id in set(self._looks) - wanted:
            self._looks.pop(job_id).close()
            del self.live[job_id]
        for job_id in wanted - set(self._looks):
            looks = self._looks[job_id] = contextlib.ExitStack()
            self.live[job_id] = looks.enter_context(self._watched.looking_at(job_id))

    def _publish(self) -> None:
        rows = [(job.id, job.state, job.updated_at, job.wish, job.coordinator) for job in self.jobs]
        live = sorted((job_id, job.version) for job_id, job in self.live.items())
        seen = (rows, live, self.counts, self.trouble)
        if seen != self._seen:
            self._seen = seen
            self.version += 1
            bell, self._bell = self._bell, asyncio.Event()
            bell.set()
