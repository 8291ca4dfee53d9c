"""Blocking work beside the event loop."""

from __future__ import annotations

import asyncio
import threading

import pytest

from heliostat.worker.threads import in_thread


async def test_it_gives_what_the_work_gives() -> None:
    assert await in_thread(lambda: 7) == 7
    with pytest.raises(ZeroDivisionError):
        await in_thread(lambda: 1 // 0)


async def test_a_cancellation_waits_for_the_work_to_end() -> None:
    go_on, ended = threading.Event(), threading.Event()

    def work() -> None:
        go_on.wait(60)
        ended.set()

    task = asyncio.create_task(in_thread(work, on_cancel=go_on.set))
    await asyncio.sleep(0)
    task.cancel()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended.is_set()
    assert task.cancelled()


async def test_an_error_of_work_that_was_cancelled_is_not_told() -> None:
    quick = threading.Event()

    def work() -> None:
        quick.wait(60)
        raise ValueError("cancelled")

    task = asyncio.create_task(in_thread(work, on_cancel=quick.set))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
