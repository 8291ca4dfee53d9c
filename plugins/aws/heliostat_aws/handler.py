"""The worker inside Lambda: `heliostat_aws.handler.handle` is the function's handler.

An execution environment keeps one worker for all its invocations: an event loop, connections, and the inputs that were
fetched, in the temporary directory. Everything else of an attempt is removed when it is over.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import hashlib
import os
import platform
import shutil
import tempfile
import time
import uuid
from pathlib import Path
from typing import Any, Final

import msgspec

import heliostat
from heliostat import ArtifactStore, ChunkReport, ChunkRequest, ChunkResult, Usage, from_builtins, open_artifact_store
from heliostat.errors import ArtifactError, AttemptCancelled, AttemptError, TimedOut
from heliostat.worker import (
    RemoteWorker,
    RemoteWorkers,
    ResultMessage,
    Warden,
    decode_request,
    encode_message,
    failed_result,
)
from heliostat_aws.invocation import Delivery, Stored, log_url
from heliostat_aws.keys import cancel_key, claim_key, result_key
from heliostat_aws.reporting import NoReports, ReportSender
from heliostat_aws.session import Connection, open_client

GRACE: Final = 2.0
"""Seconds between SIGTERM and SIGKILL."""
RESERVE: Final = 5.0
"""Seconds of the function's time that are kept for ending a chunk and telling of it."""
LOOK_EVERY: Final = 1.0
"""Seconds between looks for the cancel marker."""
LARGEST_ANSWER: Final = 5_500_000
"""Bytes of a result that is returned; Lambda takes 6 MB."""
FIRST: Final = 0.5
"""Seconds until reports are sent: those of a chunk that is over by then go with its result. An asynchronous invocation
tells at once that it lives."""
LARGEST_REST: Final = 200_000
"""Bytes of reports that go with the result."""
LARGEST_REPLY: Final = 150_000
"""Bytes of a result that goes over the queue."""


def handle(event: dict[str, Any], context: Any) -> dict[str, Any] | None:
    """Run the chunk of one invocation."""
    if event.get("invocation") == "hello":
        return {"heliostat": heliostat.__version__, "python": platform.python_version()}
    environment = _environment()
    return environment.runner.run(environment.serve(event, context))


class Environment:
    """What lives as long as the execution environment."""

    def __init__(self) -> None:
        self.runner = asyncio.Runner()
        self._tmp = Path(tempfile.gettempdir())
        self._root = self._tmp / "heliostat"
        self._own = {self._root, *self._tmp.iterdir()}
        free = shutil.disk_usage(self._tmp).free
        limit = int(os.environ.get("HELIOSTAT_CACHE_MB", free >> 21)) << 20
        self._workers = RemoteWorkers(open_artifact_store, self._root, cache_limit=limit)
        self._sqs: Any = None
        self._warden = Warden()

    async def serve(self, event: dict[str, Any], context: Any) -> dict[str, Any] | None:
        begun = time.monotonic()
        ends = begun + context.get_remaining_time_in_millis() / 1000
        try:
            request = decode_request(msgspec.json.encode(event))
            delivery = from_builtins(event, Delivery)
        except AttemptError as error:
            return _returned(encode_message(ResultMessage(failed_result(error, None, 0.0))))
        worker = await self._workers.of(request.artifacts or os.environ["HELIOSTAT_ARTIFACTS"])
        store = worker.store
        if delivery.invocation == "event" and not await _claim(store, request, delivery, context.aws_request_id):
            return None  # Lambda delivered it twice
        sender: ReportSender | NoReports = NoReports()
        if delivery.reply_queue:
            # Who waits for the answer of a synchronous invocation sees by its connection that the worker lives.
            is_event = delivery.invocation == "event"
            sender = ReportSender(
                self._queue(),
                delivery.reply_queue,
                delivery.call_id,
                first=0.0 if is_event else FIRST,
                heartbeats=is_event,
            )
        result = await self._run(worker, request, delivery, sender.report, begun, ends)
        await asyncio.to_thread(self._sweep)
        result = msgspec.structs.replace(
            result,
            worker=os.environ.get("AWS_LAMBDA_LOG_STREAM_NAME"),
            log_url=log_url(
                os.environ.get("AWS_REGION", ""),
                os.environ.get("AWS_LAMBDA_LOG_GROUP_NAME", ""),
                os.environ.get("AWS_LAMBDA_LOG_STREAM_NAME", ""),
            ),
        )
        key = result_key(request.job_id, delivery.call_id)
        if delivery.invocation == "event":
            # Nobody gets Lambda's own report of such an invocation; it differs by the milliseconds from here on.
            memory = int(os.environ.get("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", 0))
            usage = Usage(billed_seconds=round(time.monotonic() - begun, 3), memory_mb=memory)
            result = msgspec.structs.replace(result, usage=usage)
            last = await _fitted(result, key, store, LARGEST_REPLY)
            await asyncio.to_thread(sender.close, last)
            return None
        rest = await asyncio.to_thread(sender.close_with, LARGEST_REST)
        return _returned(await _fitted(result, key, store, LARGEST_ANSWER), sender.batches, rest)

    def _sweep(self) -> None:
        """Remove what a command has left in the temporary directory, beside the folder of its own."""
        for path in {*self._tmp.iterdir()} - self._own:
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            else:
                with contextlib.suppress(OSError):
                    path.unlink()

    def _queue(self) -> Any:
        if self._sqs is None:
            self._sqs = open_client("sqs", Connection(), retries={"mode": "standard", "total_max_attempts": 3})
        return self._sqs

    async def _run(
        self,
        worker: RemoteWorker,
        request: ChunkRequest,
        delivery: Delivery,
        report: ChunkReport,
        begun: float,
        ends: float,
    ) -> ChunkResult:
        """Never raises: what went wrong is told in the result, before Lambda would end the environment."""
        left = ends - time.monotonic() - RESERVE
        timeout = left if request.timeout is None else min(left, request.timeout)
        request = msgspec.structs.replace(request, timeout=max(0.1, timeout))
        attempt = asyncio.ensure_future(worker.run(request, report, grace=GRACE, warden=self._warden))
        marker = asyncio.ensure_future(_until_marked(worker.store, cancel_key(request.job_id, delivery.call_id)))
        try:
            # The deadline holds for fetching and delivering too, which `request.timeout` says nothing of.
            await asyncio.wait(
                [attempt, marker], timeout=max(0.1, left + RESERVE / 2), return_when=asyncio.FIRST_COMPLETED
            )
            late = not attempt.done() and not marker.done()
            if not attempt.done():
                attempt.cancel()
                await asyncio.wait([attempt])
            return attempt.result()
        except asyncio.CancelledError:
            error: AttemptError = AttemptCancelled("cancelled as asked")
            if late:
                error = TimedOut("took longer than the function may; raise TimeoutSeconds, or make the chunks smaller")
            return failed_result(error, request, time.monotonic() - begun)
        except AttemptError as error:
            return failed_result(error, request, time.monotonic() - begun)
        finally:
            marker.cancel()


async def _until_marked(store: ArtifactStore, key: str) -> None:
    while True:
        await asyncio.sleep(LOOK_EVERY)
        with contextlib.suppress(ArtifactError):
            if await store.stat(key) is not None:
                return


async def _claim(store: ArtifactStore, request: ChunkRequest, delivery: Delivery, invocation: str) -> bool:
    """Whether this invocation answers the call: the first to write its claim does."""
    token = f"{invocation} {uuid.uuid4()}".encode()
    with tempfile.NamedTemporaryFile(prefix="heliostat-") as file:
        file.write(token)
        file.flush()
        there = await store.put(claim_key(request.job_id, delivery.call_id), Path(file.name), if_absent=True)
    return there.sha256 == hashlib.sha256(token).hexdigest()


async def _fitted(result: ChunkResult, key: str, store: ArtifactStore, largest: int) -> bytes:
    """The result as a message; or, when that is too large to be sent, a message that says where it is stored: there."""
    message = encode_message(ResultMessage(result))
    if len(message) <= largest:
        return message
    with tempfile.NamedTemporaryFile(prefix="heliostat-") as file:
        file.write(message)
        file.flush()
        await store.put(key, Path(file.name))
    return msgspec.json.encode(Stored(key)) + b"\n"


def _returned(message: bytes, batches: int = 0, lines: str = "") -> dict[str, Any]:
    """An answer, and beside it how many batches of reports went before, and the reports that did not."""
    return {**msgspec.json.decode(message), "batches": batches, "lines": lines}


@functools.cache
def _environment() -> Environment:
    return Environment()
