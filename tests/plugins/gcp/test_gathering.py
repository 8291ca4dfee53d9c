"""What becomes ready together is started together."""

from __future__ import annotations

import asyncio

import pytest

from heliostat_gcp import gathering
from heliostat_gcp.gathering import Gathering

Started = list[tuple[str, list[int]]]


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> Started:
    monkeypatch.setattr(gathering, "WINDOW", 0.02)
    monkeypatch.setattr(gathering, "APART", 0.05)
    return []


def gather(started: Started) -> Gathering[int]:
    async def start(key: str, items: list[int]) -> None:
        started.append((key, items))

    return Gathering(start)


async def until(started: Started, items: int) -> None:
    async with asyncio.timeout(30):
        while sum(len(items) for _, items in started) < items:
            await asyncio.sleep(0.001)


async def test_what_comes_within_the_window_goes_together_and_each_key_by_itself(started: Started):
    gathered = gather(started)
    for number in range(10):
        gathered.add("even" if number % 2 == 0 else "odd", number)
    await until(started, 10)
    assert started == [("even", [0, 2, 4, 6, 8]), ("odd", [1, 3, 5, 7, 9])]


async def test_no_more_than_an_execution_may_have(started: Started, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(gathering, "MOST", 4)
    gathered = gather(started)
    for number in range(10):
        gathered.add("film", number)
    await until(started, 10)
    assert [items for _, items in started] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]


async def test_what_is_taken_back_in_time_is_not_started(started: Started):
    gathered = gather(started)
    for number in range(3):
        gathered.add("film", number)
    assert gathered.remove("film", 1)
    await until(started, 2)
    assert started == [("film", [0, 2])]
    assert not gathered.remove("film", 0), "it has been started"


async def test_what_comes_while_others_are_started_waits_for_its_turn(started: Started):
    """One start after the other, some time apart."""
    begun: list[float] = []
    going = asyncio.Event()

    async def start(key: str, items: list[int]) -> None:
        begun.append(asyncio.get_running_loop().time())
        await going.wait()
        started.append((key, items))

    gathered = Gathering(start)
    gathered.add("film", 1)
    while not begun:
        await asyncio.sleep(0.001)
    gathered.add("film", 2)
    gathered.add("film", 3)
    going.set()
    await until(started, 3)
    assert started == [("film", [1]), ("film", [2, 3])]
    assert begun[1] - begun[0] >= 0.05


async def test_a_closed_one_starts_nothing_more(started: Started):
    gathered = gather(started)
    gathered.add("film", 1)
    await gathered.close()
    await asyncio.sleep(0.05)
    assert started == []
