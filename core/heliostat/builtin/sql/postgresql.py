"""PostgreSQL by way of psycopg 3: one database for several machines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Double, Engine, cast, create_engine, event, func, select, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, InterfaceError, OperationalError

from heliostat.builtin.sql.dialect import Dialect
from heliostat.errors import RepositoryError, RepositoryUnavailable, SpecError
from heliostat.model.codec import to_json
from heliostat.model.status import AttemptStatus

CONNECT_TIMEOUT: Final = 5
"""Seconds that a call waits for a connection, and for an answer to a message that the network lost."""
LOCK_TIMEOUT: Final = 5.0
"""Seconds that a call waits for a lock that another program holds."""
_SCHEMA_LOCK = 0x48454C494F  # "HELIO"; any number that other programs are unlikely to use


class Postgresql(Dialect):
    """`postgresql://user:password@host:port/database?parameters`."""

    insert_chunks = text(
        "INSERT INTO heliostat_chunk (job, idx, id, state, attempts)"
        " SELECT :job, :first + place - 1, id, 'pending', 0"
        " FROM json_array_elements_text(CAST(:rows AS json)) WITH ORDINALITY AS new (id, place)"
    )
    update_chunks = text(
        "UPDATE heliostat_chunk SET state = new.state, attempts = new.attempts, position = new.position"
        " FROM (SELECT CAST(value ->> 0 AS integer) AS idx, value ->> 1 AS state,"
        " CAST(value ->> 2 AS integer) AS attempts, CAST(value ->> 3 AS integer) AS position"
        " FROM json_array_elements(CAST(:rows AS json))) AS new"
        " WHERE heliostat_chunk.job = :job AND heliostat_chunk.idx = new.idx"
        " AND (heliostat_chunk.position IS NULL OR heliostat_chunk.position = new.position)"
    )
    write_attempts = text(
        "INSERT INTO heliostat_attempt (job, idx, number, state, record)"
        " SELECT :job, CAST(value ->> 0 AS integer), CAST(value ->> 1 AS integer), value ->> 2, value ->> 3"
        " FROM json_array_elements(CAST(:rows AS json))"
        " ON CONFLICT (job, idx, number) DO UPDATE SET state = excluded.state, record = excluded.record"
    )

    select_keys = text(
        "SELECT CAST(value ->> 0 AS integer), CAST(value ->> 1 AS integer)"
        " FROM json_array_elements(CAST(:keys AS json))"
    )

    def __init__(self, url: str) -> None:
        try:
            self._url = make_url(url).set(drivername="postgresql+psycopg")
        except (ArgumentError, ValueError):
            raise SpecError(f"{url!r} is no database URL; write postgresql://user:password@host/database") from None
        self.label = f"the database {make_url(url).render_as_string(hide_password=True)}"
        self.now = cast(func.extract("epoch", func.clock_timestamp()), Double)

    @staticmethod
    def concatenate(texts: ColumnElement[str], separator: str) -> ColumnElement[str]:
        return func.string_agg(texts, separator)

    def attempt_rows(self, attempts: Sequence[AttemptStatus]) -> str:
        # The record as a string in the array: PostgreSQL takes nothing out of JSON in which a command said NUL.
        return to_json([(row.index, row.number, row.state, to_json(row).decode()) for row in attempts]).decode()

    def engine(self) -> Engine:
        waiting = {"connect_timeout": CONNECT_TIMEOUT, "tcp_user_timeout": 1000 * CONNECT_TIMEOUT}
        try:
            engine = create_engine(
                self._url,
                pool_size=2,
                max_overflow=0,
                connect_args={key: value for key, value in waiting.items() if key not in self._url.query},
            )
        except ImportError as error:
            raise RepositoryError(
                f"{self.label} needs a driver that is not installed: pip install 'heliostat[postgresql]'"
            ) from error
        event.listen(engine, "connect", _set_up)
        return engine

    def begin(self, connection: Connection) -> None:
        """The driver did."""

    def reading_options(self) -> dict[str, Any]:
        return {"isolation_level": "AUTOCOMMIT"}  # saves two messages for each call

    def lock_schema(self, connection: Connection) -> None:
        connection.execute(select(func.pg_advisory_xact_lock(_SCHEMA_LOCK)))

    def explain(self, error: DBAPIError) -> RepositoryError:
        reason = " ".join(str(error.orig).split())
        if isinstance(error, OperationalError | InterfaceError) or error.connection_invalidated:
            return RepositoryUnavailable(
                f"{self.label} cannot be used just now ({reason}); check the server and try again"
            )
        return RepositoryError(f"{self.label} refused: {reason}")


def _set_up(connection: Any, record: object) -> None:
    connection.execute(f"SET lock_timeout = '{LOCK_TIMEOUT}s'")
    connection.commit()
