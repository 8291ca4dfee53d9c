"""Takes pending jobs from the repository and runs them in this process."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable
from typing import TYPE_CHECKING

from heliostat.cli import exit_status, faults
from heliostat.cli.database import open_jobs
from heliostat.cli.interrupts import Interrupts
from heliostat.cli.reporting import tell_end
from heliostat.errors import HeliostatError, JobNotFound, LeaseHeld, WrongState
from heliostat.executor.choice import executors
from heliostat.job_queue import WaitingJobs

if TYPE_CHECKING:
    from heliostat.cli.database import Jobs
    from heliostat.contracts.progress import ProgressSink

LOOK_EVERY = 1.0
"""Seconds between looks for new jobs."""


async def run_pending(db: str | None, sinks: Iterable[ProgressSink], *, at_once: int, watch: bool) -> int:
    """Run pending jobs, the oldest first, `at_once` at a time, until there are none; with `watch`, until interrupted.
    Returns the exit status."""
    async with open_jobs(db, executor=executors(), sinks=sinks) as jobs:
        with Interrupts(jobs.manager) as interrupts:
            queue = _Queue(jobs, db, interrupts)
            async with asyncio.TaskGroup() as group:
                for _ in range(at_once):
                    group.create_task(queue.work_off(watch=watch))
    if watch and interrupts.came.is_set() and not queue.ended:
        return exit_status.DONE
    return max(queue.ended, key=_GRAVITY.index, default=exit_status.DONE)


_GRAVITY = (exit_status.DONE, exit_status.PAUSED, exit_status.CANCELLED, exit_status.FAILED)


class _Queue:
    def __init__(self, jobs: Jobs, db: str | None, interrupts: Interrupts) -> None:
        self.ended: set[int] = set()
        """Exit statuses."""
        self._jobs = jobs
        self._db = db
        self._interrupts = interrupts
        self._waiting = WaitingJobs(jobs.manager)

    async def work_off(self, *, watch: bool) -> None:
        while not self._interrupts.came.is_set():
            status = await self._waiting.next()
            if status is not None:
                await self._run(status.id)
            elif watch:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._interrupts.came.wait(), LOOK_EVERY)
            else:
                return

    async def _run(self, job_id: str) -> None:
        self._interrupts.job_ids.add(job_id)
        try:
            await self._jobs.manager.start(job_id)
            if self._interrupts.came.is_set():
                await self._jobs.manager.pause(job_id)
            status = await self._jobs.manager.wait(job_id)
            await tell_end(self._jobs.repository, status, self._db)
            self.ended.add(exit_status.of_job(status.state))
        except (LeaseHeld, WrongState, JobNotFound):
            return  # somebody else was quicker
        except HeliostatError as error:  # such as a worker adapter that is not installed here
            faults.tell(error)
            self.ended.add(exit_status.FAILED)
        finally:
            self._interrupts.job_ids.discard(job_id)
