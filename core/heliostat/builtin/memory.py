"""A repository in this process's memory: for tests, and for jobs that nobody wants to find again."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

import msgspec

from heliostat.contracts.repository import Batch, JobRepository, Lease
from heliostat.errors import JobExists, JobNotFound, LeaseHeld, LeaseLost, RepositoryError
from heliostat.hookspecs import Register, hookimpl
from heliostat.model.status import AttemptState, AttemptStatus, ChunkState, ChunkStatus, JobState, JobStatus, Wish


class MemoryOptions(msgspec.Struct, frozen=True):
    url: str = "memory:"


class _Job:
    """The rows of one job."""

    def __init__(self, status: JobStatus) -> None:
        self.status = status
        self.chunks = [
            ChunkStatus(index=index, id=chunk.id, state=ChunkState.PENDING)
            for index, chunk in enumerate(status.spec.chunks)
        ]
        self.attempts: dict[tuple[int, int], AttemptStatus] = {}
        self.completed = 0
        self.owner: str | None = None
        self.expires = 0.0

    @property
    def holder(self) -> str | None:
        return self.owner if time.monotonic() < self.expires else None

    def read(self) -> JobStatus:
        return msgspec.structs.replace(self.status, completed_chunks=self.completed, coordinator=self.holder)

    def touch(self, **changes: object) -> None:
        self.status = msgspec.structs.replace(self.status, updated_at=datetime.now(UTC), **changes)


class MemoryRepository(JobRepository):
    """Every handle of it has jobs of its own, which are gone with it."""

    def __init__(self, options: MemoryOptions | None = None) -> None:
        self._jobs: dict[str, _Job] = {}

    async def create(self, job: JobStatus) -> None:
        if job.id in self._jobs:
            raise JobExists(f"there is a job {job.id} already; choose another id")
        self._jobs[job.id] = _Job(job)

    async def get(self, job_id: str) -> JobStatus:
        return self._find(job_id).read()

    async def list(
        self, *, states: Iterable[JobState] | None = None, limit: int = 100, offset: int = 0
    ) -> list[JobStatus]:
        wanted = None if states is None else set(states)
        newest_first = [job.read() for job in reversed(self._jobs.values())]
        return [job for job in newest_first if wanted is None or job.state in wanted][offset : offset + limit]

    async def chunks(
        self, job_id: str, *, state: ChunkState | None = None, limit: int | None = None, offset: int = 0
    ) -> Sequence[ChunkStatus]:
        rows = [chunk for chunk in self._find(job_id).chunks if state in (None, chunk.state)]
        return rows[offset : None if limit is None else offset + limit]

    async def count(self, job_id: str) -> dict[ChunkState, int]:
        counts = dict.fromkeys(ChunkState, 0)
        for chunk in self._find(job_id).chunks:
            counts[chunk.state] += 1
        return counts

    async def attempts(
        self, job_id: str, *, index: int | None = None, state: AttemptState | None = None
    ) -> Sequence[AttemptStatus]:
        rows = self._find(job_id).attempts
        return [
            rows[key] for key in sorted(rows) if index in (None, key[0]) and (state is None or rows[key].state is state)
        ]

    async def acquire(self, job_id: str, owner: str, ttl: float, *, dead: str | None = None) -> Lease:
        job = self._find(job_id)
        if (holder := job.holder) is not None and holder != dead:
            raise LeaseHeld(f"job {job_id} is run by {holder}; wait for it, or pause or cancel it", owner=holder)
        job.owner, job.expires = owner, time.monotonic() + ttl
        job.touch(wish=None)
        return Lease(job_id=job_id, owner=owner, ttl=ttl)

    async def commit(self, lease: Lease, batch: Batch) -> None:
        job = self._held(lease)
        succeeded = [chunk for chunk in batch.chunks if chunk.state is ChunkState.SUCCEEDED]
        for number, chunk in enumerate(succeeded, job.completed + 1):
            if chunk.position != number or job.chunks[chunk.index].state is ChunkState.SUCCEEDED:
                raise RepositoryError(f"job {lease.job_id}: chunk {chunk.index} cannot succeed as number {number}")
        for chunk in batch.chunks:
            job.chunks[chunk.index] = msgspec.structs.replace(
                job.chunks[chunk.index], state=chunk.state, attempts=chunk.attempts, position=chunk.position
            )
        job.completed += len(succeeded)
        job.attempts.update({(attempt.index, attempt.number): attempt for attempt in batch.attempts})
        job.expires = time.monotonic() + lease.ttl
        if (change := batch.job) is not None:
            job.touch(
                state=change.state or job.status.state,
                error=change.error if change.state is not None else job.status.error,
                metrics=change.metrics or job.status.metrics,
                output=change.output or job.status.output,
            )
        elif batch.chunks:
            job.touch()

    async def withdraw(self, lease: Lease, indexes: Sequence[int]) -> None:
        job = self._held(lease)
        for index in indexes:
            job.chunks[index] = msgspec.structs.replace(job.chunks[index], state=ChunkState.PENDING, position=None)
        kept = sorted((c for c in job.chunks if c.position is not None), key=lambda chunk: chunk.position or 0)
        for position, chunk in enumerate(kept, 1):
            job.chunks[chunk.index] = msgspec.structs.replace(chunk, position=position)
        job.completed = len(kept)
        job.touch()

    async def configure(self, lease: Lease, job: JobStatus) -> None:
        self._held(lease).touch(settings=job.settings, worker=job.worker)

    async def poll(self, lease: Lease) -> Wish | None:
        return self._held(lease).status.wish

    async def wish(self, job_id: str, wish: Wish | None) -> JobStatus:
        job = self._find(job_id)
        if not (wish is Wish.PAUSE and job.status.wish is Wish.CANCEL):
            job.touch(wish=wish)
        return job.read()

    async def release(self, lease: Lease) -> None:
        job = self._jobs.get(lease.job_id)
        if job is not None and job.owner == lease.owner:
            job.owner = None
            job.touch(wish=None)

    async def delete(self, job_id: str) -> None:
        if (holder := self._find(job_id).holder) is not None:
            raise LeaseHeld(f"job {job_id} is run by {holder}; cancel it first", owner=holder)
        del self._jobs[job_id]

    def _find(self, job_id: str) -> _Job:
        try:
            return self._jobs[job_id]
        except KeyError:
            raise JobNotFound(f"there is no job {job_id}; `heliostat jobs` lists them") from None

    def _held(self, lease: Lease) -> _Job:
        job = self._find(lease.job_id)
        if job.owner != lease.owner:
            raise LeaseLost(f"job {lease.job_id} was taken over by {job.owner or 'nobody'}")
        return job


@hookimpl
def register_repositories(register: Register) -> None:
    register("memory", MemoryRepository, options=MemoryOptions, summary="in this process's memory, gone with it")
