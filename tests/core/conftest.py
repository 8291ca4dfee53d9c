"""What many tests of the core need."""

from __future__ import annotations

import os
import pwd
import re
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
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


# --- PostgreSQL -------------------------------------------------------------------------------------------------------


def _program(name: str) -> str | None:
    """Debian keeps the server's programs off the PATH."""
    places = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), reverse=True)
    return shutil.which(name) or (str(places[0]) if places else None)


class PostgresqlServer:
    """A PostgreSQL server on a socket in `folder`. It refuses to run as root, so then it runs as another user."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.user: dict[str, object] = {}
        if os.getuid() == 0:
            names = [entry.pw_name for entry in pwd.getpwall()]
            name = "postgres" if "postgres" in names else "nobody"
            self.user = {"user": name, "group": pwd.getpwnam(name).pw_gid, "extra_groups": []}
            shutil.chown(folder, name)
        data = str(folder / "data")
        initdb = [str(_program("initdb")), "-D", data, "-U", "heliostat", "-A", "trust", "-E", "UTF8", "--no-sync"]
        subprocess.run(initdb, check=True, capture_output=True, cwd=folder, **self.user)
        self.start()

    def start(self) -> None:
        # No address at all, and -F: nothing is to survive a power failure here.
        options = ["-D", str(self.folder / "data"), "-h", "", "-k", str(self.folder), "-F"]
        log = (self.folder / "log").open("ab")
        self.process = subprocess.Popen(
            [str(_program("postgres")), *options], cwd=self.folder, stdout=log, stderr=log, **self.user
        )
        log.close()
        try:
            deadline = time.monotonic() + 60
            while "ready to accept connections" not in (self.folder / "log").read_text().rpartition("starting")[2]:
                assert self.process.poll() is None, (self.folder / "log").read_text()
                assert time.monotonic() < deadline, (self.folder / "log").read_text()
                time.sleep(0.05)
        except BaseException:
            self.process.kill()
            self.process.wait()
            raise

    def stop(self) -> None:
        self.process.send_signal(signal.SIGINT)  # the fast shutdown: connections are ended
        self.process.wait(60)

    def new_database(self, name: str) -> str:
        import psycopg

        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{name}"')
        return self.url(name)

    def url(self, database: str) -> str:
        return f"postgresql://heliostat@/{database}?host={self.folder}"


@pytest.fixture(scope="module")
def postgresql_server() -> Iterator[PostgresqlServer]:
    pytest.importorskip("psycopg", reason="needs psycopg: pip install 'heliostat[postgresql]'")
    if _program("initdb") is None or _program("postgres") is None:
        pytest.skip("needs PostgreSQL's programs: apt-get install postgresql")
    # Not below pytest's own folder, which only the user who runs the tests may enter.
    with tempfile.TemporaryDirectory(prefix="heliostat-pg-") as folder:
        running = PostgresqlServer(Path(folder))
        yield running
        running.stop()
