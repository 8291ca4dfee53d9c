"""`heliostat watch`."""

from __future__ import annotations

import typer

from heliostat.cli.option_groups import expand_groups
from heliostat.cli.options import Database, Debug, Display, JobId


@expand_groups
def command(job: JobId, display: Display, db: Database = None, debug: Debug = False) -> None:
    """Follow a job that another process runs.

    Ctrl-C ends the watching, not the job. The exit status is that of the job.
    """
    import asyncio

    from heliostat.cli.following import follow

    raise typer.Exit(asyncio.run(follow(job, display, db)))
