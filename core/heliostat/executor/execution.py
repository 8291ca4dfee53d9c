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
from collections import deque
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

from heliostat.contracts.repository import JobChange
from heliostat.contracts.worker import ChunkRequest
from heliostat.errors import AttemptError, HeliostatError, JobCancelled, JobFailed, SpecError, Throttled, WorkerLost
from heliostat.executor import merge
from heliostat.executor.attempt import Attempt
from heliostat.executor.counters import Counters
from heliostat.executor.ledger import Commit, Ledger, commit_nowhere
from heliostat.executor.logs import JobLogs
from heliostat.executor.observers import Observers
from heliostat.executor.outcome import Failure, JobResult
from heliostat.executor.progress import FrameMeter
from heliostat.executor.retry import RetryPolicy
from heliostat.executor.window import Window
from heliostat.model import events
from heliostat.model.cause import Cause
from heliostat.model.command import split_command
from heliostat.model.result import ChunkResult
from heliostat.model.status import AttemptState, AttemptStatus, ChunkState, JobMetrics, JobState, percent

if TYPE_CHECKING:
    from heliostat.contracts.artifacts import ArtifactStore
    from heliostat.contracts.progress import ProgressSink
    from heliostat.executor.executor import JobExecutor
    from heliostat.executor.options import JobExecutionOptions
    from heliostat.model.spec import JobSpec

TICK: Final = 0.1
"""Seconds between looks at the clocks of running attempts."""
PERSIST_EVERY: Final = 1.0
"""Seconds between commits of the frames done by running attempts."""
STOP_PATIENCE: Final = 30.0
"""Seconds that an adapter may take to end an attempt that was stopped, before its result is no longer awaited."""
_CHUNKS_WITHOUT_YIELD = 32
_INTERRUPTED = "the program that ran the job was stopped"

_PENDING, _RUNNING, _SUCCEEDED, _FAILED = range(4)

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
        self._env = {**spec.env, **options.env}
        self._attempts_before = attempts or {}
        self._numbers: dict[int, int] = {}
        self._nonce = uuid.uuid4().hex[:12]
        self._dispatched = 0
        self._total = len(spec.chunks)
        self._states = bytearray(self._total)
        for index in chunk_indexes(spec, options.completed_chunks):
            self._states[index] = _SUCCEEDED
        completed = self._states.count(_SUCCEEDED)
        chosen = range(self._total) if options.only_chunks is None else sorted(chunk_indexes(spec, options.only_chunks))
        self._todo = sum(self._states[index] == _PENDING for index in chosen)
        self._fresh: Iterator[int] = (index for index in chosen if self._states[index] == _PENDING)
        self._ready: deque[int] = deque()
        self._waiting = 0
        self._timers: dict[int, asyncio.TimerHandle] = {}
        self._idle: deque[asyncio.Future[None]] = deque()
        self._running: dict[int, Attempt] = {}
        self._slots: set[asyncio.Task[None]] = set()
        self._slots_changed = asyncio.Event()
        self._merging: asyncio.Task[str | None] | None = None
        limits = self._worker.limits
        wanted = options.concurrency or limits.default_concurrency
        self._window = Window(max(1, min(wanted, limits.concurrency or wanted)))
        self._retry = RetryPolicy(options.retries, options.retry_delay)
        self._counters = Counters(metrics or JobMetrics())
        self._logs = JobLogs(self._job_dir, job_id)
        self._stopping: JobState | None = None
        self._reason: str | None = None
        self._failure: Failure | None = None
        self._observers = Observers(executor.observer_patience, self._observer_failed)
        if options.on_progress is not None:
            self._observers.on_progress(options.on_progress, completed, self._total)
        if options.on_event is not None:
            self._observers.listen("on_event", options.on_event)
        for sink in (*options.sinks, *sinks):
            self._observers.listen(type(sink).__name__, sink.handle)
        self._listening = self._observers.listening
        self._ledger = Ledger(commit, self._observers, completed, self._halt)
        completed_frames = sum(
            chunk.frame_count for chunk, state in zip(spec.chunks, self._states, strict=True) if state == _SUCCEEDED
        )
        self._meter = FrameMeter(spec.metadata.total_frames, completed_frames, time.monotonic())
        self._persisted_clock = 0.0

    # --- control -----------------------------------------------------------------------------------------------------

    def pause(self, *, now: bool = False) -> None:
        """Dispatch nothing more; let running attempts finish, and a join too, or end them `now`."""
        if now or self._merging is None:
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
            self._ledger.change_job(JobChange(state=JobState.RUNNING))
            self._tell_started()
            try:
                async with self._executor.opened():
                    await self._run_slots()
                    await self._ledger.drain()
                    if self._should_merge():
                        output = await self._merge()
            except asyncio.CancelledError as cancelled:
                self.cancel(_INTERRUPTED)
                interrupted = cancelled
            except Exception as error:
                if self._ledger.failure is not None:
                    raise
                self._failure = Failure.of_job(error)
                if not isinstance(error, HeliostatError):
                    logger.exception("job %s", self.job_id)
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
        await self._ledger.drain()
        await self._observers.finish_progress()
        completed = self._ledger.committed
        state = self._final_state(completed)
        error = self._failure.sentence if self._failure and state is JobState.FAILED else self._reason
        snapshot = self._meter.snapshot(0.0, time.monotonic())
        self._ledger.change_job(
            JobChange(state=state, error=error, output=output, metrics=self._counters.metrics(snapshot.frames_done))
        )
        if self._listening:
            self._tell_progress()
            self._ledger.tell(
                events.JobEnded(
                    job_id=self.job_id,
                    time=time.time(),
                    state=state,
                    completed_chunks=completed,
                    total_chunks=self._total,
                    duration=time.monotonic() - began,
                    error=error,
                    output=output,
                )
            )
        await self._ledger.drain()
        await self._observers.finish()
        if state is JobState.FAILED:
            failure = self._failure or Failure(sentence=error or "the job failed")
            raise JobFailed(
                failure.sentence,
                job_id=self.job_id,
                chunk=failure.chunk,
                attempts=failure.attempts,
                cause=failure.cause,
                stderr_tail=failure.stderr_tail,
            )
        if state is JobState.CANCELLED:
            raise JobCancelled(self._reason or "the job was cancelled", job_id=self.job_id)
        return JobResult(
            job_id=self.job_id,
            state=state,
            completed_chunks=completed,
            total_chunks=self._total,
            duration=time.monotonic() - began,
            output=output,
            metrics=self._counters.metrics(snapshot.frames_done),
        )

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
            index = self._next_chunk()
            if index is None:
                if self._stopping is not None or not (self._running or self._waiting or self._ready):
                    self._wake_all()
                    return
                since_yield = 0
                await self._sleep()
                continue
            attempt = self._begin(index, task)
            await self._attempt(attempt, task)
            if attempt.abandoned:
                return  # another slot has taken this one's place
            since_yield += 1
            if since_yield >= _CHUNKS_WITHOUT_YIELD:  # an adapter that never waits must not starve the ledger
                since_yield = 0
                await asyncio.sleep(0)

    def _next_chunk(self) -> int | None:
        if self._stopping is not None or len(self._running) >= self._window.size:
            return None
        if self._ready:
            return self._ready.popleft()
        return next(self._fresh, None)

    async def _sleep(self) -> None:
        waiter = asyncio.get_running_loop().create_future()
        self._idle.append(waiter)
        await waiter

    def _wake_one(self) -> None:
        while self._idle:
            waiter = self._idle.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return

    def _wake_all(self) -> None:
        while self._idle:
            self._wake_one()

    def _begin(self, index: int, slot: asyncio.Task[None]) -> Attempt:
        chunk = self._spec.chunks[index]
        number = self._numbers.pop(index, None) or self._attempts_before.get(index, 0) + 1
        self._dispatched += 1
        attempt = Attempt(index, chunk, number, f"{self._nonce}-{self._dispatched}", slot, self._logs)
        self._states[index] = _RUNNING
        self._running[index] = attempt
        self._counters.attempts += 1
        self._ledger.begin(attempt)
        if self._listening:
            self._ledger.tell(
                events.ChunkStarted(
                    job_id=self.job_id,
                    time=attempt.started_at,
                    chunk=chunk.id,
                    index=index,
                    attempt=number,
                    frame_count=chunk.frame_count,
                )
            )
        return attempt

    async def _attempt(self, attempt: Attempt, slot: asyncio.Task[None]) -> None:
        """Run one attempt and judge its outcome."""
        chunk = attempt.chunk
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
                timeout=self._options.chunk_timeout,
                job_dir=str(self._job_dir),
                artifacts=None if self._artifacts is None else self._artifacts.url,
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
            self._counters.stale_results += result is not None  # it came too late: the attempt was abandoned
            return
        del self._running[attempt.index]
        attempt.ended = True
        self._logs.close(attempt.index, attempt.number)
        self._judge(attempt, result, error)
        if self._idle:
            self._wake_one()

    # --- acceptance --------------------------------------------------------------------------------------------------

    def _judge(self, attempt: Attempt, result: object, error: BaseException | None) -> None:
        if attempt.stop_cause is not None:
            self._counters.stale_results += result is not None
            self._failed(attempt, attempt.stop_cause, self._stop_sentence(attempt), None)
        elif isinstance(error, AttemptError):
            retry_after = error.retry_after if isinstance(error, Throttled) else None
            self._failed(attempt, error.cause, str(error) or error.cause, None, error.stderr_tail, retry_after)
        elif not isinstance(result, ChunkResult):
            what = f"the {self._worker.name} adapter returned {type(result).__name__} instead of a ChunkResult"
            self._failed(attempt, Cause.WORKER_LOST, what, None)
        elif result.attempt_id is not None and result.attempt_id != attempt.id:
            self._counters.stale_results += 1
            self._failed(attempt, Cause.WORKER_LOST, "the worker answered with another attempt's result", None)
        elif result.exit_code != 0:
            cause = result.cause or Cause.COMMAND_FAILED
            self._counters.spent(result)
            self._failed(
                attempt, cause, result.message or f"exit status {result.exit_code}", result, result.stderr_tail
            )
        else:
            self._succeeded(attempt, result)

    def _succeeded(self, attempt: Attempt, result: ChunkResult) -> None:
        index, chunk = attempt.index, attempt.chunk
        self._states[index] = _SUCCEEDED
        self._counters.spent(result)
        self._meter.completed_frames += chunk.frame_count
        if self._window.size != self._window.most and self._window.succeeded():
            self._window_changed()
        position = self._ledger.succeed(
            attempt,
            AttemptStatus(
                index=index,
                number=attempt.number,
                attempt_id=attempt.id,
                state=AttemptState.SUCCEEDED,
                started_at=attempt.started_at,
                ended_at=time.time(),
                frames_done=chunk.frame_count,
                result=result,
            ),
        )
        if self._listening:
            self._ledger.tell(
                events.ChunkSucceeded(
                    job_id=self.job_id,
                    time=time.time(),
                    chunk=chunk.id,
                    index=index,
                    attempt=attempt.number,
                    completed_chunks=position,
                    total_chunks=self._total,
                    progress=percent(position, self._total),
                    frame_count=chunk.frame_count,
                    result=result,
                )
            )

    def _failed(
        self,
        attempt: Attempt,
        cause: Cause,
        message: str,
        result: ChunkResult | None,
        stderr_tail: str = "",
        retry_after: float | None = None,
    ) -> None:
        index = attempt.index
        cancelled = cause is Cause.CANCELLED
        if cause is Cause.THROTTLED and self._window.throttled(attempt.started_clock, time.monotonic()):
            self._window_changed()
        if not cancelled:
            self._counters.failed(cause)
        delay = self._retry.after(index, cause, retry_after)
        exhausted = delay is None and not cancelled
        if self._stopping is not None and not exhausted:
            delay = None  # the chunk stays pending, for a resume
        if delay is not None:
            self._schedule(index, attempt.number + 1, delay)
        else:
            self._states[index] = _FAILED if exhausted else _PENDING
        self._ledger.fail(
            attempt,
            AttemptStatus(
                index=index,
                number=attempt.number,
                attempt_id=attempt.id,
                state=AttemptState.CANCELLED if cancelled else AttemptState.FAILED,
                started_at=attempt.started_at,
                ended_at=time.time(),
                frames_done=attempt.frames,
                cause=cause,
                message=message,
                result=result,
            ),
            chunk=ChunkState.FAILED if exhausted else ChunkState.PENDING,
        )
        if self._listening and not cancelled:
            self._ledger.tell(
                events.AttemptFailed(
                    job_id=self.job_id,
                    time=time.time(),
                    chunk=attempt.chunk.id,
                    index=index,
                    attempt=attempt.number,
                    cause=cause,
                    message=message,
                    stderr_tail=stderr_tail,
                    retry_in=delay,
                )
            )
        if exhausted:
            self._give_up(attempt, cause, message, stderr_tail)

    def _give_up(self, attempt: Attempt, cause: Cause, message: str, stderr_tail: str) -> None:
        chunk = attempt.chunk.id
        if self._listening:
            self._ledger.tell(
                events.ChunkFailed(
                    job_id=self.job_id,
                    time=time.time(),
                    chunk=chunk,
                    index=attempt.index,
                    attempts=attempt.number,
                    cause=cause,
                    message=message,
                )
            )
        if self._failure is None:
            self._failure = Failure.of_chunk(chunk, attempt.number, cause, message, stderr_tail)
        else:
            self._failure = self._failure.and_another()
        if self._options.fail_fast or cause is Cause.MISCONFIGURED:
            self._stop(JobState.FAILED, None)
            self._end_running()

    def _schedule(self, index: int, number: int, delay: float) -> None:
        self._counters.retries += 1
        self._numbers[index] = number
        self._states[index] = _PENDING
        if delay <= 0:
            self._ready.append(index)
            return
        self._waiting += 1
        self._timers[index] = asyncio.get_running_loop().call_later(delay, self._make_ready, index)

    def _make_ready(self, index: int) -> None:
        del self._timers[index]
        self._waiting -= 1
        self._ready.append(index)
        self._wake_one()

    def _window_changed(self) -> None:
        if self._listening:
            self._ledger.tell(
                events.ConcurrencyChanged(job_id=self.job_id, time=time.time(), concurrency=self._window.size)
            )
        for _ in range(self._window.size - len(self._running)):
            self._wake_one()

    # --- stopping ----------------------------------------------------------------------------------------------------

    def _stop(self, state: JobState, reason: str | None) -> None:
        """Dispatch nothing more. A cancel overrules a pause; the end of the run overrules nothing."""
        if self._stopping is None or (state is JobState.CANCELLED and self._stopping is JobState.PAUSED):
            self._stopping = state
            self._reason = reason
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        self._waiting = 0
        self._wake_all()

    def _end_running(self) -> None:
        for attempt in list(self._running.values()):
            attempt.stop(Cause.CANCELLED)
        if self._merging is not None:
            self._merging.cancel()

    def _halt(self) -> None:
        """The ledger has stopped."""
        self._stop(JobState.FAILED, None)
        self._end_running()

    def _abandon(self, attempt: Attempt) -> None:
        """The adapter does not end an attempt that was stopped: go on without it. What it yet returns is stale."""
        attempt.abandoned = attempt.ended = True
        del self._running[attempt.index]
        self._slots.discard(attempt.slot)
        cause = attempt.stop_cause or Cause.WORKER_LOST
        self._failed(attempt, cause, f"{self._stop_sentence(attempt)}, and its worker did not end it", None)
        self._add_slot()

    def _stop_sentence(self, attempt: Attempt) -> str:
        match attempt.stop_cause:
            case Cause.TIMED_OUT:
                return f"took longer than the chunk timeout of {self._options.chunk_timeout:g} s"
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
            if now - self._persisted_clock >= PERSIST_EVERY and self._running:
                self._persisted_clock = now
                self._persist(now)
            if self._listening and self._running:
                self._tell_progress()

    def _look_after(self, attempt: Attempt, now: float) -> None:
        timeout, stall = self._options.chunk_timeout, self._options.stall_timeout
        if attempt.stop_cause is not None:
            if now - attempt.stopped_clock > STOP_PATIENCE:
                self._abandon(attempt)
            return
        if timeout is not None and now - attempt.started_clock > timeout:
            attempt.stop(Cause.TIMED_OUT)
        elif stall is not None and now - attempt.last_frame_at > stall:
            attempt.stop(Cause.STALLED)
        elif attempt.dirty and self._listening:
            attempt.dirty = False
            self._ledger.tell(
                events.ChunkProgressed(
                    job_id=self.job_id,
                    time=time.time(),
                    chunk=attempt.chunk.id,
                    index=attempt.index,
                    attempt=attempt.number,
                    frames_done=attempt.frames,
                    frame_count=attempt.chunk.frame_count,
                )
            )

    def _persist(self, now: float) -> None:
        moved = False
        for attempt in self._running.values():
            if attempt.frames > attempt.persisted:
                moved = True
                attempt.persisted = attempt.frames
                self._ledger.update(
                    attempt,
                    AttemptStatus(
                        index=attempt.index,
                        number=attempt.number,
                        attempt_id=attempt.id,
                        state=AttemptState.RUNNING,
                        started_at=attempt.started_at,
                        frames_done=attempt.frames,
                    ),
                )
        if moved:
            frames = self._meter.snapshot(self._running_frames(), now).frames_done
            self._ledger.change_job(JobChange(metrics=self._counters.metrics(frames)))

    def _running_frames(self) -> float:
        return sum(attempt.frames for attempt in self._running.values())

    def _tell_started(self) -> None:
        if self._listening:
            self._ledger.tell(
                events.JobStarted(
                    job_id=self.job_id,
                    time=time.time(),
                    name=self._spec.name,
                    completed_chunks=self._ledger.accepted,
                    total_chunks=self._total,
                    completed_frames=self._meter.completed_frames,
                    total_frames=self._meter.total_frames,
                    concurrency=self._window.most,
                    worker=self._worker.name,
                )
            )

    def _observer_failed(self, name: str, message: str) -> None:
        self._counters.observer_failures += 1
        self._observers.tell(
            events.ObserverFailed(job_id=self.job_id, time=time.time(), observer=name, message=message), but=name
        )

    def _tell_progress(self) -> None:
        snapshot = self._meter.snapshot(self._running_frames(), time.monotonic())
        self._ledger.tell(
            events.Progressed(
                job_id=self.job_id,
                time=time.time(),
                completed_chunks=self._ledger.accepted,
                total_chunks=self._total,
                running_chunks=len(self._running),
                frames_done=snapshot.frames_done,
                total_frames=self._meter.total_frames,
                percent=snapshot.percent,
                rate=snapshot.rate,
                eta=snapshot.eta,
            )
        )

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
        if self._listening:
            self._ledger.tell(
                events.MergeStarted(job_id=self.job_id, time=time.time(), how=merge.how(self._spec) or "")
            )
        self._merging = asyncio.create_task(self._join())
        try:
            await asyncio.wait([self._merging])
        finally:
            if not self._merging.done():
                self._merging.cancel()
                await asyncio.wait([self._merging], timeout=STOP_PATIENCE)
            joined, self._merging = self._merging, None
        return None if joined.cancelled() else joined.result()

    async def _join(self) -> str | None:
        if self._spec.merge is not None:
            stitcher = self._executor.stitcher_for(self._spec)
            return await merge.stitch(self._spec, self.job_id, self._job_dir, stitcher, self._artifacts)
        slot = asyncio.current_task()
        assert slot is not None
        worker = self._executor.merge_worker or self._worker
        chunk = merge.command_chunk(self._spec)
        report = Attempt(self._total, chunk, 1, f"{self._nonce}-merge", slot, self._logs)
        try:
            await merge.run_merge_command(chunk, self.job_id, self._job_dir, worker, report, self._env)
        finally:
            self._logs.close(report.index, report.number)
        return None


def chunk_indexes(spec: JobSpec, ids: Collection[int | str]) -> set[int]:
    """Where chunks are in `spec.chunks`. An id may also be given as text. Raises SpecError for one that is not there."""
    if not ids:
        return set()
    by_id: dict[int | str, int] = {str(chunk.id): index for index, chunk in enumerate(spec.chunks)}
    try:
        return {by_id[str(id_)] for id_ in ids}
    except KeyError as unknown:
        raise SpecError(f"the job has no chunk {unknown.args[0]}; `heliostat plan` lists them") from None
