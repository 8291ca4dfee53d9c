"""What differs from one SQL database to another: all of it is here and in the two modules that implement it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Engine, TextClause
from sqlalchemy.exc import DBAPIError

from heliostat.errors import RepositoryError
from heliostat.model.status import AttemptStatus


class Dialect(ABC):
    """The first three statements write many rows at once, given as one JSON array in the parameter `rows`, for the job
    whose number is the parameter `job`.

    One statement, because Python's sqlite3 gives up the interpreter lock around every step: row by row, the writing
    thread would wait for a busy event loop before each of them, 5 ms a time.
    """

    label: str
    """What messages call the database."""
    now: ColumnElement[float]
    """Seconds since the epoch, by the clock that all who use the database share."""
    concatenate: Callable[[ColumnElement[str], str], ColumnElement[str]]
    """An aggregate: the texts of all rows with a separator between them."""

    insert_chunks: TextClause
    """New `pending` chunks. `rows` has the chunk ids, each as JSON text; `first` is the index of the first one."""
    update_chunks: TextClause
    """`rows` has `ChunkChange`s. Passes over a chunk that has succeeded at another position."""
    write_attempts: TextClause
    """`rows` is what `attempt_rows` makes."""
    select_keys: TextClause
    """Pairs of numbers as rows `idx`, `number`, given as one JSON array in the parameter `keys`."""

    @abstractmethod
    def attempt_rows(self, attempts: Sequence[AttemptStatus]) -> str:
        """The rows for `write_attempts`."""

    @abstractmethod
    def engine(self) -> Engine:
        """A pool of at most two connections: one thread writes, one reads. Raises RepositoryError."""

    @abstractmethod
    def begin(self, connection: Connection) -> None:
        """Start a transaction that will write."""

    @abstractmethod
    def reading_options(self) -> dict[str, Any]:
        """Execution options of a connection that only reads, one statement after the other."""

    @abstractmethod
    def lock_schema(self, connection: Connection) -> None:
        """Within a transaction: keep other processes from changing the schema until it ends."""

    @abstractmethod
    def explain(self, error: DBAPIError) -> RepositoryError:
        """A driver's error as Heliostat's own: RepositoryUnavailable when the same call may succeed later."""
