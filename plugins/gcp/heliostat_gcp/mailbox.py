"""How a coordinator and the tasks of its executions talk: in the bucket, since a task of a job cannot be called.

Everything lies under `control/<session>/` of the store, where a session is an adapter that is open. What is left of one
that was killed, the bucket's lifecycle rule deletes by the custom time that all messages have.

| object | written by | what it is |
|---|---|---|
| `in/<batch>/requests/<n>` | coordinator | request lines of the wire format, those of tasks 100 n to 100 n + 99 |
| `in/<batch>/cancel/<task>` | coordinator | is there: the task is to end |
| `in/alive` | coordinator | replaced every minute; tasks end that see it unchanged for long |
| `out/<batch>/<task>/<n>` | task | its nth report: frames in the metadata, log lines as messages of the wire format |
| `out/<batch>/<task>/result` | task | the result's message; the metadata tells how many reports there were |

One listing of `out/` tells all frames of all tasks. What has been read is deleted, so listings stay short.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from heliostat.errors import ArtifactError
from heliostat.worker import transfer_all

if TYPE_CHECKING:
    from heliostat_gcp.artifacts import GcsArtifactStore
    from heliostat_gcp.gcs_objects import GcsObject, GcsObjects

TOGETHER: Final = 100
"""Requests in one object: few enough that a task reads little that is not meant for it."""
ALIVE_EVERY: Final = 60.0
"""Seconds between signs of life of a coordinator."""
_FRAMES: Final = "heliostat-frames"
_REPORTS: Final = "heliostat-reports"

logger = logging.getLogger("heliostat.gcp")


class Letter(Struct, frozen=True, kw_only=True):
    """What a task has said."""

    batch: int
    task: int
    frames: float | None = None
    lines: bytes = b""
    """Messages of the wire format."""
    reports: int | None = None
    """With the result: how many reports came before it."""


class Mailbox:
    """The coordinator's side. All methods raise ArtifactError."""

    def __init__(self, store: GcsArtifactStore, session: str) -> None:
        self._store = store
        self._root = f"control/{session}"
        self._read: set[tuple[str, str]] = set()
        """Keys and versions of letters that were read and could not be deleted yet."""

    async def post(self, batch: int, requests: Sequence[bytes]) -> None:
        """Leave the requests of a batch where its tasks find them."""
        shards = [(n, b"".join(requests[n : n + TOGETHER])) for n in range(0, len(requests), TOGETHER)]

        async def put(shard: tuple[int, bytes]) -> None:
            await self._put(f"in/{batch}/requests/{shard[0] // TOGETHER}", shard[1])

        await transfer_all(put, shards)

    async def withdraw(self, batch: int) -> None:
        """Take the requests of a batch back."""
        await self._store.delete(f"{self._root}/in/{batch}/requests/")

    async def cancel(self, batch: int, tasks: Sequence[int]) -> None:
        async def mark(task: int) -> None:
            await self._put(f"in/{batch}/cancel/{task}", b"")

        await transfer_all(mark, tasks)

    async def live(self) -> None:
        """Give a sign of life."""
        await self._put("in/alive", b"")

    async def collect(self) -> list[Letter]:
        """What has come since the last time, in order for each task; once, also when it cannot be deleted yet."""
        prefix = self._store.bucket.object_prefix(f"{self._root}/out/")

        def look(objects: GcsObjects) -> list[GcsObject]:
            found: list[GcsObject] = []
            start = None
            while True:
                page = objects.page(prefix, start)
                found += page.objects  # type: ignore[arg-type]
                if page.next is None:
                    return found
                start = page.next

        found = await self._store.on_objects(look)
        news = [each for each in found if (each.key, each.version) not in self._read]
        opened = await transfer_all(self._open, news)
        letters = [letter for letter in opened if letter is not None]
        gone = {each.key for each, letter in zip(news, opened, strict=True) if letter is None}
        read = [each for each in found if each.key not in gone]
        self._read = {(each.key, each.version) for each in read}

        async def delete(some: list[GcsObject]) -> None:
            await self._store.on_objects(lambda objects: objects.delete(some))
            self._read -= {(each.key, each.version) for each in some}

        try:
            await transfer_all(delete, [read[n : n + TOGETHER] for n in range(0, len(read), TOGETHER)])
        except ArtifactError as error:
            logger.warning("messages of tasks cannot be deleted yet: %s", error)
        return letters

    async def clear(self) -> None:
        """Delete all that is left of the session."""
        await self._store.delete(f"{self._root}/")

    async def _open(self, found: GcsObject) -> Letter | None:
        """None when it was written again since it was found: then it is found once more."""
        *_, batch, task, _ = found.key.split("/")
        body = await self._store.on_objects(lambda objects: objects.content(found)) if found.size else b""
        if body is None:
            return None
        frames, reports = found.metadata.get(_FRAMES), found.metadata.get(_REPORTS)
        return Letter(
            batch=int(batch),
            task=int(task),
            frames=None if frames is None else float(frames),
            lines=body,
            reports=None if reports is None else int(reports),
        )

    async def _put(self, key: str, content: bytes) -> None:
        object_key = self._store.bucket.object_key(f"{self._root}/{key}")
        await self._store.on_objects(lambda objects: objects.put(object_key, content, expires=True))


class Slot:
    """A task's side. `batch` is `<session>/<number>`. All methods raise ArtifactError."""

    def __init__(self, store: GcsArtifactStore, batch: str, task: int) -> None:
        session, _, number = batch.partition("/")
        self._store = store
        self._task = task
        self._in = f"control/{session}/in"
        self._mine = f"{self._in}/{number}"
        self._out = f"control/{session}/out/{number}/{task}"
        self.reports = 0
        """How many were sent."""

    async def request(self) -> bytes | None:
        """The task's own request line; None when it was withdrawn."""
        key = self._store.bucket.object_key(f"{self._mine}/requests/{self._task // TOGETHER}")
        shard: list[bytes] = []
        await self._store.on_objects(lambda objects: objects.read(key, shard.append))
        return b"".join(shard).splitlines(keepends=True)[self._task % TOGETHER] if shard else None

    async def is_cancelled(self) -> bool:
        return await self._find(f"{self._mine}/cancel/{self._task}") is not None

    async def last_sign(self) -> GcsObject | None:
        """The coordinator's sign of life, which has another version after each."""
        return await self._find(f"{self._in}/alive")

    async def report(self, frames: float | None, lines: bytes) -> None:
        metadata = {} if frames is None else {_FRAMES: str(frames)}
        await self._put(f"{self._out}/{self.reports:09d}", lines, metadata)
        self.reports += 1

    async def result(self, line: bytes) -> None:
        await self._put(f"{self._out}/result", line, {_REPORTS: str(self.reports)})

    async def _find(self, key: str) -> GcsObject | None:
        object_key = self._store.bucket.object_key(key)
        return await self._store.on_objects(lambda objects: objects.find(object_key))

    async def _put(self, key: str, content: bytes, metadata: dict[str, str]) -> None:
        object_key = self._store.bucket.object_key(key)
        await self._store.on_objects(lambda objects: objects.put(object_key, content, metadata=metadata, expires=True))
