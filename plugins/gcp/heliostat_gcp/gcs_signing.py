"""Who signs links to objects."""

from __future__ import annotations

from typing import Any

from google.auth.credentials import Signing
from google.auth.transport.requests import Request

from heliostat.errors import ArtifactError
from heliostat_gcp.session import Session


def signer(session: Session) -> dict[str, Any]:
    """What `Blob.generate_signed_url` signs with: the credentials, where they can; else Google, for the service account
    that they are of, as on Cloud Run. Raises ArtifactError."""
    credentials = session.credentials
    if isinstance(credentials, Signing):
        return {"credentials": credentials}
    if not getattr(credentials, "service_account_email", None):
        raise ArtifactError(
            "these Google credentials cannot sign links; use those of a service account, for example with `gcloud auth"
            " application-default login --impersonate-service-account=…`"
        )
    if not credentials.valid:
        credentials.refresh(Request())
    return {"service_account_email": credentials.service_account_email, "access_token": credentials.token}
