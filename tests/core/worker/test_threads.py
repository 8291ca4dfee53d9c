"""Blocking work beside the event loop."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator

import pytest

from heliostat.worker.threads import Abandoned, Threads, in_thread


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


# --- threads of one's own --------------------------------------------------------------------------------------------


@pytest.fixture
async def threads() -> AsyncIterator[Threads]:
    threads = Threads(1, "heliostat test")
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


async def test_work_that_waits_ends_when_it_is_cancelled(threads: Threads) -> None:
    begun, ended = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    def work() -> None:
        loop.call_soon_threadsafe(begun.set)
        try:
            threads.sleep(3600)
        except Abandoned:
            ended.set()
            raise

    task = asyncio.create_task(threads.run(work))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended.is_set()


async def test_work_waits_as_long_as_it_says(threads: Threads) -> None:
    for sleep in (lambda work: threads.run(work), asyncio.to_thread):  # also on a thread that is none of these
        begun = time.monotonic()
        await sleep(lambda: threads.sleep(0.05))
        assert time.monotonic() - begun >= 0.05


async def test_threads_have_their_name_and_are_gone_afterwards() -> None:
    threads = Threads(2, "heliostat named")
    assert await threads.run(lambda: threading.current_thread().name.startswith("heliostat named"))
    await threads.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("heliostat named")]


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
