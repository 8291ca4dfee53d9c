"""A call that is cancelled at many moments of its work, one after the other."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any


async def interrupted(call: Callable[[], Coroutine[Any, Any, object]]) -> AsyncIterator[bool]:
    """Make the call again and again, and cancel it a little later each time. Yields after each whether it was
    cancelled; ends with the first that was quicker. What a call raises is raised.

    Moments are counted in turns of the event loop, not in seconds, so that a slow machine sees the same ones.
    """
    turns, cancelled = 0, True
    while cancelled:
        task = asyncio.create_task(call())
        for _ in range(turns):
            if task.done():
                break
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        if not (cancelled := task.cancelled()):
            task.result()
        yield cancelled
        turns = 2 * turns + 1
