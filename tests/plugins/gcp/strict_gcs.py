"""Cloud Storage as strict as Google describes it: fake-gcs-server behind a server of our own.

That one does what fake-gcs-server does not do as Google does: it checks CRC32Cs, keeps what has come of an upload that
broke and tells how much that is, forgets uploads that are cancelled, asks for the generation again when an upload is
complete, and deletes in batches and only the generation that was asked for. All else, and all objects, are
fake-gcs-server's. It also tells what it was asked, and fails as it is told.
"""

from __future__ import annotations

import contextlib
import http.client
import http.server
import json
import re
import secrets
import socket
import threading
from base64 import b64encode
from collections import Counter
from collections.abc import Callable
from typing import Self
from urllib.parse import parse_qs, urlencode, urlsplit

import google_crc32c
from msgspec import Struct

GRAIN = 256 << 10
"""Bytes; of an upload that broke, Cloud Storage keeps a multiple of it."""


class Request(Struct, frozen=True):
    operation: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes

    @property
    def range(self) -> str:
        return self.headers.get("range") or self.headers.get("content-range", "")


class Answer(Struct, frozen=True):
    status: int
    body: bytes = b""
    headers: dict[str, str] = {}


class Upload(Struct):
    """One that is pending, or has ended."""

    path: str
    query: dict[str, str]
    metadata: bytes
    size: int
    arrived: bytearray
    outcome: Answer | None = None


def error(status: int, reason: str = "", message: str = "planned\n by a test.") -> Answer:
    told = {"code": status, "message": message, "errors": [{"domain": "global", "reason": reason, "message": message}]}
    return Answer(status, json.dumps({"error": told}).encode(), {"Content-Type": "application/json"})


class StrictGcs(http.server.ThreadingHTTPServer):
    daemon_threads = False
    request_queue_size = 128

    def __init__(self, fake_gcs: str) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.upstream = str(urlsplit(fake_gcs).netloc)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.turn = threading.RLock()
        """For those who write."""
        self.uploads: dict[str, Upload] = {}
        self.requests: list[Request] = []
        self.broken: list[int] = []
        """How many bytes came of the bodies that broke off."""
        self.open: set[socket.socket] = set()
        self.connections = 0
        self._thread = threading.Thread(target=self.serve_forever, args=(0.01,))
        self.behave()

    def behave(self) -> None:
        """As Cloud Storage does when all is well."""
        self.intervene: Callable[[Request], Answer | None] = lambda request: None
        """May wait, or answer instead."""
        self.alter: Callable[[Request, Answer], Answer] = lambda request, answer: answer
        """May change the answer, or wait with it."""
        self.refuse: Callable[[str], int | None] = lambda path: None
        """May refuse to delete one of a batch, with an HTTP status."""
        self.cut: Callable[[Request], int | None] = lambda request: None
        """After how many bytes of its body an answer breaks off."""
        self.hang_up: Callable[[str, int], bool] = lambda operation, arrived: False
        """Whether to break the connection, having received so many bytes of a body. May wait."""

    def count(self, operation: str) -> int:
        return Counter(request.operation for request in self.requests)[operation]

    @property
    def operations(self) -> list[str]:
        return [request.operation for request in self.requests]

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self._thread.join()
        for connection in [*self.open]:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self.server_close()

    def handle_error(self, *_: object) -> None:
        """Clients that go away are what is tested."""


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: StrictGcs

    def setup(self) -> None:
        super().setup()
        # So that a client which sends megabytes waits until they are read.
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
        self.server.connections += 1
        self.server.open.add(self.connection)
        self._upstream = http.client.HTTPConnection(self.server.upstream)

    def finish(self) -> None:
        self.server.open.discard(self.connection)
        self._upstream.close()
        with contextlib.suppress(OSError):
            super().finish()

    def log_message(self, *_: object) -> None:
        pass

    def _serve(self) -> None:
        parts = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(parts.query, keep_blank_values=True).items()}
        operation = _operation(self.command, parts.path, query, self.headers.get("Content-Range", ""))
        length = int(self.headers.get("Content-Length") or 0)
        body = self._receive(operation, length)
        headers = {name.lower(): value for name, value in self.headers.items()}
        request = Request(operation, parts.path, query, headers, body)
        if len(body) < length:
            self.server.broken.append(len(body))
            self._keep(request)
            self.close_connection = True
            return
        self.server.requests.append(request)
        answer = self.server.intervene(request)
        if answer is None:
            answer = getattr(self, f"_{operation}", self._forward)(request)
            answer = self.server.alter(request, answer)
        self._send(answer, self.server.cut(request))

    def do_GET(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def do_PUT(self) -> None:
        self._serve()

    def do_DELETE(self) -> None:
        self._serve()

    def _receive(self, operation: str, length: int) -> bytes:
        received = b""
        with contextlib.suppress(ConnectionError):
            while len(received) < length and (block := self.rfile.read1(min(1 << 18, length - len(received)))):
                received += block
                if self.server.hang_up(operation, len(received)):
                    break
        return received

    def _send(self, answer: Answer, cut: int | None) -> None:
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        if answer.status != 204:
            self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        self.wfile.write(answer.body[:cut])
        self.close_connection = self.close_connection or (cut is not None and cut < len(answer.body))

    def _forward(self, request: Request) -> Answer:
        headers = {
            name: value
            for name, value in request.headers.items()
            if name not in ("host", "connection", "authorization", "transfer-encoding")
        }
        self._upstream.request(self.command, self.path, request.body, headers)
        return self._answered()

    def _answered(self) -> Answer:
        answer = self._upstream.getresponse()
        own = ("connection", "content-length", "date", "transfer-encoding", "server")
        headers = {name: value for name, value in answer.getheaders() if name.lower() not in own}
        return Answer(answer.status, answer.read(), headers)

    # --- uploads -----------------------------------------------------------------------------------------------------

    def _insert(self, request: Request) -> Answer:
        boundary = re.search(r'boundary="?([^";]+)', request.headers["content-type"])
        assert boundary is not None
        _, first, second, _ = request.body.split(b"--" + boundary[1].encode())
        metadata = first.partition(b"\r\n\r\n")[2].removesuffix(b"\r\n")
        content = second.partition(b"\r\n\r\n")[2].removesuffix(b"\r\n")
        return self._store(request.path, request.query, metadata, content)

    def _begin(self, request: Request) -> Answer:
        found = self._ask("GET", request.path.removeprefix("/upload"), {"maxResults": "1"})
        if found.status != 200:
            return found
        key = secrets.token_hex(8)
        size = int(request.headers["x-upload-content-length"])
        self.server.uploads[key] = Upload(request.path, request.query, request.body, size, bytearray())
        query = urlencode({**request.query, "upload_id": key})
        return Answer(200, b"", {"Location": f"{self.server.url}{request.path}?{query}"})

    def _status(self, request: Request) -> Answer:
        upload = self.server.uploads.get(request.query["upload_id"])
        if upload is None:
            return error(404, "notFound")
        return upload.outcome or _incomplete(upload)

    def _receive_rest(self, request: Request) -> Answer:
        self._keep(request)
        upload = self.server.uploads.get(request.query["upload_id"])
        if upload is None:
            return error(404, "notFound")
        if upload.outcome is None and len(upload.arrived) == upload.size:
            upload.outcome = self._store(upload.path, upload.query, upload.metadata, bytes(upload.arrived))
        return upload.outcome or _incomplete(upload)

    def _cancel(self, request: Request) -> Answer:
        return Answer(499 if self.server.uploads.pop(request.query["upload_id"], None) else 404)

    def _keep(self, request: Request) -> None:
        """What has come of an upload, whether all has or not."""
        upload = self.server.uploads.get(request.query.get("upload_id", ""))
        begin = re.match(r"bytes (\d+)-", request.range)
        if upload is None or begin is None or upload.outcome is not None:
            return
        known = len(upload.arrived) - int(begin[1])
        assert known >= 0, "a gap"
        upload.arrived += request.body[known:]
        if len(upload.arrived) < upload.size:
            del upload.arrived[len(upload.arrived) // GRAIN * GRAIN :]

    def _store(self, path: str, query: dict[str, str], metadata: bytes, content: bytes) -> Answer:
        checksum = b64encode(google_crc32c.Checksum(content).digest()).decode()
        provided = json.loads(metadata).get("crc32c", checksum)
        if provided != checksum:
            said = f'Provided CRC32C "{provided}" doesn\'t match calculated CRC32C "{checksum}".'
            return error(400, "invalid", said)
        head = b"--x\r\nContent-Type: application/json\r\n\r\n" + metadata
        body = head + b"\r\n--x\r\nContent-Type: application/octet-stream\r\n\r\n" + content + b"\r\n--x--\r\n"
        with self.server.turn:
            return self._ask(
                "POST",
                path,
                {**query, "uploadType": "multipart"},
                body,
                {"Content-Type": "multipart/related; boundary=x"},
            )

    # --- deletions ---------------------------------------------------------------------------------------------------

    def _batch(self, request: Request) -> Answer:
        boundary = re.search(r'boundary="?([^";]+)', request.headers["content-type"])
        assert boundary is not None
        answers = b""
        for part in request.body.split(b"--" + boundary[1].encode())[1:-1]:
            head, _, nested = part.decode().replace("\r\n", "\n").lstrip("\n").partition("\n\n")
            method, target, version = nested.splitlines()[0].split(" ")
            assert (method, version) == ("DELETE", "HTTP/1.1")
            answer = self._delete(target)
            name = re.search(r"Content-ID: <(.+)>", head)
            named = f"Content-ID: <response-{name[1]}>\r\n" if name else ""
            reason = http.client.responses[answer.status]
            answers += (
                f"--y\r\nContent-Type: application/http\r\n{named}\r\nHTTP/1.1 {answer.status} {reason}\r\n"
                f"Content-Length: {len(answer.body)}\r\n\r\n"
            ).encode() + answer.body + b"\r\n"  # fmt: skip
        return Answer(200, answers + b"--y--\r\n", {"Content-Type": "multipart/mixed; boundary=y"})

    def _delete(self, target: str) -> Answer:
        parts = urlsplit(target)
        if (status := self.server.refuse(parts.path)) is not None:
            return error(status)
        with self.server.turn:
            found = self._ask("GET", parts.path, {})
            if found.status != 200:
                return found
            wanted = parse_qs(parts.query).get("ifGenerationMatch")
            if wanted and wanted[0] != json.loads(found.body)["generation"]:
                return error(412, "conditionNotMet")
            deleted = self._ask("DELETE", parts.path, {})
        return Answer(204) if deleted.status == 200 else deleted

    def _ask(
        self, method: str, path: str, query: dict[str, str], body: bytes = b"", headers: dict[str, str] | None = None
    ) -> Answer:
        self._upstream.request(method, f"{path}?{urlencode(query)}", body, headers or {})
        return self._answered()


def _incomplete(upload: Upload) -> Answer:
    arrived = {"Range": f"bytes=0-{len(upload.arrived) - 1}"} if upload.arrived else {}
    return Answer(308, b"", arrived)


def _operation(method: str, path: str, query: dict[str, str], content_range: str) -> str:
    """The name of a method of the handler, where fake-gcs-server does not do."""
    if "upload_id" in query:
        if method == "DELETE":
            return "cancel"
        return "status" if content_range.startswith("bytes */") else "receive_rest"
    if method == "POST":
        if path == "/batch/storage/v1":
            return "batch"
        return {"multipart": "insert", "resumable": "begin"}[query["uploadType"]]
    if query.get("alt") == "media":
        return "media"
    if not path.startswith("/storage/v1/"):
        return "link"
    return "list" if path.endswith("/o") else "get"
