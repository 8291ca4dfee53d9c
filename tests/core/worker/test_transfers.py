"""Many transfers, a bounded number of them at a time."""

from __future__ import annotations

import asyncio

import pytest

from heliostat.worker import transfer_all


async def test_transfers_are_bounded_and_keep_their_order() -> None:
    running, most = 0, 0

    async def call(item: int) -> int:
        nonlocal running, most
        running += 1
        most = max(most, running)
        for _ in range(10 - item):
            await asyncio.sleep(0)
        running -= 1
        return item * item

    assert await transfer_all(call, range(10), at_once=3) == [item * item for item in range(10)]
    assert most == 3


async def test_the_first_failure_ends_the_others_first() -> None:
    begun, ended = [], []

    async def call(item: int) -> None:
        if item == 1:
            raise ValueError(item)
        begun.append(item)
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(item)

    with pytest.raises(ValueError, match="1"):
        await transfer_all(call, range(5), at_once=3)
    assert begun == sorted(ended)
    assert begun[:2] == [0, 2]
