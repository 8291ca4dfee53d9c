"""The artifact store `s3`: a bucket of Amazon S3, or a part of one, or of a service that speaks as S3 does.

An artifact is the object of its key below the store's prefix. Its SHA-256 is in the object's metadata, and S3 keeps a
checksum of its own by which it checks what it receives. Objects that other tools have put are artifacts too.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import os
import secrets
import threading
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Final, Self, TypeVar

from heliostat import Artifact, ArtifactStore
from heliostat.errors import ArtifactError, HeliostatError
from heliostat.worker import transfer_all
from heliostat_aws.options import S3Options
from heliostat_aws.s3_errors import ADVICE, artifact_error
from heliostat_aws.s3_location import S3Location
from heliostat_aws.s3_objects import Found, Objects, Page, Taken, damaged
from heliostat_aws.s3_threads import Threads
from heliostat_aws.s3_upload import ONE_PIECE, Parts, Upload
from heliostat_aws.session import open_client

T = TypeVar("T")

THREADS: Final = 16
"""Requests at once, and connections."""
_AT_ONCE: Final = 12
"""Requests at once that belong to one call, so that a long one leaves room for others."""
_TRIES: Final = 10
"""How often a put `if_absent` begins anew because others put and delete at the same time."""
_LONGEST_LINK: Final = 7 * 86_400
"""Seconds, https://docs.aws.amazon.com/AmazonS3/latest/userguide/using-presigned-url.html."""

logger = logging.getLogger("heliostat.aws")


class S3ArtifactStore(ArtifactStore):
    """May be opened several times at once, and used from one event loop after the other while it is open."""

    def __init__(self, options: S3Options) -> None:
        self._location = S3Location.parse(options.url)
        self.url = self._location.url
        self._openings = 0
        self._connecting = threading.Lock()
        self._threads: Threads
        self._objects: Objects | None = None

    async def __aenter__(self) -> Self:
        """Raises Misconfigured without a region, credentials or the profile that was named."""
        if self._openings == 0:
            self._threads = Threads(THREADS)
        self._openings += 1
        try:
            await self._on_thread("", self._connect)
        except BaseException:
            await self._close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._close()

    async def put(self, key: str, source: Path, *, if_absent: bool = False) -> Artifact:
        for _ in range(_TRIES):
            if if_absent and (there := await self.stat(key)) is not None:
                return there
            with contextlib.suppress(Taken):
                return await self._put(key, source, if_absent)
        raise ArtifactError(f"{self._address(key)}: {ADVICE['ConditionalRequestConflict']}")

    async def get(self, key: str, destination: Path) -> Artifact:
        object_key = self._location.object_key(key)
        return await self._on_thread(key, lambda: self._get(key, object_key, destination))

    async def stat(self, key: str) -> Artifact | None:
        object_key = self._location.object_key(key)
        found = await self._on_thread(key, lambda: self._open_objects.find(object_key))
        return None if found is None else _artifact(key, found)

    async def list(self, prefix: str = "") -> list[Artifact]:
        # A listing of S3 does not tell metadata.
        artifacts = []
        async for page in self._pages(prefix):
            keys = [key for object_key, _ in page.objects if (key := self._location.key_of(object_key)) is not None]
            artifacts += [found for found in await transfer_all(self.stat, keys, at_once=_AT_ONCE) if found is not None]
        return sorted(artifacts, key=lambda artifact: artifact.key)

    async def delete(self, prefix: str) -> int:
        return await self._delete(prefix, datetime.max.replace(tzinfo=UTC))

    async def delete_older(self, prefix: str, age_seconds: float) -> int:
        """Delete the artifacts whose key begins with the prefix and that were stored longer ago; returns how many."""
        return await self._delete(prefix, datetime.now(UTC) - timedelta(seconds=age_seconds))

    async def presigned_url(self, key: str, seconds: int) -> str:
        """A link by which anybody can fetch the artifact for so long, at most for seven days, and no longer than the
        credentials last that it is made with. Whether the artifact exists is not looked up."""
        object_key = self._location.object_key(key)
        if not 0 < seconds <= _LONGEST_LINK:
            raise ArtifactError(f"a link cannot last {seconds} seconds; choose between 1 and {_LONGEST_LINK}")
        return await self._on_thread(key, lambda: self._open_objects.link(object_key, seconds))

    # --- put and get -------------------------------------------------------------------------------------------------

    async def _put(self, key: str, source: Path, if_absent: bool) -> Artifact:
        object_key = self._location.object_key(key)

        def in_one_piece() -> Found | None:
            with open(source, "rb") as file:
                content = file.read(ONE_PIECE + 1)
            return (
                self._open_objects.put(object_key, content, if_absent=if_absent) if len(content) <= ONE_PIECE else None
            )

        found = await self._on_thread(key, in_one_piece)
        return _artifact(key, found or await self._put_in_parts(key, object_key, source, if_absent))

    async def _put_in_parts(self, key: str, object_key: str, source: Path, if_absent: bool) -> Found:
        parts = await self._on_thread(key, lambda: Parts.of(source, self._threads.check_on))
        upload = Upload(self._open_objects, object_key, parts)
        try:
            await self._on_thread(key, upload.begin)
            await transfer_all(
                lambda number: self._on_thread(key, partial(upload.send, number)),
                range(len(parts.digests)),
                at_once=_AT_ONCE,
            )
            return await self._on_thread(key, partial(upload.complete, if_absent=if_absent))
        finally:
            if upload.pending:
                try:
                    await self._on_thread(key, upload.abort, to_the_end=True)
                except ArtifactError as error:
                    logger.warning("an unfinished upload is left for a lifecycle rule to remove: %s", error)

    def _get(self, key: str, object_key: str, destination: Path) -> Artifact:
        new = destination.parent / f".heliostat-{secrets.token_hex(8)}"
        digest = hashlib.sha256()
        try:
            destination.parent.mkdir(parents=True, exist_ok=True)
            with open(new, "xb") as file:

                def write(block: bytes) -> None:
                    digest.update(block)
                    file.write(block)

                found = self._open_objects.read(object_key, write)
                file.flush()
                os.fsync(file.fileno())  # a rename may reach the disk before the data
            if found.sha256 not in (None, digest.hexdigest()):
                raise damaged(self._address(key))
            os.replace(new, destination)
        except OSError as error:
            error.filename = str(destination)  # nobody knows the name that it has until it is whole
            raise
        finally:
            with contextlib.suppress(OSError):
                new.unlink()
        return Artifact(key=key, size=found.size, sha256=digest.hexdigest(), modified_at=found.modified_at)

    # --- list and delete ---------------------------------------------------------------------------------------------

    async def _pages(self, prefix: str) -> AsyncIterator[Page]:
        object_prefix = self._location.object_prefix(prefix)
        start = None
        while True:
            page = await self._on_thread(prefix, partial(self._open_objects.page, object_prefix, start))
            yield page
            if page.next is None:
                break
            start = page.next

    async def _delete(self, prefix: str, before: datetime) -> int:
        number = 0
        async for page in self._pages(prefix):
            if keys := [key for key, modified_at in page.objects if modified_at < before]:
                await self._on_thread(prefix, partial(self._open_objects.delete, keys))
                number += len(keys)
        return number

    # --- the connection ----------------------------------------------------------------------------------------------

    def _connect(self) -> None:
        with self._connecting:
            if self._objects is not None:
                return
            connection = self._location.connection
            client = open_client(
                "s3",
                connection,
                retries={"mode": "standard", "total_max_attempts": 5},
                max_pool_connections=THREADS,
                connect_timeout=10,
                tcp_keepalive=True,
                signature_version="s3v4",
                # The store's own digests are of the whole content, which those of botocore are not always.
                request_checksum_calculation="when_required",
                response_checksum_validation="when_required",
                # Services other than Amazon's seldom have a name for every bucket.
                s3={"addressing_style": "path"} if connection.endpoint_url else {},
            )
            check_on = self._threads.check_on
            client.meta.events.register("before-send.s3", lambda **_: check_on())  # before every try
            self._objects = Objects(client, self._location.bucket, check_on)

    async def _close(self) -> None:
        self._openings -= 1
        if self._openings == 0:
            threads, objects = self._threads, self._objects
            self._objects = None
            await threads.close()
            if objects is not None:
                objects.client.close()

    @property
    def _open_objects(self) -> Objects:
        if self._objects is None:
            raise ArtifactError(f"{self.url} is not open; use the store within `async with`")
        return self._objects

    async def _on_thread(self, key: str, work: Callable[[], T], *, to_the_end: bool = False) -> T:
        """Raises ArtifactError and Taken."""
        if self._openings == 0:
            raise ArtifactError(f"{self.url} is not open; use the store within `async with`")
        try:
            return await self._threads.run(work, to_the_end=to_the_end)
        except (HeliostatError, Taken, asyncio.CancelledError):
            raise
        except Exception as error:
            raise artifact_error(error, self._address(key)) from error

    def _address(self, key: str) -> str:
        return f"{self._location.address}/{key}".rstrip("/")


def _artifact(key: str, found: Found) -> Artifact:
    assert found.sha256 is not None
    return Artifact(key=key, size=found.size, sha256=found.sha256, modified_at=found.modified_at)
