"""The progress transcript: one seeded job with injected faults, and everything that was told of it, as text.

At concurrency 1 the text is the same to the byte on every adapter, at any other concurrency its lines are the same.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

from heliostat.model.events import AttemptFailed, ChunkFailed, ChunkStarted, ChunkSucceeded, JobEnded, JobStarted
from heliostat.model.result import ChunkResult
from heliostat.testing.faulty import Fault, FaultyWorker
from heliostat.testing.scripted import ScriptedWorker
from heliostat.testing.trial import Trial, film

if TYPE_CHECKING:
    from heliostat.contracts.worker import ChunkRequest, WorkerAdapter
    from heliostat.model.events import Event
    from heliostat.model.spec import JobSpec

CHUNKS: Final = 24
SEED: Final = 7
RATES: Final[Mapping[Fault, float]] = {fault: 0.06 for fault in Fault if fault is not Fault.HANG}
"""The seed and the rates give each of these faults to some attempt."""
_FAILING: Final = "1:exit=3"


async def transcribe(worker: WorkerAdapter, folder: Path, *, concurrency: int, artifacts: str | None = None) -> str:
    """Run the job on an adapter; first come the calls of `on_progress`, then the events, a line each."""
    faulty = FaultyWorker(worker, seed=SEED, rates=RATES)
    async with Trial(faulty, folder, artifacts=artifacts) as trial:
        await trial.run(_job(), retries=5, concurrency=concurrency)
        told = [f"on_progress {completed}/{total}" for completed, total in trial.calls]
        return "".join(f"{line}\n" for line in [*told, *_lines(trial.events)])


async def reference() -> str:
    """The transcript of an adapter that runs nothing."""
    with tempfile.TemporaryDirectory() as folder:
        return await transcribe(ScriptedWorker(_outcome), Path(folder), concurrency=1)


def _job() -> JobSpec:
    """A chunk in six fails at its first attempt by itself."""
    return film(*[(_FAILING, "write=film") if index % 6 == 2 else ("write=film",) for index in range(CHUNKS)])


def _outcome(request: ChunkRequest) -> ChunkResult | None:
    fails = request.attempt == 1 and _FAILING in request.command
    return ChunkResult(exit_code=3, duration=0.0) if fails else None


def _lines(events: list[Event]) -> Iterator[str]:
    """What is the same everywhere: no times, no frames, no concurrency."""
    for event in events:
        match event:
            case JobStarted():
                yield f"job started {event.completed_chunks}/{event.total_chunks}"
            case ChunkStarted():
                yield f"chunk {event.chunk} attempt {event.attempt} started"
            case AttemptFailed():
                yield f"chunk {event.chunk} attempt {event.attempt} failed: {event.cause}"
            case ChunkSucceeded():
                yield f"chunk {event.chunk} attempt {event.attempt} succeeded"
            case ChunkFailed():
                yield f"chunk {event.chunk} given up after {event.attempts}: {event.cause}"
            case JobEnded():
                yield f"job {event.state} {event.completed_chunks}/{event.total_chunks}"
