"""Statements that write many rows at once.

Each takes all its rows as one JSON array and writes them in a single step. Python's sqlite3 gives up the interpreter
lock around every step; row by row, a writing thread would wait for a busy event loop before each of them.
"""

from __future__ import annotations

from sqlalchemy import TextClause, text


class Statements:
    """For one SQL dialect: `sqlite` or `postgresql`. They differ in how JSON becomes rows, and in nothing else."""

    def __init__(self, dialect: str) -> None:
        self._postgresql = dialect == "postgresql"
        # An upsert of rows that all exist: with UPDATE … FROM, SQLite may search the JSON once for every chunk.
        self.update_chunks: TextClause = text(
            "INSERT INTO chunk (job, idx, id, state, attempts, position) SELECT :job, i, '', s, a, p"
            f" FROM ({self._rows(i='int', s='text', a='int', p='int')}) AS rows WHERE true"
            " ON CONFLICT (job, idx) DO UPDATE"
            " SET state = excluded.state, attempts = excluded.attempts, position = excluded.position"
            " WHERE chunk.position IS NULL OR chunk.position = excluded.position"
        )
        """`[[index, state, attempts, position], …]`. Leaves out a chunk that has succeeded at another position."""
        self.upsert_attempts: TextClause = text(
            "INSERT INTO attempt (job, idx, number, state, record)"
            f" SELECT :job, i, n, s, record FROM ({self._records(i='int index', n='int number', s='text state')}) AS rows"
            " WHERE true"
            " ON CONFLICT (job, idx, number) DO UPDATE SET state = excluded.state, record = excluded.record"
        )
        """`[record, …]`, each an AttemptStatus."""
        self.insert_chunks: TextClause = text(
            "INSERT INTO chunk (job, idx, id, state, attempts)"
            f" SELECT :job, i, id, 'pending', 0 FROM ({self._rows(i='int', id='text')}) AS rows"
        )
        """`[[index, id], …]`."""
        self.withdraw: TextClause = text(
            "UPDATE chunk SET state = 'pending', position = NULL"
            f" WHERE job = :job AND idx IN (SELECT i FROM ({self._rows(i='int')}) AS rows)"
        )
        """`[[index], …]`."""
        # By way of negative numbers, so that no two rows have the same position in between.
        self.renumber: tuple[TextClause, TextClause] = (
            text(
                "INSERT INTO chunk (job, idx, id, state, attempts, position)"
                " SELECT job, idx, id, state, attempts, -row_number() OVER (ORDER BY position) FROM chunk"
                " WHERE job = :job AND position IS NOT NULL"
                " ON CONFLICT (job, idx) DO UPDATE SET position = excluded.position"
            ),
            text("UPDATE chunk SET position = -position WHERE job = :job AND position < 0"),
        )
        self.completed: TextClause = text("SELECT coalesce(max(position), 0) FROM chunk WHERE job = :job")

    def _records(self, **columns: str) -> str:
        """A query for the objects in the parameter `rows`, whole as `record`, and some of their fields."""
        fields = [(name, *kind_and_field.split()) for name, kind_and_field in columns.items()]
        if self._postgresql:
            names = ", ".join(f"CAST(value ->> '{field}' AS {kind}) AS {name}" for name, kind, field in fields)
            return (
                f"SELECT CAST(value AS text) AS record, {names}"
                " FROM json_array_elements(CAST(:rows AS json)) AS t (value)"
            )
        names = ", ".join(f"json_extract(value, '$.{field}') AS {name}" for name, _, field in fields)
        return f"SELECT value AS record, {names} FROM json_each(:rows)"

    def _rows(self, **columns: str) -> str:
        """A query for the rows in the parameter `rows`."""
        if self._postgresql:
            names = ", ".join(
                f"CAST(value ->> {n} AS {kind}) AS {name}" for n, (name, kind) in enumerate(columns.items())
            )
            return f"SELECT {names} FROM json_array_elements(CAST(:rows AS json)) AS t (value)"
        names = ", ".join(f"json_extract(value, '$[{n}]') AS {name}" for n, name in enumerate(columns))
        return f"SELECT {names} FROM json_each(:rows)"
