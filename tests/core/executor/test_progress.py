"""Frames, rate and time to go."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliostat.executor.progress import FrameMeter
from heliostat.model.status import percent


def test_rate_and_time_to_go_follow_from_frames_and_seconds():
    meter = FrameMeter(total_frames=100, completed_frames=0, now=0.0)
    meter.completed_frames = 30
    snapshot = meter.snapshot(running_frames=10.0, now=4.0)
    assert snapshot.frames_done == 40
    assert snapshot.rate == pytest.approx(10.0)
    assert snapshot.eta == pytest.approx(6.0)


def test_frames_of_an_earlier_run_do_not_count_into_the_rate():
    meter = FrameMeter(total_frames=100, completed_frames=50, now=0.0)
    assert meter.snapshot(10.0, 2.0).rate == pytest.approx(5.0)


def test_rate_is_unknown_before_anything_is_done():
    meter = FrameMeter(total_frames=100, completed_frames=0, now=0.0)
    assert meter.snapshot(0.0, 5.0).rate is None
    assert meter.snapshot(5.0, 5.5).eta is not None


@given(st.lists(st.floats(0, 300), max_size=30))
def test_the_percentage_is_of_the_frames_whatever_was_said_before_and_within_0_and_100(running: list[float]):
    """So that who looks for the first time sees what the others do, also when an attempt's frames were lost."""
    meter = FrameMeter(total_frames=240, completed_frames=0, now=0.0)
    for at, frames in enumerate(running):
        snapshot = meter.snapshot(frames, float(at))
        assert snapshot.percent == 100.0 * snapshot.frames_done / 240
        assert 0 <= snapshot.percent <= 100


def test_rate_and_time_to_go_are_unknown_when_nothing_has_been_done_for_long():
    meter = FrameMeter(total_frames=100, completed_frames=0, now=0.0)
    rates = [meter.snapshot(40.0, 4.0 + second).rate for second in range(25)]
    assert rates[0] == pytest.approx(10.0)
    assert rates[10] < rates[5] < rates[0]
    assert meter.snapshot(40.0, 30.0)[2:] == (None, None)


def test_a_job_without_frames_is_done():
    assert FrameMeter(0, 0, 0.0).snapshot(0.0, 1.0).percent == 100.0


@given(st.integers(0, 10**6), st.integers(1, 10**6))
def test_percent_of_chunks_is_rounded_half_up_in_exact_arithmetic(completed: int, total: int):
    completed = min(completed, total)
    from fractions import Fraction
    from math import floor

    assert percent(completed, total) == floor(Fraction(100 * completed, total) + Fraction(1, 2))


def test_percent_of_no_chunks_is_100():
    assert percent(0, 0) == 100
