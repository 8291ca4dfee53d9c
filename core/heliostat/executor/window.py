"""How many attempts may run at once while a platform throttles: additive increase, multiplicative decrease."""

from __future__ import annotations


class Window:
    """Starts at its most. A throttled call halves it, a successful one opens it by a part, as in TCP (RFC 5681)."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.size = most
        """Attempts that may run at once; never below 1."""
        self._exact = float(most)
        self._narrowed_clock = -1.0

    def throttled(self, started_clock: float, now: float) -> bool:
        """One call was throttled; `started_clock` is when it began. Returns whether `size` changed.

        Calls that were under way when the window was last narrowed say nothing new.
        """
        if started_clock < self._narrowed_clock:
            return False
        self._narrowed_clock = now
        self._exact = max(1.0, self._exact / 2)
        return self._resize()

    def succeeded(self) -> bool:
        """One call went through. Returns whether `size` changed."""
        if self.size == self.most:
            return False
        self._exact = min(float(self.most), self._exact + 1.0 / self._exact)
        return self._resize()

    def _resize(self) -> bool:
        before, self.size = self.size, int(self._exact)
        return self.size != before
