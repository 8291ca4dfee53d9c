"""The events of a job as server-sent events."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Annotated, Final

from fastapi import APIRouter, Header, Query
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from heliostat.studio.api.openapi import reference, refusal
from heliostat.studio.api.parameters import InStudio, JobId
from heliostat.studio.clients import cut, has_left
from heliostat.studio.problems import Refused, problem

RECONNECT_AFTER: Final = 2_000
"""Milliseconds until a browser tries again, when the connection is gone."""
SEND_PATIENCE: Final = 30.0
"""Seconds that a client may take to accept what it is sent; then it is dropped, and may come again."""
MOST_LISTENERS: Final = 1_000

logger = logging.getLogger("heliostat")

router = APIRouter(tags=["events"])

After = Annotated[str | None, Query(max_length=40, description="The id of the last event that is known already.")]


@router.get(
    "/jobs/{job_id}/events",
    summary="What happens to a job, as server-sent events",
    response_class=Response,
    responses={
        200: {
            "description": "A stream: `id` is the event's id, `event` its type, `data` its JSON. Events about frames"
            " have no id, as they are of the moment. The last event, when the job is deleted, is `job_deleted`.",
            "content": {"text/event-stream": {"schema": {"type": "string"}, "x-itemSchema": reference("Event")}},
        },
        404: refusal("Not Found"),
        503: refusal("Service Unavailable"),
    },
)
async def follow_events(
    studio: InStudio,
    job_id: JobId,
    after: After = None,
    last_event_id: Annotated[
        str | None, Header(max_length=40, description="As `after`, which it goes before; browsers send it.")
    ] = None,
    follow: Annotated[
        bool, Query(description="Go on, over pauses and with the next run, or end when all so far is told.")
    ] = True,
) -> Response:
    """All that the job's progress sinks are told, from the beginning or after an event, none left out and none twice,
    whoever runs the job, and over restarts of whatever."""
    after = last_event_id or after or None
    if after is None:
        await studio.manager.get(job_id)
    else:
        await studio.manager.check_event(job_id, after)
    if not follow:
        return EventStream(studio.feeds.replay(job_id, after))
    if studio.feeds.listeners >= MOST_LISTENERS or studio.ending.is_set():
        raise Refused(problem(503, "too many clients listen to events; try again", name="too-many"), _RETRY)
    return EventStream(studio.feeds.follow(job_id, after))


_RETRY: Final = {"Retry-After": "5"}


class EventStream(Response):
    """Sends batches of events as they come. A client that does not accept them is dropped, not buffered for."""

    media_type = "text/event-stream"

    def __init__(self, batches: AsyncGenerator[bytes, None]) -> None:
        self.status_code = 200
        self.background = None
        self.body = b""
        self.init_headers({"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
        del self.headers["content-length"]
        self._batches = batches

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        sending = asyncio.create_task(self._send(send))
        leaving = asyncio.create_task(has_left(receive))
        try:
            await asyncio.wait([sending, leaving], return_when=asyncio.FIRST_COMPLETED)
            if sending.done():
                await self._end(sending, leaving, scope)
        finally:
            sending.cancel()
            leaving.cancel()
            await asyncio.wait([sending, leaving])

    async def _end(self, sending: asyncio.Task[None], leaving: asyncio.Task[None], scope: Scope) -> None:
        try:
            sending.result()
        except TimeoutError:
            logger.info("a client does not accept the events that it asked for, and is dropped")
            cut(scope)
            await leaving

    async def _send(self, send: Send) -> None:
        async with aclosing(self._batches):
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            await _pass(send, f"retry: {RECONNECT_AFTER}\n\n".encode())
            async for batch in self._batches:
                await _pass(send, batch)
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _pass(send: Send, data: bytes) -> None:
    """Raises TimeoutError when the client does not accept it."""
    async with asyncio.timeout(SEND_PATIENCE):
        await send({"type": "http.response.body", "body": data, "more_body": True})
