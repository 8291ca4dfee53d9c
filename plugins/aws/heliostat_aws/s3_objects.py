"""The objects of one bucket: the calls of S3 that an artifact store makes."""

from __future__ import annotations

import hashlib
import re
from base64 import b64decode
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from datetime import UTC
from pathlib import Path
from typing import Any, Final

from botocore.exceptions import BotoCoreError, ClientError

from heliostat.worker import DIGEST_METADATA, ObjectPage, Objects, StoredObject
from heliostat_aws.s3_errors import artifact_error, code_of, status_of
from heliostat_aws.s3_upload import Parts, S3Upload
from heliostat_aws.s3_writes import CheckOn, body, checksum, unless_taken, when

_PAGE: Final = 1000
"""Objects that S3 lists in one answer."""
_BLOCK: Final = 1 << 18
_BREAKS: Final = 10
"""How often a download may break before it is given up; each time it goes on where it broke."""


class S3Objects(Objects):
    """All calls raise errors of botocore."""

    batch = 1000

    def __init__(self, client: Any, bucket: str, check_on: CheckOn) -> None:
        self._client = client
        self._bucket = bucket
        self._check_on = check_on
        self._bucket_exists = False

    def find(self, key: str) -> StoredObject | None:
        answer = self._head(key)
        return None if answer is None else _found(key, answer)

    def read(self, key: str, write: Callable[[bytes], object]) -> StoredObject | None:
        place: dict[str, Any] = {"Bucket": self._bucket, "Key": key}
        try:
            answer = self._client.get_object(**place)
        except ClientError as error:
            if code_of(error) == "NoSuchKey":
                return None
            raise
        found = _found(key, answer)
        done = breaks = 0
        while True:
            try:
                with closing(answer["Body"]) as body:
                    while block := body.read(_BLOCK):
                        self._check_on()
                        write(block)
                        done += len(block)
                return found
            except BotoCoreError:
                breaks += 1
                if breaks > _BREAKS:
                    raise
            if done == found.size:
                return found
            answer = self._client.get_object(**place, Range=f"bytes={done}-", IfMatch=found.version)

    def put(self, key: str, content: bytes, *, if_absent: bool) -> StoredObject:
        digest = hashlib.sha256(content)
        answer = unless_taken(
            self._client.put_object,
            if_absent=if_absent,
            Bucket=self._bucket,
            Key=key,
            Body=body(content, self._check_on),
            Metadata={DIGEST_METADATA: digest.hexdigest()},
            **checksum(digest.digest()),
        )
        return StoredObject(
            key=key,
            size=len(content),
            modified_at=when(answer),
            version=answer["ETag"],
            sha256=digest.hexdigest(),
        )

    def upload(self, key: str, source: Path, *, if_absent: bool) -> S3Upload:
        parts = Parts.of(source, self._check_on)
        return S3Upload(self._client, self._bucket, key, parts, self._check_on, if_absent=if_absent)

    def page(self, prefix: str, start: str | None) -> ObjectPage:
        """A listing of S3 does not tell metadata."""
        answer = self._client.list_objects_v2(
            Bucket=self._bucket, Prefix=prefix, MaxKeys=_PAGE, **({"ContinuationToken": start} if start else {})
        )
        objects = [
            StoredObject(
                key=entry["Key"],
                size=entry["Size"],
                modified_at=entry["LastModified"],
                version=entry["ETag"],
                sha256=None,
            )
            for entry in answer.get("Contents", [])
        ]
        return ObjectPage(objects=objects, next=answer.get("NextContinuationToken"))

    def delete(self, objects: Sequence[StoredObject]) -> int:
        answer = self._client.delete_objects(
            Bucket=self._bucket, Delete={"Objects": [{"Key": found.key} for found in objects], "Quiet": True}
        )
        if failed := answer.get("Errors"):
            first = failed[0]
            raise artifact_error(
                ClientError({"Error": first}, "DeleteObjects"),
                f"s3://{self._bucket}/{first['Key']} and {len(failed) - 1} more cannot be deleted",
            )
        return len(objects)

    def link(self, key: str, seconds: int) -> str:
        parameters = {"Bucket": self._bucket, "Key": key}
        return str(self._client.generate_presigned_url("get_object", Params=parameters, ExpiresIn=seconds))

    def close(self) -> None:
        self._client.close()

    def _head(self, key: str) -> Mapping[str, Any] | None:
        place = {"Bucket": self._bucket, "Key": key}
        try:
            return self._client.head_object(**place, ChecksumMode="ENABLED")  # type: ignore[no-any-return]
        except ClientError as error:
            if status_of(error) == 404 and self._bucket_exists:
                return None
        # An answer to HEAD has no body, and so no reason: the key may be missing or the bucket, a token may be too old.
        try:
            self._client.get_object(**place)["Body"].close()
        except ClientError as error:
            if code_of(error) == "NoSuchKey":
                self._bucket_exists = True
                return None
            raise
        return self._client.head_object(**place, ChecksumMode="ENABLED")  # type: ignore[no-any-return]


def _found(key: str, answer: Mapping[str, Any]) -> StoredObject:
    """From the answer to HEAD, or to GET of the whole."""
    return StoredObject(
        key=key,
        size=answer["ContentLength"],
        modified_at=answer["LastModified"].astimezone(UTC),
        version=answer["ETag"],
        sha256=_recorded(answer),
    )


def _recorded(answer: Mapping[str, Any]) -> str | None:
    digest = answer.get("Metadata", {}).get(DIGEST_METADATA, "")
    if re.fullmatch(r"[0-9a-f]{64}", digest):
        return str(digest)
    if answer.get("ChecksumType") == "FULL_OBJECT" and "ChecksumSHA256" in answer:  # other tools may let S3 make it
        return b64decode(answer["ChecksumSHA256"]).hex()
    return None
