"""The repository in a SQLite file."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from heliostat import errors, open_repository
from heliostat.builtin.sql import reader, schema, tables
from heliostat.contracts.repository import Batch
from heliostat.model.status import AttemptState, ChunkState
from heliostat.testing.repository import JobRepositoryContract, attempt_of, began, job_of, made, succeeded


class TestSqliteRepository(JobRepositoryContract):
    @pytest.fixture
    def under_test(self, tmp_path):
        return lambda: open_repository(f"sqlite:///{tmp_path}/some folder/jobs ü.db")


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


async def test_a_commit_waits_for_a_lock_and_readers_do_not(path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("heliostat.builtin.sql.sqlite.BUSY_TIMEOUT", 60.0)
    async with open_repository(f"sqlite:///{path}") as repository:
        await repository.create(job_of(2))
        lease = await repository.acquire("job", "me", 60.0)
        locker = sqlite3.connect(path, isolation_level=None)
        locker.execute("BEGIN IMMEDIATE")
        committing = asyncio.create_task(repository.commit(lease, Batch(chunks=[succeeded(0, 1)])))
        for _ in range(20):
            assert await repository.poll(lease) is None
            assert (await repository.get("job")).completed_chunks == 0
            await asyncio.sleep(0.01)
        async with open_repository(f"sqlite:///{path}") as other:
            assert (await other.get("job")).coordinator == "me"
        assert not committing.done()
        locker.execute("ROLLBACK")
        locker.close()
        await committing
        assert (await repository.get("job")).completed_chunks == 1


async def test_somebody_who_reads_for_long_holds_up_no_commit(path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("heliostat.builtin.sql.sqlite.BUSY_TIMEOUT", 0.1)
    async with open_repository(f"sqlite:///{path}") as repository:
        await repository.create(job_of(2))
        lease = await repository.acquire("job", "me", 60.0)
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN")
        before = other.execute("SELECT * FROM heliostat_chunk").fetchall()
        await repository.commit(lease, Batch(chunks=[succeeded(0, 1)]))
        assert other.execute("SELECT * FROM heliostat_chunk").fetchall() == before
        other.close()


async def test_a_deleted_job_leaves_no_rows(path: Path):
    async with open_repository(f"sqlite:///{path}") as repository:
        await repository.create(job_of(2))
        lease = await repository.acquire("job", "me", 60.0)
        batch = Batch(chunks=[succeeded(0, 1)], attempts=[attempt_of(0)], happened=[began(0), made(0, 1)])
        await repository.commit(lease, batch)
        await repository.release(lease)
        await repository.delete("job")
    connection = sqlite3.connect(path)
    for table in tables.job, tables.spec, tables.chunk, tables.attempt, tables.journal:
        assert connection.execute(f"SELECT count(*) FROM {table.name}").fetchone() == (0,)
    connection.close()


async def test_missing_directories_are_made_and_one_that_cannot_be_is_named(tmp_path: Path):
    async with open_repository(f"sqlite:///{tmp_path}/a b/c%20d?e#f/jobs.db") as repository:
        await repository.create(job_of(1))
    assert (tmp_path / "a b" / "c%20d?e#f" / "jobs.db").is_file(), "the path is taken as it stands"
    (tmp_path / "file").touch()
    with pytest.raises(errors.RepositoryError, match=r"/file cannot be made for the database .* another database"):
        async with open_repository(f"sqlite:///{tmp_path}/file/jobs.db"):
            pass
    with pytest.raises(errors.RepositoryError, match="cannot be opened; check that it is a file"):
        async with open_repository(f"sqlite:///{tmp_path}/a b"):
            pass


async def test_a_relative_path_starts_at_the_directory_of_the_moment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    repository = open_repository("sqlite:///here/jobs.db")
    monkeypatch.chdir("/")
    async with repository:
        assert (tmp_path / "here" / "jobs.db").is_file()


async def test_a_repository_opens_itself_and_can_be_opened_again(path: Path):
    repository = open_repository(f"sqlite:///{path}")
    await repository.create(job_of(1))
    async with repository:
        assert (await repository.get("job")).total_chunks == 1
    assert not path.with_name("jobs.db-wal").exists(), "the last to close tidies up"
    async with repository:
        assert (await repository.get("job")).total_chunks == 1


def test_a_repository_that_nobody_closed_leaves_no_thread_and_no_connection(path: Path):
    before = set(threading.enumerate())
    asyncio.run(open_repository(f"sqlite:///{path}").create(job_of(1)))
    deadline = time.monotonic() + 30
    while path.with_name("jobs.db-wal").exists() or not before.issuperset(threading.enumerate()):
        assert time.monotonic() < deadline
        gc.collect()
        time.sleep(0.01)


async def test_a_database_of_an_older_heliostat_is_brought_up_to_date(path: Path, monkeypatch: pytest.MonkeyPatch):
    async with open_repository(f"sqlite:///{path}") as repository:
        await repository.create(job_of(1))
    monkeypatch.setattr(schema, "VERSION", schema.VERSION + 2)
    steps = {schema.VERSION - 2: ["CREATE TABLE extra (a)"], schema.VERSION - 1: ["INSERT INTO extra VALUES (1)"]}
    monkeypatch.setattr(schema, "MIGRATIONS", steps)
    for _ in range(2):
        async with open_repository(f"sqlite:///{path}") as repository:
            assert (await repository.get("job")).total_chunks == 1
    connection = sqlite3.connect(path)
    assert connection.execute("SELECT count(*) FROM extra").fetchone() == (1,), "each step is made once"
    assert connection.execute("SELECT version FROM heliostat_schema").fetchall() == [(schema.VERSION,)]
    connection.close()


async def test_a_database_of_version_1_goes_on(path: Path, version_1, goes_on_from_version_1):
    old = sqlite3.connect(path)
    for statement in version_1("sqlite"):
        old.execute(statement)
    old.commit()
    old.close()
    await goes_on_from_version_1(f"sqlite:///{path}")
    new = path.with_name("new.db")
    async with open_repository(f"sqlite:///{new}"):
        pass

    def columns(file: Path) -> dict[str, list[tuple[str, int, int]]]:
        """Of each table: the names, whether they are NOT NULL, their places in the primary key."""
        connection = sqlite3.connect(file)
        names = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        found = {
            name: [(row[1], row[3], row[5]) for row in connection.execute(f"PRAGMA table_info({name})")]
            for name in names
        }
        connection.close()
        return found

    assert columns(path) == columns(new), "a new database is no other than one brought up to date"


async def test_more_rows_than_one_statement_reads_or_writes(path: Path):
    count = 2 * reader.PAGE + 7
    async with open_repository(f"sqlite:///{path}") as repository, open_repository(f"sqlite:///{path}") as other:
        job = job_of(count)
        await repository.create(job)
        lease = await repository.acquire("job", "me", 60.0)
        backwards = range(count - 1, -1, -1)
        changes = [succeeded(index, position) for position, index in enumerate(backwards, 1)]
        rows = [attempt_of(index, state=AttemptState.SUCCEEDED) for index in range(count)]
        await repository.commit(lease, Batch(chunks=changes, attempts=rows))
        assert (await other.get("job")).spec == job.spec
        chunks = await other.chunks("job", state=ChunkState.SUCCEEDED)
        assert [chunk.position for chunk in chunks] == [*range(count, 0, -1)]
        assert [c.index for c in await other.chunks("job", limit=reader.PAGE + 5, offset=7)] == [
            *range(7, reader.PAGE + 12)
        ]
        assert await other.attempts("job") == rows
        keys = {(index, 1) for index in range(count)}
        assert await other.attempts("job", keys=keys) == rows
        await repository.withdraw(lease, range(0, count, 2))
        left = await other.chunks("job", state=ChunkState.SUCCEEDED)
        assert [(chunk.index, chunk.position) for chunk in left] == [
            (index, len(left) - place) for place, index in enumerate(range(1, count, 2))
        ]


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
from heliostat.testing.repository import attempt_of, job_of, made, succeeded

async def main():
    async with open_repository(f"sqlite:///{sys.argv[1]}") as repository:
        await repository.create(job_of(20_000))
        lease = await repository.acquire("job", "me", 60.0)
        for n in range(20_000):
            batch = Batch(chunks=[succeeded(n, n + 1)], attempts=[attempt_of(n)], happened=[made(n, n + 1)])
            await repository.commit(lease, batch)
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
            entries = await repository.journal("job")
            assert [entry.happened for entry in entries] == [(made(n, n + 1),) for n in range(completed)]
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


RACE = """
import asyncio, sys
from heliostat import errors, open_repository
from heliostat.contracts.repository import Batch
from heliostat.testing.repository import attempt_of, job_of, succeeded

async def main(url, me):
    async with open_repository(url) as repository:
        sys.stdin.readline()
        try:
            wanted = await repository.acquire("wanted", me, 3600.0)
        except errors.LeaseHeld:
            wanted = None
        await repository.create(job_of(200, me))
        own = await repository.acquire(me, me, 3600.0)
        for lease in filter(None, (own, wanted)):
            for n in range(200):
                await repository.commit(lease, Batch(chunks=[succeeded(n, n + 1)], attempts=[attempt_of(n)]))
        print("won" if wanted else "lost")

asyncio.run(main(*sys.argv[1:]))
"""


def test_several_processes_run_a_job_each_and_one_of_them_gets_the_one_that_all_want(path: Path):
    url = f"sqlite:///{path}"

    async def prepare() -> None:
        async with open_repository(url) as repository:
            await repository.create(job_of(200, "wanted"))

    asyncio.run(prepare())
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", RACE, url, f"job-{n}"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for n in range(3)
    ]
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    said = [process.communicate()[0].strip() for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0]
    assert sorted(said) == ["lost", "lost", "won"]

    async def completed() -> dict[str, int]:
        async with open_repository(url) as repository:
            return {job.id: job.completed_chunks for job in await repository.list()}

    assert asyncio.run(completed()) == dict.fromkeys(["wanted", "job-0", "job-1", "job-2"], 200)


async def test_a_handle_serves_concurrent_callers(path: Path):
    async with open_repository(f"sqlite:///{path}") as repository:
        await asyncio.gather(*(repository.create(job_of(5, f"job-{n}")) for n in range(20)))
        found = await asyncio.gather(*(repository.get(f"job-{n}") for n in range(20)))
        assert [job.id for job in found] == [f"job-{n}" for n in range(20)]


def test_attempt_rows_are_compact():
    from heliostat.model.codec import to_json

    assert len(to_json(attempt_of(1))) < 110
