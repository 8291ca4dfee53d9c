"""Calls that are made again when what went wrong will pass."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Final, TypeVar

from google.cloud.storage.retry import DEFAULT_RETRY

T = TypeVar("T")

TRIES: Final = 6
"""How often a call is made that gets no further, until its error is told."""
LONGEST_WAIT: Final = 16.0
"""Seconds between two tries, at the most; at random, doubled each time from one second."""


class Retries:
    """What passes is Google's to say (https://cloud.google.com/storage/docs/retry-strategy). The waiting is done here:
    the libraries' own cannot be cancelled, and ends with a deadline that a long transfer has passed when it breaks."""

    def __init__(self, sleep: Callable[[float], None]) -> None:
        """`sleep` is `Threads.sleep`."""
        self._sleep = sleep
        self._retry = DEFAULT_RETRY.with_delay(initial=0.0, maximum=0.0).with_timeout(None)

    def __call__(self, work: Callable[[], T], *, progress: Callable[[], int] = lambda: 0) -> T:
        """Call `work` until it succeeds. Whenever `progress` has risen the tries begin anew, so that a transfer may
        break as often as it gets further meanwhile."""
        failures, furthest = 0, progress()

        def wait(error: Exception) -> None:
            nonlocal failures, furthest
            if (reached := progress()) > furthest:
                failures, furthest = 0, reached
            failures += 1
            if failures == TRIES:
                raise error
            self._sleep(random.uniform(0, min(LONGEST_WAIT, 2.0 ** (failures - 1))))

        result: T = self._retry(work, on_error=wait)()
        return result
