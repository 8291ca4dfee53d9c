"""`heliostat delete`."""

from __future__ import annotations

from typing import Annotated

import typer

from heliostat.cli.options import Database, Debug, JobIds


def command(
    jobs: JobIds,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    db: Database = None,
    debug: Debug = False,
) -> None:
    """Forget jobs and delete their logs.

    Films and chunks stay where they are.
    """
    import asyncio
    import sys

    from heliostat.cli.database import find_job, open_jobs
    from heliostat.errors import SpecError

    async def find() -> list[str]:
        async with open_jobs(db) as (manager, _):
            return [await find_job(manager, start) for start in jobs]

    async def delete(job_ids: list[str]) -> None:
        async with open_jobs(db) as (manager, _):
            for job_id in job_ids:
                await manager.delete(job_id)
                typer.echo(f"job {job_id} is deleted")

    found = asyncio.run(find())
    if not yes:
        if not sys.stdin.isatty():
            raise SpecError("there is nobody to ask whether to delete; add --yes")
        typer.confirm(f"Delete {', '.join(found)}?", abort=True)
    asyncio.run(delete(found))
