"""An artifact store in a bucket of an object store: all that such stores have in common.

An artifact is the object of its key below the store's prefix, with its SHA-256 in the object's metadata. Objects that
other tools have put are artifacts too. What is particular to a service is in its `Objects` and in what a subclass
overrides.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import os
import threading
from abc import abstractmethod
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import ClassVar, Final, Self, TypeVar

from msgspec.structs import replace

from heliostat.contracts.artifacts import Artifact, ArtifactStore
from heliostat.errors import ArtifactError, HeliostatError
from heliostat.worker.bucket import Bucket
from heliostat.worker.objects import MEANWHILE, ObjectPage, Objects, StoredObject, Taken
from heliostat.worker.threads import Threads
from heliostat.worker.transfers import transfer_all
from heliostat.worker.unfinished import settle, unfinished_file

T = TypeVar("T")

_TRIES: Final = 10
"""How often a put `if_absent` begins anew because others put and delete at the same time."""
_LONGEST_LINK: Final = 7 * 86_400
"""Seconds: https://docs.aws.amazon.com/AmazonS3/latest/userguide/using-presigned-url.html, and
https://cloud.google.com/storage/docs/access-control/signed-urls."""


logger = logging.getLogger("heliostat")


class BucketStore(ArtifactStore):
    """May be opened several times at once, and used from one event loop after the other while it is open."""

    at_once: ClassVar[int] = 16
    """Threads, and so requests at once; also the connections that are worth keeping."""
    at_once_per_call: ClassVar[int] = 12
    """Requests at once that belong to one call, so that a long one leaves room for others."""
    one_piece: ClassVar[int] = 8 << 20
    """Bytes up to which a file is sent in one request."""

    def __init__(self, bucket: Bucket) -> None:
        self.bucket = bucket
        self.url = bucket.url
        self.threads: Threads
        self._openings = 0
        self._connecting = threading.Lock()
        self._objects: Objects | None = None

    @abstractmethod
    def connect(self) -> Objects:
        """The bucket's objects, over a new connection; called on a thread. Raises Misconfigured."""

    @abstractmethod
    def mapped(self, error: Exception, what: str) -> ArtifactError:
        """An error of the SDK or of the file system, in one sentence. `what` is the URL that the call was about."""

    async def __aenter__(self) -> Self:
        """Raises Misconfigured where there is no use in trying."""
        if self._openings == 0:
            self.threads = Threads(self.at_once, f"heliostat {self.bucket.service.schemes[0]}")
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
        object_key = self.bucket.object_key(key)

        def in_one_piece() -> StoredObject | None:
            with open(source, "rb") as file:
                content = file.read(self.one_piece + 1)
            return (
                self._open_objects.put(object_key, content, if_absent=if_absent)
                if len(content) <= self.one_piece
                else None
            )

        for _ in range(_TRIES):
            if if_absent and (there := await self.stat(key)) is not None:
                return there
            with contextlib.suppress(Taken):
                found = await self._on_thread(key, in_one_piece)
                return _artifact(key, found or await self._put_large(key, source, if_absent))
        raise ArtifactError(f"{self._address(key)}: {MEANWHILE}")

    async def get(self, key: str, destination: Path) -> Artifact:
        object_key = self.bucket.object_key(key)
        return await self._on_thread(key, lambda: self._get(key, object_key, destination))

    async def stat(self, key: str) -> Artifact | None:
        object_key = self.bucket.object_key(key)
        found = await self._on_thread(key, lambda: self._stat(object_key))
        return None if found is None else _artifact(key, found)

    async def list(self, prefix: str = "") -> list[Artifact]:
        artifacts, unknown = [], []
        async for page in self._pages(prefix):
            for found in page.objects:
                if (key := self.bucket.key_of(found.key)) is None:
                    continue
                if found.sha256 is None:
                    unknown.append(key)
                else:
                    artifacts.append(_artifact(key, found))
            asked = await transfer_all(self.stat, unknown, at_once=self.at_once_per_call)
            artifacts += [artifact for artifact in asked if artifact is not None]
            unknown.clear()
        return sorted(artifacts, key=lambda artifact: artifact.key)

    async def delete(self, prefix: str) -> int:
        return await self._delete(prefix, datetime.max.replace(tzinfo=UTC))

    async def delete_older(self, prefix: str, age_seconds: float) -> int:
        """Delete the artifacts whose key begins with the prefix and that were stored longer ago; returns how many."""
        return await self._delete(prefix, datetime.now(UTC) - timedelta(seconds=age_seconds))

    async def presigned_url(self, key: str, seconds: int) -> str:
        """A link by which anybody can fetch the artifact for so long, at most for seven days, and no longer than the
        credentials last that it is made with. Whether the artifact exists is not looked up."""
        object_key = self.bucket.object_key(key)
        if not 0 < seconds <= _LONGEST_LINK:
            raise ArtifactError(f"a link cannot last {seconds} seconds; choose between 1 and {_LONGEST_LINK}")
        return await self._on_thread(key, lambda: self._open_objects.link(object_key, seconds))

    async def _put_large(self, key: str, source: Path, if_absent: bool) -> StoredObject:
        object_key = self.bucket.object_key(key)
        upload = await self._on_thread(key, lambda: self._open_objects.upload(object_key, source, if_absent=if_absent))
        try:
            await self._on_thread(key, upload.begin)
            await transfer_all(
                lambda number: self._on_thread(key, partial(upload.send, number)),
                range(upload.parts),
                at_once=self.at_once_per_call,
            )
            return await self._on_thread(key, upload.complete)
        finally:
            if upload.pending:
                try:
                    await self._on_thread(key, upload.abort, to_the_end=True)
                except ArtifactError as error:
                    logger.warning("an unfinished upload is left for the service to remove: %s", error)

    # --- on a thread -------------------------------------------------------------------------------------------------

    def _get(self, key: str, object_key: str, destination: Path) -> Artifact:
        digest = hashlib.sha256()
        try:
            destination.parent.mkdir(parents=True, exist_ok=True)
            with unfinished_file(destination.parent) as new:

                def write(block: bytes) -> None:
                    digest.update(block)
                    new.write(block)

                found = self._open_objects.read(object_key, write)
                if found is None:
                    raise ArtifactError(
                        f"{self._address(key)}: it does not exist; store it first, or correct the key or the URL"
                    )
                settle(new)
                if found.sha256 not in (None, digest.hexdigest()):
                    raise ArtifactError(f"{self._address(key)} is damaged, its SHA-256 has changed; store it again")
                os.replace(new.name, destination)
        except OSError as error:
            if error.strerror:  # of the file; errors of the network may be OSErrors too
                error.filename = str(destination)  # nobody knows the name that it has until it is whole
            raise
        return _artifact(key, replace(found, sha256=digest.hexdigest()))

    def _stat(self, object_key: str) -> StoredObject | None:
        """Where no digest is recorded, it is taken by reading the content."""
        found = self._open_objects.find(object_key)
        if found is None or found.sha256 is not None:
            return found
        digest = hashlib.sha256()
        found = self._open_objects.read(object_key, digest.update)
        return None if found is None else replace(found, sha256=digest.hexdigest())

    def _connect(self) -> None:
        with self._connecting:
            if self._objects is None:
                self._objects = self.connect()

    # --- many at once ------------------------------------------------------------------------------------------------

    async def _pages(self, prefix: str) -> AsyncIterator[ObjectPage]:
        object_prefix = self.bucket.object_prefix(prefix)
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
            old = [found for found in page.objects if found.modified_at < before]
            size = self._open_objects.batch
            batches = [old[begin : begin + size] for begin in range(0, len(old), size)]
            number += sum(
                await transfer_all(
                    lambda batch: self._on_thread(prefix, partial(self._open_objects.delete, batch)),
                    batches,
                    at_once=self.at_once_per_call,
                )
            )
        return number

    async def _close(self) -> None:
        self._openings -= 1
        if self._openings == 0:
            objects, self._objects = self._objects, None
            await self.threads.close()
            if objects is not None:
                objects.close()

    @property
    def _open_objects(self) -> Objects:
        if self._objects is None:
            raise self._not_open()
        return self._objects

    async def _on_thread(self, key: str, work: Callable[[], T], *, to_the_end: bool = False) -> T:
        """As `Threads.run`, with errors mapped. Raises ArtifactError and Taken."""
        if self._openings == 0:
            raise self._not_open()
        try:
            return await self.threads.run(work, to_the_end=to_the_end)
        except (HeliostatError, Taken, asyncio.CancelledError):
            raise
        except Exception as error:
            raise self.mapped(error, self._address(key)) from error

    def _not_open(self) -> ArtifactError:
        return ArtifactError(f"{self.url} is not open; use the store within `async with`")

    def _address(self, key: str) -> str:
        return f"{self.bucket.address}/{key}".rstrip("/")


def _artifact(key: str, found: StoredObject) -> Artifact:
    assert found.sha256 is not None
    return Artifact(key=key, size=found.size, sha256=found.sha256, modified_at=found.modified_at)
