"""The adapter `gcp-cloud-run-jobs`: what only jobs do."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from strict_gcs import Request, StrictGcs

from heliostat import (
    AttemptFailed,
    Cause,
    ChunkRequest,
    ChunkStarted,
    ChunkSucceeded,
    JobExecutionOptions,
    JobExecutor,
    JobState,
    load_spec,
    open_worker,
)
from heliostat.errors import JobFailed, WorkerLost
from heliostat.executor.logs import log_path
from heliostat.testing.meeting import Meeting
from heliostat.testing.trial import Trial, film
from heliostat.worker.ffmpeg import find_ffmpeg
from heliostat_gcp import gathering

SUNRISE = Path(__file__).parents[3] / "core" / "examples" / "sunrise"
WRITE = ("write=film",)
pytestmark = [pytest.mark.timeout(240), pytest.mark.usefixtures("hurried")]


def adapter(cloud: Any, **options: Any) -> Any:
    return open_worker("gcp-cloud-run-jobs", **{**cloud.job, **options})


async def test_chunks_that_are_ready_together_are_one_execution_watched_with_few_calls(cloud: Any, tmp_path: Path):
    """Also when the executor dispatches them one after the other; each resolves as its own task ends."""
    admin = cloud.run.admin
    admin.calls.clear()
    async with Meeting("127.0.0.1") as meeting, Trial(adapter(cloud), tmp_path) as trial:
        await trial.start(film((meeting.step, "write=film"), *[WRITE] * 39), concurrency=40)
        last = await meeting.next()
        while len(trial.told(ChunkSucceeded)) < 39:  # the first chunk's task still runs
            await asyncio.sleep(0.01)
        last.do("go")
        status = await trial.manager.wait("job")
        assert status.state is JobState.COMPLETED, status.error
    assert admin.calls["RunJob"] == 1
    assert admin.run_requests[-1].overrides.task_count == 40
    assert admin.calls["GetExecution"] + admin.calls["ListTasks"] < 40


async def test_retries_that_are_due_together_are_one_execution_too(
    cloud: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(gathering, "WINDOW", 0.5)
    cloud.run.admin.calls.clear()
    async with Trial(adapter(cloud), tmp_path) as trial:
        status = await trial.run(film(*[("1:exit=3", "write=film")] * 10), concurrency=10, retries=1)
        assert status.state is JobState.COMPLETED, status.error
    assert 2 <= cloud.run.admin.calls["RunJob"] <= 6


async def test_a_cancelled_job_ends_its_execution_and_no_other(cloud: Any, tmp_path: Path):
    admin = cloud.run.admin
    async with Meeting("127.0.0.1") as meeting, Trial(adapter(cloud), tmp_path) as trial:
        for name in ("one", "two"):
            outputs = [f"{name}{number}.bin" for number in range(2)]
            await trial.start(film(*[(meeting.step, "write=film")] * 2, id=name, outputs=outputs), on_progress=None)
        commands = [await meeting.next() for _ in range(4)]
        admin.calls.clear()
        await trial.manager.cancel("one")
        assert (await trial.manager.wait("one")).state is JobState.CANCELLED
        assert admin.calls["CancelExecution"] == 1
        living = []
        for command in commands:
            if os.path.exists(f"/proc/{command.pid}"):
                living.append(command)
                command.do("go")
        assert len(living) == 2
        assert (await trial.manager.wait("two")).state is JobState.COMPLETED
        trial.observes = False


async def test_one_attempt_is_ended_by_its_marker_and_the_rest_of_its_execution_goes_on(cloud: Any, tmp_path: Path):
    """Of two, one finishes no frame; the other does, now and then."""
    cloud.run.admin.calls.clear()
    async with Meeting("127.0.0.1") as meeting, Trial(adapter(cloud), tmp_path) as trial:
        await trial.start(film(*[(meeting.step, "write=film")] * 2), retries=1, stall_timeout=4.0)
        stalls, lives = sorted([await meeting.next(), await meeting.next()], key=lambda command: command.chunk)
        for frame in range(1, 4):
            lives.do(f"say=frame {frame}")
            for _ in range(20):
                if not trial.told(AttemptFailed):
                    await asyncio.sleep(0.1)
        await stalls.gone()
        lives.do("go")
        again = await meeting.next()
        assert (again.chunk, again.attempt) == (stalls.chunk, 2)
        again.do("go")
        status = await trial.manager.wait("job")
        assert status.state is JobState.COMPLETED, status.error
        assert [(event.index, event.cause) for event in trial.told(AttemptFailed)] == [(0, Cause.STALLED)]
    assert cloud.run.admin.calls["CancelExecution"] == 0


@pytest.mark.parametrize(
    ("fault", "cause", "message"),
    [
        ("crash", Cause.WORKER_LOST, "the task ended without a result, signal 9 (The container exited with an error)"),
        ("memory", Cause.OUT_OF_MEMORY, "the task used up its memory"),
        ("image", Cause.MISCONFIGURED, "Image 'worker' not found"),
    ],
)
async def test_a_task_that_ends_without_a_word_is_found_and_explained(
    cloud: Any, tmp_path: Path, fault: str, cause: Cause, message: str
):
    cloud.run.executions.faults.append(fault)
    async with Trial(adapter(cloud), tmp_path) as trial:
        status = await trial.run(film(*[WRITE] * 3), concurrency=3, retries=1)
        assert [event.cause for event in trial.told(AttemptFailed)] == [cause]
        assert message in trial.told(AttemptFailed)[0].message
        assert status.state is (JobState.FAILED if cause is Cause.MISCONFIGURED else JobState.COMPLETED)


@pytest.mark.parametrize(
    ("fault", "cause"),
    [
        ("throttle", Cause.THROTTLED),
        ("unavailable", Cause.WORKER_LOST),
        ("internal", Cause.WORKER_LOST),
        ("denied", Cause.MISCONFIGURED),
        ("unauthenticated", Cause.MISCONFIGURED),
    ],
)
async def test_an_execution_that_cannot_be_started(cloud: Any, tmp_path: Path, fault: str, cause: Cause):
    cloud.run.admin.faults.append(fault)
    async with Trial(adapter(cloud), tmp_path) as trial:
        status = await trial.run(film(*[WRITE] * 2), concurrency=2)
        assert set(status.metrics.failures) == {cause}
        assert status.state is (JobState.FAILED if cause is Cause.MISCONFIGURED else JobState.COMPLETED)


async def test_an_execution_whose_start_was_not_heard_of_is_taken_on(cloud: Any, tmp_path: Path):
    admin = cloud.run.admin
    admin.calls.clear()
    admin.faults.append("unheard")
    async with Trial(adapter(cloud), tmp_path) as trial:
        status = await trial.run(film(*[WRITE] * 3), concurrency=3)
        assert status.state is JobState.COMPLETED, status.error
        assert status.metrics.failures == {}
    assert admin.calls["RunJob"] == 1


async def test_an_execution_that_somebody_deletes_fails_the_job(cloud: Any, tmp_path: Path):
    executions = cloud.run.resources.executions
    async with Meeting("127.0.0.1") as meeting, Trial(adapter(cloud), tmp_path) as trial:
        await trial.start(film((meeting.step, "write=film")))
        command = await meeting.next()
        removed = executions.popitem()
        status = await trial.manager.wait("job")
        assert status.state is JobState.FAILED
        assert "does not exist" in (status.error or "")
        executions[removed[0]] = removed[1]
        command.do("go")
        trial.observes = False


class Silence:
    """A ChunkReport that nobody listens to."""

    def frames_done(self, frames: float, /) -> None: ...
    def log(self, stream: str, text: str, /) -> None: ...
    def heartbeat(self) -> None: ...


def request(cloud: Any, number: int, *steps: str) -> ChunkRequest:
    chunk = film(steps).chunks[0]
    return ChunkRequest(
        job_id="job",
        chunk=chunk,
        attempt=1,
        attempt_id=str(number),
        command=list(chunk.command),
        artifacts=cloud.artifacts,
        progress=r"frame (\d+)",
    )


async def test_what_is_cancelled_while_others_are_being_cancelled_ends_too(cloud: Any, storage: StrictGcs):
    """The marker of the first is on its way when the second is cancelled."""
    marking, go_on = threading.Event(), threading.Event()

    def hold(sent: Request) -> None:
        if sent.operation == "insert" and re.search(rb"/in/\d+/cancel/", sent.body):
            marking.set()
            go_on.wait(60)

    storage.intervene = hold
    async with Meeting("127.0.0.1") as meeting, adapter(cloud) as worker:
        attempts = [
            asyncio.create_task(worker.run(request(cloud, number, meeting.step), Silence())) for number in range(2)
        ]
        commands = [await meeting.next() for _ in attempts]
        attempts[0].cancel()
        assert await asyncio.to_thread(marking.wait, 60)
        attempts[1].cancel()
        await asyncio.sleep(0)
        go_on.set()
        for command in commands:
            await command.gone()
        await asyncio.wait(attempts)


@pytest.mark.parametrize("fault", ["unavailable", "throttle"])
async def test_a_cancellation_that_fails_is_tried_again(cloud: Any, fault: str):
    admin = cloud.run.admin
    admin.calls.clear()
    admin.cancel_faults.append(fault)
    async with Meeting("127.0.0.1") as meeting, adapter(cloud) as worker:
        attempt = asyncio.create_task(worker.run(request(cloud, 0, meeting.step), Silence()))
        command = await meeting.next()
        attempt.cancel()
        await command.gone()
        await asyncio.wait([attempt])
    assert admin.calls["CancelExecution"] == 2


async def test_what_cannot_be_deleted_is_read_once_all_the_same(cloud: Any, storage: StrictGcs, tmp_path: Path):
    """A bucket may keep its objects for a time. The tasks have said something, and are looked at again and again."""
    storage.refuse = lambda path: 403
    async with Meeting("127.0.0.1") as meeting, Trial(adapter(cloud), tmp_path) as trial:
        await trial.start(film(*[("frames=2", "say=hello", meeting.step, "write=film")] * 3), concurrency=3)
        commands = [await meeting.next() for _ in range(3)]
        while storage.count("batch") < 5:
            await asyncio.sleep(0.01)
        for command in commands:
            command.do("go")
        status = await trial.manager.wait("job")
        assert status.state is JobState.COMPLETED, status.error
        for chunk in range(3):
            (log,) = tmp_path.rglob(log_path("", "job", chunk, 1).name)
            assert log.read_text().count("hello") == 1


async def test_an_answer_that_nobody_has_foreseen_loses_the_attempts_and_hangs_nothing(cloud: Any, tmp_path: Path):
    """Cloud Run tells of a task that the execution cannot have."""
    cloud.run.executions.faults.append("crash")
    cloud.run.admin.list_faults.append("stranger")
    async with Trial(adapter(cloud), tmp_path) as trial:
        status = await trial.run(film(WRITE), retries=1)
        assert status.state is JobState.COMPLETED, status.error
        (failed,) = trial.told(AttemptFailed)
        assert failed.cause is Cause.WORKER_LOST
        assert failed.message.startswith("its task could not be watched (IndexError")


class Deaf(Silence):
    """A ChunkReport that breaks its promise never to raise."""

    def frames_done(self, frames: float, /) -> None:
        raise RuntimeError("not foreseen")


async def test_a_report_that_raises_loses_the_attempts_and_hangs_nothing(cloud: Any):
    """The task that nobody hears any more is ended, too."""
    async with Meeting("127.0.0.1") as meeting, adapter(cloud) as worker:
        attempt = asyncio.create_task(worker.run(request(cloud, 0, "frames=2", meeting.step), Deaf()))
        command = await meeting.next()
        with pytest.raises(WorkerLost, match=r"^its task could not be watched \(RuntimeError: not foreseen\)$"):
            await attempt
        await command.gone()
        assert (await worker.run(request(cloud, 1, "write=film"), Silence())).exit_code == 0


async def test_tasks_that_have_to_wait_for_room_are_not_timed_out(cloud: Any, tmp_path: Path):
    """One at a time, so that the last one has waited for longer than a chunk may take."""
    cloud.run.add_job("narrow", {}, parallelism=1)
    async with Meeting("127.0.0.1") as meeting, Trial(adapter(cloud, job="narrow"), tmp_path) as trial:
        await trial.start(film(*[(meeting.step, "write=film")] * 4), concurrency=4, chunk_timeout=8.0)
        for _ in range(4):
            command = await meeting.next()
            await asyncio.sleep(3.0)
            command.do("go")
        status = await trial.manager.wait("job")
        assert status.state is JobState.COMPLETED, status.error
        assert status.metrics.failures == {}
    assert cloud.run.admin.calls["RunJob"] >= 1


async def test_a_result_tells_what_it_cost_and_where_its_log_is(cloud: Any, tmp_path: Path):
    async with Trial(adapter(cloud), tmp_path) as trial:
        await trial.run(film(WRITE))
        (attempt,) = await trial.attempts(0)
        assert attempt.result is not None
        assert attempt.result.usage is not None
        cost = attempt.result.duration * (2 * 0.000018 + 4 * 0.000002)
        assert attempt.result.usage.cost_usd == pytest.approx(cost, abs=1e-8)
        assert "/run/jobs/executions/details/europe-west1/film-" in (attempt.result.log_url or "")


async def test_the_mailbox_is_empty_in_the_end(cloud: Any, gcs: Any, tmp_path: Path):
    async with Trial(adapter(cloud), tmp_path) as trial:
        await trial.run(film(*[("frames=2", "say=hello", "write=film")] * 3), concurrency=3)
    name, _, prefix = cloud.artifacts.removeprefix("gs://").partition("/")
    assert [blob.name for blob in gcs.list_blobs(name, prefix=f"{prefix}/control/")] == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"job": "nothing"}, "does not exist; deploy it with `heliostat gcp deploy`, or correct its name"),
        ({"job": "bare", "artifacts": None}, "no bucket is named; give artifacts=gs://BUCKET/PREFIX"),
        ({"job": "eager"}, "which would run chunks twice; deploy it with maxRetries 0"),
        ({"artifacts": "gs://nothing-there"}, "nothing-there"),
    ],
)
async def test_what_cannot_work_is_told_when_it_is_opened(cloud: Any, options: dict[str, Any], message: str):
    cloud.run.add_job("bare", {})
    cloud.run.add_job("eager", {}, retries=3)
    with pytest.raises(Exception, match=message):
        await adapter(cloud, **options).__aenter__()


async def test_what_cannot_work_fails_the_job_with_one_sentence(cloud: Any, tmp_path: Path):
    worker = adapter(cloud, job="projects/studio/locations/mars/jobs/film")
    with pytest.raises(JobFailed, match=r"^job projects/studio/locations/mars/jobs/film: .* does not exist; deploy it"):
        await JobExecutor(worker).execute(film(WRITE), JobExecutionOptions(job_dir=tmp_path))


def frame_hashes(film_file: Path) -> list[str]:
    command = [find_ffmpeg(), "-v", "error", "-i", film_file, "-map", "0:v", "-f", "framemd5", "-"]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    return [line.rsplit(",", 1)[1].strip() for line in lines if not line.startswith("#")]


@pytest.mark.skipif(find_ffmpeg() is None, reason="there is no ffmpeg; install heliostat[video]")
async def test_the_sunrise_is_the_same_film_with_the_same_transcript(
    cloud: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """A small one in four chunks, rendered here, by a service and by a job, at concurrency 1 for the transcript."""
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    workers = {
        "local": open_worker("local"),
        "service": open_worker("gcp-cloud-run", **cloud.service),
        "job": adapter(cloud),
    }
    hashes, transcripts = {}, {}
    for name, worker in workers.items():
        folder = tmp_path / name
        shutil.copytree(SUNRISE, folder, ignore=shutil.ignore_patterns("chunks", "*.mp4", ".heliostat"))
        job = (folder / "job.toml").read_text()
        job = job.replace("width = 1280", "width = 160").replace("height = 720", "height = 90")
        job = job.replace("chunkSize = 24", "chunkSize = 60")
        (folder / "job.toml").write_text(job)
        told: list[str] = []

        def tell(event: object, told: list[str] = told) -> None:
            if isinstance(event, ChunkStarted | ChunkSucceeded):
                told.append(f"{type(event).__name__} {event.chunk} {event.attempt}")
            elif isinstance(event, AttemptFailed):
                told.append(repr(event))

        result = await JobExecutor(worker).execute(
            load_spec(folder / "job.toml"),
            JobExecutionOptions(
                job_dir=folder,
                concurrency=1,
                on_progress=lambda completed, total, told=told: told.append(f"{completed}/{total}"),
                on_event=tell,
            ),
        )
        assert result.state is JobState.COMPLETED
        hashes[name] = frame_hashes(folder / "sunrise.mp4")
        transcripts[name] = sorted(told)
    assert len(hashes["local"]) == 240
    assert hashes["local"] == hashes["service"] == hashes["job"]
    assert transcripts["local"] == transcripts["service"] == transcripts["job"]
