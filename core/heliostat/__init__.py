"""Heliostat renders a film in chunks on many workers at once, and tells progress that is exact and durable.

The names below are the public ones. Each is imported when it is first asked for, so `import heliostat` costs nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from heliostat.lazy import import_on_demand

if TYPE_CHECKING:
    from heliostat.builtin.console.terminal import plain, plain_lines
    from heliostat.contracts.artifacts import Artifact, ArtifactStore, output_key
    from heliostat.contracts.progress import ProgressSink
    from heliostat.contracts.repository import (
        AttemptChange,
        Batch,
        ChunkChange,
        JobChange,
        JobEvent,
        JobRepository,
        JournalEntry,
        Lease,
    )
    from heliostat.contracts.stitcher import Stitcher, StitchRequest
    from heliostat.contracts.worker import ChunkReport, ChunkRequest, WorkerAdapter, WorkerLimits
    from heliostat.executor.choice import executors
    from heliostat.executor.executor import JobExecutor, JobResult
    from heliostat.executor.logs import log_path
    from heliostat.executor.options import JobExecutionOptions
    from heliostat.hookspecs import Register, hookimpl
    from heliostat.listing import OfferView, OptionView, PluginView, list_plugins
    from heliostat.manager import JobManager
    from heliostat.model.cause import Cause
    from heliostat.model.codec import from_builtins, from_json, to_builtins, to_json
    from heliostat.model.events import (
        AttemptFailed,
        ChunkFailed,
        ChunkProgressed,
        ChunkStarted,
        ChunkSucceeded,
        ConcurrencyChanged,
        Event,
        JobEnded,
        JobStarted,
        MergeStarted,
        ObserverFailed,
        Progressed,
    )
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
        Wish,
        WorkerChoice,
    )
    from heliostat.planning.load import load_spec, parse_spec
    from heliostat.planning.schema import job_schema
    from heliostat.plugins import (
        check_worker,
        open_artifact_store,
        open_repository,
        open_sink,
        open_stitcher,
        open_worker,
        registry,
    )
    from heliostat.view import ChunkCounts, FailedChunk, JobDetails, JobView, view_details, view_job

_WHERE = {
    "Artifact": "contracts.artifacts",
    "ArtifactStore": "contracts.artifacts",
    "AttemptChange": "contracts.repository",
    "AttemptFailed": "model.events",
    "AttemptState": "model.status",
    "AttemptStatus": "model.status",
    "Batch": "contracts.repository",
    "Cause": "model.cause",
    "Chunk": "model.spec",
    "ChunkChange": "contracts.repository",
    "ChunkCounts": "view",
    "ChunkFailed": "model.events",
    "ChunkProgressed": "model.events",
    "ChunkReport": "contracts.worker",
    "ChunkRequest": "contracts.worker",
    "ChunkResult": "model.result",
    "ChunkStarted": "model.events",
    "ChunkState": "model.status",
    "ChunkStatus": "model.status",
    "ChunkSucceeded": "model.events",
    "ConcurrencyChanged": "model.events",
    "Event": "model.events",
    "FailedChunk": "view",
    "JobChange": "contracts.repository",
    "JobDetails": "view",
    "JobEnded": "model.events",
    "JobEvent": "contracts.repository",
    "JobExecutionOptions": "executor.options",
    "JobExecutor": "executor.executor",
    "JobManager": "manager",
    "JobMetrics": "model.status",
    "JobRepository": "contracts.repository",
    "JobResult": "executor.executor",
    "JobSettings": "model.status",
    "JobSpec": "model.spec",
    "JobStarted": "model.events",
    "JobState": "model.status",
    "JobStatus": "model.status",
    "JobView": "view",
    "JournalEntry": "contracts.repository",
    "Lease": "contracts.repository",
    "Merge": "model.spec",
    "MergeStarted": "model.events",
    "Metadata": "model.spec",
    "ObserverFailed": "model.events",
    "OfferView": "listing",
    "OptionView": "listing",
    "Output": "model.result",
    "PluginView": "listing",
    "ProgressSink": "contracts.progress",
    "Progressed": "model.events",
    "Register": "hookspecs",
    "StitchRequest": "contracts.stitcher",
    "Stitcher": "contracts.stitcher",
    "Usage": "model.result",
    "Wish": "model.status",
    "WorkerAdapter": "contracts.worker",
    "WorkerChoice": "model.status",
    "WorkerLimits": "contracts.worker",
    "check_worker": "plugins",
    "executors": "executor.choice",
    "from_builtins": "model.codec",
    "from_json": "model.codec",
    "hookimpl": "hookspecs",
    "job_schema": "planning.schema",
    "list_plugins": "listing",
    "load_spec": "planning.load",
    "log_path": "executor.logs",
    "open_artifact_store": "plugins",
    "open_repository": "plugins",
    "open_sink": "plugins",
    "open_stitcher": "plugins",
    "open_worker": "plugins",
    "output_key": "contracts.artifacts",
    "parse_spec": "planning.load",
    "plain": "builtin.console.terminal",
    "plain_lines": "builtin.console.terminal",
    "registry": "plugins",
    "to_builtins": "model.codec",
    "to_json": "model.codec",
    "view_details": "view",
    "view_job": "view",
}

__all__ = [
    "Artifact",
    "ArtifactStore",
    "AttemptChange",
    "AttemptFailed",
    "AttemptState",
    "AttemptStatus",
    "Batch",
    "Cause",
    "Chunk",
    "ChunkChange",
    "ChunkCounts",
    "ChunkFailed",
    "ChunkProgressed",
    "ChunkReport",
    "ChunkRequest",
    "ChunkResult",
    "ChunkStarted",
    "ChunkState",
    "ChunkStatus",
    "ChunkSucceeded",
    "ConcurrencyChanged",
    "Event",
    "FailedChunk",
    "JobChange",
    "JobDetails",
    "JobEnded",
    "JobEvent",
    "JobExecutionOptions",
    "JobExecutor",
    "JobManager",
    "JobMetrics",
    "JobRepository",
    "JobResult",
    "JobSettings",
    "JobSpec",
    "JobStarted",
    "JobState",
    "JobStatus",
    "JobView",
    "JournalEntry",
    "Lease",
    "Merge",
    "MergeStarted",
    "Metadata",
    "ObserverFailed",
    "OfferView",
    "OptionView",
    "Output",
    "PluginView",
    "ProgressSink",
    "Progressed",
    "Register",
    "StitchRequest",
    "Stitcher",
    "Usage",
    "Wish",
    "WorkerAdapter",
    "WorkerChoice",
    "WorkerLimits",
    "__version__",
    "check_worker",
    "executors",
    "from_builtins",
    "from_json",
    "hookimpl",
    "job_schema",
    "list_plugins",
    "load_spec",
    "log_path",
    "open_artifact_store",
    "open_repository",
    "open_sink",
    "open_stitcher",
    "open_worker",
    "output_key",
    "parse_spec",
    "plain",
    "plain_lines",
    "registry",
    "to_builtins",
    "to_json",
    "view_details",
    "view_job",
]

_import = import_on_demand(__name__, _WHERE)


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("heliostat")
    return _import(name)
