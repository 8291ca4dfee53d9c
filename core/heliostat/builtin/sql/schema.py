"""The version of the tables: made, checked and brought up to date when a database is opened."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

from sqlalchemy import Column, Connection, Integer, Table, inspect, select, text

from heliostat.builtin.sql.tables import metadata
from heliostat.errors import SchemaTooNew

if TYPE_CHECKING:
    from heliostat.builtin.sql.dialect import Dialect

VERSION: Final = 2
MIGRATIONS: Mapping[int, Sequence[str]] = {
    1: [
        """
        CREATE TABLE heliostat_journal (
            job BIGINT NOT NULL,
            revision INTEGER NOT NULL,
            time DOUBLE PRECISION NOT NULL,
            happened TEXT NOT NULL,
            PRIMARY KEY (job, revision)
        )
        """
    ],
}
"""Under `n` the statements that make version `n + 1` out of version `n`, in either dialect."""

table = Table("heliostat_schema", metadata, Column("version", Integer, nullable=False))


def is_current(connection: Connection, dialect: Dialect) -> bool:
    """Whether the tables are there in this program's version. Raises SchemaTooNew."""
    found = _version(connection)
    if found is not None and found > VERSION:
        raise SchemaTooNew(
            f"{dialect.label} was written by a newer Heliostat (its schema has version {found}, this program knows"
            f" {VERSION}): upgrade Heliostat, or give another database with --db"
        )
    return found == VERSION


def bring_up_to_date(connection: Connection, dialect: Dialect) -> None:
    """Make the tables, or migrate them; within a transaction that no other process does this in."""
    if is_current(connection, dialect):
        return
    found = _version(connection)
    if found is None:
        metadata.create_all(connection)
        connection.execute(table.insert().values(version=VERSION))
        return
    for version in range(found, VERSION):
        for statement in MIGRATIONS[version]:
            connection.execute(text(statement))
    connection.execute(table.update().values(version=VERSION))


def _version(connection: Connection) -> int | None:
    if not inspect(connection).has_table(table.name):
        return None
    return connection.execute(select(table.c.version)).scalar()
