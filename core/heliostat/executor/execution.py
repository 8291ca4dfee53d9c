"""The coordination loop: one run of one job, from its first dispatch to its last commit.

Slots take chunks, hand them to the adapter and judge what comes back; nothing else in Heliostat starts an attempt. A
slot is a task that lives as long as the run, so a chunk costs no task and no timer: one ticker looks after the clocks
of all running attempts.
"""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeGuard

from heliostat.contracts.artifacts import output_key
from heliostat.contracts.repository import JobChange
from heliostat.contracts.worker import ChunkRequest
from heliostat.errors import (
    AttemptError,
    HeliostatError,
    JobCancelled,
    SpecError,
    StitchFailed,
    Throttled,
    WorkerLost,
)
from heliostat.executor import merge
from heliostat.executor.announcer import Announcer
from heliostat.executor.attempt import Attempt
from heliostat.executor.counters import Counters
from heliostat.executor.inputs import send_inputs
from heliostat.executor.ledger import Commit, Ledger, commit_nowhere
from heliostat.executor.logs import JobLogs
from heliostat.executor.observers import Observers
from heliostat.executor.outcome import Failure, JobResult
from heliostat.executor.progress import FrameMeter
from heliostat.executor.queue import ChunkQueue
from heliostat.executor.retry import RetryPolicy
from heliostat.executor.window import Window
from heliostat.journal import Retelling
from heliostat.model.cause import Cause
from heliostat.model.command import split_command
from heliostat.model.result import ChunkResult
from heliostat.model.status import AttemptState, ChunkState, JobMetrics, JobState
from heliostat.plugins import open_worker

if TYPE_CHECKING:
    from heliostat.contracts.artifacts import ArtifactStore
    from heliostat.contracts.progress import ProgressSink
    from heliostat.executor.executor import JobExecutor
    from heliostat.executor.options import JobExecutionOptions
    from heliostat.model.spec import Chunk, JobSpec

TICK: Final = 0.1
"""Seconds between looks at the clocks of running attempts."""
PERSIST_EVERY: Final = 1.0
"""Seconds between commits of the frames done by running attempts."""
STOP_PATIENCE: Final = 30.0
"""Seconds that an adapter may take to end an attempt that was stopped, before its result is no longer awaited."""
STDERR_KEPT: Final = 8 << 10
"""Characters that are kept of what an adapter's error says the worker last wrote on stderr."""
_CHUNKS_WITHOUT_YIELD = 32
_SUCCEEDED = AttemptState.SUCCEEDED  # see `attempt`
_INTERRUPTED = "the program that ran the job was stopped"

logger = logging.getLogger("heliostat")


class Execution:
    """One run of one job. `run` once; `pause`, `cancel` and `abort` at any moment, from the event loop."""

    def __init__(
        self,
        executor: JobExecutor,
        spec: JobSpec,
        options: JobExecutionOptions,
        *,
        job_id: str,
        commit: Commit = commit_nowhere,
        attempts: Mapping[int, int] | None = None,
        metrics: JobMetrics | None = None,
        artifacts: ArtifactStore | None = None,
        sinks: tuple[ProgressSink, ...] = (),
    ) -> None:
        """`attempts`: how many each chunk has had, by index; `metrics`: what earlier runs have cost."""
        self.job_id = job_id
        self._executor = executor
        self._worker = executor.worker
        self._spec = spec
        self._options = options
        self._artifacts = artifacts
        self._job_dir = Path(options.job_dir or ".").resolve()
        self._job_dir_name = str(self._job_dir)
        self._artifacts_url: str | None = None
        self._inputs: str | None = None
        self._env = {**spec.env, **options.env}
        self._total = len(spec.chunks)
        self._numbers = dict(attempts or {})
        self._nonce = uuid.uuid4().hex[:12]
        self._dispatched = 0

        completed = chunk_indexes(spec, options.completed_chunks)
        chosen = range(self._total) if options.only_chunks is None else sorted(chunk_indexes(spec, options.only_chunks))
        self._todo = sum(index not in completed for index in chosen) if completed else len(chosen)
        self._queue = ChunkQueue(index for index in chosen if index not in completed)
        self._running: dict[int, Attempt] = {}
        self._slots: set[asyncio.Task[None]] = set()
        self._slots_changed = asyncio.Event()
        self._merging: asyncio.Task[str | None] | None = None
        self._opening: asyncio.Task[None] | None = None
        """The task that runs the job, while the adapter is being opened."""
        self._complete = False
        self._stopping: JobState | None = None
        self._reason: str | None = None
        self._failure: Failure | None = None

        self._timeout: float | None = None
        self._window: Window
        self._told_of_start = self._told_of_end = False
        self._retry = RetryPolicy(options.retries, options.retry_delay)
        self._counters = Counters(metrics or JobMetrics())
        self._logs = JobLogs(self._job_dir, job_id)
        completed_frames = sum(spec.chunks[index].frame_count for index in completed)
        self._meter = FrameMeter(spec.metadata.total_frames, completed_frames, time.monotonic())
        self._persisted_clock = 0.0
        self._observers = Observers(executor.observer_patience, self._observer_failed)
        if options.on_progress is not None:
            self._observers.on_progress(options.on_progress, len(completed), self._total)
        if options.on_event is not None:
            self._observers.listen("on_event", options.on_event)
        for sink in (*options.sinks, *sinks):
            self._observers.listen(type(sink).__name__, sink.handle)
        self._ledger = Ledger(
            commit,
            self._observers,
            Retelling(job_id, spec),
            len(completed),
            metrics=self._metrics,
            on_failure=self._halt,
        )
        self._announce = Announcer(
            job_id, self._total, spec.metadata.total_frames, self._ledger, listening=self._observers.listening
        )

    # --- control -----------------------------------------------------------------------------------------------------

    def pause(self, *, now: bool = False) -> None:
        """Dispatch nothing more; let running attempts finish, and a join too, or end them `now`."""
        if not self._complete and (now or self._merging is None):
            self._stop(JobState.PAUSED, None)
        if now:
            self._end_running()

    def cancel(self, reason: str = "the job was cancelled") -> None:
        """End running attempts and the job."""
        self._stop(JobState.CANCELLED, reason)
        self._end_running()

    def abort(self, error: Exception) -> None:
        """Stop without another word to the repository or to observers: the job is no longer ours to write."""
        self._ledger.stop(error)

    @property
    def stopping(self) -> JobState | None:
        """What the job is about to be, once it was told to stop."""
        return self._stopping

    @property
    def running_chunks(self) -> int:
        return len(self._running)

    # --- the run -----------------------------------------------------------------------------------------------------

    async def run(self) -> JobResult:
        """Run the job. Raises JobFailed, JobCancelled, or what stopped the ledger."""
        began = time.monotonic()
        helpers = [asyncio.create_task(self._ledger.run()), asyncio.create_task(self._tick())]
        interrupted: asyncio.CancelledError | None = None
        output: str | None = None
        try:
            try:
                self._opening = asyncio.current_task()
                async with self._executor.opened():
                    self._begin_run()
                    await self._prepare()
                    self._opening = None
                    await self._run_slots()
                    await self._ledger.drain()
                    if self._should_merge():
                        output = await self._merge()
                    # From here on there is nothing left that could be paused.
                    self._complete = self._stopping is None and self._ledger.accepted == self._total
            except asyncio.CancelledError as cancelled:
                if self._opening is not None and self._stopping is not None:  # by `_stop`
                    self._opening.uncancel()
                else:
                    self.cancel(_INTERRUPTED)
                    interrupted = cancelled
            except Exception as error:
                if self._ledger.failure is not None:
                    raise
                self._failure = Failure.of_job(error)
                if not isinstance(error, HeliostatError):
                    logger.exception("job %s", self.job_id)
            finally:
                self._opening = None
            return await self._finish(began, output)
        except JobCancelled:
            if interrupted is not None:
                raise interrupted from None
            raise
        finally:
            for helper in helpers:
                helper.cancel()
            await asyncio.gather(*helpers, return_exceptions=True)
            await self._observers.finish()

    def _begin_run(self) -> None:
        """Take the adapter's limits, which it may only know once it is open, and say that the job runs."""
        limits, asked = self._worker.limits, self._options
        self._timeout = min((t for t in (asked.chunk_timeout, limits.longest_chunk) if t is not None), default=None)
        wanted = asked.concurrency or limits.default_concurrency
        self._window = Window(max(1, min(wanted, limits.concurrency or wanted)))
        self._told_of_start = True
        self._announce.job_started(self._spec.name, self._worker.name, self._window.most, self._meter.completed_frames)

    async def _prepare(self) -> None:
        """Send the inputs to where the workers find them. Raises SpecError and ArtifactError."""
        self._artifacts = self._artifacts or self._executor.artifacts
        if self._artifacts is not None:
            self._artifacts_url = self._artifacts.url
            if self._spec.inputs:
                self._inputs = await send_inputs(self._spec.inputs, self._job_dir, self._artifacts)

    async def _run_slots(self) -> None:
        for _ in range(min(self._window.most, self._todo)):
            self._add_slot()
        interrupted: asyncio.CancelledError | None = None
        while self._slots:
            self._slots_changed.clear()
            try:
                await self._slots_changed.wait()
            except asyncio.CancelledError as cancelled:
                # Attempts are ended in an orderly way first; the ticker sees to it that this takes no longer than
                # STOP_PATIENCE.
                self.cancel(_INTERRUPTED)
                interrupted = cancelled
        if interrupted is not None:
            raise interrupted

    async def _finish(self, began: float, output: str | None) -> JobResult:
        """Commit how the run ended, and tell it: the callbacks' last word comes before the job's state changes."""
        if not self._told_of_start:  # the adapter did not open
            self._begin_run()
        await self._ledger.drain()
        await self._observers.finish_progress()
        completed = self._ledger.committed
        snapshot = self._meter.snapshot(0.0, time.monotonic())
        result = JobResult(
            job_id=self.job_id,
            state=self._final_state(completed),
            completed_chunks=completed,
            total_chunks=self._total,
            duration=time.monotonic() - began,
            output=output,
            metrics=self._metrics(),
        )
        failure = self._failure if result.state is JobState.FAILED else None
        error = failure.sentence if failure is not None else self._reason
        self._ledger.change_job(JobChange(state=result.state, error=error, output=output))
        self._announce.progressed(snapshot, 0)
        self._announce.job_ended(result, error)
        self._told_of_end = True
        await self._ledger.drain()
        await self._observers.finish()
        if failure is not None:
            raise failure.exception(self.job_id)
        if result.state is JobState.CANCELLED:
            raise JobCancelled(self._reason or "the job was cancelled", job_id=self.job_id)
        return result

    def _final_state(self, completed: int) -> JobState:
        if self._stopping is not None:
            return self._stopping
        if self._failure is not None:
            return JobState.FAILED
        # Without an error and yet not complete: only some chunks were asked for.
        return JobState.COMPLETED if completed == self._total else JobState.PAUSED

    # --- slots -------------------------------------------------------------------------------------------------------

    def _add_slot(self) -> None:
        task = asyncio.create_task(self._slot())
        self._slots.add(task)
        task.add_done_callback(self._slot_ended)

    def _slot_ended(self, task: asyncio.Task[None]) -> None:
        self._slots.discard(task)
        self._slots_changed.set()
        if not task.cancelled() and (error := task.exception()) is not None:
            # A fault of ours, not of an adapter: stop the run, and let it be seen.
            self.abort(error if isinstance(error, Exception) else RuntimeError(str(error)))

    async def _slot(self) -> None:
        task = asyncio.current_task()
        assert task is not None
        since_yield = 0
        while True:
            index = self._queue.take() if len(self._running) < self._window.size else None
            if index is None:
                if self._queue.closed or not (self._running or self._queue.expecting):
                    self._queue.wake_all()
                    return
                since_yield = 0
                await self._queue.wait()
                continue
            attempt = self._begin(index, task)
            await self._run_attempt(attempt)
            if attempt.abandoned:
                return  # another slot has taken this one's place
            since_yield += 1
            if since_yield >= _CHUNKS_WITHOUT_YIELD:  # an adapter that never waits must not starve the ledger
                since_yield = 0
                self._ledger.make_way()
                await asyncio.sleep(0)

    def _begin(self, index: int, slot: asyncio.Task[None]) -> Attempt:
        number = self._numbers.pop(index, 0) + 1
        self._dispatched += 1
        attempt_id = f"{self._nonce}-{self._dispatched}"
        attempt = Attempt(index, self._spec.chunks[index], number, attempt_id, slot, self._logs)
        self._running[index] = attempt
        self._counters.attempts += 1
        self._ledger.begin(attempt)
        return attempt

    async def _run_attempt(self, attempt: Attempt) -> None:
        """Run one attempt, in its slot's task, and judge its outcome."""
        slot, chunk = attempt.slot, attempt.chunk
        result: object = None
        error: BaseException | None = None
        try:
            command = chunk.command
            request = ChunkRequest(
                job_id=self.job_id,
                chunk=chunk,
                attempt=attempt.number,
                attempt_id=attempt.id,
                command=split_command(command) if isinstance(command, str) else list(command),
                env=self._env,
                timeout=self._timeout,
                job_dir=self._job_dir_name,
                artifacts=self._artifacts_url,
                inputs=self._inputs,
                progress=self._spec.progress,
            )
            result = await self._worker.run(request, attempt)
        except asyncio.CancelledError as cancelled:
            error = cancelled
            if attempt.stop_cause is None and slot.cancelling():  # not by us: the event loop is going down
                attempt.stop_cause = Cause.CANCELLED
                self.cancel(_INTERRUPTED)
            elif attempt.stop_cause is None:
                error = WorkerLost(f"the {self._worker.name} adapter raised CancelledError, though nobody cancelled it")
        except AttemptError as failure:
            error = failure
        except Exception as unexpected:
            logger.debug("adapter %s raised", self._worker.name, exc_info=unexpected)
            error = WorkerLost(f"the {self._worker.name} adapter raised {type(unexpected).__name__}: {unexpected}")
        while slot.cancelling():
            slot.uncancel()
        if attempt.abandoned:
            self._counters.stale_results += result is not None
            return
        del self._running[attempt.index]
        attempt.ended = True
        self._logs.close(attempt)
        self._judge(attempt, result, error)
        self._queue.wake_one()

    # --- acceptance --------------------------------------------------------------------------------------------------

    def _judge(self, attempt: Attempt, result: object, error: BaseException | None) -> None:
        if attempt.stop_cause is not None:
            self._counters.stale_results += result is not None
            self._failed(attempt, attempt.stop_cause, self._stop_sentence(attempt))
        elif isinstance(error, AttemptError):
            retry_after = error.retry_after if isinstance(error, Throttled) else None
            message = _writable(str(error)) or error.cause.value
            said = _writable(error.stderr_tail)[-STDERR_KEPT:]
            self._failed(attempt, _unasked(error.cause), message, None, said, retry_after)
        elif not _is_result(result):
            what = f"the {self._worker.name} adapter returned {type(result).__name__} instead of a valid ChunkResult"
            self._failed(attempt, Cause.WORKER_LOST, what)
        elif result.attempt_id is not None and result.attempt_id != attempt.id:
            self._counters.stale_results += 1
            self._failed(attempt, Cause.WORKER_LOST, "the worker answered with another attempt's result")
        elif result.exit_code != 0:
            message = result.message or f"exit status {result.exit_code}"
            cause = _unasked(result.cause or Cause.COMMAND_FAILED)
            self._failed(attempt, cause, message, result, result.stderr_tail)
        else:
            self._succeeded(attempt, result)

    def _succeeded(self, attempt: Attempt, result: ChunkResult) -> None:
        self._counters.spent(result)
        self._meter.completed_frames += attempt.chunk.frame_count
        if self._window.succeeded():
            self._window_changed()
        self._ledger.succeed(attempt, attempt.status(_SUCCEEDED, result=result))

    def _failed(
        self,
        attempt: Attempt,
        cause: Cause,
        message: str,
        result: ChunkResult | None = None,
        stderr_tail: str = "",
        retry_after: float | None = None,
    ) -> None:
        if result is not None:
            self._counters.spent(result)
        if cause is Cause.CANCELLED:
            status = attempt.status(AttemptState.CANCELLED, cause=cause, message=message, result=result)
            self._ledger.fail(attempt, status, chunk=ChunkState.PENDING)
            return
        self._counters.failed(cause)
        if cause is Cause.THROTTLED and self._window.throttled(attempt.started_clock, time.monotonic()):
            self._window_changed()
        delay = self._retry.after(attempt.index, cause, retry_after)
        given_up = delay is None
        if delay is not None and not self._queue.closed:
            self._counters.retries += 1
            self._numbers[attempt.index] = attempt.number
            self._queue.give_back(attempt.index, delay)
        else:
            delay = None  # a chunk that could be retried stays pending, for a resume
        status = attempt.status(
            AttemptState.FAILED,
            cause=cause,
            message=message,
            retry_in=delay,
            stderr_tail=stderr_tail if result is None else "",
            result=result,
        )
        self._ledger.fail(attempt, status, chunk=ChunkState.FAILED if given_up else ChunkState.PENDING)
        if given_up:
            self._give_up(attempt, cause, message, stderr_tail)

    def _give_up(self, attempt: Attempt, cause: Cause, message: str, stderr_tail: str) -> None:
        if self._failure is None:
            self._failure = Failure.of_chunk(attempt.chunk.id, attempt.number, cause, message, stderr_tail)
        else:
            self._failure = self._failure.and_another()
        if self._options.fail_fast or cause is Cause.MISCONFIGURED:
            self._stop(JobState.FAILED, None)
            self._end_running()

    def _window_changed(self) -> None:
        self._announce.concurrency_changed(self._window.size)
        for _ in range(self._window.size - len(self._running)):
            self._queue.wake_one()

    # --- stopping ----------------------------------------------------------------------------------------------------

    def _stop(self, state: JobState, reason: str | None) -> None:
        """Dispatch nothing more. The first reason to stop counts, but a cancel overrules a pause."""
        if self._stopping is None or (state is JobState.CANCELLED and self._stopping is JobState.PAUSED):
            self._stopping = state
            self._reason = reason
        self._queue.close()
        if self._opening is not None and not self._opening.cancelling():
            self._opening.cancel()

    def _end_running(self) -> None:
        for attempt in list(self._running.values()):
            attempt.stop(Cause.CANCELLED)
        if self._merging is not None and not self._merging.cancelling():
            self._merging.cancel()  # once: a second time would cut its cleaning up short

    def _halt(self) -> None:
        """The ledger has stopped."""
        self._stop(JobState.FAILED, None)
        self._end_running()

    def _abandon(self, attempt: Attempt) -> None:
        """The adapter does not end an attempt that was stopped: go on without it. What it yet returns is stale."""
        attempt.abandoned = attempt.ended = True
        self._logs.close(attempt)
        del self._running[attempt.index]
        self._slots.discard(attempt.slot)
        cause = attempt.stop_cause or Cause.WORKER_LOST
        self._failed(attempt, cause, f"{self._stop_sentence(attempt)}, and its worker did not end it")
        self._add_slot()

    def _stop_sentence(self, attempt: Attempt) -> str:
        match attempt.stop_cause:
            case Cause.TIMED_OUT:
                return f"took longer than the chunk timeout of {self._timeout:g} s"
            case Cause.STALLED:
                return f"finished no frame for {self._options.stall_timeout:g} s"
            case _:
                return "was cancelled"

    # --- clocks ------------------------------------------------------------------------------------------------------

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK)
            now = time.monotonic()
            for attempt in list(self._running.values()):
                self._look_after(attempt, now)
            if self._running and now - self._persisted_clock >= PERSIST_EVERY:
                self._persisted_clock = now
                self._persist()
            if self._running and self._announce.listening:
                self._announce.progressed(self._meter.snapshot(self._running_frames(), now), len(self._running))

    def _look_after(self, attempt: Attempt, now: float) -> None:
        timeout, stall = self._timeout, self._options.stall_timeout
        if attempt.stop_cause is not None:
            if now - attempt.stopped_clock > STOP_PATIENCE:
                self._abandon(attempt)
        elif self._worker.limits.queues and not attempt.heard:
            return
        elif timeout is not None and now - attempt.began_clock > timeout:
            attempt.stop(Cause.TIMED_OUT)
        elif stall is not None and now - attempt.last_frame_at > stall:
            attempt.stop(Cause.STALLED)
        elif attempt.dirty:
            attempt.dirty = False
            self._announce.chunk_progressed(attempt)

    def _persist(self) -> None:
        """Write the frames of running attempts, for those who watch from another process."""
        for attempt in self._running.values():
            if attempt.frames > attempt.persisted:
                attempt.persisted = attempt.frames
                self._ledger.update(attempt)

    def _metrics(self) -> JobMetrics:
        return self._counters.metrics(self._meter.frames_done(self._running_frames()))

    def _running_frames(self) -> float:
        return sum(attempt.frames for attempt in self._running.values())

    def _observer_failed(self, name: str, message: str) -> None:
        self._counters.observer_failures += 1
        if not self._told_of_end:  # which is the last event of a run
            self._announce.observer_failed(name, message)

    # --- the join ----------------------------------------------------------------------------------------------------

    def _should_merge(self) -> bool:
        return (
            self._options.merge
            and self._stopping is None
            and self._failure is None
            and self._ledger.accepted == self._total
            and merge.how(self._spec) is not None
        )

    async def _merge(self) -> str | None:
        """Returns the film's path where the specification tells it. Raises StitchFailed."""
        self._announce.progressed(self._meter.snapshot(0.0, time.monotonic()), 0)
        self._announce.merge_started(merge.how(self._spec) or "")
        joining = self._merging = asyncio.create_task(self._join())
        try:
            await self._joined(joining)
        except asyncio.CancelledError:
            self._end_running()
            await self._joined(joining)
            raise
        finally:
            self._merging = None
        if not joining.done():
            raise StitchFailed("the join was stopped, and did not end")
        return None if joining.cancelled() else joining.result()

    async def _joined(self, joining: asyncio.Task[str | None]) -> None:
        """Wait for the join; once it is cancelled, no longer than STOP_PATIENCE."""
        while not joining.done() and not joining.cancelling():
            await asyncio.wait([joining], timeout=TICK)
        await asyncio.wait([joining], timeout=STOP_PATIENCE)

    async def _join(self) -> str | None:
        """On this machine, unless a merge command runs on workers that share the job directory."""
        if self._artifacts is not None:
            await merge.fetch_outputs(self._spec, self.job_id, self._job_dir, self._artifacts)
        slot = asyncio.current_task()
        assert slot is not None
        chunk = merge.command_chunk(self._spec)
        report = Attempt(self._total, chunk, 1, f"{self._nonce}-merge", slot, self._logs)
        try:
            if self._spec.merge is None:
                await self._run_merge_command(chunk, report)
                return None
            film = await merge.stitch(self._spec, self._job_dir, self._executor.stitcher_for(self._spec))
        except StitchFailed as error:
            if self._spec.merge is not None and error.stderr_tail:  # of a command all was written as it came
                report.log("stderr", error.stderr_tail)
            raise
        finally:
            report.ended = True
            self._logs.close(report)
        if self._artifacts is not None:
            await self._artifacts.put(output_key(self.job_id, film, self._job_dir), self._job_dir / film)
        return film

    async def _run_merge_command(self, chunk: Chunk, report: Attempt) -> None:
        worker = self._executor.merge_worker or self._worker
        if worker.artifacts is not None:
            worker = open_worker("local")  # the parts have just been brought here
        await merge.run_merge_command(chunk, self.job_id, report.id, self._job_dir, worker, report, self._env)


def _unasked(cause: Cause) -> Cause:
    """A worker that says it was cancelled, though nobody here did that, was ended by somebody else: a preemption."""
    return Cause.WORKER_LOST if cause is Cause.CANCELLED else cause


def _writable(text: object) -> str:
    """What an adapter raised, so that it can be written as UTF-8: it may hold bytes that nobody could decode."""
    return str(text).encode(errors="replace").decode()


def _is_result(result: object) -> TypeGuard[ChunkResult]:
    return (
        isinstance(result, ChunkResult)
        and isinstance(result.exit_code, int)
        and isinstance(result.duration, int | float)
    )


def chunk_indexes(spec: JobSpec, ids: Collection[int | str]) -> set[int]:
    """Where chunks are in `spec.chunks`. An id may also be given as text. Raises SpecError for an unknown one."""
    if not ids:
        return set()
    by_id: dict[str, int] = {str(chunk.id): index for index, chunk in enumerate(spec.chunks)}
    try:
        return {by_id[str(id_)] for id_ in ids}
    except KeyError as unknown:
        raise SpecError(f"the job has no chunk {unknown.args[0]}; `heliostat plan` lists them") from None
