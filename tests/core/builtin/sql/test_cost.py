"""What the repository costs, in steps of SQLite's virtual machine, which do not depend on the machine's load."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from sqlalchemy import event

from heliostat import open_repository
from heliostat.builtin.sql.repository import SqlRepository
from heliostat.contracts.repository import Batch, ChunkChange, Lease
from heliostat.model.status import AttemptState, ChunkState
from heliostat.testing.repository import attempt_of, began, event_of, job_of, made, succeeded

FEW, MANY = 500, 40_000
STEP = 20

Work = Callable[[SqlRepository, Lease], Awaitable[object]]


async def commit(repository: SqlRepository, lease: Lease) -> None:
    done = (await repository.get("job")).completed_chunks
    new = range(done, done + 50)
    attempts = [attempt_of(index, state=AttemptState.SUCCEEDED) for index in new]
    happened = [one for index in new for one in (began(index), made(index, index + 1))]
    chunks = [succeeded(index, index + 1) for index in new]
    await repository.commit(lease, Batch(chunks=chunks, attempts=attempts, happened=happened))


async def newest(repository: SqlRepository, lease: Lease) -> None:
    revision = (await repository.get("job")).revision
    assert len(await repository.journal("job", after=revision - 10)) == 10


WORK: dict[str, Work] = {
    "get": lambda repository, lease: repository.get("job"),
    "list": lambda repository, lease: repository.list(),
    "count": lambda repository, lease: repository.count("job"),
    "poll": lambda repository, lease: repository.poll(lease),
    "renewal": lambda repository, lease: repository.commit(lease, Batch()),
    "commit": commit,
    "running chunks": lambda repository, lease: repository.chunks("job", state=ChunkState.RUNNING),
    "failed chunks": lambda repository, lease: repository.chunks("job", state=ChunkState.FAILED, limit=5),
    "running attempts": lambda repository, lease: repository.attempts("job", state=AttemptState.RUNNING),
    "attempts of a chunk": lambda repository, lease: repository.attempts("job", index=3),
    "attempts by their keys": lambda repository, lease: repository.attempts("job", keys=[(n, 1) for n in range(50)]),
    "the end of the journal": newest,
    "a page of the journal": lambda repository, lease: repository.journal("job", after=20, limit=20),
    "a page of chunks": lambda repository, lease: repository.chunks("job", limit=20),
}


async def steps(folder: Path, chunks: int, work: Work) -> int:
    """For a job of so many chunks, of which a part has succeeded, a few are running and a few have failed."""
    repository = open_repository(f"sqlite:///{folder}/{chunks}.db")
    assert isinstance(repository, SqlRepository)
    async with repository:
        await repository.create(job_of(chunks))
        lease = await repository.acquire("job", "me", 3600.0)
        half = chunks // 2
        attempts = [attempt_of(index, state=AttemptState.SUCCEEDED) for index in range(half)]
        await repository.commit(lease, Batch(chunks=[succeeded(i, i + 1) for i in range(half)], attempts=attempts))
        last = range(chunks - 10, chunks)
        some = [ChunkChange(index, (ChunkState.RUNNING, ChunkState.FAILED)[index % 2], 1) for index in last]
        await repository.commit(lease, Batch(chunks=some, attempts=[attempt_of(index) for index in last]))
        for number in range(chunks // 100 + 45):  # 50 entries, and 445
            await repository.commit(lease, Batch(happened=[event_of(number)]))
        await work(repository, lease)
        counted = 0

        def count() -> int:
            nonlocal counted
            counted += STEP
            return 0

        @event.listens_for(repository._database.open(), "checkout")
        def listen(connection, record, proxy) -> None:
            connection.set_progress_handler(count, STEP)

        await work(repository, lease)
        return counted


@pytest.mark.parametrize("name", WORK)
async def test_the_cost_is_flat_from_few_chunks_to_many(name: str, tmp_path: Path):
    few, many = await steps(tmp_path, FEW, WORK[name]), await steps(tmp_path, MANY, WORK[name])
    assert few > 0
    assert many <= 1.2 * few + 3 * STEP
