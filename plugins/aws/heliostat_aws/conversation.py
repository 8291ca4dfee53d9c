"""What one worker says on the reply queue, put in order: SQS may deliver twice, and in any order."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import TYPE_CHECKING, Final

import msgspec
from msgspec import Struct

from heliostat import from_json
from heliostat.errors import WorkerLost
from heliostat.worker import relay
from heliostat_aws.invocation import Stored

if TYPE_CHECKING:
    from heliostat import ChunkReport, ChunkResult

PATIENCE: Final = 3.0
"""Seconds that a batch is waited for when later ones are there."""


class Batch(Struct, frozen=True, rename="camel"):
    """One message on the queue."""

    call_id: str
    number: int
    """From 0, for each call."""
    lines: str
    """Messages of the wire format, a line each."""


class Silence:
    """A ChunkReport that does nothing about what it is told."""

    def frames_done(self, frames: float, /) -> None: ...
    def log(self, stream: str, text: str, /) -> None: ...
    def heartbeat(self) -> None: ...


class Conversation:
    """`hear` is called from any thread; the rest belongs to the event loop that it was made on."""

    def __init__(self, report: ChunkReport) -> None:
        self._report = report
        self._loop = asyncio.get_running_loop()
        self._lock = threading.Lock()
        self._waiting: dict[int, str] = {}
        self._next = 0
        self._changed = asyncio.Event()
        self.answer: ChunkResult | Stored | None = None
        """The result, once it has come this way."""
        self.heard_clock: float | None = None
        """When the worker last said anything."""

    def hear(self, batch: Batch) -> None:
        with self._lock:
            self.heard_clock = time.monotonic()
            if batch.number >= self._next:
                self._waiting[batch.number] = batch.lines
            while (lines := self._waiting.pop(self._next, None)) is not None:
                self._next += 1
                self._say(lines)
        self._loop.call_soon_threadsafe(self._changed.set)

    async def until(self, batches: int | None) -> None:
        """Wait for so many batches, or for the answer; no longer than `PATIENCE` once later ones are there, or once
        their number is known."""
        deadline = None if batches is None else time.monotonic() + PATIENCE
        while self.answer is None and (batches is None or self._next < batches):
            self._changed.clear()
            if deadline is None and self._waiting:
                deadline = time.monotonic() + PATIENCE
            left = 1.0 if deadline is None else deadline - time.monotonic()
            if left <= 0:
                with self._lock:
                    for number in sorted(self._waiting):
                        self._say(self._waiting.pop(number))
                        self._next = number + 1
                return
            try:
                async with asyncio.timeout(left):
                    await self._changed.wait()
            except TimeoutError:
                if deadline is None:
                    return

    def _say(self, lines: str) -> None:
        for line in lines.splitlines():
            self.answer = read_answer(line.encode(), self._report) or self.answer


def read_answer(line: bytes, report: ChunkReport) -> ChunkResult | Stored | None:
    """One message of the worker, passed on to `report`, or what it answers in the end. Raises WorkerLost."""
    try:
        return from_json(line, Stored)
    except msgspec.ValidationError:
        return relay(line, report)
    except msgspec.DecodeError as error:
        raise WorkerLost(
            f"the function answered {line[:80]!r}, which is no message ({error}); deploy it again"
        ) from error
