"""The upload of a large file in several parts. The object appears when the last step is done, or not at all."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import BinaryIO, Final

from botocore.exceptions import ClientError
from msgspec import Struct

from heliostat_aws.s3_errors import code_of
from heliostat_aws.s3_objects import DIGEST, CheckOn, Found, Objects, changed, checksum, when

ONE_PIECE: Final = 8 << 20
"""Bytes up to which a file is sent in one request; also the size of a part, unless that makes more than S3 takes."""
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
            part_size = max(ONE_PIECE, -(-os.fstat(file.fileno()).st_size // MOST_PARTS))
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
            raise changed(self.path)
        return content


class Upload:
    """To be begun, sent part by part from whichever threads, and completed; or aborted as long as it is pending."""

    def __init__(self, objects: Objects, key: str, parts: Parts) -> None:
        self._objects = objects
        self._place = {"Bucket": objects.bucket, "Key": key}
        self._parts = parts
        self._etags: dict[int, str] = {}
        self._begun_at: datetime
        self._id: str | None = None

    @property
    def pending(self) -> bool:
        """S3 keeps what was sent, and lets it be paid for, until it is told what shall become of it."""
        return self._id is not None

    def begin(self) -> None:
        answer = self._objects.client.create_multipart_upload(
            **self._place, Metadata={DIGEST: self._parts.sha256}, ChecksumAlgorithm="SHA256"
        )
        self._id, self._begun_at = answer["UploadId"], when(answer)

    def send(self, number: int) -> None:
        content = self._parts.read(number)
        answer = self._objects.client.upload_part(
            **self._place,
            UploadId=self._id,
            PartNumber=number + 1,
            Body=self._objects.body(content),
            **checksum(self._parts.digests[number]),
        )
        self._etags[number] = answer["ETag"]

    def complete(self, *, if_absent: bool) -> Found:
        """Raises Taken."""
        parts = [
            {
                "PartNumber": number + 1,
                "ETag": self._etags[number],
                "ChecksumSHA256": checksum(digest)["ChecksumSHA256"],
            }
            for number, digest in enumerate(self._parts.digests)
        ]
        answer = self._objects.unless_taken(
            self._objects.client.complete_multipart_upload,
            if_absent=if_absent,
            **self._place,
            UploadId=self._id,
            MultipartUpload={"Parts": parts},
        )
        self._id = None
        # The time of an object that was sent in parts is when that was begun.
        return Found(size=self._parts.size, modified_at=self._begun_at, etag=answer["ETag"], sha256=self._parts.sha256)

    def abort(self) -> None:
        try:
            self._objects.client.abort_multipart_upload(**self._place, UploadId=self._id)
        except ClientError as error:
            if code_of(error) != "NoSuchUpload":
                raise
        self._id = None


def _blocks(file: BinaryIO, size: int) -> Iterator[bytes]:
    """The next `size` bytes of a file, or what is left of it."""
    while size > 0 and (block := file.read(min(_BLOCK, size))):
        yield block
        size -= len(block)
