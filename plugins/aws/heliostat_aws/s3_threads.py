"""The threads on which an artifact store calls S3, and how a call on one of them is cancelled."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

T = TypeVar("T")


class Abandoned(BaseException):
    """Whoever waited for this work was cancelled. Not an Exception, because botocore would take that for a fault of the
    network and send again."""


class Threads:
    """A bounded number of threads. Of work that is cancelled nothing goes on unattended."""

    def __init__(self, number: int) -> None:
        self._pool: Final = ThreadPoolExecutor(number, thread_name_prefix="heliostat s3")
        self._current: Final = threading.local()

    def check_on(self) -> None:
        """Called by work now and then. Raises Abandoned where it is no longer wanted."""
        wanted = getattr(self._current, "wanted", None)
        if wanted is not None and not wanted():
            raise Abandoned

    async def run(self, work: Callable[[], T], *, to_the_end: bool = False) -> T:
        """Call `work` on a thread and wait for its end. A cancellation meanwhile makes `check_on` raise in it, unless
        it must come to its end, and is raised when the work has ended."""
        abandoned = threading.Event()
        job = self._pool.submit(self._do, work, lambda: not abandoned.is_set())
        result = asyncio.wrap_future(job)
        cancelled: asyncio.CancelledError | None = None
        while not result.done():
            try:
                await asyncio.wait([result])
            except asyncio.CancelledError as error:
                cancelled = error
                if not to_the_end:
                    abandoned.set()
                    job.cancel()  # if it has not begun
        if cancelled is not None:
            if not result.cancelled():
                result.exception()
            raise cancelled
        return result.result()

    async def close(self) -> None:
        await asyncio.to_thread(self._pool.shutdown)

    def _do(self, work: Callable[[], T], wanted: Callable[[], bool]) -> T:
        self._current.wanted = wanted
        try:
            return work()
        finally:
            self._current.wanted = None
