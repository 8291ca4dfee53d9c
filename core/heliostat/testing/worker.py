"""The contract of `WorkerAdapter` as a pytest suite: real jobs, through the real executor, manager and a database.

```python
class TestMyAdapter(WorkerAdapterContract):
    @pytest.fixture
    def under_test(self):
        return WorkerUnderTest("mine", {"endpoint": "http://127.0.0.1:8000"})
```

Each test is one point. One that cannot be shown on the adapter is skipped as *not shown*, with the reason: a row of
the failure table that nothing was given to provoke, or whatever needs commands that reach the machine of the tests.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import inspect
import json
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import msgspec
import pytest

from heliostat.contracts.worker import WorkerAdapter
from heliostat.model.cause import Cause
from heliostat.model.codec import to_json
from heliostat.model.events import (
    AttemptFailed,
    ChunkProgressed,
    ChunkStarted,
    ConcurrencyChanged,
    Event,
    JobEnded,
    ObserverFailed,
    Progressed,
)
from heliostat.model.result import ChunkResult
from heliostat.model.status import AttemptState, ChunkState, JobState, JobStatus
from heliostat.plugins import open_worker
from heliostat.testing.contract import PATIENCE, Contract, asynchronous, not_shown
from heliostat.testing.coordinator_process import CoordinatorTask
from heliostat.testing.meeting import Meeting, RunningCommand
from heliostat.testing.transcript import reference, transcribe
from heliostat.testing.trial import FRAMES, Trial, calls, film

Provoke = Callable[[], Awaitable[None] | None]
ProvokeRunning = Callable[[RunningCommand], Awaitable[None] | None]

WRITE = ("write=film",)
"""The steps of a chunk that succeeds."""


@dataclass(frozen=True)
class WorkerUnderTest:
    """A worker adapter, and how to provoke it."""

    name: str
    """What it is registered as."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Its options, as in a job's `WorkerChoice`. The suite opens it in this process and, to kill it, in another."""
    artifacts: str | None = None
    """The URL of an artifact store, where workers do not share the job directory."""
    fail_next: Mapping[Cause, Provoke] = field(default_factory=dict)
    """Called before a job starts: makes the next attempt fail with this cause, and no more than a few."""
    fail_running: Mapping[Cause, ProvokeRunning] = field(default_factory=dict)
    """Called with a command that runs: makes its attempt fail with this cause."""
    not_shown: Mapping[Cause, str] = field(default_factory=dict)
    """Rows of the failure table that cannot be shown, with the reason."""
    host: str | None = "127.0.0.1"
    """The address at which workers reach the machine of the tests; None when they cannot."""
    start_seconds: float = 2.0
    """The longest that it takes from dispatch to the first instruction of a command."""
    transport_limit: int = 1 << 20
    """Bytes that one message of the transport can hold, if there is a limit; the suite goes beyond it."""
    variant: str = ""
    """Tells several configurations of one adapter apart."""

    @property
    def label(self) -> str:
        return f"{self.name} {self.variant}".rstrip()

    def open(self) -> WorkerAdapter:
        """A new adapter, to be entered."""
        return open_worker(self.name, **self.options)


class WorkerAdapterContract(Contract):
    """Subclass it, and override the fixture `under_test`, which returns a `WorkerUnderTest`."""

    kind: ClassVar[str] = "worker_adapter"

    @pytest.fixture
    def under_test(self) -> WorkerUnderTest:
        raise NotImplementedError(f"override the fixture `under_test` of {type(self).__name__}")

    @pytest.fixture
    def trial(self, under_test: WorkerUnderTest, tmp_path: Path) -> Trial:
        return Trial(under_test.open(), tmp_path, artifacts=under_test.artifacts)

    # --- the progress contract ---------------------------------------------------------------------------------------

    @asynchronous
    async def test_P1_each_success_is_told_once_after_its_commit(self, trial: Trial) -> None:
        """Failed attempts and their retries call nothing; `Trial` asserts the rest of any job."""
        async with trial:
            status = await trial.run(
                film(WRITE, ("1:exit=3", *WRITE), WRITE, ("1:exit=3", "2:exit=3", *WRITE), WRITE, WRITE), retries=2
            )
            assert status.state is JobState.COMPLETED, status.error
            assert trial.calls == calls(1, 6, 6)
            assert status.metrics.retries == 3
            failed = sorted((event.index, event.attempt) for event in trial.told(AttemptFailed))
            assert failed == [(1, 1), (3, 1), (3, 2)]

    @asynchronous
    async def test_P2_calls_never_overlap_and_the_last_returns_before_the_end(self, trial: Trial) -> None:
        running: list[JobState] = []

        async def on_progress(completed: int, total: int) -> None:
            await trial.on_progress(completed, total)
            for _ in range(50):  # room for a second call, and for the end of the job
                await asyncio.sleep(0)
            running.append((await trial.repository.get("job")).state)

        async with trial:
            status = await trial.run(film(*[WRITE] * 6), concurrency=3, on_progress=on_progress)
            assert status.state is JobState.COMPLETED, status.error
            assert running == [JobState.RUNNING] * 6

    @asynchronous
    async def test_P3_callbacks_that_raise_or_hang_change_nothing(
        self, under_test: WorkerUnderTest, tmp_path: Path
    ) -> None:
        class Sink:
            def handle(self, event: Event) -> None:
                raise RuntimeError("from a sink")

        async def on_progress(completed: int, total: int) -> None:
            if completed == 1:
                raise RuntimeError("from a callback")
            await asyncio.get_running_loop().create_future()

        async with Trial(under_test.open(), tmp_path, artifacts=under_test.artifacts, patience=0.2) as trial:
            trial.observes = False
            status = await trial.run(film(*[WRITE] * 4), on_progress=on_progress, sinks=[Sink()])
            assert (status.state, status.progress) == (JobState.COMPLETED, 100)
            assert {event.observer for event in trial.told(ObserverFailed)} == {"on_progress", "Sink"}
            for failed in ("Sink", "on_progress"):
                assert [event.observer for event in trial.told(ObserverFailed)].count(failed) == 1

    @asynchronous
    async def test_P4_the_repository_is_never_behind_and_percents_are_exact(self, trial: Trial) -> None:
        async with trial:
            await trial.run(film(*[WRITE] * 7), concurrency=1)
            assert trial.percents == sorted(trial.percents)
            assert all(said >= exact for said, exact in zip(trial.percents, [14, 29, 43, 57, 71, 86, 100], strict=True))
            assert trial.percents[-1] == 100

    @asynchronous
    async def test_P4_a_job_of_no_chunks_is_complete(self, trial: Trial) -> None:
        async with trial:
            status = await trial.run(film())
            assert (status.state, status.progress, trial.calls) == (JobState.COMPLETED, 100, [])

    @asynchronous
    async def test_P5_a_paused_job_goes_on_where_it_stood(self, under_test: WorkerUnderTest, trial: Trial) -> None:
        async with _meeting(under_test) as meeting, trial:
            await trial.start(film(WRITE, (meeting.step, *WRITE), WRITE, WRITE), concurrency=1)
            second = await meeting.next()
            await trial.manager.pause("job")
            second.do("go")
            paused = await trial.manager.wait("job")
            assert (paused.state, paused.completed_chunks) == (JobState.PAUSED, 2)
            assert [event.index for event in trial.told(ChunkStarted)] == [0, 1]
            status = await trial.resume()
            assert status.state is JobState.COMPLETED, status.error
            assert [event.index for event in trial.told(ChunkStarted)].count(0) == 1
            assert sorted(event.index for event in trial.told(ChunkStarted)) == [0, 1, 2, 3]

    @asynchronous
    async def test_P5_a_failed_job_goes_on_where_it_stood(self, trial: Trial) -> None:
        async with trial:
            failed = await trial.run(film(WRITE, ("1:exit=3", *WRITE), WRITE), fail_fast=False)
            assert (failed.state, failed.completed_chunks) == (JobState.FAILED, 2)
            before = len(trial.told(ChunkStarted))
            status = await trial.resume()
            assert status.state is JobState.COMPLETED, status.error
            assert [(event.index, event.attempt) for event in trial.told(ChunkStarted)[before:]] == [(1, 2)]

    @asynchronous
    async def test_P5_an_output_that_has_vanished_is_rendered_again(self, trial: Trial) -> None:
        async with trial:
            await trial.run(film(WRITE, WRITE, ("1:exit=3", *WRITE)), fail_fast=False)
            (result,) = [attempt.result for attempt in await trial.attempts(0)]
            assert result is not None
            if not result.outputs:
                not_shown("the adapter's results do not name their outputs")
            await trial.lose(result.outputs[0])
            status = await trial.resume()
            assert status.state is JobState.COMPLETED, status.error
            assert trial.calls == [*calls(1, 2, 3), *calls(2, 3, 3)]
            assert len(await trial.attempts(0)) == 2
            assert await trial.read(result.outputs[0]) == b"film"

    @asynchronous
    async def test_P5_a_killed_coordinator_loses_nothing_that_was_committed(
        self, under_test: WorkerUnderTest, trial: Trial
    ) -> None:
        """The job runs in another process, which finds the adapter by its registered name and is ended by SIGKILL."""
        async with _meeting(under_test) as meeting, trial:
            spec = film(WRITE, WRITE, *[(f"1:{meeting.step}", *WRITE)] * 2, WRITE, WRITE)
            task = CoordinatorTask(
                repository=trial.url,
                artifacts=under_test.artifacts,
                worker=under_test.name,
                options=dict(under_test.options),
                job_dir=str(trial.job_dir),
                concurrency=2,
                spec=spec,
            )
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "heliostat.testing.coordinator_process", stdin=asyncio.subprocess.PIPE
            )
            try:
                assert process.stdin is not None
                process.stdin.write(to_json(task))
                process.stdin.close()
                await meeting.next()
                await meeting.next()
                while (await trial.repository.get("job")).completed_chunks < 2:
                    await asyncio.sleep(0.01)
            finally:
                process.kill()
                await process.wait()
            orphan = await trial.manager.get("job")
            assert (orphan.state, orphan.completed_chunks) == (JobState.RUNNING, 2)
            trial.told_elsewhere = 2
            status = await trial.resume()
            assert status.state is JobState.COMPLETED, status.error
            assert trial.calls == calls(3, 6, 6)
            assert sorted((event.index, event.attempt) for event in trial.told(ChunkStarted)) == [
                (2, 2),
                (3, 2),
                (4, 1),
                (5, 1),
            ]

    @asynchronous
    async def test_P6_nothing_is_told_after_a_cancel(self, under_test: WorkerUnderTest, trial: Trial) -> None:
        """`Trial` asserts that no call comes after the end; here attempts are under way at that moment."""
        async with _meeting(under_test) as meeting, trial:
            await trial.start(film(WRITE, *[(meeting.step, *WRITE)] * 2), concurrency=3)
            running = [await meeting.next(), await meeting.next()]
            while not trial.calls:
                await asyncio.sleep(0.005)
            await trial.manager.cancel("job")
            for attempt in running:
                attempt.do("go")  # too late
            status = await trial.manager.wait("job")
            assert (status.state, trial.calls) == (JobState.CANCELLED, [(1, 3)])
            assert isinstance(trial.events[-1], JobEnded)

    @asynchronous
    async def test_P7_frames_inside_a_running_chunk_are_told_live(
        self, under_test: WorkerUnderTest, trial: Trial
    ) -> None:
        async with _meeting(under_test) as meeting, trial:
            await trial.start(film((meeting.step, "frames=4", *WRITE), WRITE), concurrency=1)
            running = await meeting.next()
            running.do("frames=2")
            await trial.until_told(ChunkProgressed, lambda event: event.frames_done == 2)
            overall = await trial.until_told(Progressed, lambda event: event.frames_done >= 2)
            assert (overall.percent, overall.completed_chunks, trial.calls) == (100 * 2 / (2 * FRAMES), 0, [])
            running.do("go")
            assert (await trial.manager.wait("job")).state is JobState.COMPLETED

    @asynchronous
    async def test_P7_what_a_command_says_is_in_its_log_while_it_runs(
        self, under_test: WorkerUnderTest, trial: Trial
    ) -> None:
        async with _meeting(under_test) as meeting, trial:
            await trial.start(film((meeting.step, *WRITE)))
            running = await meeting.next()
            running.do("say=Grüße aus dem Feld")
            while not any("Grüße" in log.read_text() for log in trial.job_dir.glob(".heliostat/**/*.log")):
                await asyncio.sleep(0.01)
            running.do("go")
            assert (await trial.manager.wait("job")).state is JobState.COMPLETED

    # --- what a failure costs ----------------------------------------------------------------------------------------

    @asynchronous
    async def test_command_failed_costs_an_attempt(self, trial: Trial) -> None:
        async with trial:
            status = await trial.run(film(WRITE, ("complain=the lens is cracked", "exit=3")), retries=1)
            assert status.state is JobState.FAILED
            failures = trial.told(AttemptFailed)
            assert [(event.index, event.attempt, event.cause) for event in failures] == [
                (1, 1, Cause.COMMAND_FAILED),
                (1, 2, Cause.COMMAND_FAILED),
            ]
            assert all("the lens is cracked" in event.stderr_tail for event in failures)
            results = [attempt.result for attempt in await trial.attempts(1)]
            assert [result and result.exit_code for result in results] == [3, 3]
            for part in ("chunk 1", "command_failed", "the lens is cracked"):
                assert part in (status.error or "")

    @asynchronous
    async def test_timed_out_costs_an_attempt_and_ends_the_command(
        self, under_test: WorkerUnderTest, trial: Trial
    ) -> None:
        await self._ends_a_command(under_test, trial, Cause.TIMED_OUT, chunk_timeout=under_test.start_seconds)

    @asynchronous
    async def test_stalled_costs_an_attempt_and_ends_the_command(
        self, under_test: WorkerUnderTest, trial: Trial
    ) -> None:
        await self._ends_a_command(under_test, trial, Cause.STALLED, stall_timeout=under_test.start_seconds)

    async def _ends_a_command(
        self, under_test: WorkerUnderTest, trial: Trial, cause: Cause, **options: float | None
    ) -> None:
        async with _meeting(under_test) as meeting, trial:
            await trial.start(film((f"1:{meeting.step}", *WRITE)), **options)
            arriving = asyncio.create_task(meeting.next())
            ending = asyncio.create_task(trial.manager.wait("job"))
            await asyncio.wait([arriving, ending], return_when=asyncio.FIRST_COMPLETED)
            if arriving.done():
                arriving.result().do("frames=1", "say=and no further")
                await arriving.result().gone()
            arriving.cancel()
            await self._costs_an_attempt(trial, cause, await ending)

    @asynchronous
    async def test_out_of_memory_costs_an_attempt(self, under_test: WorkerUnderTest, trial: Trial) -> None:
        async with trial:
            status = await self._fail_once(under_test, trial, Cause.OUT_OF_MEMORY, "1:die", *WRITE)
            await self._costs_an_attempt(trial, Cause.OUT_OF_MEMORY, status)

    @pytest.mark.parametrize("output", ["missing", "empty"])
    @asynchronous
    async def test_bad_output_costs_an_attempt(self, under_test: WorkerUnderTest, trial: Trial, output: str) -> None:
        steps = ["1:exit=0"] if output == "missing" else ["1:write=", "1:exit=0"]
        async with trial:
            status = await self._fail_once(under_test, trial, Cause.BAD_OUTPUT, *steps, *WRITE)
            await self._costs_an_attempt(trial, Cause.BAD_OUTPUT, status)

    async def _costs_an_attempt(self, trial: Trial, cause: Cause, status: JobStatus) -> None:
        """The job was not to retry anything, so it has failed; the next attempt succeeds."""
        assert status.state is JobState.FAILED
        assert cause in (status.error or "")
        assert {event.cause for event in trial.told(AttemptFailed)} == {cause}
        status = await trial.resume()
        assert status.state is JobState.COMPLETED, status.error
        assert status.metrics.failures == {cause: 1}

    @asynchronous
    async def test_worker_lost_costs_no_attempt(self, under_test: WorkerUnderTest, trial: Trial) -> None:
        async with trial:
            status = await self._fail_once(under_test, trial, Cause.WORKER_LOST)
            assert status.state is JobState.COMPLETED, status.error
            assert set(status.metrics.failures) == {Cause.WORKER_LOST}

    @asynchronous
    async def test_throttled_costs_no_attempt_and_lowers_concurrency(
        self, under_test: WorkerUnderTest, trial: Trial
    ) -> None:
        async with trial:
            status = await self._fail_once(under_test, trial, Cause.THROTTLED)
            assert status.state is JobState.COMPLETED, status.error
            assert set(status.metrics.failures) == {Cause.THROTTLED}
            assert min(event.concurrency for event in trial.told(ConcurrencyChanged)) < 4

    @asynchronous
    async def test_misconfigured_ends_the_job_at_once(self, under_test: WorkerUnderTest, trial: Trial) -> None:
        """Provoked by a program that does not exist, unless the adapter's author says how."""
        async with trial:
            await self._provoke_next(under_test, Cause.MISCONFIGURED)
            spec = film(WRITE, WRITE)
            if Cause.MISCONFIGURED not in under_test.fail_next:
                missing = msgspec.structs.replace(spec.chunks[0], command=("heliostat-no-such-program", "{output}"))
                spec = msgspec.structs.replace(spec, chunks=(missing, spec.chunks[1]))
            status = await trial.run(spec, retries=5, concurrency=1, fail_fast=False)
            assert (status.state, status.completed_chunks) == (JobState.FAILED, 0)
            assert [(event.attempt, event.cause) for event in trial.told(AttemptFailed)] == [(1, Cause.MISCONFIGURED)]
            assert "misconfigured" in (status.error or "")
            assert [event.index for event in trial.told(ChunkStarted)] == [0]

    async def _fail_once(self, under_test: WorkerUnderTest, trial: Trial, cause: Cause, *steps: str) -> JobStatus:
        """Run a job without retries in which an attempt fails with the cause, as the adapter's author provokes it, or
        else by the steps of its command."""
        if await self._provoke_next(under_test, cause):
            return await trial.run(film(*[WRITE] * 4), concurrency=4)
        if (provoke := under_test.fail_running.get(cause)) is not None:
            async with _meeting(under_test) as meeting:
                await trial.start(film((f"1:{meeting.step}", *WRITE), WRITE, WRITE), concurrency=2)
                await _call(provoke, await meeting.next())
                return await trial.manager.wait("job")
        if not steps:
            not_shown(f"nothing was given that provokes {cause}")
        return await trial.run(film(steps))

    async def _provoke_next(self, under_test: WorkerUnderTest, cause: Cause) -> bool:
        if (reason := under_test.not_shown.get(cause)) is not None:
            not_shown(reason)
        if (provoke := under_test.fail_next.get(cause)) is not None:
            await _call(provoke)
            return True
        return False

    @asynchronous
    async def test_cancelled_ends_the_command_and_all_its_children(
        self, under_test: WorkerUnderTest, trial: Trial
    ) -> None:
        """The child ignores SIGTERM, and is no child of the adapter's own."""
        async with _meeting(under_test) as meeting, trial:
            await trial.start(film((meeting.step, *WRITE)))
            running = await meeting.next()
            running.do("breed", "say=bred")
            while not any("bred" in log.read_text() for log in trial.job_dir.glob(".heliostat/**/*.log")):
                await asyncio.sleep(0.01)
            await trial.manager.cancel("job")
            await running.gone()
            assert (await trial.manager.wait("job")).state is JobState.CANCELLED
            (attempt,) = await trial.attempts(0)
            assert (attempt.state, attempt.cause) == (AttemptState.CANCELLED, Cause.CANCELLED)

    @asynchronous
    async def test_fail_fast_cancels_what_runs_and_starts_nothing_more(
        self, under_test: WorkerUnderTest, trial: Trial
    ) -> None:
        async with _meeting(under_test) as meeting, trial:
            await trial.start(
                film((meeting.step, *WRITE), (meeting.step, "complain=no light", "exit=4"), WRITE, WRITE), concurrency=2
            )
            running = {attempt.chunk: attempt for attempt in [await meeting.next(), await meeting.next()]}
            running["1"].do("go")
            await running["0"].gone()
            status = await trial.manager.wait("job")
            assert (status.state, status.completed_chunks) == (JobState.FAILED, 0)
            assert sorted(event.index for event in trial.told(ChunkStarted)) == [0, 1]
            for part in ("chunk 1", "1 attempt", "command_failed", "no light"):
                assert part in (status.error or ""), part

    @asynchronous
    async def test_without_fail_fast_the_rest_is_rendered(self, trial: Trial) -> None:
        async with trial:
            status = await trial.run(film(WRITE, ("exit=4",), WRITE, WRITE), fail_fast=False)
            assert (status.state, status.completed_chunks) == (JobState.FAILED, 3)
            assert await trial.repository.count("job") == {
                ChunkState.PENDING: 0,
                ChunkState.RUNNING: 0,
                ChunkState.SUCCEEDED: 3,
                ChunkState.FAILED: 1,
            }

    # --- what goes in and what comes out -----------------------------------------------------------------------------

    @asynchronous
    async def test_the_environment_is_the_one_that_was_asked_for(
        self, trial: Trial, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Neither this process's own, nor anything of another job."""
        monkeypatch.setenv("HELIOSTAT_TEST_SECRET", "of the coordinator")
        async with trial:
            await trial.run(film(("tell",), env={"LENS": "the spec's", "FIELD": "Ä ö\n'\"$HOME"}), env={"LENS": "mine"})
            first = await self._told_env(trial)
            assert (first["LENS"], first["FIELD"]) == ("mine", "Ä ö\n'\"$HOME")
            assert (first["HELIOSTAT_JOB_ID"], first["HELIOSTAT_CHUNK"], first["HELIOSTAT_ATTEMPT"]) == (
                "job",
                "0",
                "1",
            )
            assert "HELIOSTAT_TEST_SECRET" not in first
            await trial.manager.delete("job")
            trial.calls.clear()
            trial.events.clear()
            await trial.run(film(("tell",)))
            second = await self._told_env(trial)
            assert not {"LENS", "FIELD", "HELIOSTAT_TEST_SECRET"} & set(second)

    @asynchronous
    async def test_outputs_arrive_with_their_digests(self, trial: Trial) -> None:
        async with trial:
            spec = film(("write=one",), ("write=zwei ☀",), ("write=" + "three" * 1000,))
            await trial.run(spec)
            for index, content in enumerate([b"one", "zwei ☀".encode(), b"three" * 1000]):
                result = await self._result(trial, index)
                (output,) = result.outputs
                assert output.path == spec.chunks[index].output_file
                assert await trial.read(output) == content
                assert (output.size, output.sha256) == (len(content), hashlib.sha256(content).hexdigest())

    @asynchronous
    async def test_an_output_folder_arrives_with_every_file(self, trial: Trial) -> None:
        async with trial:
            await trial.run(film(("files=12,150",), outputs=["chunks/0000/"]))
            outputs = (await self._result(trial, 0)).outputs
            assert len(outputs) == 12
            assert all(output.path.startswith("chunks/0000/") for output in outputs)
            for output in outputs:
                content = await trial.read(output)
                assert (output.size, output.sha256) == (len(content), hashlib.sha256(content).hexdigest())

    @asynchronous
    async def test_a_result_may_be_larger_than_the_transport_bears(
        self, under_test: WorkerUnderTest, trial: Trial
    ) -> None:
        """A folder of so many files that their names alone are more than one message holds."""
        length = 800
        told = length if under_test.artifacts is None else 2 * length  # a path; and in a store its address
        count = under_test.transport_limit // told
        async with trial:
            status = await trial.run(film((f"files={count},{length}",), outputs=["chunks/all/"]))
            assert status.state is JobState.COMPLETED, status.error
            outputs = (await self._result(trial, 0)).outputs
            assert len(outputs) == count
            assert len(to_json(outputs)) > under_test.transport_limit
            assert await trial.read(outputs[-1]) in [b"%d" % digit for digit in range(10)]

    @asynchronous
    async def test_a_flood_of_output_holds_up_nothing(self, trial: Trial) -> None:
        async with trial:
            status = await trial.run(film((f"flood={8 << 20}", "say=the end", *WRITE)))
            assert status.state is JobState.COMPLETED, status.error
            assert "the end" in (await self._result(trial, 0)).stdout_tail

    @asynchronous
    async def test_names_may_hold_spaces_and_any_script(self, trial: Trial) -> None:
        names = ["ein Bild.bin", "übung/日本語 😀.bin", 'it\'s "quoted" $HOME & co;.bin', "-dash.bin"]
        spec = film(*[("tell", "say=ü", "frames=1") for _ in names], outputs=names)
        async with trial:
            status = await trial.run(spec)
            assert status.state is JobState.COMPLETED, status.error
            for index, name in enumerate(names):
                (output,) = (await self._result(trial, index)).outputs
                assert output.path == name
                assert json.loads(await trial.read(output))["arguments"] == ["tell", "say=ü", "frames=1"]

    # --- many at once ------------------------------------------------------------------------------------------------

    @asynchronous
    async def test_500_chunks_at_concurrency_50(self, trial: Trial) -> None:
        chunks = [
            msgspec.structs.replace(
                chunk, command=("sh", "-c", 'printf %s "$1" > "$2"', "sh", str(chunk.id), chunk.output_file)
            )
            for chunk in film(*[()] * 500).chunks
        ]
        spec = film(*[()] * 500, chunks=tuple(chunks))
        async with trial:
            status = await trial.run(spec, concurrency=50)
            assert status.state is JobState.COMPLETED, status.error
            assert trial.calls == calls(1, 500, 500)
            for index in range(500):
                outputs = (await self._result(trial, index)).outputs
                assert [output.sha256 for output in outputs] == [hashlib.sha256(str(index).encode()).hexdigest()]

    @asynchronous
    async def test_two_jobs_at_once_keep_their_results_apart(self, trial: Trial) -> None:
        async with trial:
            ids = [
                await trial.manager.submit(
                    film(*[(f"write={name}", "exit=0")] * 5, id=name, outputs=[f"{name}{n}.bin" for n in range(5)]),
                    trial.options(on_progress=None),
                )
                for name in ("one", "two")
            ]
            for job_id in ids:
                status = await trial.manager.wait(job_id)
                assert status.state is JobState.COMPLETED, status.error
                digest = hashlib.sha256(job_id.encode()).hexdigest()
                for index in range(5):
                    outputs = (await self._result(trial, index, job_id)).outputs
                    assert [output.sha256 for output in outputs] == [digest]
            trial.observes = False

    def test_an_adapter_opens_again_and_leaves_nothing_behind(
        self, under_test: WorkerUnderTest, tmp_path: Path
    ) -> None:
        """No task on the event loop, no thread that would hold up the end of the program."""

        async def twice() -> None:
            async with Trial(under_test.open(), tmp_path, artifacts=under_test.artifacts) as trial:
                for job_id in ("job", "again"):
                    spec = film(WRITE, id=job_id, outputs=[f"{job_id}.bin"])
                    status = await trial.run(spec, on_progress=trial.on_progress if job_id == "job" else None)
                    assert status.state is JobState.COMPLETED, status.error
            async with asyncio.timeout(PATIENCE):
                while asyncio.all_tasks() - {asyncio.current_task()}:
                    await asyncio.sleep(0.01)

        before = set(threading.enumerate())
        asyncio.run(twice())
        for thread in set(threading.enumerate()) - before:
            if not thread.daemon:
                thread.join(PATIENCE)
                assert not thread.is_alive(), f"the thread {thread.name} is left"

    # --- the same everywhere -----------------------------------------------------------------------------------------

    @asynchronous
    async def test_progress_transcript_at_concurrency_1_is_the_same_to_the_byte(
        self, under_test: WorkerUnderTest, tmp_path: Path
    ) -> None:
        transcript = await transcribe(under_test.open(), tmp_path, artifacts=under_test.artifacts, concurrency=1)
        assert transcript == await reference()

    @asynchronous
    async def test_facts_at_concurrency_8_are_the_same(self, under_test: WorkerUnderTest, tmp_path: Path) -> None:
        transcript = await transcribe(under_test.open(), tmp_path, artifacts=under_test.artifacts, concurrency=8)
        assert sorted(transcript.splitlines()) == sorted((await reference()).splitlines())

    async def _result(self, trial: Trial, index: int, job_id: str = "job") -> ChunkResult:
        """The accepted result of a chunk."""
        attempts = await trial.repository.attempts(job_id, index=index)
        accepted = [attempt for attempt in attempts if attempt.state is AttemptState.SUCCEEDED]
        assert len(accepted) == 1, (await trial.repository.get(job_id)).error
        assert accepted[0].result is not None
        return accepted[0].result

    async def _told_env(self, trial: Trial) -> dict[str, str]:
        (output,) = (await self._result(trial, 0)).outputs
        told: dict[str, dict[str, str]] = json.loads(await trial.read(output))
        return told["env"]


@contextlib.asynccontextmanager
async def _meeting(under_test: WorkerUnderTest) -> AsyncIterator[Meeting]:
    if under_test.host is None:
        not_shown("its commands cannot reach the machine of the tests")
    async with Meeting(under_test.host) as meeting:
        yield meeting


async def _call(provoke: Callable[..., Awaitable[None] | None], *arguments: RunningCommand) -> None:
    returned = provoke(*arguments)
    if inspect.isawaitable(returned):
        await returned
