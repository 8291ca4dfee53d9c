"""`JobManager`: the life of jobs in a repository."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import shutil
import time
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Sequence
from datetime import UTC, datetime
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

import msgspec

from heliostat.contracts.repository import Batch, JobChange, Lease
from heliostat.coordinator import is_dead
from heliostat.errors import (
    AttemptError,
    HeliostatError,
    JobCancelled,
    JobFailed,
    LeaseHeld,
    LeaseLost,
    PluginError,
    RepositoryUnavailable,
    SpecError,
    WrongState,
)
from heliostat.executor.execution import Execution, chunk_indexes
from heliostat.executor.executor import JobExecutor
from heliostat.executor.logs import log_dir
from heliostat.executor.options import JobExecutionOptions
from heliostat.executor.recovery import Known, recover
from heliostat.following import POLL_EVERY, Bells, follow
from heliostat.job_queue import JobQueue
from heliostat.journal import JournalReader
from heliostat.leases import ACTIVE, WISHED, Leases, can_grant
from heliostat.model.status import ChunkState, JobSettings, JobState, JobStatus, Wish
from heliostat.planning.validate import validate
from heliostat.plugins import open_stitcher

if TYPE_CHECKING:
    from heliostat.contracts.artifacts import ArtifactStore
    from heliostat.contracts.progress import ProgressSink
    from heliostat.contracts.repository import JobRepository
    from heliostat.contracts.stitcher import Stitcher
    from heliostat.model.events import Event
    from heliostat.model.spec import JobSpec
    from heliostat.model.status import WorkerChoice

LEASE_TTL: Final = 15.0
"""Seconds after which a coordinator that was not heard of is taken for dead, where its death cannot be proved."""

logger = logging.getLogger("heliostat")

ExecutorChoice = JobExecutor | Callable[[JobStatus], JobExecutor]


class _Run:
    """A job that this manager coordinates."""

    def __init__(self, lease: Lease, execution: Execution) -> None:
        self.lease = lease
        self.execution = execution
        self.asked: Wish | None = None
        """By this process. The execution may be about to end, and hear nothing any more."""
        self.has_ended = False
        self.handed_over = False
        self.task: asyncio.Task[None]


class JobManager:
    """Submits jobs, runs them, and controls them, also those that other processes run on the same repository.

    An async context manager: leaving it pauses what it runs and closes the repository. Without an executor it only
    submits and controls; `executor` may also be a function that chooses one for a job.
    """

    def __init__(
        self,
        repository: JobRepository,
        executor: ExecutorChoice | None = None,
        *,
        artifacts: ArtifactStore | None = None,
        sinks: Iterable[ProgressSink] = (),
        lease_ttl: float = LEASE_TTL,
    ) -> None:
        self._repository = repository
        self._executor = executor
        self._artifacts = artifacts
        self._sinks = tuple(sinks)
        self._leases = Leases(repository, lease_ttl)
        self._runs: dict[str, _Run] = {}
        self._bells = Bells()
        self._options: dict[str, JobExecutionOptions] = {}
        self._resources = contextlib.AsyncExitStack()
        self._opening: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        await self._open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self, *, hand_over: bool = False) -> None:
        """Pause at once what this manager runs, give the leases back, close the repository.

        With `hand_over` jobs are not paused but left as they are, for another coordinator to go on with: they read
        `running`, and are orphaned. What was asked to pause or to end does so."""
        runs = list(self._runs.values())
        for run in runs:
            if hand_over and not await self._is_to_end(run):
                run.handed_over = True
                run.execution.abort(LeaseLost(f"job {run.lease.job_id} is left to another coordinator"))
            else:
                run.execution.pause(now=True)
        await asyncio.gather(*(run.task for run in runs), return_exceptions=True)
        self._opening = None
        await self._resources.aclose()

    # --- asking ------------------------------------------------------------------------------------------------------

    async def get(self, job_id: str) -> JobStatus:
        """Raises JobNotFound."""
        await self._open()
        return _without_dead_coordinator(await self._repository.get(job_id))

    async def list(
        self,
        states: Iterable[JobState] | None = None,
        *,
        name: str | None = None,
        limit: int = 100,
        offset: int = 0,
        oldest_first: bool = False,
        with_chunks: bool = True,
    ) -> list[JobStatus]:
        """Jobs, the newest first or the oldest; as `JobRepository.list` chooses them. Not `with_chunks`, their
        specifications have none, which costs much less."""
        await self._open()
        jobs = await self._repository.list(
            states=states, name=name, limit=limit, offset=offset, oldest_first=oldest_first, with_chunks=with_chunks
        )
        return [_without_dead_coordinator(status) for status in jobs]

    def running_chunks(self, job_id: str) -> int:
        """How many of a job's chunks this manager is running at this moment."""
        run = self._runs.get(job_id)
        return 0 if run is None else run.execution.running_chunks

    async def wait(self, job_id: str) -> JobStatus:
        """Wait until the job is completed, failed, cancelled or paused, and may be taken up again, whoever runs it.

        Returns early with an orphaned job: nobody runs that. Raises JobNotFound, and what stopped the coordinator when
        that was neither the job's failure nor its cancellation.
        """
        if (run := self._runs.get(job_id)) is not None:
            await asyncio.shield(run.task)
            return await self.get(job_id)
        status = await self.get(job_id)
        # The last that a coordinator does, after its last commit, is to give the lease back.
        while not status.orphaned if status.state in ACTIVE else status.coordinator is not None:
            await asyncio.sleep(POLL_EVERY)
            status = await self.get(job_id)
        return status

    async def watch(self, job_id: str) -> AsyncIterator[JobStatus]:
        """The job's status now and after each change, until it is no longer running, whoever runs it."""
        before: JobStatus | None = None
        while True:
            status = await self.get(job_id)
            if status != before:
                yield status
            if status.state not in ACTIVE or status.orphaned:
                return
            before = status
            await asyncio.sleep(POLL_EVERY)

    async def events(
        self, job_id: str, after: str | None = None, *, newest_run: bool = False
    ) -> AsyncGenerator[tuple[str | None, Event], None]:
        """What a job's sinks are told, with ids: all of it so far, then live, whoever runs it, until the job is no
        longer pending or running, or is orphaned.

        It is read from the repository: the same events in the same order for every reader, none left out and none told
        twice. Who gives the id of the last event as `after` goes on with the one after it, also in another process or
        after a restart. `newest_run` begins with the newest run instead of the first. `ChunkProgressed` and
        `Progressed` have no id: they tell of the moment, a few times a second, and are not kept.

        Raises SpecError for an `after` that the job has not told, JobNotFound, and RepositoryUnavailable.
        """
        with self._bells.hung_up(job_id) as bell:
            told = follow(self._repository, partial(self.get, job_id), bell, after=after, newest_run=newest_run)
            async with contextlib.aclosing(told):
                async for event_id, event in told:
                    yield event_id, event

    async def newest_event(self, job_id: str) -> str | None:
        """The id of the last event that a job has told so far; None before the first. Raises JobNotFound."""
        return await JournalReader(self._repository, await self.get(job_id)).newest_event()

    async def check_event(self, job_id: str, event_id: str) -> None:
        """Raises SpecError unless a job has told an event of this id, and JobNotFound."""
        await JournalReader(self._repository, await self.get(job_id)).seek_event(event_id)

    # --- the life of a job -------------------------------------------------------------------------------------------

    async def submit(
        self,
        spec: JobSpec,
        options: JobExecutionOptions | None = None,
        *,
        worker: WorkerChoice | None = None,
        start: bool = True,
    ) -> str:
        """Store a job and, when this manager has an executor, start it; returns the job's id at once.

        Raises SpecError, PluginError for a stitcher that nobody registered, and JobExists.
        """
        await self._open()
        options = options or JobExecutionOptions()
        settings = await asyncio.to_thread(_checked, spec, options)  # it may have a million chunks
        if options.merge and spec.merge is not None:
            self._stitcher_for(spec)  # a misspelt name is better known before the rendering than after it
        job_id = spec.id or uuid.uuid4().hex[:12]
        now = datetime.now(UTC)
        await self._repository.create(
            JobStatus(
                id=job_id,
                spec=spec,
                state=JobState.PENDING,
                completed_chunks=0,
                total_chunks=len(spec.chunks),
                created_at=now,
                updated_at=now,
                settings=settings,
                worker=worker,
            )
        )
        if self._executor is not None:
            self._options[job_id] = options
        if start and self._executor is not None:
            await self._start(job_id, await self._leases.acquire(job_id))
        return job_id

    async def start(self, job_id: str) -> JobStatus:
        """Run a pending job. Raises WrongState when it no longer is one, and LeaseHeld when somebody runs it."""
        await self._open()
        return await self._continue(job_id, None, wanted=JobState.PENDING)

    async def resume(self, job_id: str, options: JobExecutionOptions | None = None) -> JobStatus:
        """Run what is missing of a job that is pending, paused, failed, cancelled or orphaned.

        Committed chunks whose output still exists are neither run nor reported again. Without `options` those of the
        submission hold. Raises WrongState for a completed job and LeaseHeld for one that somebody runs.
        """
        status = await self.get(job_id)
        if status.state is JobState.COMPLETED:
            raise WrongState(f"job {job_id} is completed; there is nothing to resume")
        return await self._continue(job_id, options)

    async def take_over(self, job_id: str) -> JobStatus:
        """Go on with a job whose coordinator has died, or do with it what that was asked to: pause or cancel it.

        Raises WrongState when it is no longer such a job, and LeaseHeld when somebody runs it.
        """
        wish = (await self.get(job_id)).wish
        if wish is not None:
            return await self._ask(job_id, wish)
        return await self._continue(job_id, None, wanted=JobState.RUNNING)

    async def retry(self, job_id: str, options: JobExecutionOptions | None = None) -> JobStatus:
        """Run only the failed chunks of a job again, and the join when nothing is missing then.

        A job that still lacks chunks afterwards is `paused`: `resume` runs them. Raises WrongState and LeaseHeld.
        """
        status = await self.get(job_id)
        return await self._continue(job_id, options, only=await self._failed_chunks(status))

    async def enqueue(self, job_id: str, *, failed_only: bool = False) -> JobStatus:
        """Ask whoever runs pending jobs to resume this one, or, with `failed_only`, to retry it: it is `pending` then.

        Nothing that is done is done again. Raises WrongState and LeaseHeld as `resume` and `retry` do.
        """
        await self._open()
        await self._enqueued_chunks(await self._repository.get(job_id), failed_only)
        lease = await self._leases.acquire_idle(job_id)
        try:
            status = await self._repository.get(job_id)  # somebody may have run it since
            await self._note_retry(lease, status, await self._enqueued_chunks(status, failed_only))
            await self._repository.commit(lease, Batch(job=JobChange(state=JobState.PENDING)))
        finally:
            await self._leases.release(lease)
        return await self.get(job_id)

    async def pause(self, job_id: str) -> JobStatus:
        """Dispatch nothing more of a job; running chunks finish first, then it is `paused`. `wait` tells when."""
        return await self._ask(job_id, Wish.PAUSE)

    async def cancel(self, job_id: str) -> JobStatus:
        """End a job and its running chunks. `wait` tells when that is done; `resume` can take it up again."""
        return await self._ask(job_id, Wish.CANCEL)

    async def delete(self, job_id: str) -> None:
        """Delete a job, its rows and its logs, not its outputs. Raises WrongState while it runs."""
        status = await self.get(job_id)
        try:
            while True:
                await self._leases.release(await self._leases.acquire_idle(job_id))
                with contextlib.suppress(LeaseHeld):  # by somebody who came in between
                    await self._repository.delete(job_id)
                    break
        except LeaseHeld:
            raise WrongState(f"job {job_id} is running; cancel it first: heliostat cancel {job_id}") from None
        self._options.pop(job_id, None)
        logs = log_dir(status.settings.job_dir or ".", job_id)
        await asyncio.to_thread(shutil.rmtree, logs, ignore_errors=True)

    async def run_pending(self, *, at_once: int = 1, watch: bool = False, take_over: bool = False) -> Sequence[str]:
        """Run the jobs that are pending, the oldest first, `at_once` at a time; returns the ids of those it ran.

        Several processes may do this on one repository: each job is run by one of them. With `watch` it goes on waiting
        for jobs until it is cancelled; with `take_over` it goes on with jobs, too, whose coordinator has died, as far
        as their job directory is there.
        """
        return await JobQueue(self, watch=watch, take_over=take_over).work(at_once)

    # --- coordination ------------------------------------------------------------------------------------------------

    async def _open(self) -> None:
        if self._opening is None:
            self._opening = asyncio.create_task(self._open_all())
        opening = self._opening
        try:
            await asyncio.shield(opening)
        except HeliostatError:
            if self._opening is opening:
                self._opening = None  # the next call tries again
            raise

    async def _open_all(self) -> None:
        await self._resources.enter_async_context(self._repository)
        if self._artifacts is not None:
            await self._resources.enter_async_context(self._artifacts)

    def _stitcher_for(self, spec: JobSpec) -> Stitcher:
        assert spec.merge is not None
        if isinstance(self._executor, JobExecutor):
            return self._executor.stitcher_for(spec)
        return open_stitcher(spec.merge.stitcher, **spec.merge.options)

    async def _enqueued_chunks(self, status: JobStatus, failed_only: bool) -> tuple[int | str, ...] | None:
        """The chunks that a job which is enqueued is to retry; None when it is to resume. Raises WrongState."""
        if status.state in (JobState.COMPLETED, JobState.PENDING):
            raise WrongState(f"job {status.id} is {status.state}; there is nothing to enqueue")
        return await self._failed_chunks(status) if failed_only else None

    async def _failed_chunks(self, status: JobStatus) -> tuple[int | str, ...]:
        """The ids of the chunks that a retry runs; none when all that is left is to join. Raises WrongState."""
        if status.state in (JobState.COMPLETED, JobState.PENDING):
            raise WrongState(f"job {status.id} is {status.state}; only failed chunks can be retried, and it has none")
        failed = await self._repository.chunks(status.id, state=ChunkState.FAILED)
        if not failed and status.state is not JobState.FAILED:
            raise WrongState(
                f"job {status.id} has no failed chunk; `heliostat resume {status.id}` renders what is missing"
            )
        return tuple(chunk.id for chunk in failed)

    async def _note_retry(self, lease: Lease, status: JobStatus, chunks: tuple[int | str, ...] | None) -> None:
        """Keep with the job which chunks are retried, or that none are, for who goes on with it."""
        if chunks != status.settings.retry_chunks:
            settings = msgspec.structs.replace(status.settings, retry_chunks=chunks)
            await self._repository.configure(lease, msgspec.structs.replace(status, settings=settings))

    async def _continue(
        self,
        job_id: str,
        options: JobExecutionOptions | None,
        *,
        only: tuple[int | str, ...] | None = None,
        wanted: JobState | None = None,
    ) -> JobStatus:
        lease = await (self._leases.acquire_idle(job_id) if wanted is None else self._leases.acquire(job_id))
        if options is not None:
            try:
                status = await self._repository.get(job_id)
                chunk_indexes(status.spec, options.only_chunks or ())
                await self._repository.configure(lease, msgspec.structs.replace(status, settings=options.settings()))
                self._options[job_id] = options
            except BaseException:
                await self._leases.release(lease)
                raise
        await self._start(job_id, lease, only=only, wanted=wanted)
        return await self._repository.get(job_id)

    async def _start(
        self,
        job_id: str,
        lease: Lease,
        *,
        only: tuple[int | str, ...] | None = None,
        wanted: JobState | None = None,
    ) -> None:
        """Begin to coordinate; the lease is given back when the run ends, or when it cannot begin."""
        try:
            if self._executor is None:
                raise WrongState("this manager has no executor, so it can only submit and control jobs")
            status = await self._repository.get(job_id)
            if status.state is JobState.COMPLETED:
                raise WrongState(f"job {job_id} is completed; there is nothing to run")
            if wanted not in (None, status.state):
                raise WrongState(f"job {job_id} is {status.state}, no longer {wanted}")
            executor = self._executor if isinstance(self._executor, JobExecutor) else self._executor(status)
            options = self._options.get(job_id) or JobExecutionOptions.from_settings(status.settings)
            if wanted is None:
                await self._note_retry(lease, status, only)
            else:  # what was asked for goes on
                only = status.settings.retry_chunks
            known = await self._recover(executor, lease, status)
            if only is None and options.only_chunks is not None:
                # Those chunks were asked for; once they have all been rendered, going on means the rest.
                only = tuple(options.only_chunks)
                if known.committed.issuperset(str(chunk) for chunk in only):
                    only = None
            run = _Run(
                lease,
                Execution(
                    executor,
                    status.spec,
                    msgspec.structs.replace(options, completed_chunks=known.completed, only_chunks=only),
                    job_id=job_id,
                    commit=partial(self._commit, lease),
                    attempts=known.attempts,
                    metrics=status.metrics,
                    artifacts=self._artifacts,
                    sinks=self._sinks,
                ),
            )
            # Not left to the run, so that whoever looks from now on sees that the job runs.
            await self._repository.commit(lease, Batch(job=JobChange(state=JobState.RUNNING)))
        except Exception as error:
            if isinstance(error, HeliostatError) and not isinstance(error, (PluginError, SpecError, AttemptError)):
                await self._leases.release(lease)
                raise
            # Nobody who runs the job could do better.
            await self._repository.commit(lease, Batch(job=JobChange(state=JobState.FAILED, error=_sentence(error))))
            await self._leases.release(lease)
            raise
        except BaseException:
            await self._leases.release(lease)
            raise
        self._runs[job_id] = run
        run.task = asyncio.create_task(self._coordinate(run))
        run.task.add_done_callback(_retrieve)

    async def _commit(self, lease: Lease, batch: Batch) -> None:
        await self._repository.commit(lease, batch)
        self._bells.ring(lease.job_id)

    async def _recover(self, executor: JobExecutor, lease: Lease, status: JobStatus) -> Known:
        if self._artifacts is not None or not status.has_run:
            return await recover(self._repository, lease, status, self._artifacts)
        async with executor.opened():  # where the outputs are may only be known to the adapter
            return await recover(self._repository, lease, status, executor.artifacts)

    async def _coordinate(self, run: _Run) -> None:
        keeper = asyncio.create_task(self._keep(run))
        job_id = run.lease.job_id
        try:
            result = await run.execution.run()
            if result.state is JobState.COMPLETED:
                self._options.pop(job_id, None)
        except (JobFailed, JobCancelled) as ended:
            logger.debug("job %s: %s", job_id, ended)
        except LeaseLost:
            if not run.handed_over:
                raise
        finally:
            run.has_ended = True
            keeper.cancel()
            try:
                await asyncio.gather(keeper, return_exceptions=True)
                await self._leases.release(run.lease, run.asked)
            finally:
                del self._runs[job_id]

    async def _keep(self, run: _Run) -> None:
        """Keep the lease, and carry out what other processes ask."""
        renewed = time.monotonic()
        while True:
            await asyncio.sleep(POLL_EVERY)
            try:
                match await self._repository.poll(run.lease):
                    case Wish.PAUSE:
                        run.execution.pause()
                    case Wish.CANCEL:
                        run.execution.cancel()
                if time.monotonic() - renewed > self._leases.ttl / 3:
                    await self._repository.commit(run.lease, Batch())
                    renewed = time.monotonic()
            except RepositoryUnavailable as error:
                logger.debug("job %s: %s", run.lease.job_id, error)
            except HeliostatError as error:
                run.execution.abort(error)
                return

    async def _ask(self, job_id: str, wish: Wish) -> JobStatus:
        run = self._runs.get(job_id)
        if run is not None and not run.has_ended:  # at once, whatever the repository is busy with
            run.asked = wish if run.asked is not Wish.CANCEL else run.asked
            run.execution.pause() if wish is Wish.PAUSE else run.execution.cancel()
            return await self.get(job_id)
        while True:
            status = await self.get(job_id)
            if status.state is WISHED[wish]:
                return status  # whoever asks twice, or too late, has what was asked for
            if not can_grant(wish, status.state):
                raise WrongState(f"job {job_id} is {status.state}; only a pending or running job can be {WISHED[wish]}")
            try:
                lease = await self._leases.acquire(job_id)
            except LeaseHeld:
                status = await self._repository.wish(job_id, wish)
                if status.wish is not None and status.coordinator is not None:
                    return status
            else:  # nobody runs it
                await self._leases.release(lease, wish)

    async def _is_to_end(self, run: _Run) -> bool:
        """Whether somebody has asked for it; then it ends without waiting for running chunks."""
        wish = None
        with contextlib.suppress(HeliostatError):
            wish = (await self._repository.get(run.lease.job_id)).wish
        if wish is Wish.CANCEL:
            run.execution.cancel()
        elif wish is Wish.PAUSE or run.execution.stopping is JobState.PAUSED:
            run.execution.pause(now=True)
        return wish is not None or run.execution.stopping is not None


def _checked(spec: JobSpec, options: JobExecutionOptions) -> JobSettings:
    """What outlives the process of the options. Raises SpecError for these and the specification."""
    validate(spec, job_dir=options.job_dir)
    chunk_indexes(spec, options.only_chunks or ())
    return options.settings()


def _sentence(error: Exception) -> str:
    return str(error) if isinstance(error, HeliostatError) else f"{type(error).__name__}: {error}"


def _without_dead_coordinator(status: JobStatus) -> JobStatus:
    """Where a coordinator's death can be proved, its job is orphaned at once, and not when the lease runs out."""
    if status.coordinator is not None and is_dead(status.coordinator):
        return msgspec.structs.replace(status, coordinator=None)
    return status


def _retrieve(task: asyncio.Task[None]) -> None:
    """A run that nobody waits for must still not end unheard."""
    if not task.cancelled() and (error := task.exception()) is not None:
        logger.error("a run ended without a word to its repository: %s", error)
