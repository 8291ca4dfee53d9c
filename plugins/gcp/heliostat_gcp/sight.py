"""When to give up on tasks that nothing can be heard of any more."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

BLIND: Final = 300.0
"""Seconds without a look that succeeds after which tasks are given up."""


class Sight:
    """Begins with a look that has succeeded. `clock` tells seconds, as `time.monotonic` does."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._seen_clock = clock()

    def renew(self) -> None:
        """A look has succeeded, or there was nothing to look at until now."""
        self._seen_clock = self._clock()

    @property
    def is_lost(self) -> bool:
        return self._clock() - self._seen_clock > BLIND
