"""Chunks that wait for a slot, and slots that wait for a chunk."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator


class ChunkQueue:
    """Retries come before chunks that have not been tried. Holds nothing for a chunk that was never given back."""

    def __init__(self, fresh: Iterator[int]) -> None:
        """`fresh` yields the indexes of the chunks to run, once each."""
        self._fresh = fresh
        self._ready: deque[int] = deque()
        self._timers: dict[int, asyncio.TimerHandle] = {}
        self._idle: deque[asyncio.Future[None]] = deque()
        self.closed = False

    def take(self) -> int | None:
        """The next chunk's index; None when there is none at present, or never again."""
        if self.closed:
            return None
        return self._ready.popleft() if self._ready else next(self._fresh, None)

    @property
    def expecting(self) -> bool:
        """Whether a chunk that was given back has yet to be taken again."""
        return bool(self._ready or self._timers)

    def give_back(self, index: int, delay: float) -> None:
        """The chunk is to be taken again, in `delay` seconds."""
        if delay > 0:
            self._timers[index] = asyncio.get_running_loop().call_later(delay, self._due, index)
        else:
            self._ready.append(index)

    def close(self) -> None:
        """Nothing more is taken."""
        self.closed = True
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        self._ready.clear()
        self.wake_all()

    async def wait(self) -> None:
        """Wait until there may be something to take."""
        waiter = asyncio.get_running_loop().create_future()
        self._idle.append(waiter)
        await waiter

    def wake_one(self) -> None:
        while self._idle:
            waiter = self._idle.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return

    def wake_all(self) -> None:
        while self._idle:
            self.wake_one()

    def _due(self, index: int) -> None:
        del self._timers[index]
        self._ready.append(index)
        self.wake_one()
