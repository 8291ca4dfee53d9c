"""The options of the artifact store."""

from __future__ import annotations

from msgspec import Struct


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
