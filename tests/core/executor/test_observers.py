"""Callbacks and sinks cannot harm a job."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from heliostat.executor.observers import Observers
from heliostat.model.events import ConcurrencyChanged, Progressed


def observers(patience: float = 5.0) -> tuple[Observers, list[tuple[str, str]]]:
    failures: list[tuple[str, str]] = []
    return Observers(patience, lambda name, message: failures.append((name, message))), failures


def event(number: int) -> ConcurrencyChanged:
    return ConcurrencyChanged(job_id="j", time=0.0, concurrency=number)


async def test_a_plain_callback_is_called_in_order_on_a_thread_of_its_own():
    calls, threads = [], set()

    def on_progress(completed: int, total: int) -> None:
        calls.append((completed, total))
        threads.add(threading.current_thread())

    told, failures = observers()
    told.on_progress(on_progress, 0, 1000)
    for completed in range(1, 1001):
        told.advance(completed)
    await told.finish()
    assert calls == [(n, 1000) for n in range(1, 1001)]
    assert len(threads) == 1
    assert threads.isdisjoint({threading.main_thread()})
    assert not failures


async def test_a_coroutine_callback_is_awaited_one_call_at_a_time():
    running, calls = 0, []

    async def on_progress(completed: int, total: int) -> None:
        nonlocal running
        running += 1
        assert running == 1
        await asyncio.sleep(0)
        calls.append(completed)
        running -= 1

    told, failures = observers()
    told.on_progress(on_progress, 3, 50)
    for completed in range(4, 51):
        told.advance(completed)
        if completed % 7 == 0:
            await asyncio.sleep(0)
    await told.finish()
    assert calls == list(range(4, 51))
    assert not failures


async def test_a_plain_function_that_returns_an_awaitable_is_awaited_too():
    loop_threads = []

    async def later(completed: int) -> None:
        loop_threads.append((completed, threading.current_thread()))

    told, failures = observers()
    told.on_progress(lambda completed, total: later(completed), 0, 2)
    told.advance(2)
    await told.finish()
    assert loop_threads == [(1, threading.main_thread()), (2, threading.main_thread())]
    assert not failures


async def test_a_raising_callback_is_reported_once_and_still_gets_every_call(caplog: pytest.LogCaptureFixture):
    calls = []

    def on_progress(completed: int, total: int) -> None:
        calls.append(completed)
        raise ValueError("no")

    told, failures = observers()
    told.on_progress(on_progress, 0, 5)
    told.advance(5)
    await told.finish()
    assert calls == [1, 2, 3, 4, 5]
    assert failures == [("on_progress", "raised ValueError: no")]
    assert len(caplog.records) == 1


async def test_a_callback_that_leaves_the_program_does_not():
    def on_progress(completed: int, total: int) -> None:
        raise SystemExit(3)

    told, failures = observers()
    told.on_progress(on_progress, 0, 2)
    told.advance(2)
    await told.finish()
    assert failures == [("on_progress", "raised SystemExit: 3")]


@pytest.mark.parametrize("kind", ["plain", "coroutine"])
async def test_a_hanging_callback_is_given_up_on_after_the_stated_time_and_never_called_again(kind: str):
    release, calls = threading.Event(), []

    def plain(completed: int, total: int) -> None:
        calls.append(completed)
        release.wait()

    async def coroutine(completed: int, total: int) -> None:
        calls.append(completed)
        await asyncio.Event().wait()

    told, failures = observers(patience=0.2)
    told.on_progress(plain if kind == "plain" else coroutine, 0, 5)
    told.advance(5)
    await told.finish()
    assert calls == [1]
    assert len(failures) == 1
    assert "given up" in failures[0][1]
    release.set()
    for thread in threading.enumerate():
        if thread.name.startswith("heliostat on_progress"):
            await asyncio.to_thread(thread.join, 5)
    assert calls == [1]


async def test_a_slow_callback_is_waited_for_as_long_as_each_call_returns():
    calls = []

    def on_progress(completed: int, total: int) -> None:
        time.sleep(0.02)
        calls.append(completed)

    told, failures = observers(patience=0.4)
    told.on_progress(on_progress, 0, 50)
    told.advance(50)
    await told.finish()
    assert calls == list(range(1, 51))
    assert not failures


async def test_a_slow_sink_misses_frames_before_anything_else():
    gate, seen = threading.Event(), []

    def handle(item: object) -> None:
        gate.wait()
        seen.append(item)

    told, _ = observers()
    told.listen("slow", handle)
    frames = Progressed(
        job_id="j",
        time=0.0,
        completed_chunks=0,
        total_chunks=1,
        running_chunks=1,
        frames_done=0.0,
        total_frames=1,
        percent=0.0,
    )
    for number in range(2000):
        told.tell(event(number))
        told.tell(frames)
    gate.set()
    await told.finish()
    assert [item.concurrency for item in seen if isinstance(item, ConcurrencyChanged)] == list(range(2000))
    assert sum(isinstance(item, Progressed) for item in seen) <= 1000


async def test_one_sinks_failure_is_told_to_the_others():
    told, failures = observers()

    class Broken:
        async def __call__(self, item: object) -> None:
            raise RuntimeError("broken")

    seen: list[object] = []
    told.listen("broken", Broken())
    told.listen("good", seen.append)
    told.tell(event(1))
    await told.finish()
    assert failures == [("broken", "raised RuntimeError: broken")]
    assert seen == [event(1)]
