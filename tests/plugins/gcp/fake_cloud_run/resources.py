"""What the Admin API keeps: services, jobs, executions, tasks and operations, by name."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from google.cloud import run_v2

if TYPE_CHECKING:
    from fake_cloud_run.nursery import Container


@dataclass
class RunningTask:
    """A task of an execution, and its process."""

    resource: run_v2.Task
    container: Container | None = None
    cancelled: bool = False
    ended: bool = False


@dataclass
class RunningExecution:
    resource: run_v2.Execution
    tasks: list[RunningTask]
    env: dict[str, str]
    work: asyncio.Task[None] | None = None
    cancelled: bool = False


@dataclass
class Resources:
    services: dict[str, run_v2.Service] = field(default_factory=dict)
    jobs: dict[str, run_v2.Job] = field(default_factory=dict)
    executions: dict[str, RunningExecution] = field(default_factory=dict)
    operations: dict[str, Any] = field(default_factory=dict)
    """Finished ones: `google.longrunning.operations_pb2.Operation`."""
    policies: dict[str, Any] = field(default_factory=dict)
    """IAM policies by the resource's name."""


def completed(state: run_v2.Condition.State, message: str = "", **reason: Any) -> run_v2.Condition:
    return run_v2.Condition(type_="Completed", state=state, message=message, **reason)


def env_of(container: run_v2.Container) -> dict[str, str]:
    return {variable.name: variable.value for variable in container.env}
