"""Sessions with Cloud Storage, and the credentials for them."""

from __future__ import annotations

import os
from typing import Any, Final
from urllib.parse import urlsplit

import google.auth
from google.auth.credentials import AnonymousCredentials
from google.auth.exceptions import GoogleAuthError
from google.auth.transport.requests import AuthorizedSession
from google.cloud.storage import Client
from msgspec import Struct

from heliostat.errors import Misconfigured
from heliostat_gcp.gcs_errors import misconfigured
from heliostat_gcp.gcs_transport import CheckedAdapter, CheckOn
from heliostat_gcp.options import Connection

_SCOPE: Final = "https://www.googleapis.com/auth/cloud-platform"
"""All that the account may do, since Google wants rights to be given to accounts."""


class Session(Struct, frozen=True, kw_only=True):
    """An open connection."""

    client: Any
    """A `google.cloud.storage.Client`."""
    http: AuthorizedSession
    credentials: Any
    payer: str | None

    @property
    def endpoint(self) -> str:
        return str(self.client.api_endpoint)


def open_session(connection: Connection, check_on: CheckOn, connections: int) -> Session:
    """For as many requests at once as `connections` says. Raises Misconfigured."""
    endpoint = _endpoint(connection)
    credentials = credentials_for(endpoint)
    http = AuthorizedSession(credentials)
    for scheme in ("https://", "http://"):
        http.mount(scheme, CheckedAdapter(check_on, connections))
    client = Client(
        project=connection.project,
        credentials=credentials,
        _http=http,
        client_options={"api_endpoint": endpoint} if endpoint else None,
    )
    # Else a thread of the library's own asks for the bucket's location, for traces that nobody has asked for, with a
    # right that reading and writing objects does not need.
    client._bucket_metadata_cache = None
    return Session(client=client, http=http, credentials=credentials, payer=connection.project)


def _endpoint(connection: Connection) -> str | None:
    """None for Google's."""
    endpoint = connection.endpoint_url or os.environ.get("STORAGE_EMULATOR_HOST")
    if not endpoint:
        return None
    if "://" not in endpoint and not connection.endpoint_url:
        endpoint = f"http://{endpoint}"  # as Google's other libraries take it
    parts = urlsplit(endpoint)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise Misconfigured(f"{endpoint!r} is no address of Cloud Storage; write endpoint_url=https://host:port")
    return endpoint.rstrip("/")


def credentials_for(endpoint: str | None) -> Any:
    """Application Default Credentials; `endpoint` is None for Google's own. A service that is not Google's gets only
    those that somebody has named for it, never by accident those of the person or the machine. Raises Misconfigured."""
    if endpoint is not None and not _is_google(endpoint) and not os.environ.get("GOOGLE_APPLICATION_CREDENTIALS"):
        return AnonymousCredentials()
    try:
        credentials, _ = google.auth.default(scopes=[_SCOPE])
    except GoogleAuthError as error:
        raise misconfigured(error) from error
    return credentials


def _is_google(endpoint: str) -> bool:
    parts = urlsplit(endpoint)
    return parts.scheme == "https" and f".{parts.hostname}".endswith(".googleapis.com")
