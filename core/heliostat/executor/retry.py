"""What a failure costs, and how long to wait before the next attempt."""

from __future__ import annotations

import random
from typing import Final

from heliostat.model.cause import Cause

LONGEST_DELAY: Final = 60.0
"""Seconds."""
LOST_LIMIT: Final = 10
"""How often a chunk's worker may be lost before that counts as a failure of the chunk."""

COSTS_AN_ATTEMPT: Final = frozenset(
    {Cause.COMMAND_FAILED, Cause.TIMED_OUT, Cause.STALLED, Cause.OUT_OF_MEMORY, Cause.BAD_OUTPUT}
)


class RetryPolicy:
    """Decides for every failed attempt. Keeps a tally only of chunks that have failed."""

    def __init__(self, retries: int, delay: float) -> None:
        self._retries = retries
        self._delay = delay
        self._tallies: dict[int, dict[str, int]] = {}
        self._random = random.Random()

    def after(self, index: int, cause: Cause, retry_after: float | None = None) -> float | None:
        """Seconds to wait before the chunk's next attempt, or None when the chunk is to be given up."""
        if cause is Cause.MISCONFIGURED or cause is Cause.CANCELLED:
            return None
        kind = "cost" if cause in COSTS_AN_ATTEMPT else cause.value
        tally = self._tallies.setdefault(index, {})
        times = tally[kind] = tally.get(kind, 0) + 1
        if kind == "cost" and times > self._retries:
            return None
        if cause is Cause.WORKER_LOST and times > LOST_LIMIT:
            return None
        if cause is Cause.THROTTLED and retry_after is not None:
            # What the platform asks for is the least to wait; the jitter keeps many chunks from coming back at once.
            return max(0.0, retry_after) + self._jitter(1)
        return self._jitter(times)

    def _jitter(self, times: int) -> float:
        """Exponential backoff with full jitter ("Exponential Backoff And Jitter", AWS Architecture Blog, 2015)."""
        return self._random.uniform(0.0, min(LONGEST_DELAY, self._delay * 2.0 ** min(times - 1, 30)))
