"""The upload of a large file in several parts. The object appears when the last step is done, or not at all."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO, Final

from botocore.exceptions import ClientError
from msgspec import Struct

from heliostat.worker import DIGEST_METADATA, StoredObject, Upload, file_changed
from heliostat_aws.s3_errors import code_of
from heliostat_aws.s3_writes import CheckOn, body, checksum, unless_taken, when

ONE_PART: Final = 8 << 20
"""Bytes of a part, unless that makes more parts than S3 takes."""
MOST_PARTS: Final = 10_000
"""https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html."""
_BLOCK: Final = 1 << 20


class Parts(Struct, frozen=True, kw_only=True):
    """A file as it is sent: the digest of the whole must be known when the first part is."""

    path: Path
    size: int
    sha256: str
    part_size: int
    """Bytes of every part but the last."""
    digests: list[bytes]
    """SHA-256 of every part."""

    @classmethod
    def of(cls, path: Path, check_on: CheckOn) -> Parts:
        with open(path, "rb", buffering=0) as file:
            part_size = max(ONE_PART, -(-os.fstat(file.fileno()).st_size // MOST_PARTS))
            whole = hashlib.sha256()
            size, digests = 0, []
            while True:
                part = hashlib.sha256()
                begun = size
                for block in _blocks(file, part_size):
                    check_on()
                    whole.update(block)
                    part.update(block)
                    size += len(block)
                if size > begun:
                    digests.append(part.digest())
                if size < begun + part_size:
                    break
        return cls(path=path, size=size, sha256=whole.hexdigest(), part_size=part_size, digests=digests)

    def read(self, number: int) -> bytes:
        """Raises ArtifactError when the file has changed."""
        with open(self.path, "rb") as file:
            file.seek(number * self.part_size)
            content = file.read(min(self.part_size, self.size - number * self.part_size))
        if hashlib.sha256(content).digest() != self.digests[number]:
            raise file_changed(self.path)
        return content


class S3Upload(Upload):
    """S3 lets what is pending be paid for."""

    def __init__(
        self, client: Any, bucket: str, key: str, source: Parts, check_on: CheckOn, *, if_absent: bool
    ) -> None:
        self._client = client
        self._place = {"Bucket": bucket, "Key": key}
        self._source = source
        self._check_on = check_on
        self._if_absent = if_absent
        self._etags: dict[int, str] = {}
        self._begun_at: datetime
        self._id: str | None = None
        self.parts = len(source.digests)

    @property
    def pending(self) -> bool:
        return self._id is not None

    def begin(self) -> None:
        answer = self._client.create_multipart_upload(
            **self._place, Metadata={DIGEST_METADATA: self._source.sha256}, ChecksumAlgorithm="SHA256"
        )
        self._id, self._begun_at = answer["UploadId"], when(answer)

    def send(self, number: int) -> None:
        content = self._source.read(number)
        answer = self._client.upload_part(
            **self._place,
            UploadId=self._id,
            PartNumber=number + 1,
            Body=body(content, self._check_on),
            **checksum(self._source.digests[number]),
        )
        self._etags[number] = answer["ETag"]

    def complete(self) -> StoredObject:
        parts = [
            {
                "PartNumber": number + 1,
                "ETag": self._etags[number],
                "ChecksumSHA256": checksum(digest)["ChecksumSHA256"],
            }
            for number, digest in enumerate(self._source.digests)
        ]
        answer = unless_taken(
            self._client.complete_multipart_upload,
            if_absent=self._if_absent,
            **self._place,
            UploadId=self._id,
            MultipartUpload={"Parts": parts},
        )
        self._id = None
        # The time of an object that was sent in parts is when that was begun.
        return StoredObject(
            key=self._place["Key"],
            size=self._source.size,
            modified_at=self._begun_at,
            version=answer["ETag"],
            sha256=self._source.sha256,
        )

    def abort(self) -> None:
        try:
            self._client.abort_multipart_upload(**self._place, UploadId=self._id)
        except ClientError as error:
            if code_of(error) != "NoSuchUpload":
                raise
        self._id = None


def _blocks(file: BinaryIO, size: int) -> Iterator[bytes]:
    """The next `size` bytes of a file, or what is left of it."""
    while size > 0 and (block := file.read(min(_BLOCK, size))):
        yield block
        size -= len(block)
