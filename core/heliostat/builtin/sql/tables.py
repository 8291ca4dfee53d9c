"""The tables. Their version is in `heliostat.builtin.sql.schema`."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    DDL,
    BigInteger,
    CheckConstraint,
    Column,
    Dialect,
    Double,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    TypeDecorator,
    event,
)

from heliostat.model.codec import from_json, to_json
from heliostat.model.status import JobMetrics, JobSettings, WorkerChoice


class Json(TypeDecorator[Any]):
    """A record as JSON text. Plain text goes this way too where it may hold NUL, which PostgreSQL's text cannot."""

    impl = Text
    cache_ok = True

    def __init__(self, kind: type) -> None:
        super().__init__()
        self.kind = kind

    def process_bind_param(self, value: Any, dialect: Dialect) -> str | None:
        return None if value is None else to_json(value).decode()

    def process_result_value(self, value: Any, dialect: Dialect) -> Any:
        return None if value is None else from_json(value, self.kind)


class Moment(TypeDecorator[datetime]):
    """A point in time as seconds since the epoch, exact to the microsecond."""

    impl = Double
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> float | None:
        return value.timestamp() if isinstance(value, datetime) else value

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        return None if value is None else datetime.fromtimestamp(value, UTC)


metadata = MetaData()

# Other rows carry the job's number in place of its id, which is several times as long. Numbers are never used again, so
# what is remembered under one cannot belong to another job.
_Number = BigInteger().with_variant(Integer, "sqlite")

job = Table(
    "heliostat_job",
    metadata,
    Column("number", _Number, primary_key=True),
    Column("id", Text, nullable=False, unique=True),
    Column("state", Text, nullable=False),
    Column("total_chunks", Integer, nullable=False),
    Column("settings", Json(JobSettings), nullable=False),
    Column("worker", Json(WorkerChoice)),
    Column("error", Json(str)),
    Column("metrics", Json(JobMetrics), nullable=False),
    Column("output", Json(str)),
    Column("created_at", Moment, nullable=False),
    Column("updated_at", Moment, nullable=False),
    Column("wish", Text),
    Column("lease_owner", Text),
    Column("lease_until", Double),
    sqlite_autoincrement=True,
)

# In a table of its own: SQLite writes a row anew, all of it, whenever one of its columns grows.
spec = Table(
    "heliostat_spec",
    metadata,
    Column("job", _Number, primary_key=True, autoincrement=False),
    Column("part", Integer, primary_key=True, autoincrement=False),
    Column("data", LargeBinary, nullable=False),
)


def _index(table: Table, what: str) -> None:
    """A partial index. As text, which reads the same in both dialects: `Index(postgresql_where=…)` would import
    SQLAlchemy's PostgreSQL, which takes longer than all the rest of a short job's start."""
    event.listen(table, "after_create", DDL(f"CREATE {what}"))  # type: ignore[no-untyped-call]


chunk = Table(
    "heliostat_chunk",
    metadata,
    Column("job", _Number, primary_key=True, autoincrement=False),
    Column("idx", Integer, primary_key=True, autoincrement=False),
    Column("id", Text, nullable=False),  # JSON, which keeps 1 and "1" apart
    Column("state", Text, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("position", Integer),
    CheckConstraint("(state = 'succeeded') = (position IS NOT NULL)", name="heliostat_chunk_counted"),
    sqlite_with_rowid=False,
)

# Positions are unique and dense, 1 to n. So no chunk can be counted twice, and the number of succeeded chunks is the
# largest position, which this index yields in the same time for ten chunks and for a million.
_index(chunk, "UNIQUE INDEX heliostat_chunk_position ON heliostat_chunk (job, position) WHERE position IS NOT NULL")
# The states that few chunks are in at a time. An index of all states would double the cost of a commit.
_index(
    chunk,
    "INDEX heliostat_chunk_state ON heliostat_chunk (job, state, idx) WHERE state = 'running' OR state = 'failed'",
)

# An entry for each commit that has something to tell, of all that it tells: one row, however many chunks. It grows with
# them, so that it is stored apart from its key.
journal = Table(
    "heliostat_journal",
    metadata,
    Column("job", BigInteger, primary_key=True, autoincrement=False),
    Column("revision", Integer, primary_key=True, autoincrement=False),
    Column("time", Double, nullable=False),
    Column("happened", Text, nullable=False),  # JournalEntry.happened as JSON
)

attempt = Table(
    "heliostat_attempt",
    metadata,
    Column("job", _Number, primary_key=True, autoincrement=False),
    Column("idx", Integer, primary_key=True, autoincrement=False),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("state", Text, nullable=False),
    Column("record", Text, nullable=False),  # AttemptStatus as JSON
    sqlite_with_rowid=False,
)
_index(
    attempt,
    "INDEX heliostat_attempt_running ON heliostat_attempt (job, state, idx, number) WHERE state = 'running'",
)
