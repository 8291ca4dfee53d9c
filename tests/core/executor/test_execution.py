"""The coordination loop, driven by adapters whose attempts end as told."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from heliostat import (
    Cause,
    ChunkResult,
    JobExecutionOptions,
    JobExecutor,
    JobSpec,
    JobState,
    WorkerAdapter,
    WorkerLimits,
    errors,
)
from heliostat.executor import execution
from heliostat.model import events
from heliostat.testing.scripted import ScriptedWorker

MakeSpec = Callable[..., JobSpec]
FAILED = ChunkResult(exit_code=3, duration=0.0, stderr_tail="first\nlast words\n")


def options(**more: object) -> JobExecutionOptions:
    return JobExecutionOptions(**{"retry_delay": 0.0, **more})


async def test_every_chunk_succeeds_and_is_reported_once_in_order(make_spec: MakeSpec):
    calls: list[tuple[int, int]] = []
    worker = ScriptedWorker(steps=lambda request: -request.chunk.start_frame % 7)
    result = await JobExecutor(worker).execute(
        make_spec(20), options(concurrency=5, on_progress=lambda *call: calls.append(call))
    )
    assert result.state is JobState.COMPLETED
    assert calls == [(n, 20) for n in range(1, 21)]
    assert sorted(worker.started) == [(n, 1) for n in range(20)]
    assert worker.most_at_once == 5


@pytest.mark.parametrize("count", [0, 1])
async def test_a_job_of_no_or_one_chunk_completes(make_spec: MakeSpec, count: int):
    calls: list[tuple[int, int]] = []
    result = await JobExecutor(ScriptedWorker()).execute(
        make_spec(count), options(on_progress=lambda *call: calls.append(call))
    )
    assert result.state is JobState.COMPLETED
    assert calls == [(1, 1)][:count]


async def test_concurrency_is_the_adapters_default_and_never_above_what_it_bears(make_spec: MakeSpec):
    limits = WorkerLimits(concurrency=3, default_concurrency=2)
    worker = ScriptedWorker(steps=lambda _: 5, limits=limits)
    await JobExecutor(worker).execute(make_spec(12), options())
    assert worker.most_at_once == 2
    worker = ScriptedWorker(steps=lambda _: 5, limits=limits)
    await JobExecutor(worker).execute(make_spec(12), options(concurrency=10))
    assert worker.most_at_once == 3


async def test_a_failing_chunk_is_retried_and_counts_only_when_it_succeeds(make_spec: MakeSpec):
    calls: list[int] = []
    worker = ScriptedWorker(lambda request: FAILED if request.chunk.id == 1 and request.attempt < 3 else None)
    result = await JobExecutor(worker).execute(
        make_spec(4), options(retries=2, on_progress=lambda done, total: calls.append(done))
    )
    assert calls == [1, 2, 3, 4]
    assert [attempt for chunk, attempt in worker.started if chunk == 1] == [1, 2, 3]
    assert (result.metrics.attempts, result.metrics.retries) == (6, 2)
    assert result.metrics.failures == {"command_failed": 2}


async def test_fail_fast_names_the_chunk_the_attempts_the_cause_and_the_last_words(make_spec: MakeSpec):
    worker = ScriptedWorker(lambda request: FAILED if request.chunk.id == 2 else None)
    with pytest.raises(errors.JobFailed) as failed:
        await JobExecutor(worker).execute(make_spec(50), options(concurrency=1, retries=1))
    error = failed.value
    assert str(error) == "chunk 2 failed after 2 attempts (command_failed: exit status 3; its last words: last words)"
    assert (error.chunk, error.attempts, error.cause) == (2, 2, Cause.COMMAND_FAILED)
    assert error.stderr_tail == "first\nlast words\n"
    assert max(chunk for chunk, _ in worker.started) < 10, "nothing new is dispatched"


async def test_fail_fast_ends_running_attempts(make_spec: MakeSpec):
    ended: list[object] = []

    class Hanging(WorkerAdapter):
        limits = WorkerLimits(default_concurrency=4)

        async def run(self, request, report):
            if request.chunk.id == 3:
                return FAILED
            try:
                await asyncio.Event().wait()
            finally:
                ended.append(request.chunk.id)

    with pytest.raises(errors.JobFailed):
        await JobExecutor(Hanging()).execute(make_spec(9), options(retries=0))
    assert sorted(ended) == [0, 1, 2]


async def test_keep_going_renders_the_rest_and_then_fails(make_spec: MakeSpec):
    calls: list[int] = []
    worker = ScriptedWorker(lambda request: FAILED if request.chunk.id in (1, 5) else None)
    with pytest.raises(errors.JobFailed, match=r"^2 chunks failed; the first: chunk 1 failed after 1 attempt "):
        await JobExecutor(worker).execute(
            make_spec(8), options(retries=0, fail_fast=False, on_progress=lambda done, total: calls.append(done))
        )
    assert calls == [1, 2, 3, 4, 5, 6]


async def test_misconfigured_fails_the_job_at_once_even_when_it_keeps_going(make_spec: MakeSpec):
    worker = ScriptedWorker(lambda request: errors.Misconfigured("no function is called x; deploy it first"))
    with pytest.raises(errors.JobFailed, match="deploy it first"):
        await JobExecutor(worker).execute(make_spec(50), options(concurrency=1, retries=9, fail_fast=False))
    assert len(worker.started) == 1


async def test_an_adapter_that_cannot_open_fails_the_job_with_its_own_words(make_spec: MakeSpec):
    class Closed(ScriptedWorker):
        async def __aenter__(self):
            raise errors.Misconfigured("credentials have expired; log in again")

    with pytest.raises(errors.JobFailed, match=r"^credentials have expired; log in again$"):
        await JobExecutor(Closed()).execute(make_spec(2))


async def test_lost_workers_and_throttling_cost_no_attempt(make_spec: MakeSpec):
    def script(request):
        if request.attempt <= 4:
            return errors.WorkerLost("preempted") if request.attempt % 2 else errors.Throttled(retry_after=0.0)
        return None

    result = await JobExecutor(ScriptedWorker(script)).execute(make_spec(3), options(retries=0))
    assert result.metrics.failures == {"worker_lost": 6, "throttled": 6}


async def test_throttling_lowers_concurrency_and_success_raises_it_again(make_spec: MakeSpec):
    seen: list[events.Event] = []
    throttle = iter([True] * 8)
    worker = ScriptedWorker(
        lambda request: errors.Throttled() if next(throttle, False) else None, steps=lambda request: 3
    )
    await JobExecutor(worker).execute(make_spec(300), options(concurrency=8, on_event=seen.append))
    sizes = [event.concurrency for event in seen if isinstance(event, events.ConcurrencyChanged)]
    assert sizes[0] == 4
    assert sizes[-1] == 8


@pytest.mark.parametrize(
    ("outcome", "said"),
    [
        (RuntimeError("odd"), "raised RuntimeError: odd"),
        (asyncio.CancelledError(), "raised CancelledError, though nobody cancelled it"),
        ("garbage", "returned str instead of a valid ChunkResult"),
        (ChunkResult(exit_code=0, duration=None), "returned ChunkResult instead of a valid ChunkResult"),
        (ChunkResult(exit_code=143, duration=0.0, cause=Cause.CANCELLED, message="SIGTERM"), "SIGTERM"),
        (errors.AttemptCancelled("preempted"), "preempted"),
        (ChunkResult(exit_code=0, duration=0.0, attempt_id="another"), "another attempt's result"),
    ],
)
async def test_an_adapter_that_misbehaves_counts_as_a_lost_worker(make_spec: MakeSpec, outcome, said: str):
    seen: list[events.Event] = []
    worker = ScriptedWorker(lambda request: outcome if request.attempt == 1 else None)
    result = await JobExecutor(worker).execute(make_spec(1), options(retries=0, on_event=seen.append))
    assert result.state is JobState.COMPLETED
    [failed] = [event for event in seen if isinstance(event, events.AttemptFailed)]
    assert failed.cause is Cause.WORKER_LOST
    assert said in failed.message
    assert result.metrics.stale_results == (getattr(outcome, "attempt_id", None) is not None)


async def test_chunks_that_are_completed_are_neither_run_nor_reported(make_spec: MakeSpec):
    calls: list[tuple[int, int]] = []
    worker = ScriptedWorker()
    await JobExecutor(worker).execute(
        make_spec(5), options(completed_chunks=[0, "3"], on_progress=lambda *call: calls.append(call))
    )
    assert sorted(worker.started) == [(1, 1), (2, 1), (4, 1)]
    assert calls == [(3, 5), (4, 5), (5, 5)]


async def test_only_some_chunks_leave_the_job_paused(make_spec: MakeSpec):
    worker = ScriptedWorker()
    result = await JobExecutor(worker).execute(make_spec(5), options(only_chunks=[1, 3]))
    assert sorted(worker.started) == [(1, 1), (3, 1)]
    assert (result.state, result.completed_chunks) == (JobState.PAUSED, 2)


async def test_an_unknown_chunk_is_a_clear_error(make_spec: MakeSpec):
    with pytest.raises(errors.SpecError, match="the job has no chunk 9"):
        await JobExecutor(ScriptedWorker()).execute(make_spec(5), options(only_chunks=[9]))


class Stuck(WorkerAdapter):
    """The first attempt of a chunk hangs; `deaf` ones do not even end when cancelled."""

    limits = WorkerLimits(default_concurrency=2)

    def __init__(self, *, deaf: bool = False) -> None:
        self.deaf = deaf
        self.release = asyncio.Event()

    async def run(self, request, report):
        if request.attempt > 1:
            return ChunkResult(exit_code=0, duration=0.0)
        while not self.release.is_set():
            try:
                await self.release.wait()
            except asyncio.CancelledError:
                if not self.deaf:
                    raise
        return ChunkResult(exit_code=0, duration=0.0)


async def test_an_attempt_over_its_chunk_timeout_is_ended_and_retried(make_spec: MakeSpec):
    result = await JobExecutor(Stuck()).execute(make_spec(3), options(chunk_timeout=0.2))
    assert result.metrics.failures == {"timed_out": 3}


async def test_an_attempt_without_new_frames_is_ended_although_it_logs(make_spec: MakeSpec, tmp_path: Path):
    class Chatty(Stuck):
        async def run(self, request, report):
            talk = asyncio.create_task(self.talk(report))
            try:
                return await super().run(request, report)
            finally:
                talk.cancel()

        async def talk(self, report):
            while True:
                report.log("stdout", "still here")
                report.heartbeat()
                await asyncio.sleep(0.01)

    result = await JobExecutor(Chatty()).execute(make_spec(1), options(stall_timeout=0.2, job_dir=tmp_path))
    assert result.metrics.failures == {"stalled": 1}


@pytest.mark.parametrize("timeout", ["chunk_timeout", "stall_timeout"])
async def test_the_time_that_an_attempt_waits_for_a_worker_does_not_count(make_spec: MakeSpec, timeout: str):
    class Queued(WorkerAdapter):
        limits = WorkerLimits(queues=True)
        waited = 0.0

        async def run(self, request, report):
            await asyncio.sleep(0.5)
            self.waited = 0.5
            report.heartbeat()
            await asyncio.sleep(0.0 if request.attempt == 2 else 60.0)
            return ChunkResult(exit_code=0, duration=0.0)

    worker = Queued()
    result = await JobExecutor(worker).execute(make_spec(1), options(**{timeout: 0.2}))
    assert worker.waited == 0.5
    assert result.metrics.failures == {"timed_out" if timeout == "chunk_timeout" else "stalled": 1}


async def test_an_adapter_that_ignores_its_cancellation_is_left_behind_and_its_late_result_dropped(
    make_spec: MakeSpec, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(execution, "STOP_PATIENCE", 0.2)
    calls: list[int] = []
    worker = Stuck(deaf=True)
    result = await JobExecutor(worker).execute(
        make_spec(3), options(chunk_timeout=0.1, on_progress=lambda done, total: calls.append(done))
    )
    assert result.metrics.failures == {"timed_out": 3}
    assert calls == [1, 2, 3]
    worker.release.set()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert calls == [1, 2, 3]


async def test_a_task_that_is_cancelled_ends_its_attempts_first(make_spec: MakeSpec):
    class Slow(ScriptedWorker):
        closed = False

        async def run(self, request, report):
            self.started.append((request.chunk.id, 1))
            try:
                await asyncio.Event().wait()
            finally:
                assert not self.closed
                self.ended.append((request.chunk.id, 1))

        async def __aexit__(self, *args):
            self.closed = True

    worker = Slow()
    seen: list[events.Event] = []
    task = asyncio.create_task(JobExecutor(worker).execute(make_spec(5), options(on_event=seen.append)))
    while len(worker.started) < 2:
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert sorted(worker.ended) == [(0, 1), (1, 1)]
    assert worker.closed
    assert isinstance(seen[-1], events.JobEnded)
    assert seen[-1].state is JobState.CANCELLED


async def test_frames_inside_chunks_reach_sinks_and_touch_no_count(make_spec: MakeSpec):
    """P7."""
    seen: list[events.Event] = []
    go = asyncio.Event()

    class Framewise(WorkerAdapter):
        limits = WorkerLimits(default_concurrency=2)

        async def run(self, request, report):
            report.frames_done(5)
            report.frames_done(3)
            report.frames_done("many")
            await go.wait()
            return ChunkResult(exit_code=0, duration=0.0)

    def on_event(event: events.Event) -> None:
        seen.append(event)
        if isinstance(event, events.Progressed) and event.frames_done == 10:
            loop.call_soon_threadsafe(go.set)

    loop = asyncio.get_running_loop()
    await JobExecutor(Framewise()).execute(make_spec(4, frames=10), options(on_event=on_event))
    progressed = [event for event in seen if isinstance(event, events.ChunkProgressed)]
    assert {event.frames_done for event in progressed} == {5.0}
    snapshots = [event for event in seen if isinstance(event, events.Progressed)]
    assert any(event.percent == 25.0 and event.completed_chunks == 0 for event in snapshots)
    assert snapshots[-1].percent == 100.0
    percents = [event.percent for event in snapshots]
    assert percents == sorted(percents)


async def test_events_tell_the_whole_story_in_order(make_spec: MakeSpec):
    seen: list[events.Event] = []
    worker = ScriptedWorker(lambda request: FAILED if request.attempt == 1 else None)
    await JobExecutor(worker).execute(make_spec(1, name="tiny"), options(concurrency=1, on_event=seen.append))
    kinds = [type(event).__name__ for event in seen if not isinstance(event, events.Progressed)]
    assert kinds == [
        "JobStarted",
        "ChunkStarted",
        "AttemptFailed",
        "ChunkStarted",
        "ChunkSucceeded",
        "JobEnded",
    ]
    assert seen[-1].state is JobState.COMPLETED
    times = [event.time for event in seen]
    assert times == sorted(times)


async def test_one_executor_runs_two_jobs_at_once_and_opens_its_adapter_once(make_spec: MakeSpec):
    class Counted(ScriptedWorker):
        opened = closed = 0

        async def __aenter__(self):
            self.opened += 1
            return self

        async def __aexit__(self, *args):
            self.closed += 1

    worker = Counted(steps=lambda request: 10)
    executor = JobExecutor(worker)
    results = await asyncio.gather(*(executor.execute(make_spec(10), options()) for _ in range(2)))
    assert all(result.state is JobState.COMPLETED for result in results)
    assert (worker.opened, worker.closed) == (1, 1)


async def test_logs_of_an_attempt_are_kept_in_a_file(make_spec: MakeSpec, tmp_path: Path):
    from heliostat.executor.logs import log_path

    class Talking(ScriptedWorker):
        async def run(self, request, report):
            report.log("stdout", "größe\n")
            report.log("stderr", "no newline")
            return await super().run(request, report)

    result = await JobExecutor(Talking()).execute(make_spec(2, id="talk"), options(job_dir=tmp_path))
    assert log_path(tmp_path, result.job_id, 1, 1).read_text() == "größe\nno newline\n"


async def test_the_merge_command_runs_after_the_last_chunk_and_its_failure_fails_the_job(make_spec: MakeSpec):
    worker = ScriptedWorker(lambda request: FAILED if request.chunk.id == "merge" else None)
    calls: list[int] = []
    with pytest.raises(errors.JobFailed, match=r"^the merge command failed: exit status 3$") as failed:
        await JobExecutor(worker).execute(
            make_spec(3, merge_command="join 'the parts'"),
            options(on_progress=lambda done, total: calls.append(done)),
        )
    assert worker.started[-1] == ("merge", 1)
    assert failed.value.stderr_tail == FAILED.stderr_tail
    assert calls == [1, 2, 3]


async def test_a_merge_worker_joins_in_place_of_the_worker(make_spec: MakeSpec):
    worker, merge_worker = ScriptedWorker(), ScriptedWorker()
    executor = JobExecutor(worker, merge_worker=merge_worker)
    await executor.execute(make_spec(3, merge_command="join"), options())
    assert merge_worker.started == [("merge", 1)]
    assert len(worker.started) == 3


async def test_no_join_when_the_options_say_so(make_spec: MakeSpec):
    worker = ScriptedWorker()
    result = await JobExecutor(worker).execute(make_spec(3, merge_command="join"), options(merge=False))
    assert len(worker.started) == 3
    assert result.state is JobState.COMPLETED


async def test_a_callback_that_cancels_its_own_task_does_not_hold_up_the_end(make_spec: MakeSpec):
    calls: list[int] = []

    async def on_progress(completed: int, total: int) -> None:
        calls.append(completed)
        if completed == 2:
            asyncio.current_task().cancel()
            await asyncio.sleep(0)

    worker = ScriptedWorker(steps=lambda request: 5)
    result = await JobExecutor(worker).execute(make_spec(6), options(on_progress=on_progress))
    assert result.state is JobState.COMPLETED
    assert calls == [1, 2, 3, 4, 5, 6]


async def test_a_join_that_does_not_end_when_it_is_cancelled_is_left_behind(
    make_spec: MakeSpec, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(execution, "STOP_PATIENCE", 0.2)
    joining, release = asyncio.Event(), asyncio.Event()

    class Deaf(ScriptedWorker):
        async def run(self, request, report):
            joining.set()
            while not release.is_set():
                try:
                    await release.wait()
                except asyncio.CancelledError:
                    continue

    executor = JobExecutor(ScriptedWorker(), merge_worker=Deaf())
    run = execution.Execution(executor, make_spec(2, merge_command="join"), options(), job_id="j")
    task = asyncio.create_task(run.run())
    await joining.wait()
    run.cancel()
    with pytest.raises(errors.JobCancelled):
        await asyncio.wait_for(task, 20)
    release.set()


async def test_an_adapter_that_hangs_while_it_opens_can_be_cancelled(make_spec: MakeSpec):
    opening = asyncio.Event()

    class Hanging(ScriptedWorker):
        async def __aenter__(self):
            opening.set()
            await asyncio.Event().wait()

    run = execution.Execution(JobExecutor(Hanging()), make_spec(2), options(), job_id="j")
    task = asyncio.create_task(run.run())
    await opening.wait()
    run.cancel()
    with pytest.raises(errors.JobCancelled):
        await asyncio.wait_for(task, 20)


async def test_jobs_that_come_and_go_open_and_close_the_adapter_in_turn(make_spec: MakeSpec):
    class Counted(ScriptedWorker):
        open = most = 0

        async def __aenter__(self):
            await asyncio.sleep(0)
            self.open += 1
            self.most = max(self.most, self.open)
            return self

        async def __aexit__(self, *args):
            await asyncio.sleep(0)
            self.open -= 1

    worker = Counted(steps=lambda request: request.chunk.start_frame % 3)
    executor = JobExecutor(worker)

    async def one(turns: int) -> None:
        for _ in range(turns):
            await asyncio.sleep(0)
        await executor.execute(make_spec(2), options())

    await asyncio.gather(*(one(turns) for turns in range(60)))
    assert (worker.open, worker.most) == (0, 1)


async def test_limits_that_are_learnt_by_connecting_hold_from_the_first_chunk(make_spec: MakeSpec, tmp_path: Path):
    class Connecting(ScriptedWorker):
        async def __aenter__(self):
            self.limits = WorkerLimits(default_concurrency=5, longest_chunk=30.0)
            return self

    timeouts: list[float | None] = []
    started: list[int] = []
    worker = Connecting(lambda request: timeouts.append(request.timeout), steps=lambda request: 3)
    await JobExecutor(worker).execute(
        make_spec(20),
        JobExecutionOptions(
            job_dir=tmp_path,
            on_event=lambda event: started.append(event.concurrency) if isinstance(event, events.JobStarted) else None,
        ),
    )
    assert (worker.most_at_once, set(timeouts), started) == (5, {30.0}, [5])


async def test_a_job_whose_adapter_does_not_open_is_told_from_start_to_end(make_spec: MakeSpec, tmp_path: Path):
    class Closed(ScriptedWorker):
        async def __aenter__(self):
            raise errors.Misconfigured("the door is locked; bring the key")

    kinds: list[str] = []
    with pytest.raises(errors.JobFailed, match="bring the key"):
        await JobExecutor(Closed()).execute(
            make_spec(2),
            JobExecutionOptions(job_dir=tmp_path, on_event=lambda event: kinds.append(type(event).__name__)),
        )
    assert kinds == ["JobStarted", "Progressed", "JobEnded"]
