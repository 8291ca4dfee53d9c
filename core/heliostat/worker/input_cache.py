"""Inputs that a worker has fetched, kept by content for the next attempts, up to a size."""

from __future__ import annotations

import asyncio
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from heliostat.contracts.artifacts import input_key
from heliostat.errors import ArtifactDenied, ArtifactError, AttemptError, Misconfigured, WorkerLost
from heliostat.model.codec import from_json
from heliostat.model.inputs import Manifest
from heliostat.worker.threads import in_thread
from heliostat.worker.transfers import transfer_all

if TYPE_CHECKING:
    from heliostat.contracts.artifacts import ArtifactStore


def lost_or_denied(what: str, error: ArtifactError) -> AttemptError:
    """What a store's error is to the attempt that needs it."""
    return (Misconfigured if isinstance(error, ArtifactDenied) else WorkerLost)(f"{what}: {error}")


class InputCache:
    """A folder of files named by their SHA-256.

    What was used longest ago goes first when all together are larger than `limit` bytes. Commands get copies, so none
    can spoil a file for the next one.
    """

    def __init__(self, store: ArtifactStore, folder: Path, limit: int) -> None:
        self._store = store
        self._folder = folder
        self._limit = limit
        self._turn = asyncio.Lock()
        """One attempt at a time: none may let go of a file that another is about to copy."""

    async def lay_out(self, manifest_key: str, job_dir: Path) -> None:
        """Put the job's inputs into its directory. Raises WorkerLost when the store does not give them, and
        Misconfigured when it never will."""
        async with self._turn:
            try:
                manifest = from_json(await in_thread((await self._kept(manifest_key)).read_bytes), Manifest)
                await transfer_all(self._kept, {input_key(entry.sha256) for entry in manifest.inputs})
            except ArtifactError as error:
                raise lost_or_denied("the inputs could not be fetched", error) from error
            await in_thread(lambda: self._copy(manifest, job_dir))
            await in_thread(self._shrink)

    async def _kept(self, key: str) -> Path:
        """The file of this key, which is fetched unless it is there."""
        kept = self._folder / key.rpartition("/")[2]
        if kept.exists():
            os.utime(kept)  # used now
        else:
            await self._store.get(key, kept)
        return kept

    def _copy(self, manifest: Manifest, job_dir: Path) -> None:
        for entry in manifest.inputs:
            target = job_dir / entry.path
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(self._folder / entry.sha256, target)
            if entry.executable:
                target.chmod(0o755)

    def _shrink(self) -> None:
        kept = [(path, path.stat()) for path in self._folder.iterdir()]
        size = sum(found.st_size for _, found in kept)
        for path, found in sorted(kept, key=lambda each: each[1].st_mtime_ns):
            if size <= self._limit:
                break
            path.unlink(missing_ok=True)
            size -= found.st_size
