"""The objects of one bucket: the calls of S3 that an artifact store makes, each on the thread it is called on."""

from __future__ import annotations

import hashlib
import io
import re
from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final

from botocore.exceptions import BotoCoreError, ClientError
from msgspec import Struct

from heliostat.errors import ArtifactError
from heliostat_aws.s3_errors import ADVICE, artifact_error, code_of, status_of

CheckOn = Callable[[], None]
"""Called now and then by work on a thread; raises when nobody waits for the work any more."""

DIGEST: Final = "heliostat-sha256"
"""The metadata of an object that holds the SHA-256 of its content, in hexadecimal."""
PAGE: Final = 1000
"""Objects that S3 lists, and deletes, in one request."""
_BLOCK: Final = 1 << 18
_BREAKS: Final = 10
"""How often a download may break before it is given up; each time it goes on where it broke."""
_SMALL: Final = 1 << 16
"""Bytes up to which a body is sent at once. What is larger is sent in blocks, between which the call may be cancelled,
and only when S3 has agreed to take it, which costs a round trip."""


class Taken(Exception):
    """The object was to be written if absent, and another writer has done so or is about to."""


class Found(Struct, frozen=True, kw_only=True):
    """What S3 says of an object."""

    size: int
    modified_at: datetime
    etag: str
    sha256: str | None
    """None where whoever stored it left none."""


class Page(Struct, frozen=True):
    """A part of a listing, by object key."""

    objects: list[tuple[str, datetime]]
    """Object key, time of the last change."""
    next: str | None
    """What the next page is asked for with; None on the last."""


class Objects:
    """All calls raise errors of botocore."""

    def __init__(self, client: Any, bucket: str, check_on: CheckOn) -> None:
        self.client = client
        self.bucket = bucket
        self.check_on = check_on
        self._bucket_exists = False

    def find(self, key: str) -> Found | None:
        """Where no digest is recorded, it is taken by reading the content."""
        answer = self._head(key)
        if answer is None or (found := _found(answer)).sha256 is not None:
            return None if answer is None else found
        digest = hashlib.sha256()
        try:
            found = self.read(key, digest.update)
        except ClientError as error:
            if code_of(error) == "NoSuchKey":  # it has been deleted meanwhile
                return None
            raise
        return Found(size=found.size, modified_at=found.modified_at, etag=found.etag, sha256=digest.hexdigest())

    def read(self, key: str, write: Callable[[bytes], object]) -> Found:
        """Write the content to where it belongs, all of the same version of the object."""
        place: dict[str, Any] = {"Bucket": self.bucket, "Key": key}
        answer = self.client.get_object(**place)
        found = _found(answer)
        done = breaks = 0
        while True:
            try:
                with closing(answer["Body"]) as body:
                    while block := body.read(_BLOCK):
                        self.check_on()
                        write(block)
                        done += len(block)
                return found
            except BotoCoreError:
                breaks += 1
                if breaks > _BREAKS:
                    raise
            if done == found.size:
                return found
            answer = self.client.get_object(**place, Range=f"bytes={done}-", IfMatch=found.etag)

    def put(self, key: str, content: bytes, *, if_absent: bool) -> Found:
        """Raises Taken."""
        digest = hashlib.sha256(content)
        answer = self.unless_taken(
            self.client.put_object,
            if_absent=if_absent,
            Bucket=self.bucket,
            Key=key,
            Body=self.body(content),
            Metadata={DIGEST: digest.hexdigest()},
            **checksum(digest.digest()),
        )
        return Found(size=len(content), modified_at=when(answer), etag=answer["ETag"], sha256=digest.hexdigest())

    def unless_taken(self, call: Callable[..., Any], *, if_absent: bool, **parameters: Any) -> Any:
        """A call that writes an object, on a condition if so wanted. Raises Taken when the condition does not hold."""
        try:
            return call(**parameters, **({"IfNoneMatch": "*"} if if_absent else {}))
        except ClientError as error:
            if if_absent and code_of(error) in ("PreconditionFailed", "ConditionalRequestConflict"):
                raise Taken from error
            raise

    def body(self, content: bytes) -> bytes | io.BytesIO:
        """How a content is sent so that the call can be cancelled on the way."""
        return content if len(content) <= _SMALL else _CheckedBody(content, self.check_on)

    def page(self, prefix: str, start: str | None) -> Page:
        answer = self.client.list_objects_v2(
            Bucket=self.bucket, Prefix=prefix, MaxKeys=PAGE, **({"ContinuationToken": start} if start else {})
        )
        objects = [(entry["Key"], entry["LastModified"]) for entry in answer.get("Contents", [])]
        return Page(objects, answer.get("NextContinuationToken"))

    def delete(self, keys: Sequence[str]) -> None:
        """Of at most `PAGE` objects. Raises ArtifactError when some are left."""
        answer = self.client.delete_objects(
            Bucket=self.bucket, Delete={"Objects": [{"Key": key} for key in keys], "Quiet": True}
        )
        if failed := answer.get("Errors"):
            first = failed[0]
            raise artifact_error(
                ClientError({"Error": first}, "DeleteObjects"),
                f"s3://{self.bucket}/{first['Key']} and {len(failed) - 1} more cannot be deleted",
            )

    def link(self, key: str, seconds: int) -> str:
        parameters = {"Bucket": self.bucket, "Key": key}
        return str(self.client.generate_presigned_url("get_object", Params=parameters, ExpiresIn=seconds))

    def _head(self, key: str) -> Mapping[str, Any] | None:
        place = {"Bucket": self.bucket, "Key": key}
        try:
            return self.client.head_object(**place, ChecksumMode="ENABLED")  # type: ignore[no-any-return]
        except ClientError as error:
            if status_of(error) == 404 and self._bucket_exists:
                return None
        # An answer to HEAD has no body, and so no reason: the key may be missing or the bucket, a token may be too old.
        try:
            self.client.get_object(**place)["Body"].close()
        except ClientError as error:
            if code_of(error) == "NoSuchKey":
                self._bucket_exists = True
                return None
            raise
        return self.client.head_object(**place, ChecksumMode="ENABLED")  # type: ignore[no-any-return]


def checksum(digest: bytes) -> dict[str, str]:
    """The parameters that make S3 check what it receives, and keep the checksum."""
    return {"ChecksumAlgorithm": "SHA256", "ChecksumSHA256": b64encode(digest).decode()}


def when(answer: Mapping[str, Any]) -> datetime:
    """The time of an answer, by S3's clock: that of the change, which the answer to a writer does not tell."""
    date = answer["ResponseMetadata"]["HTTPHeaders"].get("date")
    return parsedate_to_datetime(date).replace(tzinfo=UTC) if date else datetime.now(UTC)


def damaged(what: str) -> ArtifactError:
    """The content of an artifact is not what was stored."""
    return ArtifactError(f"{what} is damaged, its SHA-256 has changed; store it again")


def changed(path: object) -> ArtifactError:
    """A file is not what it was when its digest was taken."""
    return ArtifactError(f"{path}: {ADVICE['BadDigest']}")


class _CheckedBody(io.BytesIO):
    def __init__(self, content: bytes, check_on: CheckOn) -> None:
        super().__init__(content)
        self._check_on = check_on

    def read(self, size: int | None = -1, /) -> bytes:
        self._check_on()
        return super().read(size)


def _found(answer: Mapping[str, Any]) -> Found:
    """From the answer to HEAD, or to GET of the whole."""
    return Found(
        size=answer["ContentLength"],
        modified_at=answer["LastModified"].astimezone(UTC),
        etag=answer["ETag"],
        sha256=_recorded(answer),
    )


def _recorded(answer: Mapping[str, Any]) -> str | None:
    digest = answer.get("Metadata", {}).get(DIGEST, "")
    if re.fullmatch(r"[0-9a-f]{64}", digest):
        return str(digest)
    if answer.get("ChecksumType") == "FULL_OBJECT" and "ChecksumSHA256" in answer:  # other tools may let S3 make it
        return b64decode(answer["ChecksumSHA256"]).hex()
    return None
