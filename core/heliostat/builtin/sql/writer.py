"""What is written to the tables: each method is one transaction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import BigInteger, Connection, Integer, Text, bindparam, delete, exists, func, select, update
from sqlalchemy.exc import IntegrityError

from heliostat.builtin.sql.database import Database
from heliostat.builtin.sql.reader import completed, not_found, revision
from heliostat.builtin.sql.specs import SpecCache, pack, slices
from heliostat.builtin.sql.tables import attempt, chunk, job, journal, spec
from heliostat.contracts.repository import Batch, ChunkChange, JobChange, Lease
from heliostat.errors import JobExists, LeaseHeld, LeaseLost, RepositoryError
from heliostat.model.codec import to_json
from heliostat.model.status import ChunkState, JobStatus, Wish

_INDEXES_AT_ONCE = 1_000


class Writer:
    """All methods raise JobNotFound, and RepositoryUnavailable when nothing was written."""

    def __init__(self, database: Database, specs: SpecCache) -> None:
        self._database = database
        self._dialect = database.dialect
        self._specs = specs
        self._held = select(
            job.c.number,
            job.c.lease_owner,
            (job.c.lease_until > self._dialect.now).label("alive"),
            job.c.wish,
            completed.label("completed"),
            revision.label("revision"),
        ).with_for_update(of=job)
        number, newest = bindparam("job", type_=BigInteger), bindparam("newest", type_=Integer)
        happened = bindparam("happened", type_=Text)
        written = exists().where(journal.c.job == number, journal.c.revision == newest, journal.c.happened == happened)
        self._new_entry = journal.insert().from_select(
            ["job", "revision", "time", "happened"],
            select(number, newest + 1, self._dialect.now, happened).where(~written),
        )

    def create(self, status: JobStatus) -> None:
        parts = pack(status.spec)
        values = {
            "id": status.id,
            "state": status.state,
            "total_chunks": len(status.spec.chunks),
            "settings": status.settings,
            "worker": status.worker,
            "error": status.error,
            "metrics": status.metrics,
            "output": status.output,
            "created_at": status.created_at,
            "updated_at": status.updated_at,
            "wish": status.wish,
        }
        with self._database.writing() as connection:
            try:
                inserted = connection.execute(job.insert().values(values)).inserted_primary_key
            except IntegrityError:
                raise JobExists(f"there is a job {status.id} already; choose another id") from None
            assert inserted is not None
            number: int = inserted[0]
            connection.execute(
                spec.insert(), [{"job": number, "part": part, "data": data} for part, data in enumerate(parts)]
            )
            for first, chunks in slices(status.spec.chunks):
                ids = to_json([to_json(chunk.id).decode() for chunk in chunks]).decode()
                connection.execute(self._dialect.insert_chunks, {"job": number, "first": first, "rows": ids})
        self._specs.put(number, status.spec)

    def acquire(self, job_id: str, owner: str, ttl: float, dead: str | None) -> Lease:
        with self._database.writing() as connection:
            held = self._lock(connection, job_id)
            if held.alive and held.lease_owner not in (owner, dead):
                raise LeaseHeld(
                    f"job {job_id} is run by {held.lease_owner}; wait for it, or pause or cancel it",
                    owner=held.lease_owner,
                )
            self._write(connection, held.number, lease_owner=owner, lease_until=self._dialect.now + ttl, wish=None)
        return Lease(job_id=job_id, owner=owner, ttl=ttl)

    def commit(self, lease: Lease, batch: Batch) -> None:
        """Writing the same batch once more changes nothing: over a network, a commit can succeed unheard."""
        with self._database.writing() as connection:
            held = self._lock_mine(connection, lease)
            renewal = {"lease_until": self._dialect.now + lease.ttl}
            if batch.chunks or batch.happened or batch.job is not None:
                self._write(connection, held.number, **renewal, **_job_values(batch.job or JobChange()))
            else:
                connection.execute(update(job).where(job.c.number == held.number).values(renewal))
            if batch.chunks:
                self._write_chunks(connection, lease, held, batch.chunks)
            if batch.attempts:
                rows = self._dialect.attempt_rows(batch.attempts)
                connection.execute(self._dialect.write_attempts, {"job": held.number, "rows": rows})
            if batch.happened:
                self._write_entry(connection, held, to_json(batch.happened).decode())

    def withdraw(self, lease: Lease, indexes: Sequence[int]) -> None:
        with self._database.writing() as connection:
            held = self._lock_mine(connection, lease)
            succeeded = (chunk.c.job == held.number) & chunk.c.position.is_not(None)
            for first in range(0, len(indexes), _INDEXES_AT_ONCE):
                gone = chunk.c.idx.in_(indexes[first : first + _INDEXES_AT_ONCE])
                connection.execute(update(chunk).where(succeeded, gone).values(state=ChunkState.PENDING, position=None))
            # By way of negative numbers, because a row's new position may still be that of another one.
            place = func.row_number().over(order_by=chunk.c.position).label("place")
            places = select(chunk.c.idx, place).where(succeeded).subquery()
            moved = (chunk.c.idx == places.c.idx) & (chunk.c.position != places.c.place)
            connection.execute(update(chunk).where(succeeded, moved).values(position=-places.c.place))
            negative = succeeded & (chunk.c.position < 0)
            connection.execute(update(chunk).where(negative).values(position=-chunk.c.position))
            self._write(connection, held.number, lease_until=self._dialect.now + lease.ttl)

    def configure(self, lease: Lease, status: JobStatus) -> None:
        with self._database.writing() as connection:
            held = self._lock_mine(connection, lease)
            self._write(connection, held.number, settings=status.settings, worker=status.worker)

    def wish(self, job_id: str, wish: Wish | None) -> None:
        with self._database.writing() as connection:
            held = self._lock(connection, job_id)
            if held.alive and not (wish is Wish.PAUSE and held.wish == Wish.CANCEL):
                self._write(connection, held.number, wish=wish)

    def release(self, lease: Lease, heard: Wish | None) -> Wish | None:
        mine = (job.c.id == lease.job_id) & (job.c.lease_owner == lease.owner)
        known = job.c.wish.is_(None) if heard is None else job.c.wish.is_(None) | (job.c.wish == heard)
        with self._database.writing() as connection:
            freed = update(job).where(mine, known).values(lease_owner=None, lease_until=None, wish=None)
            if connection.execute(freed).rowcount:
                return None
            wish = connection.execute(select(job.c.wish).where(mine)).scalar_one_or_none()
            return None if wish is None else Wish(wish)

    def delete(self, job_id: str) -> None:
        with self._database.writing() as connection:
            held = self._lock(connection, job_id)
            if held.alive:
                raise LeaseHeld(f"job {job_id} is run by {held.lease_owner}; cancel it first", owner=held.lease_owner)
            for table in (journal, attempt, chunk, spec):
                connection.execute(delete(table).where(table.c.job == held.number))
            connection.execute(delete(job).where(job.c.number == held.number))

    def _lock(self, connection: Connection, job_id: str) -> Any:
        """What the rest of the transaction decides by; nobody else changes it before the transaction ends."""
        held = connection.execute(self._held.where(job.c.id == job_id)).one_or_none()
        if held is None:
            raise not_found(job_id)
        return held

    def _lock_mine(self, connection: Connection, lease: Lease) -> Any:
        held = self._lock(connection, lease.job_id)
        if held.lease_owner != lease.owner:
            raise lost(lease, held.lease_owner)
        return held

    def _write(self, connection: Connection, number: int, **values: Any) -> None:
        """Change the job's own row."""
        connection.execute(update(job).where(job.c.number == number).values(**values, updated_at=self._dialect.now))

    def _write_entry(self, connection: Connection, held: Any, happened: str) -> None:
        """Add to the journal, unless this is what the newest entry says."""
        values = {"job": held.number, "newest": held.revision, "happened": happened}
        connection.execute(self._new_entry, values)

    def _write_chunks(self, connection: Connection, lease: Lease, held: Any, chunks: Sequence[ChunkChange]) -> None:
        positions = sorted(change.position for change in chunks if change.position is not None)
        if positions and (
            positions != list(range(positions[0], positions[0] + len(positions)))
            or not 1 <= positions[0] <= held.completed + 1
        ):
            raise RepositoryError(
                f"job {lease.job_id}: {held.completed} chunks have succeeded, so the next cannot be counted as"
                f" {positions[0]} to {positions[-1]}; this is a fault in the program"
            )
        rows = to_json(chunks).decode()
        written = connection.execute(self._dialect.update_chunks, {"job": held.number, "rows": rows}).rowcount
        if written != len(chunks):
            raise RepositoryError(
                f"job {lease.job_id}: {len(chunks) - written} of {len(chunks)} chunks are not there or have succeeded"
                " already; this is a fault in the program"
            )


def lost(lease: Lease, owner: str | None) -> LeaseLost:
    return LeaseLost(f"job {lease.job_id} was taken over by {owner or 'nobody'}; this coordinator stops")


def _job_values(change: JobChange) -> dict[str, Any]:
    values = {
        name: value for name in ("state", "error", "metrics", "output") if (value := getattr(change, name)) is not None
    }
    if change.state is not None:
        values["error"] = change.error
    return values
