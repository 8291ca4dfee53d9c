"""What is read once for all browsers that look at the same."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Hashable, Iterator
from typing import Final, Generic, Protocol, TypeVar

LINGER: Final = 10.0
"""Seconds that something is followed on when nobody looks any more: a page that is loaded again goes on with it."""

logger = logging.getLogger("heliostat")


class Followed(Protocol):
    """Something that is kept up to date while `run` runs."""

    @property
    def is_gone(self) -> bool:
        """Whether there is nothing to follow any more."""

    async def run(self) -> None: ...


K = TypeVar("K", bound=Hashable)
T = TypeVar("T", bound=Followed)


class _Shared(Generic[T]):
    def __init__(self, followed: T) -> None:
        self.followed = followed
        self.lookers = 0
        self.end: asyncio.TimerHandle | None = None
        self.task = asyncio.create_task(followed.run())


class Sharing(Generic[K, T]):
    """Follows things by their keys, each once, for as long as anybody looks at it and a little longer."""

    def __init__(self, make: Callable[[K], T], *, linger: float = LINGER) -> None:
        self._make = make
        self._linger = linger
        self._shared: dict[K, _Shared[T]] = {}

    def __len__(self) -> int:
        return len(self._shared)

    @contextlib.contextmanager
    def looking_at(self, key: K) -> Iterator[T]:
        shared = self._shared.get(key)
        if shared is None or shared.followed.is_gone or shared.task.done():
            shared = self._shared[key] = _Shared(self._make(key))
            shared.task.add_done_callback(_tell_failure)
        if shared.end is not None:
            shared.end.cancel()
            shared.end = None
        shared.lookers += 1
        try:
            yield shared.followed
        finally:
            shared.lookers -= 1
            if shared.lookers == 0:
                shared.end = asyncio.get_running_loop().call_later(self._linger, self._leave, key, shared)

    def close(self) -> None:
        """Follow nothing any more."""
        for key, shared in list(self._shared.items()):
            self._leave(key, shared)

    def _leave(self, key: K, shared: _Shared[T]) -> None:
        shared.task.cancel()
        if self._shared.get(key) is shared:
            del self._shared[key]


def _tell_failure(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        logger.error("what a page shows is no longer kept up to date, load it again", exc_info=error)
