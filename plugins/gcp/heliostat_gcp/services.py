"""The worker adapter `gcp-cloud-run`: every attempt is one request to a service of Cloud Run, whose answer streams.

The transport is that of any worker behind HTTP. Here is what Cloud Run adds: finding the service, and being let in.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Any, Final, Self

from msgspec import Struct
from msgspec.structs import replace

from heliostat import ChunkReport, ChunkRequest, ChunkResult, WorkerAdapter, WorkerLimits
from heliostat.errors import Misconfigured, TimedOut
from heliostat.worker import WorkerClient
from heliostat_gcp.admin_api import Place, Size, close, environment, open_client, place_of, size_of, whole_name
from heliostat_gcp.costs import Prices, with_usage
from heliostat_gcp.errors import of_call
from heliostat_gcp.id_tokens import IdTokens
from heliostat_gcp.options import CloudRunOptions

RESERVE: Final = 10.0
"""Seconds of a request's time that are kept for ending a chunk and telling of it."""
NOTICE: Final = 3.0
"""Seconds before the end of a request's time at which it is given up, since Cloud Run would only close it."""
MOST_AT_ONCE: Final = 1000
"""Connections of one coordinator."""
USUAL_AT_ONCE: Final = 100

ADVICE: Final = {
    401: "give the caller roles/run.invoker, name it in the service's HELIOSTAT_CALLERS, and use the audience that the"
    " service names in HELIOSTAT_AUDIENCE; `heliostat gcp doctor` looks for what is wrong",
    403: "give the caller the role roles/run.invoker; `heliostat gcp policy` prints what it needs",
    404: "deploy the service with `heliostat gcp deploy`, or correct its name, project and region",
}
"""What to do about refusals, of Cloud Run or of the worker."""


class Found(Struct, frozen=True, kw_only=True):
    """What is known of a service."""

    url: str
    audience: str
    artifacts: str | None
    seconds: float
    """The longest request."""
    most: int | None = None
    """Requests at once."""
    size: Size | None = None
    """Of an instance."""
    log_url: str | None = None
    revision: str | None = None
    """The newest that serves requests."""


class CloudRunAdapter(WorkerAdapter):
    name = "gcp-cloud-run"

    def __init__(self, options: CloudRunOptions) -> None:
        self._options = options
        self._prices = Prices(options.usd_per_vcpu_second, options.usd_per_gib_second)
        self.artifacts = options.artifacts
        self._openings = 0
        self._resources = AsyncExitStack()
        self._found: Found
        self._client: WorkerClient

    async def __aenter__(self) -> Self:
        """Find the service. Raises AttemptErrors."""
        if self._openings == 0:
            found = self._found = await asyncio.to_thread(self._find)
            if found.artifacts is None:
                raise Misconfigured(
                    "no bucket is named; give artifacts=gs://BUCKET/PREFIX, or deploy the service with"
                    " HELIOSTAT_ARTIFACTS"
                )
            self.artifacts = found.artifacts
            tokens = IdTokens(found.audience, self._options.impersonate)
            advice: dict[int, Any] = {**ADVICE, 401: lambda headers: tokens.advice(headers) or ADVICE[401]}
            client = WorkerClient(found.url, tokens.headers, advice=advice)
            self._client = await self._resources.enter_async_context(client)
            most = min(found.most or MOST_AT_ONCE, MOST_AT_ONCE)
            self.limits = WorkerLimits(
                concurrency=most,
                default_concurrency=self._options.concurrency or min(most, USUAL_AT_ONCE),
                longest_chunk=max(1.0, found.seconds - RESERVE),
                queues=True,
            )
        self._openings += 1
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._openings -= 1
        if self._openings == 0:
            await self._resources.aclose()

    async def run(self, request: ChunkRequest, report: ChunkReport) -> ChunkResult:
        found = self._found
        try:
            async with asyncio.timeout(found.seconds - NOTICE):
                result = await self._client.run(request, report)
        except TimeoutError:  # counted as Cloud Run does, with its start, its inputs and its outputs
            raise TimedOut(
                f"the request ran into the service's time limit of {found.seconds:g} s; deploy it with more, or make"
                " the chunks smaller"
            ) from None
        if found.revision is not None:
            result = replace(result, worker=f"{found.revision}/{result.worker}")
        return with_usage(result, found.size, self._prices, found.log_url)

    def _find(self) -> Found:
        options = self._options
        if options.url is not None:
            url = options.url.rstrip("/")
            return Found(
                url=url,
                audience=options.audience or url,
                artifacts=options.artifacts,
                seconds=options.request_seconds,
            )
        if options.service is None:
            raise Misconfigured(
                "no service is named; give service=NAME, the name that it was deployed under, or url=https://…"
            )
        name = whole_name(options.service, "services", options)
        client = open_client("Services", options.endpoint)
        try:
            service = client.get_service(name=name)
        except Exception as error:
            raise of_call(error, f"service {name}") from error
        finally:
            close(client)
        template = service.template
        if not service.uri or not template.containers:
            raise Misconfigured(f"service {name} is not served yet; wait until its deployment is done")
        instances = template.scaling.max_instance_count
        each = template.max_instance_request_concurrency or 1
        container = template.containers[0]
        return Found(
            url=service.uri,
            audience=options.audience or next(iter(service.custom_audiences), service.uri),
            artifacts=options.artifacts or environment(container).get("HELIOSTAT_ARTIFACTS"),
            seconds=template.timeout.total_seconds() or 300.0,
            most=instances * each if instances else None,
            size=size_of(container),
            revision=service.latest_ready_revision.rpartition("/")[2] or None,
            log_url=_log_url(place_of(service.name), service.name.rpartition("/")[2]),
        )


def _log_url(place: Place, service: str) -> str:
    return f"https://console.cloud.google.com/run/detail/{place.region}/{service}/logs?project={place.project}"
