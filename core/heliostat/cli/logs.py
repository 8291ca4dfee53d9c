"""`heliostat logs`."""

from __future__ import annotations

from typing import Annotated

import typer

from heliostat.cli.options import Database, Debug, JobId

EPILOG = """\b
Examples:
  heliostat logs 3f2a
  heliostat logs 3f2a 7 --attempt 1
  heliostat logs 3f2a --follow
"""


def command(
    job: JobId,
    chunk: Annotated[str | None, typer.Argument(metavar="CHUNK", help="The chunk's id.", show_default="all")] = None,
    attempt: Annotated[
        int | None,
        typer.Option("--attempt", min=1, metavar="N", help="Only the chunk's Nth attempt.  [default: the newest]"),
    ] = None,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Print what is added, until the job is no longer running.")
    ] = False,
    db: Database = None,
    debug: Debug = False,
) -> None:
    """Print what a job's commands have written on stdout and stderr.

    Without CHUNK, of all chunks; the join comes last.
    """
    import asyncio

    from heliostat.cli.log_files import print_logs

    asyncio.run(print_logs(job, chunk, attempt, follow=follow, db=db))
