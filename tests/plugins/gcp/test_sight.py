"""When tasks are given up, by a clock that a test turns."""

from __future__ import annotations

from heliostat_gcp.sight import Sight


class Clock:
    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


def test_five_minutes_without_a_look_are_borne_and_no_more():
    clock = Clock()
    sight = Sight(clock)
    for seconds, is_lost in ((0.0, False), (299.0, False), (1.0, False), (0.1, True), (3600.0, True)):
        clock.seconds += seconds
        assert sight.is_lost is is_lost


def test_each_look_begins_them_anew():
    clock = Clock()
    sight = Sight(clock)
    for _ in range(10):
        clock.seconds += 299.0
        assert not sight.is_lost
        sight.renew()
    clock.seconds += 301.0
    assert sight.is_lost
    sight.renew()
    assert not sight.is_lost
