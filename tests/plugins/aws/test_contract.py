"""The contract of worker adapters on Lambda, with synchronous and with asynchronous invocations."""

from __future__ import annotations

import pytest
from fake_lambda import FakeLambda

from heliostat import Cause
from heliostat.testing import RunningCommand, WorkerAdapterContract, WorkerUnderTest
from heliostat_aws import adapter

pytestmark = pytest.mark.timeout(300)


def subject(functions: FakeLambda, artifacts: str, invocation: str) -> WorkerUnderTest:
    def kill_environment(command: RunningCommand) -> None:
        functions.kill(command.ancestors)

    return WorkerUnderTest(
        "aws-lambda",
        {"function": functions.function.name, "artifacts": artifacts, "invocation": invocation},
        fail_next={Cause.THROTTLED: lambda: functions.fail_next("throttle")},
        fail_running={Cause.WORKER_LOST: kill_environment},
        start_seconds=6.0,
        # What Lambda returns, and what a message of SQS holds; an output's URL tells its path once more.
        transport_limit=(6 << 20) // 2 if invocation == "sync" else 256 << 10,
        variant=invocation,
    )


class TestSynchronous(WorkerAdapterContract):
    @pytest.fixture
    def under_test(self, cloud) -> WorkerUnderTest:
        return subject(cloud.functions, cloud.artifacts, "sync")


class TestAsynchronous(WorkerAdapterContract):
    @pytest.fixture
    def under_test(self, cloud, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> WorkerUnderTest:
        if "worker_lost" in request.node.name:  # the rest may have to wait for a busy machine
            monkeypatch.setattr(adapter, "SILENCE", 12.0)  # seconds; workers give a sign of life every five
        return subject(cloud.functions, cloud.artifacts, "event")
