"""Repositories that break one promise each, run by the contract suite in a process of its own
(see test_repository.py)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
import pytest

from heliostat import (
    AttemptStatus,
    Batch,
    JobRepository,
    JobState,
    JobStatus,
    JournalEntry,
    Lease,
    Wish,
)
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


class Stuttering(MemoryRepository):
    """Journals a batch once more when it is committed once more."""

    async def commit(self, lease: Lease, batch: Batch) -> None:
        before = (await self.get(lease.job_id)).revision
        await super().commit(lease, batch)
        journal = self._find(lease.job_id).journal
        if batch.happened and len(journal) == before:
            journal.append(JournalEntry(revision=before + 1, time=0.0, happened=tuple(batch.happened)))


class TestStuttering(Suite):
    repository = Stuttering


class Hasty(MemoryRepository):
    """Journals before it knows whether it may."""

    async def commit(self, lease: Lease, batch: Batch) -> None:
        if lease.job_id in self._jobs:
            self._jobs[lease.job_id].enter(batch.happened)
        await super().commit(lease, batch)


class TestHasty(Suite):
    repository = Hasty


class Sorted(MemoryRepository):
    """Journals by chunk, as its rows are."""

    async def commit(self, lease: Lease, batch: Batch) -> None:
        happened = sorted(batch.happened, key=lambda one: getattr(one, "index", -1))
        await super().commit(lease, msgspec.structs.replace(batch, happened=happened))


class TestSorted(Suite):
    repository = Sorted


class Chatty(MemoryRepository):
    """Has an entry for each commit."""

    async def commit(self, lease: Lease, batch: Batch) -> None:
        await super().commit(lease, batch)
        if not batch.happened:
            journal = self._find(lease.job_id).journal
            journal.append(JournalEntry(revision=len(journal) + 1, time=0.0, happened=()))


class TestChatty(Suite):
    repository = Chatty


class Short(MemoryRepository):
    """Gives no more than a hundred entries of a journal."""

    async def journal(self, job_id: str, *, after: int = 0, limit: int | None = None) -> Sequence[JournalEntry]:
        return (await super().journal(job_id, after=after, limit=limit))[:100]


class TestShort(Suite):
    repository = Short


class Lossy(MemoryRepository):
    """Cannot keep NUL in a text."""

    async def journal(self, job_id: str, *, after: int = 0, limit: int | None = None) -> Sequence[JournalEntry]:
        entries = await super().journal(job_id, after=after, limit=limit)
        return msgspec.json.decode(msgspec.json.encode(entries).replace(b"\\u0000", b""), type=list[JournalEntry])


class TestLossy(Suite):
    repository = Lossy


class Renumbering(MemoryRepository):
    """Changes the journal when chunks are withdrawn."""

    async def withdraw(self, lease: Lease, indexes: Sequence[int]) -> None:
        await super().withdraw(lease, indexes)
        journal = self._find(lease.job_id).journal
        for place, entry in enumerate(journal):
            left = tuple(one for one in entry.happened if getattr(one, "index", -1) not in indexes)
            journal[place] = msgspec.structs.replace(entry, happened=left)


class TestRenumbering(Suite):
    repository = Renumbering


class Exact(MemoryRepository):
    """Minds the case of names."""

    def _named(self, name: str | None) -> Sequence[Any]:
        return [job for job in self._jobs.values() if name is None or name in job.status.spec.name]


class TestExact(Suite):
    repository = Exact


class Approximate(MemoryRepository):
    """Finds all attempts of a chunk where one was asked for."""

    async def attempts(self, job_id: str, *, keys: Any = None, **asked: Any) -> Sequence[AttemptStatus]:
        rows = await super().attempts(job_id, **asked)
        indexes = {index for index, _ in keys or ()}
        return [row for row in rows if keys is None or row.index in indexes]


class TestApproximate(Suite):
    repository = Approximate
