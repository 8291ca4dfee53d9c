"""Which of the jobs that wait comes next."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from heliostat import JobManager, JobState, open_repository
from heliostat.contracts.repository import Batch, JobChange
from heliostat.job_queue import FIRST, WaitingJobs
from heliostat.testing.repository import job_of

CREATED = datetime(2026, 1, 1, tzinfo=UTC)


async def test_each_job_that_waits_comes_once_the_oldest_first_however_many_there_are():
    repository = open_repository("memory:")
    async with JobManager(repository) as manager:
        await manager.list()
        ids = [f"job{number}" for number in range(3 * FIRST)]
        for number, job_id in enumerate(ids):
            await repository.create(job_of(1, job_id, created_at=CREATED + timedelta(hours=number)))
        await repository.create(job_of(1, "over", state=JobState.PAUSED, created_at=CREATED))
        waiting = WaitingJobs(manager)
        given = []
        while (status := await waiting.next()) is not None:
            given.append(status.id)
        assert given == ids
        waiting.again("job7")
        lease = await repository.acquire("job50", "me", 60.0)
        await repository.commit(lease, Batch(job=JobChange(state=JobState.PENDING)))
        again = [await waiting.next(), await waiting.next(), await waiting.next()]
        assert [status and status.id for status in again] == ["job7", "job50", None]
