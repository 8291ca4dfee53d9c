"""A repository in this process's memory: for tests, and for jobs that nobody wants to find again."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Sequence
from datetime import UTC, datetime
from weakref import WeakValueDictionary

import msgspec

from heliostat.contracts.repository import Batch, ChunkChange, Happening, JobRepository, JournalEntry, Lease
from heliostat.errors import JobExists, JobNotFound, LeaseHeld, LeaseLost, RepositoryError
from heliostat.hookspecs import Register, hookimpl
from heliostat.model.spec import has_name
from heliostat.model.status import (
    AttemptState,
    AttemptStatus,
    ChunkState,
    ChunkStatus,
    JobState,
    JobStatus,
    Wish,
    without_chunks,
)


class MemoryOptions(msgspec.Struct, frozen=True):
    url: str = "memory:"
    """`memory:`, which nobody else sees, or `memory:NAME`, which all in this process share who have it open."""


class _Job:
    """The rows of one job."""

    def __init__(self, status: JobStatus) -> None:
        self.status = status
        self.chunks = [
            ChunkStatus(index=index, id=chunk.id, state=ChunkState.PENDING)
            for index, chunk in enumerate(status.spec.chunks)
        ]
        self.counts = dict.fromkeys(ChunkState, 0)
        self.counts[ChunkState.PENDING] = len(self.chunks)
        self.attempts: dict[tuple[int, int], AttemptStatus] = {}
        self.journal: list[JournalEntry] = []
        self.owner: str | None = None
        self.expires = 0.0

    @property
    def holder(self) -> str | None:
        return self.owner if time.monotonic() < self.expires else None

    def read(self) -> JobStatus:
        return msgspec.structs.replace(
            self.status,
            completed_chunks=self.counts[ChunkState.SUCCEEDED],
            revision=len(self.journal),
            coordinator=self.holder,
        )

    def touch(self, **changes: object) -> None:
        self.status = msgspec.structs.replace(self.status, updated_at=datetime.now(UTC), **changes)

    def check(self, changes: Sequence[ChunkChange]) -> None:
        """Raises RepositoryError when a chunk is not there, or would be counted twice or not in its turn."""
        succeeded = self.counts[ChunkState.SUCCEEDED]
        for change in changes:
            if not 0 <= change.index < len(self.chunks):
                raise RepositoryError(f"job {self.status.id} has no chunk of index {change.index}")
            if (change.state is ChunkState.SUCCEEDED) != (change.position is not None):
                raise RepositoryError(f"job {self.status.id}: only a chunk that succeeded has a position")
            if self.chunks[change.index].position not in (None, change.position):
                raise RepositoryError(f"job {self.status.id}: chunk {change.index} has succeeded already")
        new = sorted(
            change.position
            for change in changes
            if change.position is not None and self.chunks[change.index].position is None
        )
        if new != list(range(succeeded + 1, succeeded + 1 + len(new))):
            raise RepositoryError(f"job {self.status.id}: {succeeded} chunks have succeeded, so the next is not {new}")

    def enter(self, happened: Sequence[Happening]) -> None:
        """Write to the journal, unless it is what was written last."""
        new = tuple(happened)
        if new and not (self.journal and self.journal[-1].happened == new):
            self.journal.append(JournalEntry(revision=len(self.journal) + 1, time=time.time(), happened=new))

    def set(self, index: int, state: ChunkState, attempts: int, position: int | None) -> None:
        before = self.chunks[index]
        self.counts[before.state] -= 1
        self.counts[state] += 1
        self.chunks[index] = msgspec.structs.replace(before, state=state, attempts=attempts, position=position)


class _Store:
    """The jobs of all handles of one name."""

    def __init__(self) -> None:
        self.jobs: dict[str, _Job] = {}


_shared: WeakValueDictionary[str, _Store] = WeakValueDictionary()


class MemoryRepository(JobRepository):
    """The jobs are gone with the last handle. All handles of one name belong in one event loop."""

    def __init__(self, options: MemoryOptions | None = None) -> None:
        name = (options or MemoryOptions()).url.partition(":")[2]
        self._store = _shared.setdefault(name, _Store()) if name else _Store()
        self._jobs = self._store.jobs

    async def create(self, job: JobStatus) -> None:
        if job.id in self._jobs:
            raise JobExists(f"there is a job {job.id} already; choose another id")
        self._jobs[job.id] = _Job(job)

    async def get(self, job_id: str) -> JobStatus:
        return self._find(job_id).read()

    async def list(
        self,
        *,
        states: Iterable[JobState] | None = None,
        name: str | None = None,
        limit: int = 100,
        offset: int = 0,
        oldest_first: bool = False,
        with_chunks: bool = True,
    ) -> list[JobStatus]:
        wanted = set(JobState if states is None else states)
        found = [job for job in self._named(name) if job.status.state in wanted]
        found.sort(key=lambda job: job.status.created_at)
        if not oldest_first:
            found.reverse()
        jobs = [job.read() for job in found[offset : offset + limit]]
        return jobs if with_chunks else [without_chunks(job) for job in jobs]

    async def count_jobs(self, *, name: str | None = None) -> dict[JobState, int]:
        counts = dict.fromkeys(JobState, 0)
        for job in self._named(name):
            counts[job.status.state] += 1
        return counts

    async def chunks(
        self, job_id: str, *, state: ChunkState | None = None, limit: int | None = None, offset: int = 0
    ) -> Sequence[ChunkStatus]:
        rows = [chunk for chunk in self._find(job_id).chunks if state in (None, chunk.state)]
        return rows[offset : None if limit is None else offset + limit]

    async def count(self, job_id: str) -> dict[ChunkState, int]:
        return dict(self._find(job_id).counts)

    async def attempts(
        self,
        job_id: str,
        *,
        index: int | None = None,
        state: AttemptState | None = None,
        keys: Collection[tuple[int, int]] | None = None,
        limit: int | None = None,
        offset: int = 0,
    ) -> Sequence[AttemptStatus]:
        known = self._find(job_id).attempts
        rows = known.values() if keys is None else [known[key] for key in keys if key in known]
        found = [row for row in rows if index in (None, row.index) and state in (None, row.state)]
        found.sort(key=lambda row: (row.index, row.number))
        return found[offset : None if limit is None else offset + limit]

    async def journal(self, job_id: str, *, after: int = 0, limit: int | None = None) -> Sequence[JournalEntry]:
        return self._find(job_id).journal[after : None if limit is None else after + limit]

    async def acquire(self, job_id: str, owner: str, ttl: float, *, dead: str | None = None) -> Lease:
        job = self._find(job_id)
        if (holder := job.holder) not in (None, owner, dead):
            assert holder is not None
            raise LeaseHeld(f"job {job_id} is run by {holder}; wait for it, or pause or cancel it", owner=holder)
        job.owner, job.expires = owner, time.monotonic() + ttl
        job.touch(wish=None)
        return Lease(job_id=job_id, owner=owner, ttl=ttl)

    async def commit(self, lease: Lease, batch: Batch) -> None:
        job = self._held(lease)
        job.check(batch.chunks)
        for chunk in batch.chunks:
            job.set(chunk.index, chunk.state, chunk.attempts, chunk.position)
        job.attempts.update({(attempt.index, attempt.number): attempt for attempt in batch.attempts})
        job.enter(batch.happened)
        job.expires = time.monotonic() + lease.ttl
        if (change := batch.job) is not None:
            before = job.status
            job.touch(
                state=before.state if change.state is None else change.state,
                error=before.error if change.state is None and change.error is None else change.error,
                metrics=before.metrics if change.metrics is None else change.metrics,
                output=before.output if change.output is None else change.output,
            )
        elif batch.chunks or batch.happened:
            job.touch()

    async def withdraw(self, lease: Lease, indexes: Sequence[int]) -> None:
        job = self._held(lease)
        gone = set(indexes)
        succeeded = [chunk for chunk in job.chunks if chunk.position is not None]
        kept = sorted((row.position or 0, row.index) for row in succeeded if row.index not in gone)
        places = {index: place for place, (_, index) in enumerate(kept, 1)}
        for row in succeeded:
            place = places.get(row.index)
            job.set(row.index, ChunkState.PENDING if place is None else row.state, row.attempts, place)
        job.expires = time.monotonic() + lease.ttl
        job.touch()

    async def configure(self, lease: Lease, job: JobStatus) -> None:
        self._held(lease).touch(settings=job.settings, worker=job.worker)

    async def poll(self, lease: Lease) -> Wish | None:
        return self._held(lease).status.wish

    async def wish(self, job_id: str, wish: Wish | None) -> JobStatus:
        job = self._find(job_id)
        if job.holder is not None and not (wish is Wish.PAUSE and job.status.wish is Wish.CANCEL):
            job.touch(wish=wish)
        return job.read()

    async def release(self, lease: Lease, *, heard: Wish | None = None) -> Wish | None:
        job = self._jobs.get(lease.job_id)
        if job is None or job.owner != lease.owner:
            return None
        if job.status.wish not in (None, heard):
            return job.status.wish
        job.owner = None
        job.touch(wish=None)
        return None

    async def delete(self, job_id: str) -> None:
        if (holder := self._find(job_id).holder) is not None:
            raise LeaseHeld(f"job {job_id} is run by {holder}; cancel it first", owner=holder)
        del self._jobs[job_id]

    def _named(self, name: str | None) -> Sequence[_Job]:
        jobs = list(self._jobs.values())
        return jobs if name is None else [job for job in jobs if has_name(job.status.spec, name)]

    def _find(self, job_id: str) -> _Job:
        try:
            return self._jobs[job_id]
        except KeyError:
            raise JobNotFound(f"there is no job {job_id}; `heliostat jobs` lists those there are") from None

    def _held(self, lease: Lease) -> _Job:
        job = self._find(lease.job_id)
        if job.owner != lease.owner:
            raise LeaseLost(f"job {lease.job_id} was taken over by {job.owner or 'nobody'}; this coordinator stops")
        return job


@hookimpl
def register_repositories(register: Register) -> None:
    register("memory", MemoryRepository, options=MemoryOptions, summary="in this process's memory, gone with it")
