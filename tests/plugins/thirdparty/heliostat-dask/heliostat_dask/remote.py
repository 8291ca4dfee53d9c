"""What runs inside a Dask worker: a task is one attempt, on an event loop of its own in the task's thread.

It tells the coordinator by events `{"heliostat": name, "begins": address}`, which asks for leave to begin, and
`{"heliostat": name, "lines": bytes}`, which are messages of the wire format.

A plugin of the Dask worker knows its attempts. It ends one that the coordinator stops, that nobody wants any more (the
coordinator is gone, or let go of the task), or whose worker leaves the cluster.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import time
from collections.abc import Callable
from typing import Any, Final

from distributed import Worker, WorkerPlugin, get_worker

from heliostat import ChunkRequest, ChunkResult
from heliostat.errors import AttemptError, WorkerLost
from heliostat.worker import (
    FramesMessage,
    HeartbeatMessage,
    LogMessage,
    Message,
    ResultMessage,
    Warden,
    decode_request,
    encode_message,
    failed_result,
    run_chunk,
)

KEY: Final = "heliostat"
"""The keys of tasks are `(KEY, name)`: one group, of which the scheduler keeps what cannot run yet."""
PLUGIN: Final = "heliostat-attempts"
TELL_EVERY: Final = 0.1
"""Seconds over which reports are gathered into one event."""
LEAVE_PATIENCE: Final = 30.0
"""Seconds until an attempt that is not given leave to begin is given up."""


def run_attempt(request: bytes, name: str, topic: str, grace: float) -> bytes:
    """The task: takes a request of the wire format, returns its result message."""
    return asyncio.run(_run(get_worker(), request, name, topic, grace))


def permit(name: str, dask_worker: Worker) -> None:
    """Give an attempt leave to begin. Dask adds the worker."""
    if (attempt := _find(dask_worker, name)) is not None:
        attempt.permit()


def stop(name: str, dask_worker: Worker) -> None:
    """End an attempt, whether it has begun or not."""
    if (attempt := _find(dask_worker, name)) is not None:
        attempt.stop()


class Attempt:
    """An attempt as others may reach it, from any thread."""

    def __init__(self) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._task = task
        self._loop = asyncio.get_running_loop()
        self._stopped = False
        self.permitted = asyncio.Event()

    def permit(self) -> None:
        """Let it begin."""
        self._call(self.permitted.set)

    def stop(self) -> None:
        if not self._stopped:  # a second cancellation would cut the grace short
            self._stopped = True
            self._call(self._task.cancel)

    def _call(self, function: Callable[[], object]) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: it is over
            self._loop.call_soon_threadsafe(function)


class Attempts(WorkerPlugin):
    """The attempts in one Dask worker. Used on the worker's event loop."""

    def __init__(self) -> None:
        self.running: dict[Any, Attempt] = {}
        """By the key of their task."""

    def transition(self, key: Any, start: str, finish: str, **others: Any) -> None:
        if finish in ("released", "forgotten") and (attempt := self.running.get(key)) is not None:
            attempt.stop()

    def teardown(self, worker: Worker) -> None:
        """The worker waits for the threads of its tasks afterwards."""
        for attempt in self.running.values():
            attempt.stop()


@functools.cache
def _warden() -> Warden:
    """It ends by itself when this process does."""
    try:
        return Warden()
    except OSError as error:
        raise WorkerLost(
            f"the machine could not start a helper process ({error.strerror}); let this user run more processes"
        ) from error


def _find(worker: Worker, name: str) -> Attempt | None:
    plugin = worker.plugins.get(PLUGIN)
    return plugin.running.get((KEY, name)) if isinstance(plugin, Attempts) else None


async def _enter(worker: Worker, name: str, attempt: Attempt) -> Attempts:
    """Make the attempt known, on the worker's event loop. Raises WorkerLost when nobody wants it any more."""
    plugin = worker.plugins.get(PLUGIN)
    if plugin is None:
        plugin = Attempts()
        await worker.plugin_add(plugin, name=PLUGIN)
    assert isinstance(plugin, Attempts)
    _warden()
    task = worker.state.tasks.get((KEY, name))
    if task is None or task.state != "executing":
        raise WorkerLost("Dask let go of the attempt before it began")
    plugin.running[KEY, name] = attempt
    return plugin


async def _run(worker: Worker, line: bytes, name: str, topic: str, grace: float) -> bytes:
    begun = time.monotonic()
    request: ChunkRequest | None = None
    try:
        request = decode_request(line)
        result = await _attempt(worker, request, name, topic, grace)
    except AttemptError as error:
        result = failed_result(error, request, time.monotonic() - begun)
    except asyncio.CancelledError:
        # A coordinator that cancelled it does not read this; one that did not has lost its worker.
        lost = WorkerLost("the Dask worker ended the attempt, because it was closed or told to let go of it")
        result = failed_result(lost, request, time.monotonic() - begun)
    return encode_message(ResultMessage(result))


async def _attempt(worker: Worker, request: ChunkRequest, name: str, topic: str, grace: float) -> ChunkResult:
    attempt = Attempt()
    loop: asyncio.AbstractEventLoop = worker.loop.asyncio_loop  # type: ignore[attr-defined]
    entering = asyncio.run_coroutine_threadsafe(_enter(worker, name, attempt), loop)
    attempts = await asyncio.wrap_future(entering)
    report = Report(lambda lines: worker.log_event(topic, {"heliostat": name, "lines": lines}))
    try:
        worker.log_event(topic, {"heliostat": name, "begins": worker.address})
        try:
            async with asyncio.timeout(LEAVE_PATIENCE):
                await attempt.permitted.wait()
        except TimeoutError:
            raise WorkerLost(
                f"the coordinator gave no leave to begin within {LEAVE_PATIENCE:g} seconds; see what holds it up"
            ) from None
        return await run_chunk(request, report, grace=grace, warden=_warden())
    finally:
        report.tell()
        worker.loop.add_callback(attempts.running.pop, (KEY, name))


class Report:
    """A ChunkReport that gathers what is reported for a moment, and then tells it at once."""

    def __init__(self, tell: Callable[[bytes], None]) -> None:
        self._tell = tell
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._gathered: list[Message] = []
        self._frames: float | None = None

    def frames_done(self, frames: float, /) -> None:
        self._frames = frames
        self._tell_soon()

    def log(self, stream: str, text: str, /) -> None:
        self._gathered.append(LogMessage("stdout" if stream == "stdout" else "stderr", text))
        self._tell_soon()

    def heartbeat(self) -> None:
        self._gathered.append(HeartbeatMessage())
        self._tell_soon()

    def _tell_soon(self) -> None:
        if self._timer is None:
            self._timer = self._loop.call_later(TELL_EVERY, self.tell)

    def tell(self) -> None:
        """Tell what has been gathered."""
        if self._timer is None:
            return
        self._timer.cancel()
        self._timer = None
        gathered, self._gathered = self._gathered, []
        if self._frames is not None:
            gathered.append(FramesMessage(self._frames))
            self._frames = None
        self._tell(b"".join(map(encode_message, gathered)))
