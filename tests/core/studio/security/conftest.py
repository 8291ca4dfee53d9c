"""Requests as programs that mean no good would make them: byte for byte."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

ARGUMENTS = ("--host", "0.0.0.0", "--allow-host", "farm.example", "--allow-submit")
TOKEN = re.compile(r"\?token=([\w-]{32,})$")


def send_raw(port: int, head: str, body: bytes = b"") -> tuple[int, str]:
    """Status and the rest of the answer to a request; `head` without the empty line."""
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        connection.sendall(head.replace("\n", "\r\n").encode() + b"\r\n\r\n" + body)
        received = b""
        while b"\r\n\r\n" not in received and (piece := connection.recv(65536)):
            received += piece
        length = re.search(rb"content-length: (\d+)", received, re.IGNORECASE)
        _, _, content = received.partition(b"\r\n\r\n")
        while length and len(content) < int(length[1]) and (piece := connection.recv(65536)):
            received, content = received + piece, content + piece
    text = received.decode("latin-1")
    return int(text.split()[1]), text


def open_websocket(port: int, *headers: str, host: str | None = None) -> int:
    """The status with which the socket of NiceGUI's pages is opened; 101 when it is."""
    lines = [
        "GET /_nicegui_ws/socket.io/?EIO=4&transport=websocket HTTP/1.1",
        f"Host: {host or f'127.0.0.1:{port}'}",
        *("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13"),
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        *headers,
    ]
    return send_raw(port, "\n".join(lines))[0]


@pytest.fixture(scope="session")
def raw() -> Callable[..., tuple[int, str]]:
    return send_raw


@pytest.fixture(scope="session")
def websocket() -> Callable[..., int]:
    return open_websocket


class Guarded:
    """A Studio that other machines may reach, and so asks for a token; they may submit jobs."""

    def __init__(self, studio: Any) -> None:
        found = TOKEN.search(studio.link)
        assert found is not None, studio.link
        self.studio, self.token, self.port = studio, found[1], studio.port
        self.bearer = {"Authorization": f"Bearer {self.token}"}

    def get(self, path: str, **more: Any) -> httpx.Response:
        return self.studio.request("GET", f"{self.studio.url}{path}", **more)


@pytest.fixture(scope="session")
def guarded(tmp_path_factory: pytest.TempPathFactory, studio_type: Any) -> Iterator[Guarded]:
    started = studio_type(tmp_path_factory.mktemp("guarded"), *ARGUMENTS)
    yield Guarded(started)
    assert started.end() == 0, "".join(started.said)
