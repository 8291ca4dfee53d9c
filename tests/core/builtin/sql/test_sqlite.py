"""The repository in a SQLite file."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from heliostat import errors, open_repository
from heliostat.contracts.repository import Batch
from heliostat.testing.repository import JobRepositoryContract, attempt_of, job_of, succeeded


class TestSqliteRepository(JobRepositoryContract):
    def open_store(self, place):
        return open_repository(f"sqlite:///{place}/some folder/jobs ü.db")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "jobs.db"


async def test_a_database_of_a_newer_heliostat_is_refused_with_both_versions(path: Path):
    async with open_repository(f"sqlite:///{path}"):
        pass
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE heliostat_schema SET version = 99")
    connection.close()
    with pytest.raises(errors.SchemaTooNew, match=r"jobs\.db .*version 99.*upgrade Heliostat"):
        async with open_repository(f"sqlite:///{path}"):
            pass


async def test_a_file_that_is_no_database_is_said_to_be_none(path: Path):
    path.write_text("something else entirely, and long enough to be read as a header" * 9)
    with pytest.raises(errors.RepositoryError, match=r"is damaged or no SQLite file; give another one with --db"):
        async with open_repository(f"sqlite:///{path}"):
            pass


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:"])
async def test_a_url_without_a_file_is_refused(url: str):
    with pytest.raises(errors.SpecError, match="names no file; write sqlite:///path"):
        async with open_repository(url):
            pass


async def test_a_locked_database_is_unavailable_and_nothing_is_written(path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("heliostat.builtin.sql.sqlite.BUSY_TIMEOUT", 0.1)
    async with open_repository(f"sqlite:///{path}") as repository:
        await repository.create(job_of(2))
        lease = await repository.acquire("job", "me", 60.0)
        locker = sqlite3.connect(path, isolation_level=None)
        locker.execute("BEGIN IMMEDIATE")
        with pytest.raises(errors.RepositoryUnavailable, match=r"has been locked by another program .*try again"):
            await repository.commit(lease, Batch(chunks=[succeeded(0, 1)]))
        assert (await repository.get("job")).completed_chunks == 0
        locker.execute("ROLLBACK")
        locker.close()
        await repository.commit(lease, Batch(chunks=[succeeded(0, 1)]))
        assert (await repository.get("job")).completed_chunks == 1


FILL = """
import asyncio, resource, signal, sys
from heliostat import errors, open_repository
from heliostat.contracts.repository import Batch
from heliostat.testing.repository import attempt_of, job_of, succeeded

async def main():
    async with open_repository(f"sqlite:///{sys.argv[1]}") as repository:
        await repository.create(job_of(20_000))
        lease = await repository.acquire("job", "me", 60.0)
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (3_000_000, -1))
        written = 0
        try:
            while written < 20_000:
                new = range(written, written + 200)
                rows = [attempt_of(n, message="x" * 2000) for n in new]
                await repository.commit(lease, Batch(chunks=[succeeded(n, n + 1) for n in new], attempts=rows))
                written += 200
        except errors.RepositoryUnavailable as error:
            assert (await repository.get("job")).completed_chunks == written
            resource.setrlimit(resource.RLIMIT_FSIZE, (-1, -1))
            await repository.commit(lease, Batch(chunks=[succeeded(written, written + 1)]))
            assert (await repository.get("job")).completed_chunks == written + 1
            print(written, error)

asyncio.run(main())
"""


def test_a_disk_that_is_full_loses_nothing_and_goes_on_once_there_is_room(path: Path):
    """A limit on file sizes stands in for the disk: SQLite gets the same refusal from the same call."""
    done = subprocess.run([sys.executable, "-c", FILL, path], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    written, said = done.stdout.split(" ", 1)
    assert int(written) > 0
    assert "nothing was written" in said


WRITE = """
import asyncio, sys
from heliostat import open_repository
from heliostat.contracts.repository import Batch
from heliostat.testing.repository import attempt_of, job_of, succeeded

async def main():
    async with open_repository(f"sqlite:///{sys.argv[1]}") as repository:
        await repository.create(job_of(20_000))
        lease = await repository.acquire("job", "me", 60.0)
        for n in range(20_000):
            await repository.commit(lease, Batch(chunks=[succeeded(n, n + 1)], attempts=[attempt_of(n)]))
            print(n + 1, flush=True)

asyncio.run(main())
"""


def test_what_was_acknowledged_is_there_after_a_kill(path: Path):
    writer = subprocess.Popen([sys.executable, "-c", WRITE, path], stdout=subprocess.PIPE, text=True)
    assert writer.stdout is not None
    acknowledged = [int(writer.stdout.readline()) for _ in range(50)]
    os.kill(writer.pid, signal.SIGKILL)
    acknowledged += map(int, writer.stdout.read().split())
    writer.stdout.close()
    writer.wait()

    async def count() -> int:
        async with open_repository(f"sqlite:///{path}") as repository:
            attempts = await repository.attempts("job")
            completed = (await repository.get("job")).completed_chunks
            assert len(attempts) == completed, "a commit is whole or not there"
            return completed

    assert acknowledged[-1] <= asyncio.run(count()) <= acknowledged[-1] + 1


def test_several_processes_create_one_database_at_once(path: Path):
    code = (
        "import asyncio, sys; from heliostat import open_repository\nfrom heliostat.testing.repository import job_of\n"
    )
    code += "async def main():\n async with open_repository(f'sqlite:///{sys.argv[1]}') as r: "
    code += "await r.create(job_of(10, sys.argv[2]))\nasyncio.run(main())"
    writers = [subprocess.Popen([sys.executable, "-c", code, path, f"job-{n}"]) for n in range(4)]
    assert [writer.wait() for writer in writers] == [0] * 4

    async def jobs() -> list[str]:
        async with open_repository(f"sqlite:///{path}") as repository:
            return [job.id for job in await repository.list()]

    assert sorted(asyncio.run(jobs())) == [f"job-{n}" for n in range(4)]


async def test_a_handle_serves_concurrent_callers(path: Path):
    async with open_repository(f"sqlite:///{path}") as repository:
        await asyncio.gather(*(repository.create(job_of(5, f"job-{n}")) for n in range(20)))
        found = await asyncio.gather(*(repository.get(f"job-{n}") for n in range(20)))
        assert [job.id for job in found] == [f"job-{n}" for n in range(20)]


def test_attempt_rows_are_compact():
    from heliostat.model.codec import to_json

    assert len(to_json(attempt_of(1))) < 110
