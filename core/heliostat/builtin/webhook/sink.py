"""The sink itself: which events go out, and one delivery for each job."""

from __future__ import annotations

import os
from typing import get_args

from yarl import URL

from heliostat.builtin.webhook import WebhookOptions
from heliostat.builtin.webhook.delivery import Delivery
from heliostat.errors import SpecError
from heliostat.model.events import ChunkProgressed, Event, JobEnded, Progressed

TYPES: dict[str, type] = {kind.__struct_config__.tag: kind for kind in get_args(Event)}


class WebhookSink:
    """Queues events and returns; only at the end of a job it waits, for `patience` seconds at most."""

    def __init__(self, options: WebhookOptions) -> None:
        """Raises SpecError."""
        self._options = options
        self._url = _checked_url(options.url)
        self._secret = options.secret or os.environ.get("HELIOSTAT_WEBHOOK_SECRET") or None
        self._wanted = _checked_types(options.events)
        self._deliveries: dict[str, Delivery] = {}

    async def handle(self, event: Event, /) -> None:
        delivery = self._deliveries.get(event.job_id)
        if isinstance(event, self._wanted):
            if delivery is None:
                delivery = Delivery(event.job_id, self._url, self._secret, self._options)
                self._deliveries[event.job_id] = delivery
            delivery.put(event)
        if isinstance(event, JobEnded) and delivery is not None:
            del self._deliveries[event.job_id]
            await delivery.finish()


def _checked_url(text: str) -> URL:
    try:
        url = URL(text)
    except ValueError:
        url = URL()
    if url.scheme not in ("http", "https") or not url.host:
        raise SpecError(f"progress sink 'webhook' posts to http:// or https:// addresses; its url is {text!r}")
    return url


def _checked_types(names: tuple[str, ...] | None) -> tuple[type, ...]:
    if names is None:
        return tuple(kind for kind in TYPES.values() if kind not in (ChunkProgressed, Progressed))
    for name in names:
        if name not in TYPES:
            raise SpecError(f"progress sink 'webhook': there is no event {name!r}; there are: {', '.join(TYPES)}")
    return tuple(TYPES[name] for name in names)
