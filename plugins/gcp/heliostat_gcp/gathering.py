"""Gathers attempts that become ready together, since RunJob may be called only a few times a second."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final, Generic, TypeVar

T = TypeVar("T")

MOST: Final = 10_000
"""Tasks of one execution: https://cloud.google.com/run/quotas."""
WINDOW: Final = 0.3
"""Seconds that others are waited for."""
APART: Final = 1.0
"""Seconds between one start and the next."""


class Gathering(Generic[T]):
    """`start` is called with what has come together under one key, one call after the other, on the event loop."""

    def __init__(self, start: Callable[[str, list[T]], Awaitable[None]]) -> None:
        self._start = start
        self._waiting: dict[str, list[T]] = {}
        self._last_clock = float("-inf")
        self._task: asyncio.Task[None] | None = None

    def add(self, key: str, item: T) -> None:
        self._waiting.setdefault(key, []).append(item)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run())

    def remove(self, key: str, item: T) -> bool:
        """Whether it was still waiting."""
        waiting = self._waiting.get(key, [])
        if item not in waiting:
            return False
        waiting.remove(item)
        return True

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        while self._waiting:
            await asyncio.sleep(max(WINDOW, self._last_clock + APART - time.monotonic()))
            key = next(iter(self._waiting))
            waiting = self._waiting.pop(key)
            if len(waiting) > MOST:
                self._waiting[key] = waiting[MOST:]
            if waiting:
                self._last_clock = time.monotonic()
                await self._start(key, waiting[:MOST])
