"""What this distribution adds to Heliostat. Google's libraries are imported when one of these is opened, not here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from heliostat import Register, hookimpl
from heliostat_gcp.options import GcsOptions

if TYPE_CHECKING:
    from heliostat_gcp.artifacts import GcsArtifactStore


def _open_gcs(options: GcsOptions) -> GcsArtifactStore:
    from heliostat_gcp.artifacts import GcsArtifactStore

    return GcsArtifactStore(options)


@hookimpl
def register_artifact_stores(register: Register) -> None:
    register("gcs", _open_gcs, options=GcsOptions, summary="A bucket of Google Cloud Storage: gcs://bucket/prefix.")
    register(
        "gs", _open_gcs, options=GcsOptions, summary="The same, as Google's own tools write it: gs://bucket/prefix."
    )
