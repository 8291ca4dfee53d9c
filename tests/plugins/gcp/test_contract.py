"""The contract of worker adapters on Cloud Run: on services, and on jobs."""

from __future__ import annotations

from typing import Any

import pytest

from heliostat import Cause
from heliostat.testing import RunningCommand, WorkerAdapterContract, WorkerUnderTest

pytestmark = pytest.mark.timeout(300)


class TestService(WorkerAdapterContract):
    @pytest.fixture
    def under_test(self, cloud: Any) -> WorkerUnderTest:
        def kill_instance(command: RunningCommand) -> None:
            cloud.run.kill_instance(command.ancestors)

        return WorkerUnderTest(
            "gcp-cloud-run",
            cloud.service,
            fail_next={Cause.THROTTLED: lambda: cloud.run.front.faults.append("throttle")},
            fail_running={Cause.WORKER_LOST: kill_instance},
            start_seconds=6.0,
        )


@pytest.mark.usefixtures("hurried")
class TestJob(WorkerAdapterContract):
    @pytest.fixture
    def under_test(self, cloud: Any) -> WorkerUnderTest:
        def kill_task(command: RunningCommand) -> None:
            cloud.run.kill_task(command.ancestors)

        return WorkerUnderTest(
            "gcp-cloud-run-jobs",
            cloud.job,
            fail_next={Cause.THROTTLED: lambda: cloud.run.admin.faults.append("throttle")},
            fail_running={Cause.WORKER_LOST: kill_task},
            start_seconds=8.0,
        )
