"""The worker adapter `dask`: attempts are tasks on the workers of a Dask cluster."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import TYPE_CHECKING, Annotated, Self

from msgspec import Meta, Struct

from heliostat import ChunkReport, ChunkRequest, ChunkResult, WorkerAdapter, WorkerLimits
from heliostat.errors import Misconfigured, WorkerLost

if TYPE_CHECKING:
    from heliostat_dask.cluster import Cluster


class DaskOptions(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of the adapter `dask`."""

    scheduler: str
    """Address of the scheduler, such as `tcp://127.0.0.1:8786`."""
    slots: Annotated[int, Meta(ge=1)] | None = None
    """Attempts at once when a job does not say; by default as many as the cluster had threads when it was connected."""
    grace: Annotated[float, Meta(ge=0)] = 5.0
    """Seconds that a command gets to end after SIGTERM, before SIGKILL."""


class DaskAdapter(WorkerAdapter):
    """Runs attempts on a Dask cluster. What exceeds the cluster's threads waits in the scheduler, as does everything
    while there is no worker; the workers see the job directory under the same path."""

    name = "dask"

    def __init__(self, options: DaskOptions) -> None:
        self._options = options
        self._cluster: Cluster | None = None
        self._openings = 0
        self.limits = WorkerLimits(default_concurrency=options.slots or 1)

    async def __aenter__(self) -> Self:
        # Imports the SDK, which takes a second.
        from heliostat_dask.cluster import Cluster

        if self._cluster is None:
            self._connecting = asyncio.Lock()
            self._cluster = await Cluster.connect(self._options.scheduler, self._options.grace)
            if self._options.slots is None:
                self.limits = WorkerLimits(default_concurrency=max(1, self._cluster.threads))
        self._openings += 1
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._openings -= 1
        if self._openings == 0 and self._cluster is not None:
            cluster, self._cluster = self._cluster, None
            await cluster.close()

    async def run(self, request: ChunkRequest, report: ChunkReport) -> ChunkResult:
        return await (await self._connected()).run(request, report)

    async def _connected(self) -> Cluster:
        """The cluster; connected again when Dask has given up on a scheduler that went away."""
        assert self._cluster is not None, "the adapter is not open"
        async with self._connecting:
            if self._cluster.closed:
                try:
                    self._cluster = await self._cluster.connect(self._options.scheduler, self._options.grace)
                except Misconfigured as error:
                    raise WorkerLost(str(error)) from error
            return self._cluster
