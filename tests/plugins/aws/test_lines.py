"""A call of boto3 is ended from another thread, over HTTP and over TLS."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import BotoCoreError

from heliostat_aws.lines import Cut, Line, make_interruptible
from heliostat_aws.session import Connection, open_client

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\n{}"


class Service:
    """Answers the first requests of each connection, as many as it is told to, and then never again."""

    def __init__(self, context: ssl.SSLContext | None) -> None:
        self.answers = 0
        self.asked = threading.Semaphore(0)
        self._context = context
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._connections: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()
        scheme = "http" if context is None else "https"
        self.url = f"{scheme}://127.0.0.1:{self._listening.getsockname()[1]}"

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        for connection in self._connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            self._connections.append(connection)
            thread = threading.Thread(target=self._serve, args=(connection,))
            self._threads.append(thread)
            thread.start()

    def _serve(self, plain: socket.socket) -> None:
        with contextlib.suppress(OSError), plain:
            connection = plain if self._context is None else self._context.wrap_socket(plain, server_side=True)
            with connection:
                while connection.recv(1 << 16):
                    self.asked.release()
                    if self.answers:
                        self.answers -= 1
                        connection.sendall(ANSWER)


@pytest.fixture(params=["http", "https"])
def service(
    request: pytest.FixtureRequest, certificate: Callable[[], Path], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Service]:
    context = None
    if request.param == "https":
        file = certificate()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(file)
        monkeypatch.setenv("AWS_CA_BUNDLE", str(file))
    service = Service(context)
    yield service
    service.close()


@pytest.fixture
def client(service: Service, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    client = open_client(
        "lambda",
        Connection(region="us-east-1", endpoint_url=service.url),
        retries={"total_max_attempts": 1},
        read_timeout=600,
        max_pool_connections=1,
    )
    make_interruptible(client)
    yield client
    client.close()


def invoke(client: Any, line: Line) -> BaseException | None:
    try:
        with line:
            client.invoke(FunctionName="film")["Payload"].read()
    except (BotoCoreError, Cut) as error:
        return error
    return None


def test_a_call_that_waits_is_ended(service: Service, client: Any):
    line = Line()
    ended: list[BaseException | None] = []
    thread = threading.Thread(target=lambda: ended.append(invoke(client, line)))
    thread.start()
    assert service.asked.acquire(timeout=30)
    while line._socket is None:  # until it is asked for the answer
        time.sleep(0.001)
    line.cut()
    thread.join(30)
    assert not thread.is_alive()
    assert isinstance(ended[0], BotoCoreError)


def test_a_line_that_is_cut_lets_no_call_through(service: Service, client: Any):
    line = Line()
    line.cut()
    assert isinstance(invoke(client, line), Cut)
    assert not service.asked.acquire(timeout=0)


def test_cutting_what_is_over_leaves_the_connection_to_others(service: Service, client: Any):
    """There is one connection, which the second call takes over."""
    service.answers = 2
    first, second = Line(), Line()
    assert invoke(client, first) is None
    first.cut()
    assert invoke(client, second) is None
    assert len(service._connections) == 1
