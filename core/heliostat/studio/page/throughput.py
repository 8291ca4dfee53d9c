"""Frames a second and attempts at once, over the time of a run."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from heliostat import AttemptState

if TYPE_CHECKING:
    from heliostat.studio.page.slots import Bar

POINTS: Final = 120
"""Points of a series, at most."""
STEPS: Final = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600, 7200, 21600, 86400)
"""Seconds that one point stands for; the first of them that needs no more than `POINTS`."""


class Throughput(Struct, frozen=True):
    """Two series with a value for each `step` seconds since `began`. What is not yet over is left out."""

    began: float
    """Seconds since the epoch."""
    step: int
    rate: tuple[float, ...] = ()
    """Frames a second."""
    at_once: tuple[float, ...] = ()
    """Attempts that ran, on average."""


def throughput(bars: Iterable[Bar], frames: Callable[[Bar], float], began: float, now: float) -> Throughput:
    """`frames` says what an attempt that succeeded or runs has done; that is spread evenly over its time. What failed
    has done none."""
    span = max(0.0, now - began)
    step = next((step for step in STEPS if span / step <= POINTS), STEPS[-1])
    count = int(span / step)
    rate, at_once = _Spread(count), _Spread(count)
    for bar in bars:
        end = now if bar.ended is None else bar.ended
        if end <= began:
            continue
        first, last = (max(bar.began, began) - began) / step, (end - began) / step
        at_once.add(first, last, last - first)
        if bar.state in (AttemptState.SUCCEEDED, AttemptState.RUNNING):
            whole = end - bar.began
            part = (end - max(bar.began, began)) / whole if whole > 0 else 1.0
            rate.add(first, last, part * frames(bar) / step)
    return Throughput(began, step, rate.values(), at_once.values())


class _Spread:
    """Amounts that are spread evenly over stretches of equal boxes, in a time that does not depend on their length."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._inside = [0.0] * (count + 1)
        self._slope = [0.0] * (count + 2)

    def add(self, first: float, last: float, amount: float) -> None:
        """Both in boxes from the first one's beginning."""
        if first >= self._count:
            return
        left, right = int(first), int(last)
        if left == right or last <= first:
            self._inside[left] += amount
            return
        density = amount / (last - first)
        self._inside[left] += density * (left + 1 - first)
        self._slope[left + 1] += density
        if right < self._count:
            self._inside[right] += density * (last - right)
            self._slope[right] -= density

    def values(self) -> tuple[float, ...]:
        found, level = [], 0.0
        for box in range(self._count):
            level += self._slope[box]
            found.append(max(0.0, level + self._inside[box]))
        return tuple(found)
