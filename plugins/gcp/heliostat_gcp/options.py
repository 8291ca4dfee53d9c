"""The options of the worker adapters and the artifact store."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct


class CloudRunOptions(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of the worker adapter `gcp-cloud-run`."""

    service: str | None = None
    """The service's name, or all of `projects/…/locations/…/services/…`."""
    project: str | None = None
    region: str | None = None
    url: str | None = None
    """The service's address, in place of its name: the Admin API is then not asked."""
    audience: str | None = None
    """Whom ID tokens are made out for, when it is neither the service's own choice nor its address."""
    impersonate: str | None = None
    """The service account in whose name the service is called, for credentials that cannot make ID tokens."""
    artifacts: str | None = None
    """The artifact store, `gs://bucket/prefix`, in place of the service's own."""
    concurrency: Annotated[int, Meta(ge=1, le=1000)] | None = None
    """Chunks at once, unless the job says; as many as the service may have instances for, up to 100, when None."""
    endpoint: str | None = None
    """Where the Admin API is, when not at Google."""
    usd_per_vcpu_second: float = 0.000024
    """The price that the estimated cost is made with: requests in a tier 1 region."""
    usd_per_gib_second: float = 0.0000025


class CloudRunJobsOptions(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of the worker adapter `gcp-cloud-run-jobs`."""

    job: str
    """The job's name, or all of `projects/…/locations/…/jobs/…`."""
    project: str | None = None
    region: str | None = None
    artifacts: str | None = None
    """The artifact store, `gs://bucket/prefix`, in place of the job's own."""
    concurrency: Annotated[int, Meta(ge=1, le=10_000)] = 1000
    """Chunks at once, unless the job says. Those that Cloud Run has no room for yet wait there."""
    endpoint: str | None = None
    """Where the Admin API is, when not at Google."""
    usd_per_vcpu_second: float = 0.000018
    """The price that the estimated cost is made with: jobs in a tier 1 region."""
    usd_per_gib_second: float = 0.000002


class GcsOptions(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of the artifact store `gcs`."""

    url: str
    """`gcs://bucket/prefix` or `gs://bucket/prefix`, with `?project=…&endpoint_url=…` where Google's own settings do
    not do."""


class Connection(Struct, frozen=True, kw_only=True):
    """Where Cloud Storage is, and who pays. What is None comes from Google's usual places."""

    project: str | None = None
    """Pays for requests and traffic, where the bucket lets whoever asks pay."""
    endpoint_url: str | None = None
