"""Blocking work beside the event loop that a cancellation does not leave running unattended."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

T = TypeVar("T")


async def in_thread(work: Callable[[], T], *, on_cancel: Callable[[], object] | None = None) -> T:
    """Call `work` on a thread and wait for its end. A cancellation meanwhile calls `on_cancel`, which may tell the work
    to be quick, and is raised when the work has ended."""
    return await _at_its_end(asyncio.get_running_loop().run_in_executor(None, work), on_cancel)


class Abandoned(BaseException):
    """Whoever waited for this work was cancelled. Not an Exception, because SDKs would take that for a fault of the
    network and send again."""


class Threads:
    """A bounded number of threads, for whichever event loops. Of work that is cancelled nothing goes on unattended."""

    def __init__(self, number: int, name: str) -> None:
        self._pool: Final = ThreadPoolExecutor(number, thread_name_prefix=name)
        self._current: Final = threading.local()

    async def run(self, work: Callable[[], T], *, to_the_end: bool = False) -> T:
        """Call `work` on a thread and wait for its end. A cancellation meanwhile makes `check_on` and `sleep` raise in
        it, unless it must come to its end, and is raised when the work has ended."""
        abandoned = threading.Event()
        job = self._pool.submit(self._do, work, abandoned)

        def give_up() -> None:
            if not to_the_end:
                abandoned.set()
                job.cancel()  # if it has not begun

        return await _at_its_end(asyncio.wrap_future(job), give_up)

    def check_on(self) -> None:
        """Called by work now and then. Raises Abandoned where it is no longer wanted."""
        abandoned = getattr(self._current, "abandoned", None)
        if abandoned is not None and abandoned.is_set():
            raise Abandoned

    def sleep(self, seconds: float) -> None:
        """Called by work that has to wait. Raises Abandoned as soon as the work is no longer wanted."""
        abandoned = getattr(self._current, "abandoned", None)
        if abandoned is None:
            time.sleep(seconds)
        elif abandoned.wait(seconds):
            raise Abandoned

    async def close(self) -> None:
        await asyncio.to_thread(self._pool.shutdown)

    def _do(self, work: Callable[[], T], abandoned: threading.Event) -> T:
        self._current.abandoned = abandoned
        try:
            return work()
        finally:
            self._current.abandoned = None


async def _at_its_end(result: asyncio.Future[T], on_cancel: Callable[[], object] | None) -> T:
    """What the work gives. A cancellation meanwhile is raised when the work has ended, whatever that gives."""
    cancelled: asyncio.CancelledError | None = None
    while not result.done():
        try:
            await asyncio.wait([result])
        except asyncio.CancelledError as error:
            cancelled = error
            if on_cancel is not None:
                on_cancel()
    if cancelled is not None:
        if not result.cancelled():
            result.exception()
        raise cancelled
    return result.result()
