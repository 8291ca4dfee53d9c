"""`SqlRepository`: jobs, chunks, attempts and journals as rows of SQL tables."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from functools import partial
from types import TracebackType
from typing import Self

from heliostat.builtin.sql.database import Database
from heliostat.builtin.sql.dialect import Dialect
from heliostat.builtin.sql.reader import Reader
from heliostat.builtin.sql.specs import SpecCache
from heliostat.builtin.sql.thread import CallThread
from heliostat.builtin.sql.writer import Writer, lost
from heliostat.contracts.repository import Batch, JobRepository, JournalEntry, Lease
from heliostat.model.status import AttemptState, AttemptStatus, ChunkState, ChunkStatus, JobState, JobStatus, Wish


class SqlRepository(JobRepository):
    """One thread writes, another reads: a commit neither waits for a reader nor holds up `poll`.

    Opened by `async with`, or by the first call.
    """

    def __init__(self, dialect: Dialect) -> None:
        specs = SpecCache()
        self._database = Database(dialect)
        self._reader = Reader(self._database, specs)
        self._writer = Writer(self._database, specs)
        self._reads = CallThread("heliostat repository reads")
        self._writes = CallThread("heliostat repository writes")

    async def __aenter__(self) -> Self:
        await self._reads.run(self._database.open)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._writes.stop()
        await self._reads.run(self._database.close)
        await self._reads.stop()

    async def create(self, job: JobStatus) -> None:
        await self._writes.run(partial(self._writer.create, job))

    async def get(self, job_id: str) -> JobStatus:
        return await self._reads.run(partial(self._reader.get, job_id))

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
        return await self._reads.run(partial(self._reader.list, states, name, limit, offset, oldest_first, with_chunks))

    async def count_jobs(self, *, name: str | None = None) -> dict[JobState, int]:
        return await self._reads.run(partial(self._reader.count_jobs, name))

    async def chunks(
        self, job_id: str, *, state: ChunkState | None = None, limit: int | None = None, offset: int = 0
    ) -> Sequence[ChunkStatus]:
        return await self._reads.run(partial(self._reader.chunks, job_id, state, limit, offset))

    async def count(self, job_id: str) -> dict[ChunkState, int]:
        return await self._reads.run(partial(self._reader.count, job_id))

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
        return await self._reads.run(partial(self._reader.attempts, job_id, index, state, keys, limit, offset))

    async def journal(self, job_id: str, *, after: int = 0, limit: int | None = None) -> Sequence[JournalEntry]:
        return await self._reads.run(partial(self._reader.journal, job_id, after, limit))

    async def acquire(self, job_id: str, owner: str, ttl: float, *, dead: str | None = None) -> Lease:
        return await self._writes.run(partial(self._writer.acquire, job_id, owner, ttl, dead))

    async def commit(self, lease: Lease, batch: Batch) -> None:
        await self._writes.run(partial(self._writer.commit, lease, batch))

    async def withdraw(self, lease: Lease, indexes: Sequence[int]) -> None:
        await self._writes.run(partial(self._writer.withdraw, lease, indexes))

    async def configure(self, lease: Lease, job: JobStatus) -> None:
        await self._writes.run(partial(self._writer.configure, lease, job))

    async def poll(self, lease: Lease) -> Wish | None:
        wish, owner = await self._reads.run(partial(self._reader.wish, lease.job_id))
        if owner != lease.owner:
            raise lost(lease, owner)
        return wish

    async def wish(self, job_id: str, wish: Wish | None) -> JobStatus:
        await self._writes.run(partial(self._writer.wish, job_id, wish))
        return await self.get(job_id)

    async def release(self, lease: Lease, *, heard: Wish | None = None) -> Wish | None:
        return await self._writes.run(partial(self._writer.release, lease, heard))

    async def delete(self, job_id: str) -> None:
        await self._writes.run(partial(self._writer.delete, job_id))
