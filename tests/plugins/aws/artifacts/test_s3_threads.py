"""Work on the store's threads is cancelled, or comes to its end, but never goes on unattended."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator

import pytest

from heliostat_aws.s3_threads import Abandoned, Threads


@pytest.fixture
async def threads() -> AsyncIterator[Threads]:
    threads = Threads(1)
    yield threads
    await threads.close()


async def test_work_returns_what_it_returns_and_raises_what_it_raises(threads: Threads) -> None:
    assert await threads.run(lambda: 1) == 1
    with pytest.raises(ZeroDivisionError):
        await threads.run(lambda: 1 // 0)
    await threads.run(threads.check_on)
    threads.check_on()  # on a thread that is none of these


async def test_work_that_is_cancelled_ends_at_its_next_check(threads: Threads) -> None:
    begun, ended = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    def work() -> None:
        loop.call_soon_threadsafe(begun.set)
        try:
            while True:
                threads.check_on()
        except Abandoned:
            ended.set()
            raise

    task = asyncio.create_task(threads.run(work))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended.is_set()
    await threads.run(threads.check_on)  # it was about that work alone


async def test_work_that_has_not_begun_is_never_done(threads: Threads) -> None:
    begun, go_on = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()
    done = []

    def first() -> None:
        loop.call_soon_threadsafe(begun.set)
        go_on.wait(30)

    running = asyncio.create_task(threads.run(first))
    await begun.wait()
    waiting = asyncio.create_task(threads.run(lambda: done.append("second")))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert not running.done()
    go_on.set()
    await running
    await threads.run(lambda: done.append("third"))
    assert done == ["third"]


async def test_what_must_come_to_its_end_does_however_often_it_is_cancelled(threads: Threads) -> None:
    begun, go_on = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()
    done = []

    def work() -> None:
        loop.call_soon_threadsafe(begun.set)
        go_on.wait(30)
        threads.check_on()
        done.append("work")

    task = asyncio.create_task(threads.run(work, to_the_end=True))
    await begun.wait()
    for _ in range(3):
        task.cancel()
        await asyncio.sleep(0)
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert done == ["work"]
