"""Inputs that a worker has fetched, kept by content for the next attempts, up to a size."""

from __future__ import annotations

import asyncio
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from heliostat.contracts.artifacts import input_key
from heliostat.errors import ArtifactError, WorkerLost
from heliostat.model.codec import from_json
from heliostat.model.inputs import Input, Manifest
from heliostat.worker.threads import in_thread

if TYPE_CHECKING:
    from heliostat.contracts.artifacts import ArtifactStore


class InputCache:
    """A folder of files named by their SHA-256.

    What was used longest ago goes first when all together are larger than `limit` bytes. Commands get copies, so none
    can spoil a file for the next one.
    """

    def __init__(self, store: ArtifactStore, folder: Path, limit: int) -> None:
        self._store = store
        self._folder = folder
        self._limit = limit
        self._locks: dict[str, asyncio.Lock] = {}

    async def lay_out(self, manifest_key: str, job_dir: Path) -> None:
        """Put the job's inputs into its directory. Raises WorkerLost when the store does not give them."""
        await in_thread(lambda: self._folder.mkdir(parents=True, exist_ok=True))
        try:
            listing = await self._copy(manifest_key, manifest_key.rpartition("/")[2], job_dir / ".heliostat-inputs")
            manifest = from_json(await in_thread(listing.read_bytes), Manifest)
            listing.unlink()
            for entry in manifest.inputs:
                await self._copy(input_key(entry.sha256), entry.sha256, job_dir / entry.path, entry)
        except ArtifactError as error:
            raise WorkerLost(f"the inputs could not be fetched: {error}") from error
        await in_thread(self._shrink)

    async def _copy(self, key: str, name: str, target: Path, entry: Input | None = None) -> Path:
        kept = self._folder / name
        async with self._locks.setdefault(name, asyncio.Lock()):
            if not kept.exists():
                await self._store.get(key, kept)

            def copy() -> None:
                os.utime(kept)  # used now
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(kept, target)
                if entry is not None and entry.executable:
                    target.chmod(0o755)

            await in_thread(copy)
        return target

    def _shrink(self) -> None:
        kept = [(path, path.stat()) for path in self._folder.iterdir()]
        size = sum(found.st_size for _, found in kept)
        for path, found in sorted(kept, key=lambda each: each[1].st_mtime_ns):
            if size <= self._limit:
                break
            path.unlink(missing_ok=True)
            size -= found.st_size
