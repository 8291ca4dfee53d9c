"""The sink `webhook`, against a real HTTP server on this machine."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from email.utils import formatdate
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from aiohttp import web

from heliostat.builtin.webhook import WebhookOptions, make_webhook
from heliostat.builtin.webhook import delivery as delivery_module
from heliostat.builtin.webhook.signature import sign, verify
from heliostat.builtin.webhook.sink import WebhookSink
from heliostat.errors import PluginError, SpecError
from heliostat.model import events
from heliostat.model.result import ChunkResult
from heliostat.model.status import JobState
from heliostat.testing.progress import Make, ProgressSinkContract

SECRET = "whsec"


def started(job_id: str = "j1") -> events.JobStarted:
    return events.JobStarted(
        job_id=job_id,
        time=1.5,
        name="sunrise",
        completed_chunks=0,
        total_chunks=100,
        completed_frames=0,
        total_frames=100,
        concurrency=2,
        worker="local",
    )


def succeeded(index: int, job_id: str = "j1") -> events.ChunkSucceeded:
    return events.ChunkSucceeded(
        job_id=job_id,
        time=2,
        chunk=index,
        index=index,
        attempt=1,
        completed_chunks=index + 1,
        total_chunks=100,
        progress=index + 1,
        frame_count=1,
        result=ChunkResult(exit_code=0, duration=1.0),
    )


def progressed() -> events.Progressed:
    return events.Progressed(
        job_id="j1",
        time=2,
        completed_chunks=1,
        total_chunks=2,
        running_chunks=1,
        frames_done=1,
        total_frames=2,
        percent=50,
    )


def ended(job_id: str = "j1") -> events.JobEnded:
    return events.JobEnded(
        job_id=job_id, time=3, state=JobState.COMPLETED, completed_chunks=100, total_chunks=100, duration=1
    )


class Receiver:
    """Takes requests, answers each with the next of `answers` and with 204 after these, and checks every signature."""

    def __init__(self) -> None:
        self.answers: list[int | Callable[[], Any]] = []
        self.requests: list[dict[str, Any]] = []
        self.deliveries: list[str] = []
        self.signed: list[bool] = []
        self.arrived = asyncio.Event()
        self.url = ""

    async def take(self, request: web.Request) -> web.Response:
        body = await request.read()
        header = request.headers.get("Heliostat-Signature")
        self.signed.append(header is not None and verify(SECRET, body, header))
        document = json.loads(body)
        assert document["id"] == request.headers["Heliostat-Delivery"]
        assert request.headers["Content-Type"] == "application/json"
        self.requests.append(document)
        self.arrived.set()
        answer = self.answers.pop(0) if self.answers else 204
        if isinstance(answer, int):
            return web.Response(status=answer)
        response = answer()
        if asyncio.iscoroutine(response):
            response = await response
        assert isinstance(response, web.Response)
        return response

    @property
    def types(self) -> list[str]:
        """Of the events in the order in which they came, each once."""
        return list({event["id"]: event["type"] for request in self.requests for event in request["events"]}.values())


@pytest.fixture
async def receiver(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Receiver]:
    monkeypatch.delenv("HELIOSTAT_WEBHOOK_SECRET", raising=False)
    receiver = Receiver()
    app = web.Application()
    app.router.add_post("/hook", receiver.take)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    receiver.url = f"http://{host}:{port}/hook"
    yield receiver
    await runner.cleanup()


def open_sink(url: str, **options: Any) -> WebhookSink:
    settings: dict[str, Any] = {"secret": SECRET, "retry_delay": 0.001} | options
    sink = make_webhook(WebhookOptions(url=url, **settings))
    assert isinstance(sink, WebhookSink)
    return sink


class Taker(BaseHTTPRequestHandler):
    """Takes everything."""

    def do_POST(self) -> None:
        document = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(204 if document["events"] else 400)
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


class TestWebhookSink(ProgressSinkContract):
    @pytest.fixture
    def under_test(self) -> Iterator[Make]:
        """The contract's tests have event loops of their own, so the server has a thread."""
        with ThreadingHTTPServer(("127.0.0.1", 0), Taker) as server:
            serving = threading.Thread(target=server.serve_forever, args=(0.02,))
            serving.start()
            yield lambda: open_sink(f"http://127.0.0.1:{server.server_address[1]}/hook")
            server.shutdown()
            serving.join()


async def test_events_arrive_signed_in_order_and_without_those_about_frames(receiver: Receiver) -> None:
    sink = open_sink(receiver.url)
    await sink.handle(started())
    for index in range(100):
        await sink.handle(progressed())
        await sink.handle(succeeded(index))
    await sink.handle(ended())
    told = [event for request in receiver.requests for event in request["events"]]
    assert [event["type"] for event in told] == ["job_started", *["chunk_succeeded"] * 100, "job_ended"]
    assert [event["index"] for event in told if "index" in event] == list(range(100))
    assert all(receiver.signed)
    assert {request["jobId"] for request in receiver.requests} == {"j1"}
    assert len({event["id"] for event in told}) == 102
    assert len(receiver.requests) < 102, "what waits meanwhile goes out in one request"


async def test_only_the_chosen_events_are_posted(receiver: Receiver) -> None:
    sink = open_sink(receiver.url, events=("progressed", "job_ended"))
    for event in (started(), progressed(), succeeded(0), ended()):
        await sink.handle(event)
    assert receiver.types == ["progressed", "job_ended"]


async def test_a_failing_receiver_is_tried_again_with_the_same_body_and_order(receiver: Receiver) -> None:
    receiver.answers = [500, 503, lambda: web.Response(status=429, headers={"Retry-After": "0"}), 408, 204, 500]
    sink = open_sink(receiver.url)
    await sink.handle(started())
    while len(receiver.requests) < 5:
        receiver.arrived.clear()
        await asyncio.wait_for(receiver.arrived.wait(), 30)
    for index in range(3):
        await sink.handle(succeeded(index))
    await sink.handle(ended())
    assert receiver.types == ["job_started", *["chunk_succeeded"] * 3, "job_ended"]
    assert all(request == receiver.requests[0] for request in receiver.requests[:5])
    assert all(receiver.signed)


async def test_a_connection_cut_off_in_the_middle_is_tried_again(receiver: Receiver) -> None:
    reader_gone = asyncio.Event()

    async def cut(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.transport.abort()
        reader_gone.set()

    server = await asyncio.start_server(cut, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    sink = open_sink(f"http://127.0.0.1:{port}/hook", retries=100, retry_delay=0.01)
    await sink.handle(started())
    await asyncio.wait_for(reader_gone.wait(), 30)
    server.close()
    await server.wait_closed()
    app = web.Application()
    app.router.add_post("/hook", receiver.take)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port, reuse_address=True).start()
    await sink.handle(ended())
    await runner.cleanup()
    assert receiver.types == ["job_started", "job_ended"]


async def test_nobody_there_is_said_at_the_end_with_the_number_of_events(caplog: pytest.LogCaptureFixture) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    sink = open_sink(f"http://127.0.0.1:{port}/T0K3N", retries=1)
    with caplog.at_level(logging.WARNING):
        for event in (started(), succeeded(0), ended()):
            await sink.handle(event)
    (record,) = caplog.records
    assert "3 of the 3 events of job j1 did not reach the webhook at http://127.0.0.1" in record.getMessage()
    assert "T0K3N" not in caplog.text


async def test_a_receiver_that_hangs_holds_nothing_up_and_is_given_up_at_the_end(
    receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    hanging = asyncio.Event()

    async def hang() -> web.Response:
        await hanging.wait()
        return web.Response()

    receiver.answers = [hang] * 100
    sink = open_sink(receiver.url, patience=0.05, timeout=60)
    await sink.handle(started())
    await asyncio.wait_for(receiver.arrived.wait(), 30)
    for index in range(5):
        await sink.handle(succeeded(index))
    await sink.handle(ended())
    hanging.set()
    assert len(receiver.requests) == 1
    assert "7 of the 7 events of job j1 did not reach the webhook" in caplog.text


async def test_a_request_that_hangs_is_tried_again_after_its_timeout(receiver: Receiver) -> None:
    hanging = asyncio.Event()

    async def hang() -> web.Response:
        await hanging.wait()
        return web.Response()

    receiver.answers = [hang]
    sink = open_sink(receiver.url, timeout=0.5)
    await sink.handle(started())
    await sink.handle(ended())
    hanging.set()
    assert receiver.types == ["job_started", "job_ended"]


@pytest.mark.parametrize("status", [301, 400, 404, 410])
async def test_what_the_receiver_refuses_is_not_tried_again(
    status: int, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    receiver.answers = [lambda: web.Response(status=status, headers={"Location": "/elsewhere"})]
    sink = open_sink(receiver.url)
    await sink.handle(started())
    await asyncio.wait_for(receiver.arrived.wait(), 30)
    await sink.handle(ended())
    assert receiver.types == ["job_started", "job_ended"]
    assert "1 of the 2 events of job j1 did not reach the webhook at http://127.0.0.1" in caplog.text
    assert f"(it answered {status})" in caplog.text


async def test_it_waits_as_long_as_the_receiver_asks(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []

    async def pause(self: object, seconds: float) -> None:
        waits.append(seconds)

    monkeypatch.setattr(delivery_module.Delivery, "_pause", pause)
    later = formatdate(time.time() + 100, usegmt=True)
    for value in ("17", later, "999999999", formatdate(0, usegmt=True), "soon"):
        receiver.answers.append(partial(web.Response, status=503, headers={"Retry-After": value}))
    sink = open_sink(receiver.url, retry_delay=0)
    await sink.handle(started())
    await sink.handle(ended())
    assert waits[0] == 17
    assert 90 <= waits[1] <= 100
    assert waits[2:] == [3600, 0, 0]


async def test_a_wait_ends_when_the_job_does(receiver: Receiver) -> None:
    receiver.answers = [lambda: web.Response(status=503, headers={"Retry-After": "3000"})]
    sink = open_sink(receiver.url)
    await sink.handle(started())
    await asyncio.wait_for(receiver.arrived.wait(), 30)
    await sink.handle(ended())
    assert receiver.types == ["job_started", "job_ended"]


async def test_of_too_many_waiting_events_the_oldest_are_given_up(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(delivery_module, "LONGEST_QUEUE", 10)
    sink = open_sink(receiver.url)
    for index in range(30):  # without a pause, so that none can go out meanwhile
        sink_call = sink.handle(succeeded(index))
        with pytest.raises(StopIteration):
            sink_call.send(None)
    await sink.handle(ended())
    assert [event.get("index") for request in receiver.requests for event in request["events"]] == [
        *range(21, 30),
        None,
    ]
    assert "21 of the 31 events" in caplog.text


async def test_two_jobs_are_delivered_side_by_side(receiver: Receiver) -> None:
    sink = open_sink(receiver.url)
    for event in (started("a"), started("b"), ended("a"), succeeded(1, "b"), ended("b")):
        await sink.handle(event)
    by_job = {
        job: [event["type"] for request in receiver.requests if request["jobId"] == job for event in request["events"]]
        for job in ("a", "b")
    }
    assert by_job == {"a": ["job_started", "job_ended"], "b": ["job_started", "chunk_succeeded", "job_ended"]}


async def test_without_a_secret_nothing_is_signed_and_the_environment_may_hold_it(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    await open_sink(receiver.url, secret=None).handle(ended())
    monkeypatch.setenv("HELIOSTAT_WEBHOOK_SECRET", SECRET)
    await open_sink(receiver.url, secret=None).handle(ended())
    assert receiver.signed == [False, True]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"url": "ftp://example.com"}, "posts to http:// or https:// addresses"),
        ({"url": "example.com/hook"}, "posts to http:// or https:// addresses"),
        ({"url": "http://[bad"}, "posts to http:// or https:// addresses"),
        (
            {"url": "http://x", "events": ("chunk_done",)},
            "no event 'chunk_done'; there are: job_started, chunk_started",
        ),
    ],
)
def test_options_that_cannot_work_are_refused_at_once(options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(SpecError, match=sentence):
        make_webhook(WebhookOptions(**options))


def test_without_aiohttp_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("heliostat.builtin.webhook.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "aiohttp", None)
    with pytest.raises(
        PluginError, match=r"needs the package aiohttp; install it with: pip install 'heliostat\[http\]'"
    ):
        make_webhook(WebhookOptions(url="http://127.0.0.1/"))


class TestSignature:
    def test_is_the_hmac_of_timestamp_and_body(self) -> None:
        # Made with: printf '1750000000.{}' | openssl dgst -sha256 -hmac whsec
        assert (
            sign(SECRET, b"{}", 1750000000)
            == "t=1750000000,v1=60e3ef1d523c846a77a47d540c579a57098be76ffccb15556d0dd3395cd8c1d0"
        )

    def test_holds_only_for_this_body_secret_and_time(self) -> None:
        header = sign(SECRET, b"{}", 1000)
        assert verify(SECRET, b"{}", header, now=1200)
        assert not verify(SECRET, b"{ }", header, now=1200)
        assert not verify("other", b"{}", header, now=1200)
        assert not verify(SECRET, b"{}", header, now=1301)
        assert verify(SECRET, b"{}", header, now=1301, tolerance=400)

    @pytest.mark.parametrize("header", ["", "t=", "t=1000", "v1=00", "t=x,v1=00", "t=1000,v1=\udc80", "t=" + "9" * 400])
    def test_a_malformed_header_is_no_signature(self, header: str) -> None:
        assert not verify(SECRET, b"{}", header, now=1000)
