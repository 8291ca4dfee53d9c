"""How a coordinator and the tasks of its executions talk: in the bucket, since a task of a job cannot be called.

Everything lies under `control/<session>/`, where a session is an adapter that is open; a lifecycle rule lets it expire.

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

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from msgspec import Struct

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

    async def post(self, batch: int, requests: Sequence[bytes]) -> None:
        """Leave the requests of a batch where its tasks find them."""
        shards = [(n, b"".join(requests[n : n + TOGETHER])) for n in range(0, len(requests), TOGETHER)]

        async def put(shard: tuple[int, bytes]) -> None:
            await self._put(f"in/{batch}/requests/{shard[0] // TOGETHER}", shard[1])

        await transfer_all(put, shards)

    async def cancel(self, batch: int, tasks: Sequence[int]) -> None:
        async def mark(task: int) -> None:
            await self._put(f"in/{batch}/cancel/{task}", b"")

        await transfer_all(mark, tasks)

    async def live(self) -> None:
        """Give a sign of life."""
        await self._put("in/alive", b"")

    async def collect(self) -> list[Letter]:
        """What has come since the last time, in order for each task."""
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
        letters = await transfer_all(self._open, found)
        if found:
            batches = [found[n : n + TOGETHER] for n in range(0, len(found), TOGETHER)]
            await transfer_all(lambda read: self._store.on_objects(lambda objects: objects.delete(read)), batches)
        return letters

    async def clear(self) -> None:
        """Delete all that is left of the session."""
        await self._store.delete(f"{self._root}/")

    async def _open(self, found: GcsObject) -> Letter:
        *_, batch, task, _ = found.key.split("/")
        body = await self._store.on_objects(lambda objects: objects.content(found)) if found.size else b""
        frames, reports = found.metadata.get(_FRAMES), found.metadata.get(_REPORTS)
        return Letter(
            batch=int(batch),
            task=int(task),
            frames=None if frames is None else float(frames),
            lines=body or b"",
            reports=None if reports is None else int(reports),
        )

    async def _put(self, key: str, content: bytes) -> None:
        object_key = self._store.bucket.object_key(f"{self._root}/{key}")
        await self._store.on_objects(lambda objects: objects.put(object_key, content))


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

    async def request(self) -> bytes:
        """The task's own request line."""
        key = self._store.bucket.object_key(f"{self._mine}/requests/{self._task // TOGETHER}")
        shard: list[bytes] = []
        await self._store.on_objects(lambda objects: objects.read(key, shard.append))
        return b"".join(shard).splitlines(keepends=True)[self._task % TOGETHER]

    async def is_cancelled(self) -> bool:
        return await self._find(f"{self._mine}/cancel/{self._task}") is not None

    async def last_sign(self) -> str | None:
        """Something else after each sign of life of the coordinator."""
        found = await self._find(f"{self._in}/alive")
        return None if found is None else found.version

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
        await self._store.on_objects(lambda objects: objects.put(object_key, content, metadata=metadata))
