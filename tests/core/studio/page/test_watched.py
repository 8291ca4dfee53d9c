"""A job as it is followed for those who look at it: read from the repository that another process writes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from heliostat import (
    ChunkResult,
    JobExecutionOptions,
    JobExecutor,
    JobManager,
    JobSpec,
    JobState,
    WorkerAdapter,
    WorkerLimits,
    open_repository,
)
from heliostat.studio.page.watched import WatchedJob

MakeSpec = Callable[..., JobSpec]
PATIENCE = 60.0


class Gate(WorkerAdapter):
    """Each attempt waits until its chunk is let go, reports what it is told to, and ends as it is told to."""

    limits = WorkerLimits(default_concurrency=2)

    def __init__(self) -> None:
        self.reports: dict[int, Any] = {}
        self.failing: set[tuple[int, int]] = set()
        self._open: dict[int, asyncio.Event] = {}

    def let(self, *chunks: int) -> None:
        for chunk in chunks:
            self._open.setdefault(chunk, asyncio.Event()).set()

    async def run(self, request, report):
        index = request.chunk.id
        self.reports[index] = report
        await self._open.setdefault(index, asyncio.Event()).wait()
        code = 3 if (index, request.attempt) in self.failing else 0
        return ChunkResult(exit_code=code, duration=0.1, stderr_tail="it broke\n" if code else "", worker="\x1b[1mbox")


class Watch:
    """A job that is watched, by a reader that has nothing in common with its coordinator but the database."""

    def __init__(self, url: str) -> None:
        self.manager = JobManager(repository := open_repository(url))
        self.job = WatchedJob(self.manager, repository, "job")
        self.task = asyncio.create_task(self.job.run())

    async def until(self, condition: Callable[[Any], object]) -> Any:
        """The picture, once it is as it should be."""
        async with asyncio.timeout(PATIENCE):
            while self.job.picture is None or not condition(self.job.picture):
                assert not self.task.done(), self.task
                await self.job.changed(self.job.version)
        return self.job.picture

    async def end(self) -> None:
        self.task.cancel()
        await asyncio.wait([self.task])
        await self.manager.close()


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'jobs.db'}"


@pytest.fixture
def gate() -> Gate:
    return Gate()


@pytest.fixture
async def coordinator(url: str, gate: Gate) -> AsyncIterator[JobManager]:
    async with JobManager(open_repository(url), JobExecutor(gate)) as manager:
        yield manager


@pytest.fixture
async def watch(url: str) -> AsyncIterator[Callable[[], Watch]]:
    watches: list[Watch] = []

    def begin() -> Watch:
        watches.append(Watch(url))
        return watches[-1]

    yield begin
    for one in watches:
        await one.end()


def options(tmp_path: Path, **more: Any) -> JobExecutionOptions:
    return JobExecutionOptions(**{"retry_delay": 0.0, "job_dir": tmp_path, **more})


async def test_it_shows_a_job_from_its_start_to_its_end(
    coordinator: JobManager, gate: Gate, watch: Callable[[], Watch], make_spec: MakeSpec, tmp_path: Path
) -> None:
    await coordinator.submit(make_spec(4, frames=10, id="job"), options(tmp_path))
    seen = watch()
    await seen.until(lambda picture: picture.cells.counts == [2, 2, 0, 0])
    gate.reports[0].frames_done(5)
    picture = await seen.until(lambda picture: picture.cells.running.get(0) == 5.0 and picture.frames_done == 5.0)
    assert picture.percent == pytest.approx(12.5)
    gate.let(0)
    picture = await seen.until(lambda picture: picture.completed_chunks == 1)
    assert picture.workers == {0: "box"}
    gate.let(1, 2, 3)
    picture = await seen.until(lambda picture: picture.status.state is JobState.COMPLETED and picture.ended)
    assert (picture.percent, picture.frames_done, picture.completed_chunks) == (100.0, 40.0, 4)
    assert picture.cells.counts == [0, 0, 4, 0]
    assert [bar.ended is not None for bar in picture.slots] == [True] * 4
    assert not picture.slots.running


async def test_who_comes_later_sees_the_same(
    coordinator: JobManager, gate: Gate, watch: Callable[[], Watch], make_spec: MakeSpec, tmp_path: Path
) -> None:
    gate.failing = {(0, 1), (1, 1), (1, 2)}
    await coordinator.submit(
        make_spec(5, frames=10, id="job"), options(tmp_path, retries=1, fail_fast=False, concurrency=2)
    )
    early = watch()
    gate.let(0, 1)
    one = await early.until(lambda picture: picture.cells.counts == [1, 2, 1, 1] and picture.frames_done == 10.0)
    late = watch()
    other = await late.until(lambda picture: picture.progress is not None)
    assert other.cells.all() == one.cells.all()
    assert list(other.slots) == list(one.slots)
    assert other.failures.groups() == one.failures.groups()
    assert other.failures.count == other.status.metrics.failures["command_failed"] == 3
    assert (other.frames_done, other.percent) == (one.frames_done, one.percent)
    assert other.run == one.run
    gate.let(2, 3, 4)
    for seen in (early, late):
        picture = await seen.until(lambda picture: picture.status.state is JobState.FAILED and picture.ended)
        assert picture.cells.counts == [0, 0, 4, 1]


async def test_it_is_never_ahead_of_the_repository(
    coordinator: JobManager, gate: Gate, watch: Callable[[], Watch], make_spec: MakeSpec, tmp_path: Path, url: str
) -> None:
    gate.let(*range(60))
    await coordinator.submit(make_spec(60, id="job"), options(tmp_path))
    seen = watch()
    before = -1
    async with JobManager(open_repository(url)) as reader:
        while before < 60:
            picture = await seen.until(lambda picture, before=before: picture.completed_chunks > before)
            before = picture.completed_chunks
            shown, frames = picture.completed_chunks, picture.frames_done
            committed = await reader.get("job")
            assert shown <= committed.completed_chunks
            assert frames <= committed.metrics.frames_done


async def test_it_notices_pause_resume_and_what_is_run_again(
    coordinator: JobManager, gate: Gate, watch: Callable[[], Watch], make_spec: MakeSpec, tmp_path: Path
) -> None:
    await coordinator.submit(make_spec(4, frames=10, id="job"), options(tmp_path))
    seen = watch()
    await seen.until(lambda picture: len(picture.cells.running) == 2)
    await coordinator.pause("job")
    gate.let(0, 1)
    await coordinator.wait("job")
    picture = await seen.until(lambda picture: picture.status.state is JobState.PAUSED and picture.ended)
    assert picture.completed_chunks == 2
    await coordinator.resume("job")
    picture = await seen.until(lambda picture: len(picture.cells.running) == 2)
    assert picture.status.state is JobState.RUNNING
    assert picture.run.completed_chunks == 2
    assert picture.ended is None
    await coordinator.cancel("job")
    picture = await seen.until(lambda picture: picture.ended and picture.cells.counts == [2, 0, 2, 0])
    assert picture.status.state is JobState.CANCELLED
    assert not picture.slots.running


async def test_it_notices_that_a_job_is_deleted(
    coordinator: JobManager, gate: Gate, watch: Callable[[], Watch], make_spec: MakeSpec, tmp_path: Path
) -> None:
    gate.let(0)
    await coordinator.submit(make_spec(1, id="job"), options(tmp_path))
    await coordinator.wait("job")
    seen = watch()
    await seen.until(lambda picture: picture.ended)
    await coordinator.delete("job")
    async with asyncio.timeout(PATIENCE):
        await seen.task
    assert seen.job.is_gone


async def test_a_job_that_was_made_anew_under_its_id_is_another_one(
    coordinator: JobManager, gate: Gate, watch: Callable[[], Watch], make_spec: MakeSpec, tmp_path: Path
) -> None:
    gate.let(0, 1, 2)
    await coordinator.submit(make_spec(3, id="job"), options(tmp_path))
    await coordinator.wait("job")
    seen = watch()
    await seen.until(lambda picture: picture.ended)
    await coordinator.delete("job")
    await coordinator.submit(make_spec(7, id="job"), options(tmp_path))
    if not seen.job.is_gone:  # it may have looked in between
        picture = await seen.until(lambda picture: len(picture.cells) == 7)
        assert picture.status.total_chunks == 7


async def test_a_job_that_is_not_there_is_gone_at_once(coordinator: JobManager, watch: Callable[[], Watch]) -> None:
    seen = watch()
    async with asyncio.timeout(PATIENCE):
        await seen.task
    assert seen.job.is_gone
    assert seen.job.picture is None
