"""A model of one job in a repository, so simple that it is right, and operations to compare the two."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from fractions import Fraction
from typing import TYPE_CHECKING, Any

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
from heliostat.errors import LeaseHeld, LeaseLost, RepositoryError
from heliostat.model.events import ConcurrencyChanged
from heliostat.model.spec import Chunk, JobSpec, Metadata
from heliostat.model.status import AttemptState, AttemptStatus, ChunkState, JobState, JobStatus, Wish

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

CHUNKS = 4
_TTL = 3600.0

Step = tuple[Any, ...]
"""The name of a method of `Model`, and its arguments."""


def operations() -> SearchStrategy[Sequence[Step]]:
    """Any sequence of operations on a job of `CHUNKS` chunks."""
    from hypothesis import strategies as st

    index = st.integers(0, CHUNKS - 1)
    changes = st.dictionaries(index, st.sampled_from(ChunkState), max_size=CHUNKS)
    steps: tuple[SearchStrategy[Step], ...] = (
        st.tuples(st.just("commit"), changes, st.sampled_from([None, *JobState]), st.booleans()),
        st.tuples(st.just("commit"), st.dictionaries(index, st.just(ChunkState.SUCCEEDED)), st.none(), st.booleans()),
        st.tuples(st.just("commit_wrongly"), index, st.integers(1, 2)),
        st.tuples(st.just("commit_late"), index),
        st.tuples(st.just("withdraw"), st.sets(index)),
        st.tuples(st.just("acquire"), st.booleans()),
        st.tuples(st.just("release"), st.sampled_from([None, *Wish])),
        st.tuples(st.just("wish"), st.sampled_from([None, *Wish])),
    )
    return st.lists(st.one_of(*steps), max_size=12)


class Model:
    """Each operation is done on one of two handles in turn, and its outcome read from the other."""

    def __init__(self, job_id: str, here: JobRepository, there: JobRepository) -> None:
        self.job_id = job_id
        self.handles = here, there
        self.state = JobState.PENDING
        self.chunks = [ChunkState.PENDING] * CHUNKS
        self.order: list[int] = []
        """The chunks that have succeeded, in the order in which they did."""
        self.attempts: dict[tuple[int, int], AttemptState] = {}
        self.journal: list[tuple[Happening, ...]] = []
        self.numbers = [0] * CHUNKS
        self.wished: Wish | None = None
        self.owner: str | None = None
        self.owners = 0
        self.late = Lease(job_id=job_id, owner="nobody", ttl=_TTL)

    async def check(self, steps: Sequence[Step]) -> None:
        here, there = self.handles
        now = datetime.now(UTC)
        chunks = tuple(
            Chunk(id=index, start_frame=index, frame_count=1, output_file=f"{index}.mp4", command="render")
            for index in range(CHUNKS)
        )
        spec = JobSpec(metadata=Metadata(total_frames=CHUNKS, fps=Fraction(24)), chunks=chunks)
        await here.create(
            JobStatus(
                id=self.job_id,
                spec=spec,
                state=self.state,
                completed_chunks=0,
                total_chunks=CHUNKS,
                created_at=now,
                updated_at=now,
            )
        )
        for name, *arguments in steps:
            await getattr(self, name)(here, *arguments)
            here, there = there, here
            await self.compare(here)

    async def compare(self, repository: JobRepository) -> None:
        job = await repository.get(self.job_id)
        assert (job.state, job.completed_chunks, job.revision, job.wish, job.coordinator) == (
            self.state,
            len(self.order),
            len(self.journal),
            self.wished,
            self.owner,
        )
        assert [(row.state, row.attempts, row.position) for row in await repository.chunks(self.job_id)] == [
            (state, number, self.order.index(index) + 1 if index in self.order else None)
            for index, (state, number) in enumerate(zip(self.chunks, self.numbers, strict=True))
        ]
        assert await repository.count(self.job_id) == {state: self.chunks.count(state) for state in ChunkState}
        for state in AttemptState:
            found = await repository.attempts(self.job_id, state=state)
            assert [(row.index, row.number) for row in found] == sorted(
                key for key, value in self.attempts.items() if value is state
            )
        entries = await repository.journal(self.job_id)
        assert [(entry.revision, entry.happened) for entry in entries] == [*enumerate(self.journal, 1)]

    @property
    def lease(self) -> Lease:
        return Lease(job_id=self.job_id, owner=self.owner or "nobody", ttl=_TTL)

    async def commit(
        self, repository: JobRepository, wanted: dict[int, ChunkState], state: JobState | None, again: bool
    ) -> None:
        """`again`: twice, as a coordinator does that did not hear the answer."""
        changes, attempts, order = [], [], list(self.order)
        happened: list[Happening] = []
        for index, chunk in wanted.items():
            if index in self.order:
                continue
            number = self.numbers[index] + 1
            if chunk is ChunkState.SUCCEEDED:
                order.append(index)
            position = len(order) if chunk is ChunkState.SUCCEEDED else None
            changes.append(ChunkChange(index, chunk, number, position))
            if chunk is not ChunkState.PENDING:
                happened.append(AttemptChange(index, number, AttemptState(chunk.value), position))
                attempts.append(
                    AttemptStatus(
                        index=index,
                        number=number,
                        attempt_id=f"{index}/{number}",
                        state=AttemptState(chunk.value),
                        started_at=1.0,
                    )
                )
        if state is not None:
            moment = float(len(self.journal))
            happened.append(JobEvent(ConcurrencyChanged(job_id=self.job_id, time=moment, concurrency=1)))
        batch = Batch(chunks=changes, attempts=attempts, job=JobChange(state=state), happened=happened)
        if self.owner is None:
            await _refused(LeaseLost, repository.commit(self.lease, batch))
            return
        for _ in range(1 + again):
            await repository.commit(self.lease, batch)
        if happened:
            self.journal.append(tuple(happened))
        for change in changes:
            self.chunks[change.index], self.numbers[change.index] = change.state, change.attempts
        self.attempts.update({(attempt.index, attempt.number): attempt.state for attempt in attempts})
        self.order = order
        self.state = state or self.state

    async def commit_wrongly(self, repository: JobRepository, index: int, skipped: int) -> None:
        """Count a chunk a second time, or leave positions out."""
        wrong = ChunkChange(
            index, ChunkState.SUCCEEDED, 9, len(self.order) + (1 if index in self.order else 1 + skipped)
        )
        others = [ChunkChange(other, ChunkState.FAILED, 9) for other in range(CHUNKS) if other != index]
        happened = [AttemptChange(index, 9, AttemptState.SUCCEEDED, wrong.position)]
        batch = Batch(chunks=[*others, wrong], job=JobChange(state=JobState.FAILED), happened=happened)
        await _refused(RepositoryError, repository.commit(self.lease, batch))

    async def commit_late(self, repository: JobRepository, index: int) -> None:
        """Write with the lease of a coordinator that has lost it."""
        await _refused(
            LeaseLost, repository.commit(self.late, Batch(chunks=[ChunkChange(index, ChunkState.FAILED, 9)]))
        )
        await _refused(LeaseLost, repository.poll(self.late))
        await repository.release(self.late)

    async def withdraw(self, repository: JobRepository, indexes: set[int]) -> None:
        if self.owner is None:
            await _refused(LeaseLost, repository.withdraw(self.lease, sorted(indexes)))
            return
        await repository.withdraw(self.lease, sorted(indexes))
        for index in indexes & set(self.order):
            self.chunks[index] = ChunkState.PENDING
            self.order.remove(index)

    async def acquire(self, repository: JobRepository, dead: bool) -> None:
        self.owners += 1
        owner = f"owner {self.owners}"
        if self.owner is not None and not dead:
            await _refused(LeaseHeld, repository.acquire(self.job_id, owner, _TTL))
            return
        await repository.acquire(self.job_id, owner, _TTL, dead=self.owner)
        if self.owner is not None:
            self.late = self.lease
        self.owner, self.wished = owner, None

    async def release(self, repository: JobRepository, heard: Wish | None) -> None:
        unheard = None if self.wished is heard else self.wished
        assert await repository.release(self.lease, heard=heard) is unheard
        if self.owner is not None and unheard is None:
            self.late = self.lease
            self.owner, self.wished = None, None

    async def wish(self, repository: JobRepository, wish: Wish | None) -> None:
        if self.owner is not None and not (wish is Wish.PAUSE and self.wished is Wish.CANCEL):
            self.wished = wish
        assert (await repository.wish(self.job_id, wish)).wish is self.wished


async def _refused(kind: type[RepositoryError], call: Any) -> None:
    try:
        await call
    except kind:
        return
    raise AssertionError(f"{kind.__name__} was expected")
