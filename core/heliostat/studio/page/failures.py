"""Failed attempts, grouped by cause and by what was said."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from msgspec import Struct, field

from heliostat import Cause, plain, plain_lines

if TYPE_CHECKING:
    from heliostat import AttemptFailed, AttemptStatus

GROUPS: Final = 50
"""Groups of one cause; the failures that come when there are as many are in one more together."""
EXAMPLES: Final = 5
"""Failures of a group that are kept, the newest."""
LINES: Final = 40
"""Last lines on stderr that are kept of each."""
OTHERS: Final = "other messages"


class Failure(Struct, frozen=True, gc=False):
    """One failed attempt. All texts are plain."""

    index: int
    """The chunk's place in the job."""
    number: int
    time: float
    """Seconds since the epoch."""
    message: str
    said: str
    """The end of what it wrote on stderr, or else on stdout; lines."""


class Group(Struct):
    """Failures with the same cause that said the same."""

    cause: Cause
    message: str
    count: int = 0
    examples: deque[Failure] = field(default_factory=lambda: deque(maxlen=EXAMPLES))


class Failures:
    """Rows come first, then events; what the rows had already is not counted again."""

    def __init__(self) -> None:
        self.version = 0
        """Rises with each change."""
        self._groups: dict[tuple[Cause, str], Group] = {}
        self._counted: set[tuple[int, int]] = set()

    @property
    def count(self) -> int:
        return len(self._counted)

    def groups(self) -> list[Group]:
        """The largest first."""
        return sorted(self._groups.values(), key=lambda group: (-group.count, group.cause, group.message))

    def load(self, rows: Iterable[AttemptStatus]) -> None:
        """The rows of all failed attempts."""
        self._groups, self._counted = {}, set()
        for row in sorted(rows, key=lambda row: row.ended_at or row.started_at):
            self._count(
                row.cause or Cause.COMMAND_FAILED,
                row.index,
                row.number,
                row.started_at if row.ended_at is None else row.ended_at,
                row.message or "",
                _words(row),
            )
        self.version += 1

    def failed(self, event: AttemptFailed) -> None:
        if (event.index, event.attempt) not in self._counted:
            self._count(event.cause, event.index, event.attempt, event.time, event.message, event.stderr_tail)
            self.version += 1

    def _count(self, cause: Cause, index: int, number: int, time: float, message: str, said: str) -> None:
        self._counted.add((index, number))
        message = plain(message)
        lines = "\n".join(plain_lines(said)[-LINES:])
        key = (cause, message)
        if key not in self._groups and sum(known is cause for known, _ in self._groups) >= GROUPS:
            key = (cause, OTHERS)
        group = self._groups.setdefault(key, Group(*key))
        group.count += 1
        group.examples.appendleft(Failure(index, number, time, message, lines))


def _words(row: AttemptStatus) -> str:
    if row.result is None:
        return row.stderr_tail
    return row.result.stderr_tail if row.result.stderr_tail.strip() else row.result.stdout_tail
