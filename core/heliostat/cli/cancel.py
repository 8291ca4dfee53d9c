"""`heliostat cancel`."""

from __future__ import annotations

from heliostat.cli.options import Database, Debug, JobIds
from heliostat.cli.pause import Wait


def command(jobs: JobIds, wait: Wait = False, db: Database = None, debug: Debug = False) -> None:
    """Stop a job and its running chunks.

    Works on jobs that other processes run, here or on another machine. What is done stays; `resume` can take it up.
    """
    from heliostat.cli.control import ask

    ask("cancel", jobs, db=db, wait=wait)
