"""Many transfers to or from an artifact store, a bounded number of them at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Final, TypeVar

A = TypeVar("A")
T = TypeVar("T")

AT_ONCE: Final = 16


async def transfer_all(transfer: Callable[[A], Awaitable[T]], items: Iterable[A], *, at_once: int = AT_ONCE) -> list[T]:
    """`[await transfer(item) for item in items]`, so many at a time. The first failure ends the others, and is raised
    when all have ended."""
    turns = asyncio.Semaphore(at_once)

    async def in_turn(item: A) -> T:
        async with turns:
            return await transfer(item)

    tasks = [asyncio.ensure_future(in_turn(item)) for item in items]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
