"""Repositories that break one promise each, run by the contract suite in a process of its own
(see test_repository.py)."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
import pytest

from heliostat import Batch, JobRepository, JobState, JobStatus, Lease, Wish
from heliostat.builtin.memory import MemoryOptions, MemoryRepository
from heliostat.errors import JobExists, LeaseHeld
from heliostat.testing import JobRepositoryContract


class Suite(JobRepositoryContract):
    repository: type[JobRepository]
    test_any_sequence_of_operations_leaves_what_a_simple_model_says = None
    """Left out: its operations are random, so that it finds these faults in some runs only."""

    @pytest.fixture
    def under_test(self, tmp_path):
        return lambda: self.repository(MemoryOptions(url=f"memory:{tmp_path}"))


class Endless(MemoryRepository):
    """Lists all jobs at once."""

    async def list(
        self, *, states: Iterable[JobState] | None = None, limit: int = 100, offset: int = 0
    ) -> list[JobStatus]:
        return await super().list(states=states)


class TestEndless(Suite):
    repository = Endless


class Deaf(MemoryRepository):
    """Tells the coordinator of no wish."""

    async def poll(self, lease: Lease) -> Wish | None:
        await super().poll(lease)
        return None


class TestDeaf(Suite):
    repository = Deaf


class Welcoming(MemoryRepository):
    """Takes an id twice."""

    async def create(self, job: JobStatus) -> None:
        try:
            await super().create(job)
        except JobExists:
            await self.delete(job.id)
            await super().create(job)


class TestWelcoming(Suite):
    repository = Welcoming


class Torn(MemoryRepository):
    """Writes the job's change although the chunks' are refused."""

    async def commit(self, lease: Lease, batch: Batch) -> None:
        await super().commit(lease, msgspec.structs.replace(batch, chunks=(), attempts=()))
        await super().commit(lease, batch)


class TestTorn(Suite):
    repository = Torn


class Generous(MemoryRepository):
    """Lets a job have two coordinators."""

    async def acquire(self, job_id: str, owner: str, ttl: float, *, dead: str | None = None) -> Lease:
        try:
            return await super().acquire(job_id, owner, ttl, dead=dead)
        except LeaseHeld:
            return Lease(job_id=job_id, owner=owner, ttl=ttl)


class TestGenerous(Suite):
    repository = Generous
