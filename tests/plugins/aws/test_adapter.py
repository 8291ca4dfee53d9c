"""The adapter `aws-lambda` on a service that runs its real handler: what only Lambda does."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import boto3
import msgspec
import pytest
from aiohttp import web
from fake_lambda import FakeLambda

from heliostat import (
    Cause,
    ChunkStarted,
    ChunkSucceeded,
    JobExecutionOptions,
    JobExecutor,
    JobState,
    load_spec,
    open_worker,
)
from heliostat.errors import JobFailed, Misconfigured
from heliostat.model.events import AttemptFailed
from heliostat.testing.meeting import Meeting
from heliostat.testing.trial import Trial, film
from heliostat.worker.ffmpeg import find_ffmpeg
from heliostat_aws import adapter as module

SUNRISE = Path(__file__).parents[3] / "core" / "examples" / "sunrise"
TEMPLATE = Path(__file__).parents[3] / "infra" / "aws" / "template.yaml"
IMAGE = "123456789012.dkr.ecr.us-east-1.amazonaws.com/heliostat-worker:1"
pytestmark = pytest.mark.timeout(240)


def adapter(cloud: Any, **options: Any) -> Any:
    return open_worker(
        "aws-lambda", **{"function": cloud.functions.function.name, "artifacts": cloud.artifacts, **options}
    )


@pytest.fixture
def own_cloud(
    cloud: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> Iterator[Any]:
    """A function of the test's own, with a time limit in seconds, and the retries that AWS has by default."""
    function = cloud.functions.function
    with FakeLambda(
        function.handler,
        environment=function.environment,
        task_root=tmp_path,
        name="own",
        timeout=request.param,
        retries=2,
    ) as functions:
        monkeypatch.setenv("AWS_ENDPOINT_URL_LAMBDA", functions.endpoint_url)
        yield type(cloud)(functions, cloud.endpoint_url)


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("denied", "AccessDeniedException: .*; `heliostat aws policy` prints"),
        ("expired", "ExpiredTokenException: .*; log in again"),
        ("kms", "KMSDisabledException: .*; enable the function's key"),
    ],
)
async def test_what_no_retry_can_help_ends_the_job_with_the_fix(cloud: Any, tmp_path: Path, fault: str, message: str):
    cloud.functions.fail_next(fault)
    with pytest.raises(JobFailed, match=message) as failed:
        await JobExecutor(adapter(cloud)).execute(film(("write=film",)), JobExecutionOptions(job_dir=tmp_path))
    assert failed.value.cause is Cause.MISCONFIGURED


@pytest.mark.parametrize("fault", ["drop", "service", "crash"])
async def test_what_is_lost_on_the_way_costs_no_attempt(cloud: Any, tmp_path: Path, fault: str):
    cloud.functions.fail_next(fault)
    async with Trial(adapter(cloud), tmp_path) as trial:
        status = await trial.run(film(("write=film",)))
        assert status.state is JobState.COMPLETED, status.error
        assert status.metrics.failures == {Cause.WORKER_LOST: 1}


@pytest.mark.parametrize("invocation", ["sync", "event"])
async def test_a_result_tells_what_it_cost_and_where_its_log_is(cloud: Any, tmp_path: Path, invocation: str):
    async with Trial(adapter(cloud, invocation=invocation), tmp_path) as trial:
        status = await trial.run(film(("write=film",)))
        (attempt,) = await trial.attempts(0)
        assert attempt.result is not None
        usage, log_url = attempt.result.usage, attempt.result.log_url
        assert usage is not None
        assert usage.memory_mb == 3008
        assert usage.billed_seconds is not None
        assert usage.billed_seconds >= attempt.result.duration
        assert usage.cost_usd == pytest.approx(usage.billed_seconds * 3008 / 1024 * 0.0000166667 + 0.2e-6, abs=1e-9)
        assert status.metrics.cost_usd == pytest.approx(usage.cost_usd)
        assert log_url is not None
        assert "log-group/$252Faws$252Flambda$252Fheliostat/log-events/" in log_url


@pytest.mark.parametrize("own_cloud", [9.0], indirect=True)
async def test_the_worker_tells_that_time_is_up_before_lambda_ends_it(own_cloud: Any, tmp_path: Path):
    """The environment lives on, and its next chunk finds it warm."""
    async with Meeting("127.0.0.1") as meeting, Trial(adapter(own_cloud), tmp_path) as trial:
        status = await trial.run(film((f"1:{meeting.step}", "write=film")), concurrency=1)
        assert status.state is JobState.FAILED
        assert [event.cause for event in trial.told(AttemptFailed)] == [Cause.TIMED_OUT]
        (environment,) = own_cloud.functions.environments
        assert environment.alive
        assert (await trial.resume()).state is JobState.COMPLETED
    assert own_cloud.functions.cold_starts == 1


@pytest.mark.parametrize("own_cloud", [120.0], indirect=True)
async def test_an_invocation_that_is_delivered_twice_runs_once(own_cloud: Any, tmp_path: Path):
    functions = own_cloud.functions
    functions.fail_next("duplicate")
    worker = adapter(own_cloud, invocation="event")
    async with Meeting("127.0.0.1") as meeting, Trial(worker, tmp_path) as trial:
        await trial.start(film((meeting.step, "write=film")))
        command = await meeting.next()
        while not functions.ended:  # the other delivery, since the command waits for this test
            await asyncio.sleep(0.01)
        command.do("go")
        status = await trial.manager.wait("job")
        assert status.state is JobState.COMPLETED, status.error
        assert status.metrics.attempts == 1
        assert meeting.arrived == 1


async def test_a_cancelled_chunk_ends_within_seconds_and_leaves_no_marker(cloud: Any, tmp_path: Path):
    """The worker sees the marker within 2 s, and then gives the command 2 s to end."""
    async with Meeting("127.0.0.1") as meeting, Trial(adapter(cloud), tmp_path) as trial:
        await trial.start(film((meeting.step, "write=film")))
        command = await meeting.next()
        asked = time.monotonic()
        await trial.manager.cancel("job")
        await command.gone()
        took = time.monotonic() - asked
        assert (await trial.manager.wait("job")).state is JobState.CANCELLED
    assert took < 20, "far more than it takes, so that a busy machine does not matter"
    objects = boto3.client("s3").list_objects_v2(Bucket="films").get("Contents", [])
    assert [entry["Key"] for entry in objects if "/cancel/" in entry["Key"]] == []


def own_threads() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if "aws-lambda" in thread.name or "replies" in thread.name}


async def test_nothing_is_left_when_the_adapter_is_closed(cloud: Any, tmp_path: Path):
    before = own_threads()
    async with Trial(adapter(cloud), tmp_path) as trial:
        await trial.run(film(*[("write=film",)] * 4), concurrency=4)
    assert own_threads() - before == set()
    assert boto3.client("sqs").list_queues(QueueNamePrefix="heliostat-replies-").get("QueueUrls", []) == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"function": None}, "no function is named; give --set stack=NAME"),
        ({"function": "missing"}, "Function not found: missing; deploy it"),
        ({"artifacts": None}, "no bucket is named; give --set stack=NAME"),
        ({"function": None, "stack": "missing"}, "there is no stack 'missing' in us-east-1; make it with"),
        ({"invocation": "event", "reports": "off"}, "asynchronous invocations answer on a queue"),
        ({"profile": "nobody"}, "there is no AWS profile 'nobody'"),
    ],
)
async def test_what_cannot_work_is_told_when_it_is_opened(cloud: Any, options: dict[str, Any], message: str):
    with pytest.raises(Misconfigured, match=message):
        await adapter(cloud, **options).__aenter__()


@pytest.mark.parametrize("name", ["AWS_REGION", "AWS_ACCESS_KEY_ID"])
async def test_no_region_and_no_credentials_are_told_with_what_to_set(
    cloud: Any, name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    monkeypatch.delenv(name)
    monkeypatch.delenv("AWS_DEFAULT_REGION", raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    with pytest.raises(Misconfigured, match=name):
        await adapter(cloud).__aenter__()


async def test_without_reports_chunks_run_all_the_same(cloud: Any, tmp_path: Path):
    async with Trial(adapter(cloud, reports="off"), tmp_path) as trial:
        status = await trial.run(film(("frames=2", "write=film")))
        assert status.state is JobState.COMPLETED, status.error


async def test_a_chunk_finds_nothing_of_the_one_before(cloud: Any, tmp_path: Path):
    """In the same execution environment, whose home is its temporary directory."""
    leave = 'mkdir "$HOME/deep"; echo > "$HOME/deep/left"; echo > "$HOME/left"; '
    scripts = [f'{leave} ls "$HOME" > "$1"', 'ls "$HOME" > "$1"']
    spec = film(*[()] * 2)
    chunks = [
        msgspec.structs.replace(chunk, command=("sh", "-c", script, "sh", chunk.output_file))
        for chunk, script in zip(spec.chunks, scripts, strict=True)
    ]
    async with Trial(adapter(cloud), tmp_path) as trial:
        status = await trial.run(msgspec.structs.replace(spec, chunks=tuple(chunks)), concurrency=1)
        assert status.state is JobState.COMPLETED, status.error
        listed = []
        for index in range(2):
            (attempt,) = await trial.attempts(index)
            assert attempt.result is not None
            listed.append((await trial.read(attempt.result.outputs[0])).decode().split())
        assert {"deep", "left", "heliostat"} <= set(listed[0])
        assert set(listed[1]) == set(listed[0]) - {"deep", "left"}


class Hung:
    """A Lambda whose environments heed no marker and never answer."""

    def __init__(self) -> None:
        self.invocations = 0
        self.ended = asyncio.Event()

    async def invoke(self, request: web.Request) -> web.Response:
        await request.read()
        self.invocations += 1
        await self.ended.wait()
        return web.Response(status=500)


async def test_a_hung_invocation_is_hung_up_on_and_leaves_no_thread(
    cloud: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Closing the adapter waits for its threads; an answer would be waited for for a minute and a half."""
    monkeypatch.setattr(module, "CANCEL_PATIENCE", 1.0)
    hung, before = Hung(), own_threads()
    async with served(hung.invoke, monkeypatch), Trial(adapter(cloud, function="own"), tmp_path) as trial:
        await trial.start(film(*[()] * 3), concurrency=3)
        while hung.invocations < 3:
            await asyncio.sleep(0.01)
        await trial.manager.cancel("job")
        assert (await trial.manager.wait("job")).state is JobState.CANCELLED
        async with asyncio.timeout(30):
            while own_threads() - before:
                await asyncio.sleep(0.01)
        hung.ended.set()


class Slow:
    """A Lambda that does nothing for a second; to see how many invocations one coordinator bears."""

    def __init__(self) -> None:
        self.at_once = self.most = 0

    async def invoke(self, request: web.Request) -> web.Response:
        await request.read()
        self.at_once += 1
        self.most = max(self.most, self.at_once)
        while self.most < 1000 and self.at_once < 1000:
            await asyncio.sleep(0.01)
        self.at_once -= 1
        return web.json_response({"type": "result", "result": {"exitCode": 0, "duration": 1.0}})


@asynccontextmanager
async def served(
    invoke: Callable[[web.Request], Awaitable[web.Response]], monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[None]:
    """A function `own` that answers so."""

    async def configuration(request: web.Request) -> web.Response:
        return web.json_response({"FunctionName": "own", "Timeout": 60})

    app = web.Application()
    app.router.add_post("/2015-03-31/functions/own/invocations", invoke)
    app.router.add_get("/2015-03-31/functions/own/configuration", configuration)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, backlog=2048)
    await site.start()
    port = site._server.sockets[0].getsockname()[1]  # type: ignore[union-attr]
    monkeypatch.setenv("AWS_ENDPOINT_URL_LAMBDA", f"http://127.0.0.1:{port}")
    try:
        yield
    finally:
        await runner.cleanup()


async def test_a_thousand_chunks_run_at_once(cloud: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Each invocation is held until all thousand are there."""
    slow = Slow()
    async with served(slow.invoke, monkeypatch), Trial(adapter(cloud, function="own"), tmp_path) as trial:
        status = await trial.run(film(*[()] * 1000), concurrency=1000)
        assert status.state is JobState.COMPLETED, status.error
        assert (slow.most, len(trial.calls)) == (1000, 1000)


def frame_hashes(film_file: Path) -> list[str]:
    command = [find_ffmpeg(), "-v", "error", "-i", film_file, "-map", "0:v", "-f", "framemd5", "-"]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    return [line.rsplit(",", 1)[1].strip() for line in lines if not line.startswith("#")]


@pytest.mark.skipif(find_ffmpeg() is None, reason="there is no ffmpeg; install heliostat[video]")
async def test_the_sunrise_is_the_same_film_with_the_same_transcript(
    cloud: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """A small one in four chunks, rendered here and on Lambda, at concurrency 1 for the transcript."""
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    hashes, transcripts = [], []
    for name, worker in [("local", open_worker("local")), ("lambda", adapter(cloud))]:
        folder = tmp_path / name
        shutil.copytree(SUNRISE, folder, ignore=shutil.ignore_patterns("chunks", "*.mp4", ".heliostat"))
        job = (
            (folder / "job.toml")
            .read_text()
            .replace("width = 1280", "width = 160")
            .replace("height = 720", "height = 90")
            .replace("chunkSize = 24", "chunkSize = 60")
        )
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
        hashes.append(frame_hashes(folder / "sunrise.mp4"))
        transcripts.append(sorted(told))
    assert len(hashes[0]) == 240
    assert hashes[0] == hashes[1]
    assert transcripts[0] == transcripts[1]
    stored = boto3.client("s3").list_objects_v2(Bucket="films", Prefix="studio/jobs/")["Contents"]
    assert any(entry["Key"].endswith("/sunrise.mp4") for entry in stored), "the film lies in the store too"


@pytest.mark.filterwarnings("ignore:Tried to parse")  # kinds of resources that moto has not
async def test_a_stack_says_all_that_the_adapter_needs(cloud: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Made from the template, found by its name."""
    formation = boto3.client("cloudformation")
    formation.create_stack(
        StackName="studio",
        TemplateBody=TEMPLATE.read_text(),
        Parameters=[{"ParameterKey": "ImageUri", "ParameterValue": IMAGE}],
        Capabilities=["CAPABILITY_NAMED_IAM"],
    )
    (stack,) = formation.describe_stacks(StackName="studio")["Stacks"]
    outputs = {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}
    function = cloud.functions.function
    with FakeLambda(
        function.handler,
        environment={**function.environment, "HELIOSTAT_ARTIFACTS": f"s3://{outputs['BucketName']}"},
        task_root=tmp_path,
        name=outputs["FunctionName"],
    ) as functions:
        monkeypatch.setenv("AWS_ENDPOINT_URL_LAMBDA", functions.endpoint_url)
        async with Trial(open_worker("aws-lambda", stack="studio"), tmp_path) as trial:
            status = await trial.run(film(("frames=2", "write=film")))
            assert status.state is JobState.COMPLETED, status.error
            (attempt,) = await trial.attempts(0)
            assert attempt.result is not None
            assert attempt.result.outputs[0].url == f"s3://{outputs['BucketName']}/jobs/job/chunks/0000.bin"
            queues = boto3.client("sqs").list_queues(QueueNamePrefix=outputs["ReplyQueuePrefix"])
            assert queues.get("QueueUrls", []) == [], "the adapter is closed and has taken its queue away"
