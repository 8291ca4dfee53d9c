"""Follows a job that another process runs, and shows it as that process would."""

from __future__ import annotations

from typing import TYPE_CHECKING

from heliostat.cli import exit_status
from heliostat.cli.database import find_job, open_jobs
from heliostat.cli.faults import say
from heliostat.cli.reporting import command_line, film, tell_end
from heliostat.cli.retelling import Retelling
from heliostat.cli.run_options import sinks
from heliostat.model.status import JobState

if TYPE_CHECKING:
    from heliostat.cli.options import Display


async def follow(start: str, display: Display, db: str | None) -> int:
    """Until the job is no longer running; returns the exit status. `start`: how the job's id begins."""
    async with open_jobs(db) as (manager, repository):
        job_id = await find_job(manager, start)
        told: Retelling | None = None
        async for status in manager.watch(job_id):
            if status.state is JobState.PENDING:
                if display.speaks:
                    say(f"job {job_id} is pending; waiting for somebody to run it: heliostat run-pending")
            elif told is not None:
                await told.go_on(status)
            elif status.state is JobState.RUNNING and not status.orphaned:
                told = Retelling(repository, sinks(display, status.settings.job_dir))
                await told.begin(status)
                await told.go_on(status)
        if told is not None:
            await told.end(status)
        elif status.state is JobState.COMPLETED and display.speaks:
            where = film(status)
            say(f"job {job_id} is completed{'' if where is None else f': {where}'}")
        if status.orphaned:
            say(f"error: nobody runs job {job_id} any more; go on with: {command_line('resume', job_id, db)}")
            return exit_status.FAILED
        await tell_end(repository, status, db)
        return exit_status.of_job(status.state)
