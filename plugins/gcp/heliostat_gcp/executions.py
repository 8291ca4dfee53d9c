"""The calls of the Admin API about a job's executions, and what they tell of tasks that ended without a word."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from heliostat.errors import AttemptError, Misconfigured, OutOfMemory, TimedOut, WorkerLost
from heliostat_gcp.admin_api import TIMEOUT, close, open_client
from heliostat_gcp.errors import of_call

if TYPE_CHECKING:
    from google.cloud import run_v2

NEVER_STARTS: Final = (
    "CONTAINER_MISSING",
    "CONTAINER_PERMISSION_DENIED",
    "CONTAINER_IMAGE_UNAUTHORIZED",
    "CONTAINER_IMAGE_AUTHORIZATION_CHECK_FAILED",
    "ENCRYPTION_KEY_PERMISSION_DENIED",
    "ENCRYPTION_KEY_CHECK_FAILED",
    "SECRETS_ACCESS_CHECK_FAILED",
    "VPC_NETWORK_NOT_FOUND",
)
"""Reasons of `google.cloud.run.v2.Condition` that no retry can help against."""
PAGE: Final = 1000
"""Tasks asked for at once; Cloud Run may give fewer."""


class ExecutionApi:
    """Every method blocks, and raises AttemptErrors."""

    def __init__(self, job: str, endpoint: str | None) -> None:
        """`job` is its whole name."""
        self._job = job
        self._jobs = open_client("Jobs", endpoint)
        self._executions = open_client("Executions", endpoint)
        self._tasks = open_client("Tasks", endpoint)

    def close(self) -> None:
        for client in (self._jobs, self._executions, self._tasks):
            close(client)

    def job(self) -> run_v2.Job:
        try:
            return self._jobs.get_job(name=self._job, timeout=TIMEOUT)  # type: ignore[no-any-return]
        except Exception as error:
            raise of_call(error, f"job {self._job}") from error

    def run(self, env: dict[str, str], tasks: int) -> str:
        """Start an execution of so many tasks, with these variables beside the job's own; returns its name."""
        from google.cloud import run_v2

        variables = [run_v2.EnvVar(name=name, value=value) for name, value in env.items()]
        overrides = run_v2.RunJobRequest.Overrides(
            task_count=tasks, container_overrides=[run_v2.RunJobRequest.Overrides.ContainerOverride(env=variables)]
        )
        request = run_v2.RunJobRequest(name=self._job, overrides=overrides)
        try:
            # The library would try again by itself what may have succeeded unheard.
            return str(self._jobs.run_job(request, retry=None, timeout=TIMEOUT).metadata.name)
        except Exception as error:
            raise of_call(error, f"job {self._job}") from error

    def ended_tasks(self, name: str) -> int:
        """How many tasks of an execution have ended, well or not; all, once the execution has."""
        found = self._execution(name)
        if found.completion_time:
            return int(found.task_count)
        return int(found.succeeded_count + found.failed_count + found.cancelled_count)

    def outcomes(self, name: str) -> dict[int, AttemptError]:
        """For each task that has ended, by its index: the failure that it is when it has left no result."""
        try:
            tasks = self._tasks.list_tasks({"parent": name, "page_size": PAGE}, timeout=TIMEOUT)
            outcomes = {task.index: _failure(task) for task in tasks if task.completion_time}
        except Exception as error:
            raise of_call(error, f"execution {name}") from error
        found = self._execution(name)
        if found.completion_time:  # tasks that were never begun have no end of their own
            for index in range(found.task_count):
                outcomes.setdefault(index, _of_conditions(found, "the execution ended before the task began"))
        return outcomes

    def cancel(self, name: str) -> None:
        """End all tasks of an execution."""
        try:
            self._executions.cancel_execution(name=name, timeout=TIMEOUT)
        except Exception as error:
            raise of_call(error, f"execution {name}") from error

    def _execution(self, name: str) -> run_v2.Execution:
        try:
            return self._executions.get_execution(name=name, timeout=TIMEOUT)  # type: ignore[no-any-return]
        except Exception as error:
            raise of_call(error, f"execution {name}") from error


def _failure(task: run_v2.Task) -> AttemptError:
    said = _said(task)
    last = task.last_attempt_result
    if "memory limit" in said.lower():
        return OutOfMemory(
            f"the task used up its memory ({said}); deploy the job with more, or make the frames smaller"
        )
    if "timeout" in said.lower():
        return TimedOut(
            f"the task ran into its time limit ({said}); deploy the job with more, or make the chunks smaller"
        )
    how = f", signal {last.term_signal}" if last.term_signal else f", exit status {last.exit_code}"
    return _of_conditions(task, f"the task ended without a result{how if last.exit_code or last.term_signal else ''}")


def _of_conditions(resource: Any, what: str) -> AttemptError:
    said = _said(resource)
    whole = f"{what} ({said})" if said else what
    if any(condition.reason.name in NEVER_STARTS for condition in resource.conditions):
        return Misconfigured(f"{whole}; push the worker image again, and deploy")
    return WorkerLost(f"{whole}; see its log")


def _said(resource: Any) -> str:
    return " ".join(condition.message for condition in resource.conditions if condition.message).strip().rstrip(".")
