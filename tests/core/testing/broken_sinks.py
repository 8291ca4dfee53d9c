"""Sinks that break one promise each, run by the contract suite in a process of its own (see test_progress.py)."""

from __future__ import annotations

import asyncio
import sys
import threading

import pytest

from heliostat import AttemptFailed, Event, JobEnded, JobStarted, ProgressSink
from heliostat.testing import ProgressSinkContract
from heliostat.testing import progress as suite

suite.SETTLE = suite.OBSERVER_PATIENCE = 1.5


class Suite(ProgressSinkContract):
    sink: type[ProgressSink]

    @pytest.fixture
    def under_test(self):
        return self.sink


class Quiet:
    """Understands everything."""

    def handle(self, event: Event) -> None: ...


class TestQuiet(Suite):
    sink = Quiet


class Waiting:
    """The same, on the event loop."""

    async def handle(self, event: Event) -> None:
        await asyncio.sleep(0)


class TestWaiting(Suite):
    sink = Waiting


class Plain:
    """Writes in ASCII."""

    def handle(self, event: Event) -> None:
        str(event).encode("ascii")
        getattr(event, "name", "").encode("ascii")


class TestPlain(Suite):
    sink = Plain


class Hasty:
    """Takes it that every failure is followed by another attempt."""

    def handle(self, event: Event) -> None:
        if isinstance(event, AttemptFailed):
            f"next attempt in {event.retry_in:.1f} s"


class TestHasty(Suite):
    sink = Hasty


class Single:
    """Follows one job at a time."""

    def __init__(self) -> None:
        self.job: str | None = None

    async def handle(self, event: Event) -> None:
        if isinstance(event, JobStarted):
            if self.job is not None:
                raise RuntimeError(f"{event.job_id} began before {self.job} had ended")
            self.job = event.job_id
        elif isinstance(event, JobEnded):
            self.job = None


class TestSingle(Suite):
    sink = Single


class Shared(Single):
    """All of its kind follow one job at a time."""

    def __init__(self) -> None:
        pass

    job: str | None = None

    async def handle(self, event: Event) -> None:
        if isinstance(event, JobStarted) and Shared.job is not None:
            raise RuntimeError(f"{event.job_id} began before {Shared.job} had ended")
        Shared.job = None if isinstance(event, JobEnded) else event.job_id


class TestShared(Suite):
    sink = Shared


class Spent:
    """Works once."""

    def __init__(self) -> None:
        self.spent = False

    def handle(self, event: Event) -> None:
        if self.spent:
            raise RuntimeError("closed")
        self.spent = isinstance(event, JobEnded)


class TestSpent(Suite):
    sink = Spent


class Threaded:
    """Leaves a thread behind."""

    def handle(self, event: Event) -> None:
        if isinstance(event, JobEnded):
            threading.Thread(target=threading.Event().wait, daemon=True).start()


class TestThreaded(Suite):
    sink = Threaded


class Tasked:
    """Leaves a task behind."""

    async def handle(self, event: Event) -> None:
        if isinstance(event, JobEnded):
            self.task = asyncio.create_task(asyncio.Event().wait())


class TestTasked(Suite):
    sink = Tasked


class Redirecting:
    """Puts itself in the place of stderr."""

    def handle(self, event: Event) -> None:
        sys.stderr = sys.stdout


class TestRedirecting(Suite):
    sink = Redirecting


class Hanging:
    """Waits at the end of a job of no chunks, for ever."""

    def handle(self, event: Event) -> None:
        if isinstance(event, JobEnded) and not event.total_chunks:
            threading.Event().wait()


class TestHanging(Suite):
    sink = Hanging


class Raising:
    """Understands nothing."""

    async def handle(self, event: Event) -> None:
        raise ValueError(event)


class TestRaising(Suite):
    sink = Raising
