"""Shipped for plugin authors: contract suites that any implementation can run, and workers that do as they are told.

The names below are the public ones. The suites need `heliostat[testing]`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from heliostat.lazy import import_on_demand

if TYPE_CHECKING:
    from heliostat.testing.artifacts import ArtifactStoreContract
    from heliostat.testing.contract import Contract, asynchronous, not_shown
    from heliostat.testing.faulty import Fault, FaultyWorker
    from heliostat.testing.meeting import Meeting, RunningCommand
    from heliostat.testing.progress import ProgressSinkContract
    from heliostat.testing.repository import JobRepositoryContract
    from heliostat.testing.scripted import ScriptedWorker
    from heliostat.testing.stitcher import StitcherContract, StitcherUnderTest
    from heliostat.testing.transcript import transcribe
    from heliostat.testing.worker import WorkerAdapterContract, WorkerUnderTest

_WHERE = {
    "ArtifactStoreContract": "artifacts",
    "Contract": "contract",
    "Fault": "faulty",
    "FaultyWorker": "faulty",
    "JobRepositoryContract": "repository",
    "Meeting": "meeting",
    "ProgressSinkContract": "progress",
    "RunningCommand": "meeting",
    "ScriptedWorker": "scripted",
    "StitcherContract": "stitcher",
    "StitcherUnderTest": "stitcher",
    "WorkerAdapterContract": "worker",
    "WorkerUnderTest": "worker",
    "asynchronous": "contract",
    "not_shown": "contract",
    "transcribe": "transcript",
}

__all__ = [
    "ArtifactStoreContract",
    "Contract",
    "Fault",
    "FaultyWorker",
    "JobRepositoryContract",
    "Meeting",
    "ProgressSinkContract",
    "RunningCommand",
    "ScriptedWorker",
    "StitcherContract",
    "StitcherUnderTest",
    "WorkerAdapterContract",
    "WorkerUnderTest",
    "asynchronous",
    "not_shown",
    "transcribe",
]

__getattr__ = import_on_demand(__name__, _WHERE)
