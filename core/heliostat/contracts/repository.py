"""A repository holds job, chunk and attempt rows, a journal of what happened to each job, and a lease that says which
coordinator may write them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Sequence
from types import TracebackType
from typing import Self

from msgspec import Struct

from heliostat.model.events import ConcurrencyChanged, JobEnded, JobStarted, MergeStarted, ObserverFailed
from heliostat.model.status import (
    AttemptState,
    AttemptStatus,
    ChunkState,
    ChunkStatus,
    JobMetrics,
    JobState,
    JobStatus,
    Wish,
)


class Lease(Struct, frozen=True, kw_only=True):
    """The right to write one job's rows, until it runs out."""

    job_id: str
    owner: str
    """The coordinator; unique for each acquisition."""
    ttl: float
    """Seconds that the lease lives after its last renewal. Every commit renews it."""


class ChunkChange(Struct, frozen=True, array_like=True, gc=False):
    """The new state of a chunk's row."""

    index: int
    state: ChunkState
    attempts: int
    position: int | None = None
    """Only with `succeeded`: the number of succeeded chunks, this one included."""


class JobChange(Struct, frozen=True, kw_only=True):
    """The new state of a job's row. What is None stays as it is, except that a new `state` replaces `error`."""

    state: JobState | None = None
    error: str | None = None
    metrics: JobMetrics | None = None
    output: str | None = None


class AttemptChange(Struct, frozen=True, array_like=True, tag="a", gc=False):
    """An attempt began or ended. All else that is to be known of it is in its row."""

    index: int
    number: int
    state: AttemptState
    """`running`: it began."""
    position: int | None = None
    """Only with `succeeded`: the chunk's position at that time; a later `withdraw` does not change it here."""
    given_up: bool = False
    """Only with `failed`: the chunk is not tried again in this run."""


class JobEvent(Struct, frozen=True, array_like=True, tag="j"):
    """Something happened to the job as a whole."""

    event: JobStarted | ConcurrencyChanged | MergeStarted | ObserverFailed | JobEnded


Happening = AttemptChange | JobEvent


class JournalEntry(Struct, frozen=True, kw_only=True):
    """What one commit says has happened to a job. It never changes."""

    revision: int
    """1 for the job's first entry, and one more for each after it."""
    time: float
    """When it was committed, in seconds since the epoch."""
    happened: tuple[Happening, ...]
    """In the order in which it happened; never empty."""


class Batch(Struct, kw_only=True):
    """What one commit writes: all of it or nothing."""

    chunks: Sequence[ChunkChange] = ()
    """At most one for each chunk."""
    attempts: Sequence[AttemptStatus] = ()
    """At most one for each attempt; a later commit of the same attempt replaces the row."""
    job: JobChange | None = None
    happened: Sequence[Happening] = ()
    """What the job's journal is to say of this, in order; an attempt may begin and end in one batch. There is no entry
    for nothing."""


class JobRepository(ABC):
    """An async context manager; opening it creates or checks the schema (SchemaTooNew).

    All methods raise JobNotFound for an unknown id, and RepositoryUnavailable when nothing was read or written and the
    same call may succeed later. `completed_chunks` is always counted from the chunk rows, `revision` from the journal.
    """

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close; nothing is lost."""

    @abstractmethod
    async def create(self, job: JobStatus) -> None:
        """Store a new job with one `pending` row for each chunk of `job.spec`. Raises JobExists."""

    @abstractmethod
    async def get(self, job_id: str) -> JobStatus: ...

    @abstractmethod
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
        """Jobs, the newest first or the oldest; only those in one of `states`, and with `name` in their name, whatever
        the case of its letters, where these are given. Not `with_chunks`, their specifications have none, which costs
        much less."""

    @abstractmethod
    async def count_jobs(self, *, name: str | None = None) -> dict[JobState, int]:
        """How many jobs are in each state, of all or of those with `name` in their name; every state is a key."""

    @abstractmethod
    async def chunks(
        self, job_id: str, *, state: ChunkState | None = None, limit: int | None = None, offset: int = 0
    ) -> Sequence[ChunkStatus]:
        """Chunk rows by index."""

    @abstractmethod
    async def count(self, job_id: str) -> dict[ChunkState, int]:
        """How many chunks are in each state; every state is a key."""

    @abstractmethod
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
        """Attempt rows by chunk and number: of one chunk, in one state, those of `keys` (a chunk's index and an
        attempt's number each, no key twice), or all."""

    @abstractmethod
    async def journal(self, job_id: str, *, after: int = 0, limit: int | None = None) -> Sequence[JournalEntry]:
        """The entries after a revision, the oldest first; no more than `limit`."""

    @abstractmethod
    async def acquire(self, job_id: str, owner: str, ttl: float, *, dead: str | None = None) -> Lease:
        """Become the job's coordinator, and clear its wish. Raises LeaseHeld while another's lease lives, unless that
        other is `dead`, the owner whom the caller knows to be gone."""

    @abstractmethod
    async def commit(self, lease: Lease, batch: Batch) -> None:
        """Write a batch and renew the lease, in one transaction that is on the disk when this returns.

        A batch whose answer was lost is written once more by its coordinator; that changes nothing. So what is to be
        journaled and equals the newest entry makes no other entry.

        Raises LeaseLost, and writes nothing, when the lease is no longer the caller's (one that ran out and that
        nobody took is still the caller's)."""

    @abstractmethod
    async def withdraw(self, lease: Lease, indexes: Sequence[int]) -> None:
        """Set succeeded chunks whose output is gone back to `pending`, and renumber the positions of the others from
        1 in their order. Raises LeaseLost."""

    @abstractmethod
    async def configure(self, lease: Lease, job: JobStatus) -> None:
        """Write the job's `settings` and `worker`. Raises LeaseLost."""

    @abstractmethod
    async def poll(self, lease: Lease) -> Wish | None:
        """What was asked of this coordinator. Cheap: called a few times a second. Raises LeaseLost."""

    @abstractmethod
    async def wish(self, job_id: str, wish: Wish | None) -> JobStatus:
        """Ask something of the job's coordinator, or take it back; returns the job as it then is. A `pause` never
        replaces a `cancel`. Without effect when the job has no coordinator."""

    @abstractmethod
    async def release(self, lease: Lease, *, heard: Wish | None = None) -> Wish | None:
        """Give the lease back, and clear the wish that the caller has `heard`; returns None.

        When there is another wish nothing is changed, and that one is returned, so that none is lost which comes at the
        last moment. Without effect when the lease is no longer the caller's."""

    @abstractmethod
    async def delete(self, job_id: str) -> None:
        """Delete the job and all its rows. Raises LeaseHeld while a coordinator lives."""
