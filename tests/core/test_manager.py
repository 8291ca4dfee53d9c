"""The life of jobs in a repository: real executor, real manager, real SQLite file."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from heliostat import (
    AttemptState,
    ChunkResult,
    ChunkState,
    JobEnded,
    JobExecutionOptions,
    JobExecutor,
    JobManager,
    JobSpec,
    JobState,
    JobStatus,
    Merge,
    Output,
    WorkerAdapter,
    WorkerLimits,
    errors,
    open_repository,
)
from heliostat.builtin.sql.sqlite import BUSY_TIMEOUT
from heliostat.testing.scripted import ScriptedWorker

MakeSpec = Callable[..., JobSpec]
FAILED = ChunkResult(exit_code=1, duration=0.0)


class Gate(WorkerAdapter):
    """Chunks whose id is not in `open` wait until it is, or until they are cancelled."""

    limits = WorkerLimits(default_concurrency=2)

    def __init__(self, *open_: int) -> None:
        self.open = set(open_)
        self.moved = asyncio.Event()
        self.started: list[object] = []
        self.cancelled: list[object] = []

    def let(self, *chunks: int) -> None:
        self.open.update(chunks)
        self.moved.set()
        self.moved = asyncio.Event()

    async def run(self, request, report):
        self.started.append(request.chunk.id)
        try:
            while request.chunk.id not in self.open:
                await self.moved.wait()
        except asyncio.CancelledError:
            self.cancelled.append(request.chunk.id)
            raise
        return ChunkResult(exit_code=0, duration=0.0)


def options(tmp_path: Path, **more: object) -> JobExecutionOptions:
    return JobExecutionOptions(**{"retry_delay": 0.0, "job_dir": tmp_path, **more})


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.005)


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'jobs.db'}"


@pytest.fixture
async def open_manager(url: str) -> AsyncIterator[Callable[..., JobManager]]:
    """Managers on one database, each with a repository of its own as another process would have it."""
    managers: list[JobManager] = []

    def make(worker: WorkerAdapter | None = None, **more: object) -> JobManager:
        managers.append(JobManager(open_repository(url), None if worker is None else JobExecutor(worker), **more))
        return managers[-1]

    yield make
    for manager in managers:
        await manager.close()


async def test_a_submitted_job_runs_to_its_end(open_manager, make_spec: MakeSpec, tmp_path: Path):
    manager, calls = open_manager(ScriptedWorker()), []
    job = await manager.submit(make_spec(7), options(tmp_path, on_progress=lambda *call: calls.append(call)))
    status = await manager.wait(job)
    assert (status.state, status.completed_chunks, status.total_chunks, status.progress) == (
        JobState.COMPLETED,
        7,
        7,
        100,
    )
    assert status.coordinator is None
    assert calls == [(n, 7) for n in range(1, 8)]


async def test_the_repository_is_never_behind_what_a_callback_was_told(open_manager, make_spec, tmp_path, url):
    """P4, seen from a second connection as another process would."""
    other, seen = open_repository(url), []

    async def on_progress(completed: int, total: int) -> None:
        status = await other.get("j")
        seen.append((completed, status.completed_chunks, status.state))

    async with other:
        manager = open_manager(ScriptedWorker(steps=lambda request: 2))
        await manager.submit(make_spec(40, id="j"), options(tmp_path, on_progress=on_progress))
        await manager.wait("j")
    assert [told for told, _, _ in seen] == list(range(1, 41))
    assert all(committed >= told and state is JobState.RUNNING for told, committed, state in seen)


async def test_a_cancel_right_after_submit_is_not_lost(open_manager, make_spec, tmp_path):
    worker = Gate()
    manager = open_manager(worker)
    for _ in range(20):
        job = await manager.submit(make_spec(3), options(tmp_path))
        await manager.cancel(job)
        assert (await manager.wait(job)).state is JobState.CANCELLED
    assert sorted(map(str, worker.started)) == sorted(map(str, worker.cancelled))


async def test_a_pause_lets_running_chunks_finish_and_a_resume_goes_on_from_there(open_manager, make_spec, tmp_path):
    worker, calls = Gate(), []
    manager = open_manager(worker)
    job = await manager.submit(make_spec(6), options(tmp_path, on_progress=lambda *call: calls.append(call)))
    await until(lambda: len(worker.started) == 2)
    await manager.pause(job)
    worker.let(*range(6))
    status = await manager.wait(job)
    assert (status.state, status.completed_chunks) == (JobState.PAUSED, 2)
    assert sorted(worker.started) == [0, 1]
    await manager.resume(job)
    assert (await manager.wait(job)).state is JobState.COMPLETED
    assert sorted(worker.started) == [0, 1, 2, 3, 4, 5]
    assert calls == [(n, 6) for n in range(1, 7)], "nothing is reported again"


@pytest.mark.parametrize("wish", ["pause", "cancel"])
async def test_another_process_reaches_the_coordinator(open_manager, make_spec, tmp_path, wish: str):
    worker = Gate()
    mine, theirs = open_manager(worker), open_manager()
    job = await mine.submit(make_spec(100_000), options(tmp_path))
    await until(lambda: len(worker.started) == 2)
    await getattr(theirs, wish)(job)

    async def go_on() -> None:
        for chunk in range(100_000):
            worker.let(chunk)
            await asyncio.sleep(0.01)

    going_on = asyncio.create_task(go_on())
    status = await theirs.wait(job)
    going_on.cancel()
    assert status.state is {"pause": JobState.PAUSED, "cancel": JobState.CANCELLED}[wish]
    assert status.completed_chunks < 2000
    assert status.wish is None
    assert bool(worker.cancelled) is (wish == "cancel")


async def test_a_job_that_nobody_runs_is_paused_and_cancelled_on_the_spot(open_manager, make_spec, tmp_path):
    manager = open_manager()
    job = await manager.submit(make_spec(2), options(tmp_path))
    assert (await manager.get(job)).state is JobState.PENDING
    assert (await manager.pause(job)).state is JobState.PAUSED
    assert (await manager.cancel(job)).state is JobState.CANCELLED
    with pytest.raises(errors.WrongState, match="is cancelled; only a pending or running job can be paused"):
        await manager.pause(job)


async def test_a_cancel_is_granted_whoever_else_changes_the_state_meanwhile(open_manager, make_spec, tmp_path):
    """A pause that comes after it is refused, and one before it takes nothing back."""
    mine, theirs = open_manager(), open_manager()
    for _ in range(30):
        job = await mine.submit(make_spec(1), options(tmp_path))
        paused, cancelled = await asyncio.gather(mine.pause(job), theirs.cancel(job), return_exceptions=True)
        assert isinstance(paused, errors.WrongState | JobStatus)
        assert isinstance(cancelled, JobStatus)
        status = await theirs.get(job)
        assert (status.state, status.wish) == (JobState.CANCELLED, None)


@pytest.mark.parametrize("is_mine", [True, False])
async def test_a_cancel_is_granted_that_comes_as_the_run_ends(open_manager, make_spec, tmp_path, is_mine: bool):
    mine, theirs = open_manager(worker := Gate()), open_manager()
    ended: list[JobStatus] = []

    async def on_event(event: object) -> None:
        if isinstance(event, JobEnded):
            ended.append(await (mine if is_mine else theirs).cancel(job))

    job = await mine.submit(make_spec(6), options(tmp_path, on_event=on_event))
    await until(lambda: len(worker.started) == 2)
    await mine.pause(job)
    worker.let(*range(6))
    status = await theirs.wait(job)
    assert [status.state for status in ended] == [JobState.PAUSED], "it had been paused"
    assert (status.state, status.wish, status.completed_chunks) == (JobState.CANCELLED, None, 2)


async def test_two_who_delete_a_job_find_it_deleted(open_manager, make_spec, tmp_path):
    managers = open_manager(), open_manager()
    for _ in range(20):
        job = await managers[0].submit(make_spec(1), options(tmp_path))
        outcomes = await asyncio.gather(*(manager.delete(job) for manager in managers), return_exceptions=True)
        assert None in outcomes
        assert {type(outcome) for outcome in outcomes} <= {type(None), errors.JobNotFound}


async def test_two_coordinators_on_one_job(open_manager, make_spec, tmp_path):
    worker, second_worker = Gate(), Gate()
    first, second = open_manager(worker), open_manager(second_worker)
    job = await first.submit(make_spec(3), options(tmp_path))
    with pytest.raises(errors.LeaseHeld, match=r"is being run by process .*; pause or cancel it first"):
        await second.resume(job)
    with pytest.raises(errors.WrongState, match="is running; cancel it first"):
        await second.delete(job)
    worker.let(0, 1, 2)
    assert (await first.wait(job)).state is JobState.COMPLETED
    assert not second_worker.started


async def test_a_coordinator_whose_lease_was_taken_stops_and_says_nothing_more(
    open_manager, make_spec, tmp_path, url, caplog
):
    """As after a long sleep of the machine: the lease ran out and somebody else took the job over."""
    worker, calls = Gate(), []
    first = open_manager(worker, lease_ttl=0.2)
    job = await first.submit(make_spec(4), options(tmp_path, on_progress=lambda *call: calls.append(call)))
    await until(lambda: len(worker.started) == 2)
    async with open_repository(url) as repository:
        holder = (await repository.get(job)).coordinator
        await repository.acquire(job, "thief", 60.0, dead=holder)
        worker.let(0)
        with pytest.raises(errors.LeaseLost):
            await first.wait(job)
        assert calls == []
        assert 1 in worker.cancelled
        status = await repository.get(job)
        assert (status.state, status.completed_chunks, status.coordinator) == (JobState.RUNNING, 0, "thief")


async def test_an_expired_lease_is_taken_over_and_rows_of_the_dead_are_closed(open_manager, make_spec, tmp_path, url):
    from heliostat.contracts.repository import Batch, ChunkChange, JobChange
    from heliostat.model.status import AttemptStatus

    manager, calls = open_manager(ScriptedWorker()), []
    job = await manager.submit(make_spec(4), options(tmp_path), start=False)
    async with open_repository(url) as repository:
        lease = await repository.acquire(job, "elsewhere/1/2/3/4", 0.05)
        attempts = [
            AttemptStatus(
                index=0, number=1, attempt_id="a", state=AttemptState.SUCCEEDED, started_at=1.0, result=FAILED
            ),
            AttemptStatus(index=1, number=1, attempt_id="b", state=AttemptState.RUNNING, started_at=1.0),
        ]
        await repository.commit(
            lease,
            Batch(
                chunks=[ChunkChange(0, ChunkState.SUCCEEDED, 1, 1), ChunkChange(1, ChunkState.RUNNING, 1)],
                attempts=attempts,
                job=JobChange(state=JobState.RUNNING),
            ),
        )
        async with asyncio.timeout(10):
            while not (await repository.get(job)).orphaned:
                await asyncio.sleep(0.02)
        await manager.resume(job, options(tmp_path, on_progress=lambda *call: calls.append(call)))
        status = await manager.wait(job)
        assert status.state is JobState.COMPLETED
        assert calls == [(2, 4), (3, 4), (4, 4)]
        rows = await repository.attempts(job, index=1)
        assert [(row.number, row.state) for row in rows] == [(1, AttemptState.CANCELLED), (2, AttemptState.SUCCEEDED)]


async def test_chunks_whose_output_is_gone_are_rendered_again(open_manager, make_spec, tmp_path):
    """P5: only committed chunks whose output still exists are kept."""

    class Writing(ScriptedWorker):
        async def run(self, request, report):
            if request.chunk.id == "merge":
                return await super().run(request, report)
            await super().run(request, report)
            path = tmp_path / request.chunk.output_file
            path.parent.mkdir(exist_ok=True)
            path.write_text("x")
            return ChunkResult(
                exit_code=0, duration=0.0, outputs=(Output(path=request.chunk.output_file, size=1, sha256="0"),)
            )

    worker, calls = Writing(), []
    manager = open_manager(worker)
    job = await manager.submit(
        make_spec(5, merge_command="join"),
        options(tmp_path, concurrency=1, on_progress=lambda *call: calls.append(call), only_chunks=[0, 1, 2, 3]),
    )
    assert (await manager.wait(job)).state is JobState.PAUSED
    (tmp_path / "chunks/1.out").unlink()
    (tmp_path / "chunks/2.out").write_text("longer")
    worker.started.clear()
    calls.clear()
    await manager.resume(job)
    assert (await manager.wait(job)).state is JobState.COMPLETED
    assert sorted(map(str, worker.started)) == ["('merge', 1)", "(1, 2)", "(2, 2)", "(4, 1)"]
    assert calls == [(3, 5), (4, 5), (5, 5)]


async def test_retry_runs_only_the_failed_chunks(open_manager, make_spec, tmp_path):
    broken = {2}
    worker = ScriptedWorker(lambda request: FAILED if request.chunk.id in broken else None)
    manager = open_manager(worker)
    job = await manager.submit(make_spec(5), options(tmp_path, retries=1, concurrency=1))
    status = await manager.wait(job)
    assert (status.state, status.error) == (
        JobState.FAILED,
        "chunk 2 failed after 2 attempts (command_failed: exit status 1)",
    )
    worker.started.clear()
    broken.clear()
    await manager.retry(job)
    status = await manager.wait(job)
    assert worker.started == [(2, 3)]
    assert (status.state, status.completed_chunks, status.error) == (JobState.PAUSED, 3, None)
    await manager.resume(job)
    assert (await manager.wait(job)).state is JobState.COMPLETED


async def test_a_job_whose_join_failed_is_joined_again_by_retry(open_manager, make_spec, tmp_path):
    broken = True
    worker = ScriptedWorker(lambda request: FAILED if request.chunk.id == "merge" and broken else None)
    manager = open_manager(worker)
    job = await manager.submit(make_spec(2, merge_command="join"), options(tmp_path))
    assert (await manager.wait(job)).state is JobState.FAILED
    broken = False
    worker.started.clear()
    await manager.retry(job)
    assert (await manager.wait(job)).state is JobState.COMPLETED
    assert worker.started == [("merge", 1)]


async def test_what_a_state_does_not_allow_is_said(open_manager, make_spec, tmp_path):
    manager = open_manager(ScriptedWorker())
    job = await manager.submit(make_spec(1), options(tmp_path))
    await manager.wait(job)
    for ask, said in [("resume", "nothing to resume"), ("retry", "only failed chunks"), ("cancel", "is completed")]:
        with pytest.raises(errors.WrongState, match=said):
            await getattr(manager, ask)(job)
    for ask in ("get", "wait", "pause", "resume", "delete"):
        with pytest.raises(errors.JobNotFound):
            await getattr(manager, ask)("nobody")
    with pytest.raises(errors.JobExists):
        await manager.submit(make_spec(1, id=job), options(tmp_path))


async def test_a_deleted_job_is_gone_with_its_logs(open_manager, make_spec, tmp_path):
    class Talking(ScriptedWorker):
        async def run(self, request, report):
            report.log("stdout", "hello")
            return await super().run(request, report)

    manager = open_manager(Talking())
    job = await manager.submit(make_spec(1), options(tmp_path))
    await manager.wait(job)
    assert list(tmp_path.glob(".heliostat/logs/*/*.log"))
    await manager.delete(job)
    assert not list(tmp_path.glob(".heliostat/logs/*"))
    with pytest.raises(errors.JobNotFound):
        await manager.get(job)


async def test_closing_the_manager_pauses_its_jobs_at_once(open_manager, make_spec, tmp_path):
    worker = Gate()
    manager, other = open_manager(worker), open_manager()
    job = await manager.submit(make_spec(4), options(tmp_path))
    await until(lambda: len(worker.started) == 2)
    await manager.close()
    status = await other.get(job)
    assert (status.state, status.coordinator) == (JobState.PAUSED, None)
    assert sorted(worker.cancelled) == [0, 1]


async def test_two_jobs_at_once_on_one_database(open_manager, make_spec, tmp_path):
    managers = [open_manager(ScriptedWorker(steps=lambda request: 3)) for _ in range(2)]
    calls: dict[str, list[int]] = {"a": [], "b": []}
    for manager, job in zip(managers, calls, strict=True):
        await manager.submit(
            make_spec(200, id=job),
            options(tmp_path / job, on_progress=lambda done, total, job=job: calls[job].append(done)),
        )
    states = await asyncio.gather(*(m.wait(job) for m, job in zip(managers, calls, strict=True)))
    assert all(status.state is JobState.COMPLETED for status in states)
    assert calls == {job: list(range(1, 201)) for job in calls}


async def test_run_pending_shares_jobs_between_processes(open_manager, make_spec, tmp_path):
    submitting = open_manager()
    jobs = [await submitting.submit(make_spec(3), options(tmp_path / str(n))) for n in range(6)]
    workers = [ScriptedWorker(), ScriptedWorker()]
    ran = await asyncio.gather(*(open_manager(worker).run_pending() for worker in workers))
    assert sorted(ran[0] + ran[1]) == sorted(jobs)
    assert sum(len(worker.started) for worker in workers) == 18


async def test_watch_from_another_process_sees_progress_rise_to_the_end(open_manager, make_spec, tmp_path):
    worker = Gate()
    mine, theirs = open_manager(worker), open_manager()
    job = await mine.submit(make_spec(4), options(tmp_path))
    seen = []
    async for status in theirs.watch(job):
        seen.append((status.state, status.completed_chunks))
        worker.let(*range(len(seen)))
    counts = [count for _, count in seen]
    assert counts == sorted(counts)
    assert seen[-1] == (JobState.COMPLETED, 4)


async def test_an_executor_can_be_chosen_for_each_job(url, make_spec, tmp_path):
    from heliostat import WorkerChoice

    workers = {"a": ScriptedWorker(), "b": ScriptedWorker()}
    async with JobManager(open_repository(url), lambda status: JobExecutor(workers[status.worker.name])) as manager:
        for name in workers:
            job = await manager.submit(make_spec(2), options(tmp_path / name), worker=WorkerChoice(name=name))
            await manager.wait(job)
    assert [len(worker.started) for worker in workers.values()] == [2, 2]


async def test_frames_of_running_chunks_are_seen_by_other_processes(open_manager, make_spec, tmp_path, url):
    class Half(Gate):
        async def run(self, request, report):
            report.frames_done(5)
            return await super().run(request, report)

    worker = Half()
    manager = open_manager(worker)
    job = await manager.submit(make_spec(2, frames=10), options(tmp_path))
    async with open_repository(url) as repository, asyncio.timeout(20):
        while (await repository.get(job)).metrics.frames_done != 10.0:
            await asyncio.sleep(0.05)
        rows = await repository.attempts(job)
        assert [row.frames_done for row in rows] == [5.0, 5.0]
    worker.let(0, 1)
    assert (await manager.wait(job)).metrics.frames_done == 20.0


async def test_a_database_that_somebody_else_locks_for_seconds_holds_up_no_chunk_and_loses_nothing(
    open_manager, make_spec, tmp_path
):
    worker, calls = ScriptedWorker(steps=lambda request: 2), []
    manager = open_manager(worker)
    job = await manager.submit(make_spec(300), options(tmp_path, on_progress=lambda *call: calls.append(call)))
    locker = sqlite3.connect(tmp_path / "jobs.db", isolation_level=None, check_same_thread=False, timeout=20)
    await asyncio.to_thread(locker.execute, "BEGIN EXCLUSIVE")
    committed = locker.execute("SELECT max(position) FROM heliostat_chunk").fetchone()[0] or 0
    await until(lambda: len(worker.ended) == 300)
    await asyncio.sleep(BUSY_TIMEOUT + 1)  # the commit that was refused is repeated
    assert len(calls) <= committed, "nothing is reported that is not committed"
    locker.execute("ROLLBACK")
    locker.close()
    status = await manager.wait(job)
    assert status.state is JobState.COMPLETED
    assert calls == [(n, 300) for n in range(1, 301)]


async def test_a_stitcher_that_nobody_registered_is_known_before_anything_is_rendered(
    open_manager, make_spec, tmp_path
):
    spec = make_spec(2, merge=Merge(stitcher="ffmpgeg", output="film.mp4"))
    for manager in (open_manager(ScriptedWorker()), open_manager()):
        with pytest.raises(errors.PluginError, match="no stitcher is called 'ffmpgeg'; registered: ffmpeg"):
            await manager.submit(spec, options(tmp_path))
        assert await manager.list() == []
    spec = make_spec(2, merge=Merge(stitcher="ffmpeg", output="film.mp4", options={"bitrate": 3}))
    with pytest.raises(errors.SpecError, match="stitcher 'ffmpeg' has no option 'bitrate'"):
        await JobExecutor(ScriptedWorker()).execute(spec, options(tmp_path))


async def test_whoever_looks_after_a_resume_sees_that_the_job_runs(open_manager, make_spec, tmp_path):
    broken = {0}
    worker = ScriptedWorker(lambda request: FAILED if request.chunk.id in broken else None, steps=lambda request: 3)
    mine, theirs = open_manager(worker), open_manager()
    job = await mine.submit(make_spec(3), options(tmp_path, retries=0))
    assert (await mine.wait(job)).state is JobState.FAILED
    broken.clear()
    assert (await mine.resume(job)).state is JobState.RUNNING
    assert [status.state async for status in theirs.watch(job)][-1] is JobState.COMPLETED


async def test_one_job_that_cannot_be_run_does_not_hold_up_the_others(url, make_spec, tmp_path):
    def choose(status):
        if status.id == "bad":
            raise errors.Misconfigured("there is no worker adapter for it; install one")
        return JobExecutor(ScriptedWorker())

    async with JobManager(open_repository(url), choose) as manager:
        for job in ("bad", "good"):
            await manager.submit(make_spec(2, id=job), options(tmp_path / job), start=False)
        assert list(await manager.run_pending()) == ["good"]
        bad = await manager.get("bad")
        assert (bad.state, bad.error) == (JobState.FAILED, "there is no worker adapter for it; install one")


async def test_attempts_that_failed_before_their_coordinator_died_keep_their_rows(
    open_manager, make_spec, tmp_path, url
):
    """All chunks had failed once and waited for their retry, so that no row is other than pending."""
    from heliostat.contracts.repository import Batch, ChunkChange, JobChange
    from heliostat.model.status import AttemptStatus

    manager = open_manager(ScriptedWorker())
    job = await manager.submit(make_spec(1), options(tmp_path), start=False)
    async with open_repository(url) as repository:
        lease = await repository.acquire(job, "me", 60.0)
        failed = AttemptStatus(index=0, number=1, attempt_id="a", state=AttemptState.FAILED, started_at=1.0)
        await repository.commit(
            lease,
            Batch(
                chunks=[ChunkChange(0, ChunkState.PENDING, 1)],
                attempts=[failed],
                job=JobChange(state=JobState.RUNNING),
            ),
        )
        await repository.release(lease)
        await manager.resume(job)
        await manager.wait(job)
        rows = await repository.attempts(job)
        assert [(row.number, row.state) for row in rows] == [(1, AttemptState.FAILED), (2, AttemptState.SUCCEEDED)]


# --- the queue -------------------------------------------------------------------------------------------------------


async def test_a_job_that_is_put_back_into_the_queue_keeps_what_is_done(open_manager, make_spec, tmp_path):
    """By a manager that runs no jobs itself, as a web page has it; the one that does finds it."""
    worker = ScriptedWorker(lambda request: FAILED if (request.chunk.id, request.attempt) == (3, 1) else None)
    runner, page = open_manager(worker), open_manager()
    job = await page.submit(make_spec(6), options(tmp_path, retries=0, concurrency=1))
    with pytest.raises(errors.WrongState, match="is pending; there is nothing to enqueue"):
        await page.enqueue(job)
    assert await runner.run_pending() == [job]
    failed = await page.get(job)
    assert (failed.state, failed.completed_chunks) == (JobState.FAILED, 3)
    assert (await page.enqueue(job)).state is JobState.PENDING
    assert (await page.get(job)).completed_chunks == 3
    worker.started.clear()
    assert await runner.run_pending() == [job]
    assert (await page.get(job)).state is JobState.COMPLETED
    assert sorted(chunk for chunk, _ in worker.started) == [3, 4, 5]
    with pytest.raises(errors.WrongState, match="is completed; there is nothing to enqueue"):
        await page.enqueue(job)


async def test_only_failed_chunks_may_be_put_back(open_manager, make_spec, tmp_path):
    worker = ScriptedWorker(lambda request: FAILED if request.chunk.id in (1, 4) and request.attempt == 1 else None)
    runner, page = open_manager(worker), open_manager()
    job = await page.submit(make_spec(6), options(tmp_path, retries=0, concurrency=1, fail_fast=False))
    await runner.run_pending()
    await page.enqueue(job, failed_only=True)
    worker.started.clear()
    await runner.run_pending()
    assert sorted(worker.started) == [(1, 2), (4, 2)]
    assert (await page.get(job)).state is JobState.COMPLETED
    with pytest.raises(errors.WrongState, match="is completed; there is nothing to enqueue"):
        await page.enqueue(job, failed_only=True)


async def test_a_retry_is_gone_on_with_by_who_takes_it_over_and_forgets_no_choice_of_the_submission(
    open_manager, make_spec, tmp_path
):
    class Held(Gate):
        """Chunk 1 fails once; what is tried again waits."""

        async def run(self, request, report):
            if request.attempt == 1:
                return FAILED if request.chunk.id == 1 else await ScriptedWorker().run(request, report)
            return await super().run(request, report)

    chosen = (0, 1, 2)
    first = open_manager(Held())
    job = await first.submit(make_spec(4), options(tmp_path, retries=0, concurrency=1, only_chunks=chosen))
    assert (await first.wait(job)).completed_chunks == 1
    await first.retry(job)
    async with asyncio.timeout(30):
        while not first.running_chunks(job):
            await asyncio.sleep(0.01)
    await first.close(hand_over=True)
    worker = ScriptedWorker()
    second = open_manager(worker)
    assert await second.run_pending(take_over=True) == [job]
    paused = await second.get(job)
    assert {chunk for chunk, _ in worker.started} == {1}
    assert (paused.state, paused.completed_chunks) == (JobState.PAUSED, 2)
    await second.enqueue(job)
    assert await second.run_pending() == [job]
    assert {chunk for chunk, _ in worker.started} == {1, 2}
    assert (await second.get(job)).settings.only_chunks == chosen
    await second.resume(job)
    assert (await second.wait(job)).state is JobState.COMPLETED


async def test_what_is_resumed_after_a_retry_that_failed_is_all_that_is_missing(open_manager, make_spec, tmp_path):
    worker = ScriptedWorker(lambda request: FAILED if request.chunk.id == 1 and request.attempt < 3 else None)
    runner, page = open_manager(worker), open_manager()
    job = await page.submit(make_spec(4), options(tmp_path, retries=0, concurrency=1))
    await runner.run_pending()
    await page.enqueue(job, failed_only=True)
    await runner.run_pending()
    assert (await page.get(job)).state is JobState.FAILED
    await page.enqueue(job)
    await runner.run_pending()
    assert (await page.get(job)).state is JobState.COMPLETED


async def test_a_job_that_cannot_be_begun_fails_and_the_others_go_on(open_manager, make_spec, tmp_path):
    """Not even the adapter can be opened, for a reason that nobody has foreseen; the next time it can."""

    class Poisoned(ScriptedWorker):
        opened = 0

        async def __aenter__(self):
            self.opened += 1
            if self.opened == 1:
                raise RuntimeError("not foreseen")
            return self

    first, second = open_manager(Gate()), open_manager(Poisoned())
    poison = await first.submit(make_spec(2, id="poison"), options(tmp_path))
    other = await first.submit(make_spec(2, id="other"), options(tmp_path), start=False)
    async with asyncio.timeout(30):
        while not first.running_chunks(poison):
            await asyncio.sleep(0.01)
    await first.close(hand_over=True)
    assert other in await second.run_pending(take_over=True)
    assert (await second.get(other)).state is JobState.COMPLETED
    failed = await second.get(poison)
    assert failed.state is JobState.FAILED
    assert "not foreseen" in failed.error


async def test_what_was_asked_to_pause_is_paused_when_it_is_handed_over(open_manager, make_spec, tmp_path):
    first, second = open_manager(Gate()), open_manager(ScriptedWorker())
    job = await first.submit(make_spec(2), options(tmp_path))
    async with asyncio.timeout(30):
        while not first.running_chunks(job):
            await asyncio.sleep(0.01)
    await second.pause(job)
    await first.close(hand_over=True)
    assert (await second.get(job)).state is JobState.PAUSED
    assert await second.run_pending(take_over=True) == []


async def test_only_what_is_left_is_taken_over(open_manager, make_spec, tmp_path):
    manager = open_manager(ScriptedWorker(lambda request: FAILED))
    job = await manager.submit(make_spec(1), options(tmp_path, retries=0))
    assert (await manager.wait(job)).state is JobState.FAILED
    with pytest.raises(errors.WrongState, match="is failed, no longer running"):
        await manager.take_over(job)


async def test_a_manager_that_watches_runs_what_comes_and_what_is_put_back(open_manager, make_spec, tmp_path):
    runner, page = open_manager(ScriptedWorker()), open_manager()
    working = asyncio.create_task(runner.run_pending(watch=True))
    for number in range(2):
        job = await page.submit(make_spec(2, id=f"job{number}"), options(tmp_path))
        assert (await page.wait(job)).state is JobState.COMPLETED
    assert not working.done()
    working.cancel()
    await asyncio.gather(working, return_exceptions=True)


async def test_jobs_that_are_handed_over_are_taken_over_without_a_pause(open_manager, make_spec, tmp_path):
    """Also those whose coordinator was killed read so: `running`, and orphaned."""
    first, second, page = open_manager(Gate()), open_manager(ScriptedWorker()), open_manager()
    job = await page.submit(make_spec(4), options(tmp_path, concurrency=2))
    await first.start(job)
    async with asyncio.timeout(30):
        while first.running_chunks(job) < 2:
            await asyncio.sleep(0.01)
    await first.close(hand_over=True)
    left = await page.get(job)
    assert (left.state, left.orphaned) == (JobState.RUNNING, True)
    assert await second.run_pending() == [], "it is not pending"
    assert await second.run_pending(take_over=True) == [job]
    assert (await page.get(job)).state is JobState.COMPLETED


async def test_what_was_left_elsewhere_is_not_taken_over(open_manager, make_spec, tmp_path):
    first, second = open_manager(Gate()), open_manager(ScriptedWorker())
    (tmp_path / "job").mkdir()
    job = await first.submit(make_spec(1), options(tmp_path / "job"))
    await first.close(hand_over=True)
    (tmp_path / "job").rename(tmp_path / "moved")
    assert await second.run_pending(take_over=True) == []
    assert (await second.get(job)).orphaned
