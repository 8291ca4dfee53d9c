"""Repositories in SQLite (`sqlite:///path`) and PostgreSQL (`postgresql://…`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from heliostat.hookspecs import Register, hookimpl

if TYPE_CHECKING:
    from heliostat.builtin.sql.repository import SqlRepository


class SqliteOptions(msgspec.Struct, frozen=True):
    url: str
    """`sqlite:///relative/path` or `sqlite:////absolute/path`; the path is taken as it stands, without escapes."""


class PostgresqlOptions(msgspec.Struct, frozen=True):
    url: str
    """`postgresql://user:password@host:port/database`, with the parameters of libpq after a `?`."""


def make_sqlite_repository(options: SqliteOptions) -> SqlRepository:
    """Raises SpecError."""
    from heliostat.builtin.sql.repository import SqlRepository  # SQLAlchemy is not imported before it is needed
    from heliostat.builtin.sql.sqlite import Sqlite

    return SqlRepository(Sqlite(options.url))


def make_postgresql_repository(options: PostgresqlOptions) -> SqlRepository:
    """Raises SpecError."""
    from heliostat.builtin.sql.postgresql import Postgresql
    from heliostat.builtin.sql.repository import SqlRepository

    return SqlRepository(Postgresql(options.url))


@hookimpl
def register_repositories(register: Register) -> None:
    register("sqlite", make_sqlite_repository, options=SqliteOptions, summary="in a SQLite file, for one machine")
    register(
        "postgresql",
        make_postgresql_repository,
        options=PostgresqlOptions,
        summary="in a PostgreSQL database, for several machines",
    )
