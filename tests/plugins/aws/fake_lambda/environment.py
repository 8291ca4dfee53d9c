"""One execution environment: a process with `awslambdaric` in it, and the Runtime API that it polls."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from aiohttp import web
from nursery import Container, Nursery

REGION = "us-east-1"


@dataclass
class Function:
    """What is deployed."""

    name: str
    handler: str
    environment: Mapping[str, str]
    task_root: Path
    timeout: float = 60.0
    memory_mb: int = 3008
    arn: str = field(init=False)

    def __post_init__(self) -> None:
        self.arn = f"arn:aws:lambda:{REGION}:123456789012:function:{self.name}"


@dataclass
class Outcome:
    """How an invocation ended: with the handler's answer, or with what Lambda says in its place."""

    payload: bytes
    failed: bool
    seconds: float
    log: str
    gone: bool = False
    """Whether the environment went with it."""


class Environment:
    def __init__(self, function: Function, scratch: Path, number: int, nursery: Nursery) -> None:
        self._function = function
        self._nursery = nursery
        self._tmp = scratch / f"environment-{number}"
        self._log = self._tmp / "log"
        self.stream = f"2026/01/01/[$LATEST]{uuid.uuid4().hex}"
        self.invocations = 0
        self._work: asyncio.Queue[tuple[str, bytes, float]] = asyncio.Queue()
        self._answers: dict[str, asyncio.Future[tuple[bytes, bool]]] = {}
        self._init_error: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._runner: web.AppRunner
        self.process: Container

    async def start(self) -> None:
        self._tmp.mkdir(parents=True)
        app = web.Application(client_max_size=64 << 20)
        base = "/2018-06-01/runtime"
        app.router.add_get(f"{base}/invocation/next", self._next)
        app.router.add_post(f"{base}/invocation/{{id}}/response", self._response)
        app.router.add_post(f"{base}/invocation/{{id}}/error", self._error)
        app.router.add_post(f"{base}/init/error", self._init_failed)
        self._runner = web.AppRunner(app, access_log=None, handler_cancellation=True)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        port = site._server.sockets[0].getsockname()[1]  # type: ignore[union-attr]
        function = self._function
        env = {
            "PATH": os.environ["PATH"],
            "HOME": str(self._tmp),
            "TMPDIR": str(self._tmp),
            "LANG": "en_US.UTF-8",
            "TZ": ":UTC",
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing",
            "AWS_LAMBDA_FUNCTION_NAME": function.name,
            "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(function.memory_mb),
            "AWS_LAMBDA_LOG_GROUP_NAME": f"/aws/lambda/{function.name}",
            "AWS_LAMBDA_LOG_STREAM_NAME": self.stream,
            "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{port}",
            "LAMBDA_TASK_ROOT": str(function.task_root),
            "_HANDLER": function.handler,
            **function.environment,
        }
        self._log.touch()
        self.process = await self._nursery.start(env, self._log, arguments=[function.handler], cwd=function.task_root)

    @property
    def alive(self) -> bool:
        return not self.process.ended.done()

    async def invoke(self, payload: bytes) -> Outcome:
        """One invocation, as far as the function's time limit."""
        invocation = str(uuid.uuid4())
        self.invocations += 1
        begun, offset = time.monotonic(), self._log.stat().st_size
        answer: asyncio.Future[tuple[bytes, bool]] = asyncio.get_running_loop().create_future()
        self._answers[invocation] = answer
        self._work.put_nowait((invocation, payload, time.time() + self._function.timeout))
        exited = self.process.ended
        await asyncio.wait(
            [answer, exited, self._init_error], timeout=self._function.timeout, return_when=asyncio.FIRST_COMPLETED
        )
        seconds = time.monotonic() - begun
        gone = True
        if answer.done():
            body, failed = answer.result()
            gone = False
        elif self._init_error.done():
            body, failed = self._init_error.result(), True
        elif exited.done():
            code = exited.result()
            how = f"signal: {signal.Signals(-code).name[3:].lower()}" if code < 0 else f"exit status {code}"
            how = how.replace("signal: kill", "signal: killed")
            body, failed = _error(invocation, "Runtime.ExitError", f"Runtime exited with error: {how}"), True
        else:
            body, failed = _error(invocation, "Sandbox.Timedout", f"Task timed out after {seconds:.2f} seconds"), True
        if gone:
            await self.stop()
        return Outcome(body, failed, seconds, self._told(invocation, offset, seconds), gone)

    def kill(self) -> None:
        """As when the machine below it fails."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)

    async def stop(self) -> None:
        self.kill()
        await self.process.ended
        await self._runner.cleanup()

    def _told(self, invocation: str, offset: int, seconds: float) -> str:
        """The log of one invocation, as CloudWatch has it."""
        with self._log.open("rb") as log:
            log.seek(offset)
            said = log.read().decode(errors="replace")
        milliseconds = seconds * 1000
        return (
            f"START RequestId: {invocation} Version: $LATEST\n{said}END RequestId: {invocation}\n"
            f"REPORT RequestId: {invocation}\tDuration: {milliseconds:.2f} ms\t"
            f"Billed Duration: {milliseconds + 1:.0f} ms\t"
            f"Memory Size: {self._function.memory_mb} MB\tMax Memory Used: 91 MB\t\n"
        )

    # --- the Runtime API ---------------------------------------------------------------------------------------------

    async def _next(self, request: web.Request) -> web.Response:
        invocation, payload, deadline = await self._work.get()
        return web.Response(
            body=payload,
            content_type="application/json",
            headers={
                "Lambda-Runtime-Aws-Request-Id": invocation,
                "Lambda-Runtime-Deadline-Ms": str(int(deadline * 1000)),
                "Lambda-Runtime-Invoked-Function-Arn": self._function.arn,
                "Lambda-Runtime-Trace-Id": "Root=1-5e1b4151-5ac6c58bf5a6ad1b0f5e0ac6;Parent=0;Sampled=0",
            },
        )

    async def _response(self, request: web.Request) -> web.Response:
        return self._ended(request, await request.read(), failed=False)

    async def _error(self, request: web.Request) -> web.Response:
        return self._ended(request, await request.read(), failed=True)

    def _ended(self, request: web.Request, body: bytes, *, failed: bool) -> web.Response:
        answer = self._answers.pop(request.match_info["id"], None)
        if answer is not None and not answer.done():
            answer.set_result((body, failed))
        return web.json_response({"status": "OK"}, status=202)

    async def _init_failed(self, request: web.Request) -> web.Response:
        body = await request.read()
        if not self._init_error.done():
            self._init_error.set_result(body)
        return web.json_response({"status": "OK"}, status=202)


def _error(invocation: str, kind: str, message: str) -> bytes:
    return json.dumps({"errorType": kind, "errorMessage": f"RequestId: {invocation} Error: {message}"}).encode()
