"""The upload of a large file, which goes on where it broke.

The file is sent in one request, or, where that breaks, in as many as it takes. Protocol:
https://cloud.google.com/storage/docs/performing-resumable-uploads.
"""

from __future__ import annotations

import hashlib
import re
from base64 import b64encode
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import datetime
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

import google_crc32c
import requests
from google.api_core.exceptions import Conflict, PreconditionFailed, from_http_response
from msgspec import Struct

from heliostat.worker import StoredObject, Taken, Upload
from heliostat_gcp.gcs_retries import Retries
from heliostat_gcp.gcs_transport import TIMEOUT, CheckOn, FileBody

_BLOCK: Final = 1 << 20
_GONE: Final = (HTTPStatus.NOT_FOUND, HTTPStatus.GONE)
_CANCELLED: Final = 499


class Source(Struct, frozen=True, kw_only=True):
    """A file as it is sent: the digests of the whole must be known in the beginning."""

    path: Path
    size: int
    sha256: str
    crc32c: str
    """Big-endian, in base64; by this Cloud Storage checks what it has received."""

    @classmethod
    def of(cls, path: Path, check_on: CheckOn) -> Source:
        digest, checksum, size = hashlib.sha256(), google_crc32c.Checksum(), 0
        with open(path, "rb", buffering=0) as file:
            while block := file.read(_BLOCK):
                check_on()
                digest.update(block)
                checksum.update(block)
                size += len(block)
        return cls(path=path, size=size, sha256=digest.hexdigest(), crc32c=b64encode(checksum.digest()).decode())


class GcsUpload(Upload):
    """Cloud Storage forgets what is pending after a week, and asks nothing for it until then."""

    parts = 1

    def __init__(
        self,
        blob: Any,
        http: requests.Session,
        source: Source,
        check_on: CheckOn,
        again: Retries,
        *,
        if_absent: bool,
    ) -> None:
        """`blob` has the metadata of what is sent."""
        self._blob = blob
        self._http = http
        self._source = source
        self._check_on = check_on
        self._again = again
        self._if_absent = if_absent
        self._address: str | None = None
        self._arrived = 0
        """Bytes that Cloud Storage is known to have."""
        self._is_sure = True
        """That it has no more."""
        self._stored: StoredObject | None = None

    @property
    def pending(self) -> bool:
        return self._address is not None

    def begin(self) -> None:
        def ask() -> str:
            return str(
                self._blob.create_resumable_upload_session(
                    content_type="application/octet-stream",
                    size=self._source.size,
                    checksum=None,  # it is in the metadata
                    if_generation_match=0 if self._if_absent else None,
                    retry=None,
                    timeout=TIMEOUT,
                )
            )

        with self._taken():
            self._address = self._again(ask)

    def send(self, number: int) -> None:
        with self._taken():
            self._stored = self._again(self._send_rest, progress=lambda: self._arrived)
        self._address = None

    def complete(self) -> StoredObject:
        assert self._stored is not None
        return self._stored

    def abort(self) -> None:
        def ask() -> None:
            answer = self._request("DELETE", b"")
            if answer.status_code not in (HTTPStatus.NO_CONTENT, *_GONE, _CANCELLED):
                raise from_http_response(answer)

        self._again(ask)
        self._address = None

    def _send_rest(self) -> StoredObject:
        size = self._source.size
        if not self._is_sure and (stored := self._outcome(self._request("PUT", b"", f"bytes */{size}"))):
            return stored
        self._is_sure = False
        with closing(FileBody(self._source.path, self._arrived, size, self._check_on)) as body:
            stored = self._outcome(self._request("PUT", body, f"bytes {self._arrived}-{size - 1}/{size}"))
        if stored is None:
            raise ConnectionError("Cloud Storage has taken only a part of what was sent")
        return stored

    def _outcome(self, answer: requests.Response) -> StoredObject | None:
        """None when there is more to send."""
        if answer.status_code == HTTPStatus.PERMANENT_REDIRECT:  # which here means: incomplete
            arrived = re.fullmatch(r"bytes=0-(\d+)", answer.headers.get("Range", ""))
            self._arrived, self._is_sure = int(arrived[1]) + 1 if arrived else 0, True
            return None
        if answer.status_code in _GONE:
            self.begin()
            self._arrived, self._is_sure = 0, True
            raise ConnectionError("Cloud Storage has lost the upload")
        if answer.status_code not in (HTTPStatus.OK, HTTPStatus.CREATED):
            raise from_http_response(answer)
        stored = answer.json()
        return StoredObject(
            key=stored["name"],
            size=int(stored["size"]),
            modified_at=datetime.fromisoformat(stored["timeCreated"]),
            version=stored["generation"],
            sha256=self._source.sha256,
        )

    def _request(self, method: str, body: FileBody | bytes, content_range: str = "") -> requests.Response:
        """Without credentials: the upload's address is one."""
        assert self._address is not None
        return requests.Session.request(
            self._http,
            method,
            self._address,
            data=body,
            headers={"Content-Range": content_range} if content_range else {},
            timeout=TIMEOUT,
            allow_redirects=False,
        )

    @contextmanager
    def _taken(self) -> Iterator[None]:
        try:
            yield
        except (PreconditionFailed, Conflict) as error:
            if not self._if_absent:
                raise
            self._address = None
            raise Taken from error
