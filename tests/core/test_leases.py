"""Who may change a job, and what others wish of it at that moment: on a real SQLite file, from two connections."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from heliostat import Batch, JobChange, JobManager, JobState, Wish, open_repository
from heliostat.errors import LeaseHeld
from heliostat.leases import Leases


@pytest.fixture
async def two(tmp_path: Path, make_spec: Any) -> AsyncIterator[tuple[Any, Any]]:
    """Repositories on one database with a pending job `j`."""
    url = f"sqlite:///{tmp_path / 'jobs.db'}"
    async with open_repository(url) as here, open_repository(url) as there:
        await JobManager(there).submit(make_spec(1, id="j"))
        yield here, there


async def test_who_changes_the_state_of_a_job_is_waited_for_and_who_runs_it_is_not(two):
    here, there = two
    mine, theirs = Leases(here, 60.0), Leases(there, 60.0)
    lease = await theirs.acquire("j")
    waiting = asyncio.create_task(mine.acquire_idle("j"))
    with pytest.raises(LeaseHeld, match="job j is being run by process"):
        await mine.acquire("j")
    assert not waiting.done()
    await theirs.release(lease)
    own = await waiting
    await here.commit(own, Batch(job=JobChange(state=JobState.RUNNING)))
    with pytest.raises(LeaseHeld):
        await theirs.acquire_idle("j")


@pytest.mark.parametrize(
    ("state", "wish", "after"),
    [
        (JobState.PENDING, Wish.PAUSE, JobState.PAUSED),
        (JobState.PENDING, Wish.CANCEL, JobState.CANCELLED),
        (JobState.RUNNING, Wish.PAUSE, JobState.PAUSED),
        (JobState.PAUSED, Wish.PAUSE, JobState.PAUSED),
        (JobState.PAUSED, Wish.CANCEL, JobState.CANCELLED),
        (JobState.COMPLETED, Wish.CANCEL, JobState.COMPLETED),
        (JobState.FAILED, Wish.PAUSE, JobState.FAILED),
    ],
)
async def test_what_was_wished_for_at_the_last_moment_is_granted_where_it_changes_anything(two, state, wish, after):
    here, there = two
    leases = Leases(here, 60.0)
    lease = await leases.acquire("j")
    await here.commit(lease, Batch(job=JobChange(state=state)))
    await there.wish("j", wish)
    await leases.release(lease)
    job = await there.get("j")
    assert (job.state, job.wish, job.coordinator) == (after, None, None)
