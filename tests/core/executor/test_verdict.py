"""What comes back from an adapter is a success or one failure, whatever it is."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliostat import Cause, ChunkResult, errors
from heliostat.executor.verdict import STDERR_KEPT, AttemptFailure, verdict

DONE = ChunkResult(exit_code=0, duration=1.0)


def of(result: object = None, error: BaseException | None = None) -> Any:
    return verdict("mine", "moon", result, error)


@pytest.mark.parametrize("attempt_id", [None, "mine"])
def test_a_result_without_an_error_is_a_success(attempt_id: str | None):
    result = ChunkResult(exit_code=0, duration=1.0, attempt_id=attempt_id)
    assert of(result) is result


def test_a_result_for_another_attempt_is_dropped():
    found = of(ChunkResult(exit_code=0, duration=1.0, attempt_id="another's"))
    assert (found.cause, found.stale, found.result) == (Cause.WORKER_LOST, True, None)


@pytest.mark.parametrize(
    ("result", "cause", "message"),
    [
        (ChunkResult(exit_code=3, duration=0.0), Cause.COMMAND_FAILED, "exit status 3"),
        (ChunkResult(exit_code=-9, duration=0.0, message="killed"), Cause.COMMAND_FAILED, "killed"),
        (ChunkResult(exit_code=1, duration=0.0, cause=Cause.BAD_OUTPUT), Cause.BAD_OUTPUT, "exit status 1"),
        # Nobody here has cancelled it, so that a preemption may have.
        (ChunkResult(exit_code=1, duration=0.0, cause=Cause.CANCELLED), Cause.WORKER_LOST, "exit status 1"),
    ],
)
def test_a_command_that_failed_is_a_failure_with_its_result(result: ChunkResult, cause: Cause, message: str):
    assert of(result) == AttemptFailure(cause, message, result, result.stderr_tail)


def test_an_error_says_its_cause_and_how_long_to_wait():
    error = errors.Throttled("slow down", retry_after=7.0)
    assert of(None, error) == AttemptFailure(Cause.THROTTLED, "slow down", retry_after=7.0)
    assert of(DONE, errors.WorkerLost("")).message == "worker_lost"


def test_only_the_end_of_what_a_worker_wrote_is_kept():
    said = of(None, errors.WorkerLost("gone", stderr_tail="x" * STDERR_KEPT + "end")).stderr_tail
    assert (len(said), said[-4:]) == (STDERR_KEPT, "xend")


class Strange:
    exit_code = 0
    duration = 0.0


@given(
    st.none()
    | st.integers()
    | st.text()
    | st.builds(Strange)
    | st.builds(lambda code: ChunkResult(exit_code=code, duration=0.0), st.none() | st.text() | st.floats())
)
def test_whatever_else_an_adapter_returns_is_a_lost_worker(result: object):
    found = of(result)
    assert found.cause is Cause.WORKER_LOST
    assert "the moon adapter returned" in found.message


@given(st.text(st.characters(categories=None), max_size=20))
def test_what_is_said_can_be_written_as_utf_8(text: str):
    found = of(None, errors.WorkerLost(text, stderr_tail=text))
    (found.message + found.stderr_tail).encode()
