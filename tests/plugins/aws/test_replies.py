"""The reply queue from the worker's side to the coordinator's, on SQS over HTTP."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from moto.server import ThreadedMotoServer

from heliostat import ChunkResult
from heliostat.worker import ResultMessage, encode_message
from heliostat_aws import replies, reporting
from heliostat_aws.conversation import Conversation
from heliostat_aws.replies import ReplyQueue
from heliostat_aws.reporting import ReportSender
from heliostat_aws.session import Connection, open_client

PREFIX = "film-replies-"


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def sqs(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    client = open_client("sqs", Connection(region="us-east-1", endpoint_url=endpoint), max_pool_connections=16)
    yield client
    for url in client.list_queues().get("QueueUrls", []):
        client.delete_queue(QueueUrl=url)
    client.close()


@pytest.fixture
def queue(sqs: Any) -> Iterator[ReplyQueue]:
    queue = ReplyQueue(sqs, PREFIX)
    queue.open()
    yield queue
    queue.close()


class Report:
    def __init__(self) -> None:
        self.frames: list[float] = []
        self.lines: list[str] = []
        self.beats = 0

    def frames_done(self, frames: float, /) -> None:
        self.frames.append(frames)

    def log(self, stream: str, text: str, /) -> None:
        self.lines.append(f"{stream}: {text}")

    def heartbeat(self) -> None:
        self.beats += 1


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.01)


async def test_what_a_worker_says_arrives_in_order_while_it_works(sqs: Any, queue: ReplyQueue):
    report = Report()
    conversation = Conversation(report)
    queue.listen("one", conversation.hear)
    sender = ReportSender(sqs, queue.url, "one")
    sender.report.log("stdout", "first\n")
    await until(lambda: report.lines)
    for number in range(5):
        sender.report.frames_done(number)
        sender.report.log("stderr", f"{number}\n")
    sender.report.heartbeat()
    await asyncio.to_thread(sender.close)
    await conversation.until(sender.batches)
    assert report.lines == ["stdout: first\n", *(f"stderr: {number}\n" for number in range(5))]
    assert report.frames[-1] == 4
    assert report.beats == 1


async def test_the_result_comes_last_and_ends_the_conversation(sqs: Any, queue: ReplyQueue):
    report = Report()
    conversation = Conversation(report)
    queue.listen("one", conversation.hear)
    sender = ReportSender(sqs, queue.url, "one")
    result = ChunkResult(exit_code=0, duration=1.0, attempt_id="one")
    sender.report.log("stdout", "x\n")
    await asyncio.to_thread(sender.close, encode_message(ResultMessage(result)))
    async with asyncio.timeout(30):
        await conversation.until(None)
    assert conversation.answer == result
    assert report.lines == ["stdout: x\n"]


async def test_what_is_too_large_for_a_message_is_split(sqs: Any, queue: ReplyQueue):
    report = Report()
    conversation = Conversation(report)
    queue.listen("one", conversation.hear)
    sender = ReportSender(sqs, queue.url, "one")
    for _ in range(40):
        sender.report.log("stdout", '"' * 30_000 + "\n")
    await asyncio.to_thread(sender.close)
    await conversation.until(sender.batches)
    assert sender.batches >= 40 * 30_000 * 4 // reporting.LARGEST
    assert len("".join(report.lines)) == 40 * (30_001 + len("stdout: "))


async def test_attempts_are_kept_apart_and_strangers_disregarded(sqs: Any, queue: ReplyQueue):
    reports = [Report() for _ in range(20)]
    conversations = [Conversation(report) for report in reports]
    senders = []
    for number, conversation in enumerate(conversations):
        queue.listen(str(number), conversation.hear)
        senders.append(ReportSender(sqs, queue.url, str(number)))
    sqs.send_message(QueueUrl=queue.url, MessageBody="not for anybody")
    for number, sender in enumerate(senders):
        sender.report.log("stdout", f"{number}\n")
    for sender in senders:
        await asyncio.to_thread(sender.close)
    for conversation, sender in zip(conversations, senders, strict=True):
        await conversation.until(sender.batches)
    assert [report.lines for report in reports] == [[f"stdout: {number}\n"] for number in range(20)]


def test_a_closed_queue_is_gone_and_its_threads_too(sqs: Any):
    before = set(threading.enumerate())
    queue = ReplyQueue(sqs, PREFIX)
    queue.open()
    queue.close()
    assert not any(queue.url == url for url in sqs.list_queues().get("QueueUrls", []))
    assert not [thread for thread in set(threading.enumerate()) - before if "replies" in thread.name]


def test_queues_that_dead_coordinators_left_are_removed(sqs: Any, monkeypatch: pytest.MonkeyPatch):
    old = sqs.create_queue(QueueName=f"{PREFIX}old")["QueueUrl"]
    other = sqs.create_queue(QueueName="somebody-elses")["QueueUrl"]
    monkeypatch.setattr(replies, "ABANDONED_AFTER", -1)
    queue = ReplyQueue(sqs, "film-replies-")
    queue.open()
    deadline = time.monotonic() + 30
    while old in sqs.list_queues().get("QueueUrls", []):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert other in sqs.list_queues().get("QueueUrls", [])
    monkeypatch.setattr(replies, "ABANDONED_AFTER", 86_400)
    queue.close()


def test_a_sender_whose_coordinator_is_gone_comes_to_its_end(sqs: Any, caplog: pytest.LogCaptureFixture):
    queue = ReplyQueue(sqs, PREFIX)
    queue.open()
    queue.close()
    sender = ReportSender(sqs, queue.url, "one")
    sender.report.log("stdout", "x\n")
    sender.close()
    assert sender.batches == 0
    assert "a report was not sent" in caplog.text
