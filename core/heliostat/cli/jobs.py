"""`heliostat jobs`."""

from __future__ import annotations

from enum import Enum
from typing import Annotated

import typer

from heliostat.cli.options import AsJson, Database, Debug


class State(str, Enum):  # noqa: UP042  as for Progress
    """`JobState`, which is not imported for a mere help text."""

    pending = "pending"
    running = "running"
    paused = "paused"
    completed = "completed"
    failed = "failed"
    cancelled = "cancelled"


def command(
    states: Annotated[
        list[State] | None,
        typer.Option("--state", help="List only jobs in this state; may be repeated."),
    ] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, metavar="N", help="How many to list at most.")] = 100,
    db: Database = None,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """List jobs, the newest first."""
    import asyncio

    from heliostat.builtin.console.terminal import plain
    from heliostat.cli.database import open_jobs
    from heliostat.cli.printing import print_json, print_table
    from heliostat.cli.reporting import describe_state
    from heliostat.model.codec import to_builtins
    from heliostat.model.status import JobState, JobStatus
    from heliostat.view import view_job

    async def newest() -> list[JobStatus]:
        async with open_jobs(db) as (manager, _):
            chosen = [JobState(state.value) for state in states] if states else None
            return await manager.list(states=chosen, limit=limit, with_chunks=False)

    jobs = asyncio.run(newest())
    if as_json:
        print_json([to_builtins(view_job(job)) for job in jobs])
        return
    if not jobs:
        typer.echo("no jobs")
        return
    rows = [
        (
            plain(job.id),
            plain(job.spec.name),
            describe_state(job),
            f"{int(job.percent_of_frames)} %",
            f"{job.completed_chunks:,}/{job.total_chunks:,}",
            f"{job.created_at.astimezone():%Y-%m-%d %H:%M}",
        )
        for job in jobs
    ]
    print_table(("id", "name", "state", "frames", "chunks", "submitted"), rows)
