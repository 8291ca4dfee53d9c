"""Dask clusters of real processes, on the loopback interface."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

PATIENCE = 60.0
"""Seconds until something is not waited for any more."""


class DaskCluster:
    """A scheduler and workers, each a process of its own. What they say is in files of its folder."""

    def __init__(self, folder: Path, *, threads: int = 8) -> None:
        folder.mkdir(exist_ok=True)
        self.folder = folder
        self.workers: dict[int, subprocess.Popen[bytes]] = {}
        """By process id."""
        self.address = ""
        self._threads = threads
        self._all: list[subprocess.Popen[bytes]] = []

    def start_scheduler(self, port: int = 0, without: Sequence[str] = ()) -> None:
        """At a free port, unless one is given; `without` modules, as if they were not installed."""
        file = self.folder / "scheduler.json"
        file.unlink(missing_ok=True)
        self.scheduler = self._start(
            "scheduler", without, "--host=127.0.0.1", f"--port={port}", f"--scheduler-file={file}"
        )

        def has_said_its_address() -> bool:
            try:
                self.address = str(json.loads(file.read_bytes())["address"])
            except (OSError, ValueError):
                return False
            return True

        self._wait("scheduler", self.scheduler, has_said_its_address)

    def start_worker(self, without: Sequence[str] = (), *, wait: bool = True) -> int:
        """Returns its process id."""
        worker = self._start(
            "worker", without, self.address, "--host=127.0.0.1", f"--nthreads={self._threads}", "--no-nanny"
        )
        self.workers[worker.pid] = worker
        if wait:
            self._wait("worker", worker, lambda: "Registered to" in self._log("worker", worker))
        return worker.pid

    def kill_worker(self, pid: int) -> None:
        """Without a chance to say goodbye."""
        worker = self.workers.pop(pid)
        worker.kill()
        worker.wait()

    def kill_scheduler(self) -> None:
        self.scheduler.kill()
        self.scheduler.wait()

    def close(self) -> None:
        # Not SIGTERM: a Dask worker may hang when it and its scheduler get one at the same time.
        for process in self._all:
            process.kill()
        for process in self._all:
            process.wait()

    def _start(self, program: str, without: Sequence[str], *arguments: str) -> subprocess.Popen[bytes]:
        missing = "".join(f"sys.modules[{name!r}] = None; " for name in without)
        code = f"import sys; {missing}from distributed.cli.dask_{program} import main; sys.exit(main())"
        # The log has the process id in its name, which the shell knows first.
        command = ["sh", "-c", 'exec "$@" > "$0-$$.log" 2>&1', str(self.folder / program), sys.executable, "-c", code]
        process = subprocess.Popen(
            [*command, "--dashboard-address=127.0.0.1:0", *arguments],
            env={**os.environ, "DASK_TEMPORARY_DIRECTORY": str(self.folder)},
        )
        self._all.append(process)
        return process

    def _wait(self, program: str, process: subprocess.Popen[bytes], condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE
        while not condition():
            alive = process.poll() is None and time.monotonic() < deadline
            assert alive, f"the {program} does not start:\n{self._log(program, process)}"
            time.sleep(0.02)

    def _log(self, program: str, process: subprocess.Popen[bytes]) -> str:
        log = self.folder / f"{program}-{process.pid}.log"
        return log.read_text() if log.exists() else ""


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaskCluster]:
    """Three workers."""
    cluster = DaskCluster(tmp_path_factory.mktemp("cluster"))
    try:
        cluster.start_scheduler()
        for _ in range(3):
            cluster.start_worker(wait=False)
        yield cluster
    finally:
        cluster.close()


@pytest.fixture
def own_cluster(tmp_path: Path) -> Iterator[DaskCluster]:
    """No worker yet; the test may do with it what it likes."""
    cluster = DaskCluster(tmp_path / "cluster")
    try:
        cluster.start_scheduler()
        yield cluster
    finally:
        cluster.close()
