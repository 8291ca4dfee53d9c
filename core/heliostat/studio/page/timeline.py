"""The timeline of a job's attempts."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from heliostat import AttemptState
from heliostat.studio.page.canvas import Canvas
from heliostat.studio.page.elements import Tag
from heliostat.studio.page.slots import Bar
from heliostat.studio.page.wording import count

if TYPE_CHECKING:
    from heliostat.studio.page.picture import JobPicture
    from heliostat.studio.page.slots import Slots

DRAW_EVERY: Final = 1.0
"""Seconds between two drawings, at the least: it is drawn anew as a whole."""
MANY: Final = 4_000
"""Attempts from which on it is drawn less often."""
_LEGEND: Final = (AttemptState.RUNNING, AttemptState.SUCCEEDED, AttemptState.FAILED, AttemptState.CANCELLED)


class Timeline(Canvas[Bar], component="attempt_timeline.js"):
    """Sends all attempts when the browser is ready for them, and afterwards what has changed."""

    def __init__(self, describe: Callable[[Bar], str], on_open: Callable[[Bar], None]) -> None:
        super().__init__(describe, on_open)
        self._slots: Slots | None = None
        """What is to be shown."""
        self._origin = 0.0
        self._drawn = float("-inf")
        self._now = 0.0
        self._told = ""

    def show(self, slots: Slots, now: float, told: str) -> None:
        """`now`: until when those that run have run, in seconds since the epoch. `told`: what the timeline is of, which
        is said when that is there."""
        is_known = slots is self._slots and self._mark is not None
        is_same = is_known and slots.changes.mark == self._mark and (now == self._now or not slots.running)
        is_soon = slots.running and time.monotonic() - self._drawn < _period(len(slots))
        if not self._is_ready:
            self._slots, self._now, self._told = slots, now, told
            return
        if is_same or is_soon:
            return
        changed = slots.since(self._mark if is_known else None, self._origin)
        if changed is None:
            self._origin = slots.began or now
            self.run_method("reset", slots.first, slots.all(self._origin), slots.count, self._after_origin(now))
        else:
            self.run_method("patch", slots.first, changed, slots.count, self._after_origin(now))
        self._slots, self._mark, self._now, self._drawn = slots, slots.changes.mark, now, time.monotonic()
        self.label(told)

    def _after_origin(self, now: float) -> int:
        return round(1000 * (now - self._origin))

    def _begin(self) -> None:
        self._drawn = float("-inf")
        if self._slots is not None:
            self.show(self._slots, self._now, self._told)

    def _find(self, number: int) -> Bar | None:
        return None if self._slots is None else self._slots.bar(number)


def _period(attempts: int) -> float:
    return DRAW_EVERY * max(1.0, attempts / MANY)


class TimelineCard:
    def __init__(self, describe: Callable[[Bar], str], on_open: Callable[[Bar], None]) -> None:
        with Tag("section", classes="card", aria_labelledby="timeline-head") as self._card:
            with Tag("header"):
                Tag("h2", "Timeline", id="timeline-head")
                with Tag("div", classes="legend"):
                    for state in _LEGEND:
                        Tag("span", str(state), str(state))
                    Tag("span", "retry", "retry")
            self._timeline = Timeline(describe, on_open)
        self._card.show(False)

    def refresh(self, picture: JobPicture) -> None:
        slots = picture.slots
        self._card.show(bool(slots.count))
        attempts, lanes = count(slots.first + len(slots), "attempt"), count(slots.count, "slot")
        told = f"{attempts} in {lanes}" + (f", of which the last {len(slots):,} are shown" if slots.first else "")
        keys = "Arrow keys move, f and r go to the next that failed or runs, Enter opens its chunk."
        self._timeline.show(slots, picture.now, f"Timeline of {told}. {keys}")
