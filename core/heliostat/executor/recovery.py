"""What an earlier run left behind: where a resumed job starts from."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

from heliostat.contracts.artifacts import output_key
from heliostat.contracts.repository import AttemptChange, Batch, ChunkChange
from heliostat.model.cause import Cause
from heliostat.model.status import AttemptState, AttemptStatus, ChunkState

if TYPE_CHECKING:
    from collections.abc import Sequence

    from heliostat.contracts.artifacts import ArtifactStore
    from heliostat.contracts.repository import JobRepository, Lease
    from heliostat.model.status import JobStatus


class Known(Struct, frozen=True, kw_only=True):
    """The start of a run."""

    completed: tuple[int | str, ...] = ()
    """Ids of the chunks that are committed and whose output exists."""
    committed: frozenset[str] = frozenset()
    """Ids, as text, of all chunks that were committed, also of those whose output is gone."""
    attempts: dict[int, int] = {}
    """How many attempts each of the other chunks has had, by index; without those that had none."""


async def recover(repository: JobRepository, lease: Lease, status: JobStatus, artifacts: ArtifactStore | None) -> Known:
    """Bring a job's rows in line with what is there, and return what is.

    Attempts whose coordinator died are closed; committed chunks whose output is gone or has another size are withdrawn.
    """
    if not status.has_run:
        return Known()
    running = await repository.chunks(status.id, state=ChunkState.RUNNING)
    dead = await repository.attempts(status.id, state=AttemptState.RUNNING)
    if running or dead:
        await repository.commit(
            lease,
            Batch(
                chunks=[ChunkChange(chunk.index, ChunkState.PENDING, chunk.attempts) for chunk in running],
                attempts=[_closed(attempt) for attempt in dead],
                happened=[AttemptChange(attempt.index, attempt.number, AttemptState.CANCELLED) for attempt in dead],
            ),
        )
    succeeded = await repository.chunks(status.id, state=ChunkState.SUCCEEDED)
    accepted = {a.index: a for a in await repository.attempts(status.id, state=AttemptState.SUCCEEDED)}
    lost = await _without_output(status, [accepted[c.index] for c in succeeded if c.index in accepted], artifacts)
    if lost:
        await repository.withdraw(lease, sorted(lost))
    completed = tuple(chunk.id for chunk in succeeded if chunk.index not in lost)
    attempts = {chunk.index: chunk.attempts for chunk in succeeded if chunk.index in lost}
    for state in (ChunkState.PENDING, ChunkState.FAILED):
        for chunk in await repository.chunks(status.id, state=state):
            if chunk.attempts:
                attempts[chunk.index] = chunk.attempts
    return Known(completed=completed, committed=frozenset(str(chunk.id) for chunk in succeeded), attempts=attempts)


def _closed(attempt: AttemptStatus) -> AttemptStatus:
    return AttemptStatus(
        index=attempt.index,
        number=attempt.number,
        attempt_id=attempt.attempt_id,
        state=AttemptState.CANCELLED,
        started_at=attempt.started_at,
        frames_done=attempt.frames_done,
        cause=Cause.WORKER_LOST,
        message="its coordinator died",
    )


async def _without_output(
    status: JobStatus, accepted: Sequence[AttemptStatus], artifacts: ArtifactStore | None
) -> set[int]:
    job_dir = Path(status.settings.job_dir or ".")
    missing = await asyncio.to_thread(_missing_here, job_dir, accepted)
    if artifacts is None or not missing:
        return {attempt.index for attempt in missing}
    lost = set()
    for attempt in missing:
        assert attempt.result is not None
        for output in attempt.result.outputs:
            stored = await artifacts.stat(output_key(status.id, output.path, job_dir))
            if stored is None or stored.sha256 != output.sha256:
                lost.add(attempt.index)
    return lost


def _missing_here(job_dir: Path, accepted: Sequence[AttemptStatus]) -> list[AttemptStatus]:
    """Attempts with an output that is not on this machine as it was delivered. One that named no output is taken at
    its word."""
    return [
        attempt
        for attempt in accepted
        if attempt.result is not None
        and any(_size(job_dir / output.path) != output.size for output in attempt.result.outputs)
    ]


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except OSError:
        return None
