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

from heliostat.errors import HeliostatError
from heliostat_aws.conversation import Batch
from heliostat_aws.errors import of_call

LISTENERS: Final = 4
"""Threads that receive; each takes up to ten messages at a time."""
WAIT: Final = 1
"""Seconds that one call waits for messages; closing takes no longer."""
ABANDONED_AFTER: Final = 86_400
"""Seconds after which a queue is taken for one whose coordinator died."""

logger = logging.getLogger("heliostat.aws")


Heard = Callable[[Batch], None]
"""Is given what one call's worker says, on a thread of the queue."""


class ReplyQueue:
    """Makes a queue, hands what comes on it to those who listen, and deletes it in the end."""

    def __init__(self, sqs: Any, prefix: str) -> None:
        self._sqs = sqs
        self._prefix = prefix
        self._listeners: dict[str, Heard] = {}
        self._closing = threading.Event()
        self._threads: list[threading.Thread] = []
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
        self._threads = [
            threading.Thread(target=self._listen, name=f"heliostat replies {number}", daemon=True)
            for number in range(LISTENERS)
        ]
        self._threads.append(threading.Thread(target=self._tidy, name="heliostat old replies", daemon=True))
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        """Blocks for a few seconds at the most."""
        self._closing.set()
        for thread in self._threads:
            thread.join(WAIT + 5)
        with contextlib.suppress(Exception):
            self._sqs.delete_queue(QueueUrl=self.url)

    def listen(self, call_id: str, heard: Heard) -> None:
        self._listeners[call_id] = heard

    def forget(self, call_id: str) -> None:
        self._listeners.pop(call_id, None)

    def _listen(self) -> None:
        while not self._closing.is_set():
            try:
                messages = self._sqs.receive_message(
                    QueueUrl=self.url, MaxNumberOfMessages=10, WaitTimeSeconds=WAIT
                ).get("Messages", [])
                if messages:
                    self._sqs.delete_message_batch(
                        QueueUrl=self.url,
                        Entries=[
                            {"Id": str(number), "ReceiptHandle": message["ReceiptHandle"]}
                            for number, message in enumerate(messages)
                        ],
                    )
            except Exception as error:
                logger.warning("replies of workers cannot be received, trying again: %s", error)
                self._closing.wait(1.0)
                continue
            for message in messages:
                self._hand_on(message["Body"])

    def _hand_on(self, body: str) -> None:
        try:
            batch = msgspec.json.decode(body, type=Batch)
            if (heard := self._listeners.get(batch.call_id)) is not None:
                heard(batch)
        except (msgspec.DecodeError, HeliostatError, RuntimeError) as error:
            logger.warning("a reply of a worker is of no use: %s", error)

    def _tidy(self) -> None:
        """Delete what coordinators that were killed have left."""
        with contextlib.suppress(Exception):
            for page in self._sqs.get_paginator("list_queues").paginate(QueueNamePrefix=self._prefix):
                for url in page.get("QueueUrls", []):
                    made = self._sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["CreatedTimestamp"])
                    age = time.time() - float(made["Attributes"]["CreatedTimestamp"])
                    if url != self.url and age > ABANDONED_AFTER:
                        self._sqs.delete_queue(QueueUrl=url)
                    if self._closing.is_set():
                        return
