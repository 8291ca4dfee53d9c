"""The connection to a database: opened when first needed, used from one thread, its errors mapped to Heliostat's."""

from __future__ import annotations

import asyncio
import re
import sqlite3
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, TypeVar

from sqlalchemy import Connection, Engine, create_engine, event, exc, select, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.pool import QueuePool

from heliostat.builtin.sql import tables
from heliostat.errors import HeliostatError, RepositoryError, RepositoryUnavailable, SchemaTooNew, SpecError

T = TypeVar("T")

BUSY_TIMEOUT: Final = 5.0
"""Seconds that SQLite waits for a lock before it says that the database is locked."""
_READS = {"heliostat_reads": True}
_SCHEMA_LOCK = 0x48454C49
_PASSING = re.compile(
    r"locked|busy|database or disk is full|disk I/O error|unable to open|attempt to write a readonly"
    r"|connection|server closed|starting up|shutting down|No space left|too many clients|could not (?:extend|write)",
    re.IGNORECASE,
)


class Database:
    """All methods may be called from any event loop; statements run one after the other on a thread of their own."""

    def __init__(self, url: str) -> None:
        try:
            self._url = make_url(url)
        except exc.ArgumentError:
            raise SpecError(
                f"{url!r} is no database URL; write sqlite:///path or postgresql://user@host/database"
            ) from None
        self.name = _describe(self._url)
        self.is_postgresql = self._url.get_backend_name() == "postgresql"
        self._engine: Engine | None = None
        self._thread: ThreadPoolExecutor | None = None

    async def read(self, work: Callable[[Connection], T]) -> T:
        """Run `work` outside of a transaction."""
        return await self._run(work, reads=True)

    async def write(self, work: Callable[[Connection], T]) -> T:
        """Run `work` in a transaction that no other writer shares; when this returns, it is on the disk."""
        return await self._run(work, reads=False)

    def now(self, connection: Connection) -> float:
        """Seconds since the epoch, by the clock that all who use the database share."""
        if self.is_postgresql:
            return float(connection.execute(text("SELECT extract(epoch FROM clock_timestamp())")).scalar_one())
        return time.time()

    async def close(self) -> None:
        if self._thread is not None:
            thread, self._thread = self._thread, None
            await asyncio.wrap_future(thread.submit(self._dispose))
            thread.shutdown(wait=False)

    async def _run(self, work: Callable[[Connection], T], *, reads: bool) -> T:
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, thread_name_prefix="heliostat repository")
        return await asyncio.wrap_future(self._thread.submit(self._work, work, reads))

    def _work(self, work: Callable[[Connection], T], reads: bool) -> T:
        with self._mapped():
            if self._engine is None:
                self._engine = self._open()
            if reads:
                with self._engine.connect() as connection:
                    return work(
                        connection.execution_options(isolation_level="AUTOCOMMIT")
                        if self.is_postgresql
                        else connection.execution_options(**_READS)
                    )
            with self._engine.begin() as connection:
                return work(connection)

    @contextmanager
    def _mapped(self) -> Iterator[None]:
        try:
            yield
        except HeliostatError:
            raise
        except exc.IntegrityError as error:
            raise RepositoryError(f"{self.name}: rows contradict each other ({_first_line(error)})") from error
        except (exc.DBAPIError, sqlite3.Error) as error:
            lost = isinstance(error, exc.DBAPIError) and error.connection_invalidated
            if lost or _PASSING.search(str(error)):
                raise RepositoryUnavailable(
                    f"{self.name} cannot be used just now ({_first_line(error)}); nothing was written, try again"
                ) from error
            raise RepositoryError(f"{self.name}: {_first_line(error)}") from error
        except OSError as error:
            raise RepositoryUnavailable(
                f"{self.name} cannot be opened ({error.strerror}); give another with --db or HELIOSTAT_DB"
            ) from error
        except ImportError as error:
            raise RepositoryError(
                f"{self.name} needs a driver that is not installed; pip install 'heliostat[postgresql]'"
            ) from error

    def _open(self) -> Engine:
        engine = self._postgresql() if self.is_postgresql else self._sqlite()
        try:
            with engine.begin() as connection:
                if self.is_postgresql:
                    connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _SCHEMA_LOCK})
                self._check_schema(connection)
        except BaseException:
            engine.dispose()
            raise
        return engine

    def _check_schema(self, connection: Connection) -> None:
        tables.metadata.create_all(connection)
        found = connection.execute(select(tables.schema.c.version)).scalar()
        if found is None:
            connection.execute(tables.schema.insert().values(version=tables.SCHEMA_VERSION))
        elif found > tables.SCHEMA_VERSION:
            raise SchemaTooNew(
                f"{self.name} was written by a newer Heliostat (schema {found}, this one knows"
                f" {tables.SCHEMA_VERSION}); upgrade Heliostat, or give another database with --db"
            )

    def _postgresql(self) -> Engine:
        return create_engine(
            self._url.set(drivername="postgresql+psycopg"), pool_size=1, max_overflow=0, pool_pre_ping=True
        )

    def _sqlite(self) -> Engine:
        if self._url.database in (None, "", ":memory:"):
            raise SpecError("sqlite:// names no file; write sqlite:///path, or memory: for jobs that nobody keeps")
        Path(self._url.database or "").expanduser().parent.mkdir(parents=True, exist_ok=True)
        engine = create_engine(
            self._url.set(drivername="sqlite", database=str(Path(self._url.database or "").expanduser())),
            poolclass=QueuePool,
            pool_size=1,
            max_overflow=0,
            connect_args={"timeout": BUSY_TIMEOUT, "check_same_thread": False},
        )
        event.listen(engine, "connect", _set_up_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
        return engine

    def _dispose(self) -> None:
        if self._engine is not None:
            self._engine.dispose()
            self._engine = None


def _set_up_sqlite(connection: sqlite3.Connection, record: Any) -> None:
    connection.isolation_level = None  # the driver is to begin no transactions of its own
    connection.execute("PRAGMA journal_mode = WAL")
    # What is committed is on the disk, also when the power fails: NORMAL would only promise that for a crash of ours.
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")


def _begin_sqlite(connection: Connection) -> None:
    # A transaction that will write takes its lock at once: one that reads first can fail when it comes to write.
    if not connection.get_execution_options().get("heliostat_reads"):
        connection.exec_driver_sql("BEGIN IMMEDIATE")


def _describe(url: URL) -> str:
    if url.get_backend_name() == "sqlite":
        return f"the database {url.database}"
    return f"the database {url.render_as_string(hide_password=True)}"


def _first_line(error: BaseException) -> str:
    original = getattr(error, "orig", None) or error
    return str(original).strip().partition("\n")[0]
