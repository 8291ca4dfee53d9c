"""The worker adapter `local`: attempts are processes on this machine."""

from __future__ import annotations

import os
from types import TracebackType
from typing import TYPE_CHECKING, Self

from msgspec import Struct

from heliostat.contracts.worker import ChunkReport, ChunkRequest, WorkerAdapter, WorkerLimits
from heliostat.hookspecs import Register, hookimpl
from heliostat.model.result import ChunkResult

if TYPE_CHECKING:
    from heliostat.worker.warden import Warden


class LocalOptions(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of the adapter `local`."""

    grace: float = 5.0
    """Seconds that a command gets to end after SIGTERM, before SIGKILL."""


class LocalAdapter(WorkerAdapter):
    """Runs attempts on this machine, as many at once as there are processors that this process may use.

    While it is open, a helper process waits for the end of this one, so that no command outlives it.
    """

    name = "local"

    def __init__(self, options: LocalOptions | None = None) -> None:
        self._grace = (options or LocalOptions()).grace
        self._warden: Warden | None = None
        self._openings = 0
        self.limits = WorkerLimits(default_concurrency=_available_processors())

    async def __aenter__(self) -> Self:
        # Imported here, as is the runtime below: other commands of `heliostat` load this module without running chunks.
        from heliostat.errors import Misconfigured
        from heliostat.worker.warden import Warden

        if self._warden is None:
            try:
                self._warden = Warden()
            except OSError as error:
                raise Misconfigured(
                    f"the machine could not start a helper process ({error.strerror}); let this user run more processes"
                ) from error
        self._openings += 1
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._openings -= 1
        if self._openings == 0 and self._warden is not None:
            warden, self._warden = self._warden, None
            await warden.close()

    async def run(self, request: ChunkRequest, report: ChunkReport) -> ChunkResult:
        from heliostat.worker.runtime import run_chunk

        return await run_chunk(request, report, grace=self._grace, warden=self._warden)


def _available_processors() -> int:
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not Linux
        return os.cpu_count() or 1


@hookimpl
def register_worker_adapters(register: Register) -> None:
    register("local", LocalAdapter, options=LocalOptions, summary="Processes on this machine.")
