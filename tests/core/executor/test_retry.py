"""What each cause costs: the failure table."""

from __future__ import annotations

import pytest

from heliostat import Cause
from heliostat.executor.retry import COSTS_AN_ATTEMPT, LONGEST_DELAY, LOST_LIMIT, RetryPolicy


@pytest.mark.parametrize("cause", sorted(COSTS_AN_ATTEMPT))
def test_a_cause_that_costs_an_attempt_is_retried_as_often_as_the_options_say(cause: Cause):
    policy = RetryPolicy(retries=2, delay=0.0)
    assert [policy.after(7, cause) for _ in range(3)] == [0.0, 0.0, None]


def test_causes_that_cost_an_attempt_share_one_budget():
    policy = RetryPolicy(retries=1, delay=0.0)
    assert policy.after(0, Cause.TIMED_OUT) is not None
    assert policy.after(0, Cause.BAD_OUTPUT) is None


def test_a_lost_worker_costs_no_attempt_but_has_a_limit_of_its_own():
    policy = RetryPolicy(retries=0, delay=0.0)
    assert all(policy.after(0, Cause.WORKER_LOST) is not None for _ in range(LOST_LIMIT))
    assert policy.after(0, Cause.WORKER_LOST) is None


def test_throttling_never_exhausts_a_chunk():
    policy = RetryPolicy(retries=0, delay=0.0)
    assert all(policy.after(0, Cause.THROTTLED) is not None for _ in range(1000))


def test_a_platform_that_says_how_long_to_wait_is_obeyed():
    policy = RetryPolicy(retries=0, delay=1.0)
    delays = [policy.after(0, Cause.THROTTLED, retry_after=30.0) for _ in range(50)]
    assert all(delay is not None and 30.0 <= delay <= 31.0 for delay in delays)


@pytest.mark.parametrize("cause", [Cause.MISCONFIGURED, Cause.CANCELLED])
def test_what_no_retry_can_help_is_not_retried(cause: Cause):
    assert RetryPolicy(retries=9, delay=0.0).after(0, cause) is None


def test_delays_grow_exponentially_with_full_jitter_and_have_a_limit():
    delays: dict[int, list[float]] = {}
    for _ in range(400):
        policy = RetryPolicy(retries=20, delay=1.0)
        for retry in range(1, 13):
            delay = policy.after(0, Cause.COMMAND_FAILED)
            assert delay is not None
            delays.setdefault(retry, []).append(delay)
    for retry, seen in delays.items():
        ceiling = min(LONGEST_DELAY, 2.0 ** (retry - 1))
        assert max(seen) <= ceiling
        assert min(seen) < 0.2 * ceiling, "full jitter reaches down to 0"
        assert max(seen) > 0.8 * ceiling


def test_one_chunks_failures_are_not_another_ones():
    policy = RetryPolicy(retries=1, delay=0.0)
    assert policy.after(0, Cause.COMMAND_FAILED) is not None
    assert policy.after(1, Cause.COMMAND_FAILED) is not None
