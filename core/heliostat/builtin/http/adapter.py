"""Chunks on machines that run `heliostat worker serve`: whichever has the most room takes the next one."""

from __future__ import annotations

import asyncio
import logging
import ssl
import time
from collections.abc import Mapping
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Final, Self

from heliostat.builtin.http import HttpOptions
from heliostat.builtin.http.token import VARIABLE, find_token
from heliostat.contracts.worker import ChunkReport, ChunkRequest, WorkerAdapter, WorkerLimits
from heliostat.errors import AttemptError, Misconfigured, SpecError, Throttled, WorkerLost
from heliostat.model.result import ChunkResult
from heliostat.worker.client import WorkerClient

REST: Final = 10.0
"""Seconds that a machine is left alone after an attempt was lost on it, while there are others."""
BUSY: Final = 0.5
"""Seconds that a machine is left alone which says that its slots are taken."""
LOOK_EVERY: Final = 0.1
"""Seconds between looks for a free slot."""
PATIENCE: Final = 8.0
"""Seconds that a slot is waited for which somebody else has."""

logger = logging.getLogger("heliostat")


class _Machine:
    def __init__(self, client: WorkerClient, slots: int) -> None:
        self.client = client
        self.slots = slots
        self.running = 0
        self.rests_until = 0.0


class HttpAdapter(WorkerAdapter):
    """As many attempts at once as the machines have slots. A machine that cannot be reached when the adapter is opened
    is left out."""

    name = "http"

    def __init__(self, options: HttpOptions) -> None:
        self._options = options
        self.artifacts = options.artifacts
        self._openings = 0
        self._resources = AsyncExitStack()
        self._machines: list[_Machine] = []

    async def __aenter__(self) -> Self:
        """Raises Misconfigured when no machine can be used."""
        if self._openings == 0:
            async with AsyncExitStack() as stack:
                self._machines = await self._find_machines(stack)
                self._resources = stack.pop_all()
            slots = sum(machine.slots for machine in self._machines)
            self.limits = WorkerLimits(concurrency=slots, default_concurrency=slots)
        self._openings += 1
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._openings -= 1
        if self._openings == 0:
            await self._resources.aclose()

    async def run(self, request: ChunkRequest, report: ChunkReport) -> ChunkResult:
        """Others may use the machines too: one that is full is asked again, after the rest of them."""
        patience = time.monotonic() + PATIENCE
        while True:
            machine = await self._free_machine(patience)
            machine.running += 1
            try:
                return await machine.client.run(request, report)
            except WorkerLost:
                machine.rests_until = time.monotonic() + REST
                raise
            except Throttled:
                if time.monotonic() > patience:
                    raise
                machine.rests_until = time.monotonic() + BUSY
            finally:
                machine.running -= 1

    async def _free_machine(self, patience: float) -> _Machine:
        """The one with the most room. When patience is over, one that rests is better than none."""
        while True:
            now = time.monotonic()
            free = [machine for machine in self._machines if machine.running < machine.slots]
            ready = [machine for machine in free if machine.rests_until <= now]
            if ready or (free and now > patience):
                return min(ready or free, key=lambda machine: machine.running / machine.slots)
            if now > patience:
                raise Throttled("all slots of all workers are taken", retry_after=1.0)
            await asyncio.sleep(LOOK_EVERY)

    async def _find_machines(self, stack: AsyncExitStack) -> list[_Machine]:
        headers = self._headers()

        async def authorise() -> Mapping[str, str]:
            return headers

        tls = self._tls()
        urls = [url.strip() for url in self._options.url.split(",") if url.strip()]
        clients = [await stack.enter_async_context(WorkerClient(url, authorise, tls=tls)) for url in urls]
        found = await asyncio.gather(*(client.info() for client in clients), return_exceptions=True)
        machines: list[_Machine] = []
        faults: list[AttemptError] = []
        for client, info in zip(clients, found, strict=True):
            if isinstance(info, AttemptError):
                faults.append(info)
            elif isinstance(info, BaseException):
                raise info
            else:
                machines.append(_Machine(client, info.slots))
        if not machines:
            raise _unusable(faults)
        for fault in faults:
            logger.warning("a worker is left out: %s", fault)
        return machines

    def _headers(self) -> Mapping[str, str]:
        try:
            token = find_token(self._options.token_file)
        except SpecError as error:
            raise Misconfigured(str(error)) from None
        if token is None:
            raise Misconfigured(f"no token is given; set {VARIABLE} to the workers' own, or name a token_file")
        return {"Authorization": f"Bearer {token}"}

    def _tls(self) -> ssl.SSLContext | None:
        if self._options.ca_file is None:
            return None
        try:
            return ssl.create_default_context(cafile=self._options.ca_file)
        except OSError as error:
            raise Misconfigured(
                f"{self._options.ca_file} holds no certificates ({error}); name a file in PEM as ca_file"
            ) from None


def _unusable(faults: list[AttemptError]) -> Misconfigured:
    """Why there is no machine to work with."""
    if not faults:
        return Misconfigured("no worker is named; give url=http://HOST:PORT")
    if isinstance(faults[0], Misconfigured):
        return faults[0]
    return Misconfigured(f"{faults[0]}; start one there with `heliostat worker serve`, or correct the address")
