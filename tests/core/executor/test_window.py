"""Concurrency while a platform throttles."""

from __future__ import annotations

from heliostat.executor.window import Window


def test_a_throttled_call_halves_the_window_and_never_closes_it():
    window = Window(8)
    sizes = []
    for second in range(5):
        window.throttled(started_clock=second + 0.5, now=second + 1.0)
        sizes.append(window.size)
    assert sizes == [4, 2, 1, 1, 1]


def test_calls_that_were_under_way_when_it_narrowed_do_not_narrow_it_again():
    window = Window(64)
    assert window.throttled(started_clock=0.0, now=1.0)
    assert not any(window.throttled(started_clock=0.5, now=1.1) for _ in range(50))
    assert window.size == 32


def test_successful_calls_open_it_again_up_to_its_most():
    window = Window(8)
    window.throttled(0.0, 1.0)
    calls = 0
    while window.size < window.most:
        window.succeeded()
        calls += 1
    assert 8 < calls < 64
    assert not window.succeeded()
