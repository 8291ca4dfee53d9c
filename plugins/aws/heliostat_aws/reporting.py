"""Inside the function: sends what a chunk says to the coordinator's queue, in batches, at most once a second."""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING, Any, Final

import msgspec

from heliostat.worker import Outbox, encode_message
from heliostat_aws.conversation import Batch, Silence

if TYPE_CHECKING:
    from heliostat import ChunkReport

EVERY: Final = 1.0
"""Seconds between batches."""
LARGEST: Final = 250_000
"""Bytes of a message; SQS takes 262,144."""

logger = logging.getLogger("heliostat.aws")


class ReportSender:
    """Sends what is put into `report`. `close` sends what is left; its number of batches then goes with the result, so
    that the coordinator knows what to wait for."""

    def __init__(self, sqs: Any, queue_url: str, call_id: str, *, first: float = 0.0, heartbeats: bool = True) -> None:
        """`first`: seconds until the first batch. `heartbeats`: whether anybody wants to know that the worker lives."""
        self._some = threading.Event()
        self._outbox = Outbox(self._some.set, heartbeats=heartbeats)
        self._first = first
        self._sqs = sqs
        self._queue_url = queue_url
        self._call_id = call_id
        self._closing = threading.Event()
        self.batches = 0
        self._thread = threading.Thread(target=self._send_now_and_then, daemon=True)
        self._thread.start()

    @property
    def report(self) -> ChunkReport:
        return self._outbox

    def close(self, last: bytes = b"") -> None:
        """Send what is left, and a last line."""
        self._end()
        self._send_lines([*self._take(), *([last] if last else [])])

    def close_with(self, room: int) -> str:
        """Return what is left, to go with the result; more than `room` bytes are sent."""
        self._end()
        lines = self._take()
        if sum(map(len, lines)) <= room:
            return b"".join(lines).decode()
        self._send_lines(lines)
        return ""

    def _take(self) -> list[bytes]:
        return [encode_message(message) for message in self._outbox.take()]

    def _end(self) -> None:
        self._closing.set()
        self._some.set()
        self._thread.join()

    def _send_now_and_then(self) -> None:
        self._closing.wait(self._first)
        while not self._closing.is_set():
            self._some.wait()
            self._some.clear()
            if not self._closing.is_set():
                self._send_lines(self._take())
                self._closing.wait(EVERY)

    def _send_lines(self, lines: list[bytes]) -> None:
        if not lines:
            return
        batch = Batch(self._call_id, self.batches, b"".join(lines).decode())
        body = msgspec.json.encode(batch)
        if len(body) <= LARGEST:
            self._send_body(body.decode())
        elif len(lines) > 1:
            self._send_lines(lines[: len(lines) // 2])
            self._send_lines(lines[len(lines) // 2 :])
        else:
            logger.warning("a report of %d bytes is too large to be sent", len(body))

    def _send_body(self, body: str) -> None:
        for attempt in range(4):
            try:
                self._sqs.send_message(QueueUrl=self._queue_url, MessageBody=body)
            except Exception as error:  # the coordinator may be gone; the chunk is worth finishing all the same
                logger.warning("a report was not sent: %s", error)
                time.sleep(0.1 * 2**attempt)
            else:
                self.batches += 1
                return


class NoReports:
    """In place of a ReportSender for coordinators that want none."""

    batches = 0
    report: ChunkReport = Silence()

    def close(self, last: bytes = b"") -> None: ...
    def close_with(self, room: int) -> str:
        return ""
