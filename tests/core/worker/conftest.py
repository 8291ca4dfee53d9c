"""The caller's side of the worker runtime: requests, a report that records, and a look at the machine's processes."""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from heliostat.contracts.worker import ChunkRequest
from heliostat.model.spec import Chunk


class Recorder:
    """A ChunkReport that keeps what it is told."""

    def __init__(self) -> None:
        self.frames: list[float] = []
        self.logged: dict[str, str] = {"stdout": "", "stderr": ""}
        self.heartbeats = 0

    def frames_done(self, frames: float, /) -> None:
        self.frames.append(frames)

    def log(self, stream: str, text: str, /) -> None:
        self.logged[stream] += text

    def heartbeat(self) -> None:
        self.heartbeats += 1


class Processes:
    """The processes that carry this test's own variable in their environment, as all its commands do."""

    def __init__(self) -> None:
        self.mark = secrets.token_hex(12)
        self.env = {"HELIOSTAT_TEST": self.mark}

    def pids(self) -> list[int]:
        found = []
        for entry in os.listdir("/proc"):
            try:
                if entry.isdigit() and self.mark.encode() in Path("/proc", entry, "environ").read_bytes():
                    found.append(int(entry))
            except OSError:
                continue
        return found

    async def wait_until_gone(self, seconds: float = 60) -> None:
        await _until(lambda: not self.pids(), seconds)

    async def wait_until_at_least(self, count: int, seconds: float = 60) -> None:
        await _until(lambda: len(self.pids()) >= count, seconds)


async def _until(condition: Callable[[], object], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        await asyncio.sleep(0.01)


@pytest.fixture
def until() -> Callable[..., Awaitable[None]]:
    """`await until(condition)` waits for it, and fails after a minute."""
    return _until


@pytest.fixture
def names(tmp_path: Path) -> Callable[[], list[str]]:
    """The names in the job directory, hidden ones included."""
    return lambda: sorted(os.listdir(tmp_path))


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


@pytest.fixture
def processes() -> Iterator[Processes]:
    """Skips where there is no /proc. Nothing that a test started is left after it, even when it failed."""
    if not sys.platform.startswith("linux"):
        pytest.skip("looks for processes in /proc")
    processes = Processes()
    yield processes
    for pid in processes.pids():
        os.kill(pid, signal.SIGKILL)


@pytest.fixture
def request_for(tmp_path: Path) -> Callable[..., ChunkRequest]:
    """Makes requests: `request_for([...command...], output_file="…", …)`."""

    def make(
        command: list[str], *, output_file: str = "out.bin", frame_count: int = 240, **fields: Any
    ) -> ChunkRequest:
        chunk = Chunk(id=7, start_frame=0, frame_count=frame_count, output_file=output_file, command=("unused",))
        defaults: dict[str, Any] = {
            "job_id": "job",
            "attempt": 1,
            "attempt_id": secrets.token_hex(8),
            "job_dir": str(tmp_path),
        }
        return ChunkRequest(chunk=chunk, command=command, **defaults | fields)

    return make


@pytest.fixture
def python() -> Callable[[str], list[str]]:
    """`python(source, *arguments)` is a command that runs the source."""

    def command(source: str, *arguments: str) -> list[str]:
        return [sys.executable, "-I", "-S", "-c", source, *arguments]

    return command
