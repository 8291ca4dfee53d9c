"""Looks after the coordinator process: starts it, starts it again when it dies, and ends it with the web process."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import sys
import time
from asyncio.subprocess import PIPE, Process
from enum import StrEnum
from typing import Final

import msgspec
from msgspec import Struct

from heliostat import from_json
from heliostat.studio.coordinator_process import CoordinatorTask, News

FIRST_DELAY: Final = 0.5
"""Seconds from a death to the next start; they double with each death."""
LONGEST_DELAY: Final = 30.0
"""Seconds."""
STEADY: Final = 60.0
"""Seconds of life after which a death counts as the first."""
HANDOVER_PATIENCE: Final = 20.0
"""Seconds that the process gets to end its commands, once it is told to end."""

logger = logging.getLogger("heliostat")


class CoordinatorState(StrEnum):
    STARTING = "starting"
    RUNNING = "running"
    DOWN = "down"
    """It has died and will be started again."""
    ENDED = "ended"
    """The web process is ending, and has ended it."""


class CoordinatorStatus(Struct, frozen=True, kw_only=True, rename="camel"):
    """How the coordinator process is."""

    state: CoordinatorState = CoordinatorState.STARTING
    since: float
    """Seconds since the epoch."""
    restarts: int = 0
    """How often it was started again."""
    pid: int | None = None
    problem: str | None = None
    """One sentence on why it is down."""


class Coordinator:
    """The coordinator process. `run` is to be a task for as long as there is to be one."""

    def __init__(self, task: CoordinatorTask) -> None:
        self._task = task
        self._ending = asyncio.Event()
        self._process: Process | None = None
        self.status = CoordinatorStatus(since=time.time())
        self.changed = asyncio.Event()
        """Set, and replaced by another, whenever `status` changes."""

    @property
    def alive(self) -> bool:
        return self.status.state is CoordinatorState.RUNNING

    async def run(self) -> None:
        """Until `stop`."""
        delay, restarts = FIRST_DELAY, 0
        while not self._ending.is_set():
            began = time.monotonic()
            self._tell(CoordinatorState.STARTING, restarts)
            try:
                problem = await self._run_once(restarts)
            except Exception as error:
                problem = f"the coordinator process could not be followed ({type(error).__name__}: {error})"
            if self._ending.is_set():
                break
            if time.monotonic() - began > STEADY:
                delay = FIRST_DELAY
            logger.error("%s; it is started again in %.1f s", problem, delay)
            self._tell(CoordinatorState.DOWN, restarts, problem=problem)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._ending.wait(), delay)
            delay, restarts = min(2 * delay, LONGEST_DELAY), restarts + 1
        self._tell(CoordinatorState.ENDED, restarts)

    def stop(self) -> None:
        """Let it hand over what it runs, and end; `run` ends with it. Told twice, it is killed."""
        if self._ending.is_set():
            if self._process is not None:
                _signal(self._process, signal.SIGKILL)
            return
        self._ending.set()
        if self._process is not None:
            _signal(self._process, signal.SIGTERM)

    async def _run_once(self, restarts: int) -> str:
        """Returns what it died of, in one sentence."""
        try:
            # A session of its own: Ctrl-C is meant for the web process, which then ends this one in order.
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "heliostat.studio.coordinator_process"),
                stdin=PIPE,
                stdout=PIPE,
                start_new_session=True,
            )
        except OSError as error:
            return f"the coordinator process cannot be started ({error.strerror})"
        self._process = process
        if self._ending.is_set():
            _signal(process, signal.SIGTERM)
        ended = asyncio.create_task(self._end(process))
        try:
            return await self._listen(process, restarts)
        finally:
            self._process = None
            ended.cancel()
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()

    async def _listen(self, process: Process, restarts: int) -> str:
        assert process.stdin is not None
        assert process.stdout is not None
        problem = None
        with contextlib.suppress(ConnectionError):  # it died at once
            process.stdin.write(msgspec.json.encode(self._task) + b"\n")
            await process.stdin.drain()
        async for line in process.stdout:
            news = from_json(line, News)
            problem = news.problem
            if problem is None:
                self._tell(CoordinatorState.RUNNING, restarts, pid=process.pid)
        status = await process.wait()
        if problem is not None:
            return f"the coordinator process has ended: {problem}"
        how = f"exit status {status}" if status >= 0 else f"signal {-status}"
        return f"the coordinator process has died ({how})"

    async def _end(self, process: Process) -> None:
        """Kill it when it was told to end and does not."""
        await self._ending.wait()
        await asyncio.sleep(HANDOVER_PATIENCE)
        _signal(process, signal.SIGKILL)

    def _tell(
        self, state: CoordinatorState, restarts: int, *, pid: int | None = None, problem: str | None = None
    ) -> None:
        self.status = CoordinatorStatus(state=state, since=time.time(), restarts=restarts, pid=pid, problem=problem)
        self.changed.set()
        self.changed = asyncio.Event()


def _signal(process: Process, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(number)
