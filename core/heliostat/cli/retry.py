"""`heliostat retry`."""

from __future__ import annotations

import typer

from heliostat.cli.option_groups import expand_groups
from heliostat.cli.options import Database, Debug, Display, JobId, Limits


@expand_groups
def command(job: JobId, limits: Limits, display: Display, db: Database = None, debug: Debug = False) -> None:
    """Run only the failed chunks of a job again.

    Joins the film when no other chunk is missing then. What is not given here stays as it was when the job was
    submitted.
    """
    from heliostat.cli.running import run_again

    raise typer.Exit(run_again("retry", job, limits, None, display, db=db))
