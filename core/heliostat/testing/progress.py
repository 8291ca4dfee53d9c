"""The contract of `ProgressSink` as a pytest suite, for the author of a sink.

```python
class TestMySink(ProgressSinkContract):
    @pytest.fixture
    def under_test(self, server):
        return lambda: MySink(MyOptions(url=server.url))
```

Every test runs real jobs, mostly once without a sink and once with it, and compares how they end.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import shlex
import sys
import threading
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import msgspec
import pytest

from heliostat import errors
from heliostat.contracts.progress import ProgressSink
from heliostat.contracts.worker import ChunkReport, ChunkRequest
from heliostat.executor.executor import JobExecutor
from heliostat.executor.observers import OBSERVER_PATIENCE, Observers
from heliostat.executor.options import JobExecutionOptions
from heliostat.manager import JobManager
from heliostat.model import events
from heliostat.model.cause import Cause
from heliostat.model.events import Event
from heliostat.model.result import ChunkResult
from heliostat.model.spec import Chunk, JobSpec, Metadata
from heliostat.model.status import JobState
from heliostat.plugins import open_repository
from heliostat.testing.contract import Contract, asynchronous
from heliostat.testing.every_event import EVERY_EVENT, FULL_RESULT, without_optional_fields
from heliostat.testing.scripted import Outcome, ScriptedWorker

Script = Callable[[ChunkRequest], Outcome]
Make = Callable[[], ProgressSink]
"""Makes a new sink."""
Run = Callable[[Sequence[ProgressSink], "Witness"], Awaitable[None]]
"""Runs a job with these sinks and the witness as its callbacks."""

SETTLE = 5.0
"""Seconds that what a sink has started may take to end, once its job has."""

ODD_TEXTS = (
    "Sonnenaufgang ☀ 日の出 🌅 e\u0301 \u202etxt.exe\u2066",
    "".join(map(chr, range(1, 160))),
    "\0",
    "\x1b[2J\x1b]0;title\x07\x1bP1;2|\x1b\\ \x9b2J",
    "line\r\nline\n\n\x0b\x0c\x85\u2028\u2029end",
    "[bold]markup[/] [/nothing] [link=x] :smile: {0} {name} %s %(name)d 100 % $HOME `id` \\n \\",
    "<script>&amp;</script> 'single' \"double\" ]]> -- /* ; , \t",
    "x" * 10_000,
    "many short lines\n" * 600,
    "🌅" * 2_500,
)

FAILURES: dict[str, ChunkResult | errors.AttemptError] = {
    "command_failed": ChunkResult(exit_code=1, duration=0.5, stderr_tail="boom\n"),
    "exit status": errors.CommandFailed("exit status 3", stderr_tail="first line\nlast line\n"),
    "timed_out": errors.TimedOut("took longer than 3 s"),
    "stalled": errors.Stalled("finished no frame for 3 s"),
    "out_of_memory": ChunkResult(exit_code=-9, duration=1.0, cause=Cause.OUT_OF_MEMORY, message="killed"),
    "bad_output": errors.BadOutput("the output is empty"),
    "worker_lost": errors.WorkerLost("the connection was cut"),
    "throttled": errors.Throttled(retry_after=0.0),
}
"""How an attempt may fail and be tried again."""


def film(chunks: int | Sequence[int | str], *, frames: int = 1, name: str = "film", **more: Any) -> JobSpec:
    """A job of so many chunks, or of chunks with these ids."""
    ids = range(chunks) if isinstance(chunks, int) else chunks
    return JobSpec(
        name=name,
        metadata=Metadata(total_frames=len(ids) * frames, fps=Fraction(24)),
        chunks=tuple(
            Chunk(
                id=id,
                start_frame=index * frames,
                frame_count=frames,
                output_file=f"chunks/{index}.mp4",
                command=("render",),
            )
            for index, id in enumerate(ids)
        ),
        **more,
    )


class Witness:
    """What of a run must not depend on its sinks: how it ended, and what callbacks were told."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.calls: list[tuple[int, int]] = []
        self._heard: dict[type, asyncio.Event] = {}

    async def on_event(self, event: Event) -> None:
        self.events.append(event)
        self.heard(type(event)).set()

    async def on_progress(self, completed: int, total: int) -> None:
        self.calls.append((completed, total))

    def heard(self, kind: type) -> asyncio.Event:
        """Set by the next event of a kind."""
        return self._heard.setdefault(kind, asyncio.Event())

    def of(self, kind: type) -> int:
        return sum(isinstance(event, kind) for event in self.events)

    @property
    def story(self) -> dict[str, Any]:
        timed = (events.Progressed, events.ChunkProgressed, events.ConcurrencyChanged)
        return {
            "on_progress": self.calls,
            "events": Counter(type(event).__name__ for event in self.events if not isinstance(event, timed)),
            "failures": Counter(
                (event.chunk, event.attempt, event.cause)
                for event in self.events
                if isinstance(event, events.AttemptFailed)
            ),
            "ends": [
                (event.state, event.completed_chunks, event.total_chunks, event.error)
                for event in self.events
                if isinstance(event, events.JobEnded)
            ],
        }


def scripted(script: Script) -> Callable[[Witness], ScriptedWorker]:
    return lambda witness: ScriptedWorker(script)


class Held(ScriptedWorker):
    """The attempts at one chunk wait until they are let `go`; `reached` says that one does."""

    def __init__(self, chunk: int, script: Script = lambda request: None) -> None:
        super().__init__(script)
        self.reached, self.go = asyncio.Event(), asyncio.Event()
        self._chunk = chunk

    async def run(self, request: ChunkRequest, report: ChunkReport) -> ChunkResult:
        if request.chunk.id == self._chunk:
            self.reached.set()
            await self.go.wait()
        return await super().run(request, report)


class Framed(ScriptedWorker):
    """Every frame of a chunk is done once the one before it was told."""

    def __init__(self, witness: Witness) -> None:
        super().__init__()
        self._told = witness.heard(events.ChunkProgressed)

    async def run(self, request: ChunkRequest, report: ChunkReport) -> ChunkResult:
        for frame in range(1, request.chunk.frame_count):
            self._told.clear()
            report.frames_done(frame)
            await self._told.wait()
        return await super().run(request, report)


def executor_of(worker: ScriptedWorker) -> JobExecutor:
    return JobExecutor(worker, observer_patience=OBSERVER_PATIENCE)


class Stage:
    """Where jobs are run, without and with sinks."""

    def __init__(self, make: Make, job_dir: Path) -> None:
        self.make = make
        self.job_dir = job_dir

    def options(self, witness: Witness, **more: Any) -> JobExecutionOptions:
        return JobExecutionOptions(
            **{
                "concurrency": 1,  # so that every run of a job takes the same course
                "retry_delay": 0.0,
                "job_dir": self.job_dir,
                "on_event": witness.on_event,
                "on_progress": witness.on_progress,
                **more,
            }
        )

    def job(self, spec: JobSpec, worker: Callable[[Witness], ScriptedWorker] | None = None, **options: Any) -> Run:
        """A job that an executor runs to its end, whatever that is."""

        async def run(sinks: Sequence[ProgressSink], witness: Witness) -> None:
            executor = executor_of(worker(witness) if worker else ScriptedWorker())
            with contextlib.suppress(errors.JobFailed):
                await executor.execute(spec, self.options(witness, sinks=sinks, **options))

        return run

    async def compare(self, run: Run, *sinks: ProgressSink) -> Witness:
        """Run it without a sink and with one, or with these; assert that this makes no difference, and that no sink
        was found faulty. Returns what was told in the run with sinks."""
        alone, beside = Witness(), Witness()
        await run((), alone)
        with faultless(sinks := sinks or (self.make(),)):
            await run(sinks, beside)
        assert beside.story == alone.story
        return beside


@contextlib.contextmanager
def faultless(sinks: Sequence[ProgressSink]) -> Iterator[None]:
    """Within, no sink raises or hangs."""
    faults: list[str] = []

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            """The executor logs an observer's failure, at its end too, when no other observer is told any more."""
            if isinstance(record.args, tuple) and record.args[:1] in {(type(sink).__name__,) for sink in sinks}:
                faults.append(record.getMessage())

    listener, logger = Listener(logging.WARNING), logging.getLogger("heliostat")
    logger.addHandler(listener)
    try:
        yield
    finally:
        logger.removeHandler(listener)
    assert faults == []


class ProgressSinkContract(Contract):
    """Subclass it, and override `under_test`."""

    kind = "progress_sink"

    @pytest.fixture
    def under_test(self) -> Make:
        """A function that makes a new sink."""
        raise NotImplementedError(f"override the fixture `under_test` of {type(self).__name__}")

    @pytest.fixture
    def stage(self, under_test: Make, tmp_path: Path) -> Stage:
        return Stage(under_test, tmp_path)

    # --- jobs of all kinds -------------------------------------------------------------------------------------------

    @asynchronous
    async def test_a_job_completes(self, stage: Stage) -> None:
        result = msgspec.structs.replace(FULL_RESULT, attempt_id=None, cause=None)
        spec = film(5, merge_command="join")
        witness = await stage.compare(stage.job(spec, scripted(lambda request: result)))
        assert (len(witness.calls), witness.of(events.MergeStarted)) == (5, 1)

    @asynchronous
    async def test_a_job_of_no_chunks_completes(self, stage: Stage) -> None:
        witness = await stage.compare(stage.job(film(0)))
        assert witness.of(events.JobEnded) == 1

    @asynchronous
    async def test_a_thousand_chunks_come_through(self, stage: Stage) -> None:
        witness = await stage.compare(stage.job(film(1000), concurrency=10))
        assert witness.of(events.ChunkSucceeded) == 1000

    @asynchronous
    async def test_frames_come_through(self, stage: Stage) -> None:
        witness = await stage.compare(stage.job(film(1, frames=3), Framed))
        assert witness.of(events.ChunkProgressed) >= 2

    @asynchronous
    async def test_failures_of_every_cause_are_tried_again(self, stage: Stage) -> None:
        def script(request: ChunkRequest) -> Outcome:
            return FAILURES[str(request.chunk.id)] if request.attempt == 1 else None

        witness = await stage.compare(stage.job(film([*FAILURES]), scripted(script)))
        assert witness.of(events.AttemptFailed) == len(FAILURES) == len(witness.calls)

    @asynchronous
    async def test_a_platform_throttles(self, stage: Stage) -> None:
        def script(request: ChunkRequest) -> Outcome:
            return errors.Throttled(retry_after=0.0) if request.attempt == 1 else None

        witness = await stage.compare(stage.job(film(8), scripted(script), concurrency=4))
        assert witness.of(events.ConcurrencyChanged)

    @asynchronous
    async def test_a_job_fails(self, stage: Stage) -> None:
        def script(request: ChunkRequest) -> Outcome:
            return FAILURES["command_failed"] if request.chunk.id in (1, 3) else None

        for fail_fast, given_up in ((True, 1), (False, 2)):
            job = stage.job(film(4), scripted(script), retries=1, fail_fast=fail_fast)
            witness = await stage.compare(job)
            assert witness.of(events.ChunkFailed) == given_up

    @asynchronous
    async def test_a_misconfigured_job_fails_at_once(self, stage: Stage) -> None:
        error = errors.Misconfigured("there is no function called x; deploy it first", stderr_tail="denied\n")
        witness = await stage.compare(stage.job(film(2), scripted(lambda request: error)))
        assert witness.of(events.ChunkFailed) == 1

    @asynchronous
    async def test_a_join_fails(self, stage: Stage) -> None:
        def script(request: ChunkRequest) -> Outcome:
            return ChunkResult(exit_code=1, duration=0.0) if request.chunk.id == "merge" else None

        witness = await stage.compare(stage.job(film(2, merge_command="join"), scripted(script)))
        assert witness.story["ends"][0][0] is JobState.FAILED

    @asynchronous
    async def test_another_observer_fails(self, stage: Stage) -> None:
        def on_progress(completed: int, total: int) -> None:
            raise ValueError("no")

        witness = await stage.compare(stage.job(film(3), on_progress=on_progress))
        assert witness.of(events.ObserverFailed) == 1

    @asynchronous
    async def test_a_job_is_cancelled(self, stage: Stage) -> None:
        async def run(sinks: Sequence[ProgressSink], witness: Witness) -> None:
            worker = Held(1)
            async with JobManager(open_repository("memory:"), executor_of(worker), sinks=sinks) as manager:
                job = await manager.submit(film(3), stage.options(witness))
                await worker.reached.wait()
                await manager.cancel(job)
                assert (await manager.wait(job)).state is JobState.CANCELLED

        assert (await stage.compare(run)).calls == [(1, 3)]

    @asynchronous
    async def test_a_job_is_paused_and_resumed(self, stage: Stage) -> None:
        async def run(sinks: Sequence[ProgressSink], witness: Witness) -> None:
            worker = Held(1)
            async with JobManager(open_repository("memory:"), executor_of(worker), sinks=sinks) as manager:
                job = await manager.submit(film(4), stage.options(witness))
                await worker.reached.wait()
                await manager.pause(job)
                worker.go.set()
                assert (await manager.wait(job)).state is JobState.PAUSED
                await manager.resume(job)
                assert (await manager.wait(job)).state is JobState.COMPLETED

        witness = await stage.compare(run)
        assert witness.calls == [(completed, 4) for completed in range(1, 5)]
        assert (witness.of(events.JobStarted), witness.of(events.JobEnded)) == (2, 2)

    # --- what it is told ---------------------------------------------------------------------------------------------

    @asynchronous
    async def test_every_event_is_understood(self, under_test: Make) -> None:
        await _tell(under_test(), EVERY_EVENT)

    @asynchronous
    async def test_events_are_understood_without_their_optional_fields(self, under_test: Make) -> None:
        await _tell(under_test(), map(without_optional_fields, EVERY_EVENT))

    @asynchronous
    async def test_every_end_of_a_job_is_understood(self, under_test: Make) -> None:
        started, *_, ended = EVERY_EVENT
        sink = under_test()
        for state in (JobState.COMPLETED, JobState.FAILED, JobState.CANCELLED, JobState.PAUSED):
            await _tell(sink, (started, msgspec.structs.replace(ended, state=state)))

    @asynchronous
    async def test_texts_may_hold_anything(self, stage: Stage) -> None:
        """A job's name, chunk ids, messages, what commands print, the command that joins."""
        for text in ODD_TEXTS:
            job = stage.job(film(["good", text], name=text), scripted(_saying(text)), retries=1)
            witness = await stage.compare(job)
            assert (witness.of(events.AttemptFailed), witness.of(events.ChunkFailed)) == (2, 1)
            how = text.replace("\0", "")
            await stage.compare(stage.job(film(1, name=text, merge_command=shlex.join(["join", how]))))

    # --- several -----------------------------------------------------------------------------------------------------

    @asynchronous
    async def test_two_sinks_serve_two_jobs_at_once(self, stage: Stage) -> None:
        sinks = stage.make(), stage.make()
        await stage.compare(_two_jobs(stage, lambda given: ([given[0]], [given[-1]]) if given else ([], [])), *sinks)

    @asynchronous
    async def test_one_sink_serves_two_jobs_at_once(self, stage: Stage) -> None:
        """One of them ends before the other does."""
        await stage.compare(_two_jobs(stage, lambda given: (given, given)))

    @asynchronous
    async def test_one_sink_serves_one_job_after_the_other(self, stage: Stage) -> None:
        sink = stage.make()
        for count in (3, 0, 2):
            await stage.compare(stage.job(film(count)), sink)

    # --- afterwards --------------------------------------------------------------------------------------------------

    @asynchronous
    async def test_nothing_of_a_sink_outlives_its_job(self, stage: Stage) -> None:
        """No thread, no task, no open file, and the standard streams are as they were."""
        await stage.job(film(3))((), Witness())
        streams = sys.stdout, sys.stderr
        before = _threads(), asyncio.all_tasks(), _open_files()
        for _ in range(2):
            await stage.compare(stage.job(film(3)))
        assert (sys.stdout, sys.stderr) == streams
        deadline = time.monotonic() + SETTLE
        while left := [*(_threads() - before[0]), *(asyncio.all_tasks() - before[1]), *(_open_files() - before[2])]:
            assert time.monotonic() < deadline, f"still there: {left}"
            await asyncio.sleep(0.01)


def _two_jobs(
    stage: Stage,
    share: Callable[[Sequence[ProgressSink]], tuple[Sequence[ProgressSink], Sequence[ProgressSink]]],
) -> Run:
    """Two jobs of which the first is under way while the second one begins, goes on and ends. `share` says which sinks
    each of them has."""

    async def run(sinks: Sequence[ProgressSink], witness: Witness) -> None:
        workers = Held(2, _fails_once), Held(1, _fails_once)
        runs = [
            asyncio.create_task(
                executor_of(worker).execute(film(4, id=f"job-{n}", name=f"film {n}"), stage.options(witness, sinks=own))
            )
            for n, (worker, own) in enumerate(zip(workers, share(sinks), strict=True))
        ]
        for worker in workers:
            await worker.reached.wait()
        for worker, ending in zip(reversed(workers), reversed(runs), strict=True):
            worker.go.set()
            await ending

    return run


def _saying(text: str) -> Script:
    """Chunk "good" succeeds and the others fail twice, each in another way; all say the same."""

    def script(request: ChunkRequest) -> Outcome:
        if request.chunk.id == "good":
            return ChunkResult(exit_code=0, duration=0.0, stdout_tail=text, message=text, worker=text)
        if request.attempt == 1:
            return errors.CommandFailed(text, stderr_tail=text)
        return ChunkResult(exit_code=1, duration=0.0, stderr_tail=text, message=text)

    return script


async def _tell(sink: ProgressSink, told: Iterable[Event]) -> None:
    """In the manner of a job."""
    faults: list[str] = []
    observers = Observers(OBSERVER_PATIENCE, lambda name, message: faults.append(message))
    observers.listen("sink", sink.handle)
    for event in told:
        observers.tell(event)
    await observers.finish()
    assert faults == []


def _fails_once(request: ChunkRequest) -> Outcome:
    return ChunkResult(exit_code=1, duration=0.0, stderr_tail="boom\n") if request.attempt == 1 else None


def _threads() -> set[threading.Thread]:
    """Without those that the event loop keeps for whoever needs one; they end with the loop."""
    return {thread for thread in threading.enumerate() if not thread.name.startswith("asyncio_")}


def _open_files() -> set[str]:
    """None where there is no /proc to find them in."""
    found = set()
    with contextlib.suppress(FileNotFoundError):
        for number in os.listdir("/proc/self/fd"):
            with contextlib.suppress(OSError):
                found.add(f"{number}: {os.readlink(f'/proc/self/fd/{number}')}")
    return found
