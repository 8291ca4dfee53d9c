"""`FaultyWorker`: any worker adapter, with the faults that real platforms have, injected as a seed says."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator, Mapping
from enum import StrEnum
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

import msgspec

from heliostat.contracts.worker import WorkerAdapter
from heliostat.errors import Throttled, WorkerLost
from heliostat.model.cause import Cause
from heliostat.model.result import ChunkResult

if TYPE_CHECKING:
    from heliostat.contracts.worker import ChunkReport, ChunkRequest


class Fault(StrEnum):
    """What may go wrong with one attempt."""

    FAILURE = "failure"
    """The attempt fails without having run: exit status 1."""
    CRASH = "crash"
    """The worker goes away as soon as the attempt has reported frames or output, or has ended."""
    HANG = "hang"
    """No answer ever comes. Only a chunk timeout, a stall timeout or a cancellation ends it."""
    THROTTLE = "throttle"
    """The platform refuses the call."""
    SLOW_START = "slow start"
    """The attempt starts `slow_start` seconds late."""
    DUPLICATE = "duplicate"
    """The request is delivered twice, one after the other; the second result is the answer."""
    LATE = "late"
    """The attempt's result is held back and its worker counts as lost; the chunk's next attempt is answered with it."""
    GARBLED = "garbled"
    """The attempt runs, and what comes back is not a result."""


MILD: Final[Mapping[Fault, float]] = {fault: 0.05 for fault in Fault if fault is not Fault.HANG}
"""Every fault that needs no timeout, each with one attempt in twenty."""


class FaultyWorker(WorkerAdapter):
    """Wraps an adapter. Which fault an attempt gets depends on the seed, its chunk's id and its number alone, so that
    the same job meets the same faults on every adapter and in whatever order things happen.

    ```python
    JobExecutor(FaultyWorker(open_worker("local"), seed=7, rates={Fault.CRASH: 0.2, Fault.THROTTLE: 0.1}))
    ```
    """

    def __init__(
        self,
        worker: WorkerAdapter,
        *,
        seed: int = 0,
        rates: Mapping[Fault, float] = MILD,
        faults: Mapping[tuple[int | str, int], Fault] | None = None,
        attempts: int = 3,
        slow_start: float = 0.05,
    ) -> None:
        """`rates`: the share of attempts, 0 to 1, that gets each fault. `faults` names attempts, by chunk id and
        number, in place of the seed. Attempts numbered above `attempts` are left alone, so that a job comes to its end.
        Raises ValueError when the rates add up to more than 1."""
        if not 0.0 <= sum(rates.values()) <= 1.0:
            raise ValueError("the rates of all faults together must be from 0 to 1")
        self.name = worker.name
        self.limits = worker.limits
        self.injected: dict[tuple[int | str, int], Fault] = {}
        """What was injected so far, by chunk id and attempt."""
        self._worker = worker
        self._seed = seed
        self._rates = dict(rates)
        self._faults = faults
        self._attempts = attempts
        self._slow_start = slow_start
        self._held: dict[tuple[str, int | str], ChunkResult] = {}

    async def __aenter__(self) -> Self:
        await self._worker.__aenter__()
        self.artifacts = self._worker.artifacts
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._worker.__aexit__(kind, error, traceback)

    def fault_of(self, chunk: int | str, attempt: int) -> Fault | None:
        """What an attempt gets."""
        if self._faults is not None:
            return self._faults.get((chunk, attempt))
        if attempt > self._attempts:
            return None
        drawn = random.Random(f"{self._seed}/{chunk}/{attempt}").random()
        return next(_where(drawn, self._rates), None)

    async def run(self, request: ChunkRequest, report: ChunkReport) -> ChunkResult:
        late = self._held.pop((request.job_id, request.chunk.id), None)
        if late is not None:
            return late
        fault = self.fault_of(request.chunk.id, request.attempt)
        if fault is None:
            return await self._worker.run(request, report)
        self.injected[request.chunk.id, request.attempt] = fault
        match fault:
            case Fault.FAILURE:
                return ChunkResult(exit_code=1, duration=0.0, cause=Cause.COMMAND_FAILED, message="an injected failure")
            case Fault.CRASH:
                await self._crash(request, report)
                raise WorkerLost("an injected crash")
            case Fault.HANG:
                await asyncio.get_running_loop().create_future()
            case Fault.THROTTLE:
                raise Throttled("an injected throttle", retry_after=0.0)
            case Fault.SLOW_START:
                await asyncio.sleep(self._slow_start)
            case Fault.DUPLICATE:
                await self._worker.run(request, report)
            case Fault.LATE:
                result = await self._worker.run(request, report)
                late = msgspec.structs.replace(result, attempt_id=request.attempt_id)
                self._held[request.job_id, request.chunk.id] = late
                raise WorkerLost("an injected delay of the result")
            case Fault.GARBLED:
                await self._worker.run(request, report)
                garbled: Any = b"\x00\xff garbled"
                return garbled  # type: ignore[no-any-return]
        return await self._worker.run(request, report)

    async def _crash(self, request: ChunkRequest, report: ChunkReport) -> None:
        """Run the attempt until it says something, then end it."""
        said = asyncio.Event()
        running = asyncio.create_task(self._worker.run(request, _Overheard(report, said)))
        hearing = asyncio.create_task(said.wait())
        try:
            await asyncio.wait([running, hearing], return_when=asyncio.FIRST_COMPLETED)
        finally:
            hearing.cancel()
            running.cancel()
            await asyncio.wait([running])
        if not running.cancelled():
            running.exception()


class _Overheard:
    """Passes reports on, and notes on the event loop that the command has said something."""

    def __init__(self, report: ChunkReport, said: asyncio.Event) -> None:
        self._report = report
        self._said = said
        self._loop = asyncio.get_running_loop()

    def frames_done(self, frames: float, /) -> None:
        self._report.frames_done(frames)
        self._note()

    def log(self, stream: str, text: str, /) -> None:
        self._report.log(stream, text)
        self._note()

    def heartbeat(self) -> None:
        self._report.heartbeat()

    def _note(self) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._said.set)


def _where(drawn: float, rates: Mapping[Fault, float]) -> Iterator[Fault]:
    """The fault in whose share of 0 to 1 the number lies."""
    upto = 0.0
    for fault in Fault:
        upto += rates.get(fault, 0.0)
        if drawn < upto:
            yield fault
