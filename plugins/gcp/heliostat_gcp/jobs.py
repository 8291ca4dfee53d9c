"""The worker adapter `gcp-cloud-run-jobs`: attempts as tasks of a Cloud Run job, for chunks that take hours.

Attempts that are ready together become one execution with a task for each. Requests, reports and results go through the
bucket (`heliostat_gcp.mailbox`); Cloud Run itself is asked only for what has ended without a result.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Any, Final, Self

from msgspec.structs import replace

from heliostat import ChunkReport, ChunkRequest, ChunkResult, WorkerAdapter, WorkerLimits
from heliostat.errors import (
    ArtifactDenied,
    ArtifactError,
    AttemptCancelled,
    AttemptError,
    HeliostatError,
    Misconfigured,
    WorkerLost,
)
from heliostat.worker import encode_request
from heliostat_gcp.admin_api import Size, environment, place_of, size_of, whole_name
from heliostat_gcp.artifacts import GcsArtifactStore
from heliostat_gcp.costs import Prices, with_usage
from heliostat_gcp.errands import Batch, Errand
from heliostat_gcp.executions import ExecutionApi
from heliostat_gcp.gathering import Gathering
from heliostat_gcp.mailbox import ALIVE_EVERY, Mailbox
from heliostat_gcp.options import CloudRunJobsOptions, GcsOptions
from heliostat_gcp.sight import Sight

COLLECT_EVERY: Final = 1.0
"""Seconds between looks into the mailbox."""
CANCEL_WINDOW: Final = 0.1
"""Seconds that further cancellations are waited for."""
CANCEL_AGAIN: Final = 2.0
"""Seconds until a cancellation is tried again that has failed."""
CANCEL_PATIENCE: Final = 25.0
"""Seconds that a cancelled task gets to end: it looks for the marker every 2, and its command gets 2 to end."""
RESERVE: Final = 15.0
"""Seconds of a task's time that are kept for ending a chunk and telling of it."""
MOST_AT_ONCE: Final = 10_000

logger = logging.getLogger("heliostat.gcp")


class CloudRunJobsAdapter(WorkerAdapter):
    name = "gcp-cloud-run-jobs"

    def __init__(self, options: CloudRunJobsOptions) -> None:
        self._options = options
        self._prices = Prices(options.usd_per_vcpu_second, options.usd_per_gib_second)
        self.artifacts = options.artifacts
        self._openings = 0
        self._resources = AsyncExitStack()
        self._api: ExecutionApi
        self._size: Size
        self._seconds: float
        """The time limit of a task."""
        self._mailbox: Mailbox
        self._env: dict[str, str]
        self._gathering: Gathering[Errand]
        self._batches: dict[int, Batch] = {}
        self._started = 0
        self._url: str
        self._some: asyncio.Event

    # --- opening -----------------------------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        """Find the job and its bucket. Raises AttemptErrors and ArtifactError."""
        if self._openings == 0:
            async with AsyncExitStack() as stack:
                await self._open(stack)
                self._resources = stack.pop_all()
        self._openings += 1
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._openings -= 1
        if self._openings == 0:
            await self._resources.aclose()

    async def _open(self, stack: AsyncExitStack) -> None:
        job_name = await asyncio.to_thread(whole_name, self._options.job, "jobs", self._options)
        api = self._api = await asyncio.to_thread(ExecutionApi, job_name, self._options.endpoint)
        stack.push_async_callback(asyncio.to_thread, api.close)
        template = (await asyncio.to_thread(api.job)).template.template
        if template.max_retries:
            raise Misconfigured(
                f"{job_name} has its tasks tried again by Cloud Run, which would run chunks twice; deploy it with"
                " maxRetries 0"
            )
        container = template.containers[0]
        url = self._options.artifacts or environment(container).get("HELIOSTAT_ARTIFACTS")
        if url is None:
            raise Misconfigured(
                "no bucket is named; give artifacts=gs://BUCKET/PREFIX, or deploy the job with HELIOSTAT_ARTIFACTS"
            )
        self.artifacts = url
        self._size = size_of(container)
        self._seconds = seconds = template.timeout.total_seconds() or 600.0
        self.limits = WorkerLimits(
            concurrency=MOST_AT_ONCE,
            default_concurrency=self._options.concurrency,
            longest_chunk=max(1.0, seconds - RESERVE),
            queues=True,
        )
        store = await stack.enter_async_context(GcsArtifactStore(GcsOptions(url=url)))
        self._session = secrets.token_hex(8)
        self._url = url
        mailbox = self._mailbox = Mailbox(store, self._session)
        await mailbox.live()
        stack.push_async_callback(self._clear)
        self._batches = {}
        self._some = asyncio.Event()
        self._gathering = Gathering(self._start)
        stack.push_async_callback(self._gathering.close)
        stack.push_async_callback(self._end_cancelling)
        for work in (self._watch(), self._live()):
            stack.push_async_callback(_end, asyncio.create_task(work))

    async def _clear(self) -> None:
        with contextlib.suppress(ArtifactError):  # it expires by itself
            await self._mailbox.clear()

    async def _end_cancelling(self) -> None:
        for batch in self._batches.values():
            if batch.cancelling is not None:
                await _end(batch.cancelling)

    async def _live(self) -> None:
        """Give signs of life: tasks that see none for minutes end."""
        while True:
            await asyncio.sleep(ALIVE_EVERY)
            with contextlib.suppress(ArtifactError):
                await self._mailbox.live()

    # --- attempts ----------------------------------------------------------------------------------------------------

    async def run(self, request: ChunkRequest, report: ChunkReport) -> ChunkResult:
        errand = Errand(request, report)
        self._gathering.add(request.job_id, errand)
        try:
            result = await asyncio.shield(errand.outcome)
        except asyncio.CancelledError:
            await self._cancel(errand)
            raise
        return with_usage(result, self._size, self._prices, self._log_url(errand))

    async def _start(self, job_id: str, errands: list[Errand]) -> None:
        """One execution for attempts of one job, so that ending the job may end the execution."""
        self._started += 1
        batch = Batch(self._started, errands)
        try:
            await self._mailbox.post(batch.number, [self._line(errand.request) for errand in errands])
            if all(errand.cancelled for errand in errands):  # meanwhile
                batch.fail(AttemptCancelled("cancelled before it began"))
                return
            batch.execution = await self._run(batch)
        except ArtifactDenied as error:
            batch.fail(Misconfigured(f"the requests could not be stored: {error}"))
        except ArtifactError as error:
            batch.fail(WorkerLost(f"the requests could not be stored: {error}"))
        except AttemptError as error:
            batch.fail(error)
        except Exception as error:
            logger.exception("an execution of %s could not be started", self._options.job)
            batch.fail(WorkerLost(f"its execution could not be started ({type(error).__name__}: {error})"))
        else:
            self._batches[batch.number] = batch
            self._some.set()
            if any(errand.cancelled for errand in errands):
                self._cancel_soon(batch)

    def _line(self, request: ChunkRequest) -> bytes:
        return encode_request(replace(request, artifacts=request.artifacts or self._url))

    async def _run(self, batch: Batch) -> str:
        """Start the execution of a batch, also when the answer is lost on its way; returns its name."""
        env = {
            "HELIOSTAT_ARTIFACTS": self._url,
            "HELIOSTAT_BATCH": f"{self._session}/{batch.number}",
            "HELIOSTAT_TASK_SECONDS": str(self._seconds),
        }
        try:
            return await asyncio.to_thread(self._api.run, env, len(batch.errands))
        except WorkerLost:
            with contextlib.suppress(AttemptError):
                if (found := await asyncio.to_thread(self._api.find, "HELIOSTAT_BATCH", env)) is not None:
                    return found
            await self._mailbox.withdraw(batch.number)  # what begins all the same has nothing to do
            raise

    async def _cancel(self, errand: Errand) -> None:
        """End its task, and wait until that has happened: what it still did would be billed all the same."""
        if self._gathering.remove(errand.request.job_id, errand):
            return
        errand.cancelled = True
        if errand.batch is not None and errand.batch.execution is not None:
            self._cancel_soon(errand.batch)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CANCEL_PATIENCE):
                await errand.over.wait()

    def _cancel_soon(self, batch: Batch) -> None:
        if batch.cancelling is None:
            batch.cancelling = asyncio.create_task(self._cancel_together(batch))

    async def _cancel_together(self, batch: Batch) -> None:
        """Whole executions in one call, or some of their tasks by markers; nothing else in either case."""
        assert batch.execution is not None
        told: set[int] = set()
        """Places of tasks that have a marker."""
        while True:
            await asyncio.sleep(CANCEL_WINDOW)
            waiting = {place: errand for place, errand in enumerate(batch.errands) if not errand.over.is_set()}
            wanted = {place for place, errand in waiting.items() if errand.cancelled}
            if wanted <= told:
                break
            try:
                if len(wanted) == len(waiting):
                    await asyncio.to_thread(self._api.cancel, batch.execution)
                else:
                    await self._mailbox.cancel(batch.number, sorted(wanted - told))
                told |= wanted
            except HeliostatError as error:
                logger.warning("tasks of %s could not be cancelled yet: %s", batch.execution, error)
                await asyncio.sleep(CANCEL_AGAIN)
        batch.cancelling = None
        batch.look_soon()

    # --- what comes back ---------------------------------------------------------------------------------------------

    async def _watch(self) -> None:
        sight = Sight()
        while True:
            if not self._batches:
                self._some.clear()
                await self._some.wait()
                sight.renew()
            try:
                await self._collect()
                for batch in list(self._batches.values()):
                    if batch.is_due():
                        await self._look_after(batch)
                sight.renew()
            except HeliostatError as error:
                logger.warning("tasks cannot be watched, trying again: %s", error)
                if sight.is_lost:
                    await self._give_up(WorkerLost(f"nothing can be heard of its task: {error}"))
            except Exception as error:
                logger.exception("tasks cannot be watched")
                await self._give_up(WorkerLost(f"its task could not be watched ({type(error).__name__}: {error})"))
            self._batches = {number: batch for number, batch in self._batches.items() if not batch.is_over}
            await asyncio.sleep(COLLECT_EVERY)

    async def _give_up(self, error: AttemptError) -> None:
        names = [batch.execution for batch in self._batches.values() if batch.execution is not None]
        for batch in self._batches.values():
            batch.fail(error)
        cancelled = (asyncio.to_thread(self._api.cancel, name) for name in names)
        await asyncio.gather(*cancelled, return_exceptions=True)

    async def _collect(self) -> None:
        for letter in await self._mailbox.collect():
            if (batch := self._batches.get(letter.batch)) is not None:
                errand = batch.errands[letter.task]
                try:
                    errand.hear(letter)
                except AttemptError as error:
                    errand.fail(error)
        for batch in self._batches.values():
            for errand in batch.errands:
                errand.settle()

    async def _look_after(self, batch: Batch) -> None:
        """Find tasks that have ended and left no result."""
        assert batch.execution is not None
        try:
            ended = await asyncio.to_thread(self._api.ended_tasks, batch.execution)
            if ended <= batch.ended:
                return
            for _ in range(2):  # whatever they have left is there by now
                await self._collect()
            if ended <= batch.ended:
                return
            outcomes = await asyncio.to_thread(self._api.outcomes, batch.execution)
        except Misconfigured as error:  # the execution was deleted, or may not be looked at
            batch.fail(error)
            return
        for _ in range(2):
            await self._collect()
        for place, failure in outcomes.items():
            batch.errands[place].fail(failure)

    def _log_url(self, errand: Errand) -> str | None:
        if errand.batch is None or errand.batch.execution is None:
            return None
        place = place_of(errand.batch.execution)
        execution = errand.batch.execution.rpartition("/")[2]
        page = f"https://console.cloud.google.com/run/jobs/executions/details/{place.region}/{execution}/tasks"
        return f"{page}?project={place.project}"


async def _end(task: asyncio.Task[Any]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
