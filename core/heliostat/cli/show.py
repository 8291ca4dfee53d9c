"""`heliostat show`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from heliostat.cli.options import AsJson, Database, Debug, JobId

if TYPE_CHECKING:
    from heliostat.cli.database import Jobs


def command(job: JobId, db: Database = None, as_json: AsJson = False, debug: Debug = False) -> None:
    """Show what is known of a job: its state and progress, what failed and why, and where the film is."""
    import asyncio

    async def show() -> None:
        from heliostat.cli.database import find_job, open_jobs

        async with open_jobs(db) as jobs:
            job_id = await find_job(jobs.manager, job)
            await (_print_json if as_json else _print)(jobs, job_id, db)

    asyncio.run(show())


async def _print_json(jobs: Jobs, job_id: str, db: str | None) -> None:
    from heliostat.cli.printing import print_json
    from heliostat.model.codec import to_builtins
    from heliostat.view import view_details

    print_json(to_builtins(await view_details(jobs.repository, await jobs.manager.get(job_id))))


async def _print(jobs: Jobs, job_id: str, db: str | None) -> None:
    from heliostat.builtin.console.terminal import plain
    from heliostat.builtin.console.wording import count, took
    from heliostat.cli.reporting import command_line, describe_state, failure_lines
    from heliostat.coordinator import describe
    from heliostat.model.status import JobState
    from heliostat.view import film, job_dir

    status = await jobs.manager.get(job_id)
    counts = await jobs.repository.count(job_id)
    metrics = status.metrics
    chunks = ", ".join(f"{number:,} {state}" for state, number in counts.items() if number)
    attempts = [count(metrics.attempts, "attempt"), count(metrics.retries, "retry", "retries")]
    attempts.append(f"{took(metrics.render_seconds)} of work")
    if metrics.billed_seconds:
        attempts.append(f"{took(metrics.billed_seconds)} billed")
    if metrics.cost_usd:
        attempts.append(f"{metrics.cost_usd:.4f} USD")
    made, total_frames = film(status), status.spec.metadata.total_frames
    facts = {
        "job": plain(status.id),
        "name": plain(status.spec.name),
        "state": describe_state(status),
        "chunks": f"{status.progress} % done: {chunks}",
        "frames": f"{int(status.percent_of_frames)} % done: {int(metrics.frames_done):,} of {total_frames:,}",
        "work": ", ".join(attempts),
        "failures": ", ".join(f"{number:,} {plain(cause)}" for cause, number in metrics.failures.items()),
        "worker": plain(status.worker.name) if status.worker else "",
        "run by": plain(describe(status.coordinator)) if status.coordinator else "",
        "submitted": f"{status.created_at.astimezone():%Y-%m-%d %H:%M:%S}",
        "changed": f"{status.updated_at.astimezone():%Y-%m-%d %H:%M:%S}",
        "directory": str(job_dir(status)),
        "film": "" if made is None else str(made),
        "error": plain(status.error or ""),
    }
    for name, fact in facts.items():
        if fact:
            typer.echo(f"{name:<10} {fact}")
    for line in await failure_lines(jobs.repository, status):
        typer.echo(f"{'':<10} {line}")
    if status.orphaned or status.state in (JobState.PENDING, JobState.PAUSED, JobState.FAILED, JobState.CANCELLED):
        typer.echo(f"{'go on with':<10} {command_line('resume', status.id, db)}")
