"""What the shell offers for an argument. Whatever goes wrong, it offers nothing and says nothing."""

from __future__ import annotations

import contextlib
from typing import Any


def complete_worker(incomplete: str) -> list[tuple[str, str]]:
    return _registered("worker_adapter", incomplete)


def complete_sink(incomplete: str) -> list[tuple[str, str]]:
    return _registered("progress_sink", incomplete)


def complete_job_id(ctx: Any, incomplete: str) -> list[tuple[str, str]]:
    """Ids of the newest jobs, with their names and states."""
    with contextlib.suppress(Exception):
        import asyncio

        from heliostat.cli.database import open_jobs

        async def newest() -> list[tuple[str, str]]:
            async with open_jobs(ctx.params.get("db")) as (manager, _):
                return [
                    (job.id, f"{job.spec.name} {job.state}") for job in await manager.list(limit=50, with_chunks=False)
                ]

        return [offer for offer in asyncio.run(newest()) if offer[0].startswith(incomplete)]
    return []


def _registered(kind: str, incomplete: str) -> list[tuple[str, str]]:
    with contextlib.suppress(Exception):
        from heliostat.plugins import registry

        return [(entry.name, entry.summary) for entry in registry().all(kind) if entry.name.startswith(incomplete)]
    return []
