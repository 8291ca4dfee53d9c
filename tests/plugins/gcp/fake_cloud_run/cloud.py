"""All of it, on an event loop in a thread of its own."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
import threading
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

import grpc
from google.cloud import run_v2
from google.iam.v1 import policy_pb2
from nursery import Nursery

from fake_cloud_run.admin import Admin
from fake_cloud_run.executions import Executions
from fake_cloud_run.front import FrontDoor, Verify
from fake_cloud_run.resources import Resources

T = TypeVar("T")

PLACE = "projects/studio/locations/europe-west1"
INVOKER = "heliostat@studio.iam.gserviceaccount.com"


class FakeCloudRun:
    """A context manager; everything that it started is gone at its end."""

    def __init__(self, surroundings: Mapping[str, str], verify: Verify) -> None:
        """`surroundings`: the environment of every container, beside its own. `verify`: see `front.Verify`."""
        self.resources = Resources()
        self._surroundings = surroundings
        self._verify = verify
        self._loop = asyncio.new_event_loop()
        self._scratch = Path(tempfile.mkdtemp(prefix="fake-cloud-run-"))
        self._thread = threading.Thread(target=self._loop.run_forever, name="fake cloud run", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self._on_loop(self._open)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._on_loop(self._close)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        shutil.rmtree(self._scratch, ignore_errors=True)

    def add_service(
        self,
        short: str,
        env: Mapping[str, str],
        *,
        timeout: float = 300.0,
        instances: int = 60,
        concurrency: int = 1,
        audiences: tuple[str, ...] = (),
    ) -> run_v2.Service:
        """A service that `INVOKER` may call."""
        service = run_v2.Service(
            name=f"{PLACE}/services/{short}",
            custom_audiences=audiences,
            template=run_v2.RevisionTemplate(
                timeout=timedelta(seconds=timeout),
                max_instance_request_concurrency=concurrency,
                scaling=run_v2.RevisionScaling(max_instance_count=instances),
                containers=[_container(env)],
            ),
        )
        self.resources.services[service.name] = self.admin._ready(service)
        self.resources.policies[service.name] = policy_pb2.Policy(
            bindings=[policy_pb2.Binding(role="roles/run.invoker", members=[f"serviceAccount:{INVOKER}"])]
        )
        return service

    def add_job(
        self, short: str, env: Mapping[str, str], *, timeout: float = 600.0, parallelism: int = 0, retries: int = 0
    ) -> run_v2.Job:
        job = run_v2.Job(
            name=f"{PLACE}/jobs/{short}",
            template=run_v2.ExecutionTemplate(
                parallelism=parallelism,
                template=run_v2.TaskTemplate(
                    timeout=timedelta(seconds=timeout), max_retries=retries, containers=[_container(env)]
                ),
            ),
        )
        self.resources.jobs[job.name] = self.admin._ready(job)
        return job

    def kill_task(self, pids: list[int]) -> None:
        """Kill the task whose process is among these."""
        self._loop.call_soon_threadsafe(self._kill_task, pids)

    def kill_instance(self, pids: list[int]) -> None:
        self._loop.call_soon_threadsafe(self.front.kill, pids)

    def stop_instances(self) -> None:
        """End all instances of services in an orderly way, and wait for that."""
        self._on_loop(self.front.stop_instances)

    def _kill_task(self, pids: list[int]) -> None:
        import signal

        (container,) = [
            task.container
            for execution in self.resources.executions.values()
            for task in execution.tasks
            if task.container is not None and not task.ended and task.container.pid in pids
        ]
        container.tell(signal.SIGKILL)

    def _on_loop(self, call: Callable[[], Awaitable[T]]) -> T:
        async def run() -> T:
            return await call()

        return asyncio.run_coroutine_threadsafe(run(), self._loop).result(120)

    async def _open(self) -> None:
        self._nursery = Nursery(
            "heliostat_gcp.worker",
            "google.cloud.storage",
            "heliostat_gcp.task",
            "heliostat_gcp.gcs_objects",
            "heliostat_gcp.session",
            "_strptime",
            "sysconfig:get_config_vars",
            "heliostat.worker.server",
            "heliostat_gcp.callers",
            "heliostat.plugins:registry",
        )
        await self._nursery.open()
        self.front = FrontDoor(self.resources, self._nursery, self._surroundings, self._scratch, self._verify)
        await self.front.open()
        self.executions = Executions(self.resources, self._nursery, self._surroundings, self._scratch)
        self.admin = Admin(self.resources, self.executions, self.front.url_of)
        self._server = grpc.aio.server()
        self.admin.add_to(self._server)
        self.endpoint = f"http://127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"
        await self._server.start()

    async def _close(self) -> None:
        await self.executions.close()
        await self.front.close()
        await self._server.stop(1)
        await self._nursery.close()


def _container(env: Mapping[str, str]) -> run_v2.Container:
    return run_v2.Container(
        image="europe-docker.pkg.dev/film-studio/heliostat/worker:1",
        env=[run_v2.EnvVar(name=name, value=value) for name, value in env.items()],
        resources=run_v2.ResourceRequirements(limits={"cpu": "2", "memory": "4Gi"}),
    )
