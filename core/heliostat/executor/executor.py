"""`JobExecutor`: a worker adapter, and the loop that runs jobs on it."""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Final

from heliostat.executor.execution import Execution
from heliostat.executor.observers import OBSERVER_PATIENCE
from heliostat.executor.options import JobExecutionOptions
from heliostat.executor.outcome import JobResult
from heliostat.planning.validate import validate
from heliostat.plugins import open_artifact_store, open_stitcher

if TYPE_CHECKING:
    from heliostat.contracts.artifacts import ArtifactStore
    from heliostat.contracts.stitcher import Stitcher
    from heliostat.contracts.worker import WorkerAdapter
    from heliostat.model.spec import JobSpec

__all__ = ["JobExecutor", "JobResult"]

CLOSE_PATIENCE: Final = 30.0
"""Seconds that an adapter may take to close."""

logger = logging.getLogger("heliostat")


class JobExecutor:
    """Runs jobs on one worker adapter, several at a time if need be. Keeps nothing of a job once it has ended."""

    def __init__(
        self,
        worker: WorkerAdapter,
        *,
        stitcher: Stitcher | None = None,
        merge_worker: WorkerAdapter | None = None,
        observer_patience: float = OBSERVER_PATIENCE,
    ) -> None:
        """`stitcher` joins in place of the one that a specification names; `merge_worker` runs merge commands in place
        of `worker`; `observer_patience` is how many seconds a callback or sink may hang at the end of a job."""
        self.worker = worker
        self.stitcher = stitcher
        self.merge_worker = merge_worker
        self.observer_patience = observer_patience
        self._users = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._lock = asyncio.Lock()
        self._open: AsyncExitStack | None = None
        self.artifacts: ArtifactStore | None = None
        """While opened: the store that the adapter's workers use."""

    async def execute(self, spec: JobSpec, options: JobExecutionOptions | None = None) -> JobResult:
        """Run a job to its end, without a repository: what is committed is gone with the process.

        Raises JobFailed, JobCancelled, and SpecError for a specification that cannot be run.
        """
        options = options or JobExecutionOptions()
        validate(spec, job_dir=options.job_dir)
        if options.merge and spec.merge is not None:
            self.stitcher_for(spec)  # a misspelt name is better known before the rendering than after it
        return await Execution(self, spec, options, job_id=spec.id or uuid.uuid4().hex[:12]).run()

    def stitcher_for(self, spec: JobSpec) -> Stitcher:
        """Raises PluginError and SpecError."""
        assert spec.merge is not None
        return self.stitcher or open_stitcher(spec.merge.stitcher, **spec.merge.options)

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        """The adapters are open within; the first job opens them, the last one closes them."""
        if self._loop is not asyncio.get_running_loop():
            # A lock belongs to one event loop, an executor may see several.
            self._loop, self._lock = asyncio.get_running_loop(), asyncio.Lock()
        lock = self._lock
        async with lock:
            if self._open is None:
                async with AsyncExitStack() as stack:
                    await stack.enter_async_context(self.worker)
                    if self.merge_worker is not None:
                        await stack.enter_async_context(self.merge_worker)
                    self.artifacts = None
                    if self.worker.artifacts is not None:
                        self.artifacts = await stack.enter_async_context(open_artifact_store(self.worker.artifacts))
                    self._open = stack.pop_all()
            self._users += 1
        try:
            yield
        finally:
            self._users -= 1
            if self._users == 0:
                async with lock:
                    if self._users == 0 and self._open is not None:
                        resources, self._open = self._open, None
                        await self._close(resources)

    async def _close(self, resources: AsyncExitStack) -> None:
        """Every result is home by now, so that nothing that goes wrong here is the jobs' business."""
        try:
            async with asyncio.timeout(CLOSE_PATIENCE):
                await resources.aclose()
        except Exception:
            logger.warning("the %s adapter did not close", self.worker.name, exc_info=True)
