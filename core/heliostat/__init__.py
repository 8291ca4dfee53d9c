"""Heliostat renders a film in chunks on many workers at once, and tells progress that is exact and durable.

The names below are the public ones. Each is imported when it is first asked for, so `import heliostat` costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from heliostat.contracts.artifacts import Artifact, ArtifactStore
    from heliostat.contracts.progress import ProgressSink
    from heliostat.contracts.repository import JobRepository
    from heliostat.contracts.stitcher import Stitcher, StitchRequest
    from heliostat.contracts.worker import ChunkReport, ChunkRequest, WorkerAdapter, WorkerLimits
    from heliostat.executor.executor import JobExecutor, JobResult
    from heliostat.executor.options import JobExecutionOptions
    from heliostat.hookspecs import hookimpl
    from heliostat.manager import JobManager
    from heliostat.model.cause import Cause
    from heliostat.model.result import ChunkResult, Output, Usage
    from heliostat.model.spec import Chunk, JobSpec, Merge, Metadata
    from heliostat.model.status import (
        AttemptState,
        AttemptStatus,
        ChunkState,
        ChunkStatus,
        JobMetrics,
        JobSettings,
        JobState,
        JobStatus,
        WorkerChoice,
    )
    from heliostat.planning.load import load_spec
    from heliostat.plugins import open_artifact_store, open_repository, open_sink, open_stitcher, open_worker

_WHERE = {
    "Artifact": "contracts.artifacts",
    "ArtifactStore": "contracts.artifacts",
    "AttemptState": "model.status",
    "AttemptStatus": "model.status",
    "Cause": "model.cause",
    "Chunk": "model.spec",
    "ChunkReport": "contracts.worker",
    "ChunkRequest": "contracts.worker",
    "ChunkResult": "model.result",
    "ChunkState": "model.status",
    "ChunkStatus": "model.status",
    "JobExecutionOptions": "executor.options",
    "JobExecutor": "executor.executor",
    "JobManager": "manager",
    "JobMetrics": "model.status",
    "JobRepository": "contracts.repository",
    "JobResult": "executor.executor",
    "JobSettings": "model.status",
    "JobSpec": "model.spec",
    "JobState": "model.status",
    "JobStatus": "model.status",
    "Merge": "model.spec",
    "Metadata": "model.spec",
    "Output": "model.result",
    "ProgressSink": "contracts.progress",
    "StitchRequest": "contracts.stitcher",
    "Stitcher": "contracts.stitcher",
    "Usage": "model.result",
    "WorkerAdapter": "contracts.worker",
    "WorkerChoice": "model.status",
    "WorkerLimits": "contracts.worker",
    "hookimpl": "hookspecs",
    "load_spec": "planning.load",
    "open_artifact_store": "plugins",
    "open_repository": "plugins",
    "open_sink": "plugins",
    "open_stitcher": "plugins",
    "open_worker": "plugins",
}

__all__ = [
    "Artifact",
    "ArtifactStore",
    "AttemptState",
    "AttemptStatus",
    "Cause",
    "Chunk",
    "ChunkReport",
    "ChunkRequest",
    "ChunkResult",
    "ChunkState",
    "ChunkStatus",
    "JobExecutionOptions",
    "JobExecutor",
    "JobManager",
    "JobMetrics",
    "JobRepository",
    "JobResult",
    "JobSettings",
    "JobSpec",
    "JobState",
    "JobStatus",
    "Merge",
    "Metadata",
    "Output",
    "ProgressSink",
    "StitchRequest",
    "Stitcher",
    "Usage",
    "WorkerAdapter",
    "WorkerChoice",
    "WorkerLimits",
    "__version__",
    "hookimpl",
    "load_spec",
    "open_artifact_store",
    "open_repository",
    "open_sink",
    "open_stitcher",
    "open_worker",
]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("heliostat")
    if name not in _WHERE:
        raise AttributeError(f"module 'heliostat' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"heliostat.{_WHERE[name]}"), name)
    globals()[name] = value
    return value
