"""`heliostat render`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from heliostat.cli.option_groups import expand_groups
from heliostat.cli.options import Database, Debug, Display, JobFile, Limits, Only, Worker

EPILOG = """\b
Examples:
  heliostat render job.toml
  heliostat render job.toml --concurrency 8 --stall-timeout 60
  heliostat render job.toml --only 3,7 --no-merge
  heliostat render job.toml --progress json > events.jsonl
  heliostat render job.toml --sink webhook --sink-set webhook.url=https://example.com/hook

\b
Ctrl-C pauses: running chunks finish first. Ctrl-C again stops at once.
Exit status: 0 done, 1 failed, 2 wrong input, 3 cancelled, 4 paused.
"""

JobDirectory = Annotated[
    Path | None,
    typer.Option(
        "--job-dir",
        metavar="DIR",
        help="The directory that commands run in and outputs are relative to.  [default: the job file's folder]",
    ),
]
NewId = Annotated[
    str | None, typer.Option("--id", metavar="ID", help="The job's id.  [default: the job file's, or a new one]")
]


@expand_groups
def command(
    job: JobFile,
    worker: Worker,
    limits: Limits,
    display: Display,
    job_dir: JobDirectory = None,
    only: Only = None,
    db: Database = None,
    id: NewId = None,
    debug: Debug = False,
) -> None:
    """Render a job and join its chunks into a film."""
    from msgspec.structs import replace

    from heliostat.cli.plugin_use import choose_worker, warn_of_plugins
    from heliostat.cli.run_options import new_options, sinks
    from heliostat.cli.running import run_new
    from heliostat.planning.load import default_job_dir, load_spec

    warn_of_plugins()
    folder = job_dir or default_job_dir(job)
    options = new_options(limits, only, folder)
    choice = choose_worker(worker.worker, worker.worker_settings)
    observers = sinks(display, folder)
    spec = load_spec(job, job_dir=folder)
    if id is not None:
        spec = replace(spec, id=id)
    raise typer.Exit(run_new(spec, options, choice, db=db, sinks=observers, announce=display.speaks))
