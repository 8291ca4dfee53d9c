"""The coordinator's side: attempts handed to a Dask cluster, and what it tells of them.

Dask runs a task again by itself when its worker dies, which is for Heliostat to decide. So an attempt asks before it
begins, and is given leave once: whatever Dask starts a second time is refused. What an attempt tells goes through the
scheduler as events of a topic that has the client's id; they come in the same stream as the news of finished tasks, and
so before the result.
"""

from __future__ import annotations

import asyncio
import itertools
import warnings
from collections.abc import Callable
from importlib import import_module
from typing import Any, Self

from distributed import Client, Future
from distributed.versions import VersionMismatchWarning

from heliostat import ChunkReport, ChunkRequest, ChunkResult
from heliostat.errors import AttemptError, Misconfigured, WorkerLost
from heliostat.worker import encode_request, relay
from heliostat_dask.foreign import mapped
from heliostat_dask.remote import KEY, permit, stop

CONNECT_PATIENCE = 5.0
"""Seconds that the scheduler has to answer, at first and when the connection was lost."""

_numbers = itertools.count()


class _Attempt:
    """An attempt as it looks from here."""

    def __init__(self, report: ChunkReport, future: Future[bytes]) -> None:
        self.report = report
        self.future = future
        self.worker: str | None = None
        """The address of the Dask worker that was given leave to begin."""
        self.loss: WorkerLost | None = None

    def lose(self, message: str) -> None:
        """Give it up. Dask ends who waits for a future that is released, and the task if it runs."""
        self.loss = self.loss or WorkerLost(message)
        self.future.release()


class Cluster:
    """A connection to a scheduler."""

    def __init__(self, client: Client, threads: int, grace: float) -> None:
        self.threads = threads
        """How many tasks it ran at once when it was connected."""
        self._client = client
        self._grace = grace
        self._attempts: dict[str, _Attempt] = {}
        self._calls: set[asyncio.Task[None]] = set()
        self._topics = {client.id: self._hear, "all": self._hear_of_workers}
        self._subscribe()

    @classmethod
    async def connect(cls, address: str, grace: float) -> Self:
        """Raises Misconfigured when no scheduler answers there."""
        client = Client(address, asynchronous=True, set_as_default=False, timeout=CONNECT_PATIENCE)
        try:
            with warnings.catch_warnings():  # where versions matter, what they break says so
                warnings.simplefilter("ignore", VersionMismatchWarning)
                await client
            threads = sum((await client.nthreads()).values())
        except (OSError, ValueError) as error:
            await client.close()
            raise Misconfigured(
                f"no Dask scheduler answers at {address!r}; start one with `dask scheduler`, or give the address that"
                " it prints as the option `scheduler`"
            ) from error
        except asyncio.CancelledError:
            await client.close()
            raise
        return cls(client, threads, grace)

    @property
    def closed(self) -> bool:
        return self._client.status == "closed"

    async def close(self) -> None:
        for call in self._calls:
            call.cancel()
        await asyncio.gather(*self._calls, return_exceptions=True)
        if self._client.status == "running":
            for topic in self._topics:  # the scheduler would complain of events that it cannot deliver
                self._client.unsubscribe_topic(topic)
        await self._client.close()

    async def run(self, request: ChunkRequest, report: ChunkReport) -> ChunkResult:
        """As `WorkerAdapter.run`."""
        name = f"{request.attempt_id}-{next(_numbers)}"
        try:
            self._subscribe()  # each time: a scheduler that was started anew knows nothing of it
            future = self._client.submit(
                # By value: the scheduler need not have this module, and a Dask worker that gets the name of a function
                # that it cannot import breaks.
                lambda *arguments: import_module("heliostat_dask.remote").run_attempt(*arguments),
                encode_request(request),
                name,
                self._client.id,
                self._grace,
                key=(KEY, name),
                pure=False,
                retries=0,
            )
        except Exception as error:
            raise mapped(error) from error
        attempt = self._attempts[name] = _Attempt(report, future)
        # Dask fetches the results of many futures with one call, which a cancellation of this one must not end.
        fetching = asyncio.ensure_future(future.result())
        try:
            result = relay(await asyncio.shield(fetching), report)
        except asyncio.CancelledError:
            if attempt.worker is not None:
                self._call(stop, name, attempt.worker)
                await asyncio.wait([fetching])
            raise
        except AttemptError:
            raise
        except Exception as error:
            raise attempt.loss or mapped(error) from error
        finally:
            del self._attempts[name]
            future.release()
        if result is None:
            raise WorkerLost("the Dask worker returned something else than a result; install one version everywhere")
        return result

    def _subscribe(self) -> None:
        for topic, handler in self._topics.items():
            self._client.subscribe_topic(topic, handler)

    def _hear(self, event: tuple[float, Any]) -> None:
        """What the attempts of this client tell, among other things that concern it."""
        match event[1]:
            case {"heliostat": str(name), "begins": str(worker)}:
                self._permit(name, worker)
            case {"heliostat": str(name), "lines": bytes(lines)} if (attempt := self._attempts.get(name)) is not None:
                for line in lines.splitlines():
                    relay(line, attempt.report)

    def _permit(self, name: str, worker: str) -> None:
        attempt = self._attempts.get(name)
        if attempt is None:  # cancelled before the scheduler knew of it
            self._call(stop, name, worker)
        elif attempt.worker is None:
            attempt.worker = worker
            self._call(permit, name, worker)
        else:
            self._call(stop, name, worker)
            attempt.lose(f"the Dask worker at {attempt.worker} has lost the attempt")

    def _hear_of_workers(self, event: tuple[float, Any]) -> None:
        match event[1]:
            case {"action": "remove-worker", "worker": str(worker)}:
                for attempt in list(self._attempts.values()):
                    if attempt.worker == worker:
                        attempt.lose(f"the Dask worker at {worker} went away")

    def _call(self, function: Callable[..., None], name: str, worker: str) -> None:
        """Call a function of `heliostat_dask.remote` on the event loop of a Dask worker."""

        async def call() -> None:
            try:
                await self._client.run(function, name, workers=[worker])
            except Exception as error:
                if (attempt := self._attempts.get(name)) is not None and attempt.worker == worker:
                    attempt.lose(f"the Dask worker at {worker} does not answer ({error})")

        task = asyncio.create_task(call())
        self._calls.add(task)
        task.add_done_callback(self._calls.discard)
