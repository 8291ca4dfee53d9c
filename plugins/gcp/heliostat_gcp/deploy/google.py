"""The services of Google Cloud that the commands call, and what they refuse, as one sentence."""

from __future__ import annotations

import os
import random
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import Any, Final

from msgspec import Struct

from heliostat.errors import AttemptError, HeliostatError, Misconfigured, WorkerLost
from heliostat_gcp.admin_api import TIMEOUT, close, find_place, open_client
from heliostat_gcp.errors import of_call

TRIES: Final = 5
"""How often a call is made that Google is too busy for."""
BUSY: Final = (429, 503)
WAIT: Final = 1.0
"""Seconds until it is called again, at the most; doubled each time."""
_REQUEST: Final = re.compile(r"^(GET|POST|PUT|PATCH|DELETE) \S+: ")
"""How the libraries begin the message of an error that came over HTTP."""
OVERRIDE: Final = "CLOUDSDK_API_ENDPOINT_OVERRIDES_{}"
"""The environment variable by which gcloud, too, is told where a service is when not at Google."""


class Connection(Struct, frozen=True, kw_only=True):
    """Which project and region. What is None comes from Google's usual places."""

    project: str | None = None
    region: str | None = None
    endpoint: str | None = None
    """Where the Cloud Run Admin API is, when not at Google."""


class Google:
    """Clients for one project and region, each opened at its first use."""

    def __init__(self, connection: Connection) -> None:
        """Raises Misconfigured when project or region cannot be told."""
        self.place = find_place(connection)
        self._endpoint = connection.endpoint
        self._run: dict[str, Any] = {}
        self._rest: dict[str, Rest] = {}
        self._credentials: dict[str | None, Any] = {}

    def run(self, kind: str) -> Any:
        """A client of `google.cloud.run_v2`, such as `Services`. Raises AttemptErrors."""
        if kind not in self._run:
            self._run[kind] = open_client(kind, self._endpoint)
        return self._run[kind]

    def rest(self, service: str) -> Rest:
        """An API over HTTP, such as `iam`. Raises AttemptErrors."""
        if service not in self._rest:
            override = os.environ.get(OVERRIDE.format(service.upper()))
            self._rest[service] = Rest(override or f"https://{service}.googleapis.com", self._credentials_for(override))
        return self._rest[service]

    @cached_property
    def storage(self) -> Any:
        """A `google.cloud.storage.Client`. Raises Misconfigured."""
        from heliostat_gcp import options
        from heliostat_gcp.session import open_session

        return open_session(options.Connection(), lambda: None, connections=4).client

    def _credentials_for(self, address: str | None) -> Any:
        """Read once, so that one token does for all of Google's services."""
        from heliostat_gcp.session import credentials_for

        if address not in self._credentials:
            self._credentials[address] = credentials_for(address)
        return self._credentials[address]

    def close(self) -> None:
        for client in self._run.values():
            close(client)
        for rest in self._rest.values():
            rest.close()
        if "storage" in self.__dict__:
            self.storage.close()


class Rest:
    """One of Google's APIs that speak JSON. Every call raises errors of Google's libraries."""

    def __init__(self, address: str, credentials: Any) -> None:
        from google.auth.transport.requests import AuthorizedSession

        self._address = address.rstrip("/")
        self._session = AuthorizedSession(credentials)

    def get(self, path: str, **query: Any) -> dict[str, Any]:
        return self._call("GET", path, None, query)

    def post(self, path: str, body: object) -> dict[str, Any]:
        return self._call("POST", path, body, {})

    def patch(self, path: str, body: object) -> dict[str, Any]:
        return self._call("PATCH", path, body, {})

    def delete(self, path: str) -> None:
        self._call("DELETE", path, None, {})

    def close(self) -> None:
        self._session.close()

    def _call(self, method: str, path: str, body: object, query: dict[str, Any]) -> dict[str, Any]:
        from google.api_core.exceptions import from_http_response

        for tried in range(TRIES):
            if tried:
                time.sleep(random.uniform(0, WAIT * 2 ** (tried - 1)))
            answer = self._session.request(method, f"{self._address}{path}", json=body, params=query, timeout=TIMEOUT)
            if answer.status_code not in BUSY:
                break
        if answer.status_code != 200:
            raise from_http_response(answer)
        told: dict[str, Any] = answer.json()
        return told


@contextmanager
def google_for(what: str, connection: Connection) -> Iterator[Google]:
    """Clients, closed in the end. What Google's libraries raise comes out as an AttemptError on `what`, such as
    `heliostat film`."""
    with refusals(what):
        google = Google(connection)
        try:
            yield google
        finally:
            google.close()


@contextmanager
def refusals(what: str, role: str = "deployer") -> Iterator[None]:
    """Errors of Google's libraries as AttemptErrors on `what`; `role`: whom `heliostat gcp policy` knows the caller
    as."""
    try:
        yield
    except (HeliostatError, KeyboardInterrupt, GeneratorExit):
        raise
    except Exception as error:
        if (explained := _explained(error, what, role)) is None:
            raise
        raise explained from error


def is_denied(error: BaseException | None) -> bool:
    """Whether an error of Google's libraries says that the caller may not."""
    from google.api_core.exceptions import Forbidden

    return isinstance(error, Forbidden)  # PermissionDenied is one


def _explained(error: Exception, what: str, role: str) -> AttemptError | None:
    """None for what is none of Google's libraries' errors."""
    from google.api_core.exceptions import Forbidden, GoogleAPICallError, GoogleAPIError
    from google.auth.exceptions import GoogleAuthError
    from requests import JSONDecodeError, RequestException

    if isinstance(error, JSONDecodeError):
        return Misconfigured(
            f"{what}: what answered is not Google; correct {OVERRIDE.format('…')}, or a proxy's settings"
        )
    if isinstance(error, RequestException):
        return WorkerLost(f"the connection to Google for {what} was lost ({_in_one_line(error)}); check the network")
    if not isinstance(error, GoogleAPIError | GoogleAuthError):
        return None
    if isinstance(error, GoogleAPICallError):
        error.message = _in_one_line(_REQUEST.sub("", error.message))
    if isinstance(error, Forbidden):
        said = error.message.rstrip(".")
        return Misconfigured(f"{what}: {said}; {_remedy(error, said, role)}")
    return of_call(error, what)


def _remedy(error: Any, said: str, role: str) -> str:
    if error.reason == "SERVICE_DISABLED":
        service = (error.metadata or {}).get("service", "the API that it names")
        return f"switch it on with `gcloud services enable {service}`, and try again in a few minutes"
    if "quota project" in said:
        return "name one with `gcloud auth application-default set-quota-project PROJECT`"
    if "actas" in said.lower():
        return "give the caller the role Service Account User (roles/iam.serviceAccountUser) on that account"
    return f"`heliostat gcp policy --for {role}` prints what the caller needs to be allowed"


def _in_one_line(text: object) -> str:
    return " ".join(str(text).split())[:300]
