"""Telling sinks of another process's job."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from heliostat import (
    Batch,
    ChunkReport,
    ChunkRequest,
    ChunkResult,
    ChunkStarted,
    Event,
    JobEnded,
    JobExecutionOptions,
    JobExecutor,
    JobManager,
    JobSpec,
    JobStarted,
    JobState,
    ObserverFailed,
    WorkerAdapter,
    open_repository,
)
from heliostat.cli.following import retell
from heliostat.testing import ScriptedWorker


class Stuck(WorkerAdapter):
    """Its attempts end when they are cancelled."""

    async def run(self, request: ChunkRequest, report: ChunkReport) -> ChunkResult:
        await asyncio.get_running_loop().create_future()
        raise AssertionError


class Listener:
    def __init__(self) -> None:
        self.told: list[Event] = []

    async def handle(self, event: Event, /) -> None:
        self.told.append(event)


class Broken:
    def __init__(self) -> None:
        self.calls = 0

    def handle(self, event: Event, /) -> None:
        self.calls += 1
        raise RuntimeError("no")


async def test_a_sink_that_raises_is_told_nothing_more(
    make_spec: Callable[..., JobSpec], capsys: pytest.CaptureFixture[str]
) -> None:
    async with JobManager(open_repository("memory:"), JobExecutor(ScriptedWorker())) as manager:
        status = await manager.wait(await manager.submit(make_spec(1)))
        good, bad = Listener(), Broken()
        await retell(manager, status, [bad, good])
    kinds = [type(event).__name__ for event in good.told]
    assert kinds == ["JobStarted", "ChunkStarted", "ChunkSucceeded", "Progressed", "JobEnded"]
    assert bad.calls == 1
    assert capsys.readouterr().err == "heliostat: warning: Broken raised RuntimeError: no; it is told nothing more\n"


async def test_sinks_are_told_of_an_end_when_the_coordinator_dies(
    make_spec: Callable[..., JobSpec], tmp_path: Path
) -> None:
    """A sink lets go of what it holds when it is told of one."""
    url = f"sqlite:///{tmp_path}/jobs.db"
    sink = Listener()
    async with JobManager(open_repository(url), JobExecutor(Stuck())) as running, open_repository(url) as repository:
        job = await running.submit(make_spec(2), JobExecutionOptions(job_dir=tmp_path, concurrency=2))
        async with JobManager(open_repository(url)) as watching:
            telling = asyncio.create_task(retell(watching, await watching.get(job), [sink]))
            while sum(isinstance(event, ChunkStarted) for event in sink.told) < 2:
                await asyncio.sleep(0.005)
            # As after its death: somebody takes its lease, gives it back, and leaves the job as it is.
            owner = (await repository.get(job)).coordinator
            lease = await repository.acquire(job, "another", 60.0, dead=owner)
            await repository.commit(lease, Batch())
            await repository.release(lease)
            status = await telling
    assert status.orphaned
    assert isinstance(sink.told[0], JobStarted)
    last = sink.told[-1]
    assert isinstance(last, JobEnded)
    assert (last.state, last.completed_chunks, last.total_chunks) == (JobState.RUNNING, 0, 2)
    assert not any(isinstance(event, ObserverFailed) for event in sink.told)
