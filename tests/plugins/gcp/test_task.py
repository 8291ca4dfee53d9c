"""A task of a job, in this process, with the mailbox of a coordinator that a test plays."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from strict_gcs import Request, StrictGcs

from heliostat import Cause, ChunkResult
from heliostat.testing.meeting import Meeting
from heliostat.testing.trial import film
from heliostat.worker import encode_request, relay
from heliostat_gcp import task as module
from heliostat_gcp.artifacts import GcsArtifactStore
from heliostat_gcp.mailbox import Letter, Mailbox
from heliostat_gcp.options import GcsOptions
from heliostat_gcp.task import run_task

pytestmark = pytest.mark.timeout(120)


class Report:
    def __init__(self) -> None:
        self.lines: list[str] = []

    def frames_done(self, frames: float, /) -> None: ...
    def log(self, stream: str, text: str, /) -> None:
        self.lines.append(text)

    def heartbeat(self) -> None: ...


@pytest.fixture
async def mailbox(cloud: Any) -> AsyncIterator[Mailbox]:
    async with GcsArtifactStore(GcsOptions(url=cloud.artifacts)) as store:
        mailbox = Mailbox(store, "session")
        await mailbox.live()
        yield mailbox


@pytest.fixture
def start(cloud: Any, mailbox: Mailbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Posts a chunk with these steps as the 150th of a batch, and runs its task."""
    monkeypatch.setenv("PATH", f"{Path(os.sys.executable).parent}{os.pathsep}{os.environ['PATH']}")  # type: ignore[attr-defined]

    async def begin(*steps: str, is_withdrawn: bool = False) -> asyncio.Task[int]:
        from heliostat import ChunkRequest

        chunk = film(steps).chunks[0]
        requests = [
            encode_request(
                ChunkRequest(
                    job_id="job",
                    chunk=chunk,
                    attempt=1,
                    attempt_id=str(number),
                    command=list(chunk.command),
                    artifacts=cloud.artifacts,
                    progress=r"frame (\d+)",
                )
            )
            for number in range(151)
        ]
        await mailbox.post(7, requests)
        if is_withdrawn:
            await mailbox.withdraw(7)
        for name, value in {
            "CLOUD_RUN_TASK_INDEX": "150",
            "HELIOSTAT_BATCH": "session/7",
            "HELIOSTAT_ARTIFACTS": cloud.artifacts,
            "HELIOSTAT_TASK_SECONDS": "600",
        }.items():
            monkeypatch.setenv(name, value)
        return asyncio.create_task(run_task(tmp_path / "worker", 1 << 20))

    return begin


async def collect(mailbox: Mailbox, running: asyncio.Task[int]) -> tuple[ChunkResult, list[Letter]]:
    """The result, and the reports before it."""
    letters: list[Letter] = []
    while not letters or letters[-1].reports is None:
        letters += await mailbox.collect()
    assert await running == 0
    *reports, last = letters
    assert last.reports == len(reports)
    (line,) = last.lines.splitlines()
    result = relay(line, Report())
    assert result is not None
    return result, reports


async def test_it_finds_its_own_request_and_tells_its_result_and_what_was_said_before(mailbox: Mailbox, start: Any):
    result, reports = await collect(mailbox, await start("frames=3", "say=hello", "write=film"))
    assert (result.exit_code, result.attempt_id) == (0, "150")
    report = Report()
    for letter in reports:
        for line in letter.lines.splitlines():
            relay(line, report)
    assert "".join(report.lines).endswith("hello\n")
    assert max(letter.frames or 0 for letter in reports) == 3
    assert await mailbox.collect() == [], "what was read is gone"


async def test_a_failure_is_a_result_and_the_task_has_done_its_duty(mailbox: Mailbox, start: Any):
    result, _ = await collect(mailbox, await start("exit=3"))
    assert (result.exit_code, result.cause) == (3, Cause.COMMAND_FAILED)


async def test_a_marker_ends_it(mailbox: Mailbox, start: Any, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "LOOK_EVERY", 0.05)
    async with Meeting("127.0.0.1") as meeting:
        running = await start(meeting.step, "write=film")
        command = await meeting.next()
        await mailbox.cancel(7, [150])
        result, _ = await collect(mailbox, running)
        await command.gone()
    assert (result.cause, result.message) == (Cause.CANCELLED, "cancelled as asked")


async def test_one_that_is_cancelled_before_it_begins_runs_nothing(mailbox: Mailbox, start: Any):
    await mailbox.cancel(7, [150])
    result, reports = await collect(mailbox, await start("write=film"))
    assert (result.cause, result.message, reports) == (Cause.CANCELLED, "cancelled before it began", [])


async def test_it_ends_when_its_coordinator_gives_no_sign_of_life(
    mailbox: Mailbox, start: Any, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(module, "ALIVE_EVERY", 0.1)
    async with Meeting("127.0.0.1") as meeting:
        running = await start(meeting.step, "write=film")
        command = await meeting.next()
        await mailbox.live()
        monkeypatch.setattr(module, "ABANDONED_AFTER", 2.0)
        for _ in range(15):  # for longer than it would wait
            await asyncio.sleep(0.2)
            await mailbox.live()
        assert not running.done()
        result, _ = await collect(mailbox, running)
        await command.gone()
    assert (result.cause, result.message) == (Cause.CANCELLED, "its coordinator is gone")


async def test_one_whose_coordinator_is_gone_when_it_begins_runs_nothing(
    mailbox: Mailbox, start: Any, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(module, "ABANDONED_AFTER", 0.5)
    await asyncio.sleep(1.0)
    result, reports = await collect(mailbox, await start("write=film"))
    assert (result.cause, result.message, reports) == (Cause.CANCELLED, "its coordinator is gone", [])


async def test_one_whose_request_was_taken_back_runs_nothing(mailbox: Mailbox, start: Any):
    result, reports = await collect(mailbox, await start("write=film", is_withdrawn=True))
    assert (result.cause, result.message, reports) == (Cause.CANCELLED, "its request was withdrawn", [])


async def test_it_tells_that_its_time_is_up_before_cloud_run_ends_it(
    mailbox: Mailbox, start: Any, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(module, "RESERVE", 598.0)
    async with Meeting("127.0.0.1") as meeting:
        running = await start(meeting.step, "write=film")
        command = await meeting.next()
        result, _ = await collect(mailbox, running)
        await command.gone()
    assert result.cause is Cause.TIMED_OUT
    assert (result.message or "").startswith("the task's time is up; deploy the job with more")


async def test_what_is_said_while_a_report_is_on_its_way_is_told_too(
    storage: StrictGcs, mailbox: Mailbox, start: Any, monkeypatch: pytest.MonkeyPatch
):
    """The report before the end is slow, so that the chunk ends meanwhile."""
    sending, ended = threading.Event(), threading.Event()

    def hold(sent: Request) -> None:
        if sent.operation == "insert" and b"/out/7/150/" in sent.body and b"first" in sent.body:
            sending.set()
            ended.wait(60)

    storage.intervene = hold
    monkeypatch.setattr(module, "REPORT_EVERY", 0.05)
    async with Meeting("127.0.0.1") as meeting:
        running = await start("say=first", meeting.step, "say=second", "write=film")
        command = await meeting.next()
        assert await asyncio.to_thread(sending.wait, 60)
        command.do("go")
        await command.gone()
        ended.set()
        _, reports = await collect(mailbox, running)
    said = Report()
    for line in b"".join(letter.lines for letter in reports).splitlines():
        relay(line, said)
    assert [line for line in "".join(said.lines).splitlines() if line in ("first", "second")] == ["first", "second"]


async def test_of_many_tasks_each_reports_less_often(
    storage: StrictGcs, mailbox: Mailbox, start: Any, monkeypatch: pytest.MonkeyPatch
):
    """Of 400, each 2 s: all together would make more reports than a coordinator can read."""
    sent_clocks: list[float] = []

    def note(sent: Request) -> None:
        if sent.operation == "insert" and b"/out/7/150/" in sent.body:
            sent_clocks.append(time.monotonic())

    storage.intervene = note
    monkeypatch.setenv("CLOUD_RUN_TASK_COUNT", "400")
    async with Meeting("127.0.0.1") as meeting:
        running = await start(meeting.step, "write=film")
        command = await meeting.next()
        for number in (1, 2):
            command.do(f"say={number}")
            while len(sent_clocks) < number:
                await asyncio.sleep(0.01)
        command.do("go")
        await collect(mailbox, running)
    assert sent_clocks[1] - sent_clocks[0] >= 1.99


async def test_cloud_run_ends_it_with_a_signal(mailbox: Mailbox, start: Any):
    async with Meeting("127.0.0.1") as meeting:
        running = await start(meeting.step, "write=film")
        command = await meeting.next()
        os.kill(os.getpid(), signal.SIGTERM)
        result, _ = await collect(mailbox, running)
        await command.gone()
    assert (result.cause, result.message) == (Cause.WORKER_LOST, "Cloud Run has ended the task")


async def test_what_cloud_run_tries_again_by_itself_runs_nothing(
    mailbox: Mailbox, start: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setenv("CLOUD_RUN_TASK_ATTEMPT", "1")
    assert await (await start("write=film")) == 1
    assert "deploy the job with maxRetries 0" in capsys.readouterr().err
    assert await mailbox.collect() == []


async def test_without_its_bucket_it_fails_with_a_sentence(
    start: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
):
    await (await start("write=film"))
    monkeypatch.setenv("HELIOSTAT_ARTIFACTS", "gs://nothing-there")
    assert await run_task(tmp_path / "worker", 1 << 20) == 1
    assert "nothing-there" in capsys.readouterr().err
