"""`python -m heliostat.testing.coordinator_process`: a program that runs one job, for tests that kill it.

Reads one JSON object from standard input: the database and the artifact store as URLs, the worker adapter's name and
options, the job directory, the concurrency and the specification.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any

from msgspec import Struct

from heliostat.executor.executor import JobExecutor
from heliostat.executor.options import JobExecutionOptions
from heliostat.manager import JobManager
from heliostat.model.codec import from_json
from heliostat.model.spec import JobSpec
from heliostat.plugins import open_artifact_store, open_repository, open_worker


class CoordinatorTask(Struct, frozen=True):
    """What is to be run."""

    repository: str
    artifacts: str | None
    worker: str
    options: dict[str, Any]
    job_dir: str
    concurrency: int
    spec: JobSpec


async def coordinate(task: CoordinatorTask) -> None:
    manager = JobManager(
        open_repository(task.repository),
        JobExecutor(open_worker(task.worker, **task.options)),
        artifacts=open_artifact_store(task.artifacts) if task.artifacts else None,
    )
    async with manager:
        job = await manager.submit(
            task.spec, JobExecutionOptions(job_dir=task.job_dir, concurrency=task.concurrency, retry_delay=0.0)
        )
        await manager.wait(job)


if __name__ == "__main__":
    asyncio.run(coordinate(from_json(sys.stdin.buffer.read(), CoordinatorTask)))
