"""What many tests of the core need."""

from __future__ import annotations

import os
import re
import secrets
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import pytest

from heliostat import Chunk, JobSpec, Metadata


@pytest.fixture
def make_spec() -> Callable[..., JobSpec]:
    """A job of `count` chunks of `frames` frames; its commands are never run unless the adapter runs commands."""

    def make(count: int, *, frames: int = 1, command: tuple[str, ...] = ("true",), **more: object) -> JobSpec:
        return JobSpec(
            metadata=Metadata(total_frames=count * frames, fps=Fraction(24)),
            chunks=tuple(
                Chunk(
                    id=index,
                    start_frame=index * frames,
                    frame_count=frames,
                    output_file=f"chunks/{index}.out",
                    command=command,
                )
                for index in range(count)
            ),
            **more,
        )

    return make


class ServedWorker:
    """`heliostat worker serve` as a process of its own, on a free port."""

    def __init__(self, *arguments: object, directory: Path, token: str, port: int = 0) -> None:
        self.token = token
        self._process = subprocess.Popen(
            [
                *(sys.executable, "-m", "heliostat", "worker", "serve", "--port", str(port)),
                *("--directory", str(directory), *map(str, arguments)),
            ],
            env={**os.environ, "HELIOSTAT_PLUGINS": "", "HELIOSTAT_WORKER_TOKEN": token},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self._process.stderr is not None
        self.said: list[str] = []
        for line in self._process.stderr:
            self.said.append(line)
            if found := re.search(r"serves at (\S+://\S+:(\d+)),", line):
                self.url, self.port = found[1], int(found[2])
                break
        else:
            raise AssertionError("".join(self.said))
        self._reader = threading.Thread(target=self.said.extend, args=(self._process.stderr,), daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def tell(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def wait(self) -> int:
        """Until it ends by itself; returns its exit status."""
        status = self._process.wait(60)
        self._reader.join(60)
        return status

    def close(self) -> None:
        """It must end whatever it is doing."""
        for _ in range(2):
            if self.alive:
                self.tell(signal.SIGTERM)
        try:
            self.wait()
        finally:
            self._process.kill()
            self._process.wait()
            assert self._process.stderr is not None
            self._process.stderr.close()


@pytest.fixture(scope="session")
def served_worker() -> type[ServedWorker]:
    return ServedWorker


@pytest.fixture
def serve_worker(tmp_path: Path) -> Iterator[Callable[..., ServedWorker]]:
    """Starts `heliostat worker serve` with these arguments; whatever was started is ended."""
    started: list[ServedWorker] = []

    def serve(*arguments: object) -> ServedWorker:
        worker = ServedWorker(*arguments, directory=tmp_path / "worker", token=secrets.token_urlsafe(16))
        started.append(worker)
        return worker

    yield serve
    for worker in started:
        worker.close()
