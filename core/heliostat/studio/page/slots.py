"""Which attempt ran when, and in which slot: what a timeline shows."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from heliostat import AttemptState
from heliostat.studio.page.changes import Changes

if TYPE_CHECKING:
    from heliostat import AttemptStatus

KEPT: Final = 20_000
"""Attempts that are kept, the newest."""
STATES: Final = tuple(AttemptState)


class Bar(Struct, gc=False):
    """One attempt."""

    index: int
    """The chunk's place in the job."""
    number: int
    slot: int
    """From 0. Attempts in one slot do not overlap."""
    began: float
    """Seconds since the epoch."""
    ended: float | None
    """None while it runs."""
    state: AttemptState


class Slots:
    """An attempt gets the lowest slot that is free when it begins. Rows come first, then events; what the rows had
    already changes nothing."""

    def __init__(self, kept: int = KEPT) -> None:
        self.changes = Changes(kept)
        self.first = 0
        """The number of the oldest attempt that is kept; they are numbered in the order in which they began."""
        self.count = 0
        """How many slots there are."""
        self._kept = kept
        self._bars: list[Bar] = []
        self._numbers: dict[tuple[int, int], int] = {}
        """By chunk and attempt."""
        self._free: list[int] = []

    def __len__(self) -> int:
        """How many attempts are kept."""
        return len(self._bars)

    def __iter__(self) -> Iterator[Bar]:
        return iter(self._bars)

    @property
    def began(self) -> float | None:
        """When the first of them began, in seconds since the epoch."""
        return self._bars[0].began if self._bars else None

    @property
    def running(self) -> bool:
        """Whether one of them runs."""
        return len(self._free) < self.count

    def bar(self, number: int) -> Bar | None:
        """An attempt by the number that `since` gives it."""
        return self._bars[number - self.first] if 0 <= number - self.first < len(self._bars) else None

    def load(self, rows: Iterable[AttemptStatus]) -> None:
        """The rows of all attempts, which are newer than what was known."""
        bars = [Bar(row.index, row.number, 0, row.started_at, row.ended_at, row.state) for row in rows]
        bars.sort(key=lambda bar: (bar.began, bar.index, bar.number))
        _end_lost(bars)
        self.first = max(0, len(bars) - self._kept)
        self._bars = bars[self.first :]
        self._numbers = {(bar.index, bar.number): number for number, bar in enumerate(self._bars, self.first)}
        self._free, self.count = [], 0
        ends: list[tuple[float, int]] = []
        for bar in self._bars:
            while ends and ends[0][0] <= bar.began:
                heapq.heappush(self._free, heapq.heappop(ends)[1])
            bar.slot = self._take()
            if bar.ended is not None:
                heapq.heappush(ends, (bar.ended, bar.slot))
        for _, slot in ends:
            heapq.heappush(self._free, slot)
        self.changes.forget()

    def started(self, index: int, number: int, time: float) -> None:
        if (index, number) in self._numbers or (self.first and time < self._bars[0].began):
            return
        self._numbers[index, number] = place = self.first + len(self._bars)
        self._bars.append(Bar(index, number, self._take(), time, None, AttemptState.RUNNING))
        self.changes.note(place)
        if len(self._bars) > self._kept + self._kept // 10:
            self._drop(len(self._bars) - self._kept)

    def ended(self, index: int, number: int, time: float, state: AttemptState) -> None:
        place = self._numbers.get((index, number))
        if place is None:
            return
        bar = self._bars[place - self.first]
        if bar.ended is None:
            bar.ended, bar.state = max(time, bar.began), state
            heapq.heappush(self._free, bar.slot)
            self.changes.note(place)

    def since(self, mark: int | None, origin: float) -> list[int] | None:
        """For each attempt that changed, one after the other: its number, chunk index, attempt number, slot, begin in
        milliseconds after `origin`, duration in milliseconds or -1 while it runs, and state in the order of `STATES`.
        None where `all` is due."""
        changed = self.changes.since(mark)
        if changed is None:
            return None
        kept = (place for place in changed if place >= self.first)
        return [part for place in kept for part in (place, *_numbers(self._bars[place - self.first], origin))]

    def all(self, origin: float) -> list[int]:
        """The same for every attempt from `first` on, without its number."""
        return [part for bar in self._bars for part in _numbers(bar, origin)]

    def _take(self) -> int:
        if self._free:
            return heapq.heappop(self._free)
        self.count += 1
        return self.count - 1

    def _drop(self, surplus: int) -> None:
        for bar in self._bars[:surplus]:
            del self._numbers[bar.index, bar.number]
            if bar.ended is None:
                heapq.heappush(self._free, bar.slot)
        del self._bars[:surplus]
        self.first += surplus


def _numbers(bar: Bar, origin: float) -> tuple[int, ...]:
    took = -1 if bar.ended is None else round(1000 * (bar.ended - bar.began))
    state = STATES.index(bar.state)
    return bar.index, bar.number, bar.slot, round(1000 * (bar.began - origin)), took, state


def _end_lost(bars: Iterable[Bar]) -> None:
    """Nobody knows when attempts ended whose coordinator died. They get the last time that anything was heard of before
    one of their chunks was tried again."""
    heard = 0.0
    lost: dict[int, Bar] = {}
    for bar in bars:
        if bar.index in lost:
            _end(lost.values(), heard)
            lost.clear()
        heard = max(heard, bar.began, bar.ended or 0.0)
        if bar.ended is None and bar.state is AttemptState.CANCELLED:
            lost[bar.index] = bar
    _end(lost.values(), heard)


def _end(bars: Iterable[Bar], heard: float) -> None:
    for bar in bars:
        bar.ended = max(bar.began, heard)
