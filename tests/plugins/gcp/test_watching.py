"""How executions are watched where Cloud Storage does not answer as usual."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import pytest
from strict_gcs import Answer, Request, StrictGcs, error

from heliostat import AttemptFailed, Cause, ChunkRequest, JobState, open_worker
from heliostat.testing.meeting import Meeting
from heliostat.testing.trial import Trial, film
from heliostat_gcp import errands, sight

WRITE = ("write=film",)
pytestmark = [pytest.mark.timeout(120), pytest.mark.usefixtures("hurried")]


def adapter(cloud: Any, **options: Any) -> Any:
    return open_worker("gcp-cloud-run-jobs", **{**cloud.job, **options})


def is_look(request: Request) -> bool:
    """Whether a coordinator lists what its tasks have said."""
    return request.operation == "list" and request.query.get("prefix", "").endswith("/out/")


async def test_tasks_that_cannot_be_heard_are_given_up_and_ended(
    cloud: Any, storage: StrictGcs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Tried again once there is something to be heard."""
    monkeypatch.setattr(sight, "BLIND", 1.0)
    cloud.run.admin.calls.clear()
    async with Meeting("127.0.0.1") as meeting, Trial(adapter(cloud), tmp_path) as trial:
        storage.intervene = lambda request: error(503, "backendError") if is_look(request) else None
        await trial.start(film((f"1:{meeting.step}", "write=film")))
        command = await meeting.next()
        await command.gone()
        storage.behave()
        status = await trial.manager.wait("job")
        assert status.state is JobState.COMPLETED, status.error
        (failed,) = trial.told(AttemptFailed)
        assert failed.cause is Cause.WORKER_LOST
        assert failed.message.startswith("nothing can be heard of its task: gcs://")
    assert cloud.run.admin.calls["CancelExecution"] == 1


async def test_tasks_are_not_given_up_for_the_time_when_there_were_none(
    cloud: Any, storage: StrictGcs, monkeypatch: pytest.MonkeyPatch
):
    """The first look after a quiet time fails."""
    monkeypatch.setattr(sight, "BLIND", 3.0)
    failing = 0

    def fail(request: Request) -> Answer | None:
        nonlocal failing
        if not is_look(request) or not failing:
            return None
        failing -= 1
        return error(503, "backendError")

    storage.intervene = fail
    async with adapter(cloud) as worker:
        for number in range(2):
            chunk = film(WRITE).chunks[0]
            request = ChunkRequest(
                job_id="job", chunk=chunk, attempt=1, attempt_id=str(number), command=list(chunk.command)
            )
            assert (await worker.run(request, Silence())).exit_code == 0
            await asyncio.sleep(0 if number else 3.2)
            failing = 6  # as often as a call is tried
    assert storage.count("list") > 6


class Silence:
    """A ChunkReport that nobody listens to."""

    def frames_done(self, frames: float, /) -> None: ...
    def log(self, stream: str, text: str, /) -> None: ...
    def heartbeat(self) -> None: ...


async def test_tasks_that_have_left_a_result_are_not_asked_for(
    cloud: Any, storage: StrictGcs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """All of an execution have ended since its mailbox was looked into, and Cloud Run says so before the next look."""
    monkeypatch.setattr(errands, "LOOK_FIRST", 0.0)
    executions, admin = cloud.run.resources.executions, cloud.run.admin
    executions.clear()
    admin.calls.clear()

    def hold(request: Request, answer: Answer) -> Answer:
        if is_look(request) and not any(
            blob["name"].endswith("/result") for blob in json.loads(answer.body).get("items", [])
        ):
            deadline = time.monotonic() + 60
            while time.monotonic() < deadline and not all(
                execution.resource.completion_time for execution in executions.values()
            ):
                time.sleep(0.01)
        return answer

    storage.alter = hold
    async with Trial(adapter(cloud), tmp_path) as trial:
        status = await trial.run(film(*[WRITE] * 3), concurrency=3)
        assert status.state is JobState.COMPLETED, status.error
        assert status.metrics.failures == {}
    assert admin.calls["GetExecution"] >= 1
    assert admin.calls["ListTasks"] == 0


async def test_a_job_s_own_store_is_used_beside_the_one_of_the_adapter(
    cloud: Any, gcs: Any, storage: StrictGcs, tmp_path: Path
):
    """Messages go through the adapter's, the film's parts into the job's, by tasks too with the settings of each."""
    own = cloud.artifacts.removeprefix("gs://").partition("/")[0]
    other = gcs.create_bucket(f"{own}-other")
    setting = f"?endpoint_url={storage.url}"
    worker = adapter(cloud, artifacts=f"{cloud.artifacts}{setting}")
    async with Trial(worker, tmp_path, artifacts=f"gs://{other.name}/films{setting}") as trial:
        (trial.job_dir / "scene.txt").write_text("scene")
        status = await trial.run(film(WRITE, inputs=("scene.txt",)))
        assert status.state is JobState.COMPLETED, status.error
    assert {blob.name.split("/")[1] for blob in gcs.list_blobs(other.name)} == {"inputs", "jobs"}
    assert [blob.name for blob in gcs.list_blobs(own)] == []
    stored = b"".join(request.body for request in storage.requests if request.operation == "insert")
    assert b"/out/1/0/result" in stored
    assert b"films/jobs/job/chunks/0000.bin" in stored
