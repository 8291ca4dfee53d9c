"""How often browsers are sent what is new: at once, then a few times a second, less often the more of them there are,
and never more than one of them can draw."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Final

QUICKEST: Final = 0.25
"""Seconds from one sending to the next, to one browser."""
SHARE: Final = 0.02
"""Seconds between two sendings to any browsers at all, on average: what Studio does for pages has a limit, however many
there are."""


class Pace:
    """One for all pages of a process."""

    def __init__(self) -> None:
        self.browsers = 0

    @property
    def period(self) -> float:
        """Seconds from one sending to the next, to one browser."""
        return max(QUICKEST, SHARE * self.browsers)

    @contextlib.contextmanager
    def joined(self) -> Iterator[None]:
        """Another browser is looking."""
        self.browsers += 1
        try:
            yield
        finally:
            self.browsers -= 1


class Sending:
    """What is sent to one browser. It says what it has drawn; until then nothing more is sent. A browser whose tab is
    hidden draws nothing, and one that is slow or gone takes its time."""

    def __init__(self, pace: Pace) -> None:
        self._pace = pace
        self._number = 0
        self._drawn = asyncio.Event()
        self._drawn.set()
        self._sent = float("-inf")

    async def turn(self) -> None:
        """Wait until the browser may be sent something."""
        await self._drawn.wait()
        await asyncio.sleep(self._sent + self._pace.period - time.monotonic())
        await self._drawn.wait()

    def sent(self, beat: Callable[[int], object]) -> None:
        """Something was sent; `beat` sends a number after it, which the browser gives to `drawn`."""
        self._number += 1
        self._sent = time.monotonic()
        self._drawn.clear()
        beat(self._number)

    def drawn(self, number: int) -> None:
        if number == self._number:
            self._drawn.set()

    def connected(self) -> None:
        """What was sent before may be lost."""
        self._drawn.set()
