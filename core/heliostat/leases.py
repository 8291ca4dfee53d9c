"""Leases on jobs: who may change one, and what others wish of it meanwhile."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING, Final

from heliostat.contracts.repository import Batch, JobChange, Lease
from heliostat.coordinator import describe, is_dead, new_owner
from heliostat.errors import HeliostatError, LeaseHeld
from heliostat.model.status import JobState, Wish

if TYPE_CHECKING:
    from heliostat.contracts.repository import JobRepository

ACTIVE: Final = (JobState.PENDING, JobState.RUNNING)
WISHED: Final = {Wish.PAUSE: JobState.PAUSED, Wish.CANCEL: JobState.CANCELLED}
"""The state that a wish leads to."""
BRIEF: Final = 5.0
"""Seconds that a lease is waited for of a job that is not running: somebody changes its state, or has just ended it."""
LOOK_EVERY: Final = 0.02
"""Seconds between looks at such a lease."""

logger = logging.getLogger("heliostat")


class Leases:
    """Each is of an owner of its own, also within a process."""

    def __init__(self, repository: JobRepository, ttl: float) -> None:
        """`ttl`: seconds that a lease lives after its last renewal."""
        self._repository = repository
        self.ttl = ttl

    async def acquire(self, job_id: str) -> Lease:
        """Also from an owner that has certainly ended. Raises LeaseHeld."""
        owner = new_owner()
        try:
            return await self._repository.acquire(job_id, owner, self.ttl)
        except LeaseHeld as held:
            if is_dead(held.owner):
                return await self._repository.acquire(job_id, owner, self.ttl, dead=held.owner)
            raise LeaseHeld(
                f"job {job_id} is being run by {describe(held.owner)}; pause or cancel it first", owner=held.owner
            ) from None

    async def acquire_idle(self, job_id: str) -> Lease:
        """The lease of a job that nobody runs, once others who change its state have given it back. Raises
        LeaseHeld."""
        patience = time.monotonic() + BRIEF
        while True:
            try:
                return await self.acquire(job_id)
            except LeaseHeld:
                if (await self._repository.get(job_id)).state is JobState.RUNNING or time.monotonic() > patience:
                    raise
            await asyncio.sleep(LOOK_EVERY)

    async def release(self, lease: Lease, wish: Wish | None = None) -> None:
        """Give the lease back, and before that grant the wish, and those that came too late for anybody else."""
        try:
            while True:
                if wish is not None and can_grant(wish, (await self._repository.get(lease.job_id)).state):
                    await self._repository.commit(lease, Batch(job=JobChange(state=WISHED[wish])))
                wish = await self._repository.release(lease, heard=wish)
                if wish is None:
                    return
        except HeliostatError as error:  # it runs out by itself
            logger.debug("job %s: %s", lease.job_id, error)


def can_grant(wish: Wish, state: JobState) -> bool:
    """Whether a job that nobody runs, and is in this state, changes by it."""
    return state in ACTIVE or (wish is Wish.CANCEL and state is JobState.PAUSED)
