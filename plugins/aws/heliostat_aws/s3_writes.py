"""What all calls of S3 that write an object have in common."""

from __future__ import annotations

import io
from base64 import b64encode
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final

from botocore.exceptions import ClientError

from heliostat.worker import Taken
from heliostat_aws.s3_errors import code_of

CheckOn = Callable[[], None]
"""`Threads.check_on`."""

_SMALL: Final = 1 << 16
"""Bytes up to which a body is sent at once. What is larger is sent in blocks, between which the call may be cancelled,
and only when S3 has agreed to take it, which costs a round trip."""


def unless_taken(call: Callable[..., Any], *, if_absent: bool, **parameters: Any) -> Any:
    """A call that writes an object, on a condition if so wanted. Raises Taken when the condition does not hold."""
    try:
        return call(**parameters, **({"IfNoneMatch": "*"} if if_absent else {}))
    except ClientError as error:
        if if_absent and code_of(error) in ("PreconditionFailed", "ConditionalRequestConflict"):
            raise Taken from error
        raise


def body(content: bytes, check_on: CheckOn) -> bytes | io.BytesIO:
    """How a content is sent so that the call can be cancelled on the way."""
    return content if len(content) <= _SMALL else _CheckedBody(content, check_on)


def checksum(digest: bytes) -> dict[str, str]:
    """The parameters that make S3 check what it receives, and keep the checksum."""
    return {"ChecksumAlgorithm": "SHA256", "ChecksumSHA256": b64encode(digest).decode()}


def when(answer: Mapping[str, Any]) -> datetime:
    """The time of an answer, by S3's clock: that of the change, which the answer to a writer does not tell."""
    date = answer["ResponseMetadata"]["HTTPHeaders"].get("date")
    return parsedate_to_datetime(date).replace(tzinfo=UTC) if date else datetime.now(UTC)


class _CheckedBody(io.BytesIO):
    def __init__(self, content: bytes, check_on: CheckOn) -> None:
        super().__init__(content)
        self._check_on = check_on

    def read(self, size: int | None = -1, /) -> bytes:
        self._check_on()
        return super().read(size)
