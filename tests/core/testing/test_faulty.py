"""`FaultyWorker`: what each fault does to a job, and that a seed means the same faults everywhere."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from heliostat import (
    AttemptState,
    ChunkReport,
    ChunkRequest,
    ChunkResult,
    JobExecutionOptions,
    JobExecutor,
    JobManager,
    JobResult,
    JobSpec,
    JobState,
    open_repository,
    open_worker,
)
from heliostat.errors import JobFailed
from heliostat.model.cause import Cause
from heliostat.testing import Fault, FaultyWorker, ScriptedWorker
from heliostat.testing.trial import film

MakeSpec = Callable[..., JobSpec]


async def execute(worker: FaultyWorker, spec: JobSpec, tmp_path: Path, **options: Any) -> JobResult:
    return await JobExecutor(worker).execute(
        spec, JobExecutionOptions(job_dir=tmp_path, retry_delay=0.0, retries=0, concurrency=2, **options)
    )


@pytest.mark.parametrize(
    ("fault", "failures", "runs"),
    [
        (Fault.CRASH, {Cause.WORKER_LOST: 1}, 2),
        (Fault.THROTTLE, {Cause.THROTTLED: 1}, 1),
        (Fault.SLOW_START, {}, 1),
        (Fault.DUPLICATE, {}, 2),
        (Fault.LATE, {Cause.WORKER_LOST: 2}, 2),
        (Fault.GARBLED, {Cause.WORKER_LOST: 1}, 2),
    ],
)
async def test_what_costs_no_attempt(
    fault: Fault, failures: dict[Cause, int], runs: int, make_spec: MakeSpec, tmp_path: Path
):
    inner = ScriptedWorker()
    worker = FaultyWorker(inner, faults={(1, 1): fault})
    result = await execute(worker, make_spec(3), tmp_path)
    assert result.state is JobState.COMPLETED
    assert result.metrics.failures == failures
    assert worker.injected == {(1, 1): fault}
    assert [chunk for chunk, _ in inner.started].count(1) == runs


async def test_a_failure_costs_an_attempt(make_spec: MakeSpec, tmp_path: Path):
    with pytest.raises(JobFailed, match="command_failed: an injected failure"):
        await execute(FaultyWorker(ScriptedWorker(), faults={(1, 1): Fault.FAILURE}), make_spec(3), tmp_path)


async def test_a_hang_ends_at_the_chunk_timeout(make_spec: MakeSpec, tmp_path: Path):
    worker = FaultyWorker(ScriptedWorker(), faults={(0, 1): Fault.HANG})
    with pytest.raises(JobFailed, match="timed_out"):
        await execute(worker, make_spec(1), tmp_path, chunk_timeout=0.05)


async def test_a_hang_ends_when_it_is_cancelled(make_spec: MakeSpec, tmp_path: Path):
    worker = FaultyWorker(ScriptedWorker(), faults={(0, 1): Fault.HANG})
    async with JobManager(open_repository("memory:"), JobExecutor(worker)) as manager:
        job = await manager.submit(make_spec(1), JobExecutionOptions(job_dir=tmp_path))
        while not worker.injected:
            await asyncio.sleep(0)
        await manager.cancel(job)
        assert (await manager.wait(job)).state is JobState.CANCELLED


async def test_a_late_result_is_stale(make_spec: MakeSpec, tmp_path: Path):
    result = await execute(
        FaultyWorker(ScriptedWorker(), faults={(0, 1): Fault.LATE}), make_spec(1), tmp_path, on_progress=None
    )
    assert result.metrics.stale_results == 1
    assert result.metrics.attempts == 3


async def test_a_seed_gives_the_same_faults_whatever_the_order(make_spec: MakeSpec, tmp_path: Path):
    rates = {fault: 0.1 for fault in Fault if fault not in (Fault.HANG, Fault.SLOW_START)}
    injected = []
    for concurrency, steps in [(1, 0), (7, 3)]:
        worker = FaultyWorker(
            ScriptedWorker(steps=lambda request, steps=steps: steps * int(request.chunk.id) % 5), seed=11, rates=rates
        )
        await JobExecutor(worker).execute(
            make_spec(60),
            JobExecutionOptions(job_dir=tmp_path, retry_delay=0.0, retries=9, concurrency=concurrency),
        )
        injected.append(worker.injected)
    assert injected[0] == injected[1]
    assert set(injected[0].values()) == set(rates), "with 60 chunks every fault occurs"
    other = FaultyWorker(ScriptedWorker(), seed=12, rates=rates)
    assert {key: other.fault_of(*key) for key in injected[0]} != injected[0]


def test_rates_are_shares():
    worker = FaultyWorker(ScriptedWorker(), seed=3, rates={Fault.CRASH: 0.2, Fault.THROTTLE: 0.1})
    drawn = [worker.fault_of(chunk, 1) for chunk in range(10_000)]
    assert drawn.count(Fault.CRASH) == pytest.approx(2000, rel=0.1)
    assert drawn.count(Fault.THROTTLE) == pytest.approx(1000, rel=0.1)
    assert worker.fault_of("any", 4) is None, "later attempts are left alone"
    with pytest.raises(ValueError, match="from 0 to 1"):
        FaultyWorker(ScriptedWorker(), rates={Fault.CRASH: 0.7, Fault.HANG: 0.7})


async def test_a_crash_ends_real_work_and_nothing_of_it_is_delivered(tmp_path: Path):
    """The first attempt's command would never end by itself; the second one's writes the output."""
    spec = film(("1:frames=1", "1:say=and now for ever", "1:files=9999999,99999999", "write=film"))
    worker = FaultyWorker(open_worker("local"), faults={(0, 1): Fault.CRASH})
    async with JobManager(open_repository("memory:"), JobExecutor(worker)) as manager:
        job = await manager.submit(spec, JobExecutionOptions(job_dir=tmp_path, retry_delay=0.0, retries=0))
        status = await manager.wait(job)
        assert (status.state, status.metrics.failures) == (JobState.COMPLETED, {Cause.WORKER_LOST: 1})
    assert (tmp_path / "chunks" / "0000.bin").read_text() == "film"
    assert [path.name for path in (tmp_path / "chunks").iterdir()] == ["0000.bin"]


async def test_it_opens_and_closes_the_adapter_and_bears_its_name_and_limits():
    class Inner(ScriptedWorker):
        opened = 0

        async def __aenter__(self):
            self.opened += 1
            return self

        async def __aexit__(self, *_: object) -> None:
            self.opened -= 1

        async def run(self, request: ChunkRequest, report: ChunkReport) -> ChunkResult:
            raise AssertionError

    inner = Inner()
    worker = FaultyWorker(inner)
    async with worker as opened:
        assert opened is worker
        assert inner.opened == 1
    assert inner.opened == 0
    assert (worker.name, worker.limits) == (inner.name, inner.limits)


async def test_all_faults_at_once_leave_the_contract_whole(make_spec: MakeSpec, tmp_path: Path):
    """Hangs too, which only the chunk timeout ends; the database is a real one."""
    calls: list[int] = []
    worker = FaultyWorker(ScriptedWorker(), seed=5, rates=dict.fromkeys(Fault, 0.08), attempts=2)
    async with (
        open_repository(f"sqlite:///{tmp_path}/jobs.db") as rows,
        JobManager(open_repository(f"sqlite:///{tmp_path}/jobs.db"), JobExecutor(worker)) as manager,
    ):
        job = await manager.submit(
            make_spec(100),
            JobExecutionOptions(
                job_dir=tmp_path,
                retry_delay=0.0,
                retries=20,
                concurrency=20,
                chunk_timeout=0.5,
                on_progress=lambda completed, total: calls.append(completed),
            ),
        )
        status = await manager.wait(job)
        assert status.state is JobState.COMPLETED, status.error
        assert calls == list(range(1, 101))
        assert len(await rows.attempts(job, state=AttemptState.SUCCEEDED)) == 100
        assert set(worker.injected.values()) == set(Fault)
