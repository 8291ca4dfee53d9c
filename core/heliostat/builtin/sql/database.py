"""A database, opened when it is first used: transactions, with the driver's errors as Heliostat's own."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError

from heliostat.builtin.sql import schema
from heliostat.builtin.sql.dialect import Dialect


class Database:
    """For one thread that writes and one that reads. Everything raises the errors of `Dialect.explain`."""

    def __init__(self, dialect: Dialect) -> None:
        self.dialect = dialect
        self._engine: Engine | None = None
        self._dispose: weakref.finalize[[], Database]
        self._opening = threading.Lock()

    def open(self) -> Engine:
        """Make or check the schema. Raises SchemaTooNew."""
        with self._opening:
            if self._engine is None:
                engine = self.dialect.engine()
                try:
                    with self._mapped_errors():
                        self._check_schema(engine)
                except BaseException:
                    engine.dispose()
                    raise
                self._engine = engine
                self._dispose = weakref.finalize(self, engine.dispose)
            return self._engine

    def close(self) -> None:
        """Close the connections; the next use opens them again."""
        with self._opening:
            if self._engine is not None:
                self._engine = None
                self._dispose()

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Each statement sees what was committed when it began."""
        engine = self.open()
        with self._mapped_errors(), engine.connect().execution_options(**self.dialect.reading_options()) as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction: all of it is on the disk in the end, or, when something is raised, nothing."""
        engine = self.open()
        with self._mapped_errors(), engine.begin() as connection:
            self.dialect.begin(connection)
            yield connection

    def _check_schema(self, engine: Engine) -> None:
        # Looks first and locks only where that has to be: a database that somebody else writes to can be opened.
        with engine.connect() as connection:
            if schema.is_current(connection, self.dialect):
                return
        with engine.begin() as connection:
            self.dialect.begin(connection)
            self.dialect.lock_schema(connection)
            schema.bring_up_to_date(connection, self.dialect)

    @contextmanager
    def _mapped_errors(self) -> Iterator[None]:
        try:
            yield
        except DBAPIError as error:
            raise self.dialect.explain(error) from error
