"""The state of every chunk of a job, small enough to be sent to a browser as one list of numbers."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final

from heliostat import ChunkState
from heliostat.studio.page.changes import Changes

if TYPE_CHECKING:
    from heliostat import ChunkStatus

STATES: Final = tuple(ChunkState)
_PENDING, _RUNNING, _SUCCEEDED, _FAILED = range(4)
RETRIED: Final = 1 << 9
"""This bit of a cell's number says that it is not the chunk's first attempt."""


class Cells:
    """Rows come first, then events. Events that are older than the rows change nothing."""

    def __init__(self, frame_counts: Sequence[int]) -> None:
        """`frame_counts`: of each chunk."""
        self.changes = Changes()
        self.counts = [len(frame_counts), 0, 0, 0]
        """Chunks in each state, in the order of `STATES`."""
        self.running: dict[int, float] = {}
        """Frames that running chunks have done, by index."""
        self._frame_counts = frame_counts
        self._states = bytearray(len(frame_counts))
        self._attempts = array("L", bytes(array("L").itemsize * len(frame_counts)))

    def __len__(self) -> int:
        return len(self._states)

    def state(self, index: int) -> ChunkState:
        return STATES[self._states[index]]

    def attempts(self, index: int) -> int:
        """The number of a chunk's newest attempt; 0 before the first."""
        return self._attempts[index]

    def next(self, state: ChunkState, index: int) -> int | None:
        """The first chunk in that state after an index."""
        found = self._states.find(STATES.index(state), index + 1)
        return None if found < 0 else found

    def before(self, state: ChunkState, index: int) -> int | None:
        """The last chunk in that state before an index."""
        found = self._states.rfind(STATES.index(state), 0, index)
        return None if found < 0 else found

    def load(self, rows: Iterable[ChunkStatus]) -> None:
        """The rows of all chunks, which are newer than what was known."""
        running: dict[int, float] = {}
        counts = [0, 0, 0, 0]
        for row in rows:
            state = STATES.index(row.state)
            if state == _RUNNING:
                same = self._attempts[row.index] == row.attempts
                running[row.index] = self.running.get(row.index, 0.0) if same else 0.0
            self._states[row.index], self._attempts[row.index] = state, row.attempts
            counts[state] += 1
        self.counts, self.running = counts, running
        self.changes.forget()

    def started(self, index: int, attempt: int) -> None:
        if attempt > self._attempts[index]:
            self._attempts[index] = attempt
            self._enter(index, _RUNNING)
            self.running[index] = 0.0

    def progressed(self, index: int, attempt: int, frames: float) -> None:
        if self._runs(index, attempt):
            before = self.number(index)
            self.running[index] = frames
            if self.number(index) != before:
                self.changes.note(index)

    def succeeded(self, index: int, attempt: int) -> None:
        self._ended(index, attempt, _SUCCEEDED)

    def attempt_failed(self, index: int, attempt: int) -> None:
        self._ended(index, attempt, _PENDING)

    def given_up(self, index: int, attempt: int) -> None:
        if attempt >= self._attempts[index] and self._states[index] == _PENDING:
            self._attempts[index] = attempt
            self._enter(index, _FAILED)

    def number(self, index: int) -> int:
        """A cell as a number: its state, four times the percent of its frames while it runs, and `RETRIED`."""
        state = self._states[index]
        number = state | RETRIED if self._attempts[index] > 1 else state
        if state != _RUNNING:
            return number
        total = self._frame_counts[index]
        return number + 4 * min(100, int(100 * self.running[index] / total) if total else 0)

    def since(self, mark: int | None) -> list[int] | None:
        """Pairs of a chunk's index and its number for what has changed, all in one list; None where `all` is due."""
        changed = self.changes.since(mark)
        return None if changed is None else [part for index in changed for part in (index, self.number(index))]

    def all(self) -> list[int]:
        """The number of each chunk."""
        return [self.number(index) for index in range(len(self))]

    def _runs(self, index: int, attempt: int) -> bool:
        return attempt == self._attempts[index] and self._states[index] == _RUNNING

    def _ended(self, index: int, attempt: int, state: int) -> None:
        if self._runs(index, attempt) or attempt > self._attempts[index]:
            self._attempts[index] = attempt
            self._enter(index, state)

    def _enter(self, index: int, state: int) -> None:
        self.counts[self._states[index]] -= 1
        self.counts[state] += 1
        self._states[index] = state
        self.running.pop(index, None)
        self.changes.note(index)
