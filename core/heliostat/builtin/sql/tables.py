"""The tables, and their version."""

from __future__ import annotations

from typing import Final

from sqlalchemy import (
    BigInteger,
    Column,
    Float,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    text,
)

SCHEMA_VERSION: Final = 1

metadata = MetaData()

schema = Table("heliostat_schema", metadata, Column("version", Integer, primary_key=True, autoincrement=False))

job = Table(
    "job",
    metadata,
    # Chunk and attempt rows carry this number in place of the id: it is a fraction of its size.
    Column("number", Integer().with_variant(BigInteger, "postgresql"), primary_key=True),
    Column("id", Text, nullable=False, unique=True),
    Column("state", Text, nullable=False),
    Column("spec", LargeBinary, nullable=False),  # JSON, compressed with zlib
    Column("settings", Text, nullable=False),
    Column("worker", Text),
    Column("error", Text),
    Column("metrics", Text, nullable=False),
    Column("output", Text),
    Column("total", Integer, nullable=False),
    Column("created_at", Float(53), nullable=False),
    Column("updated_at", Float(53), nullable=False),
    Column("wish", Text),
    Column("lease_owner", Text),
    Column("lease_until", Float(53), nullable=False, default=0.0),
)

chunk = Table(
    "chunk",
    metadata,
    Column("job", ForeignKey("job.number", ondelete="CASCADE"), primary_key=True),
    Column("idx", Integer, primary_key=True),
    Column("id", Text, nullable=False),  # JSON, which keeps 1 and "1" apart
    Column("state", Text, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("position", Integer),
    sqlite_with_rowid=False,
)

# Positions are dense, 1 to n, and unique: a chunk cannot be counted twice, and the largest one is the number of
# succeeded chunks, which this index yields in the same time for ten chunks and for a million.
_counted = text("position IS NOT NULL")
Index("chunk_position", chunk.c.job, chunk.c.position, unique=True, sqlite_where=_counted, postgresql_where=_counted)
_rare = text("state IN ('running', 'failed')")
Index("chunk_state", chunk.c.job, chunk.c.state, sqlite_where=_rare, postgresql_where=_rare)

attempt = Table(
    "attempt",
    metadata,
    Column("job", Integer, primary_key=True),
    Column("idx", Integer, primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("state", Text, nullable=False),
    Column("record", Text, nullable=False),  # an AttemptStatus as JSON
    ForeignKeyConstraint(["job"], ["job.number"], ondelete="CASCADE"),
    sqlite_with_rowid=False,
)
_running = text("state = 'running'")
Index("attempt_running", attempt.c.job, sqlite_where=_running, postgresql_where=_running)
