"""The worker runtime behind HTTP; `heliostat.worker.routes` tells what it answers. Needs aiohttp."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
import ssl
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from aiohttp import web

from heliostat.errors import AttemptCancelled, AttemptError, HeliostatError, Misconfigured, WorkerLost
from heliostat.model.codec import to_json
from heliostat.worker.outbox import Outbox
from heliostat.worker.remote import RemoteWorkers
from heliostat.worker.routes import CHUNKS, STREAM, WORKER, Refusal, WorkerInfo
from heliostat.worker.runtime import failed_result, run_chunk
from heliostat.worker.warden import Warden
from heliostat.worker.wire import Message, ResultMessage, decode_request, encode_message

if TYPE_CHECKING:
    from heliostat.contracts.artifacts import ArtifactStore
    from heliostat.contracts.worker import ChunkRequest
    from heliostat.model.result import ChunkResult

LARGEST_REQUEST: Final = 32 << 20
"""Bytes of a request."""
KEEP_ALIVE: Final = 5.0
"""Seconds after which an empty line is sent where there is nothing to say."""
UNHEARD: Final = 30
"""Seconds after which a caller is taken for gone whose machine acknowledges nothing of what it is sent."""

Allow = Callable[[str], Awaitable[bool]]
"""Says whether a bearer token entitles to run chunks."""

logger = logging.getLogger("heliostat.worker")


class WorkerServer:
    """Runs chunks for whoever may, as many at a time as it has slots.

    One whose request names an artifact store runs in a folder of its own below `root`; one that names none runs in its
    job directory, which this machine then shares with the coordinator.
    """

    def __init__(
        self,
        allow: Allow,
        open_store: Callable[[str], ArtifactStore],
        *,
        root: Path,
        cache_limit: int,
        slots: int = 1,
        grace: float = 5.0,
        drain: float = 5.0,
    ) -> None:
        """`cache_limit`: bytes of inputs that are kept. `grace`: seconds between SIGTERM and SIGKILL for a command.
        `drain`: seconds that running chunks get to end once the server is told to."""
        self._allow = allow
        self._workers = RemoteWorkers(open_store, root, cache_limit=cache_limit)
        self._slots = slots
        self._free = asyncio.Semaphore(slots)
        self._grace = grace
        self._drain = drain
        self._callers: set[str] = set()
        """Attempts whose callers are on the line. A chunk takes its slot until its command is gone, which is longer."""
        self._running: dict[str, asyncio.Task[ChunkResult]] = {}
        self._idle = asyncio.Event()
        self._idle.set()
        self._refused = 0
        self._ending = False
        self._warden: Warden

    async def serve(
        self,
        host: str,
        port: int,
        *,
        tls: ssl.SSLContext | None = None,
        on_ready: Callable[[int], object] | None = None,
    ) -> None:
        """Serve until SIGTERM or SIGINT, then let running chunks end; a second signal ends them at once. `on_ready` is
        called with the port when requests are taken. Raises OSError when the address cannot be used."""
        app = web.Application(client_max_size=LARGEST_REQUEST, middlewares=[self._authorise])
        app.router.add_post(CHUNKS, self._chunk)
        app.router.add_get(WORKER, self._info)
        runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=self._grace + 5)
        await runner.setup()
        self._warden = Warden()
        signals = _Signals()
        try:
            with signals:
                site = web.TCPSite(runner, host, port, ssl_context=tls, backlog=1024)
                await site.start()
                if on_ready is not None:
                    on_ready(runner.addresses[0][1])
                await signals.first.wait()
                await self._end(signals.second)
        finally:
            await runner.cleanup()
            await self._workers.close()
            await self._warden.close()

    async def _end(self, hurry: asyncio.Event) -> None:
        self._ending = True
        waiting = [asyncio.ensure_future(self._idle.wait()), asyncio.ensure_future(hurry.wait())]
        await asyncio.wait(waiting, timeout=self._drain, return_when=asyncio.FIRST_COMPLETED)
        for task in (*waiting, *self._running.values()):
            task.cancel()
        await self._idle.wait()

    @web.middleware
    async def _authorise(self, request: web.Request, handler: Any) -> web.StreamResponse:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token or not await self._allow(token.strip()):
            return _refused(401, "no valid token was sent", {"WWW-Authenticate": "Bearer"})
        response: web.StreamResponse = await handler(request)
        return response

    async def _info(self, request: web.Request) -> web.Response:
        from importlib.metadata import version

        info = WorkerInfo(version("heliostat"), self._slots, len(self._running), self._refused)
        return web.Response(body=to_json(info), content_type="application/json")

    async def _chunk(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        try:
            chunk = decode_request(body)
        except Misconfigured as error:
            return _refused(400, str(error))
        if self._ending:
            return _ending()
        if chunk.attempt_id in self._running or chunk.attempt_id in self._callers:
            return _refused(409, f"attempt {chunk.attempt_id} runs here already")
        if len(self._callers) >= self._slots:
            self._refused += 1
            return _refused(429, f"all {self._slots} slots are taken", {"Retry-After": "1"})
        self._callers.add(chunk.attempt_id)
        try:
            async with self._free:  # who hung up may have left a command that is yet to end
                return _ending() if self._ending else await self._serve_chunk(request, chunk)
        finally:
            self._callers.discard(chunk.attempt_id)

    async def _serve_chunk(self, request: web.Request, chunk: ChunkRequest) -> web.StreamResponse:
        some = asyncio.Event()
        loop = asyncio.get_running_loop()
        outbox = Outbox(lambda: loop.call_soon_threadsafe(some.set))
        attempt = asyncio.create_task(self._work(chunk, outbox))
        self._running[chunk.attempt_id] = attempt
        self._idle.clear()
        attempt.add_done_callback(lambda _: some.set())
        try:
            return await self._stream(request, attempt, outbox, some)
        finally:
            # Whoever hung up has ended the handler, which does not end the chunk by itself.
            self._callers.discard(chunk.attempt_id)
            attempt.cancel()
            while not attempt.done():
                with contextlib.suppress(asyncio.CancelledError):
                    await asyncio.wait([attempt])
            del self._running[chunk.attempt_id]
            if not self._running:
                self._idle.set()

    async def _stream(
        self, request: web.Request, attempt: asyncio.Task[ChunkResult], outbox: Outbox, some: asyncio.Event
    ) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": STREAM, "Cache-Control": "no-store"})
        await response.prepare(request)
        _notice_silence(request)
        while not attempt.done():
            some.clear()
            if messages := outbox.take():
                await response.write(_lines(messages))
                continue
            try:
                await asyncio.wait_for(some.wait(), KEEP_ALIVE)
            except TimeoutError:  # inputs are on their way, or outputs
                await response.write(b"\n")
        await response.write(_lines([*outbox.take(), ResultMessage(attempt.result())]))
        await response.write_eof()
        return response

    async def _work(self, request: ChunkRequest, report: Outbox) -> ChunkResult:
        """Never raises but when the server is stopped in the middle: what went wrong is told in the result."""
        begun = time.monotonic()
        try:
            if request.artifacts is None:
                return await run_chunk(request, report, grace=self._grace, warden=self._warden)
            worker = await self._workers.of(request.artifacts)
            return await worker.run(request, report, grace=self._grace, warden=self._warden)
        except asyncio.CancelledError:
            error: AttemptError = AttemptCancelled("cancelled as asked")
            if self._ending:
                error = WorkerLost("the worker was told to end, and took the chunk with it")
        except AttemptError as failure:
            error = failure
        except HeliostatError as failure:  # a store that this worker cannot open
            error = Misconfigured(str(failure))
        except Exception as failure:
            logger.exception("chunk %s of job %s", request.chunk.id, request.job_id)
            error = WorkerLost(f"the worker failed ({type(failure).__name__}: {failure}); see its log")
        return failed_result(error, request, time.monotonic() - begun)


class _Signals:
    """SIGTERM and SIGINT, while it is entered."""

    def __init__(self) -> None:
        self.first = asyncio.Event()
        self.second = asyncio.Event()

    def __enter__(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, self._came)

    def __exit__(self, *details: object) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().remove_signal_handler(number)

    def _came(self) -> None:
        (self.second if self.first.is_set() else self.first).set()


def _notice_silence(request: web.Request) -> None:
    """Let the connection break when the other machine is gone without a word."""
    transport = request.transport
    connected = None if transport is None else transport.get_extra_info("socket")
    if connected is not None and hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux
        with contextlib.suppress(OSError):
            connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNHEARD * 1000)


def _lines(messages: Iterable[Message]) -> bytes:
    return b"".join(map(encode_message, messages))


def _ending() -> web.Response:
    return _refused(503, "the worker is about to end", {"Retry-After": "1"})


def _refused(status: int, message: str, headers: Mapping[str, str] | None = None) -> web.Response:
    return web.Response(status=status, body=to_json(Refusal(message)), content_type="application/json", headers=headers)
