"""Containers as processes: forked from one that has imported what they need, since starting Python takes a second.

As a program, `nursery.py MODULE [MODULE|MODULE:FUNCTION]...`, it imports what follows the first, calls the functions,
and reads lines of JSON, each `{"id": …, "arguments": […], "env": {…}, "cwd": path, "log": path}`. For each it forks a
process that does what `python -m MODULE ARGUMENT...` would, and writes `{"id", "pid"}` when it has begun and
`{"id", "status"}` when it has ended.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import gc
import importlib
import json
import os
import runpy
import select
import signal
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

PR_SET_PDEATHSIG = 1


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

    def __init__(self, module: str, *needed: str) -> None:
        """`module`: what the processes run. `needed`: modules that it imports, and functions that it calls."""
        self._arguments = [module, *needed]
        self._containers: dict[int, Container] = {}
        self._started = 0

    async def open(self) -> None:
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, __file__, *self._arguments),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        self._reading = asyncio.create_task(self._read())

    async def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        await self._process.wait()
        await self._reading

    async def start(
        self, env: Mapping[str, str], log: Path, *, arguments: Iterable[str] = (), cwd: str | Path = "/"
    ) -> Container:
        self._started += 1
        number = self._started
        container = self._containers[number] = Container(log)
        assert self._process.stdin is not None
        wanted = {"id": number, "arguments": [*arguments], "env": {**env}, "cwd": str(cwd), "log": str(log)}
        self._process.stdin.write(json.dumps(wanted).encode() + b"\n")
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
    module, *needed = sys.argv[1:]
    for name in needed:
        of, _, function = name.partition(":")
        imported = importlib.import_module(of)
        if function:
            getattr(imported, function)()
    gc.collect()
    gc.freeze()  # a collection in a fork would write to, and so copy, all of its memory
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
                pid = fork(module, wanted)
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


def fork(module: str, wanted: dict[str, Any]) -> int:
    pid = os.fork()
    if pid:
        with contextlib.suppress(OSError):  # it has done so itself, or has ended
            os.setpgid(pid, pid)
        return pid
    status = 1
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.setpgid(0, 0)
        if sys.platform == "linux":  # none outlives the process that it was forked from, however that ends
            ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL))
        log = os.open(wanted["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, 0)
        os.dup2(log, 1)
        os.dup2(log, 2)
        os.closerange(3, 256)
        os.environ.clear()
        os.environ.update(wanted["env"])
        os.chdir(wanted["cwd"])
        sys.argv[1:] = wanted["arguments"]
        tempfile.tempdir = None
        runpy.run_module(module, run_name="__main__", alter_sys=True)
        status = 0
    except SystemExit as error:
        status = error.code if isinstance(error.code, int) else int(error.code is not None)
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
