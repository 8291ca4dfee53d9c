"""Inside a task of a job: runs the one chunk that is meant for it, and says so in the coordinator's mailbox."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import time
from pathlib import Path
from typing import Final

from heliostat import ArtifactStore, ChunkRequest, ChunkResult, open_artifact_store
from heliostat.errors import (
    ArtifactError,
    AttemptCancelled,
    AttemptError,
    HeliostatError,
    Misconfigured,
    TimedOut,
    WorkerLost,
)
from heliostat.worker import (
    FramesMessage,
    LogMessage,
    Message,
    Outbox,
    RemoteWorkers,
    ResultMessage,
    Warden,
    decode_request,
    encode_message,
    failed_result,
)
from heliostat_gcp.artifacts import GcsArtifactStore
from heliostat_gcp.mailbox import ALIVE_EVERY, Slot
from heliostat_gcp.options import GcsOptions

GRACE: Final = 2.0
"""Seconds between SIGTERM and SIGKILL for a command; Cloud Run gives a task 10 in all to end."""
REPORT_EVERY: Final = 1.5
"""Seconds between reports, where there are few tasks."""
REPORTS_A_SECOND: Final = 200
"""Reports of all tasks of an execution, at the most: a coordinator reads about twice as many."""
RESERVE: Final = 12.0
"""Seconds of the task's time that are kept for ending the command and telling of it."""
LOOK_EVERY: Final = 2.0
"""Seconds between looks for the cancel marker."""
ABANDONED_AFTER: Final = 5 * ALIVE_EVERY
"""Seconds without a sign of life after which the coordinator is taken for dead: nobody would read the result."""


async def run_task(root: Path, cache_limit: int) -> int:
    """Returns the exit status: 0 when the result was told, whatever it is."""
    task, batch = int(os.environ["CLOUD_RUN_TASK_INDEX"]), os.environ["HELIOSTAT_BATCH"]
    if os.environ.get("CLOUD_RUN_TASK_ATTEMPT", "0") != "0":
        # The coordinator tries again itself, which it counts; the request has been answered or given up.
        sys.stderr.write("this task is tried again by Cloud Run; deploy the job with maxRetries 0\n")
        return 1
    try:
        async with GcsArtifactStore(GcsOptions(url=os.environ["HELIOSTAT_ARTIFACTS"])) as store:
            slot = Slot(store, batch, task)

            def open_store(url: str) -> ArtifactStore:
                """Nearly always the one with the mailbox, which has its connections."""
                wanted = open_artifact_store(url)
                return store if wanted.url == store.url else wanted

            workers = RemoteWorkers(open_store, root, cache_limit=cache_limit)
            try:
                result = await _Task(slot, workers).run()
            finally:
                await workers.close()
            await slot.result(encode_message(ResultMessage(result)))
    except ArtifactError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


class _Task:
    def __init__(self, slot: Slot, workers: RemoteWorkers) -> None:
        self._slot = slot
        self._workers = workers
        self._period = max(REPORT_EVERY, int(os.environ.get("CLOUD_RUN_TASK_COUNT", 1)) / REPORTS_A_SECOND)
        self._seconds = max(1.0, float(os.environ["HELIOSTAT_TASK_SECONDS"]) - RESERVE)
        self._some = asyncio.Event()
        loop = asyncio.get_running_loop()
        self._outbox = Outbox(lambda: loop.call_soon_threadsafe(self._some.set))
        self._over = asyncio.Event()
        """Nothing more is said."""
        self._terminated = asyncio.Event()

    async def run(self) -> ChunkResult:
        """Never raises AttemptErrors: what went wrong is told in the result."""
        begun = self._begun_clock = time.monotonic()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, self._terminated.set)
        request: ChunkRequest | None = None
        try:
            if (line := await self._slot.request()) is None:
                raise AttemptCancelled("its request was withdrawn")
            request = decode_request(line)
            if await self._slot.is_cancelled():
                raise AttemptCancelled("cancelled before it began")
            sign = await self._slot.last_sign()
            if sign is None or time.time() - sign.modified_at.timestamp() > ABANDONED_AFTER:
                raise AttemptCancelled("its coordinator is gone")
            return await self._run(request, sign.version)
        except AttemptError as failure:
            error = failure
        except HeliostatError as failure:  # a store that this worker cannot open
            error = Misconfigured(str(failure))
        except OSError as failure:
            error = WorkerLost(f"the worker failed ({type(failure).__name__}: {failure}); see its log")
        return failed_result(error, request, time.monotonic() - begun)

    async def _run(self, request: ChunkRequest, sign: str) -> ChunkResult:
        """`sign`: the version of the coordinator's last sign of life."""
        assert request.artifacts is not None
        worker = await self._workers.of(request.artifacts)
        warden = Warden()
        attempt = asyncio.create_task(worker.run(request, self._outbox, grace=GRACE, warden=warden))
        reporting = asyncio.create_task(self._report())
        endings = {
            asyncio.create_task(self._until_cancelled()): AttemptCancelled("cancelled as asked"),
            asyncio.create_task(self._until_abandoned(sign)): AttemptCancelled("its coordinator is gone"),
            asyncio.create_task(self._until_terminated()): WorkerLost("Cloud Run has ended the task"),
            asyncio.create_task(self._until_time_is_up()): TimedOut(
                "the task's time is up; deploy the job with more, or make the chunks smaller"
            ),
        }
        try:
            ended, _ = await asyncio.wait([attempt, *endings], return_when=asyncio.FIRST_COMPLETED)
            if attempt in ended:
                return attempt.result()
            attempt.cancel()
            await asyncio.wait([attempt])
            raise next(error for ending, error in endings.items() if ending in ended)
        finally:
            for ending in endings:
                ending.cancel()
            self._over.set()  # not cancelled, since what it is about to send would be lost
            self._some.set()
            await asyncio.gather(reporting, *endings, return_exceptions=True)
            await warden.close()

    async def _report(self) -> None:
        while not self._over.is_set():
            await self._some.wait()
            self._some.clear()
            await self._send(self._outbox.take())
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._over.wait(), self._period)
        await self._send(self._outbox.take())

    async def _send(self, messages: list[Message]) -> None:
        """Heartbeats are left out, since Cloud Run tells whether a task lives. But the first report is made whatever it
        says: it tells that the task has begun."""
        frames = next((message.frames for message in messages if isinstance(message, FramesMessage)), None)
        lines = b"".join(encode_message(message) for message in messages if isinstance(message, LogMessage))
        if lines or frames is not None or (messages and not self._slot.reports):
            try:
                await self._slot.report(frames, lines)
            except ArtifactError as error:  # the chunk is worth finishing all the same
                sys.stderr.write(f"a report was not sent: {error}\n")

    async def _until_cancelled(self) -> None:
        while True:
            await asyncio.sleep(LOOK_EVERY)
            with contextlib.suppress(ArtifactError):
                if await self._slot.is_cancelled():
                    return

    async def _until_abandoned(self, last: str) -> None:
        """Both clocks are this machine's: it only looks whether there is something new."""
        heard_clock = time.monotonic()
        while time.monotonic() - heard_clock < ABANDONED_AFTER:
            await asyncio.sleep(ALIVE_EVERY / 2)
            with contextlib.suppress(ArtifactError):
                sign = await self._slot.last_sign()
                if sign is not None and sign.version != last:
                    last, heard_clock = sign.version, time.monotonic()

    async def _until_terminated(self) -> None:
        await self._terminated.wait()

    async def _until_time_is_up(self) -> None:
        """Cloud Run counts from the start of the task, with the inputs on their way; a chunk's own limit is counted
        from the start of its command."""
        await asyncio.sleep(self._begun_clock + self._seconds - time.monotonic())
