"""Runs a job in this process and sees it to its end."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Literal

from heliostat.cli import exit_status
from heliostat.cli.database import find_job, open_jobs
from heliostat.cli.faults import log_to_stderr, say
from heliostat.cli.interrupts import Interrupts
from heliostat.cli.reporting import command_line, tell_end
from heliostat.cli.run_options import changed, sinks
from heliostat.executor.choice import executors
from heliostat.executor.options import JobExecutionOptions
from heliostat.model.status import ChunkState, JobState

if TYPE_CHECKING:
    from heliostat.cli.database import Jobs
    from heliostat.cli.options import Display, Limits
    from heliostat.contracts.progress import ProgressSink
    from heliostat.contracts.repository import JobRepository
    from heliostat.model.spec import JobSpec
    from heliostat.model.status import WorkerChoice


def run_new(
    spec: JobSpec,
    options: JobExecutionOptions,
    worker: WorkerChoice,
    *,
    db: str | None,
    sinks: Iterable[ProgressSink],
    announce: bool,
) -> int:
    """Submit a job and run it to its end; returns the exit status. `announce`: say the job's id."""

    async def begin(jobs: Jobs) -> str:
        return await jobs.manager.submit(spec, options, worker=worker)

    log_to_stderr()
    return asyncio.run(_run(begin, db, sinks, announce, options.only_chunks))


def run_again(
    verb: Literal["resume", "retry"],
    start: str,
    limits: Limits,
    only: Sequence[str] | None,
    display: Display,
    *,
    db: str | None,
) -> int:
    """Resume or retry a job and run it to its end; returns the exit status. `start`: how the job's id begins."""
    log_to_stderr()
    return asyncio.run(_run_again(verb, start, limits, only, display, db))


async def _run_again(
    verb: Literal["resume", "retry"],
    start: str,
    limits: Limits,
    only: Sequence[str] | None,
    display: Display,
    db: str | None,
) -> int:
    async with open_jobs(db) as (manager, repository):
        status = await manager.get(await find_job(manager, start))
        settings = changed(status.settings, limits, only)
        options = None if settings == status.settings else JobExecutionOptions.from_settings(settings)
        asked: Iterable[int | str] | None = settings.only_chunks
        if verb == "retry":
            asked = [chunk.id for chunk in await repository.chunks(status.id, state=ChunkState.FAILED)]
        elif asked is not None and await _are_done(repository, status.id, asked):
            asked = None

    async def begin(jobs: Jobs) -> str:
        manager = jobs.manager
        return (await (manager.retry if verb == "retry" else manager.resume)(status.id, options)).id

    return await _run(begin, db, sinks(display, settings.job_dir), display.speaks, asked)


async def _run(
    begin: Callable[[Jobs], Awaitable[str]],
    db: str | None,
    sinks: Iterable[ProgressSink],
    announce: bool,
    asked: Iterable[int | str] | None,
) -> int:
    """`asked`: the chunks that are to be run, where those are not all."""
    async with open_jobs(db, executor=executors(), sinks=sinks) as jobs:
        with Interrupts(jobs.manager) as interrupts:
            job_id = await begin(jobs)
            interrupts.job_ids.add(job_id)
            if interrupts.came.is_set():
                await jobs.manager.pause(job_id)
            if announce:
                say(f"job {job_id}")
            status = await jobs.manager.wait(job_id)
        if status.state is JobState.PAUSED and asked is not None and await _are_done(jobs.repository, job_id, asked):
            say(
                f"the chunks that were asked for are done, {status.total_chunks - status.completed_chunks:,} others are"
                f" missing; go on with: {command_line('resume', job_id, db)}"
            )
            return exit_status.DONE
        await tell_end(jobs.repository, status, db)
        return exit_status.of_job(status.state)


async def _are_done(repository: JobRepository, job_id: str, asked: Iterable[int | str]) -> bool:
    succeeded = await repository.chunks(job_id, state=ChunkState.SUCCEEDED)
    return {str(chunk.id) for chunk in succeeded}.issuperset(map(str, asked))
