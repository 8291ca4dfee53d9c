"""Callbacks and sinks, kept apart from the job: one that raises, hangs or is slow holds back nothing.

A coroutine function is awaited in a task of its own; a plain function is called on a thread of its own. Each gets its
calls one at a time and in order.
"""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import logging
import threading
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

from heliostat.model.events import ChunkProgressed, Event, ObserverFailed, Progressed

OBSERVER_PATIENCE = 10.0
"""Seconds that one call may take once the job is over, before its observer is given up on."""

_SHED_ABOVE = 1000
_CALLS_WITHOUT_YIELD = 32

logger = logging.getLogger("heliostat")


class Calls(ABC):
    """What an observer has yet to be told."""

    @abstractmethod
    def take(self) -> tuple[Any, ...] | None:
        """The arguments of the next call, or None when there is none at present. Called from any thread."""


class ProgressCalls(Calls):
    """`on_progress(completed, total)`, once for each number up to the one that is committed."""

    def __init__(self, completed: int, total: int) -> None:
        self._told = completed
        self._committed = completed
        self._total = total

    def advance(self, completed: int) -> bool:
        """Returns whether there is more to tell than before."""
        before, self._committed = self._committed, completed
        return completed > before

    def take(self) -> tuple[int, int] | None:
        if self._told >= self._committed:
            return None
        self._told += 1
        return self._told, self._total


class EventCalls(Calls):
    """Events in order. A long queue sheds those about frames, which the next one of their kind replaces anyway."""

    def __init__(self) -> None:
        self._events: deque[Event] = deque()

    def put(self, event: Event) -> None:
        if len(self._events) < _SHED_ABOVE or not isinstance(event, ChunkProgressed | Progressed):
            self._events.append(event)

    def take(self) -> tuple[Event] | None:
        try:
            return (self._events.popleft(),)
        except IndexError:
            return None


class Observer:
    """Makes the calls of one callback. `failed(observer, message)` is told once, on the event loop."""

    def __init__(
        self, name: str, function: Callable[..., Any], calls: Calls, failed: Callable[[Observer, str], None]
    ) -> None:
        self.name = name
        self._function = function
        self._calls = calls
        self._failed = failed
        self._reported = False
        self._loop = asyncio.get_running_loop()
        self._closing = False
        self._abandoned = False
        self._busy_since: float | None = None
        self._wakes = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self._work = threading.Event()
        self._task: asyncio.Task[None] | None = None
        self._thread: threading.Thread | None = None
        called = function if inspect.isroutine(function) else getattr(function, "__call__", function)  # noqa: B004
        self._is_coroutine = inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(called)

    def wake(self) -> None:
        """There may be calls to make. On the event loop. Without effect once closed."""
        if self._abandoned or self._closing:
            return
        self._idle.clear()
        self._wakes += 1
        if self._is_coroutine:
            if self._task is None or self._task.done():
                self._task = self._loop.create_task(self._deliver())
            return
        if self._thread is None:
            context = contextvars.copy_context()
            self._thread = threading.Thread(
                target=context.run, args=(self._deliver_on_thread,), name=f"heliostat {self.name}", daemon=True
            )
            self._work.set()
            self._thread.start()
        else:
            self._work.set()

    async def close(self, patience: float) -> None:
        """Wait until every call has returned; give up when a single one takes longer than `patience` seconds."""
        self.wake()  # should its task have been cancelled with calls left to make
        while not self._idle.is_set() and not self._abandoned:
            since = self._busy_since
            waited = 0.0 if since is None else time.monotonic() - since
            if waited >= patience:
                self._abandoned = True
                self._report(f"hung for {waited:.0f} s and was given up on")
                break
            try:
                await asyncio.wait_for(self._idle.wait(), timeout=max(0.01, patience - waited))
            except TimeoutError:
                continue
        if self._task is not None and not self._task.done():
            self._task.cancel()
        self._closing = True
        self._work.set()

    async def _deliver(self) -> None:
        made = 0
        try:
            while not self._abandoned and (arguments := self._calls.take()) is not None:
                self._busy_since = time.monotonic()
                try:
                    await self._function(*arguments)
                except asyncio.CancelledError as error:
                    if self._abandoned:
                        raise
                    self._report(_describe(error))
                    if (task := asyncio.current_task()) is not None and task.cancelling():
                        raise
                except Exception as error:
                    self._report(_describe(error))
                finally:
                    self._busy_since = None
                made += 1
                if made % _CALLS_WITHOUT_YIELD == 0:  # a callback that never waits must not stop the event loop
                    await asyncio.sleep(0)
        finally:
            self._idle.set()

    def _deliver_on_thread(self) -> None:
        while not self._abandoned and not self._closing:
            self._work.wait()
            self._work.clear()
            wakes = self._wakes
            while not self._abandoned and (arguments := self._calls.take()) is not None:
                self._busy_since = time.monotonic()
                try:
                    returned = self._function(*arguments)
                    if inspect.isawaitable(returned):
                        asyncio.run_coroutine_threadsafe(_finish(returned), self._loop).result()
                except BaseException as error:  # an observer that calls sys.exit() must not end its thread unheard
                    self._on_loop(self._report, _describe(error))
                finally:
                    self._busy_since = None
            self._on_loop(self._settle, wakes)

    def _settle(self, wakes: int) -> None:
        """The thread has made every call that there was at that wake; unless it was woken since, it is idle."""
        if wakes == self._wakes:
            self._idle.set()

    def _on_loop(self, function: Callable[..., None], *arguments: object) -> None:
        try:
            self._loop.call_soon_threadsafe(function, *arguments)
        except RuntimeError:
            self._abandoned = True  # the loop is closed: the job is long over

    def _report(self, message: str) -> None:
        if not self._reported:
            self._reported = True
            logger.warning("%s %s; the job goes on", self.name, message)
            self._failed(self, message)


class Observers:
    """All observers of one job."""

    def __init__(self, patience: float, failed: Callable[[str, str], None]) -> None:
        self._patience = patience
        self._failed = failed
        self._progress: tuple[ProgressCalls, Observer] | None = None
        self._listeners: list[tuple[EventCalls, Observer]] = []

    @property
    def listening(self) -> bool:
        """Whether anybody takes events: making them costs more than all the rest of a small chunk."""
        return bool(self._listeners)

    def on_progress(self, function: Callable[..., Any], completed: int, total: int) -> None:
        calls = ProgressCalls(completed, total)
        self._progress = (calls, Observer("on_progress", function, calls, self._observer_failed))

    def listen(self, name: str, function: Callable[..., Any]) -> None:
        calls = EventCalls()
        self._listeners.append((calls, Observer(name, function, calls, self._observer_failed)))

    def advance(self, completed: int) -> None:
        """So many chunks are committed."""
        if self._progress is not None:
            calls, observer = self._progress
            if calls.advance(completed):
                observer.wake()

    def tell(self, event: Event) -> None:
        """Nobody is told of its own failure."""
        failed = event.observer if isinstance(event, ObserverFailed) else None
        for calls, observer in self._listeners:
            if observer.name != failed:
                calls.put(event)
                observer.wake()

    async def finish_progress(self) -> None:
        """No `on_progress` call is made after this."""
        if self._progress is not None:
            await self._progress[1].close(self._patience)

    async def finish(self) -> None:
        """No call of any kind is made after this."""
        await self.finish_progress()
        await asyncio.gather(*(observer.close(self._patience) for _, observer in self._listeners))

    def _observer_failed(self, observer: Observer, message: str) -> None:
        self._failed(observer.name, message)


async def _finish(awaitable: Awaitable[Any]) -> None:
    await awaitable


def _describe(error: BaseException) -> str:
    return f"raised {type(error).__name__}: {error}" if str(error) else f"raised {type(error).__name__}"
