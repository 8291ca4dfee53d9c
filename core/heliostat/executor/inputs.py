"""Sends a job's inputs to the artifact store, each content once, whichever job it belongs to."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from heliostat.contracts.artifacts import input_key
from heliostat.errors import SpecError
from heliostat.model.codec import to_json
from heliostat.model.inputs import Input, Manifest
from heliostat.worker.digest import sha256
from heliostat.worker.threads import in_thread
from heliostat.worker.transfers import transfer_all

if TYPE_CHECKING:
    from heliostat.contracts.artifacts import ArtifactStore


async def send_inputs(patterns: Sequence[str], job_dir: Path, store: ArtifactStore) -> str:
    """Store what is not there yet; returns the manifest's key. Raises SpecError for a pattern that finds nothing."""
    paths = await in_thread(lambda: sorted({path for pattern in patterns for path in _found(job_dir, pattern)}))

    async def send(path: Path) -> Input:
        described = await in_thread(lambda: _described(path, job_dir))
        await _send(path, input_key(described.sha256), store)
        return described

    listing = to_json(Manifest(tuple(await transfer_all(send, paths))))
    key = input_key(f"manifests/{hashlib.sha256(listing).hexdigest()}.json")
    with tempfile.NamedTemporaryFile(prefix="heliostat-") as file:
        file.write(listing)
        file.flush()
        await _send(Path(file.name), key, store)
    return key


async def _send(path: Path, key: str, store: ArtifactStore) -> None:
    if await store.stat(key) is None:
        await store.put(key, path, if_absent=True)


def _found(job_dir: Path, pattern: str) -> Iterator[Path]:
    """The files that a pattern means; a folder means all that is in it. What Heliostat itself keeps is left out."""
    found = False
    for match in job_dir.glob(pattern.rstrip("/")):
        for path in match.rglob("*") if match.is_dir() else [match]:
            if path.is_file() and not any(part.startswith(".heliostat") for part in path.relative_to(job_dir).parts):
                found = True
                yield path
    if not found:
        raise SpecError(f"{pattern!r} matches no file in {job_dir}; correct it, or take it out", path="$.inputs")


def _described(path: Path, job_dir: Path) -> Input:
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        return Input(
            path=path.relative_to(job_dir).as_posix(),
            size=size,
            sha256=sha256(file),
            executable=os.access(path, os.X_OK),
        )
