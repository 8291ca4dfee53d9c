"""Executions of jobs: their tasks run as processes, so many at a time as the job and this machine allow."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import uuid
from collections import deque
from collections.abc import Mapping
from pathlib import Path

from google.cloud import run_v2
from google.protobuf.timestamp_pb2 import Timestamp

from fake_cloud_run.nursery import Nursery
from fake_cloud_run.resources import Resources, RunningExecution, RunningTask, completed, env_of

STATE = run_v2.Condition.State
REASON = run_v2.Condition.ExecutionReason
GRACE = 10.0
"""Seconds between SIGTERM and SIGKILL, as on Cloud Run."""


class Executions:
    def __init__(self, resources: Resources, nursery: Nursery, surroundings: Mapping[str, str], scratch: Path) -> None:
        self.at_once = 60
        """Tasks that run at the same time, over all executions."""
        self.faults: deque[str] = deque()
        """What happens to the next tasks: `crash`, the container is killed before it begins; `image`, it cannot be
        pulled; `memory`, it is killed for the memory it uses."""
        self._resources = resources
        self._nursery = nursery
        self._surroundings = surroundings
        self._scratch = scratch
        self._room = asyncio.Semaphore(self.at_once)

    def run(self, job: run_v2.Job, request: run_v2.RunJobRequest) -> RunningExecution:
        overrides = request.overrides
        template = run_v2.TaskTemplate(job.template.template)
        if overrides.timeout:
            template.timeout = overrides.timeout
        count = overrides.task_count or job.template.task_count or 1
        name = f"{job.name}/executions/{job.name.rpartition('/')[2]}-{uuid.uuid4().hex[:5]}"
        env = env_of(template.containers[0])
        for override in overrides.container_overrides:
            env |= {variable.name: variable.value for variable in override.env}
        execution = RunningExecution(
            run_v2.Execution(
                name=name,
                job=job.name,
                task_count=count,
                parallelism=job.template.parallelism,
                template=template,
                create_time=_now(),
                conditions=[completed(STATE.CONDITION_RECONCILING)],
                reconciling=True,
            ),
            [
                RunningTask(
                    run_v2.Task(
                        name=f"{name}/tasks/{name.rpartition('/')[2]}-task{index}",
                        job=job.name,
                        execution=name,
                        index=index,
                        max_retries=template.max_retries,
                        timeout=template.timeout,
                        conditions=[completed(STATE.CONDITION_PENDING)],
                    )
                )
                for index in range(count)
            ],
            env,
        )
        self._resources.executions[name] = execution
        execution.work = asyncio.create_task(self._run(execution))
        return execution

    async def cancel(self, execution: RunningExecution) -> None:
        execution.cancelled = True
        await asyncio.gather(
            *(self._stop(task) for task in execution.tasks if task.container is not None and not task.ended)
        )
        if execution.work is not None:
            await asyncio.wait([execution.work])

    async def close(self) -> None:
        for execution in self._resources.executions.values():
            if execution.work is not None and not execution.work.done():
                execution.cancelled = True
                for task in execution.tasks:
                    if task.container is not None:
                        task.container.tell(signal.SIGKILL)
                with contextlib.suppress(asyncio.CancelledError):
                    await execution.work

    async def _stop(self, task: RunningTask) -> None:
        assert task.container is not None
        task.cancelled = True
        await task.container.stop(GRACE)

    async def _run(self, execution: RunningExecution) -> None:
        execution.resource.start_time = _now()
        together = asyncio.Semaphore(execution.resource.parallelism or len(execution.tasks))
        await asyncio.gather(*(self._run_task(execution, task, together) for task in execution.tasks))
        found = execution.resource
        found.completion_time = _now()
        found.reconciling = False
        if execution.cancelled:
            found.conditions = [completed(STATE.CONDITION_FAILED, "cancelled", execution_reason=REASON.CANCELLED)]
        elif found.failed_count:
            found.conditions = [
                completed(
                    STATE.CONDITION_FAILED,
                    f"Task {found.name}-task0 failed with message: {execution.tasks[0].resource.conditions[0].message}",
                    execution_reason=REASON.NON_ZERO_EXIT_CODE,
                )
            ]
        else:
            found.conditions = [completed(STATE.CONDITION_SUCCEEDED)]

    async def _run_task(self, execution: RunningExecution, task: RunningTask, together: asyncio.Semaphore) -> None:
        async with together, self._room:
            found = execution.resource
            attempt = 0
            while True:
                if execution.cancelled:
                    self._end(task, completed(STATE.CONDITION_FAILED, execution_reason=REASON.CANCELLED))
                    found.cancelled_count += 1
                    return
                found.running_count += 1
                fault = self.faults.popleft() if self.faults else None
                status, late = await self._attempt(execution, task, attempt, fault)
                found.running_count -= 1
                if status == 0:
                    self._end(task, completed(STATE.CONDITION_SUCCEEDED), 0)
                    found.succeeded_count += 1
                    return
                if task.cancelled:
                    self._end(task, completed(STATE.CONDITION_FAILED, execution_reason=REASON.CANCELLED))
                    found.cancelled_count += 1
                    return
                if fault != "image" and attempt < task.resource.max_retries:
                    attempt += 1
                    task.resource.retried = attempt
                    continue
                self._fail(task, status, late, fault)
                found.failed_count += 1
                return

    async def _attempt(
        self, execution: RunningExecution, task: RunningTask, attempt: int, fault: str | None
    ) -> tuple[int, bool]:
        """Returns the exit status, and whether the task was ended for taking too long."""
        if fault == "image":
            return -1, False
        index = task.resource.index
        folder = self._scratch / f"{execution.resource.name.rpartition('/')[2]}-{index}-{attempt}"
        folder.mkdir(parents=True)
        container = task.container = await self._nursery.start(
            {
                **self._surroundings,
                "HOME": str(folder),
                "TMPDIR": str(folder),
                "CLOUD_RUN_JOB": execution.resource.job.rpartition("/")[2],
                "CLOUD_RUN_EXECUTION": execution.resource.name.rpartition("/")[2],
                "CLOUD_RUN_TASK_INDEX": str(index),
                "CLOUD_RUN_TASK_COUNT": str(len(execution.tasks)),
                "CLOUD_RUN_TASK_ATTEMPT": str(attempt),
                **execution.env,
            },
            folder / "log",
        )
        if fault in ("crash", "memory"):
            container.tell(signal.SIGKILL)
        seconds = task.resource.timeout.total_seconds() or 600.0
        await asyncio.wait([container.ended], timeout=seconds)
        late = not container.ended.done()
        if late:
            await container.stop(GRACE)
        return container.ended.result(), late

    def _fail(self, task: RunningTask, status: int, late: bool, fault: str | None) -> None:
        if fault == "image":
            reason = run_v2.Condition.CommonReason.CONTAINER_MISSING
            self._end(task, completed(STATE.CONDITION_FAILED, "Image 'worker' not found.", reason=reason))
            return
        message = "The container exited with an error."
        if late:
            message = "The configured timeout was reached."
        elif fault == "memory":
            message = "The container was terminated: Memory limit of 512 MiB exceeded with 513 MiB used."
        self._end(task, completed(STATE.CONDITION_FAILED, message, execution_reason=REASON.NON_ZERO_EXIT_CODE), status)

    def _end(self, task: RunningTask, condition: run_v2.Condition, status: int | None = None) -> None:
        task.ended = True
        task.resource.completion_time = _now()
        task.resource.conditions = [condition]
        if status is not None:
            task.resource.last_attempt_result = run_v2.TaskAttemptResult(
                exit_code=status if status >= 0 else 128 - status, term_signal=max(0, -status)
            )


def _now() -> Timestamp:
    now = Timestamp()
    now.GetCurrentTime()
    return now
