"""A database as an earlier Heliostat left it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from heliostat import (
    AttemptState,
    ChunkStarted,
    ChunkSucceeded,
    JobExecutionOptions,
    JobExecutor,
    JobManager,
    JobStarted,
    JobState,
    open_repository,
)
from heliostat.testing.scripted import ScriptedWorker

VERSION_1 = Path(__file__).with_name("version_1.sql").read_text()
IN_POSTGRESQL = {
    "INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT": "BIGSERIAL PRIMARY KEY",
    "job INTEGER": "job BIGINT",
    "DOUBLE": "DOUBLE PRECISION",
    "BLOB": "BYTEA",
    " WITHOUT ROWID": "",
    "X'": "'\\x",
}


@pytest.fixture
def version_1() -> Callable[[str], list[str]]:
    """The statements that make a database of version 1 with a job in it."""

    def statements(dialect: str) -> list[str]:
        text = VERSION_1
        for sqlite, postgresql in IN_POSTGRESQL.items() if dialect == "postgresql" else ():
            text = text.replace(sqlite, postgresql)
        return [statement for statement in text.split(";\n") if statement.strip()]

    return statements


@pytest.fixture
def goes_on_from_version_1(tmp_path: Path) -> Callable[[str], Awaitable[None]]:
    """Shows that what was known before is known afterwards, and that the journal begins with the next run."""

    async def check(url: str) -> None:
        several = [open_repository(url) for _ in range(4)]
        found = await asyncio.gather(*(repository.get("old") for repository in several))
        assert {(job.state, job.completed_chunks, job.revision) for job in found} == {(JobState.RUNNING, 1, 0)}
        assert not await several[0].journal("old")
        for repository in several:
            await repository.__aexit__(None, None, None)
        async with JobManager(open_repository(url), JobExecutor(ScriptedWorker())) as manager:
            assert [event async for event in manager.events("old")] == [], "it is orphaned"
            await manager.resume("old", JobExecutionOptions(job_dir=tmp_path, concurrency=1))
            status = await manager.wait("old")
            assert (status.state, status.completed_chunks, status.metrics.attempts) == (JobState.COMPLETED, 3, 5)
            told = [event async for event_id, event in manager.events("old") if event_id]
        assert isinstance(told[0], JobStarted)
        assert (told[0].completed_chunks, told[0].completed_frames) == (1, 2)
        started = [(event.index, event.attempt) for event in told if isinstance(event, ChunkStarted)]
        assert started == [(1, 2), (2, 1)]
        assert [event.completed_chunks for event in told if isinstance(event, ChunkSucceeded)] == [2, 3]
        async with open_repository(url) as repository:
            attempts = await repository.attempts("old")
            assert [(row.index, row.number, row.state) for row in attempts] == [
                (0, 1, AttemptState.FAILED),
                (0, 2, AttemptState.SUCCEEDED),
                (1, 1, AttemptState.CANCELLED),
                (1, 2, AttemptState.SUCCEEDED),
                (2, 1, AttemptState.SUCCEEDED),
            ]

    return check
