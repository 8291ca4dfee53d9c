"""`heliostat resume`."""

from __future__ import annotations

import typer

from heliostat.cli.option_groups import expand_groups
from heliostat.cli.options import Database, Debug, Display, JobId, Limits, Only


@expand_groups
def command(
    job: JobId, limits: Limits, display: Display, only: Only = None, db: Database = None, debug: Debug = False
) -> None:
    """Run what is missing of a job.

    For jobs that are pending, paused, failed or cancelled, and for those whose process died. Chunks that are done are
    not rendered again. What is not given here stays as it was when the job was submitted.
    """
    from heliostat.cli.running import run_again

    raise typer.Exit(run_again("resume", job, limits, only, display, db=db))
