"""A thread that makes calls for coroutines, one after the other."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import weakref
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, TypeVar

T = TypeVar("T")

_Call = tuple[Callable[[], Any], asyncio.AbstractEventLoop, "asyncio.Future[Any]"]


class CallThread:
    """Makes the calls in the order in which they are asked for. It starts with the first one.

    Unlike the threads of `concurrent.futures`, it does not hold up the end of the program: one call may be waiting for
    a server that is gone.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._calls: SimpleQueue[_Call | None] | None = None
        self._end: weakref.finalize[..., CallThread]

    async def run(self, call: Callable[[], T]) -> T:
        """What the call returns or raises. When cancelled, a call that has begun goes on to its end, unheard."""
        if self._calls is None:
            self._calls = SimpleQueue()
            self._end = weakref.finalize(self, self._calls.put, None)
            threading.Thread(target=_serve, args=(self._calls,), name=self._name, daemon=True).start()
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        self._calls.put((call, loop, future))
        return await future

    async def stop(self) -> None:
        """End the thread after the calls that wait. Another `run` starts a new one."""
        calls, self._calls = self._calls, None
        if calls is not None:
            loop = asyncio.get_running_loop()
            ended: asyncio.Future[None] = loop.create_future()
            calls.put((lambda: None, loop, ended))
            self._end()
            await ended


def _serve(calls: SimpleQueue[_Call | None]) -> None:
    while (item := calls.get()) is not None:
        _make(*item)
        del item  # what a call refers to is not to be kept until the next one


def _make(call: Callable[[], Any], loop: asyncio.AbstractEventLoop, future: asyncio.Future[Any]) -> None:
    if future.cancelled():
        return
    result, failure = None, None
    try:
        result = call()
    except BaseException as error:
        failure = error
    with contextlib.suppress(RuntimeError):  # the event loop is closed: nobody waits
        loop.call_soon_threadsafe(_settle, future, result, failure)


def _settle(future: asyncio.Future[Any], result: Any, failure: BaseException | None) -> None:
    if future.cancelled():
        return
    if failure is None:
        future.set_result(result)
    else:
        future.set_exception(failure)
