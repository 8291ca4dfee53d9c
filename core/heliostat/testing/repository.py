"""The contract of a job repository, as a test class: subclass it in pytest and say how a store is opened."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from fractions import Fraction
from typing import Any

import pytest

from heliostat.contracts.repository import Batch, ChunkChange, JobChange, JobRepository, Lease
from heliostat.errors import JobExists, JobNotFound, LeaseHeld, LeaseLost, RepositoryError
from heliostat.model.cause import Cause
from heliostat.model.result import ChunkResult, Output
from heliostat.model.spec import Chunk, JobSpec, Metadata
from heliostat.model.status import (
    AttemptState,
    AttemptStatus,
    ChunkState,
    JobMetrics,
    JobSettings,
    JobState,
    JobStatus,
    Wish,
    WorkerChoice,
)

Body = Callable[..., Awaitable[None]]


def job_of(count: int, job_id: str = "job", **more: Any) -> JobStatus:
    """A new job of `count` chunks, with an int and a str among their ids."""
    now = datetime.now(UTC)
    ids: list[int | str] = ["größe 1" if n == 1 else n for n in range(count)]
    return JobStatus(
        id=job_id,
        spec=JobSpec(
            metadata=Metadata(total_frames=count, fps=Fraction(30000, 1001)),
            chunks=tuple(
                Chunk(id=ids[n], start_frame=n, frame_count=1, output_file=f"{n} ü.out", command=("a b", "ü"))
                for n in range(count)
            ),
            name="ein Film",
        ),
        **{
            "state": JobState.PENDING,
            "completed_chunks": 0,
            "total_chunks": count,
            "created_at": now,
            "updated_at": now,
            **more,
        },
    )


def attempt_of(index: int, number: int = 1, state: AttemptState = AttemptState.RUNNING, **more: Any) -> AttemptStatus:
    return AttemptStatus(
        index=index, number=number, attempt_id=f"{index}-{number}", state=state, started_at=1234.5, **more
    )


def succeeded(index: int, position: int, attempts: int = 1) -> ChunkChange:
    return ChunkChange(index, ChunkState.SUCCEEDED, attempts, position)


class JobRepositoryContract:
    """Override `open_store`. Every test opens a store of its own; where the store allows it, twice, as two processes
    would."""

    shared = True
    """Whether two handles of one store see the same jobs."""

    def open_store(self, place: Any) -> JobRepository:
        """A new handle of the store at `place`, a directory that is empty at first and differs from test to test."""
        raise NotImplementedError

    @pytest.fixture
    def run(self, tmp_path: Any) -> Callable[[Body], None]:
        """Runs a test's coroutine with two handles of one store."""

        async def opened(body: Body) -> None:
            async with AsyncExitStack() as stack:
                first = await stack.enter_async_context(self.open_store(tmp_path))
                second = await stack.enter_async_context(self.open_store(tmp_path)) if self.shared else first
                await body(first, second)

        return lambda body: asyncio.run(opened(body))

    def test_a_created_job_is_read_back_whole(self, run: Callable[[Body], None]) -> None:
        job = job_of(
            3, settings=JobSettings(retries=7, env={"A": "ü"}), worker=WorkerChoice("ssh", {"host": "x", "slots": 2})
        )

        async def body(here: JobRepository, there: JobRepository) -> None:
            await here.create(job)
            for store in (here, there):
                found = await store.get("job")
                assert (found.spec, found.settings, found.worker) == (job.spec, job.settings, job.worker)
                assert (found.state, found.completed_chunks, found.total_chunks) == (JobState.PENDING, 0, 3)
                assert (found.coordinator, found.wish, found.error, found.output) == (None, None, None, None)
                assert abs((found.created_at - job.created_at).total_seconds()) < 0.001
            chunks = await there.chunks("job")
            assert [(c.index, c.id, c.state, c.attempts, c.position) for c in chunks] == [
                (0, 0, ChunkState.PENDING, 0, None),
                (1, "größe 1", ChunkState.PENDING, 0, None),
                (2, 2, ChunkState.PENDING, 0, None),
            ]

        run(body)

    def test_an_id_is_given_once(self, run: Callable[[Body], None]) -> None:
        async def body(here: JobRepository, there: JobRepository) -> None:
            await here.create(job_of(1))
            with pytest.raises(JobExists):
                await there.create(job_of(2))
            assert (await here.get("job")).total_chunks == 1

        run(body)

    def test_an_unknown_job_is_said_to_be_unknown(self, run: Callable[[Body], None]) -> None:
        async def body(here: JobRepository, there: JobRepository) -> None:
            lease = Lease(job_id="nobody", owner="me", ttl=9.0)
            for ask in (
                here.get("nobody"),
                here.chunks("nobody"),
                here.count("nobody"),
                here.attempts("nobody"),
                here.acquire("nobody", "me", 9.0),
                here.commit(lease, Batch()),
                here.poll(lease),
                here.wish("nobody", Wish.PAUSE),
                here.delete("nobody"),
            ):
                with pytest.raises(JobNotFound):
                    await ask
            await here.release(lease)

        run(body)

    def test_a_job_of_no_chunks(self, run: Callable[[Body], None]) -> None:
        async def body(here: JobRepository, there: JobRepository) -> None:
            await here.create(job_of(0))
            assert (await here.get("job")).progress == 100
            assert await here.chunks("job") == []

        run(body)

    def test_a_commit_is_seen_elsewhere_and_counted_from_its_rows(self, run: Callable[[Body], None]) -> None:
        result = ChunkResult(exit_code=0, duration=1.5, outputs=(Output(path="1 ü.out", size=3, sha256="ab"),))

        async def body(here: JobRepository, there: JobRepository) -> None:
            await here.create(job_of(4))
            lease = await here.acquire("job", "me", 60.0)
            metrics = JobMetrics(attempts=3, failures={"stalled": 1})
            await here.commit(
                lease,
                Batch(
                    chunks=[
                        succeeded(1, 1),
                        ChunkChange(0, ChunkState.RUNNING, 1),
                        ChunkChange(3, ChunkState.FAILED, 2),
                    ],
                    attempts=[
                        attempt_of(1, state=AttemptState.SUCCEEDED, ended_at=2345.5, frames_done=1.0, result=result),
                        attempt_of(0),
                        attempt_of(3, 2, AttemptState.FAILED, cause=Cause.STALLED, message="ü"),
                    ],
                    job=JobChange(state=JobState.RUNNING, metrics=metrics),
                ),
            )
            found = await there.get("job")
            assert (found.state, found.completed_chunks, found.metrics) == (JobState.RUNNING, 1, metrics)
            assert found.coordinator == "me"
            assert await there.count("job") == {
                ChunkState.PENDING: 1,
                ChunkState.RUNNING: 1,
                ChunkState.SUCCEEDED: 1,
                ChunkState.FAILED: 1,
            }
            [done] = await there.chunks("job", state=ChunkState.SUCCEEDED)
            assert (done.index, done.position, done.attempts) == (1, 1, 1)
            [stalled] = await there.attempts("job", state=AttemptState.FAILED)
            assert (stalled.index, stalled.number, stalled.cause, stalled.message) == (3, 2, Cause.STALLED, "ü")
            [kept] = await there.attempts("job", index=1)
            assert (kept.result, kept.ended_at, kept.frames_done) == (result, 2345.5, 1.0)

        run(body)

    def test_a_later_commit_replaces_an_attempts_row(self, run: Callable[[Body], None]) -> None:
        async def body(here: JobRepository, there: JobRepository) -> None:
            await here.create(job_of(2))
            lease = await here.acquire("job", "me", 60.0)
            await here.commit(lease, Batch(attempts=[attempt_of(0)]))
            await here.commit(lease, Batch(attempts=[attempt_of(0, state=AttemptState.FAILED), attempt_of(0, 2)]))
            rows = await there.attempts("job")
            assert [(row.number, row.state) for row in rows] == [(1, AttemptState.FAILED), (2, AttemptState.RUNNING)]

        run(body)

    def test_a_chunk_is_never_counted_twice(self, run: Callable[[Body], None]) -> None:
        async def body(here: JobRepository, there: JobRepository) -> None:
            await here.create(job_of(4))
            lease = await here.acquire("job", "me", 60.0)
            await here.commit(lease, Batch(chunks=[succeeded(0, 1), succeeded(2, 2)]))
            for wrong in (
                [succeeded(0, 3)],
                [succeeded(1, 2)],
                [succeeded(1, 4)],
                [ChunkChange(2, ChunkState.FAILED, 2)],
                [succeeded(3, 3), succeeded(2, 4)],
            ):
                change = JobChange(state=JobState.FAILED)
                with pytest.raises(RepositoryError):
                    await here.commit(lease, Batch(chunks=wrong, attempts=[attempt_of(1)], job=change))
                found = await there.get("job")
                assert (found.completed_chunks, found.state) == (2, JobState.PENDING), "nothing of it is written"
                assert await there.attempts("job") == []

        run(body)

    def test_a_new_state_replaces_the_error_and_nothing_else(self, run: Callable[[Body], None]) -> None:
        async def body(here: JobRepository, there: JobRepository) -> None:
            await here.create(job_of(1))
            lease = await here.acquire("job", "me", 60.0)
            await here.commit(lease, Batch(job=JobChange(state=JobState.FAILED, error="ü", output="film.mp4")))
            await here.commit(lease, Batch(job=JobChange(metrics=JobMetrics(attempts=1))))
            found = await there.get("job")
            assert (found.state, found.error, found.output) == (JobState.FAILED, "ü", "film.mp4")
            await here.commit(lease, Batch(job=JobChange(state=JobState.RUNNING)))
            found = await there.get("job")
            assert (found.error, found.output, found.metrics.attempts) == (None, "film.mp4", 1)

        run(body)

    def test_a_lease_is_held_by_one(self, run: Callable[[Body], None]) -> None:
        async def body(here: JobRepository, there: JobRepository) -> None:
            await here.create(job_of(1))
            mine = await here.acquire("job", "me", 60.0)
            with pytest.raises(LeaseHeld) as held:
                await there.acquire("job", "you", 60.0)
            assert held.value.owner == "me"
            with pytest.raises(LeaseHeld):
                await there.acquire("job", "you", 60.0, dead="somebody else")
            with pytest.raises(LeaseHeld):
                await there.delete("job")
            yours = await there.acquire("job", "you", 60.0, dead="me")
            for ask in (
                here.commit(mine, Batch(chunks=[succeeded(0, 1)])),
                here.poll(mine),
                here.withdraw(mine, [0]),
                here.configure(mine, job_of(1)),
            ):
                with pytest.raises(LeaseLost):
                    await ask
            await here.release(mine)
            found = await here.get("job")
            assert (found.coordinator, found.completed_chunks) == ("you", 0), "what is lost cannot be given back"
            await there.release(yours)
            assert (await here.get("job")).coordinator is None

        run(body)

    def test_a_lease_runs_out_and_a_commit_renews_it(self, run: Callable[[Body], None]) -> None:
        async def body(here: JobRepository, there: JobRepository) -> None:
            await here.create(job_of(1))
            mine = await here.acquire("job", "me", 0.3)
            deadline = time.monotonic() + 20
            while (await there.get("job")).coordinator is not None:
                assert time.monotonic() < deadline
                await asyncio.sleep(0.02)
            await here.commit(mine, Batch())  # nobody took it, so it still is the caller's
            assert (await there.get("job")).coordinator == "me"
            while True:
                try:
                    await there.acquire("job", "you", 60.0)
                    break
                except LeaseHeld:
                    assert time.monotonic() < deadline
                    await asyncio.sleep(0.02)
            with pytest.raises(LeaseLost):
                await here.commit(mine, Batch())

        run(body)

    def test_wishes_reach_the_coordinator(self, run: Callable[[Body], None]) -> None:
        async def body(here: JobRepository, there: JobRepository) -> None:
            await here.create(job_of(1))
            lease = await here.acquire("job", "me", 60.0)
            assert await here.poll(lease) is None
            assert (await there.wish("job", Wish.PAUSE)).wish is Wish.PAUSE
            assert await here.poll(lease) is Wish.PAUSE
            await there.wish("job", Wish.CANCEL)
            await there.wish("job", Wish.PAUSE)
            assert await here.poll(lease) is Wish.CANCEL, "a pause never replaces a cancel"
            await there.wish("job", None)
            assert await here.poll(lease) is None
            await there.wish("job", Wish.PAUSE)
            await here.release(lease)
            assert (await there.get("job")).wish is None, "whoever acts on wishes is gone"
            await there.wish("job", Wish.CANCEL)
            assert await here.poll(await here.acquire("job", "me", 60.0)) is None

        run(body)

    def test_withdrawn_chunks_are_pending_and_the_others_are_numbered_anew(self, run: Callable[[Body], None]) -> None:
        async def body(here: JobRepository, there: JobRepository) -> None:
            await here.create(job_of(6))
            lease = await here.acquire("job", "me", 60.0)
            order = [3, 0, 5, 1, 2]
            await here.commit(lease, Batch(chunks=[succeeded(index, at) for at, index in enumerate(order, 1)]))
            await here.withdraw(lease, [0, 2])
            left = sorted(await there.chunks("job", state=ChunkState.SUCCEEDED), key=lambda chunk: chunk.position or 0)
            assert [(chunk.index, chunk.position) for chunk in left] == [(3, 1), (5, 2), (1, 3)]
            assert (await there.get("job")).completed_chunks == 3
            await here.commit(lease, Batch(chunks=[succeeded(0, 4, 2)]))
            assert (await there.get("job")).completed_chunks == 4

        run(body)

    def test_settings_and_worker_can_be_changed(self, run: Callable[[Body], None]) -> None:
        async def body(here: JobRepository, there: JobRepository) -> None:
            await here.create(job_of(1))
            lease = await here.acquire("job", "me", 60.0)
            changed = job_of(1, settings=JobSettings(concurrency=9), worker=WorkerChoice("other"))
            await here.configure(lease, changed)
            found = await there.get("job")
            assert (found.settings, found.worker) == (changed.settings, changed.worker)

        run(body)

    def test_jobs_are_listed_the_newest_first(self, run: Callable[[Body], None]) -> None:
        async def body(here: JobRepository, there: JobRepository) -> None:
            names = [f"job-{n}" for n in range(7)]
            for name in names:
                await here.create(job_of(1, name))
            for name in names[::2]:
                lease = await here.acquire(name, "me", 60.0)
                await here.commit(lease, Batch(job=JobChange(state=JobState.RUNNING)))
            assert [job.id for job in await there.list()] == names[::-1]
            assert [job.id for job in await there.list(limit=2, offset=1)] == ["job-5", "job-4"]
            running = await there.list(states=[JobState.RUNNING])
            assert [job.id for job in running] == ["job-6", "job-4", "job-2", "job-0"]
            assert await there.list(states=[]) == []

        run(body)

    def test_chunks_are_paged(self, run: Callable[[Body], None]) -> None:
        async def body(here: JobRepository, there: JobRepository) -> None:
            await here.create(job_of(10))
            assert [chunk.index for chunk in await there.chunks("job", limit=3, offset=4)] == [4, 5, 6]
            assert [chunk.index for chunk in await there.chunks("job", offset=8)] == [8, 9]

        run(body)

    def test_a_deleted_job_is_gone_and_its_id_is_free(self, run: Callable[[Body], None]) -> None:
        async def body(here: JobRepository, there: JobRepository) -> None:
            await here.create(job_of(3))
            lease = await here.acquire("job", "me", 60.0)
            await here.commit(lease, Batch(chunks=[succeeded(0, 1)], attempts=[attempt_of(0)]))
            await here.release(lease)
            assert (await there.get("job")).spec.chunks[0].id == 0
            await here.delete("job")
            with pytest.raises(JobNotFound):
                await there.get("job")
            await here.create(job_of(2))
            found = await there.get("job")
            assert (found.completed_chunks, len(found.spec.chunks)) == (0, 2)
            assert await there.attempts("job") == []

        run(body)

    def test_large_batches_and_many_chunks(self, run: Callable[[Body], None]) -> None:
        async def body(here: JobRepository, there: JobRepository) -> None:
            await here.create(job_of(50_000))
            lease = await here.acquire("job", "me", 60.0)
            for first in range(0, 50_000, 10_000):
                await here.commit(
                    lease,
                    Batch(
                        chunks=[succeeded(n, n + 1) for n in range(first, first + 10_000)],
                        attempts=[attempt_of(n, state=AttemptState.SUCCEEDED) for n in range(first, first + 10_000)],
                    ),
                )
            assert (await there.get("job")).completed_chunks == 50_000
            await here.withdraw(lease, range(0, 50_000, 2))
            assert (await there.get("job")).completed_chunks == 25_000

        run(body)
