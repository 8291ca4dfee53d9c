"""An executor for each job, by the worker adapter that the job asks for."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from heliostat.executor.executor import JobExecutor
from heliostat.model.codec import to_json
from heliostat.model.status import WorkerChoice
from heliostat.plugins import open_worker

if TYPE_CHECKING:
    from heliostat.model.status import JobStatus


def executors() -> Callable[[JobStatus], JobExecutor]:
    """For a `JobManager`: chooses the executor of a job. Jobs that ask for the same adapter with the same options share
    one. What it returns raises PluginError and SpecError."""
    made: dict[bytes, JobExecutor] = {}

    def executor_for(job: JobStatus) -> JobExecutor:
        choice = job.worker or WorkerChoice()
        key = to_json(choice)
        if key not in made:
            made[key] = JobExecutor(open_worker(choice.name, **choice.options))
        return made[key]

    return executor_for
