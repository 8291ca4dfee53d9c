"""The queue on which workers answer one coordinator: an SQS queue that lives as long as the adapter is open."""

from __future__ import annotations

import contextlib
import logging
import secrets
import threading
import time
from collections.abc import Callable
from typing import Any, Final

import msgspec

from heliostat import from_json
from heliostat.errors import HeliostatError
from heliostat_aws.conversation import Batch
from heliostat_aws.errors import of_call
from heliostat_aws.lines import Cut, Line, make_interruptible

MOST_LISTENERS: Final = 8
"""Threads that receive, when messages come faster than one can take them."""
AT_ONCE: Final = 10
"""Messages that one call takes, the most that SQS gives."""
WAIT: Final = 20
"""Seconds that one call waits for messages, the longest that SQS allows: each call costs."""
PATIENCE: Final = 5.0
"""Seconds that a thread may take to end."""
ABANDONED_AFTER: Final = 86_400
"""Seconds after which a queue is taken for one whose coordinator died."""

logger = logging.getLogger("heliostat.aws")


Heard = Callable[[Batch], None]
"""Is given what one call's worker says, on a thread of the queue."""


class ReplyQueue:
    """Makes a queue, hands what comes on it to those who listen, and deletes it in the end."""

    def __init__(self, sqs: Any, prefix: str) -> None:
        """`sqs` is a client that has made no call yet."""
        make_interruptible(sqs)
        self._sqs = sqs
        self._prefix = prefix
        self._listeners: dict[str, Heard] = {}
        self._closing = threading.Event()
        self._threads: dict[threading.Thread, Line] = {}
        self._lock = threading.Lock()
        self.url = ""

    def open(self) -> None:
        """Raises AttemptErrors."""
        name = f"{self._prefix}{secrets.token_hex(8)}"
        try:
            self.url = self._sqs.create_queue(
                QueueName=name,
                Attributes={"MessageRetentionPeriod": "3600", "SqsManagedSseEnabled": "true"},
            )["QueueUrl"]
        except Exception as error:
            raise of_call(error, f"queue {name}") from error
        self._start(self._listen)
        self._start(self._tidy)

    def close(self) -> None:
        """Blocks for a few seconds at the most."""
        with self._lock:
            self._closing.set()
            threads = dict(self._threads)
        for line in threads.values():
            line.cut()
        for thread in threads:
            thread.join(PATIENCE)
        with contextlib.suppress(Exception):
            self._sqs.delete_queue(QueueUrl=self.url)

    def listen(self, call_id: str, heard: Heard) -> None:
        self._listeners[call_id] = heard

    def forget(self, call_id: str) -> None:
        self._listeners.pop(call_id, None)

    def _start(self, work: Callable[[Line], None]) -> None:
        def run() -> None:
            try:
                work(line)
            finally:
                with self._lock:
                    self._threads.pop(thread, None)

        line = Line()
        thread = threading.Thread(target=run, name="heliostat replies", daemon=True)
        with self._lock:
            if not self._closing.is_set() and len(self._threads) < MOST_LISTENERS:
                self._threads[thread] = line
                thread.start()

    def _listen(self, line: Line) -> None:
        while not self._closing.is_set():
            if self._receive(line, WAIT) == AT_ONCE:
                self._start(self._help_out)

    def _help_out(self, line: Line) -> None:
        """Listen too, as long as there is much to hear."""
        while not self._closing.is_set() and self._receive(line, 0):
            pass

    def _receive(self, line: Line, wait: int) -> int:
        """Take messages and hand them on; returns how many there were."""
        messages: list[Any] = []
        try:
            with line:
                messages = self._sqs.receive_message(
                    QueueUrl=self.url, MaxNumberOfMessages=AT_ONCE, WaitTimeSeconds=wait
                ).get("Messages", [])
                for message in messages:
                    self._hand_on(message["Body"])
                if messages:
                    self._sqs.delete_message_batch(
                        QueueUrl=self.url,
                        Entries=[
                            {"Id": str(number), "ReceiptHandle": message["ReceiptHandle"]}
                            for number, message in enumerate(messages)
                        ],
                    )
        except Cut:
            pass
        except Exception as error:
            if not self._closing.is_set():
                logger.warning("replies of workers cannot be received, trying again: %s", error)
                self._closing.wait(1.0)
        return len(messages)

    def _hand_on(self, body: str) -> None:
        try:
            batch = from_json(body, Batch)
            if (heard := self._listeners.get(batch.call_id)) is not None:
                heard(batch)
        except (msgspec.DecodeError, HeliostatError, RuntimeError) as error:
            logger.warning("a reply of a worker is of no use: %s", error)

    def _tidy(self, line: Line) -> None:
        """Delete what coordinators that were killed have left."""
        with contextlib.suppress(Exception, Cut), line:
            for page in self._sqs.get_paginator("list_queues").paginate(QueueNamePrefix=self._prefix):
                for url in page.get("QueueUrls", []):
                    made = self._sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["CreatedTimestamp"])
                    age = time.time() - float(made["Attributes"]["CreatedTimestamp"])
                    if url != self.url and age > ABANDONED_AFTER:
                        self._sqs.delete_queue(QueueUrl=url)
                    if self._closing.is_set():
                        return
