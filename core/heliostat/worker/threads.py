"""Blocking work beside the event loop that a cancellation does not leave running unattended."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


async def in_thread(work: Callable[[], T], *, on_cancel: Callable[[], object] | None = None) -> T:
    """Call `work` on a thread and wait for its end. A cancellation meanwhile calls `on_cancel`, which may tell the work
    to be quick, and is raised when the work has ended."""
    future = asyncio.get_running_loop().run_in_executor(None, work)
    cancelled: asyncio.CancelledError | None = None
    while not future.done():
        try:
            await asyncio.wait([future])
        except asyncio.CancelledError as error:
            cancelled = error
            if on_cancel is not None:
                on_cancel()
    if cancelled is not None:
        future.exception()
        raise cancelled
    return future.result()
