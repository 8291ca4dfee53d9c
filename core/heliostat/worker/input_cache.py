"""Inputs that a worker has fetched, kept by content for the next attempts, up to a size."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from heliostat.contracts.artifacts import input_key
from heliostat.errors import ArtifactDenied, ArtifactError, AttemptError, Misconfigured, WorkerLost
from heliostat.model.codec import from_json
from heliostat.model.inputs import Input, Manifest
from heliostat.worker.threads import in_thread
from heliostat.worker.transfers import transfer_all

if TYPE_CHECKING:
    from heliostat.contracts.artifacts import ArtifactStore

T = TypeVar("T")


def lost_or_denied(what: str, error: ArtifactError) -> AttemptError:
    """What a store's error is to the attempt that needs it."""
    return (Misconfigured if isinstance(error, ArtifactDenied) else WorkerLost)(f"{what}: {error}")


class InputCache:
    """A folder of files named by their SHA-256, which the workers of a machine may share.

    What was used longest ago goes first when all together are larger than `limit` bytes. Commands get copies, so none
    can spoil a file for the next one. A file comes by a rename, whole, and is copied from an open handle: so nobody has
    to wait for those who add and delete at the same time, in this process or another. At worst one is fetched twice.
    """

    def __init__(self, store: ArtifactStore, folder: Path, limit: int) -> None:
        self._store = store
        self._folder = folder
        self._limit = limit
        self._turn = asyncio.Lock()
        """One attempt of this process at a time, so that the next finds what the first has fetched."""

    async def lay_out(self, manifest_key: str, job_dir: Path, own: Path) -> None:
        """Put the job's inputs into its directory. `own` is a folder of the attempt's on the same disk, where files
        arrive. Raises WorkerLost when the store does not give them, and Misconfigured when it never will."""
        async with self._turn:
            try:
                await in_thread(lambda: self._folder.mkdir(parents=True, exist_ok=True))
                (read,) = await self._use({manifest_key: Path.read_bytes}, own)
                manifest = from_json(read, Manifest)
                entries: dict[str, list[Input]] = {}
                for entry in manifest.inputs:
                    entries.setdefault(input_key(entry.sha256), []).append(entry)
                await self._use({key: partial(_copy, found, job_dir) for key, found in entries.items()}, own)
            except ArtifactError as error:
                raise lost_or_denied("the inputs could not be fetched", error) from error
            await in_thread(self._shrink)

    async def _use(self, uses: Mapping[str, Callable[[Path], T]], own: Path) -> list[T]:
        """What each makes of the file of its key, which is fetched unless it is there."""

        def use_kept() -> dict[str, T]:
            made = {}
            for key, use in uses.items():
                kept = self._kept(key)
                with contextlib.suppress(FileNotFoundError):
                    os.utime(kept)  # used now
                    made[key] = use(kept)
            return made

        async def fetch(key: str) -> None:
            new = own / self._kept(key).name
            await self._store.get(key, new)
            made[key] = await in_thread(lambda: uses[key](new))  # before others can delete it
            await in_thread(lambda: os.replace(new, self._kept(key)))

        made = await in_thread(use_kept)
        await transfer_all(fetch, [key for key in uses if key not in made])
        return [made[key] for key in uses]

    def _kept(self, key: str) -> Path:
        return self._folder / key.rpartition("/")[2]

    def _shrink(self) -> None:
        kept = []
        for path in self._folder.iterdir():
            with contextlib.suppress(FileNotFoundError):  # somebody else was quicker
                kept.append((path, path.stat()))
        size = sum(found.st_size for _, found in kept)
        for path, found in sorted(kept, key=lambda each: each[1].st_mtime_ns):
            if size <= self._limit:
                break
            path.unlink(missing_ok=True)
            size -= found.st_size


def _copy(entries: Sequence[Input], job_dir: Path, source: Path) -> None:
    """The file under each name that it has. Raises FileNotFoundError where it is not there."""
    for entry in entries:
        target = job_dir / entry.path
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
        if entry.executable:
            target.chmod(0o755)
