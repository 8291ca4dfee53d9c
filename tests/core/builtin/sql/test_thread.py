"""The thread that makes a repository's calls."""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
import threading
import time

import pytest

from heliostat.builtin.sql.thread import CallThread

PATIENCE = 30.0


async def test_calls_are_made_one_after_the_other_in_the_order_asked_for():
    thread, made, at_once = CallThread("calls"), [], []

    def call(number: int) -> int:
        at_once.append(number)
        assert len(at_once) == 1
        made.append(number)
        at_once.remove(number)
        return number

    numbers = range(200)
    assert await asyncio.gather(*(thread.run(lambda n=n: call(n)) for n in numbers)) == list(numbers)
    assert made == list(numbers)
    await thread.stop()


async def test_what_a_call_raises_reaches_the_caller_and_the_next_call_is_made():
    thread = CallThread("calls")
    with pytest.raises(ZeroDivisionError):
        await thread.run(lambda: 1 // 0)
    assert await thread.run(lambda: 1) == 1
    await thread.stop()


async def test_a_call_whose_caller_gave_up_is_not_begun():
    thread, go_on, made = CallThread("calls"), threading.Event(), []
    first = asyncio.create_task(thread.run(lambda: go_on.wait(PATIENCE)))
    second = asyncio.create_task(thread.run(lambda: made.append(2)))
    await asyncio.sleep(0)
    second.cancel()
    with pytest.raises(asyncio.CancelledError):
        await second
    go_on.set()
    assert await first
    await thread.run(lambda: made.append(3))
    assert made == [3]
    await thread.stop()


async def test_stop_waits_for_the_calls_before_it_and_a_later_call_starts_anew():
    thread, made = CallThread("calls"), []
    calls = [asyncio.create_task(thread.run(lambda n=n: made.append(n))) for n in range(5)]
    await asyncio.sleep(0)
    await thread.stop()
    assert made == [0, 1, 2, 3, 4]
    await asyncio.gather(*calls)
    assert await thread.run(lambda: 6) == 6
    await thread.stop()
    await thread.stop()


def test_an_event_loop_that_is_gone_harms_no_later_one():
    thread, begun, go_on = CallThread("calls"), threading.Event(), threading.Event()

    def slow() -> None:
        begun.set()
        go_on.wait(PATIENCE)

    async def leave() -> None:
        task = asyncio.create_task(thread.run(slow))
        await asyncio.to_thread(begun.wait, PATIENCE)
        task.cancel()

    asyncio.run(leave())
    go_on.set()

    async def come() -> int:
        found = await thread.run(lambda: 5)
        await thread.stop()
        return found

    assert asyncio.run(come()) == 5


def test_the_thread_ends_when_nobody_refers_to_it():
    asyncio.run(CallThread("forgotten calls").run(lambda: None))
    deadline = time.monotonic() + PATIENCE
    while any(thread.name == "forgotten calls" for thread in threading.enumerate()):
        assert time.monotonic() < deadline
        gc.collect()
        time.sleep(0.01)


def test_a_call_that_never_returns_does_not_hold_up_the_end_of_the_program():
    code = """
import asyncio, threading
from heliostat.builtin.sql.thread import CallThread

async def main():
    thread, begun = CallThread("calls"), threading.Event()
    def hang():
        begun.set()
        threading.Event().wait()
    task = asyncio.create_task(thread.run(hang))
    await asyncio.to_thread(begun.wait)
    task.cancel()

asyncio.run(main())
"""
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0
