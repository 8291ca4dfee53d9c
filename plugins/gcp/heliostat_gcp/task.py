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

from heliostat import ChunkRequest, ChunkResult
from heliostat.errors import ArtifactError, AttemptCancelled, AttemptError, WorkerLost
from heliostat.worker import (
    FramesMessage,
    LogMessage,
    Message,
    Outbox,
    RemoteWorker,
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
"""Seconds between reports."""
LOOK_EVERY: Final = 2.0
"""Seconds between looks for the cancel marker."""
ABANDONED_AFTER: Final = 5 * ALIVE_EVERY
"""Seconds without a sign of life after which the coordinator is taken for dead: nobody would read the result."""


async def run_task(root: Path, cache_limit: int) -> int:
    """Returns the exit status: 0 when the result was told, whatever it is. Raises KeyError without the variables that
    the coordinator and Cloud Run set."""
    task, batch = int(os.environ["CLOUD_RUN_TASK_INDEX"]), os.environ["HELIOSTAT_BATCH"]
    if os.environ.get("CLOUD_RUN_TASK_ATTEMPT", "0") != "0":
        # The coordinator tries again itself, which it counts; the request has been answered or given up.
        sys.stderr.write("this task is tried again by Cloud Run; deploy the job with maxRetries 0\n")
        return 1
    try:
        async with GcsArtifactStore(GcsOptions(url=os.environ["HELIOSTAT_ARTIFACTS"])) as store:
            slot = Slot(store, batch, task)
            result = await _Task(slot, RemoteWorker(store, root, cache_limit=cache_limit)).run()
            await slot.result(encode_message(ResultMessage(result)))
    except ArtifactError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


class _Task:
    def __init__(self, slot: Slot, worker: RemoteWorker) -> None:
        self._slot = slot
        self._worker = worker
        self._some = asyncio.Event()
        loop = asyncio.get_running_loop()
        self._outbox = Outbox(lambda: loop.call_soon_threadsafe(self._some.set))
        self._terminated = asyncio.Event()

    async def run(self) -> ChunkResult:
        """Never raises AttemptErrors: what went wrong is told in the result."""
        begun = time.monotonic()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, self._terminated.set)
        request: ChunkRequest | None = None
        try:
            request = decode_request(await self._slot.request())
            if await self._slot.is_cancelled():
                raise AttemptCancelled("cancelled before it began")
            return await self._run(request)
        except AttemptError as error:
            return failed_result(error, request, time.monotonic() - begun)

    async def _run(self, request: ChunkRequest) -> ChunkResult:
        warden = Warden()
        attempt = asyncio.create_task(self._worker.run(request, self._outbox, grace=GRACE, warden=warden))
        reporting = asyncio.create_task(self._report())
        endings = {
            asyncio.create_task(self._until_cancelled()): AttemptCancelled("cancelled as asked"),
            asyncio.create_task(self._until_abandoned()): AttemptCancelled("its coordinator is gone"),
            asyncio.create_task(self._until_terminated()): WorkerLost("Cloud Run has ended the task"),
        }
        try:
            ended, _ = await asyncio.wait([attempt, *endings], return_when=asyncio.FIRST_COMPLETED)
            if attempt in ended:
                return attempt.result()
            attempt.cancel()
            await asyncio.wait([attempt])
            raise next(error for ending, error in endings.items() if ending in ended)
        finally:
            for helper in (reporting, *endings):
                helper.cancel()
            await asyncio.gather(reporting, *endings, return_exceptions=True)
            await warden.close()
            await self._send(self._outbox.take())

    async def _report(self) -> None:
        while True:
            await self._some.wait()
            self._some.clear()
            await self._send(self._outbox.take())
            await asyncio.sleep(REPORT_EVERY)

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

    async def _until_abandoned(self) -> None:
        """Both clocks are this machine's: it only looks whether there is something new."""
        last, heard_clock = None, time.monotonic()
        while time.monotonic() - heard_clock < ABANDONED_AFTER:
            with contextlib.suppress(ArtifactError):
                if (sign := await self._slot.last_sign()) != last:
                    last, heard_clock = sign, time.monotonic()
            await asyncio.sleep(ALIVE_EVERY / 2)

    async def _until_terminated(self) -> None:
        await self._terminated.wait()
