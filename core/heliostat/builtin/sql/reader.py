"""What is read from the tables. Rows come as JSON that the database joins to one text: see `Dialect`."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import suppress
from typing import Any, Final, TypeVar

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    String,
    Table,
    Text,
    case,
    cast,
    func,
    literal,
    select,
    tuple_,
)
from sqlalchemy.sql.selectable import SelectBase

from heliostat.builtin.sql.database import Database
from heliostat.builtin.sql.specs import SpecCache, unpack, unpack_head
from heliostat.builtin.sql.tables import attempt, chunk, job, journal, spec
from heliostat.contracts.repository import JournalEntry
from heliostat.errors import JobNotFound
from heliostat.model.codec import from_json, to_json
from heliostat.model.spec import JobSpec, has_name
from heliostat.model.status import AttemptState, AttemptStatus, ChunkState, ChunkStatus, JobState, JobStatus, Wish

T = TypeVar("T")

PAGE: Final = 10_000
"""Rows read in one statement."""
JOBS_PAGE: Final = 500
"""Jobs read in one statement."""
JOURNAL_PAGE: Final = 200
"""Entries of a journal read in one statement; each may tell of thousands of chunks."""

# The largest position: see `tables`. The index of positions only serves a query that leaves out the others by name.
completed = (
    select(func.coalesce(func.max(chunk.c.position), 0))
    .where(chunk.c.job == job.c.number, chunk.c.position.is_not(None))
    .scalar_subquery()
)
revision = select(func.coalesce(func.max(journal.c.revision), 0)).where(journal.c.job == job.c.number).scalar_subquery()


class Reader:
    """All methods raise JobNotFound and RepositoryUnavailable."""

    def __init__(self, database: Database, specs: SpecCache) -> None:
        self._database = database
        self._specs = specs
        coordinator = case((job.c.lease_until > database.dialect.now, job.c.lease_owner))
        self._jobs = select(
            *job.c, completed.label("completed"), revision.label("revision"), coordinator.label("coordinator")
        )

    def get(self, job_id: str) -> JobStatus:
        with self._database.reading() as connection:
            row = connection.execute(self._jobs.where(job.c.id == job_id)).one_or_none()
            if row is None:
                raise not_found(job_id)
            return _status(row, self._spec(connection, row))

    def list(
        self,
        states: Iterable[JobState] | None,
        name: str | None,
        limit: int,
        offset: int,
        oldest_first: bool,
        with_chunks: bool,
    ) -> list[JobStatus]:
        order = [column.asc() if oldest_first else column.desc() for column in (job.c.created_at, job.c.number)]
        keys = select(job.c.number).order_by(*order)
        if states is not None:
            keys = keys.where(job.c.state.in_(list(states)))
        if name is None:
            keys = keys.limit(limit).offset(offset)
        with self._database.reading() as connection:
            numbers = connection.execute(keys).scalars().all()
            if name is not None:
                heads = self._heads(connection, numbers)
                named = [number for number in numbers if number in heads and has_name(heads[number], name)]
                numbers = named[offset : offset + limit]
            found: list[JobStatus] = []
            for first in range(0, len(numbers), JOBS_PAGE):
                page = numbers[first : first + JOBS_PAGE]
                heads = {} if with_chunks else self._heads(connection, page)
                rows = connection.execute(self._jobs.where(job.c.number.in_(page)).order_by(*order)).all()
                for row in rows:
                    with suppress(JobNotFound):  # deleted since
                        found.append(_status(row, heads.get(row.number) or self._spec(connection, row)))
        return found

    def count_jobs(self, name: str | None) -> dict[JobState, int]:
        counts = dict.fromkeys(JobState, 0)
        with self._database.reading() as connection:
            if name is None:
                rows = connection.execute(select(job.c.state, func.count()).group_by(job.c.state)).all()
                return counts | {JobState(state): number for state, number in rows}
            states = {row.number: row.state for row in connection.execute(select(job.c.number, job.c.state))}
            for number, head in self._heads(connection, tuple(states)).items():
                if has_name(head, name):
                    counts[JobState(states[number])] += 1
        return counts

    def chunks(self, job_id: str, state: ChunkState | None, limit: int | None, offset: int) -> Sequence[ChunkStatus]:
        keys = select(chunk.c.idx).order_by(chunk.c.idx)
        if state is not None:
            keys = keys.where(_in_state(chunk, state))
        found: list[ChunkStatus] = []
        with self._database.reading() as connection:
            number = self._number(connection, job_id)
            while limit is None or len(found) < limit:
                size = PAGE if limit is None else min(PAGE, limit - len(found))
                page = keys.where(chunk.c.idx > found[-1].index) if found else keys.offset(offset)
                rows = self._rows(connection, chunk, number, page.limit(size), _chunk_json, ChunkStatus)
                found += rows
                if len(rows) < size:
                    break
        return found

    def count(self, job_id: str) -> dict[ChunkState, int]:
        running, failed = (
            select(func.count()).where(chunk.c.job == job.c.number, _in_state(chunk, state)).scalar_subquery()
            for state in (ChunkState.RUNNING, ChunkState.FAILED)
        )
        query = select(job.c.total_chunks, running, completed, failed).where(job.c.id == job_id)
        with self._database.reading() as connection:
            row = connection.execute(query).one_or_none()
        if row is None:
            raise not_found(job_id)
        total, *counts = row
        return dict(zip(ChunkState, (total - sum(counts), *counts), strict=True))

    def attempts(
        self,
        job_id: str,
        index: int | None,
        state: AttemptState | None,
        wanted: Collection[tuple[int, int]] | None,
        limit: int | None,
        offset: int,
    ) -> Sequence[AttemptStatus]:
        key = (attempt.c.idx, attempt.c.number)
        keys = select(*key).order_by(*key)
        if index is not None:
            keys = keys.where(attempt.c.idx == index)
        if state is not None:
            keys = keys.where(_in_state(attempt, state))
        found: list[AttemptStatus] = []
        with self._database.reading() as connection:
            number = self._number(connection, job_id)
            if wanted is not None:
                rows = self._attempts_of(connection, number, sorted(wanted))
                chosen = [row for row in rows if index in (None, row.index) and state in (None, row.state)]
                return chosen[offset : None if limit is None else offset + limit]
            while limit is None or len(found) < limit:
                size = PAGE if limit is None else min(PAGE, limit - len(found))
                page = keys.offset(offset)
                if found:
                    page = keys.where(tuple_(*key) > tuple_(found[-1].index, found[-1].number))
                rows = self._rows(connection, attempt, number, page.limit(size), _record, AttemptStatus)
                found += rows
                if len(rows) < size:
                    break
        return found

    def journal(self, job_id: str, after: int, limit: int | None) -> Sequence[JournalEntry]:
        found: list[JournalEntry] = []
        with self._database.reading() as connection:
            number = self._number(connection, job_id)
            while limit is None or len(found) < limit:
                size = JOURNAL_PAGE if limit is None else min(JOURNAL_PAGE, limit - len(found))
                last = found[-1].revision if found else after
                keys = select(journal.c.revision).where(journal.c.revision > last).order_by(journal.c.revision)
                rows = self._rows(connection, journal, number, keys.limit(size), _entry_json, JournalEntry)
                found += rows
                if len(rows) < size:
                    break
        return found

    def wish(self, job_id: str) -> tuple[Wish | None, str | None]:
        """What is asked of the job's coordinator, and whose the lease is or was last."""
        with self._database.reading() as connection:
            row = connection.execute(select(job.c.wish, job.c.lease_owner).where(job.c.id == job_id)).one_or_none()
        if row is None:
            raise not_found(job_id)
        return None if row.wish is None else Wish(row.wish), row.lease_owner

    def _heads(self, connection: Connection, numbers: Sequence[int]) -> dict[int, JobSpec]:
        """Specifications without their chunks; not of jobs that are gone by now."""
        found = {number: head for number in numbers if (head := self._specs.head(number)) is not None}
        missing = [number for number in numbers if number not in found]
        for first in range(0, len(missing), JOBS_PAGE):
            wanted = spec.c.job.in_(missing[first : first + JOBS_PAGE])
            for row in connection.execute(select(spec.c.job, spec.c.data).where(spec.c.part == 0, wanted)):
                found[row.job] = head = unpack_head(row.data)
                self._specs.put_head(row.job, head)
        return found

    def _spec(self, connection: Connection, row: Any) -> JobSpec:
        known = self._specs.get(row.number)
        if known is None:
            query = select(spec.c.data).where(spec.c.job == row.number).order_by(spec.c.part)
            parts = connection.execute(query).scalars().all()
            if not parts:  # deleted since the row was read
                raise not_found(row.id)
            known = unpack(parts)
            self._specs.put(row.number, known)
        return known

    def _number(self, connection: Connection, job_id: str) -> int:
        number: int | None = connection.execute(select(job.c.number).where(job.c.id == job_id)).scalar()
        if number is None:
            raise not_found(job_id)
        return number

    def _attempts_of(
        self, connection: Connection, number: int, wanted: Sequence[tuple[int, int]]
    ) -> Sequence[AttemptStatus]:
        key = (attempt.c.idx, attempt.c.number)
        found: list[AttemptStatus] = []
        for first in range(0, len(wanted), PAGE):
            keys = self._database.dialect.select_keys.bindparams(keys=to_json(wanted[first : first + PAGE]).decode())
            found += self._read(connection, attempt, number, key, keys.columns(*key), _record, AttemptStatus)
        return found

    def _rows(
        self,
        connection: Connection,
        table: Table,
        number: int,
        keys: Select[Any],
        as_json: Callable[[Any], ColumnElement[str]],
        kind: type[T],
    ) -> Sequence[T]:
        """One page of a job's rows, in the order of their keys."""
        # The keys first: SQLite expects that a job has a handful of rows, and would go through all of them rather than
        # use an index that does not hold the whole row.
        chosen = keys.where(table.c.job == number)
        return self._read(connection, table, number, tuple(keys.selected_columns), chosen, as_json, kind)

    def _read(
        self,
        connection: Connection,
        table: Table,
        number: int,
        key: Sequence[ColumnElement[Any]],
        keys: SelectBase,
        as_json: Callable[[Any], ColumnElement[str]],
        kind: type[T],
    ) -> Sequence[T]:
        """A job's rows of these keys, in their order."""
        rows = select(table).where(table.c.job == number, tuple_(*key).in_(keys)).order_by(*key).subquery()
        texts = self._database.dialect.concatenate(as_json(rows.c), ",")
        return from_json(f"[{connection.execute(select(texts)).scalar() or ''}]", list[kind])  # type: ignore[valid-type]


def _status(row: Any, spec: JobSpec) -> JobStatus:
    return JobStatus(
        id=row.id,
        spec=spec,
        state=JobState(row.state),
        completed_chunks=row.completed,
        total_chunks=row.total_chunks,
        error=row.error,
        created_at=row.created_at,
        updated_at=row.updated_at,
        revision=row.revision,
        metrics=row.metrics,
        settings=row.settings,
        worker=row.worker,
        wish=None if row.wish is None else Wish(row.wish),
        coordinator=row.coordinator,
        output=row.output,
    )


def not_found(job_id: str) -> JobNotFound:
    return JobNotFound(f"there is no job {job_id}; `heliostat jobs` lists those there are")


def _in_state(table: Table, state: ChunkState | AttemptState) -> ColumnElement[bool]:
    """Spelled out, because a partial index does not serve a query with a parameter in the place of the state."""
    return table.c.state == literal(state.value, literal_execute=True)


def _record(row: Any) -> ColumnElement[str]:
    """A row of the table of attempts as the JSON of an AttemptStatus."""
    record: ColumnElement[str] = row.record
    return record


def _chunk_json(row: Any) -> Any:
    """A row of the table of chunks as the JSON of a ChunkStatus."""
    return _joined(
        '{"index":',
        cast(row.idx, Text),
        ',"id":',
        row.id,
        ',"state":"',
        row.state,
        '","attempts":',
        cast(row.attempts, Text),
        ',"position":',
        func.coalesce(cast(row.position, Text), "null"),
        "}",
    )


def _entry_json(row: Any) -> Any:
    """A row of the table of journals as the JSON of a JournalEntry."""
    return _joined(
        '{"revision":',
        cast(row.revision, Text),
        ',"time":',
        cast(row.time, Text),
        ',"happened":',
        row.happened,
        "}",
    )


def _joined(*parts: Any) -> Any:
    joined: Any = literal("", String)
    for part in parts:
        joined = joined + (literal(part, String) if isinstance(part, str) else part)
    return joined
