"""The contract of `JobRepository` as a pytest suite, for the author of a repository.

```python
class TestMyRepository(JobRepositoryContract):
    @pytest.fixture
    def under_test(self, tmp_path):
        return lambda: open_repository(f"mine:///{tmp_path}/jobs")
```

Every test opens the store twice: what is written `here`, another process would see `there`. The test of random
operations needs hypothesis.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import Any

import msgspec
import pytest

from heliostat.contracts.repository import (
    AttemptChange,
    Batch,
    ChunkChange,
    Happening,
    JobChange,
    JobEvent,
    JobRepository,
    Lease,
)
from heliostat.errors import JobExists, JobNotFound, LeaseHeld, LeaseLost, RepositoryError
from heliostat.model.cause import Cause
from heliostat.model.events import ConcurrencyChanged, JobEnded, JobStarted, MergeStarted, ObserverFailed
from heliostat.model.result import ChunkResult, Output, Usage
from heliostat.model.spec import Chunk, JobSpec, Merge, Metadata
from heliostat.model.status import (
    AttemptState,
    AttemptStatus,
    ChunkState,
    ChunkStatus,
    JobMetrics,
    JobSettings,
    JobState,
    JobStatus,
    Wish,
    WorkerChoice,
    without_chunks,
)
from heliostat.testing.contract import Contract, asynchronous, not_shown
from heliostat.testing.repository_model import Model, operations

CREATED = datetime(2026, 3, 4, 5, 6, 7, 891011, tzinfo=UTC)
LONG = 3600.0
"""A lease that does not run out within a test."""
SHORT = 0.05
PATIENCE = 30.0
"""Seconds until a test gives up waiting."""


def job_of(chunks: int | Sequence[int | str] = 3, job_id: str = "job", **changes: Any) -> JobStatus:
    """A pending job of so many chunks, or of chunks with these ids."""
    ids = range(chunks) if isinstance(chunks, int) else chunks
    spec = JobSpec(
        metadata=Metadata(total_frames=len(ids), fps=Fraction(24)),
        chunks=tuple(
            Chunk(id=id, start_frame=index, frame_count=1, output_file=f"chunks/{index}.mp4", command=("render",))
            for index, id in enumerate(ids)
        ),
    )
    status = JobStatus(
        id=job_id,
        spec=spec,
        state=JobState.PENDING,
        completed_chunks=0,
        total_chunks=len(ids),
        created_at=CREATED,
        updated_at=CREATED,
    )
    return msgspec.structs.replace(status, **changes)


def succeeded(index: int, position: int, attempts: int = 1) -> ChunkChange:
    return ChunkChange(index, ChunkState.SUCCEEDED, attempts, position)


def attempt_of(
    index: int, number: int = 1, state: AttemptState = AttemptState.RUNNING, **changes: Any
) -> AttemptStatus:
    """An attempt at the chunk of this index."""
    status = AttemptStatus(
        index=index, number=number, attempt_id=f"{index}/{number}", state=state, started_at=1765432109.87
    )
    return msgspec.structs.replace(status, **changes)


def began(index: int, number: int = 1) -> AttemptChange:
    return AttemptChange(index, number, AttemptState.RUNNING)


def made(index: int, position: int, number: int = 1) -> AttemptChange:
    """The attempt succeeded."""
    return AttemptChange(index, number, AttemptState.SUCCEEDED, position)


def event_of(number: int) -> JobEvent:
    """One event of many, each of which is another."""
    return JobEvent(ConcurrencyChanged(job_id="job", time=1765432109.87, concurrency=number))


async def everything(repository: JobRepository, job_id: str = "job") -> tuple[Any, ...]:
    """All that is to be known of a job."""
    return (
        await repository.get(job_id),
        list(await repository.chunks(job_id)),
        await repository.count(job_id),
        list(await repository.attempts(job_id)),
        list(await repository.journal(job_id)),
    )


async def until_nobody_coordinates(repository: JobRepository, job_id: str = "job") -> None:
    deadline = time.monotonic() + PATIENCE
    while (await repository.get(job_id)).coordinator is not None:
        assert time.monotonic() < deadline, "the lease does not run out"
        await asyncio.sleep(SHORT / 5)


Open = Callable[[], JobRepository]
"""Opens a new handle of one and the same store."""
_Body = Callable[[Any, JobRepository, JobRepository], Awaitable[None]]


def _opened_twice(body: _Body) -> Callable[..., None]:
    @asynchronous
    async def test(self: JobRepositoryContract, under_test: Open) -> None:
        async with under_test() as here, under_test() as there:
            await body(self, here, there)

    test.__name__, test.__qualname__, test.__doc__ = body.__name__, body.__qualname__, body.__doc__
    return test


class JobRepositoryContract(Contract):
    """Subclass it, and override `under_test`."""

    kind = "repository"

    @pytest.fixture
    def under_test(self) -> Open:
        """A function that opens a new handle of one and the same store, which is empty when a test begins. All handles
        that are open at the same time see the same jobs."""
        raise NotImplementedError(f"override the fixture `under_test` of {type(self).__name__}")

    # --- create ------------------------------------------------------------------------------------------------------

    @_opened_twice
    async def test_a_created_job_reads_back_as_it_was(self, here: JobRepository, there: JobRepository) -> None:
        job = job_of(
            3,
            "jøb: 1/2 'é' \"😀\"",
            state=JobState.PAUSED,
            error="it\nstopped 100 % 😀",
            updated_at=CREATED + timedelta(days=1, microseconds=1),
            metrics=JobMetrics(attempts=7, retries=2, failures={"timed_out": 2}, frames_done=1.5, cost_usd=0.25),
            settings=JobSettings(
                concurrency=3, retries=0, only_chunks=(1, "1"), retry_chunks=(), job_dir="/a b/ç", env={"A": "ä\\"}
            ),
            worker=WorkerChoice("lambda", {"function": "f", "memory": 512, "deep": {"list": [1, None, True]}}),
            output="out/film.mp4",
        )
        film = msgspec.structs.replace(
            job.spec,
            name="Sonnenaufgang ☀",
            metadata=Metadata(total_frames=3, fps=Fraction(30000, 1001), width=1280, height=720, duration=0.1),
            merge=Merge(stitcher="ffmpeg", output="film.mp4", options={"audio": "a b.wav"}),
            env={"LANG": "de"},
            progress=r"frame=(?P<frames>\d+)",
        )
        job = msgspec.structs.replace(job, spec=film)
        await here.create(job)
        assert await here.get(job.id) == job
        assert await there.get(job.id) == job

    @_opened_twice
    async def test_every_chunk_has_a_pending_row(self, here: JobRepository, there: JobRepository) -> None:
        ids: list[int | str] = [7, "7", "a b", "é/😀", 'quo"ted\\', "it's", "line\nbreak", -1, "", "[1]", "null"]
        await here.create(job_of(ids))
        rows = await there.chunks("job")
        assert list(rows) == [
            ChunkStatus(index=index, id=id, state=ChunkState.PENDING, attempts=0, position=None)
            for index, id in enumerate(ids)
        ]
        assert [type(row.id) for row in rows] == [type(id) for id in ids], "1 and '1' are two ids"
        assert not await there.attempts("job")
        assert not await there.journal("job")

    @_opened_twice
    async def test_a_job_of_no_chunks_is_complete(self, here: JobRepository, there: JobRepository) -> None:
        await here.create(job_of(0))
        job = await there.get("job")
        assert (job.completed_chunks, job.total_chunks, job.progress) == (0, 0, 100)
        assert list(await there.chunks("job")) == []
        assert await there.count("job") == dict.fromkeys(ChunkState, 0)

    @_opened_twice
    async def test_an_id_is_taken_once(self, here: JobRepository, there: JobRepository) -> None:
        await here.create(job_of(2))
        before = await everything(here)
        for repository in (here, there):
            with pytest.raises(JobExists, match="job"):
                await repository.create(job_of(5))
        assert await everything(there) == before

    @_opened_twice
    async def test_what_is_counted_is_not_taken_from_the_caller(
        self, here: JobRepository, there: JobRepository
    ) -> None:
        await here.create(job_of(completed_chunks=2, revision=3, coordinator="somebody"))
        job = await there.get("job")
        assert (job.completed_chunks, job.revision, job.coordinator) == (0, 0, None)

    @_opened_twice
    async def test_an_unknown_job_is_not_found(self, here: JobRepository, there: JobRepository) -> None:
        await here.create(job_of(1, "another"))
        lease = Lease(job_id="job", owner="me", ttl=LONG)
        for call in (
            lambda: there.get("job"),
            lambda: there.chunks("job"),
            lambda: there.count("job"),
            lambda: there.attempts("job"),
            lambda: there.attempts("job", keys=[(0, 1)]),
            lambda: there.journal("job"),
            lambda: there.acquire("job", "me", LONG),
            lambda: there.commit(lease, Batch()),
            lambda: there.withdraw(lease, [0]),
            lambda: there.configure(lease, job_of()),
            lambda: there.poll(lease),
            lambda: there.wish("job", Wish.PAUSE),
            lambda: there.delete("job"),
        ):
            with pytest.raises(JobNotFound, match="job"):
                await call()
        await there.release(lease)  # without effect, because it is not the caller's

    # --- list --------------------------------------------------------------------------------------------------------

    @_opened_twice
    async def test_jobs_are_listed_newest_first(self, here: JobRepository, there: JobRepository) -> None:
        assert await there.list() == []
        for hours, job_id in enumerate("abcde"):
            # The order of creation is the order of the times, not that of the calls.
            await here.create(job_of(1, job_id, created_at=CREATED + timedelta(hours=(hours * 3) % 5)))
        listed = await there.list()
        assert [job.id for job in listed] == ["d", "b", "e", "c", "a"]
        assert listed == [await here.get(job.id) for job in listed]
        assert [job.id for job in await there.list(limit=2)] == ["d", "b"]
        assert [job.id for job in await there.list(limit=2, offset=3)] == ["c", "a"]
        assert await there.list(oldest_first=True) == listed[::-1]
        assert [job.id for job in await there.list(limit=2, offset=1, oldest_first=True, with_chunks=False)] == [
            "c",
            "e",
        ]
        assert [job.id for job in await there.list(limit=1, oldest_first=True, name="")] == ["a"]
        assert await there.list(offset=5) == []

    @_opened_twice
    async def test_only_jobs_in_the_states_asked_for_are_listed(
        self, here: JobRepository, there: JobRepository
    ) -> None:
        for number, state in enumerate(JobState):
            await here.create(job_of(1, state, state=state, created_at=CREATED + timedelta(hours=number)))
        assert [job.id for job in await there.list(states=[JobState.FAILED])] == ["failed"]
        some = await there.list(states={JobState.PENDING, JobState.PAUSED, JobState.CANCELLED}, limit=2)
        assert [job.id for job in some] == ["cancelled", "paused"]
        assert await there.list(states=()) == []
        assert len(await there.list()) == len(JobState)

    @_opened_twice
    async def test_jobs_are_found_by_a_part_of_their_name(self, here: JobRepository, there: JobRepository) -> None:
        names = ["Sunrise", "the SUN sets", "moon", "", "sun_rise", "Straße", "100 %"]
        for number, name in enumerate(names):
            job = job_of(1, str(number), created_at=CREATED + timedelta(hours=number), state=list(JobState)[number % 2])
            await here.create(msgspec.structs.replace(job, spec=msgspec.structs.replace(job.spec, name=name)))

        async def found(name: str, **more: Any) -> list[str]:
            return [job.id for job in await there.list(name=name, **more)]

        assert await found("sun") == ["4", "1", "0"]
        assert await found("sun", limit=1, offset=1) == ["1"]
        assert await found("sun", states=[JobState.PENDING]) == ["4", "0"]
        assert [await found(name) for name in ("%", "_", "STRASSE", "stars")] == [["6"], ["4"], ["5"], []]
        assert await found("") == ["6", "5", "4", "3", "2", "1", "0"]

    @_opened_twice
    async def test_jobs_are_counted_by_their_state(self, here: JobRepository, there: JobRepository) -> None:
        assert await there.count_jobs() == dict.fromkeys(JobState, 0)
        for number, state in enumerate([JobState.FAILED, JobState.PENDING, JobState.FAILED]):
            job = job_of(1, str(number), state=state)
            spec = msgspec.structs.replace(job.spec, name=f"Film {number}")
            await here.create(msgspec.structs.replace(job, spec=spec))
        assert await there.count_jobs() == {
            **dict.fromkeys(JobState, 0),
            JobState.FAILED: 2,
            JobState.PENDING: 1,
        }
        assert await there.count_jobs(name="film 2") == {**dict.fromkeys(JobState, 0), JobState.FAILED: 1}

    @_opened_twice
    async def test_jobs_are_listed_without_their_chunks(self, here: JobRepository, there: JobRepository) -> None:
        for number in range(3):
            await here.create(job_of(2, str(number), created_at=CREATED + timedelta(hours=number)))
        await there.get("1")
        for repository in (here, there):
            assert await repository.list(with_chunks=False) == [
                without_chunks(await repository.get(job_id)) for job_id in "210"
            ]
        assert [job.total_chunks for job in await there.list(with_chunks=False, name="")] == [2, 2, 2]
        assert [len(job.spec.chunks) for job in await there.list()] == [2, 2, 2], "those that are asked for have them"

    # --- commit ------------------------------------------------------------------------------------------------------

    @_opened_twice
    async def test_a_commit_is_seen_by_others_when_it_returns(self, here: JobRepository, there: JobRepository) -> None:
        await here.create(job_of(4))
        lease = await here.acquire("job", "me", LONG)
        # Chunks succeed in any order; positions say in which.
        await here.commit(
            lease,
            Batch(
                chunks=[succeeded(2, 1), ChunkChange(1, ChunkState.RUNNING, 1), succeeded(0, 2, attempts=3)],
                attempts=[attempt_of(1)],
                job=JobChange(state=JobState.RUNNING),
            ),
        )
        job = await there.get("job")
        assert (job.state, job.completed_chunks, job.total_chunks, job.progress) == (JobState.RUNNING, 2, 4, 50)
        assert [(row.state, row.attempts, row.position) for row in await there.chunks("job")] == [
            (ChunkState.SUCCEEDED, 3, 2),
            (ChunkState.RUNNING, 1, None),
            (ChunkState.SUCCEEDED, 1, 1),
            (ChunkState.PENDING, 0, None),
        ]
        assert list(await there.attempts("job")) == [attempt_of(1)]
        assert await there.count("job") == {
            ChunkState.PENDING: 1,
            ChunkState.RUNNING: 1,
            ChunkState.SUCCEEDED: 2,
            ChunkState.FAILED: 0,
        }
        await here.commit(lease, Batch(chunks=[succeeded(1, 3), ChunkChange(3, ChunkState.FAILED, 2)]))
        job = await there.get("job")
        assert (job.completed_chunks, job.progress) == (3, 75)
        assert (await there.count("job"))[ChunkState.FAILED] == 1

    @_opened_twice
    async def test_a_commit_of_thousands_of_rows_is_whole(self, here: JobRepository, there: JobRepository) -> None:
        size = 2_500
        await here.create(job_of(size))
        lease = await here.acquire("job", "me", LONG)
        half = [*range(0, size, 2)]
        attempts = [attempt_of(index, state=AttemptState.SUCCEEDED) for index in half]
        changes = [succeeded(index, place) for place, index in enumerate(half, 1)]
        happened = [one for place, index in enumerate(half, 1) for one in (began(index), made(index, place))]
        await here.commit(lease, Batch(chunks=changes, attempts=attempts, happened=happened))
        assert (await there.get("job")).completed_chunks == len(half)
        assert list(await there.attempts("job")) == attempts
        assert [list(entry.happened) for entry in await there.journal("job")] == [happened]
        found = await there.chunks("job", state=ChunkState.SUCCEEDED)
        assert [(row.index, row.position) for row in found] == [(index, n) for n, index in enumerate(half, 1)]

    @_opened_twice
    async def test_chunk_rows_come_in_pages(self, here: JobRepository, there: JobRepository) -> None:
        await here.create(job_of(10))
        lease = await here.acquire("job", "me", LONG)
        await here.commit(lease, Batch(chunks=[ChunkChange(index, ChunkState.FAILED, 1) for index in (1, 4, 8)]))

        async def indexes(**page: Any) -> list[int]:
            return [row.index for row in await there.chunks("job", **page)]

        assert await indexes(limit=3) == [0, 1, 2]
        assert await indexes(limit=3, offset=8) == [8, 9]
        assert await indexes(offset=7) == [7, 8, 9]
        assert await indexes(offset=10) == []
        assert await indexes(limit=0) == []
        assert await indexes(state=ChunkState.FAILED) == [1, 4, 8]
        assert await indexes(state=ChunkState.FAILED, limit=1, offset=1) == [4]
        assert await indexes(state=ChunkState.PENDING, limit=3, offset=3) == [5, 6, 7]
        assert await indexes(state=ChunkState.RUNNING) == []

    @_opened_twice
    async def test_a_chunk_is_counted_once_and_in_its_turn(self, here: JobRepository, there: JobRepository) -> None:
        """What breaks that is refused, and nothing of its batch is written."""
        await here.create(job_of(5))
        lease = await here.acquire("job", "me", LONG)
        await here.commit(
            lease, Batch(chunks=[succeeded(0, 1), succeeded(1, 2)], attempts=[attempt_of(2)], happened=[began(2)])
        )
        before = await everything(there)
        for wrong in (
            [succeeded(0, 3)],  # it has succeeded already, and would be counted a second time
            [succeeded(2, 2)],  # the position of another chunk
            [succeeded(2, 4)],  # a position too far
            [succeeded(2, 3), succeeded(3, 5)],
            [succeeded(2, 3), succeeded(3, 3)],
            [succeeded(2, 0)],
            [ChunkChange(1, ChunkState.RUNNING, 2)],  # only `withdraw` takes a success back
            [ChunkChange(2, ChunkState.SUCCEEDED, 1)],  # no position
            [ChunkChange(2, ChunkState.FAILED, 1, 3)],  # a position without success
            [succeeded(5, 3)],  # no such chunk
        ):
            batch = Batch(
                chunks=[ChunkChange(4, ChunkState.RUNNING, 9), *wrong],
                attempts=[attempt_of(4, message="wrong"), attempt_of(2, message="wrong")],
                job=JobChange(state=JobState.FAILED, error="wrong"),
                happened=[began(4, 9), event_of(1)],
            )
            with pytest.raises(RepositoryError):
                await here.commit(lease, batch)
            assert await everything(there) == before, wrong
        await here.commit(lease, Batch(chunks=[succeeded(3, 4), succeeded(2, 3)]))
        assert (await there.get("job")).completed_chunks == 4

    @_opened_twice
    async def test_the_same_batch_again_changes_nothing(self, here: JobRepository, there: JobRepository) -> None:
        """A coordinator repeats a commit whose answer was lost."""
        await here.create(job_of(3))
        lease = await here.acquire("job", "me", LONG)
        batch = Batch(
            chunks=[succeeded(2, 1), succeeded(0, 2), ChunkChange(1, ChunkState.RUNNING, 1)],
            attempts=[attempt_of(0, state=AttemptState.SUCCEEDED), attempt_of(1)],
            job=JobChange(state=JobState.RUNNING),
            happened=[event_of(1), began(0), began(2), made(2, 1), made(0, 2), began(1)],
        )
        await here.commit(lease, batch)
        before = await everything(there)
        await here.commit(lease, batch)
        after = await everything(there)
        assert msgspec.structs.replace(after[0], updated_at=before[0].updated_at) == before[0]
        assert after[1:] == before[1:]
        await here.commit(lease, Batch(happened=[event_of(1)]))
        await here.commit(lease, Batch(happened=[event_of(2)]))
        assert (await there.get("job")).revision == 3

    @_opened_twice
    async def test_what_a_job_change_leaves_open_stays(self, here: JobRepository, there: JobRepository) -> None:
        await here.create(job_of())
        lease = await here.acquire("job", "me", LONG)

        async def change(**values: Any) -> tuple[JobState, str | None, int, str | None]:
            await here.commit(lease, Batch(job=JobChange(**values)))
            job = await there.get("job")
            return job.state, job.error, job.metrics.attempts, job.output

        assert await change(state=JobState.RUNNING) == (JobState.RUNNING, None, 0, None)
        assert await change(metrics=JobMetrics(attempts=4)) == (JobState.RUNNING, None, 4, None)
        assert await change(state=JobState.FAILED, error="no\0 😀") == (JobState.FAILED, "no\0 😀", 4, None)
        assert await change(output="film.mp4") == (JobState.FAILED, "no\0 😀", 4, "film.mp4")
        assert await change(error="other") == (JobState.FAILED, "other", 4, "film.mp4")
        assert await change() == (JobState.FAILED, "other", 4, "film.mp4")
        assert await change(state=JobState.RUNNING) == (JobState.RUNNING, None, 4, "film.mp4"), "replaces the error"

    @_opened_twice
    async def test_a_job_says_when_it_changed(self, here: JobRepository, there: JobRepository) -> None:
        await here.create(job_of())
        lease = await here.acquire("job", "me", LONG)
        for batch in (Batch(chunks=[succeeded(0, 1)]), Batch(job=JobChange(state=JobState.RUNNING))):
            before = await there.get("job")
            await here.commit(lease, batch)
            after = await there.get("job")
            assert after.updated_at >= before.updated_at
            assert after.updated_at > CREATED
            assert after.created_at == CREATED

    # --- attempts ----------------------------------------------------------------------------------------------------

    @_opened_twice
    async def test_a_later_commit_of_an_attempt_replaces_its_row(
        self, here: JobRepository, there: JobRepository
    ) -> None:
        await here.create(job_of())
        lease = await here.acquire("job", "me", LONG)
        await here.commit(lease, Batch(attempts=[attempt_of(0), attempt_of(1)]))
        ended = attempt_of(
            0,
            state=AttemptState.FAILED,
            ended_at=1765432110.25,
            frames_done=2.5,
            cause=Cause.COMMAND_FAILED,
            message='exit 1: "no such\tfile" – ä😀\0\x1b[31m\\u0000',
            result=ChunkResult(
                exit_code=1,
                duration=0.125,
                outputs=(Output("a b/ç.mp4", 12, "ab" * 32, "s3://bucket/key"),),
                stderr_tail="line\r\n\0\x01\x7f\u2028",
                cause=Cause.COMMAND_FAILED,
                worker="node 1",
                usage=Usage(billed_seconds=0.2, memory_mb=512, cost_usd=1e-7),
            ),
        )
        await here.commit(lease, Batch(attempts=[ended]))
        assert list(await there.attempts("job")) == [ended, attempt_of(1)]

    @_opened_twice
    async def test_attempts_are_listed_by_chunk_and_number(self, here: JobRepository, there: JobRepository) -> None:
        await here.create(job_of(12))
        lease = await here.acquire("job", "me", LONG)
        rows = [
            attempt_of(index, number, state=AttemptState.FAILED if number < 10 else AttemptState.RUNNING)
            for index in (11, 2, 10)
            for number in (10, 9, 1)
        ]
        await here.commit(lease, Batch(attempts=rows))
        in_order = sorted(rows, key=lambda row: (row.index, row.number))
        assert list(await there.attempts("job")) == in_order
        assert list(await there.attempts("job", index=10)) == [row for row in in_order if row.index == 10]
        running = [row for row in in_order if row.number == 10]
        assert list(await there.attempts("job", state=AttemptState.RUNNING)) == running
        assert list(await there.attempts("job", index=2, state=AttemptState.FAILED)) == in_order[:2]
        assert list(await there.attempts("job", state=AttemptState.CANCELLED)) == []
        assert list(await there.attempts("job", index=0)) == []

    @_opened_twice
    async def test_attempt_rows_come_in_pages(self, here: JobRepository, there: JobRepository) -> None:
        await here.create(job_of(5))
        lease = await here.acquire("job", "me", LONG)
        states = {1: AttemptState.FAILED, 2: AttemptState.RUNNING}
        rows = [attempt_of(index, number, state) for index in range(5) for number, state in states.items()]
        await here.commit(lease, Batch(attempts=rows))

        async def keys(**page: Any) -> list[tuple[int, int]]:
            return [(row.index, row.number) for row in await there.attempts("job", **page)]

        assert await keys(limit=3) == [(0, 1), (0, 2), (1, 1)]
        assert await keys(limit=3, offset=8) == [(4, 1), (4, 2)]
        assert await keys(offset=7) == [(3, 2), (4, 1), (4, 2)]
        assert await keys(offset=10) == []
        assert await keys(limit=0) == []
        assert await keys(state=AttemptState.RUNNING, limit=2, offset=1) == [(1, 2), (2, 2)]
        assert await keys(index=3, limit=1, offset=1) == [(3, 2)]
        assert await keys(keys=[(4, 1), (0, 2), (2, 2)], limit=1, offset=1) == [(2, 2)]

    @_opened_twice
    async def test_attempts_are_found_by_their_keys(self, here: JobRepository, there: JobRepository) -> None:
        await here.create(job_of(40))
        lease = await here.acquire("job", "me", LONG)
        rows = [attempt_of(index, number) for index in range(40) for number in (1, 2, 10)]
        await here.commit(lease, Batch(attempts=rows))
        keys = [(30, 10), (4, 2), (4, 1), (11, 10), (7, 3), (99, 1)]  # the last two are of no attempt
        found = await there.attempts("job", keys=keys)
        assert [(row.index, row.number) for row in found] == [(4, 1), (4, 2), (11, 10), (30, 10)]
        assert found[0] == attempt_of(4, 1)
        assert not await there.attempts("job", keys=[])
        assert list(await there.attempts("job", keys={(row.index, row.number) for row in rows})) == rows

    # --- the journal -------------------------------------------------------------------------------------------------

    @_opened_twice
    async def test_what_happened_is_journaled_in_its_order(self, here: JobRepository, there: JobRepository) -> None:
        """Apart from the rows, which only say what has become of each chunk and attempt."""
        await here.create(job_of(4))
        lease = await here.acquire("job", "me", LONG)
        failed = AttemptChange(2, 1, AttemptState.FAILED)
        batches: list[Sequence[Happening]] = [
            [event_of(1), began(2), began(0)],
            [began(3), failed, made(3, 1), event_of(2), began(2, 2), made(0, 2)],
            [AttemptChange(2, 2, AttemptState.FAILED, given_up=True), AttemptChange(1, 1, AttemptState.CANCELLED)],
        ]
        changes = {1: [succeeded(0, 2), succeeded(3, 1)]}
        for number, happened in enumerate(batches):
            before = await there.get("job")
            await here.commit(lease, Batch(chunks=changes.get(number, ()), happened=happened))
            after = await there.get("job")
            assert (before.revision, after.revision) == (number, number + 1)
            assert (await there.list())[0].revision == number + 1
            assert after.updated_at >= before.updated_at
        entries = await there.journal("job")
        assert [entry.revision for entry in entries] == [1, 2, 3]
        assert [list(entry.happened) for entry in entries] == batches
        assert [entry.time for entry in entries] == sorted(entry.time for entry in entries)
        assert abs(entries[0].time - time.time()) < LONG
        assert list(await here.journal("job")) == list(entries), "it reads the same everywhere"

    @_opened_twice
    async def test_there_is_no_entry_where_nothing_happened(self, here: JobRepository, there: JobRepository) -> None:
        await here.create(job_of(2))
        lease = await here.acquire("job", "me", LONG)
        await here.commit(lease, Batch(happened=[began(0)]))
        await here.commit(lease, Batch())
        await here.commit(lease, Batch(attempts=[attempt_of(0, frames_done=0.5)]))
        await here.commit(lease, Batch(chunks=[ChunkChange(1, ChunkState.PENDING, 0)]))
        await here.commit(lease, Batch(job=JobChange(state=JobState.PAUSED)))
        await here.configure(lease, job_of())
        await here.wish("job", Wish.PAUSE)
        assert [list(entry.happened) for entry in await there.journal("job")] == [[began(0)]]
        assert (await there.get("job")).revision == 1

    @_opened_twice
    async def test_events_are_journaled_as_they_were(self, here: JobRepository, there: JobRepository) -> None:
        text = 'no "such\tfile" – ä😀\0\x1b[31m\\u0000\u2028'
        common: dict[str, Any] = {"job_id": "jøb", "time": 1765432109.876543}
        counts: dict[str, Any] = {"completed_chunks": 1, "total_chunks": 3}
        happened = [
            JobEvent(event)
            for event in (
                JobStarted(
                    **common,
                    **counts,
                    name=text,
                    completed_frames=2,
                    total_frames=6,
                    concurrency=1_000_000,
                    worker=text,
                ),
                ConcurrencyChanged(**common, concurrency=1),
                MergeStarted(**common, how=text),
                ObserverFailed(**common, observer=text, message=text),
                JobEnded(**common, **counts, state=JobState.FAILED, duration=0.1, error=text, output=None),
                JobEnded(**common, **counts, state=JobState.COMPLETED, duration=1e-7, error=None, output=text),
            )
        ]
        await here.create(job_of())
        lease = await here.acquire("job", "me", LONG)
        await here.commit(lease, Batch(happened=happened))
        (entry,) = await there.journal("job")
        assert list(entry.happened) == happened

    @_opened_twice
    async def test_a_journal_comes_in_pages(self, here: JobRepository, there: JobRepository) -> None:
        size = 450
        await here.create(job_of())
        lease = await here.acquire("job", "me", LONG)
        for number in range(1, size + 1):
            await here.commit(lease, Batch(happened=[event_of(number)]))
        assert [list(entry.happened) for entry in await there.journal("job")] == [
            [event_of(number)] for number in range(1, size + 1)
        ]

        async def revisions(**page: Any) -> list[int]:
            return [entry.revision for entry in await there.journal("job", **page)]

        assert await revisions() == [*range(1, size + 1)]
        assert await revisions(limit=3) == [1, 2, 3]
        assert await revisions(after=2, limit=3) == [3, 4, 5]
        assert await revisions(after=9, limit=300) == [*range(10, 310)]
        assert await revisions(after=size - 2) == [size - 1, size]
        assert await revisions(after=size - 1, limit=5) == [size]
        assert await revisions(after=size) == []
        assert await revisions(after=size + 5, limit=1) == []
        assert await revisions(limit=0) == []

    @_opened_twice
    async def test_a_withdrawal_leaves_the_journal_as_it_is(self, here: JobRepository, there: JobRepository) -> None:
        await here.create(job_of(3))
        lease = await here.acquire("job", "me", LONG)
        happened = [began(0), began(1), made(0, 1), made(1, 2)]
        await here.commit(lease, Batch(chunks=[succeeded(0, 1), succeeded(1, 2)], happened=happened))
        await here.withdraw(lease, [0])
        assert [list(entry.happened) for entry in await there.journal("job")] == [happened]
        await here.commit(lease, Batch(chunks=[succeeded(0, 2, attempts=2)], happened=[began(0, 2), made(0, 2, 2)]))
        entries = await there.journal("job")
        assert [list(entry.happened) for entry in entries] == [happened, [began(0, 2), made(0, 2, 2)]]

    # --- leases ------------------------------------------------------------------------------------------------------

    @_opened_twice
    async def test_a_job_has_one_coordinator(self, here: JobRepository, there: JobRepository) -> None:
        await here.create(job_of())
        assert (await there.get("job")).coordinator is None
        lease = await here.acquire("job", "me", LONG)
        assert (lease.job_id, lease.owner, lease.ttl) == ("job", "me", LONG)
        for repository in (here, there):
            assert (await repository.get("job")).coordinator == "me"
            assert (await repository.list())[0].coordinator == "me"
            with pytest.raises(LeaseHeld) as held:
                await repository.acquire("job", "another", LONG)
            assert held.value.owner == "me"
        await here.commit(lease, Batch(chunks=[succeeded(0, 1)]))

    @_opened_twice
    async def test_of_many_that_want_a_job_one_gets_it(self, here: JobRepository, there: JobRepository) -> None:
        await here.create(job_of())
        wanted = [(here, there)[n % 2].acquire("job", f"owner {n}", LONG) for n in range(12)]
        answers = await asyncio.gather(*wanted, return_exceptions=True)
        (lease,) = [answer for answer in answers if isinstance(answer, Lease)]
        refused = [answer for answer in answers if isinstance(answer, LeaseHeld)]
        assert len(refused) == 11
        assert {held.owner for held in refused} == {lease.owner}
        assert (await there.get("job")).coordinator == lease.owner

    @_opened_twice
    async def test_a_job_whose_coordinator_is_known_to_be_dead_can_be_taken_over(
        self, here: JobRepository, there: JobRepository
    ) -> None:
        await here.create(job_of())
        await here.acquire("job", "me", LONG)
        with pytest.raises(LeaseHeld):
            await there.acquire("job", "you", LONG, dead="somebody else")
        await there.acquire("job", "you", LONG, dead="me")
        assert (await here.get("job")).coordinator == "you"

    @_opened_twice
    async def test_who_has_lost_the_lease_writes_nothing(self, here: JobRepository, there: JobRepository) -> None:
        await here.create(job_of())
        mine = await here.acquire("job", "me", LONG)
        await here.commit(mine, Batch(chunks=[succeeded(0, 1)]))
        theirs = await there.acquire("job", "you", LONG, dead="me")
        await here.wish("job", Wish.PAUSE)
        before = await everything(there)
        batch = Batch(
            chunks=[succeeded(1, 2)],
            attempts=[attempt_of(1)],
            job=JobChange(state=JobState.FAILED),
            happened=[began(1), made(1, 2)],
        )
        for call in (
            lambda: here.commit(mine, batch),
            lambda: here.commit(mine, Batch()),
            lambda: here.withdraw(mine, [0]),
            lambda: here.configure(mine, job_of(settings=JobSettings(retries=9))),
            lambda: here.poll(mine),
        ):
            with pytest.raises(LeaseLost, match="job"):
                await call()  # type: ignore[no-untyped-call]
        await here.release(mine)
        assert await everything(there) == before
        await there.commit(theirs, batch)
        assert (await here.get("job")).revision == 1

    @_opened_twice
    async def test_a_lease_runs_out(self, here: JobRepository, there: JobRepository) -> None:
        await here.create(job_of(state=JobState.RUNNING))
        mine = await here.acquire("job", "me", SHORT)
        await until_nobody_coordinates(there)
        assert (await there.get("job")).orphaned
        await there.acquire("job", "you", LONG)
        assert (await here.get("job")).coordinator == "you"
        with pytest.raises(LeaseLost):
            await here.commit(mine, Batch())

    @_opened_twice
    async def test_a_lease_that_ran_out_is_still_its_owners_while_nobody_takes_it(
        self, here: JobRepository, there: JobRepository
    ) -> None:
        await here.create(job_of())
        mine = await here.acquire("job", "me", SHORT)
        await until_nobody_coordinates(there)
        assert await here.poll(mine) is None
        # Any commit renews the lease, by as long as the caller's lease says.
        await here.commit(msgspec.structs.replace(mine, ttl=LONG), Batch(chunks=[succeeded(0, 1)]))
        job = await there.get("job")
        assert (job.coordinator, job.completed_chunks) == ("me", 1)

    @_opened_twice
    async def test_an_empty_commit_renews_the_lease(self, here: JobRepository, there: JobRepository) -> None:
        await here.create(job_of())
        mine = await here.acquire("job", "me", SHORT)
        await until_nobody_coordinates(there)
        await here.commit(msgspec.structs.replace(mine, ttl=LONG), Batch())
        with pytest.raises(LeaseHeld):
            await there.acquire("job", "you", LONG)

    @_opened_twice
    async def test_a_lease_can_be_given_back(self, here: JobRepository, there: JobRepository) -> None:
        await here.create(job_of())
        mine = await here.acquire("job", "me", LONG)
        assert await here.release(mine) is None
        job = await there.get("job")
        assert (job.coordinator, job.wish) == (None, None)
        with pytest.raises(LeaseLost):
            await here.commit(mine, Batch())
        await there.acquire("job", "you", LONG)
        await there.wish("job", Wish.CANCEL)
        assert await here.release(mine, heard=Wish.CANCEL) is None  # without effect: it is somebody else's by now
        job = await there.get("job")
        assert (job.coordinator, job.wish) == ("you", Wish.CANCEL)

    # --- wishes ------------------------------------------------------------------------------------------------------

    @_opened_twice
    async def test_a_wish_reaches_the_coordinator(self, here: JobRepository, there: JobRepository) -> None:
        await here.create(job_of())
        lease = await here.acquire("job", "me", LONG)
        assert await here.poll(lease) is None
        for wish in (Wish.PAUSE, None, Wish.CANCEL, None):
            job = await there.wish("job", wish)
            assert job.wish is wish
            assert job == await here.get("job")
            assert await here.poll(lease) is wish

    @_opened_twice
    async def test_a_pause_does_not_replace_a_cancel(self, here: JobRepository, there: JobRepository) -> None:
        await here.create(job_of())
        lease = await here.acquire("job", "me", LONG)
        await there.wish("job", Wish.PAUSE)
        assert (await there.wish("job", Wish.CANCEL)).wish is Wish.CANCEL
        assert (await there.wish("job", Wish.PAUSE)).wish is Wish.CANCEL
        assert await here.poll(lease) is Wish.CANCEL

    @_opened_twice
    async def test_a_new_coordinator_starts_without_a_wish(self, here: JobRepository, there: JobRepository) -> None:
        """What was asked of one that has died is there to be read, until somebody takes over."""
        await here.create(job_of())
        await here.acquire("job", "me", LONG)
        await there.wish("job", Wish.CANCEL)
        assert (await there.get("job")).wish is Wish.CANCEL
        lease = await here.acquire("job", "you", LONG, dead="me")
        assert await here.poll(lease) is None
        assert (await there.get("job")).wish is None

    @_opened_twice
    async def test_nothing_can_be_asked_where_there_is_no_coordinator(
        self, here: JobRepository, there: JobRepository
    ) -> None:
        await here.create(job_of())
        assert (await there.wish("job", Wish.CANCEL)).wish is None
        await here.release(await here.acquire("job", "me", LONG))
        assert (await there.wish("job", Wish.PAUSE)).wish is None

    @_opened_twice
    async def test_a_wish_that_was_not_heard_keeps_the_lease_from_being_given_back(
        self, here: JobRepository, there: JobRepository
    ) -> None:
        await here.create(job_of())
        lease = await here.acquire("job", "me", LONG)
        await there.wish("job", Wish.PAUSE)
        assert await here.release(lease) is Wish.PAUSE
        await there.wish("job", Wish.CANCEL)
        assert await here.release(lease, heard=Wish.PAUSE) is Wish.CANCEL
        job = await there.get("job")
        assert (job.coordinator, job.wish) == ("me", Wish.CANCEL)
        assert await here.release(lease, heard=Wish.CANCEL) is None
        job = await there.get("job")
        assert (job.coordinator, job.wish) == (None, None)

    # --- the rest ----------------------------------------------------------------------------------------------------

    @_opened_twice
    async def test_withdrawn_chunks_are_pending_and_the_others_move_up(
        self, here: JobRepository, there: JobRepository
    ) -> None:
        await here.create(job_of(7))
        lease = await here.acquire("job", "me", LONG)
        order = [4, 0, 3, 5, 1]
        await here.commit(lease, Batch(chunks=[succeeded(index, n, n) for n, index in enumerate(order, 1)]))
        await here.commit(lease, Batch(chunks=[ChunkChange(6, ChunkState.FAILED, 2)]))
        await here.withdraw(lease, [5, 4, 6, 2])  # of these, 6 and 2 have not succeeded
        assert [(row.state, row.attempts, row.position) for row in await there.chunks("job")] == [
            (ChunkState.SUCCEEDED, 2, 1),
            (ChunkState.SUCCEEDED, 5, 3),
            (ChunkState.PENDING, 0, None),
            (ChunkState.SUCCEEDED, 3, 2),
            (ChunkState.PENDING, 1, None),
            (ChunkState.PENDING, 4, None),
            (ChunkState.FAILED, 2, None),
        ]
        assert (await there.get("job")).completed_chunks == 3
        await here.commit(lease, Batch(chunks=[succeeded(4, 4, 2)]))
        await here.withdraw(lease, [])
        assert (await there.get("job")).completed_chunks == 4
        await here.withdraw(lease, range(7))
        assert (await there.get("job")).completed_chunks == 0
        await here.commit(lease, Batch(chunks=[succeeded(4, 1, 2)]))

    @_opened_twice
    async def test_settings_and_worker_can_be_changed(self, here: JobRepository, there: JobRepository) -> None:
        await here.create(job_of(worker=WorkerChoice("lambda", {"a": 1})))
        lease = await here.acquire("job", "me", LONG)
        before = await there.get("job")
        for settings, worker in (
            (JobSettings(retries=7, chunk_timeout=2.5, only_chunks=("é", 1)), WorkerChoice("local", {"ü": ["x"]})),
            (JobSettings(), None),
        ):
            given = job_of(settings=settings, worker=worker, state=JobState.FAILED, error="not to be written")
            await here.configure(lease, given)
            after = await there.get("job")
            assert after == msgspec.structs.replace(
                before, settings=settings, worker=worker, updated_at=after.updated_at
            )

    @_opened_twice
    async def test_a_deleted_job_is_gone_with_all_its_rows(self, here: JobRepository, there: JobRepository) -> None:
        await here.create(job_of(2, "other"))
        untouched = await everything(there, "other")
        await here.create(job_of(3))
        lease = await here.acquire("job", "me", LONG)
        await here.commit(
            lease, Batch(chunks=[succeeded(0, 1)], attempts=[attempt_of(0)], happened=[began(0), made(0, 1)])
        )
        with pytest.raises(LeaseHeld) as held:
            await there.delete("job")
        assert held.value.owner == "me"
        assert (await there.get("job")).completed_chunks == 1
        await here.release(lease)
        await there.delete("job")
        for repository in (here, there):
            with pytest.raises(JobNotFound):
                await repository.get("job")
        assert [job.id for job in await here.list()] == ["other"]
        again = job_of(["x", "y"])
        await here.create(again)
        assert await there.get("job") == again, "another job of that id is not the one before"
        assert [row.id for row in await there.chunks("job")] == ["x", "y"]
        assert not await there.attempts("job")
        assert not await there.journal("job")
        assert await everything(there, "other") == untouched

    @_opened_twice
    async def test_an_orphaned_job_can_be_deleted(self, here: JobRepository, there: JobRepository) -> None:
        await here.create(job_of())
        await here.acquire("job", "me", SHORT)
        await until_nobody_coordinates(there)
        await there.delete("job")
        assert await here.list() == []

    @_opened_twice
    async def test_two_jobs_are_written_at_the_same_time(self, here: JobRepository, there: JobRepository) -> None:
        async def run(repository: JobRepository, job_id: str) -> None:
            await repository.create(job_of(40, job_id))
            lease = await repository.acquire(job_id, f"owner of {job_id}", LONG)
            for number in range(1, 41):
                index = 40 - number
                await repository.commit(
                    lease,
                    Batch(
                        chunks=[succeeded(index, number)],
                        attempts=[attempt_of(index)],
                        happened=[began(index), made(index, number)],
                    ),
                )
                assert (await repository.get(job_id)).completed_chunks == number

        await asyncio.gather(run(here, "a"), run(there, "b"), run(here, "c"))
        for job_id in "abc":
            assert (await there.get(job_id)).completed_chunks == 40
            assert len(await here.attempts(job_id)) == 40
            entries = await here.journal(job_id)
            assert [list(entry.happened) for entry in entries] == [
                [began(40 - number), made(40 - number, number)] for number in range(1, 41)
            ]

    @asynchronous
    async def test_closing_loses_nothing(self, under_test: Open) -> None:
        async with under_test() as other:
            async with under_test() as first:
                await first.create(job_of())
                lease = await first.acquire("job", "me", LONG)
                await first.commit(lease, Batch(chunks=[succeeded(0, 1)], happened=[made(0, 1)]))
                before = await everything(first)
            async with under_test() as second:
                assert await everything(second) == before
                await second.commit(lease, Batch(chunks=[succeeded(1, 2)]))
            assert (await other.get("job")).completed_chunks == 2

    def test_any_sequence_of_operations_leaves_what_a_simple_model_says(self, under_test: Open) -> None:
        try:
            import hypothesis
        except ImportError:
            not_shown("it needs hypothesis; install it with: pip install 'heliostat[testing]'")
        with asyncio.Runner() as runner:
            here, there = under_test(), under_test()
            runner.run(here.__aenter__())
            runner.run(there.__aenter__())
            number = 0

            def check(steps: Any) -> None:
                nonlocal number
                number += 1
                runner.run(Model(f"job {number}", here, there).check(steps))

            limits = hypothesis.settings(
                max_examples=25, deadline=None, database=None, suppress_health_check=list(hypothesis.HealthCheck)
            )
            try:
                limits(hypothesis.given(operations())(check))()
            finally:
                runner.run(there.__aexit__(None, None, None))
                runner.run(here.__aexit__(None, None, None))
