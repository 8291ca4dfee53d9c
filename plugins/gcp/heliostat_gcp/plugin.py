"""What this distribution adds to Heliostat. Google's libraries are imported when one of these is opened, not here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from heliostat import Register, hookimpl
from heliostat_gcp.options import CloudRunJobsOptions, CloudRunOptions, GcsOptions

if TYPE_CHECKING:
    import typer

    from heliostat_gcp.artifacts import GcsArtifactStore
    from heliostat_gcp.jobs import CloudRunJobsAdapter
    from heliostat_gcp.services import CloudRunAdapter


def _open_cloud_run(options: CloudRunOptions) -> CloudRunAdapter:
    from heliostat_gcp.services import CloudRunAdapter

    return CloudRunAdapter(options)


def _open_cloud_run_jobs(options: CloudRunJobsOptions) -> CloudRunJobsAdapter:
    from heliostat_gcp.jobs import CloudRunJobsAdapter

    return CloudRunJobsAdapter(options)


def _open_gcs(options: GcsOptions) -> GcsArtifactStore:
    from heliostat_gcp.artifacts import GcsArtifactStore

    return GcsArtifactStore(options)


def _make_commands() -> typer.Typer:
    from heliostat_gcp.deploy import make_app

    return make_app()


@hookimpl
def register_worker_adapters(register: Register) -> None:
    register(
        "gcp-cloud-run", _open_cloud_run, options=CloudRunOptions, summary="Requests to a service of Google Cloud Run."
    )
    register(
        "gcp-cloud-run-jobs",
        _open_cloud_run_jobs,
        options=CloudRunJobsOptions,
        summary="Tasks of a job of Google Cloud Run, for chunks that take hours.",
    )


@hookimpl
def register_artifact_stores(register: Register) -> None:
    register("gcs", _open_gcs, options=GcsOptions, summary="A bucket of Google Cloud Storage: gcs://bucket/prefix.")
    register(
        "gs", _open_gcs, options=GcsOptions, summary="The same, as Google's own tools write it: gs://bucket/prefix."
    )


@hookimpl
def register_commands(register: Register) -> None:
    register("gcp", _make_commands, summary="Deploy Heliostat's worker to Google Cloud, and look after it.")
