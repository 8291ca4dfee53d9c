"""`heliostat studio` as a process of its own, and jobs whose chunks wait until a test lets them go."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

PATIENCE = 60.0
"""Seconds until a test gives up waiting."""

WAITING = (
    'echo "$2" >>runs; echo $$ >"pid $2.new"; mv "pid $2.new" "pid $2"; '
    'until [ -e "go $2" ] || [ -e go ]; do sleep 0.02; done; echo "done $2" >"$1"'
)
"""A chunk that says that it was begun, and waits until it, or all of them, are let go."""


class Studio:
    """The process, on a free port. `restart` starts another one on the same database, at the same port."""

    def __init__(self, folder: Path, *arguments: object, env: dict[str, str] | None = None) -> None:
        self.folder = folder
        self.directory = folder / "uploads"
        self.db = folder / "jobs.db"
        self._arguments = ["--db", self.db, "--dir", self.directory, *arguments]
        self._env = {**os.environ, "HELIOSTAT_PLUGINS": "", **(env or {})}
        self._port = 0
        self.said: list[str] = []
        self.start()

    def start(self) -> None:
        """Returns when it serves."""
        self.process = subprocess.Popen(
            [*(sys.executable, "-m", "heliostat", "studio"), "--port", str(self._port), *map(str, self._arguments)],
            env=self._env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        assert self.process.stderr is not None
        deadline = threading.Timer(PATIENCE, self.process.kill)
        deadline.start()
        for line in self.process.stderr:
            self.said.append(line)
            if found := re.search(r"studio serves at (http://\S+?:(\d+)(/\S*)?)$", line.strip()):
                self.link, self._port = found[1], int(found[2])
                break
        else:
            raise AssertionError("".join(self.said))
        deadline.cancel()
        self.url = f"http://127.0.0.1:{self._port}"
        self.api = f"{self.url}/api/v1"
        self._reader = threading.Thread(target=self.said.extend, args=(self.process.stderr,), daemon=True)
        self._reader.start()

    @property
    def port(self) -> int:
        return self._port

    def request(self, method: str, url: str, **more: Any) -> httpx.Response:
        """Of a client that knows nothing yet. Without certificates, which take longer to read than an answer."""
        return httpx.request(method, url, **{"timeout": PATIENCE, "verify": False, **more})

    def restart(self) -> None:
        self.end()
        self.start()

    def kill(self) -> None:
        """`kill -9` of the web process."""
        self.process.kill()
        self._close()

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Ask it to end; returns its exit status."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            return self.process.wait(PATIENCE)
        finally:
            self.process.kill()
            self._close()

    def _close(self) -> None:
        self.process.wait()
        self._reader.join(PATIENCE)
        assert self.process.stderr is not None
        self.process.stderr.close()

    def coordinator(self) -> int:
        """The process id of the coordinator, once it runs."""
        found: list[int] = []

        def running() -> bool:
            found[:] = [pid for pid in children(self.process.pid) if "coordinator_process" in command_line(pid)]
            return bool(found)

        until(running)
        return found[0]


def children(pid: int) -> list[int]:
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == pid and fields[0] not in "ZX":
            found.append(int(stat.parent.name))
    return found


def command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return ""


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def until(condition: Callable[[], object], patience: float = PATIENCE) -> None:
    """Waits for a condition."""
    deadline = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.02)


class Jobs:
    """Submits jobs to a Studio and looks at them."""

    def __init__(
        self, studio: Studio, folder: Path, *, check: Callable[[httpx.Response], None] = lambda answer: None
    ) -> None:
        """`check`: is shown every answer."""
        self.studio = studio
        self.folder = folder
        """The job directory."""
        self.http = httpx.Client(
            base_url=f"{studio.api}/", timeout=PATIENCE, verify=False, event_hooks={"response": [check]}
        )

    def document(self, job_id: str, script: str = 'echo "$2" >"$1"', *, chunks: int = 2, **more: object) -> Any:
        """`$1` is the output and `$2` the chunk's index."""
        return {
            "id": job_id,
            "frames": chunks * 5,
            "fps": 24,
            "chunkCount": chunks,
            "output": "out/{chunk}.txt",
            "command": ["sh", "-c", script, "sh", "{output}", "{chunk}"],
            **more,
        }

    def submit(
        self, job_id: str, script: str = 'echo "$2" >"$1"', *, options: Any = None, **more: Any
    ) -> httpx.Response:
        given = {"job": self.document(job_id, script, **more), "jobDir": str(self.folder), "options": options or {}}
        answer = self.http.post("jobs", json=given)
        assert answer.status_code == 201, answer.text
        return answer

    def get(self, job_id: str, path: str = "", **more: Any) -> httpx.Response:
        return self.http.get(f"jobs/{job_id}{path}", **more)

    def post(self, job_id: str, path: str) -> httpx.Response:
        return self.http.post(f"jobs/{job_id}{path}")

    def state(self, job_id: str) -> Any:
        return self.get(job_id).json()["state"]

    def until(self, job_id: str, state: str) -> Any:
        """Waits until a job is in this state; returns its details."""
        until(lambda: self.state(job_id) == state)
        return self.get(job_id).json()

    def let(self, *chunks: int) -> None:
        """Lets chunks go that wait; without any, all of them."""
        for name in [f"go {chunk}" for chunk in chunks] or ["go"]:
            (self.folder / name).touch()

    def commands(self, *chunks: int) -> list[int]:
        """The process ids of chunks that wait, once they have begun."""
        files = [self.folder / f"pid {chunk}" for chunk in chunks]
        until(lambda: all(file.exists() for file in files))
        return [int(file.read_text()) for file in files]

    @property
    def begun(self) -> Counter[int]:
        """How often each chunk that waits, or waited, was begun."""
        runs = self.folder / "runs"
        return Counter(map(int, runs.read_text().split())) if runs.exists() else Counter()

    def events(self, job_id: str) -> list[dict[str, Any]]:
        """What it has told so far, without frames."""
        return [json.loads(data) for _, _, data in parse(self.get(job_id, "/events?follow=false").text)]


def parse(stream: str) -> list[tuple[str | None, str, str]]:
    """Id, type and data of the whole events in a stream."""
    found = []
    for block in stream.split("\n\n")[:-1]:
        fields = dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":"))
        if "data" in fields:
            found.append((fields.get("id"), fields["event"], fields["data"]))
    return found


@pytest.fixture(scope="session")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    """One for all tests that leave it as it is. They give their jobs ids of their own."""
    started = Studio(tmp_path_factory.mktemp("studio"), "--jobs", 3, "--max-upload", 2)
    yield started
    status, said = started.end(), "".join(started.said)
    assert status == 0, said
    assert "Traceback" not in said, said


@pytest.fixture
def start_studio(tmp_path: Path) -> Iterator[Callable[..., Studio]]:
    """Starts one with these arguments; whatever was started is ended."""
    started: list[Studio] = []

    def start(*arguments: object, **more: Any) -> Studio:
        started.append(Studio(tmp_path / f"studio {len(started)}", *arguments, **more))
        return started[-1]

    yield start
    for one in started:
        one.end()


@pytest.fixture
def jobs(studio: Studio, tmp_path: Path) -> Iterator[Jobs]:
    made = Jobs(studio, tmp_path)
    with made.http:
        yield made
        made.let()  # whatever still waits


@pytest.fixture
def make_jobs(tmp_path: Path) -> Iterator[Callable[[Studio], Jobs]]:
    """For a Studio of the test's own."""
    with contextlib.ExitStack() as stack:

        def make(studio: Studio) -> Jobs:
            jobs = Jobs(studio, tmp_path)
            stack.enter_context(jobs.http)
            return jobs

        yield make


@pytest.fixture(name="until", scope="session")
def until_fixture() -> Callable[..., None]:
    return until


@pytest.fixture(name="is_alive", scope="session")
def is_alive_fixture() -> Callable[[int], bool]:
    return is_alive


@pytest.fixture(name="parse", scope="session")
def parse_fixture() -> Callable[[str], list[tuple[str | None, str, str]]]:
    return parse


@pytest.fixture(scope="session")
def waiting() -> str:
    return WAITING


@pytest.fixture(scope="session")
def jobs_type() -> type[Jobs]:
    return Jobs


@pytest.fixture(scope="session")
def studio_type() -> type[Studio]:
    return Studio
