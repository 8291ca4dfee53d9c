"""Containers as processes: forked from one that has imported the entry point, since starting Python takes a second.

As a program it reads lines of JSON, each `{"id": …, "env": {…}, "log": path}` to start one, and writes `{"id", "pid"}`
when it has begun and `{"id", "status"}` when it has ended.
"""

from __future__ import annotations

import asyncio
import json
import os
import select
import signal
import subprocess
import sys
import traceback
from pathlib import Path
from typing import Any


class Container:
    """The process of an instance or a task."""

    def __init__(self, log: Path) -> None:
        self.log = log
        loop = asyncio.get_running_loop()
        self.begun: asyncio.Future[int] = loop.create_future()
        self.ended: asyncio.Future[int] = loop.create_future()
        """The exit status, or -N for signal N."""

    @property
    def pid(self) -> int:
        return self.begun.result()

    def tell(self, number: signal.Signals) -> None:
        if self.begun.done() and not self.ended.done():
            try:
                os.kill(self.pid, number)
            except ProcessLookupError:
                return

    async def stop(self, grace: float) -> None:
        """As Cloud Run does: SIGTERM, and SIGKILL after a while."""
        self.tell(signal.SIGTERM)
        await asyncio.wait([self.ended], timeout=grace)
        self.tell(signal.SIGKILL)
        await asyncio.wait([self.ended])


class Nursery:
    """On one event loop."""

    def __init__(self) -> None:
        self._containers: dict[int, Container] = {}
        self._started = 0

    async def open(self) -> None:
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, __file__), stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
        )
        self._reading = asyncio.create_task(self._read())

    async def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        await self._process.wait()
        await self._reading

    async def start(self, env: dict[str, str], log: Path) -> Container:
        self._started += 1
        number = self._started
        container = self._containers[number] = Container(log)
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"id": number, "env": env, "log": str(log)}).encode() + b"\n")
        await container.begun
        return container

    async def _read(self) -> None:
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            told = json.loads(line)
            container = self._containers[told["id"]]
            if "pid" in told:
                container.begun.set_result(told["pid"])
            else:
                del self._containers[told["id"]]
                container.ended.set_result(told["status"])


def main() -> None:
    # Everything that the entry point imports, so that a fork has it.
    import google.cloud.storage  # noqa: F401

    import heliostat_gcp.task
    import heliostat_gcp.worker  # noqa: F401
    from heliostat.plugins import registry

    registry()
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    os.set_blocking(0, False)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    children: dict[int, int] = {}
    pending = b""
    ending = False
    while not ending or children:
        ready, _, _ = select.select([reader, *([] if ending else [0])], [], [])
        if reader in ready:
            os.read(reader, 4096)
            reap(children)
        if 0 in ready:
            data = os.read(0, 1 << 20)
            *lines, pending = (pending + data).split(b"\n")
            for line in lines:
                wanted = json.loads(line)
                pid = fork(wanted)
                children[pid] = wanted["id"]
                say(id=wanted["id"], pid=pid)
            if not data:
                ending = True
                for pid in children:
                    os.kill(pid, signal.SIGKILL)


def reap(children: dict[int, int]) -> None:
    while children:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if not pid:
            return
        say(id=children.pop(pid), status=os.waitstatus_to_exitcode(status))


def fork(wanted: dict[str, Any]) -> int:
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.setsid()
        log = os.open(wanted["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, 0)
        os.dup2(log, 1)
        os.dup2(log, 2)
        os.closerange(3, 256)
        os.environ.clear()
        os.environ.update(wanted["env"])
        import tempfile

        import heliostat_gcp.worker

        tempfile.tempdir = None
        status = heliostat_gcp.worker.main()
    except SystemExit as error:
        status = error.code if isinstance(error.code, int) else 1
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def say(**told: int) -> None:
    os.write(1, json.dumps(told).encode() + b"\n")


if __name__ == "__main__":
    main()
