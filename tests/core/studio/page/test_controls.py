"""What the buttons of a job do, and why they do not."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from heliostat import JobSpec, JobState, JobStatus, Wish
from heliostat.studio.page.controls import refusals


@pytest.fixture
def allowed(make_spec: Callable[..., JobSpec]) -> Callable[..., set[str]]:
    def names(state: JobState, failed: int = 0, **more: Any) -> set[str]:
        now = datetime.now(UTC)
        job = JobStatus(
            id="job",
            spec=make_spec(3),
            state=state,
            completed_chunks=0,
            total_chunks=3,
            created_at=now,
            updated_at=now,
            **more,
        )
        return {name for name, refusal in refusals(job, failed).items() if refusal is None}

    return names


def test_they_do_what_the_state_allows(allowed: Callable[..., set[str]]) -> None:
    assert allowed(JobState.PENDING) == {"Pause", "Cancel", "Delete"}
    assert allowed(JobState.RUNNING, coordinator="somebody") == {"Pause", "Cancel"}
    assert allowed(JobState.PAUSED) == {"Resume", "Cancel", "Delete"}
    assert allowed(JobState.PAUSED, 1) == {"Resume", "Retry", "Cancel", "Delete"}
    assert allowed(JobState.FAILED, 1) == {"Resume", "Retry", "Delete"}
    assert allowed(JobState.CANCELLED) == {"Resume", "Delete"}
    assert allowed(JobState.COMPLETED) == {"Delete"}


def test_a_job_that_was_asked_to_pause_can_still_be_cancelled(allowed: Callable[..., set[str]]) -> None:
    assert allowed(JobState.RUNNING, coordinator="somebody", wish=Wish.PAUSE) == {"Cancel"}
    assert allowed(JobState.RUNNING, coordinator="somebody", wish=Wish.CANCEL) == set()


def test_a_job_whose_coordinator_has_died_can_be_taken_up(allowed: Callable[..., set[str]]) -> None:
    assert {"Resume", "Delete"} <= allowed(JobState.RUNNING)


@pytest.mark.parametrize("state", [JobState.PAUSED, JobState.FAILED, JobState.CANCELLED, JobState.COMPLETED])
def test_nothing_is_begun_while_a_coordinator_lets_go(state: JobState, allowed: Callable[..., set[str]]) -> None:
    assert allowed(state, 1, coordinator="somebody").isdisjoint({"Resume", "Retry", "Delete"})
