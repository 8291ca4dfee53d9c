"""Clients of the Cloud Run Admin API, and what they find. Nothing of Google is imported before a client is opened."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Final, Protocol

from msgspec import Struct

from heliostat.errors import Misconfigured
from heliostat_gcp.errors import of_call

if TYPE_CHECKING:
    from google.cloud import run_v2

REGION_VARIABLES: Final = ("GOOGLE_CLOUD_REGION", "CLOUDSDK_RUN_REGION", "CLOUDSDK_COMPUTE_REGION")
PROJECT_VARIABLES: Final = ("GOOGLE_CLOUD_PROJECT", "CLOUDSDK_CORE_PROJECT")
TIMEOUT: Final = 30.0
"""Seconds that a call of the API may take, tries included."""


class Place(Struct, frozen=True):
    """Where resources of Cloud Run are."""

    project: str
    region: str

    @property
    def parent(self) -> str:
        return f"projects/{self.project}/locations/{self.region}"


class Options(Protocol):
    """Options that say where something is."""

    @property
    def project(self) -> str | None: ...
    @property
    def region(self) -> str | None: ...


def find_place(options: Options) -> Place:
    """Raises Misconfigured."""
    region = options.region or next((os.environ[name] for name in REGION_VARIABLES if os.environ.get(name)), None)
    if region is None:
        raise Misconfigured("no region is chosen; give region=…, such as europe-west1, or set GOOGLE_CLOUD_REGION")
    project = options.project or next((os.environ[name] for name in PROJECT_VARIABLES if os.environ.get(name)), None)
    return Place(project or _default_project(), region)


def whole_name(name: str, collection: str, options: Options) -> str:
    """`projects/…/locations/…/<collection>/…` of a short name, or of a whole one. Raises Misconfigured."""
    return name if name.startswith("projects/") else f"{find_place(options).parent}/{collection}/{name}"


def place_of(name: str) -> Place:
    """Of a whole name."""
    _, project, _, region, *_ = name.split("/")
    return Place(project, region)


def open_client(kind: str, endpoint: str | None) -> Any:
    """A client of `run_v2`, such as `Services`. `endpoint`: where the API is when not at Google; one that begins with
    http:// is called without TLS and without credentials, as stand-ins are. Raises AttemptErrors."""
    from google.cloud import run_v2

    client = getattr(run_v2, f"{kind}Client")
    try:
        if endpoint is None:
            return client()
        address = endpoint.removeprefix("http://")
        if address == endpoint:
            from google.api_core.client_options import ClientOptions

            return client(client_options=ClientOptions(api_endpoint=endpoint.removeprefix("https://")))
        import grpc

        transport = client.get_transport_class("grpc")
        return client(transport=transport(channel=grpc.insecure_channel(address)))
    except Exception as error:
        raise of_call(error, "the Cloud Run Admin API") from error


def close(client: Any) -> None:
    client.transport.close()


def environment(container: run_v2.Container) -> dict[str, str]:
    """The plain variables of a container."""
    return {variable.name: variable.value for variable in container.env}


class Size(Struct, frozen=True):
    """What a container may use, and is paid for."""

    cpus: float
    memory_mb: int


def size_of(container: run_v2.Container) -> Size:
    """Of a container's limits, as Kubernetes writes them (`2`, `500m`; `512Mi`, `4Gi`, `1G`). Cloud Run gives one CPU
    and 512 MiB where nothing is said."""
    limits = container.resources.limits
    return Size(_number(limits.get("cpu", "1")), round(_number(limits.get("memory", "512Mi")) / (1 << 20)))


_UNITS: Final = {"m": 1e-3, "k": 1e3, "M": 1e6, "G": 1e9, "Ki": 1 << 10, "Mi": 1 << 20, "Gi": 1 << 30}


def _number(quantity: str) -> float:
    unit = next((unit for unit in sorted(_UNITS, key=len, reverse=True) if quantity.endswith(unit)), "")
    return float(quantity.removesuffix(unit)) * _UNITS.get(unit, 1)


def _default_project() -> str:
    import google.auth

    try:
        _, project = google.auth.default()
    except Exception as error:
        raise of_call(error, "Google Cloud") from error
    if project is None:
        raise Misconfigured("no project is chosen; give project=…, or set GOOGLE_CLOUD_PROJECT")
    return str(project)
