"""Clients that do not accept what they are sent."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator

import pytest
import uvicorn

from heliostat.studio.api import events
from heliostat.studio.api.events import EventStream
from heliostat.studio.clients import Connection

PATIENCE = 60.0
MEGABYTE = 1 << 20


async def test_a_client_that_does_not_read_is_dropped_and_not_buffered_for(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(events, "SEND_PATIENCE", 0.3)
    sent = 0
    dropped = asyncio.Event()

    async def batches() -> AsyncGenerator[bytes, None]:
        nonlocal sent
        try:
            while True:
                sent += MEGABYTE
                yield bytes(MEGABYTE)
        finally:
            dropped.set()

    async def app(scope, receive, send) -> None:
        await EventStream(batches())(scope, receive, send)

    config = uvicorn.Config(app, port=0, http=Connection, lifespan="off", log_config=None, timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    server.capture_signals = contextlib.nullcontext
    serving = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    _, writer = await asyncio.open_connection("127.0.0.1", port, limit=1000)
    try:
        writer.write(b"GET / HTTP/1.1\r\nHost: here\r\n\r\n")
        await asyncio.wait_for(dropped.wait(), PATIENCE)
        assert sent < 20 * MEGABYTE, "no more than what the operating system holds for a connection"
        async with asyncio.timeout(PATIENCE):
            while server.server_state.connections:  # though the client has read next to nothing
                await asyncio.sleep(0.01)
    finally:
        writer.close()
        server.should_exit = True
        await asyncio.wait_for(serving, PATIENCE)
    assert not server.server_state.tasks
    assert not [record for record in caplog.records if record.levelname not in ("DEBUG", "INFO")], "all went as meant"
