"""The exit status of `heliostat`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from heliostat.model.status import JobState

DONE = 0
FAILED = 1
WRONG_INPUT = 2
CANCELLED = 3
PAUSED = 4


def of_job(state: JobState) -> int:
    """Of a command that saw a job to this state."""
    return {"completed": DONE, "cancelled": CANCELLED, "paused": PAUSED}.get(state.value, FAILED)


def of_error(error: Exception) -> int:
    from heliostat import errors

    wrong_input = (
        errors.SpecError,
        errors.PluginError,
        errors.JobNotFound,
        errors.JobExists,
        errors.WrongState,
        errors.LeaseHeld,
    )
    if isinstance(error, wrong_input):
        return WRONG_INPUT
    return CANCELLED if isinstance(error, errors.JobCancelled) else FAILED
