"""Takes jobs from the repository that wait for a coordinator, and runs them one after the other."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Final

from heliostat.errors import HeliostatError, JobNotFound, LeaseHeld, RepositoryUnavailable, WrongState
from heliostat.model.status import JobState

if TYPE_CHECKING:
    from heliostat.manager import JobManager
    from heliostat.model.status import JobStatus

LOOK_EVERY: Final = 0.5
"""Seconds between looks for jobs, when there is none."""
FIRST: Final = 20
"""Jobs that are looked at to begin with."""

logger = logging.getLogger("heliostat")


class WaitingJobs:
    """Jobs that nobody runs. Which it has given are remembered: each comes again only after something has changed."""

    def __init__(self, manager: JobManager, *, take_over: bool = False) -> None:
        """`take_over`: jobs, too, whose coordinator has died."""
        self._manager = manager
        self._take_over = take_over
        self._given: dict[str, datetime] = {}
        """When the jobs that were given had last changed then."""

    async def next(self) -> JobStatus | None:
        """The oldest; those that were left before those that are new. None when there is none."""
        found = None
        if self._take_over:
            found = await self._oldest(JobState.RUNNING)
        found = found or await self._oldest(JobState.PENDING)
        if found is not None:
            self._given[found.id] = found.updated_at
        return found

    def again(self, job_id: str) -> None:
        """This one may be given again."""
        self._given.pop(job_id, None)

    async def _oldest(self, state: JobState) -> JobStatus | None:
        limit = FIRST
        while True:  # each look from the beginning: what comes or goes meanwhile moves the others' places
            jobs = await self._manager.list([state], limit=limit, oldest_first=True, with_chunks=False)
            for status in jobs:
                waits = state is JobState.PENDING or (status.orphaned and _is_here(status))
                if waits and self._given.get(status.id) != status.updated_at:
                    return status
            if len(jobs) < limit:
                return None
            limit *= 2


class JobQueue:
    """Several processes may work on one repository: each job is run by one of them."""

    def __init__(self, manager: JobManager, *, watch: bool, take_over: bool) -> None:
        """`watch`: go on when there is nothing to do. `take_over`: run jobs, too, whose coordinator has died."""
        self._manager = manager
        self._watch = watch
        self._waiting = WaitingJobs(manager, take_over=take_over)
        self.ran: list[str] = []

    async def work(self, at_once: int) -> Sequence[str]:
        """Until there is nothing to do, or, when it watches, until cancelled. Returns the ids of the jobs it ran."""
        async with asyncio.TaskGroup() as group:
            for _ in range(at_once):
                group.create_task(self._work_off())
        return self.ran

    async def _work_off(self) -> None:
        while True:
            try:
                status = await self._waiting.next()
            except RepositoryUnavailable as error:
                if not self._watch:
                    raise
                logger.warning("jobs cannot be looked for, trying again: %s", error)
                status = None
            if status is not None:
                await self._run(status)
            elif self._watch:
                await asyncio.sleep(LOOK_EVERY)
            else:
                return

    async def _run(self, status: JobStatus) -> None:
        try:
            if status.state is JobState.PENDING:
                await self._manager.start(status.id)
            else:
                await self._manager.take_over(status.id)
            if status.wish is None:  # else it was not run, but paused or cancelled
                self.ran.append(status.id)
            await self._manager.wait(status.id)
        except (LeaseHeld, WrongState, JobNotFound):
            return  # somebody else was quicker
        except RepositoryUnavailable as error:
            if not self._watch:
                raise
            logger.warning("job %s, trying again: %s", status.id, error)
            self._waiting.again(status.id)
            await asyncio.sleep(LOOK_EVERY)
        except HeliostatError as error:
            logger.error("job %s: %s", status.id, error)
            await asyncio.sleep(LOOK_EVERY)
        except Exception:  # of somebody's plugin, say; the other jobs go on
            logger.exception("job %s", status.id)
            await asyncio.sleep(LOOK_EVERY)


def _is_here(status: JobStatus) -> bool:
    """What another machine has left may need that machine's files."""
    return os.path.isdir(status.settings.job_dir or ".")
