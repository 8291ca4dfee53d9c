"""The front door of services: who may, which instance, and what is answered when there is none."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import time
from collections import deque
from collections.abc import Callable, Mapping
from email.utils import formatdate
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web
from google.cloud import run_v2
from nursery import Container, Nursery

from fake_cloud_run.resources import Resources, env_of

NO_INSTANCE = "The request was aborted because there was no available instance."
MALFORMED = (
    "The request failed because either the HTTP response was malformed or connection to the instance had an error."
)
FAULTS = {
    "throttle": (429, "Rate exceeded."),
    "no instance": (500, NO_INSTANCE),
    "unavailable": (503, "Service Unavailable"),
    "unauthenticated": (401, "Unauthorized"),
    "denied": (403, "Forbidden"),
    "missing": (404, "Page not found"),
    "timeout": (504, "upstream request timeout"),
}
"""Answers in place of an instance's."""

Verify = Callable[[str], Mapping[str, Any]]
"""The claims of an ID token. Raises ValueError for one that Google has not issued, or that is too old."""


class Instance:
    def __init__(self, container: Container, port: int) -> None:
        self.container = container
        self.port = port
        self.requests = 0


class FrontDoor:
    def __init__(
        self, resources: Resources, nursery: Nursery, surroundings: Mapping[str, str], scratch: Path, verify: Verify
    ) -> None:
        self.faults: deque[str] = deque()
        """What the next requests are answered: one of `FAULTS`; `drop`, the connection closes; `crash`, the instance
        dies as it gets the request."""
        self.cold_starts = 0
        self.refusals = 0
        """Requests whose caller was not let in."""
        self.ahead = 0.0
        """Seconds by which Google's clock is ahead of this machine's."""
        self._resources = resources
        self._nursery = nursery
        self._surroundings = surroundings
        self._scratch = scratch
        self._verify = verify
        self._instances: dict[str, list[Instance]] = {}
        self._starting: dict[str, int] = {}
        self._stopping: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, force_close=True), timeout=aiohttp.ClientTimeout(total=None)
        )
        app = web.Application(client_max_size=64 << 20)
        app.router.add_route("*", "/{path:.*}", self._answer)
        app.on_response_prepare.append(self._tell_time)
        self._runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0, backlog=2048).start()
        self.port = self._runner.addresses[0][1]

    async def close(self) -> None:
        await self._runner.cleanup()
        for instances in self._instances.values():
            for instance in instances:
                instance.container.tell(signal.SIGKILL)
                await asyncio.wait([instance.container.ended])
        await self._session.close()

    def url_of(self, service: str) -> str:
        """Services are told apart by the first part of the path; on Cloud Run, by the host's name."""
        return f"http://127.0.0.1:{self.port}/{service.rpartition('/')[2]}"

    def kill(self, pids: list[int]) -> None:
        """Kill the instance whose process is among these."""
        (found,) = [
            instance
            for instances in self._instances.values()
            for instance in instances
            if instance.container.pid in pids
        ]
        found.container.tell(signal.SIGKILL)

    async def stop_instances(self) -> None:
        """As when Cloud Run scales to nothing: SIGTERM, and SIGKILL after 10 s."""
        for instances in self._instances.values():
            found, instances[:] = list(instances), []
            await asyncio.gather(*(instance.container.stop(10.0) for instance in found))

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        short = request.path.split("/")[1]
        service = next((s for name, s in self._resources.services.items() if name.rpartition("/")[2] == short), None)
        fault = self.faults.popleft() if self.faults else None
        if fault in FAULTS:
            return _page(*FAULTS[fault])
        if fault == "drop":
            assert request.transport is not None
            request.transport.abort()
            return web.Response()
        if service is None:
            return _page(404, "Page not found")
        headers = dict(request.headers)
        if (refused := self._check(service, headers)) is not None:
            self.refusals += 1
            return refused
        instance = await self._take(service)
        if instance is None:
            return _page(429, NO_INSTANCE)
        try:
            return await self._pass_on(request, headers, service, instance, crash=fault == "crash")
        finally:
            instance.requests -= 1

    def _check(self, service: run_v2.Service, headers: dict[str, str]) -> web.Response | None:
        """Whether IAM lets the caller in. Of the token that says who that is, the signature is not passed on."""
        name = next((n for n in ("X-Serverless-Authorization", "Authorization") if n in headers), "")
        scheme, _, token = headers.get(name, "").partition(" ")
        if scheme.lower() != "bearer":
            return _page(403, "Your client does not have permission to get URL / from this server.")
        try:
            claims = self._verify(token)
        except ValueError:
            return _page(401, "Your client does not have permission to the requested URL /.")
        if claims["exp"] < time.time() + self.ahead:
            return _page(401, "Your client does not have permission to the requested URL /.")
        if claims["aud"] not in (service.uri, *service.custom_audiences):
            return _page(401, "Your client does not have permission to the requested URL /.")
        policy = self._resources.policies.get(service.name)
        members = {
            member
            for binding in (policy.bindings if policy is not None else ())
            if binding.role == "roles/run.invoker"
            for member in binding.members
        }
        if f"serviceAccount:{claims.get('email')}" not in members:
            return _page(403, "Your client does not have permission to get URL / from this server.")
        headers[name] = f"{scheme} {token.rpartition('.')[0]}.SIGNATURE_REMOVED_BY_GOOGLE"
        return None

    async def _tell_time(self, request: web.Request, response: web.StreamResponse) -> None:
        response.headers["Date"] = formatdate(time.time() + self.ahead, usegmt=True)

    async def _take(self, service: run_v2.Service) -> Instance | None:
        at_once = service.template.max_instance_request_concurrency or 80
        most = service.template.scaling.max_instance_count or 100
        instances = self._instances.setdefault(service.latest_ready_revision, [])
        instances[:] = [instance for instance in instances if not instance.container.ended.done()]
        for instance in instances:
            if instance.requests < at_once:
                instance.requests += 1
                return instance
        starting = self._starting.get(service.name, 0)
        if len(instances) + starting >= most:
            return None
        self._starting[service.name] = starting + 1
        try:
            instance = await self._start(service)
        finally:
            self._starting[service.name] -= 1
        instance.requests += 1
        instances.append(instance)
        return instance

    async def _start(self, service: run_v2.Service) -> Instance:
        self.cold_starts += 1
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        folder = self._scratch / f"instance-{self.cold_starts}"
        folder.mkdir(parents=True)
        container = await self._nursery.start(
            {
                **self._surroundings,
                "HOME": str(folder),
                "TMPDIR": str(folder),
                "PORT": str(port),
                "K_SERVICE": service.name.rpartition("/")[2],
                "K_REVISION": service.latest_ready_revision.rpartition("/")[2],
                "K_CONFIGURATION": service.name.rpartition("/")[2],
                **env_of(service.template.containers[0]),
            },
            folder / "log",
        )
        while not container.ended.done():
            with contextlib.suppress(OSError):
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.close()
                break
            await asyncio.sleep(0.01)
        return Instance(container, port)

    async def _pass_on(
        self,
        request: web.Request,
        headers: dict[str, str],
        service: run_v2.Service,
        instance: Instance,
        *,
        crash: bool,
    ) -> web.StreamResponse:
        body = await request.read()
        if crash:
            instance.container.tell(signal.SIGKILL)
            await asyncio.wait([instance.container.ended])
        response: web.StreamResponse | None = None
        seconds = service.template.timeout.total_seconds() or 300.0
        try:
            async with (
                asyncio.timeout(seconds),
                self._session.request(
                    request.method,
                    f"http://127.0.0.1:{instance.port}/{request.path.split('/', 2)[2]}",
                    data=body,
                    headers=headers,
                ) as answer,
            ):
                response = web.StreamResponse(status=answer.status, reason=answer.reason)
                for name in ("Content-Type", "Retry-After", "WWW-Authenticate"):
                    if name in answer.headers:
                        response.headers[name] = answer.headers[name]
                await response.prepare(request)
                async for piece in answer.content.iter_any():
                    await response.write(piece)
                await response.write_eof()
                return response
        except (TimeoutError, aiohttp.ClientError) as error:
            if response is None:
                late = isinstance(error, TimeoutError)
                return _page(504, "upstream request timeout") if late else _page(503, MALFORMED)
            assert request.transport is not None
            request.transport.abort()
            return response


def _page(status: int, text: str) -> web.Response:
    page = f"<html><head><title>{status}</title></head><body><h1>Error</h1><p>{text}</p></body></html>"
    return web.Response(status=status, text=page, content_type="text/html")
