"""`heliostat submit`."""

from __future__ import annotations

import typer

from heliostat.cli.option_groups import expand_groups
from heliostat.cli.options import AsJson, Database, Debug, JobFile, Limits, Only, Worker
from heliostat.cli.printing import print_json
from heliostat.cli.render import JobDirectory, NewId

EPILOG = """\b
Example:
  heliostat submit job.toml --concurrency 8
  heliostat run-pending
"""


@expand_groups
def command(
    job: JobFile,
    worker: Worker,
    limits: Limits,
    job_dir: JobDirectory = None,
    only: Only = None,
    db: Database = None,
    id: NewId = None,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Store a job for a later `run-pending`.

    Prints the job's id.
    """
    import asyncio

    from msgspec.structs import replace

    from heliostat.cli.database import open_jobs
    from heliostat.cli.plugin_use import choose_worker, warn_of_plugins
    from heliostat.cli.run_options import new_options
    from heliostat.planning.load import default_job_dir, load_spec

    warn_of_plugins()
    folder = job_dir or default_job_dir(job)
    options = new_options(limits, only, folder)
    choice = choose_worker(worker.worker, worker.worker_settings)
    spec = load_spec(job, job_dir=folder)
    if id is not None:
        spec = replace(spec, id=id)

    async def submit() -> str:
        async with open_jobs(db) as (manager, _):
            return await manager.submit(spec, options, worker=choice, start=False)

    job_id = asyncio.run(submit())
    if as_json:
        print_json({"id": job_id})
    else:
        typer.echo(job_id)
