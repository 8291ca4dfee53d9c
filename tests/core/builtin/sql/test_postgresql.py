"""The repository in PostgreSQL, on a real server that these tests start."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from heliostat import JobExecutionOptions, JobExecutor, JobManager, JobState, errors, open_repository
from heliostat.contracts.repository import Batch
from heliostat.testing.repository import JobRepositoryContract, job_of, succeeded
from heliostat.testing.scripted import ScriptedWorker


@pytest.fixture(scope="module")
def server(postgresql_server: Any) -> Any:
    return postgresql_server


@pytest.fixture
def url(server: Any, tmp_path: Path) -> str:
    return server.new_database(tmp_path.name)


class TestPostgresqlRepository(JobRepositoryContract):
    @pytest.fixture
    def under_test(self, url: str):
        return lambda: open_repository(url)


async def test_a_database_of_a_newer_heliostat_is_refused(url: str):
    import psycopg

    async with open_repository(url):
        pass
    with psycopg.connect(url) as connection:
        connection.execute("UPDATE heliostat_schema SET version = 99")
    with pytest.raises(errors.SchemaTooNew, match="version 99"):
        async with open_repository(url):
            pass


async def test_a_database_of_version_1_goes_on(url: str, version_1, goes_on_from_version_1):
    import psycopg

    with psycopg.connect(url) as connection:
        for statement in version_1("postgresql"):
            connection.execute(statement)
    await goes_on_from_version_1(url)


async def test_a_server_that_goes_away_is_unavailable_and_comes_back(server: Any, url: str):
    async with open_repository(url) as repository:
        await repository.create(job_of(3))
        lease = await repository.acquire("job", "me", 60.0)
        server.stop()
        with pytest.raises(errors.RepositoryUnavailable, match="try again"):
            await repository.commit(lease, Batch(chunks=[succeeded(0, 1)]))
        server.start()
        await repository.commit(lease, Batch(chunks=[succeeded(0, 1)]))
        assert (await repository.get("job")).completed_chunks == 1


async def test_a_connection_that_is_cut_is_made_anew(server: Any, url: str):
    import psycopg

    async with open_repository(url) as repository:
        await repository.create(job_of(3))
        lease = await repository.acquire("job", "me", 60.0)
        with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
            others = "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = %s"
            connection.execute(others, [url.partition("@/")[2].partition("?")[0]])
        with pytest.raises(errors.RepositoryUnavailable, match="check the server and try again"):
            await repository.commit(lease, Batch(chunks=[succeeded(0, 1)]))
        await repository.commit(lease, Batch(chunks=[succeeded(0, 1)]))
        assert (await repository.get("job")).completed_chunks == 1


async def test_a_row_that_somebody_else_locks_is_unavailable_for_a_while(url: str, monkeypatch: pytest.MonkeyPatch):
    import psycopg

    monkeypatch.setattr("heliostat.builtin.sql.postgresql.LOCK_TIMEOUT", 0.2)
    async with open_repository(url) as repository:
        await repository.create(job_of(3))
        lease = await repository.acquire("job", "me", 60.0)
        with psycopg.connect(url) as locker:
            locker.execute("SELECT * FROM heliostat_job FOR UPDATE")
            with pytest.raises(errors.RepositoryUnavailable, match="lock timeout"):
                await repository.commit(lease, Batch(chunks=[succeeded(0, 1)]))
            assert (await repository.get("job")).completed_chunks == 0
        await repository.commit(lease, Batch(chunks=[succeeded(0, 1)]))
        assert (await repository.get("job")).completed_chunks == 1


async def test_several_handles_create_one_schema_at_once(url: str):
    repositories = [open_repository(url) for _ in range(6)]
    await asyncio.gather(*(repository.create(job_of(3, f"{n}")) for n, repository in enumerate(repositories)))
    assert len(await repositories[0].list()) == 6
    for repository in repositories:
        await repository.__aexit__(None, None, None)


async def test_a_password_is_not_told(server: Any):
    with pytest.raises(errors.RepositoryUnavailable, match=r"heliostat:\*\*\*@") as told:
        async with open_repository(f"postgresql://heliostat:secret@/nowhere?host={server.folder}"):
            pass
    assert "secret" not in str(told.value)


@pytest.mark.parametrize("url", ["postgresql:", "postgresql://host:port/x"])
def test_what_is_no_url_is_refused(url: str):
    with pytest.raises(errors.SpecError, match="is no database URL; write postgresql://"):
        open_repository(url)


async def test_a_job_runs_and_another_process_pauses_and_resumes_it(url: str, make_spec, tmp_path: Path):
    calls: list[int] = []
    options = JobExecutionOptions(job_dir=tmp_path, on_progress=lambda done, total: calls.append(done))
    turns = 20_000  # of the event loop for each chunk: so many that no run gets far before it is paused
    worker = ScriptedWorker(steps=lambda request: turns)
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
        turns = 20
        await mine.resume(job)
        assert (await mine.wait(job)).state is JobState.COMPLETED
    assert calls == list(range(1, 5001))
