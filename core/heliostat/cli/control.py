"""What `pause` and `cancel` have in common."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Literal

import typer

from heliostat.cli.database import find_job, open_jobs
from heliostat.model.status import JobState


def ask(verb: Literal["pause", "cancel"], starts: Sequence[str], *, db: str | None, wait: bool) -> None:
    """Ask it of each job, and say how each then is."""
    asyncio.run(_ask(verb, starts, db, wait))


async def _ask(verb: Literal["pause", "cancel"], starts: Sequence[str], db: str | None, wait: bool) -> None:
    async with open_jobs(db) as (manager, _):
        for start in starts:
            job_id = await find_job(manager, start)
            status = await (manager.pause(job_id) if verb == "pause" else manager.cancel(job_id))
            if wait:
                status = await manager.wait(job_id)
            if status.state is not JobState.RUNNING:
                typer.echo(f"job {job_id} is {status.state}")
            elif verb == "pause":
                typer.echo(f"job {job_id} pauses when its running chunks have finished")
            else:
                typer.echo(f"job {job_id} is being cancelled")
