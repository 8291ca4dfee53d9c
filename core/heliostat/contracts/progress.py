"""A progress sink receives a job's events: a bar, JSON lines, a webhook, a web page."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Protocol

from heliostat.model.events import Event


class ProgressSink(Protocol):
    """One method. Events come one at a time, in order, from `JobStarted` to `JobEnded`.

    A coroutine is awaited on the job's event loop; a plain method is called on a thread that belongs to the sink. One
    that is slow misses `ChunkProgressed` and `Progressed` events before it misses any other; one that raises is
    reported once and goes on receiving; one that hangs is given up on after `OBSERVER_PATIENCE` seconds at the end.
    Nothing that a sink does changes the job. Let go of resources when `JobEnded` comes.
    """

    def handle(self, event: Event, /) -> Awaitable[None] | None: ...
