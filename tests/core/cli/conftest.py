"""Runs `heliostat`: in this process where that is enough, as a program of its own where signals or stdout matter."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from heliostat import plugins
from heliostat.cli import faults, plugin_use
from heliostat.cli.main import run

PROGRAM = [sys.executable, "-m", "heliostat"]
PATIENCE = 60.0


@dataclass
class Outcome:
    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Heliostat = Callable[..., Outcome]


@pytest.fixture(autouse=True)
def surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A database and a current directory of the test's own, and nothing left behind in this process."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HELIOSTAT_DB", str(tmp_path / "jobs.db"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("PYTHONUNBUFFERED", "1")
    for name in ("HELIOSTAT_PLUGINS", "FORCE_COLOR", "HELIOSTAT_WEBHOOK_SECRET"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(faults, "_debug", False)
    plugins.registry.cache_clear()
    plugin_use.warn_of_plugins.cache_clear()
    yield
    plugins.registry.cache_clear()
    plugin_use.warn_of_plugins.cache_clear()
    import logging

    logger = logging.getLogger("heliostat")
    logger.handlers, logger.propagate = [], True


@pytest.fixture
def heliostat(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Heliostat:
    """`heliostat("jobs", "--json")` in this process."""

    def call(*args: object) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["heliostat", *map(str, args)])
        capfd.readouterr()
        with pytest.raises(SystemExit) as exit_:
            run()
        out, err = capfd.readouterr()
        status = exit_.value.code
        assert isinstance(status, int)
        return Outcome(status, out, err)

    return call


class Program:
    """`heliostat` as a process with a group of its own, as a shell starts it."""

    def __init__(self, *args: object, env: dict[str, str] | None = None) -> None:
        self._process = subprocess.Popen(
            [*PROGRAM, *map(str, args)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONFAULTHANDLER": "1", **(env or {})},
            start_new_session=True,
        )
        self.pid = self._process.pid

    def interrupt(self, number: int = signal.SIGINT) -> None:
        """As Ctrl-C does: to the whole foreground process group."""
        os.killpg(self.pid, number)

    def kill(self) -> None:
        with suppress(ProcessLookupError):
            self._process.kill()

    def last_words(self) -> str:
        """End it; what it said, and where each of its threads was."""
        self._abort()
        done = self.end()
        return f"{self._process.args!r}: {done.status}\n{done.err}"

    def _abort(self) -> None:
        """With Python's fault handler, this prints the stack of every thread."""
        with suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGABRT)

    def says(self, text: str) -> str:
        """Wait for a line on stderr that contains `text`; returns all lines up to it."""
        assert self._process.stderr is not None
        said = ""
        deadline = threading.Timer(PATIENCE, self._abort)
        deadline.start()
        try:
            for line in self._process.stderr:
                said += line
                if text in line:
                    return said
        finally:
            deadline.cancel()
        raise AssertionError(f"{text!r} was not said: {said!r}")

    def read_line(self) -> str:
        """The next line on stdout."""
        assert self._process.stdout is not None
        return self._process.stdout.readline()

    def stop_reading(self) -> None:
        """Close this end of its stdout."""
        assert self._process.stdout is not None
        self._process.stdout.close()
        self._process.stdout = None

    def end(self) -> Outcome:
        out, err = self._process.communicate(timeout=PATIENCE)
        return Outcome(self._process.returncode, out or "", err)


@pytest.fixture
def programs() -> Iterator[list[Program]]:
    """Those that the test started; none outlives it."""
    started: list[Program] = []
    yield started
    for program in started:
        program.kill()
        program.end()


@pytest.fixture
def program(programs: list[Program]) -> Callable[..., Program]:
    """`program("render", …)` starts `heliostat` as a process."""

    def start(*args: object, env: dict[str, str] | None = None) -> Program:
        programs.append(Program(*args, env=env))
        return programs[-1]

    return start


@pytest.fixture
def job_file(tmp_path: Path) -> Callable[..., Path]:
    """Writes a job whose chunks run a shell script, `$1` being the output and `$2` the chunk's id."""

    def write(script: str = 'echo "frame $2" > "$1"', *, chunks: int = 2, name: str = "film", **more: object) -> Path:
        path = tmp_path / f"{name}.json"
        document: dict[str, object] = {
            "frames": chunks * 5,
            "fps": 24,
            "chunkCount": chunks,
            "output": "out/{chunk}.txt",
            "command": ["sh", "-c", script, "sh", "{output}", "{chunk}"],
        }
        path.write_text(json.dumps(document | more))
        return path

    return write


@pytest.fixture
def until(programs: list[Program]) -> Callable[[Callable[[], object]], None]:
    """Waits for a condition, with a deadline; when that is missed, tells what the programs were doing."""

    def wait(condition: Callable[[], object]) -> None:
        deadline = time.monotonic() + PATIENCE
        while not condition():
            if time.monotonic() > deadline:
                pytest.fail("\n".join(["waited too long", *(program.last_words() for program in programs)]))
            time.sleep(0.02)

    return wait
