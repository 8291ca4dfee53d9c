"""Ctrl-C and SIGTERM while jobs run: the first one pauses, the second one cancels."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from typing import TYPE_CHECKING, Self

from heliostat.builtin.console.wording import count
from heliostat.cli.faults import say
from heliostat.errors import HeliostatError

if TYPE_CHECKING:
    from types import TracebackType

    from heliostat.manager import JobManager

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupts:
    """A context manager. `job_ids` are the jobs that are to be stopped; `came` is set by the first signal."""

    def __init__(self, manager: JobManager) -> None:
        self.job_ids: set[str] = set()
        self.came = asyncio.Event()
        self._manager = manager
        self._tasks: list[asyncio.Task[None]] = []

    def __enter__(self) -> Self:
        for number in _SIGNALS:
            asyncio.get_running_loop().add_signal_handler(number, self._signal)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for number in _SIGNALS:
            asyncio.get_running_loop().remove_signal_handler(number)
        if self.came.is_set():  # one more that comes while the end is told must not change the exit status
            signal.signal(signal.SIGINT, signal.SIG_IGN)

    def _signal(self) -> None:
        if not self.came.is_set():
            self.came.set()
            self._tasks.append(asyncio.create_task(self._pause()))
            return
        # From here on Ctrl-C has its plain meaning, should the worker adapter not let go.
        asyncio.get_running_loop().remove_signal_handler(signal.SIGINT)
        self._tasks.append(asyncio.create_task(self._cancel()))

    async def _pause(self) -> None:
        running = 0
        for job_id in list(self.job_ids):
            with contextlib.suppress(HeliostatError):  # it has just ended
                await self._manager.pause(job_id)
                running += self._manager.running_chunks(job_id)
        first = f"{count(running, 'running chunk finishes', 'running chunks finish')} first; " if running else ""
        say(f"pausing: {first}Ctrl-C again stops at once")

    async def _cancel(self) -> None:
        say("stopping at once")
        for job_id in list(self.job_ids):
            with contextlib.suppress(HeliostatError):
                await self._manager.cancel(job_id)
