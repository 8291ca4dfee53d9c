"""The events of one job on their way to a URL: queued, posted in batches, retried, and at the end counted."""

from __future__ import annotations

import asyncio
import logging
import random
import time
import uuid
from collections import deque
from contextlib import suppress
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Final

import aiohttp

from heliostat.builtin.webhook.signature import SIGNATURE_HEADER, sign
from heliostat.model.codec import to_json

if TYPE_CHECKING:
    from yarl import URL

    from heliostat.builtin.webhook import WebhookOptions
    from heliostat.model.events import Event

DELIVERY_HEADER: Final = "Heliostat-Delivery"
LONGEST_QUEUE: Final = 10_000
"""Events that wait at most; when a receiver is too slow or away, the oldest are given up."""
BATCH_EVENTS: Final = 100
BATCH_BYTES: Final = 256 * 1024
LONGEST_DELAY: Final = 60.0
LONGEST_RETRY_AFTER: Final = 3600.0

logger = logging.getLogger("heliostat")


class Delivery:
    """Made, fed and finished on one event loop."""

    def __init__(self, job_id: str, url: URL, secret: str | None, options: WebhookOptions) -> None:
        self._job_id = job_id
        self._url = url
        self._secret = secret
        self._options = options
        self._run = uuid.uuid4().hex
        self._events = 0
        self._queue: deque[bytes] = deque()
        self._in_flight = 0
        self._lost = 0
        self._reason = ""
        self._more = asyncio.Event()
        self._finishing = asyncio.Event()
        self._task = asyncio.create_task(self._deliver_all())

    def put(self, event: Event) -> None:
        self._events += 1
        self._queue.append(b'{"id":"%s-%d",' % (self._run.encode(), self._events) + to_json(event)[1:])
        if len(self._queue) > LONGEST_QUEUE:
            self._queue.popleft()
            self._lost += 1
            self._reason = "the receiver takes them too slowly"
        self._more.set()

    async def finish(self) -> None:
        """Wait until everything is delivered, for a bounded time; say what is not."""
        self._finishing.set()
        self._more.set()
        try:
            await asyncio.wait([self._task], timeout=self._options.patience)
        finally:
            self._task.cancel()
            await asyncio.wait([self._task])
            if not self._task.cancelled() and (error := self._task.exception()) is not None:
                self._reason = f"{type(error).__name__}: {error}"
            if self._lost or self._in_flight or self._queue:
                logger.warning(
                    "%d of the %d events of job %s did not reach the webhook at %s (%s)",
                    self._lost + self._in_flight + len(self._queue),
                    self._events,
                    self._job_id,
                    self._url.origin(),  # the rest of a webhook's address is often a secret
                    self._reason or f"no answer within {self._options.patience:g} s",
                )

    async def _deliver_all(self) -> None:
        timeout = aiohttp.ClientTimeout(total=self._options.timeout)
        async with aiohttp.ClientSession(timeout=timeout) as session:
            while True:
                while self._queue:
                    batch = self._take()
                    self._in_flight = len(batch)
                    if not await self._deliver(session, batch):
                        self._lost += len(batch)
                    self._in_flight = 0
                if self._finishing.is_set():
                    return
                self._more.clear()
                await self._more.wait()

    def _take(self) -> list[bytes]:
        batch = [self._queue.popleft()]
        size = len(batch[0])
        while self._queue and len(batch) < BATCH_EVENTS and size + len(self._queue[0]) <= BATCH_BYTES:
            batch.append(self._queue.popleft())
            size += len(batch[-1])
        return batch

    async def _deliver(self, session: aiohttp.ClientSession, batch: list[bytes]) -> bool:
        """Post until it is taken. False when it is given up."""
        delivery = uuid.uuid4().hex
        body = b'{"id":"%s","jobId":%s,"events":[%s]}' % (
            delivery.encode(),
            to_json(self._job_id),
            b",".join(batch),
        )
        for retry in range(1, self._options.retries + 2):
            retry_after = None
            try:
                headers = {"Content-Type": "application/json", DELIVERY_HEADER: delivery}
                if self._secret is not None:
                    headers[SIGNATURE_HEADER] = sign(self._secret, body, int(time.time()))
                async with session.post(self._url, data=body, headers=headers, allow_redirects=False) as response:
                    if 200 <= response.status < 300:
                        return True
                    self._trouble(f"it answered {response.status}")
                    if response.status not in (408, 429) and response.status < 500:
                        return False
                    retry_after = _seconds(response.headers.get("Retry-After"))
            except TimeoutError:
                self._trouble(f"no answer within {self._options.timeout:g} s")
            except (aiohttp.ClientError, OSError) as error:
                self._trouble(str(error) or type(error).__name__)
            if retry <= self._options.retries:
                # Full jitter, as between attempts at a chunk; what the receiver asks for goes before.
                spread = min(LONGEST_DELAY, self._options.retry_delay * 2 ** (retry - 1))
                await self._pause(random.uniform(0, spread) if retry_after is None else retry_after)
        return False

    async def _pause(self, seconds: float) -> None:
        """Wait, but not on when the job ends meanwhile: then there is little time left."""
        if self._finishing.is_set():
            await asyncio.sleep(seconds)
        else:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._finishing.wait(), seconds)

    def _trouble(self, reason: str) -> None:
        if not self._reason:
            logger.info("the webhook at %s does not take events: %s", self._url.origin(), reason)
        self._reason = reason


def _seconds(retry_after: str | None) -> float | None:
    """The header `Retry-After`, which is a number of seconds or a date (RFC 9110, 10.2.3)."""
    if retry_after is None:
        return None
    if retry_after.isascii() and retry_after.isdigit():
        return min(float(retry_after), LONGEST_RETRY_AFTER)
    try:
        seconds = parsedate_to_datetime(retry_after).timestamp() - time.time()
    except (ValueError, OverflowError):
        return None
    return min(max(seconds, 0.0), LONGEST_RETRY_AFTER)
