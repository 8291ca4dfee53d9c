"""Jobs, chunks and attempts as rows of SQL tables."""

from __future__ import annotations

import zlib
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self

import msgspec
from sqlalchemy import Connection, delete, exc, func, select, update

from heliostat.builtin.sql.database import Database
from heliostat.builtin.sql.statements import Statements
from heliostat.builtin.sql.tables import attempt, chunk, job
from heliostat.contracts.repository import Batch, JobRepository, Lease
from heliostat.errors import JobExists, JobNotFound, LeaseHeld, LeaseLost, RepositoryError
from heliostat.model.codec import from_json, to_json
from heliostat.model.spec import JobSpec
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
)

_SLICE = 20_000
_SPECS_KEPT = 32

_completed = select(func.coalesce(func.max(chunk.c.position), 0)).where(chunk.c.job == job.c.number).scalar_subquery()
_status = select(*(column for column in job.c if column.name != "spec"), _completed.label("completed"))


class SqlRepository(JobRepository):
    """`url` is that of a SQLite file or of a PostgreSQL database."""

    def __init__(self, url: str) -> None:
        self._database = Database(url)
        self._statements = Statements("postgresql" if self._database.is_postgresql else "sqlite")
        self._specs: OrderedDict[str, tuple[int, JobSpec]] = OrderedDict()

    async def __aenter__(self) -> Self:
        await self._database.read(lambda connection: None)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._database.close()

    async def create(self, status: JobStatus) -> None:
        spec = zlib.compress(to_json(status.spec), level=1)

        def work(connection: Connection) -> int:
            values = {
                "id": status.id,
                "state": status.state.value,
                "spec": spec,
                "settings": to_json(status.settings).decode(),
                "worker": None if status.worker is None else to_json(status.worker).decode(),
                "error": status.error,
                "metrics": to_json(status.metrics).decode(),
                "output": status.output,
                "total": len(status.spec.chunks),
                "created_at": status.created_at.timestamp(),
                "updated_at": status.updated_at.timestamp(),
                "lease_until": 0.0,
            }
            try:
                with connection.begin_nested():
                    number = connection.execute(job.insert().values(values).returning(job.c.number)).scalar_one()
            except exc.IntegrityError:
                raise JobExists(f"there is a job {status.id} already; choose another id") from None
            chunks = status.spec.chunks
            for first in range(0, len(chunks), _SLICE):
                rows = [
                    (index, msgspec.json.encode(chunks[index].id).decode())
                    for index in range(first, min(first + _SLICE, len(chunks)))
                ]
                connection.execute(self._statements.insert_chunks, {"job": number, "rows": _json(rows)})
            return int(number)

        self._keep(status.id, await self._database.write(work), status.spec)

    async def get(self, job_id: str) -> JobStatus:
        def work(connection: Connection) -> JobStatus:
            return self._read(connection, self._row(connection, job_id), self._database.now(connection))

        return await self._database.read(work)

    async def list(
        self, *, states: Iterable[JobState] | None = None, limit: int = 100, offset: int = 0
    ) -> list[JobStatus]:
        query = _status.order_by(job.c.number.desc()).limit(limit).offset(offset)
        if states is not None:
            query = query.where(job.c.state.in_([state.value for state in states]))

        def work(connection: Connection) -> Any:
            now = self._database.now(connection)
            return [self._read(connection, row, now) for row in connection.execute(query).all()]

        return await self._database.read(work)

    async def chunks(
        self, job_id: str, *, state: ChunkState | None = None, limit: int | None = None, offset: int = 0
    ) -> Sequence[ChunkStatus]:
        query = select(chunk.c.idx, chunk.c.id, chunk.c.state, chunk.c.attempts, chunk.c.position)
        if state is not None:
            query = query.where(chunk.c.state == state.value)
        query = query.order_by(chunk.c.idx).limit(limit).offset(offset)

        def work(connection: Connection) -> Sequence[ChunkStatus]:
            rows = connection.execute(query.where(chunk.c.job == self._row(connection, job_id).number))
            return [
                ChunkStatus(
                    index=row.idx,
                    id=msgspec.json.decode(row.id),
                    state=ChunkState(row.state),
                    attempts=row.attempts,
                    position=row.position,
                )
                for row in rows
            ]

        return await self._database.read(work)

    async def count(self, job_id: str) -> dict[ChunkState, int]:
        def work(connection: Connection) -> dict[ChunkState, int]:
            number = self._row(connection, job_id).number
            query = select(chunk.c.state, func.count()).where(chunk.c.job == number).group_by(chunk.c.state)
            found = {ChunkState(state): amount for state, amount in connection.execute(query)}
            return {state: found.get(state, 0) for state in ChunkState}

        return await self._database.read(work)

    async def attempts(
        self, job_id: str, *, index: int | None = None, state: AttemptState | None = None
    ) -> Sequence[AttemptStatus]:
        query = select(attempt.c.record).order_by(attempt.c.idx, attempt.c.number)
        if index is not None:
            query = query.where(attempt.c.idx == index)
        if state is not None:
            query = query.where(attempt.c.state == state.value)

        def work(connection: Connection) -> Sequence[AttemptStatus]:
            rows = connection.execute(query.where(attempt.c.job == self._row(connection, job_id).number))
            return [from_json(record, AttemptStatus) for (record,) in rows]

        return await self._database.read(work)

    async def acquire(self, job_id: str, owner: str, ttl: float, *, dead: str | None = None) -> Lease:
        def work(connection: Connection) -> Lease:
            row = self._row(connection, job_id, lock=True)
            now = self._database.now(connection)
            if row.lease_owner not in (None, dead) and row.lease_until > now:
                raise LeaseHeld(
                    f"job {job_id} is run by {row.lease_owner}; wait for it, or pause or cancel it",
                    owner=row.lease_owner,
                )
            values = {"lease_owner": owner, "lease_until": now + ttl, "wish": None, "updated_at": now}
            connection.execute(update(job).where(job.c.number == row.number).values(values))
            return Lease(job_id=job_id, owner=owner, ttl=ttl)

        return await self._database.write(work)

    async def commit(self, lease: Lease, batch: Batch) -> None:
        # Encoded here, on the caller's thread: the other one is to hold the interpreter lock as briefly as it can.
        chunks = _json(batch.chunks) if batch.chunks else None
        attempts = to_json(batch.attempts).decode() if batch.attempts else None
        positions = sorted(change.position for change in batch.chunks if change.position is not None)

        def work(connection: Connection) -> None:
            number = self._renew(connection, lease, batch)
            if chunks is not None:
                completed = connection.execute(self._statements.completed, {"job": number}).scalar_one()
                changed = connection.execute(self._statements.update_chunks, {"job": number, "rows": chunks}).rowcount
                if changed != len(batch.chunks) or not _follow(positions, completed):
                    raise RepositoryError(
                        f"job {lease.job_id}: a chunk that has succeeded cannot change, nor be counted twice"
                    )
            if attempts is not None:
                connection.execute(self._statements.upsert_attempts, {"job": number, "rows": attempts})

        await self._database.write(work)

    async def withdraw(self, lease: Lease, indexes: Sequence[int]) -> None:
        rows = _json([(index,) for index in indexes])

        def work(connection: Connection) -> None:
            number = self._renew(connection, lease, Batch())
            connection.execute(self._statements.withdraw, {"job": number, "rows": rows})
            for statement in self._statements.renumber:
                connection.execute(statement, {"job": number})

        await self._database.write(work)

    async def configure(self, lease: Lease, status: JobStatus) -> None:
        values = {
            "settings": to_json(status.settings).decode(),
            "worker": None if status.worker is None else to_json(status.worker).decode(),
        }

        def work(connection: Connection) -> None:
            number = self._renew(connection, lease, Batch())
            connection.execute(update(job).where(job.c.number == number).values(values))

        await self._database.write(work)

    async def poll(self, lease: Lease) -> Wish | None:
        query = select(job.c.wish, job.c.lease_owner).where(job.c.id == lease.job_id)

        def work(connection: Connection) -> Wish | None:
            row = connection.execute(query).first()
            if row is None:
                raise _not_found(lease.job_id)
            if row.lease_owner != lease.owner:
                raise _lost(lease, row.lease_owner)
            return None if row.wish is None else Wish(row.wish)

        return await self._database.read(work)

    async def wish(self, job_id: str, wish: Wish | None) -> JobStatus:
        def work(connection: Connection) -> JobStatus:
            row = self._row(connection, job_id, lock=True)
            now = self._database.now(connection)
            if not (wish is Wish.PAUSE and row.wish == Wish.CANCEL):
                values = {"wish": None if wish is None else wish.value, "updated_at": now}
                connection.execute(update(job).where(job.c.number == row.number).values(values))
            return self._read(connection, self._row(connection, job_id), now)

        return await self._database.write(work)

    async def release(self, lease: Lease) -> None:
        mine = (job.c.id == lease.job_id) & (job.c.lease_owner == lease.owner)
        await self._database.write(
            lambda connection: connection.execute(
                update(job).where(mine).values(lease_owner=None, lease_until=0.0, wish=None)
            )
        )

    async def delete(self, job_id: str) -> None:
        def work(connection: Connection) -> None:
            row = self._row(connection, job_id, lock=True)
            if row.lease_owner is not None and row.lease_until > self._database.now(connection):
                raise LeaseHeld(f"job {job_id} is run by {row.lease_owner}; cancel it first", owner=row.lease_owner)
            connection.execute(delete(job).where(job.c.number == row.number))

        await self._database.write(work)
        self._specs.pop(job_id, None)

    # --- rows --------------------------------------------------------------------------------------------------------

    def _row(self, connection: Connection, job_id: str, *, lock: bool = False) -> Any:
        query = _status.where(job.c.id == job_id)
        row = connection.execute(query.with_for_update(of=job) if lock else query).first()
        if row is None:
            raise _not_found(job_id)
        return row

    def _renew(self, connection: Connection, lease: Lease, batch: Batch) -> int:
        """Renew the lease, write what the batch says of the job, and return its number. Raises LeaseLost."""
        now = self._database.now(connection)
        values: dict[str, Any] = {"lease_until": now + lease.ttl}
        if batch.chunks or batch.job is not None:
            values["updated_at"] = now
        if (change := batch.job) is not None:
            if change.state is not None:
                values |= {"state": change.state.value, "error": change.error}
            if change.metrics is not None:
                values["metrics"] = to_json(change.metrics).decode()
            if change.output is not None:
                values["output"] = change.output
        mine = (job.c.id == lease.job_id) & (job.c.lease_owner == lease.owner)
        number = connection.execute(update(job).where(mine).values(values).returning(job.c.number)).scalar()
        if number is None:
            raise _lost(lease, self._row(connection, lease.job_id).lease_owner)
        return int(number)

    def _read(self, connection: Connection, row: Any, now: float) -> JobStatus:
        return JobStatus(
            id=row.id,
            spec=self._spec(connection, row),
            state=JobState(row.state),
            completed_chunks=row.completed,
            total_chunks=row.total,
            error=row.error,
            created_at=datetime.fromtimestamp(row.created_at, UTC),
            updated_at=datetime.fromtimestamp(row.updated_at, UTC),
            metrics=from_json(row.metrics, JobMetrics),
            settings=from_json(row.settings, JobSettings),
            worker=None if row.worker is None else from_json(row.worker, WorkerChoice),
            wish=None if row.wish is None else Wish(row.wish),
            coordinator=row.lease_owner if row.lease_until > now else None,
            output=row.output,
        )

    def _spec(self, connection: Connection, row: Any) -> JobSpec:
        """A specification never changes, and that of a million chunks takes seconds to decode."""
        number, spec = self._specs.get(row.id, (None, None))
        if spec is None or number != row.number:
            packed = connection.execute(select(job.c.spec).where(job.c.number == row.number)).scalar_one()
            spec = from_json(zlib.decompress(packed), JobSpec)
            self._keep(row.id, row.number, spec)
        return spec

    def _keep(self, job_id: str, number: int, spec: JobSpec) -> None:
        self._specs[job_id] = (number, spec)
        self._specs.move_to_end(job_id)
        while len(self._specs) > _SPECS_KEPT:
            self._specs.popitem(last=False)


def _json(rows: object) -> str:
    return msgspec.json.encode(rows).decode()


def _follow(positions: Sequence[int], completed: int) -> bool:
    """Whether positions go on from those that are there. They may be there already: a commit whose answer was lost is
    repeated."""
    if not positions:
        return True
    first, last = positions[0], positions[-1]
    return last - first + 1 == len(positions) and (first == completed + 1 or last <= completed)


def _not_found(job_id: str) -> JobNotFound:
    return JobNotFound(f"there is no job {job_id}; `heliostat jobs` lists them")


def _lost(lease: Lease, owner: str | None) -> LeaseLost:
    return LeaseLost(f"job {lease.job_id} was taken over by {owner or 'nobody'}; this coordinator stops")
