"""The AWS services that the commands call, and what they refuse, as one sentence."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from heliostat.errors import Misconfigured
from heliostat_aws.errors import of_call
from heliostat_aws.session import Connection, open_client


class Services:
    """Clients of one account and region, each opened at its first use."""

    def __init__(self, connection: Connection, **config: Any) -> None:
        """`config` goes to every client's `botocore.config.Config`."""
        self._connection = connection
        self._config = {"retries": {"mode": "standard", "total_max_attempts": 5}, **config}
        self._clients: dict[str, Any] = {}

    def __getitem__(self, service: str) -> Any:
        """The client of a service. Raises Misconfigured."""
        if service not in self._clients:
            self._clients[service] = open_client(service, self._connection, **self._config)
        return self._clients[service]

    @property
    def region(self) -> str:
        return str(self["cloudformation"].meta.region_name)

    def close(self) -> None:
        for client in self._clients.values():
            client.close()


@contextmanager
def services_for(what: str, connection: Connection) -> Iterator[Services]:
    """Services, closed in the end. What boto3 raises comes out as an AttemptError on `what`, such as `stack film`."""
    services = Services(connection)
    try:
        with refusals(what):
            yield services
    finally:
        services.close()


@contextmanager
def refusals(what: str) -> Iterator[None]:
    """Errors of boto3 as AttemptErrors on `what`."""
    from botocore.exceptions import BotoCoreError, ClientError
    from botocore.parsers import ResponseParserError

    try:
        yield
    except (BotoCoreError, ClientError) as error:
        raise of_call(error, what) from error
    except ResponseParserError as error:
        raise Misconfigured(
            f"{what}: what answered is not AWS; correct --endpoint-url or AWS_ENDPOINT_URL, or a proxy's settings"
        ) from error


def code_of(error: Any) -> str:
    """The code of a ClientError, such as `AccessDenied`."""
    return str(error.response.get("Error", {}).get("Code", ""))


def is_denied(error: Any) -> bool:
    """Whether a ClientError says that the caller may not."""
    return code_of(error) in ("AccessDenied", "AccessDeniedException", "UnauthorizedOperation")
