"""One run of a job in which every kind of event occurs: what a progress sink has to understand."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from heliostat.model import events
from heliostat.model.cause import Cause
from heliostat.model.events import Event
from heliostat.model.result import ChunkResult, Output, Usage
from heliostat.model.status import JobState

FULL_RESULT: Final = ChunkResult(
    exit_code=0,
    duration=1.5,
    outputs=(Output("chunks/a b.mp4", 1234, "ab" * 32, "mine://films/chunks/a b.mp4"),),
    stdout_tail="frame 1\n",
    stderr_tail="a warning\n",
    cause=Cause.COMMAND_FAILED,
    message="all is well",
    worker="node 1",
    log_url="mine://logs/1",
    usage=Usage(billed_seconds=1.6, memory_mb=512, cost_usd=1e-6),
    attempt_id="a-1",
)

_JOB: Final[dict[str, Any]] = {"job_id": "job", "time": 1750000000.25}
_CHUNK: Final[dict[str, Any]] = {**_JOB, "chunk": "b 1", "index": 1}
_FAILURE: Final[dict[str, Any]] = {"cause": Cause.COMMAND_FAILED, "message": "exit status 1"}

EVERY_EVENT: Final[tuple[Event, ...]] = (
    events.JobStarted(
        **_JOB,
        name="film",
        completed_chunks=2,
        total_chunks=4,
        completed_frames=4,
        total_frames=8,
        concurrency=2,
        worker="local",
    ),
    events.ConcurrencyChanged(**_JOB, concurrency=1),
    events.ChunkStarted(**_CHUNK, attempt=1, frame_count=2),
    events.ChunkProgressed(**_CHUNK, attempt=1, frames_done=0.5, frame_count=2),
    events.Progressed(
        **_JOB,
        completed_chunks=2,
        total_chunks=4,
        running_chunks=1,
        frames_done=4.5,
        total_frames=8,
        percent=56.25,
        rate=24.0,
        eta=0.15,
    ),
    events.AttemptFailed(**_CHUNK, **_FAILURE, attempt=1, stderr_tail="first line\nlast line\n", retry_in=0.5),
    events.ChunkStarted(**_CHUNK, attempt=2, frame_count=2),
    events.ChunkSucceeded(
        **_CHUNK,
        attempt=2,
        completed_chunks=3,
        total_chunks=4,
        progress=75,
        frame_count=2,
        result=FULL_RESULT,
    ),
    events.ChunkFailed(**_CHUNK, **_FAILURE, attempts=3),
    events.ObserverFailed(**_JOB, observer="on_progress", message="raised ValueError: no"),
    events.MergeStarted(**_JOB, how="ffmpeg"),
    events.JobEnded(
        **_JOB,
        state=JobState.FAILED,
        completed_chunks=3,
        total_chunks=4,
        duration=1.5,
        error="chunk b 1 failed",
        output="film.mp4",
    ),
)
"""With all their fields."""


def without_optional_fields(event: Event) -> Event:
    required = {field.name: getattr(event, field.name) for field in msgspec.structs.fields(event) if field.required}
    if isinstance(event, events.ChunkSucceeded):
        required["result"] = ChunkResult(exit_code=0, duration=0.0)
    if "chunk" in required:
        required["chunk"] = 1
    return type(event)(**required)
