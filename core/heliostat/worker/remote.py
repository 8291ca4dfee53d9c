"""Chunks on a worker that does not share the coordinator's files: inputs from the artifact store, outputs into it."""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from heliostat.contracts.artifacts import output_key
from heliostat.errors import ArtifactError
from heliostat.worker.input_cache import InputCache, lost_or_denied
from heliostat.worker.runtime import heartbeats, run_chunk
from heliostat.worker.threads import in_thread
from heliostat.worker.transfers import transfer_all

if TYPE_CHECKING:
    from heliostat.contracts.artifacts import ArtifactStore
    from heliostat.contracts.worker import ChunkReport, ChunkRequest
    from heliostat.model.result import ChunkResult, Output
    from heliostat.worker.warden import Warden


class RemoteWorker:
    """Runs chunks in folders of their own below `root`, each removed when its attempt is over; inputs are kept there
    for later attempts, up to `cache_limit` bytes."""

    def __init__(self, store: ArtifactStore, root: Path, *, cache_limit: int) -> None:
        self.store = store
        self._root = root
        self._cache = InputCache(store, root / "inputs", cache_limit)
        self._sweeping = asyncio.Lock()
        self._is_swept = False

    async def run(
        self, request: ChunkRequest, report: ChunkReport, *, grace: float = 5.0, warden: Warden | None = None
    ) -> ChunkResult:
        """Run one attempt, as `run_chunk` does; `request.job_dir` is the coordinator's and need not exist here."""
        async with self._sweeping:  # those that begin at the same time must not be taken for leftovers
            if not self._is_swept:
                await in_thread(lambda: _sweep(self._root))
                self._is_swept = True
        folder = Path(await in_thread(lambda: tempfile.mkdtemp(prefix=f"attempt-{os.getpid()}-", dir=self._root)))
        try:
            job_dir = folder / "job"
            for each in (job_dir, folder / "inputs", folder / "tmp"):
                each.mkdir()
            if request.inputs is not None:
                await self._cache.lay_out(request.inputs, job_dir, folder / "inputs")
            result = await run_chunk(_moved(request, job_dir, folder / "tmp"), report, grace=grace, warden=warden)
            with heartbeats(report):
                outputs = await self._store_outputs(request, job_dir, result.outputs)
            return msgspec.structs.replace(result, outputs=outputs)
        finally:
            await in_thread(lambda: shutil.rmtree(folder, ignore_errors=True))

    async def _store_outputs(
        self, request: ChunkRequest, job_dir: Path, outputs: tuple[Output, ...]
    ) -> tuple[Output, ...]:
        async def put(output: Output) -> Output:
            key = output_key(request.job_id, output.path)
            await self.store.put(key, job_dir / output.path)
            return msgspec.structs.replace(output, path=_as_named(output.path, request), url=self.store.url_of(key))

        try:
            return tuple(await transfer_all(put, outputs))
        except ArtifactError as error:
            raise lost_or_denied("an output could not be stored", error) from error


class RemoteWorkers:
    """A RemoteWorker for each artifact store that requests name, kept with its connections and its inputs."""

    def __init__(self, open_store: Callable[[str], ArtifactStore], root: Path, *, cache_limit: int) -> None:
        """`open_store` is `heliostat.open_artifact_store`, which a worker may not know; `cache_limit`: bytes of inputs
        of each store."""
        self._open_store = open_store
        self._root = root
        self._cache_limit = cache_limit
        self._workers: dict[str, RemoteWorker] = {}
        self._resources = AsyncExitStack()
        self._turn = asyncio.Lock()

    async def of(self, url: str) -> RemoteWorker:
        """Raises PluginError, Misconfigured and ArtifactError where the store cannot be opened."""
        async with self._turn:
            if url not in self._workers:
                store = await self._resources.enter_async_context(self._open_store(url))
                root = self._root / hashlib.sha256(url.encode()).hexdigest()[:16]
                self._workers[url] = RemoteWorker(store, root, cache_limit=self._cache_limit)
            return self._workers[url]

    async def close(self) -> None:
        self._workers.clear()
        await self._resources.aclose()


def _sweep(root: Path) -> None:
    """Remove what workers have left that were killed."""
    root.mkdir(parents=True, exist_ok=True)
    for folder in root.glob("attempt-*-*"):
        pid = int(folder.name.split("-")[1])
        if pid == os.getpid() or not _lives(pid):  # in a container, all have had the same
            shutil.rmtree(folder, ignore_errors=True)


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # it does, and is somebody else's
        return True
    return True


def _moved(request: ChunkRequest, job_dir: Path, tmp: Path) -> ChunkRequest:
    """The request as it is to be run in another directory: absolute paths inside the coordinator's lead there."""
    elsewhere = request.job_dir.rstrip("/") or "/"
    inside = re.compile(rf"(^|=){re.escape(elsewhere)}(?=/|$)")

    def moved(text: str) -> str:
        if elsewhere == "/":  # every path is in there, those of programs too
            return text
        return inside.sub(lambda match: f"{match[1]}{job_dir}", text)

    output = request.chunk.output_file
    relative = os.path.relpath(output, elsewhere) + "/" * output.endswith("/") if os.path.isabs(output) else output
    return msgspec.structs.replace(
        request,
        chunk=msgspec.structs.replace(request.chunk, output_file=relative),
        command=[moved(argument) for argument in request.command],
        env={"TMPDIR": str(tmp), **{name: moved(value) for name, value in request.env.items()}},
        job_dir=str(job_dir),
    )


def _as_named(path: str, request: ChunkRequest) -> str:
    """An output's path as the specification has it."""
    return os.path.join(request.job_dir, path) if os.path.isabs(request.chunk.output_file) else path
