"""Why an attempt failed, and what that costs."""

from __future__ import annotations

from enum import StrEnum


class Cause(StrEnum):
    """The cause of a failed attempt. What each one costs is fixed in `heliostat.executor.retry`."""

    COMMAND_FAILED = "command_failed"
    """The command ended with a non-zero exit status."""
    TIMED_OUT = "timed_out"
    """The attempt took longer than the chunk timeout."""
    STALLED = "stalled"
    """No new frame for longer than the stall timeout."""
    OUT_OF_MEMORY = "out_of_memory"
    """The command was killed for the memory it used."""
    BAD_OUTPUT = "bad_output"
    """The command ended well, yet its output is missing, empty or incomplete."""
    WORKER_LOST = "worker_lost"
    """The worker went away: preempted, connection gone, server error."""
    THROTTLED = "throttled"
    """The platform asked for fewer calls (HTTP 429 and kin)."""
    MISCONFIGURED = "misconfigured"
    """No retry can help: no such function or command, access denied, bad credentials."""
    CANCELLED = "cancelled"
    """Somebody asked for the attempt to end."""
