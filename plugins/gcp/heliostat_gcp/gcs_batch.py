"""Many objects deleted in one request. Format: https://cloud.google.com/storage/docs/batch.

The library has batches too, but does not tell what became of each call.
"""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Iterator, Sequence
from email.message import Message
from email.parser import BytesParser
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

import msgspec
from google.api_core.exceptions import GoogleAPICallError, from_http_response, from_http_status

from heliostat.worker import StoredObject
from heliostat_gcp.gcs_errors import PASSING, artifact_error
from heliostat_gcp.gcs_transport import TIMEOUT

if TYPE_CHECKING:
    from heliostat_gcp.session import Session

MOST_CALLS: Final = 100
"""In one request."""


class Deletion:
    """Of objects, each in the version that was found."""

    def __init__(self, session: Session, bucket: Any, objects: Sequence[StoredObject]) -> None:
        """At most `MOST_CALLS`."""
        self._session = session
        self._bucket = bucket
        self._left = list(objects)
        self.done = 0
        """Calls that have been answered for good."""
        self.deleted = 0
        """Objects that are gone, whoever was first; without those that were replaced meanwhile."""

    def go_on(self) -> None:
        """Delete what is left. Raises an error that will pass, then call again; or ArtifactError."""
        if not self._left:
            return
        failed = []
        for found, error in zip(self._left, self._ask(), strict=True):
            if error is None or error.code == HTTPStatus.NOT_FOUND:
                self.deleted += 1
            elif error.code != HTTPStatus.PRECONDITION_FAILED:
                failed.append((found, error))
        self.done += len(self._left) - len(failed)
        self._left = [found for found, _ in failed]
        lasting = [(found, error) for found, error in failed if error.code not in PASSING]
        for found, error in lasting:
            what = f"gcs://{self._bucket.name}/{found.key} and {len(lasting) - 1} more cannot be deleted"
            raise artifact_error(error, what) from error
        for _, error in failed:
            raise error

    def _ask(self) -> list[GoogleAPICallError | None]:
        """What became of each call, in their order."""
        boundary = secrets.token_hex(16)
        answer = self._session.http.post(
            f"{self._session.endpoint}/batch/storage/v1",
            data="".join(self._parts(boundary)).encode(),
            headers={"Content-Type": f"multipart/mixed; boundary={boundary}"},
            timeout=TIMEOUT,
        )
        if answer.status_code != HTTPStatus.OK:
            raise from_http_response(answer)
        head = f"Content-Type: {answer.headers.get('Content-Type')}\r\n\r\n".encode()
        parts = BytesParser().parsebytes(head + answer.content).get_payload()
        if not isinstance(parts, list) or len(parts) != len(self._left):
            raise ConnectionError("Cloud Storage has not answered all calls of a batch")
        return [_error(part) for part in parts if isinstance(part, Message)]

    def _parts(self, boundary: str) -> Iterator[str]:
        for number, found in enumerate(self._left):
            query = {"ifGenerationMatch": found.version}
            if self._session.payer:
                query["userProject"] = self._session.payer
            yield (
                f"--{boundary}\r\nContent-Type: application/http\r\nContent-ID: <{boundary}+{number}>\r\n\r\n"
                f"DELETE /storage/v1{self._bucket.blob(found.key).path}?{urlencode(query)} HTTP/1.1\r\n\r\n\r\n"
            )
        yield f"--{boundary}--\r\n"


def _error(part: Message) -> GoogleAPICallError | None:
    """Of one answer within the answer, which begins with `HTTP/1.1 204 No Content`."""
    head, _, body = str(part.get_payload()).replace("\r\n", "\n").partition("\n\n")
    status = int(head.split()[1])
    if status < 300:
        return None
    message, errors = head.splitlines()[0], []
    with contextlib.suppress(msgspec.DecodeError, KeyError, TypeError):
        told = msgspec.json.decode(body)["error"]
        message, errors = told["message"], told["errors"]
    error: GoogleAPICallError = from_http_status(status, message, errors=errors)
    return error
