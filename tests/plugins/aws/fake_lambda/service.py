"""The public side: Invoke and a few reads, in a thread of its own, with the faults that a test asks for."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import shutil
import tempfile
import threading
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import unquote

from aiohttp import web
from nursery import Nursery

from fake_lambda.environment import Environment, Function, Outcome

FAULTS = {
    "throttle": (429, "TooManyRequestsException", {"Retry-After": "0"}),
    "ec2 throttle": (502, "EC2ThrottledException", {}),
    "service": (500, "ServiceException", {}),
    "denied": (403, "AccessDeniedException", {}),
    "expired": (403, "ExpiredTokenException", {}),
    "kms": (502, "KMSDisabledException", {}),
}
"""Answers in place of an invocation."""


class FakeLambda:
    """A context manager; everything that it started is gone at its end."""

    def __init__(
        self,
        handler: str,
        *,
        environment: Mapping[str, str],
        task_root: Path,
        name: str = "heliostat",
        timeout: float = 60.0,
        memory_mb: int = 3008,
        concurrency: int = 1000,
        retries: int = 2,
    ) -> None:
        """`concurrency`: environments; beyond it invocations are throttled. `retries`: of asynchronous invocations."""
        self.function = Function(name, handler, environment, task_root, timeout, memory_mb)
        self.concurrency = concurrency
        self.retries = retries
        self.sync_limit = 6 << 20
        self.event_limit = 1 << 20
        self.invocations = 0
        self.ended = 0
        self.cold_starts = 0
        self.environments: list[Environment] = []
        self._idle: list[Environment] = []
        self._faults: deque[str] = deque()
        self._events: set[asyncio.Task[None]] = set()
        self._nursery = Nursery(
            "awslambdaric",
            "boto3.s3.inject",
            "boto3.session",
            "heliostat_aws.artifacts",
            "simplejson",
            "heliostat.plugins:registry",
            "heliostat_aws.handler",
            "aws.clients:open_clients",
        )
        self._loop = asyncio.new_event_loop()
        self._scratch = Path(tempfile.mkdtemp(prefix="fake-lambda-"))
        self._thread = threading.Thread(target=self._loop.run_forever, name="fake lambda", daemon=True)
        self._runner: web.AppRunner
        self.endpoint_url = ""

    def __enter__(self) -> Self:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._open(), self._loop).result(30)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(60)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        shutil.rmtree(self._scratch, ignore_errors=True)

    def fail_next(self, fault: str, times: int = 1) -> None:
        """The next invocations end in a fault: one of `FAULTS`; `drop`, the connection closes without an answer;
        `crash`, the environment dies before the handler sees it; `duplicate`, an event is delivered twice."""
        assert fault in FAULTS or fault in ("drop", "crash", "duplicate")
        self._faults.extend([fault] * times)

    def kill(self, pids: list[int]) -> None:
        """Kill the environment whose process is among these."""
        (environment,) = [each for each in self.environments if each.process.pid in pids]
        environment.kill()

    async def _open(self) -> None:
        await self._nursery.open()
        app = web.Application(client_max_size=64 << 20)
        app.router.add_post("/2015-03-31/functions/{name}/invocations", self._invoke)
        app.router.add_get("/2015-03-31/functions/{name}/configuration", self._configuration)
        # A caller that hangs up does not end its invocation.
        self._runner = web.AppRunner(app, access_log=None, handler_cancellation=False)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0, backlog=2048)
        await site.start()
        self.endpoint_url = f"http://127.0.0.1:{site._server.sockets[0].getsockname()[1]}"  # type: ignore[union-attr]

    async def _close(self) -> None:
        for task in self._events:
            task.cancel()
        await asyncio.gather(*(environment.stop() for environment in self.environments), return_exceptions=True)
        await asyncio.gather(*self._events, return_exceptions=True)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(10):
                await self._runner.cleanup()
        await self._nursery.close()

    # --- the API -----------------------------------------------------------------------------------------------------

    async def _configuration(self, request: web.Request) -> web.Response:
        if self._is_other(request):
            return _refused(404, "ResourceNotFoundException", f"Function not found: {request.match_info['name']}")
        function = self.function
        return web.json_response(
            {
                "FunctionName": function.name,
                "FunctionArn": function.arn,
                "Timeout": int(function.timeout),
                "MemorySize": function.memory_mb,
                "State": "Active",
                "LastUpdateStatus": "Successful",
                "PackageType": "Image",
                "Version": "$LATEST",
            }
        )

    async def _invoke(self, request: web.Request) -> web.StreamResponse:
        self.invocations += 1
        payload = await request.read()
        is_event = request.headers.get("X-Amz-Invocation-Type") == "Event"
        if self._is_other(request):
            return _refused(404, "ResourceNotFoundException", f"Function not found: {request.match_info['name']}")
        if len(payload) > (self.event_limit if is_event else self.sync_limit):
            return _refused(413, "RequestTooLargeException", "Request must be smaller than the limit")
        fault = self._faults.popleft() if self._faults else None
        if fault in FAULTS:
            status, code, headers = FAULTS[fault]
            return _refused(status, code, "as the test asked", headers)
        if fault == "drop":
            assert request.transport is not None
            request.transport.close()
            return web.Response()
        if is_event:
            for _ in range(2 if fault == "duplicate" else 1):
                task = asyncio.create_task(self._deliver(payload, crash=fault == "crash"))
                self._events.add(task)
                task.add_done_callback(self._events.discard)
            return web.Response(status=202)
        outcome = await self._run(payload, crash=fault == "crash")
        if outcome is None:
            return _refused(429, "TooManyRequestsException", "Rate Exceeded.", {"Retry-After": "1"})
        headers = {"X-Amz-Executed-Version": "$LATEST"}
        body = outcome.payload
        if len(body) > self.sync_limit:
            outcome.failed = True
            body = b'{"errorType":"Function.ResponseSizeTooLarge","errorMessage":"Response payload size exceeded"}'
        if outcome.failed:
            headers["X-Amz-Function-Error"] = "Unhandled"
        if request.headers.get("X-Amz-Log-Type") == "Tail":
            headers["X-Amz-Log-Result"] = base64.b64encode(outcome.log.encode()[-4096:]).decode()
        return web.Response(body=body, content_type="application/json", headers=headers)

    def _is_other(self, request: web.Request) -> bool:
        return unquote(request.match_info["name"]).partition(":$")[0] not in (self.function.name, self.function.arn)

    async def _deliver(self, payload: bytes, *, crash: bool) -> None:
        """An asynchronous invocation: again when it fails, and when there is no environment yet."""
        attempts = 0
        while attempts <= self.retries:
            outcome = await self._run(payload, crash=crash)
            if outcome is None:
                await asyncio.sleep(0.2)
                continue
            if not outcome.failed:
                return
            attempts += 1

    async def _run(self, payload: bytes, *, crash: bool) -> Outcome | None:
        """In the environment that was used last, or a new one; None when there may be no more."""
        while self._idle and not self._idle[-1].alive:
            await self._forget(self._idle.pop())
        if self._idle:
            environment = self._idle.pop()
        elif len(self.environments) >= self.concurrency:
            return None
        else:
            environment = Environment(self.function, self._scratch, self.cold_starts, self._nursery)
            self.cold_starts += 1
            self.environments.append(environment)
            await environment.start()
        if crash:
            environment.kill()
        outcome = await environment.invoke(payload)
        self.ended += 1
        if outcome.gone:
            self.environments.remove(environment)
        else:
            self._idle.append(environment)
        return outcome

    async def _forget(self, environment: Environment) -> None:
        self.environments.remove(environment)
        await environment.stop()


def _refused(status: int, code: str, message: str, headers: Mapping[str, str] | None = None) -> web.Response:
    return web.json_response(
        {"Type": "User", "Message": message}, status=status, headers={"X-Amzn-ErrorType": code, **(headers or {})}
    )
