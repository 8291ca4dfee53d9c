"""Which of many numbered things have changed, for readers that each come along at their own pace."""

from __future__ import annotations

from collections import deque
from typing import Final

KEPT: Final = 20_000
"""Changes that are remembered; a reader that missed more than these reads everything again."""


class Changes:
    """A log of numbers. A reader keeps the `mark` up to which it knows them; None before it knows any."""

    def __init__(self, kept: int = KEPT) -> None:
        self._log: deque[int] = deque(maxlen=kept)
        self._first = 0
        """The mark before the oldest change that is remembered."""
        self.mark = 0

    def note(self, number: int) -> None:
        """This one has changed."""
        if len(self._log) == self._log.maxlen:
            self._first += 1
        self._log.append(number)
        self.mark += 1

    def forget(self) -> None:
        """Everything has changed: no mark so far leads on."""
        self._log.clear()
        self.mark += 1
        self._first = self.mark

    def since(self, mark: int | None) -> list[int] | None:
        """The numbers that changed after a mark, each once, in order of size; None when all have to be read again."""
        if mark is None or mark < self._first:
            return None
        missed = self.mark - mark
        return sorted({self._log[-back] for back in range(1, missed + 1)}) if missed else []
