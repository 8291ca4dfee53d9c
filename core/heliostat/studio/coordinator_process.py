"""`python -m heliostat.studio.coordinator_process`: runs the jobs of a database that are pending or orphaned.

Reads one line of JSON from standard input, a `CoordinatorTask`, and writes lines of JSON to standard output, `News`. It
ends when standard input does, which is when the web process has gone, whatever killed that, and on SIGTERM; what it
runs then is left to the next coordinator.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from typing import Final

import msgspec
from msgspec import Struct

from heliostat import JobManager, executors, from_json, open_repository, plain
from heliostat.errors import HeliostatError

ORPHANED_PATIENCE: Final = 30.0
"""Seconds after which the process ends in any case, once the web process has gone."""


class CoordinatorTask(Struct, frozen=True, kw_only=True):
    """What is to be run. Not in the arguments, as a URL may have a password in it."""

    db: str
    """The URL of the repository."""
    at_once: int
    """Jobs at once."""


class News(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """That it works, or, with a problem, that it ends."""

    problem: str | None = None
    """One sentence."""


async def coordinate(task: CoordinatorTask, follow_parent: Callable[[Callable[[], object]], None]) -> None:
    """Until SIGTERM or until the web process has gone. Raises HeliostatError when the repository cannot be used."""
    ending = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, ending.set)
    follow_parent(lambda: loop.call_soon_threadsafe(ending.set))
    manager = JobManager(open_repository(task.db), executors())
    try:
        await manager.list(limit=1)
        tell(News())
        waiting = asyncio.create_task(ending.wait())
        running = asyncio.create_task(manager.run_pending(at_once=task.at_once, watch=True, take_over=True))
        await asyncio.wait([waiting, running], return_when=asyncio.FIRST_COMPLETED)
        if running.done():
            running.result()
        waiting.cancel()
        running.cancel()
        await asyncio.wait([waiting, running])
    finally:
        await manager.close(hand_over=True)


def tell(news: News) -> None:
    with contextlib.suppress(OSError):  # the web process has gone, which standard input tells
        os.write(_news, msgspec.json.encode(news) + b"\n")


_news = 1
"""The descriptor that news are written to."""


def _keep_news_apart() -> None:
    """Whatever else prints, such as somebody's plugin, must not get among them."""
    global _news
    _news = os.dup(1)
    os.dup2(2, 1)


def _follow_parent(gone: Callable[[], object]) -> None:
    """Call `gone`, from a thread, when standard input ends; and see that the process ends then, whatever it does."""

    def read() -> None:
        # Not through the buffered file, whose lock the interpreter would wait for at its end.
        while os.read(sys.stdin.fileno(), 4096):
            pass
        with contextlib.suppress(RuntimeError):  # the loop is closed already
            gone()
        time.sleep(ORPHANED_PATIENCE)
        os._exit(1)

    threading.Thread(target=read, name="heliostat parent", daemon=True).start()


class _Sentences(logging.Formatter):
    """As the web process says what it has to say."""

    def format(self, record: logging.LogRecord) -> str:
        record.exc_info = record.exc_text = record.stack_info = None
        return f"heliostat: {record.levelname.lower()}: {plain(super().format(record))}"


def main() -> int:
    _keep_news_apart()
    handler = logging.StreamHandler()
    handler.setFormatter(_Sentences())
    logging.getLogger("heliostat").addHandler(handler)
    task = from_json(sys.stdin.buffer.readline(), CoordinatorTask)
    status = 0
    try:
        asyncio.run(coordinate(task, _follow_parent))
    except* HeliostatError as group:
        error: BaseException = group
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        tell(News(problem=str(error)))
        status = 1
    return status


if __name__ == "__main__":
    sys.exit(main())
