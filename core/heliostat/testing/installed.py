"""The contract suite on an adapter as it is installed here: what `heliostat plugins --parity` lets pytest run.

`HELIOSTAT_PARITY_WORKER` is the adapter, a `WorkerChoice` as JSON; `HELIOSTAT_PARITY_ARTIFACTS` is the URL of an
artifact store, for one whose workers do not share this machine's files.
"""

from __future__ import annotations

import asyncio
import os
import time
from dataclasses import replace
from pathlib import Path

import pytest

from heliostat.model.codec import from_json
from heliostat.model.status import JobState, WorkerChoice
from heliostat.testing.meeting import Meeting
from heliostat.testing.trial import Trial, film
from heliostat.testing.worker import WRITE, WorkerAdapterContract, WorkerUnderTest

WORKER = "HELIOSTAT_PARITY_WORKER"
ARTIFACTS = "HELIOSTAT_PARITY_ARTIFACTS"


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> WorkerUnderTest:
    choice = from_json(os.environ[WORKER], WorkerChoice)
    subject = WorkerUnderTest(choice.name, choice.options, artifacts=os.environ.get(ARTIFACTS))
    return asyncio.run(_probe(subject, tmp_path_factory.mktemp("probe")))


async def _probe(subject: WorkerUnderTest, folder: Path) -> WorkerUnderTest:
    """How long a command takes to start, and whether it can reach this machine."""
    async with Meeting("127.0.0.1") as meeting, Trial(subject.open(), folder, artifacts=subject.artifacts) as trial:
        begun = time.monotonic()
        await trial.start(film((meeting.step, *WRITE)))
        arriving = asyncio.create_task(meeting.next())
        ending = asyncio.create_task(trial.manager.wait("job"))
        await asyncio.wait([arriving, ending], return_when=asyncio.FIRST_COMPLETED)
        took = time.monotonic() - begun
        reached = arriving.done()
        if reached:
            arriving.result().do("go")
        arriving.cancel()
        status = await ending
    if reached and status.state is not JobState.COMPLETED:
        pytest.fail(f"a chunk that only writes a file fails on it: {status.error}")
    return replace(
        subject,
        host="127.0.0.1" if reached else None,
        start_seconds=max(subject.start_seconds, 4 * took),
    )


class TestInstalled(WorkerAdapterContract):
    @pytest.fixture
    def under_test(self, installed: WorkerUnderTest) -> WorkerUnderTest:
        return installed
