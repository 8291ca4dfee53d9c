"""The way of requests to Cloud Storage: connections on which nothing goes on that nobody waits for any more."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from requests import PreparedRequest, Response
from requests.adapters import HTTPAdapter

from heliostat.worker import file_changed

CheckOn = Callable[[], None]
"""`Threads.check_on`."""

TIMEOUT: Final = (10.0, 120.0)
"""Seconds to connect, and until something is heard; at the end of an upload Cloud Storage needs its time."""
_SMALL: Final = 1 << 16
"""Bytes up to which a body is sent at once. What is larger is sent in blocks, between which the call may be
cancelled."""


class CheckedAdapter(HTTPAdapter):
    def __init__(self, check_on: CheckOn, connections: int) -> None:
        super().__init__(pool_maxsize=connections)
        self._check_on = check_on

    def send(self, request: PreparedRequest, *arguments: Any, **options: Any) -> Response:
        self._check_on()  # before every try
        if isinstance(request.body, bytes) and len(request.body) > _SMALL:
            request.body = _CheckedBody(request.body, self._check_on)
        return super().send(request, *arguments, **options)


class FileBody:
    """The rest of a file, as the body of a request. Raises ArtifactError when the file has become shorter."""

    def __init__(self, path: Path, begin: int, size: int, check_on: CheckOn) -> None:
        self._path = path
        self._file = open(path, "rb")  # noqa: SIM115
        self._file.seek(begin)
        self._left = size - begin
        self._length = self._left
        self._check_on = check_on

    def read(self, size: int = -1) -> bytes:
        self._check_on()
        if self._left == 0:
            return b""
        block = self._file.read(self._left if size < 0 else min(size, self._left))
        if not block:
            raise file_changed(self._path)
        self._left -= len(block)
        return block

    def close(self) -> None:
        self._file.close()

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[bytes]:
        while block := self.read(_SMALL):
            yield block


class _CheckedBody(io.BytesIO):
    def __init__(self, content: bytes, check_on: CheckOn) -> None:
        super().__init__(content)
        self._check_on = check_on

    def read(self, size: int | None = -1, /) -> bytes:
        self._check_on()
        return super().read(size)
