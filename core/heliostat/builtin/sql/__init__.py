"""Repositories in SQLite (`sqlite:///path`) and PostgreSQL (`postgresql://…`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from heliostat.hookspecs import Register, hookimpl

if TYPE_CHECKING:
    from heliostat.builtin.sql.repository import SqlRepository


class SqlOptions(msgspec.Struct, frozen=True):
    url: str
    """`sqlite:///relative/path`, `sqlite:////absolute/path`, or `postgresql://user:password@host/database`."""


def make_repository(options: SqlOptions) -> SqlRepository:
    from heliostat.builtin.sql.repository import SqlRepository  # SQLAlchemy is not imported before it is needed

    return SqlRepository(options.url)


@hookimpl
def register_repositories(register: Register) -> None:
    register("sqlite", make_repository, options=SqlOptions, summary="in a SQLite file, for one machine")
    register("postgresql", make_repository, options=SqlOptions, summary="in PostgreSQL, for several machines")
