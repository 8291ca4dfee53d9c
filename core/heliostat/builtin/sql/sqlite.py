"""SQLite: one file, one machine, any number of processes."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Double, Engine, bindparam, create_engine, event, func, text
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import QueuePool

from heliostat.builtin.sql.dialect import Dialect
from heliostat.errors import RepositoryError, RepositoryUnavailable, SpecError
from heliostat.model.codec import to_json
from heliostat.model.status import AttemptStatus

BUSY_TIMEOUT: Final = 5.0
"""Seconds that a call waits for a lock that another process holds."""
_OLDEST = (3, 33, 0)  # UPDATE … FROM


class Sqlite(Dialect):
    """`sqlite:///relative/path` or `sqlite:////absolute/path`. Missing directories are made when it is opened."""

    insert_chunks = text(
        "INSERT INTO heliostat_chunk (job, idx, id, state, attempts)"
        " SELECT :job, :first + key, value, 'pending', 0 FROM json_each(:rows)"
    )
    # `:job + 0 * key` instead of `:job` makes the planner begin with the rows and look each chunk up. It would begin
    # with all chunks of the job and go through the rows for each of them, as it knows neither number.
    update_chunks = text(
        "UPDATE heliostat_chunk SET state = new.state, attempts = new.attempts, position = new.position"
        " FROM (SELECT :job + 0 * key AS job, json_extract(value, '$[0]') AS idx,"
        " json_extract(value, '$[1]') AS state, json_extract(value, '$[2]') AS attempts,"
        " json_extract(value, '$[3]') AS position FROM json_each(:rows)) AS new"
        " WHERE heliostat_chunk.job = new.job AND heliostat_chunk.idx = new.idx"
        " AND (heliostat_chunk.position IS NULL OR heliostat_chunk.position = new.position)"
    )
    write_attempts = text(
        "INSERT INTO heliostat_attempt (job, idx, number, state, record)"
        " SELECT :job, json_extract(value, '$.index'), json_extract(value, '$.number'), json_extract(value, '$.state'),"
        " value FROM json_each(:rows) WHERE true"
        " ON CONFLICT (job, idx, number) DO UPDATE SET state = excluded.state, record = excluded.record"
    )

    select_keys = text("SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]') FROM json_each(:keys)")

    def __init__(self, url: str) -> None:
        path = url.removeprefix("sqlite:///")
        if path in (url, "", ":memory:"):
            raise SpecError(f"{url!r} names no file; write sqlite:///path, or memory: for jobs that need not be kept")
        self._path = Path(path).absolute()
        self.label = f"the database {self._path}"
        self.now: ColumnElement[float] = bindparam(None, type_=Double, callable_=time.time, unique=True)

    @staticmethod
    def concatenate(texts: ColumnElement[str], separator: str) -> ColumnElement[str]:
        return func.group_concat(texts, separator)

    def attempt_rows(self, attempts: Sequence[AttemptStatus]) -> str:
        return to_json(attempts).decode()

    def engine(self) -> Engine:
        if sqlite3.sqlite_version_info < _OLDEST:
            needed = ".".join(map(str, _OLDEST))
            raise RepositoryError(
                f"this Python has SQLite {sqlite3.sqlite_version} and Heliostat needs {needed} or newer: use another"
                " Python"
            )
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RepositoryError(
                f"the directory {self._path.parent} cannot be made for the database ({error.strerror}); give another"
                " database with --db"
            ) from error
        engine = create_engine(
            URL.create("sqlite", database=str(self._path)),
            poolclass=QueuePool,
            pool_size=2,
            max_overflow=0,
            connect_args={"timeout": BUSY_TIMEOUT, "check_same_thread": False},
        )
        event.listen(engine, "connect", _set_up)
        return engine

    def begin(self, connection: Connection) -> None:
        # A transaction that begins with a read and then comes to write would fail, not wait, when another one has
        # written in between.
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    def reading_options(self) -> dict[str, Any]:
        return {}

    def lock_schema(self, connection: Connection) -> None:
        """BEGIN IMMEDIATE did."""

    def explain(self, error: DBAPIError) -> RepositoryError:
        code = getattr(error.orig, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF  # without the extension
        match code:
            case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED | sqlite3.SQLITE_PROTOCOL:
                return RepositoryUnavailable(
                    f"{self.label} has been locked by another program for {BUSY_TIMEOUT:.0f} s; nothing was written,"
                    " try again when that program is done"
                )
            case sqlite3.SQLITE_FULL:
                return RepositoryUnavailable(f"the disk of {self.label} is full; nothing was written, make room there")
            case sqlite3.SQLITE_IOERR | sqlite3.SQLITE_NOMEM:
                return RepositoryUnavailable(
                    f"{self.label} cannot be read or written ({error.orig}); nothing was written, check the disk"
                )
            case sqlite3.SQLITE_CANTOPEN:
                return RepositoryUnavailable(
                    f"{self.label} cannot be opened; check that it is a file that you may read and write, in a"
                    " directory that you may write to, or give another with --db"
                )
            case sqlite3.SQLITE_READONLY:
                return RepositoryError(
                    f"{self.label} cannot be written to ({error.orig}); check its permissions, or give another with"
                    " --db"
                )
            case sqlite3.SQLITE_NOTADB | sqlite3.SQLITE_CORRUPT:
                return RepositoryError(f"{self.label} is damaged or no SQLite file; give another one with --db")
        return RepositoryError(f"{self.label} refused: {error.orig}")


def _set_up(connection: sqlite3.Connection, record: object) -> None:
    connection.isolation_level = None  # so that the driver begins no transactions of its own accord
    _enter_wal(connection)
    # What is committed is on the disk, also when the power fails. NORMAL would promise that for crashes only.
    connection.execute("PRAGMA synchronous = FULL")


def _enter_wal(connection: sqlite3.Connection) -> None:
    """The journal is kept in a write-ahead log, so that readers and the writer do not wait for each other.

    The change is made once in the life of a file. SQLite does not wait for its lock, so that several processes that
    open a new file at once have to try again.
    """
    deadline = time.monotonic() + BUSY_TIMEOUT
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.01)
        else:
            return
