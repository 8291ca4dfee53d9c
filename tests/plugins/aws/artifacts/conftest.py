"""An S3 that tells what it was asked, and that fails as it is told."""

from __future__ import annotations

import contextlib
import io
import socket
import threading
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import parse_qs

import boto3
import pytest
from botocore.retries.standard import ExponentialBackoff
from moto.moto_server.threaded_moto_server import ThreadedMotoServer
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from moto.s3.models import s3_backends
from msgspec import Struct
from werkzeug.serving import make_server

from heliostat_aws.artifacts import S3ArtifactStore
from heliostat_aws.options import S3Options


class Request(Struct, frozen=True):
    operation: str
    body: int
    """Bytes."""
    range: str


class Answer(Struct, frozen=True):
    """In place of moto's."""

    status: str
    body: bytes
    headers: dict[str, str] = {}


Intervene = Callable[[Request], Answer | None]
"""May wait, or answer in place of moto."""


class S3Server(ThreadedMotoServer):
    """moto over HTTP, one request at a time, because its conditional writes, unlike those of S3, are not atomic."""

    def __init__(self) -> None:
        super().__init__(ip_address="127.0.0.1", port=0, verbose=False)
        self._app = DomainDispatcherApplication(create_backend_app)
        self._turn = threading.Lock()
        self.requests: list[Request] = []
        self.broken: list[int] = []
        """How many bytes came of the bodies that broke off."""
        self.intervene: Intervene = lambda request: None
        self.cut: Callable[[Request], int | None] = lambda request: None
        """After how many bytes of its body an answer breaks off."""
        self.arriving: Callable[[int], None] = lambda arrived: None
        """Is told of every block of a body how many bytes have come so far. May wait."""

    @staticmethod
    def answer(status: str, body: bytes = b"", headers: dict[str, str] | None = None) -> Answer:
        return Answer(status, body, headers or {})

    @staticmethod
    def error(code: str, status: str = "400 Bad Request") -> Answer:
        text = f"<Error><Code>{code}</Code><Message>planned\n by a test.</Message></Error>"
        return Answer(status, text.encode(), {"Content-Type": "application/xml"})

    @property
    def url(self) -> str:
        host, port = self.get_host_and_port()
        return f"http://{host}:{port}"

    def count(self, operation: str) -> int:
        return Counter(request.operation for request in self.requests)[operation]

    def stop(self) -> None:
        super().stop()
        assert self._server is not None
        self._server.server_close()

    def _server_entry(self) -> None:
        self._server = make_server(self._ip_address, self._port, self._serve, True, request_handler=MotoRequestHandler)
        # So that a client which sends 8 MiB waits until they are read.
        self._server.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
        self._server_ready_event.set()
        self._server.serve_forever(poll_interval=0.01)

    def _serve(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        length = int(environ.get("CONTENT_LENGTH") or 0)
        body = self._receive(environ["wsgi.input"], length)
        if len(body) < length:  # the client went away in the middle
            self.broken.append(len(body))
            start_response("400 Bad Request", [("Content-Length", "0")])
            return []
        environ["wsgi.input"] = io.BytesIO(body)
        query = parse_qs(environ.get("QUERY_STRING", ""), keep_blank_values=True)
        request = Request(_operation(environ["REQUEST_METHOD"], query), length, environ.get("HTTP_RANGE", ""))
        self.requests.append(request)
        if (answer := self.intervene(request)) is not None:
            start_response(answer.status, [*answer.headers.items(), ("Content-Length", str(len(answer.body)))])
            return [] if request.operation == "HeadObject" else [answer.body]
        with self._turn:
            content = b"".join(self._app(environ, start_response))
        return [content[: self.cut(request)]]

    def _receive(self, body: BinaryIO, length: int) -> bytes:
        received = b""
        with contextlib.suppress(ConnectionError):
            while len(received) < length and (block := body.read(min(1 << 18, length - len(received)))):
                received += block
                self.arriving(len(received))
        return received


def _operation(method: str, query: dict[str, list[str]]) -> str:
    if method == "POST":
        if "uploads" in query:
            return "CreateMultipartUpload"
        return "DeleteObjects" if "delete" in query else "CompleteMultipartUpload"
    if method == "PUT":
        return "UploadPart" if "partNumber" in query else "PutObject"
    if method == "DELETE":
        return "AbortMultipartUpload"
    if "list-type" in query:
        return "ListObjectsV2"
    return {"HEAD": "HeadObject", "GET": "GetObject"}[method]


@pytest.fixture
def credentials(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("AWS_PROFILE", "AWS_REGION", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL_S3"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "no such file"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")


@pytest.fixture
def server(credentials: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Server]:
    """S3, with the empty bucket `mirrors`, at the address that boto3 takes from the environment."""
    server = S3Server()
    server.start()
    monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
    monkeypatch.setattr(ExponentialBackoff, "delay_amount", lambda backoff, context: 0.0)
    client = boto3.client("s3")
    client.create_bucket(Bucket="mirrors")
    client.close()
    server.requests.clear()
    yield server
    server.stop()
    for regions in s3_backends.values():
        for backend in regions.values():
            backend.reset()


@pytest.fixture
def s3(server: S3Server) -> Iterator[Any]:
    """Another tool that uses the same S3."""
    client = boto3.client("s3")
    yield client
    client.close()


@pytest.fixture
def open_store(server: S3Server) -> Callable[..., S3ArtifactStore]:
    """A new handle of the store in a bucket's part, by default of the same one."""
    return lambda place="mirrors/heliostat": S3ArtifactStore(S3Options(url=f"s3://{place}"))


@pytest.fixture
async def store(open_store: Callable[[], S3ArtifactStore]) -> AsyncIterator[S3ArtifactStore]:
    async with open_store() as store:
        yield store


@pytest.fixture
def film(tmp_path: Path) -> Path:
    path = tmp_path / "film"
    path.write_bytes(b"film")
    return path
