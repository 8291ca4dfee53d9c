"""The join of a run's chunks: where it is done, and how it is ended."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from heliostat.contracts.artifacts import output_key
from heliostat.errors import StitchFailed
from heliostat.executor import merge
from heliostat.executor.attempt import Attempt
from heliostat.plugins import open_worker

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from heliostat.contracts.artifacts import ArtifactStore
    from heliostat.executor.executor import JobExecutor
    from heliostat.executor.logs import JobLogs
    from heliostat.model.spec import Chunk, JobSpec

LOOK_EVERY: Final = 0.1
"""Seconds between looks whether it is to end."""


class Join:
    """One join of one job. `run` once; `end` at any moment, from the event loop."""

    def __init__(
        self,
        executor: JobExecutor,
        spec: JobSpec,
        job_id: str,
        *,
        attempt_id: str,
        job_dir: Path,
        env: Mapping[str, str],
        artifacts: ArtifactStore | None,
        logs: JobLogs,
        patience: float,
    ) -> None:
        """`patience`: seconds that it may take to end when it is told to, before it is no longer awaited."""
        self._executor = executor
        self._spec = spec
        self._job_id = job_id
        self._attempt_id = attempt_id
        self._job_dir = job_dir
        self._env = env
        self._artifacts = artifacts
        self._logs = logs
        self._patience = patience
        self._task: asyncio.Task[str | None] | None = None

    async def run(self) -> str | None:
        """Returns the film's path where the specification tells it, None also when it was ended. Raises StitchFailed
        and ArtifactError."""
        task = self._task = asyncio.create_task(self._join())
        try:
            await self._wait(task)
        except asyncio.CancelledError:
            self.end()
            await self._wait(task)
            raise
        if not task.done():
            raise StitchFailed("the join was stopped, and did not end")
        return None if task.cancelled() else task.result()

    def end(self) -> None:
        if self._task is not None and not self._task.cancelling():
            self._task.cancel()  # once: a second time would cut its cleaning up short

    async def _wait(self, task: asyncio.Task[str | None]) -> None:
        while not task.done() and not task.cancelling():
            await asyncio.wait([task], timeout=LOOK_EVERY)
        await asyncio.wait([task], timeout=self._patience)

    async def _join(self) -> str | None:
        """On this machine, unless a merge command runs on workers that share the job directory."""
        if self._artifacts is not None:
            await merge.fetch_outputs(self._spec, self._job_id, self._job_dir, self._artifacts)
        slot = asyncio.current_task()
        assert slot is not None
        chunk = merge.command_chunk(self._spec)
        report = Attempt(len(self._spec.chunks), chunk, 1, self._attempt_id, slot, self._logs)
        try:
            if self._spec.merge is None:
                await self._run_command(chunk, report)
                return None
            film = await merge.stitch(self._spec, self._job_dir, self._executor.stitcher_for(self._spec))
        except StitchFailed as error:
            if self._spec.merge is not None and error.stderr_tail:  # of a command all was written as it came
                report.log("stderr", error.stderr_tail)
            raise
        finally:
            report.ended = True
            self._logs.close(report)
        if self._artifacts is not None:
            await self._artifacts.put(output_key(self._job_id, film, self._job_dir), self._job_dir / film)
        return film

    async def _run_command(self, chunk: Chunk, report: Attempt) -> None:
        worker = self._executor.merge_worker or self._executor.worker
        if worker.artifacts is not None:
            worker = open_worker("local")  # the parts have just been brought here
        await merge.run_merge_command(chunk, self._job_id, report.id, self._job_dir, worker, report, self._env)
