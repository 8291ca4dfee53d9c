"""Follows a job that another process runs, and shows it as that process would."""

from __future__ import annotations

import contextlib
import inspect
import time
from typing import TYPE_CHECKING

from heliostat.cli import exit_status
from heliostat.cli.database import find_job, open_jobs
from heliostat.cli.faults import say
from heliostat.cli.reporting import command_line, tell_end
from heliostat.cli.run_options import sinks
from heliostat.model.events import JobEnded, JobStarted
from heliostat.model.status import JobState
from heliostat.view import film

if TYPE_CHECKING:
    from collections.abc import Iterable

    from heliostat.cli.options import Display
    from heliostat.contracts.progress import ProgressSink
    from heliostat.manager import JobManager
    from heliostat.model.events import Event
    from heliostat.model.status import JobStatus


async def follow(start: str, display: Display, db: str | None) -> int:
    """Until the job is no longer running; returns the exit status. `start`: how the job's id begins."""
    async with open_jobs(db) as (manager, repository):
        status = await manager.get(await find_job(manager, start))
        job_id = status.id
        if status.state is JobState.PENDING and display.speaks:
            say(f"job {job_id} is pending; waiting for somebody to run it: heliostat run-pending")
        if status.state in (JobState.PENDING, JobState.RUNNING) and not status.orphaned:
            status = await retell(manager, status, sinks(display, status.settings.job_dir))
        elif status.state is JobState.COMPLETED and display.speaks:
            where = film(status)
            say(f"job {job_id} is completed{'' if where is None else f': {where}'}")
        if status.orphaned:
            say(f"error: nobody runs job {job_id} any more; go on with: {command_line('resume', job_id, db)}")
            return exit_status.FAILED
        await tell_end(repository, status, db)
        return exit_status.of_job(status.state)


async def retell(manager: JobManager, job: JobStatus, sinks: Iterable[ProgressSink]) -> JobStatus:
    """Tell sinks of the job's run, from its start, what those of its own process are told; returns the job as it is in
    the end."""
    # From the start, though the run may have come far: a sink hears the whole of a run, or its counts would be wrong.
    told, began = _Told(sinks), time.monotonic()
    running = False
    async with contextlib.aclosing(manager.events(job.id, newest_run=True)) as events:
        async for _, event in events:
            running = isinstance(event, JobStarted) or (running and not isinstance(event, JobEnded))
            await told.tell(event)
    status = await manager.get(job.id)
    if running:  # its coordinator died, and did not tell of an end; sinks let go of what they hold when one is told
        await told.tell(
            JobEnded(
                job_id=job.id,
                time=time.time(),
                state=status.state,
                completed_chunks=status.completed_chunks,
                total_chunks=status.total_chunks,
                duration=time.monotonic() - began,
            )
        )
    return status


class _Told:
    """Sinks that are told one event after the other. One that raises is told nothing more."""

    def __init__(self, sinks: Iterable[ProgressSink]) -> None:
        self._sinks = list(sinks)

    async def tell(self, event: Event) -> None:
        for sink in list(self._sinks):
            try:
                returned = sink.handle(event)
                if inspect.isawaitable(returned):
                    await returned
            except Exception as error:
                self._sinks.remove(sink)
                say(f"warning: {type(sink).__name__} raised {type(error).__name__}: {error}; it is told nothing more")
