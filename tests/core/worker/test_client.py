"""The client of a worker behind HTTP, where something else answers, or the connection ends."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web

from heliostat import ChunkResult
from heliostat.errors import AttemptError, Misconfigured, Throttled, TimedOut, WorkerLost
from heliostat.worker import LogMessage, ResultMessage, WorkerClient, client, encode_message

RESULT = ChunkResult(exit_code=0, duration=1.0)
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


async def authorise() -> Mapping[str, str]:
    return {"Authorization": "Bearer token"}


@asynccontextmanager
async def answering(handler: Handler, **options: Any) -> AsyncIterator[WorkerClient]:
    """A client of a server that answers so, whatever is asked."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handler)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        async with WorkerClient(f"http://127.0.0.1:{runner.addresses[0][1]}", authorise, **options) as found:
            yield found
    finally:
        await runner.cleanup()


@pytest.mark.parametrize(
    ("status", "headers", "body", "kind", "message"),
    [
        (429, {"Retry-After": "7"}, "Rate exceeded.", Throttled, "Rate exceeded"),
        (
            500,
            {},
            "The request was aborted because there was no available instance.",
            Throttled,
            "no available instance",
        ),
        (503, {}, "<h1>Sorry</h1>there was no available instance", Throttled, "Sorry there was no available instance"),
        (503, {}, "Service Unavailable", WorkerLost, "HTTP 503: Service Unavailable"),
        (502, {}, "", WorkerLost, "HTTP 502: no reason given"),
        (500, {}, "<html><style>p {}</style><p>Error</p></html>", WorkerLost, "HTTP 500: Error$"),
        (409, {}, '{"message": "attempt 1 runs here already"}', WorkerLost, "attempt 1 runs here already"),
        (504, {}, "upstream request timeout", TimedOut, "gave the chunk up .*; make the chunks smaller"),
        (408, {}, "", TimedOut, "gave the chunk up"),
        (400, {}, '{"message": "wrong version"}', Misconfigured, "wrong version; install the same version"),
        (401, {}, "", Misconfigured, "use the token that the worker was started with"),
        (403, {}, "Forbidden", Misconfigured, "Forbidden; let the caller use it"),
        (404, {}, "Page not found", Misconfigured, "Page not found; correct the address"),
        (413, {}, "", Misconfigured, "make the chunk's command and environment smaller"),
        (418, {}, "I'm a teapot", Misconfigured, "teapot; correct the address"),
        (302, {"Location": "/login"}, "", Misconfigured, "correct the address"),
    ],
)
async def test_each_refusal_has_its_cause_and_says_what_to_do(
    request_for: Any,
    recorder: Any,
    status: int,
    headers: dict[str, str],
    body: str,
    kind: type[AttemptError],
    message: str,
) -> None:
    async def refuse(request: web.Request) -> web.Response:
        return web.Response(status=status, headers=headers, text=body, content_type="text/html")

    async with answering(refuse) as worker:
        with pytest.raises(kind, match=message) as refused:
            await worker.run(request_for(["true"]), recorder)
    if isinstance(refused.value, Throttled):
        assert refused.value.retry_after == (7.0 if headers else None)


@pytest.mark.parametrize(
    "advice",
    ["grant roles/run.invoker", lambda headers: f"grant {headers['X-Role']}"],
    ids=["a sentence", "a function"],
)
async def test_whoever_knows_better_says_what_to_do(request_for: Any, recorder: Any, advice: Any) -> None:
    async def refuse(request: web.Request) -> web.Response:
        return web.Response(status=403, headers={"X-Role": "roles/run.invoker"})

    async with answering(refuse, advice={403: advice}) as worker:
        with pytest.raises(Misconfigured, match=r"grant roles/run\.invoker"):
            await worker.run(request_for(["true"]), recorder)


async def stream(request: web.Request, *pieces: bytes) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    for piece in pieces:
        await response.write(piece)
    return response


async def test_lines_may_be_of_any_length_and_come_in_pieces(request_for: Any, recorder: Any) -> None:
    said = "x" * 3_000_000 + "\n"
    body = encode_message(LogMessage("stdout", said)) + encode_message(ResultMessage(RESULT))

    async def answer(request: web.Request) -> web.StreamResponse:
        return await stream(request, *(body[at : at + 70_001] for at in range(0, len(body), 70_001)))

    async with answering(answer) as worker:
        assert await worker.run(request_for(["true"]), recorder) == RESULT
    assert recorder.logged["stdout"] == said


@pytest.mark.parametrize("how", ["at once", "in the middle", "without a result", "in a line"])
async def test_a_connection_that_ends_early_is_a_lost_worker(request_for: Any, recorder: Any, how: str) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        line = encode_message(LogMessage("stdout", "here\n"))
        if how == "without a result":
            return await stream(request, line)
        if how == "in a line":
            return await stream(request, line, b'{"type": "resu')
        response = web.Response() if how == "at once" else await stream(request, line)
        assert request.transport is not None
        request.transport.abort()
        return response

    async with answering(answer) as worker:
        with pytest.raises(WorkerLost):
            await worker.run(request_for(["true"]), recorder)


async def test_a_worker_that_falls_silent_is_lost(
    request_for: Any, recorder: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "SILENCE", 0.2)
    over = asyncio.Event()

    async def answer(request: web.Request) -> web.StreamResponse:
        response = await stream(request, encode_message(LogMessage("stdout", "here\n")))
        await over.wait()
        return response

    async with answering(answer) as worker:
        with pytest.raises(WorkerLost, match="nothing is heard of the worker"):
            await worker.run(request_for(["true"]), recorder)
        over.set()
    assert recorder.logged["stdout"] == "here\n"


async def test_empty_lines_are_a_sign_of_life(request_for: Any, recorder: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "SILENCE", 0.5)

    async def answer(request: web.Request) -> web.StreamResponse:
        response = await stream(request)
        for _ in range(10):
            await asyncio.sleep(0.1)
            await response.write(b"\n")
        await response.write(encode_message(ResultMessage(RESULT)))
        return response

    async with answering(answer) as worker:
        assert await worker.run(request_for(["true"]), recorder) == RESULT
    assert recorder.heartbeats == 0, "timeouts begin with the first report, not with these"


async def test_a_result_counts_however_the_connection_ends_after_it(request_for: Any, recorder: Any) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        response = await stream(request, encode_message(ResultMessage(RESULT)))
        await asyncio.sleep(0.1)
        assert request.transport is not None
        request.transport.abort()
        return response

    async with answering(answer) as worker:
        assert await worker.run(request_for(["true"]), recorder) == RESULT


async def test_what_is_no_worker_is_told_so(request_for: Any, recorder: Any) -> None:
    async def answer(request: web.Request) -> web.Response:
        return web.Response(text="<html>Welcome!</html>")

    async with answering(answer) as worker:
        with pytest.raises(Misconfigured, match="is no worker of Heliostat; correct the address"):
            await worker.info()
        with pytest.raises(WorkerLost, match="is no message"):
            await worker.run(request_for(["true"]), recorder)


@pytest.mark.parametrize(
    ("url", "kind", "message"),
    [
        ("http://127.0.0.1:1", WorkerLost, "the connection to the worker at http://127.0.0.1:1 failed"),
        ("nonsense", Misconfigured, "nonsense is no address; write http://HOST:PORT"),
        ("ftp://127.0.0.1", Misconfigured, "is no address"),
    ],
)
async def test_an_address_that_cannot_be_used(
    request_for: Any, recorder: Any, url: str, kind: type[AttemptError], message: str
) -> None:
    async with WorkerClient(url, authorise) as worker:
        with pytest.raises(kind, match=message):
            await worker.run(request_for(["true"]), recorder)


async def test_a_certificate_that_nobody_vouches_for_is_told(
    request_for: Any, recorder: Any, certificate: Callable[[], Any]
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate())

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=context)
    async with server, WorkerClient(f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}", authorise) as worker:
        with pytest.raises(Misconfigured, match=r"is not accepted .*; name the authority that signed it"):
            await worker.run(request_for(["true"]), recorder)
