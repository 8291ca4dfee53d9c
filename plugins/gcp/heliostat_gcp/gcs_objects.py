"""The objects of one bucket: the calls of Cloud Storage that an artifact store makes."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from google.api_core.exceptions import Conflict, NotFound, PreconditionFailed
from google.auth.exceptions import TransportError

from heliostat.errors import ArtifactError
from heliostat.worker import DIGEST_METADATA, MEANWHILE, ObjectPage, Objects, StoredObject, Taken, Threads
from heliostat_gcp.gcs_batch import MOST_CALLS, Deletion
from heliostat_gcp.gcs_errors import not_signed
from heliostat_gcp.gcs_retries import Retries
from heliostat_gcp.gcs_signing import signer
from heliostat_gcp.gcs_transport import TIMEOUT
from heliostat_gcp.gcs_upload import GcsUpload, Source
from heliostat_gcp.session import Session

_PAGE: Final = 1000
"""Objects that Cloud Storage lists in one answer."""
_FIELDS: Final = "items(name,size,timeCreated,generation,metadata),nextPageToken"
_TRIES: Final = 10
"""How often a read begins anew because the object was replaced between the look at it and the first byte."""


class GcsObject(StoredObject, frozen=True, kw_only=True):
    """Its version is what Cloud Storage calls generation."""

    metadata: Mapping[str, str]
    """What whoever stored it wrote beside it."""


class GcsObjects(Objects):
    """All calls raise errors of Google's libraries."""

    batch = MOST_CALLS

    def __init__(self, session: Session, bucket: str, threads: Threads) -> None:
        """`threads` are those that calls are made on."""
        self._session = session
        self._bucket = session.client.bucket(bucket, user_project=session.payer)
        self._threads = threads
        self._again = Retries(threads.sleep)
        self._bucket_exists = False

    def find(self, key: str) -> GcsObject | None:
        blob = self._again(lambda: self._bucket.get_blob(key, retry=None, timeout=TIMEOUT))
        if blob is None and not self._bucket_exists:
            self._list(key, None, 1)  # the answer is the same when it is the bucket that is not there
            self._bucket_exists = True
        return None if blob is None else _found(blob)

    def read(self, key: str, write: Callable[[bytes], object]) -> GcsObject | None:
        for _ in range(_TRIES):
            if (found := self.find(key)) is None or self.fetch(found, write):
                return found
        raise self._changed(key)

    def fetch(self, found: GcsObject, write: Callable[[bytes], object]) -> bool:
        """Write the content of this very version; False, and nothing written, when it is not there any more."""
        sink = _Sink(write, self._threads.check_on)
        blob = self._bucket.blob(found.key, generation=int(found.version))

        def fetch_rest() -> None:
            if sink.done < found.size:
                blob.download_to_file(
                    sink,
                    start=sink.done or None,
                    raw_download=True,  # as it is stored, also when that is compressed
                    checksum=None if found.sha256 else "crc32c",
                    retry=None,
                    timeout=TIMEOUT,
                )
            if sink.done < found.size:
                raise ConnectionError("the download has ended too early")

        try:
            self._again(fetch_rest, progress=lambda: sink.done)
        except NotFound:
            if sink.done:
                raise self._changed(found.key) from None
            return False
        return True

    def content(self, found: GcsObject) -> bytes | None:
        """Of this very version, for small objects; None when it is not there any more."""
        blocks: list[bytes] = []
        return b"".join(blocks) if self.fetch(found, blocks.append) else None

    def put(
        self,
        key: str,
        content: bytes,
        *,
        if_absent: bool = False,
        metadata: Mapping[str, str] | None = None,
        expires: bool = False,
    ) -> GcsObject:
        """With `metadata` of one's own beside the digest. What `expires` has a custom time, now: a rule of the bucket
        deletes it after days, under whatever prefix."""

        def send() -> GcsObject:
            blob = self._bucket.blob(key)
            blob.metadata = {**(metadata or {}), DIGEST_METADATA: hashlib.sha256(content).hexdigest()}
            if expires:
                blob.custom_time = datetime.now(UTC)
            blob.upload_from_string(
                content,
                content_type="application/octet-stream",
                checksum="crc32c",
                if_generation_match=0 if if_absent else None,
                retry=None,
                timeout=TIMEOUT,
            )
            return _found(blob)

        try:
            return self._again(send)
        except (PreconditionFailed, Conflict) as error:
            if if_absent:
                raise Taken from error
            raise

    def upload(self, key: str, source: Path, *, if_absent: bool) -> GcsUpload:
        described = Source.of(source, self._threads.check_on)
        blob = self._bucket.blob(key)
        blob.metadata = {DIGEST_METADATA: described.sha256}
        blob.crc32c = described.crc32c
        return GcsUpload(blob, self._session.http, described, self._threads.check_on, self._again, if_absent=if_absent)

    def page(self, prefix: str, start: str | None) -> ObjectPage:
        blobs, following = self._list(prefix, start, _PAGE)
        return ObjectPage(objects=[_found(blob) for blob in blobs], next=following)

    def delete(self, objects: Sequence[StoredObject]) -> int:
        """What was replaced since it was found stays, and is not counted."""
        deletion = Deletion(self._session, self._bucket, objects)
        self._again(deletion.go_on, progress=lambda: deletion.done)
        return deletion.deleted

    def link(self, key: str, seconds: int) -> str:
        payer = self._session.payer
        try:
            return str(
                self._bucket.blob(key).generate_signed_url(
                    version="v4",
                    expiration=timedelta(seconds=seconds),
                    query_parameters={"userProject": payer} if payer else None,
                    **signer(self._session),
                )
            )
        except TransportError as error:
            raise not_signed(error) from error

    def close(self) -> None:
        self._session.client.close()

    def _list(self, prefix: str, start: str | None, size: int) -> tuple[list[Any], str | None]:
        """Objects, and what the next page is asked for with."""

        def ask() -> tuple[list[Any], str | None]:
            found = self._session.client.list_blobs(
                self._bucket,
                prefix=prefix,
                page_token=start,
                page_size=size,
                fields=_FIELDS,
                retry=None,
                timeout=TIMEOUT,
            )
            blobs = [*next(found.pages, ())]
            return blobs, found.next_page_token

        return self._again(ask)

    def _changed(self, key: str) -> ArtifactError:
        return ArtifactError(f"gcs://{self._bucket.name}/{key}: {MEANWHILE}")


class _Sink:
    """What a download is written to."""

    def __init__(self, write: Callable[[bytes], object], check_on: Callable[[], None]) -> None:
        self._write = write
        self._check_on = check_on
        self.done = 0
        """Bytes."""

    def write(self, block: bytes) -> None:
        self._check_on()
        self._write(block)
        self.done += len(block)


def _found(blob: Any) -> GcsObject:
    metadata = blob.metadata or {}
    digest = metadata.get(DIGEST_METADATA, "")
    return GcsObject(
        key=blob.name,
        size=blob.size,
        modified_at=blob.time_created,
        version=str(blob.generation),
        sha256=digest if re.fullmatch(r"[0-9a-f]{64}", digest) else None,
        metadata=metadata,
    )
