"""`heliostat pause`."""

from __future__ import annotations

from typing import Annotated

import typer

from heliostat.cli.options import Database, Debug, JobIds

Wait = Annotated[bool, typer.Option("--wait", help="Return only when that has happened.")]


def command(jobs: JobIds, wait: Wait = False, db: Database = None, debug: Debug = False) -> None:
    """Let running chunks finish and start no more.

    Works on jobs that other processes run, here or on another machine. `resume` goes on.
    """
    from heliostat.cli.control import ask

    ask("pause", jobs, db=db, wait=wait)
