"""The progress sink `webhook`: posts events to a URL, signed, in order, and without ever holding up the job.

Every request is a POST of a JSON object with one or more events in their order:

    {"id": "3f2a…", "jobId": "…", "events": [{"id": "9c41…-7", "type": "chunk_succeeded", "time": …, …}, …]}

`Heliostat-Delivery` repeats its `id`, and with a secret there is a `Heliostat-Signature` (see `signature`, which also
verifies it). Any status of 2xx takes the events. A retried request has the same body; so an event whose `id` was seen
before came twice because an answer got lost.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from msgspec import Meta, Struct

from heliostat.hookspecs import Register, hookimpl

if TYPE_CHECKING:
    from heliostat.contracts.progress import ProgressSink


class WebhookOptions(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of the sink `webhook`."""

    url: str
    """Where to post, http or https."""
    secret: str | None = None
    """The key for signatures; the environment variable HELIOSTAT_WEBHOOK_SECRET when None; unsigned without either."""
    events: tuple[str, ...] | None = None
    """Types of events to post; all but chunk_progressed and progressed when None."""
    timeout: Annotated[float, Meta(gt=0)] = 10.0
    """Seconds that one request may take."""
    retries: Annotated[int, Meta(ge=0)] = 8
    """Further tries of a request that met a connection error or a status of 408, 429 or 5xx."""
    retry_delay: Annotated[float, Meta(ge=0)] = 0.5
    """Seconds; the delay before retry n is drawn evenly from 0 to `min(60, retry_delay * 2**(n - 1))`."""
    patience: Annotated[float, Meta(ge=0, le=9)] = 8.0
    """Seconds to go on delivering once the job has ended; what is left then is given up."""


def make_webhook(options: WebhookOptions) -> ProgressSink:
    """Raises PluginError without aiohttp, and SpecError for options that cannot work."""
    from heliostat.errors import PluginError

    try:
        from heliostat.builtin.webhook.sink import WebhookSink
    except ModuleNotFoundError as error:
        raise PluginError(
            f"progress sink 'webhook' needs the package {error.name}; install it with: pip install 'heliostat[http]'"
        ) from None
    return WebhookSink(options)


@hookimpl
def register_progress_sinks(register: Register) -> None:
    register("webhook", make_webhook, options=WebhookOptions, summary="Signed HTTP POSTs, retried and in order.")
