"""Frames a second and attempts at once over the time of a run."""

from __future__ import annotations

import pytest

from heliostat import AttemptState
from heliostat.studio.page.slots import Bar
from heliostat.studio.page.throughput import POINTS, throughput


def bar(began: float, ended: float | None, state: AttemptState = AttemptState.SUCCEEDED) -> Bar:
    return Bar(0, 1, 0, began, ended, state)


def test_frames_are_spread_evenly_over_the_time_of_an_attempt() -> None:
    found = throughput([bar(100.0, 104.0)], lambda bar: 8.0, 100.0, 105.0)
    assert found.step == 1
    assert found.rate == pytest.approx((2.0, 2.0, 2.0, 2.0, 0.0))
    assert found.at_once == pytest.approx((1.0, 1.0, 1.0, 1.0, 0.0))


def test_an_attempt_within_a_step_counts_in_part() -> None:
    found = throughput([bar(100.25, 100.75), bar(101.5, 102.5)], lambda bar: 4.0, 100.0, 103.0)
    assert found.rate == pytest.approx((4.0, 2.0, 2.0))
    assert found.at_once == pytest.approx((0.5, 0.5, 0.5))


def test_what_failed_has_rendered_nothing_but_took_its_slot() -> None:
    found = throughput([bar(100.0, 102.0, AttemptState.FAILED)], lambda bar: 9.0, 100.0, 102.0)
    assert found.rate == (0.0, 0.0)
    assert found.at_once == pytest.approx((1.0, 1.0))


def test_what_ran_before_the_run_counts_with_its_rest() -> None:
    found = throughput([bar(90.0, 95.0), bar(99.0, 101.0)], lambda bar: 10.0, 100.0, 102.0)
    assert found.rate == pytest.approx((5.0, 0.0))


def test_what_runs_counts_until_now() -> None:
    found = throughput([bar(100.0, None, AttemptState.RUNNING)], lambda bar: 6.0, 100.0, 103.0)
    assert found.rate == pytest.approx((2.0, 2.0, 2.0))


@pytest.mark.parametrize("span", [0.0, 0.5, 119.0, 121.0, 3_600.0, 86_400.0, 8_640_000.0])
def test_all_frames_are_there_however_long_it_took(span: float) -> None:
    found = throughput([bar(100.0, 100.0 + span)], lambda bar: 1_000.0, 100.0, 100.0 + span)
    assert len(found.rate) <= POINTS
    if found.rate and span == len(found.rate) * found.step:
        assert sum(found.rate) * found.step == pytest.approx(1_000.0)
