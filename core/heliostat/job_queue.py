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
MANY: Final = 1_000_000

logger = logging.getLogger("heliostat")


class JobQueue:
    """Several processes may work on one repository: each job is run by one of them."""

    def __init__(self, manager: JobManager, *, watch: bool, take_over: bool) -> None:
        """`watch`: go on when there is nothing to do. `take_over`: run jobs, too, whose coordinator has died."""
        self._manager = manager
        self._watch = watch
        self._take_over = take_over
        self._tried: dict[str, datetime] = {}
        """Jobs that were begun here, and when they had last changed then: what has changed since may be tried again."""
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
                status = await self._next()
            except RepositoryUnavailable as error:
                if not self._watch:
                    raise
                logger.warning("jobs cannot be looked for, trying again: %s", error)
                status = None
            if status is not None:
                self._tried[status.id] = status.updated_at
                await self._run(status)
            elif self._watch:
                await asyncio.sleep(LOOK_EVERY)
            else:
                return

    async def _run(self, status: JobStatus) -> None:
        try:
            if status.state is JobState.PENDING:
                begun = await self._manager.start(status.id)
            else:
                begun = await self._manager.take_over(status.id)
            if begun.state is JobState.RUNNING:
                self.ran.append(status.id)
            await self._manager.wait(status.id)
        except (LeaseHeld, WrongState, JobNotFound):
            return  # somebody else was quicker
        except RepositoryUnavailable as error:
            if not self._watch:
                raise
            logger.warning("job %s, trying again: %s", status.id, error)
            self._tried.pop(status.id, None)
            await asyncio.sleep(LOOK_EVERY)
        except HeliostatError as error:
            logger.error("job %s: %s", status.id, error)
            await asyncio.sleep(LOOK_EVERY)
        except Exception:  # of somebody's plugin, say; the other jobs go on
            logger.exception("job %s", status.id)
            await asyncio.sleep(LOOK_EVERY)

    async def _next(self) -> JobStatus | None:
        """The oldest job that waits; those that were left before those that are new."""
        if self._take_over:
            for status in reversed(await self._manager.list([JobState.RUNNING], limit=MANY, with_chunks=False)):
                if status.orphaned and _is_here(status) and self._is_new(status):
                    return status
        for status in reversed(await self._manager.list([JobState.PENDING], limit=MANY, with_chunks=False)):
            if self._is_new(status):
                return status
        return None

    def _is_new(self, status: JobStatus) -> bool:
        return self._tried.get(status.id) != status.updated_at


def _is_here(status: JobStatus) -> bool:
    """What another machine has left may need that machine's files."""
    return os.path.isdir(status.settings.job_dir or ".")
