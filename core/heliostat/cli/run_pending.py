"""`heliostat run-pending`."""

from __future__ import annotations

from typing import Annotated

import typer

from heliostat.cli.option_groups import expand_groups
from heliostat.cli.options import Database, Debug, Display

EPILOG = """\b
Examples:
  heliostat run-pending
  heliostat run-pending --watch --at-once 2 --progress lines

\b
Several processes may do this on one database: each job is run by one of them.
Exit status: 0 all done, 1 a job failed, 2 wrong input, 3 cancelled, 4 paused.
"""


@expand_groups
def command(
    display: Display,
    at_once: Annotated[int, typer.Option("--at-once", min=1, metavar="N", help="Jobs at once.")] = 1,
    watch: Annotated[bool, typer.Option("--watch", help="Go on waiting for jobs when there are none.")] = False,
    db: Database = None,
    debug: Debug = False,
) -> None:
    """Run the jobs that were submitted.

    The oldest first, until none is pending.
    """
    import asyncio

    from heliostat.cli.faults import log_to_stderr
    from heliostat.cli.pending import run_pending
    from heliostat.cli.run_options import sinks

    log_to_stderr()
    raise typer.Exit(asyncio.run(run_pending(db, sinks(display), at_once=at_once, watch=watch)))
