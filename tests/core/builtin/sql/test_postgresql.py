"""The repository in PostgreSQL, on a real server that these tests start."""

from __future__ import annotations

import asyncio
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from heliostat import JobExecutionOptions, JobExecutor, JobManager, JobState, errors, open_repository
from heliostat.contracts.repository import Batch
from heliostat.testing.repository import JobRepositoryContract, job_of, succeeded
from heliostat.testing.scripted import ScriptedWorker


def program(name: str) -> str | None:
    """Debian keeps the server's programs off the PATH."""
    places = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), reverse=True)
    return shutil.which(name) or (str(places[0]) if places else None)


class Server:
    """A PostgreSQL server on loopback. Refuses to run as root, so then it runs as the first other user there is."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.user: dict[str, object] = {}
        if os.getuid() == 0:
            names = [entry.pw_name for entry in pwd.getpwall()]
            name = "postgres" if "postgres" in names else "nobody"
            self.user = {"user": name, "group": pwd.getpwnam(name).pw_gid, "extra_groups": []}
            shutil.chown(folder, name)
        self.port = free_port()
        data = str(folder / "data")
        initdb = [str(program("initdb")), "-D", data, "-U", "heliostat", "-A", "trust", "-E", "UTF8", "--no-sync"]
        subprocess.run(initdb, check=True, capture_output=True, cwd=folder, **self.user)
        self.start()

    def start(self) -> None:
        options = ["-D", str(self.folder / "data"), "-h", "127.0.0.1", "-p", str(self.port), "-k", str(self.folder)]
        log = (self.folder / "log").open("ab")
        self.process = subprocess.Popen(
            [str(program("postgres")), *options], cwd=self.folder, stdout=log, stderr=log, **self.user
        )
        log.close()
        deadline = time.monotonic() + 60
        while "ready to accept connections" not in (self.folder / "log").read_text().rpartition("starting")[2]:
            assert self.process.poll() is None, (self.folder / "log").read_text()
            assert time.monotonic() < deadline, (self.folder / "log").read_text()
            time.sleep(0.05)

    def stop(self) -> None:
        self.process.send_signal(signal.SIGINT)  # the fast shutdown: connections are ended
        self.process.wait(60)

    def new_database(self, name: str) -> str:
        import psycopg

        with psycopg.connect(f"{self.url}/postgres", autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{name}"')  # type: ignore[arg-type]
        return f"{self.url}/{name}"

    @property
    def url(self) -> str:
        return f"postgresql://heliostat@127.0.0.1:{self.port}"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    pytest.importorskip("psycopg", reason="needs psycopg: pip install 'heliostat[postgresql]'")
    if program("initdb") is None or program("postgres") is None:
        pytest.skip("needs PostgreSQL's programs: apt-get install postgresql")
    # Not below pytest's own folder, which only the user who runs the tests may enter.
    with tempfile.TemporaryDirectory(prefix="heliostat-pg-") as folder:
        running = Server(Path(folder))
        yield running
        running.stop()


class TestPostgresqlRepository(JobRepositoryContract):
    @pytest.fixture(autouse=True)
    def database(self, server: Server, tmp_path: Path) -> None:
        self.url = server.new_database(tmp_path.name)

    def open_store(self, place):
        return open_repository(self.url)


@pytest.fixture
def url(server: Server, tmp_path: Path) -> str:
    return server.new_database(tmp_path.name)


async def test_a_database_of_a_newer_heliostat_is_refused(url: str):
    import psycopg

    async with open_repository(url):
        pass
    with psycopg.connect(url) as connection:
        connection.execute("UPDATE heliostat_schema SET version = 99")
    with pytest.raises(errors.SchemaTooNew, match="version 99"):
        async with open_repository(url):
            pass


async def test_a_server_that_goes_away_is_unavailable_and_comes_back(server: Server, url: str):
    async with open_repository(url) as repository:
        await repository.create(job_of(3))
        lease = await repository.acquire("job", "me", 60.0)
        server.stop()
        with pytest.raises(errors.RepositoryUnavailable, match="try again"):
            await repository.commit(lease, Batch(chunks=[succeeded(0, 1)]))
        server.start()
        await repository.commit(lease, Batch(chunks=[succeeded(0, 1)]))
        assert (await repository.get("job")).completed_chunks == 1


async def test_a_job_runs_and_another_process_pauses_and_resumes_it(url: str, make_spec, tmp_path: Path):
    calls: list[int] = []
    options = JobExecutionOptions(job_dir=tmp_path, on_progress=lambda done, total: calls.append(done))
    worker = ScriptedWorker(steps=lambda request: 20)
    async with (
        JobManager(open_repository(url), JobExecutor(worker)) as mine,
        JobManager(open_repository(url)) as theirs,
    ):
        job = await mine.submit(make_spec(5000), options)
        while not calls:
            await asyncio.sleep(0.01)
        await theirs.pause(job)
        assert (await theirs.wait(job)).state is JobState.PAUSED
        assert 0 < len(calls) < 5000
        await mine.resume(job)
        assert (await mine.wait(job)).state is JobState.COMPLETED
    assert calls == list(range(1, 5001))
