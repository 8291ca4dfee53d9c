"""The contract of worker adapters, on a real scheduler with three worker processes."""

from __future__ import annotations

from typing import Any

import pytest

from heliostat import Cause
from heliostat.testing import RunningCommand, WorkerAdapterContract, WorkerUnderTest


class TestDask(WorkerAdapterContract):
    @pytest.fixture
    def under_test(self, cluster: Any) -> WorkerUnderTest:
        def kill_its_worker(command: RunningCommand) -> None:
            """The Dask worker that runs this command; another takes its place."""
            (pid,) = cluster.workers.keys() & set(command.ancestors)
            cluster.kill_worker(pid)
            cluster.start_worker(wait=False)

        return WorkerUnderTest(
            "dask",
            {"scheduler": cluster.address, "grace": 1.0},
            fail_running={Cause.WORKER_LOST: kill_its_worker},
            not_shown={Cause.THROTTLED: "Dask never asks for fewer calls: what it cannot run yet waits"},
        )
