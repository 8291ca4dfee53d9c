"""An artifact store holds inputs and outputs when the worker is not this machine."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from msgspec import Struct


class Artifact(Struct, frozen=True, kw_only=True, rename="camel"):
    """One stored file."""

    key: str
    """`/`-separated, relative to the store."""
    size: int
    """Bytes."""
    sha256: str
    modified_at: datetime
    """UTC."""


class ArtifactStore(ABC):
    """An async context manager. Keys are `/`-separated; a job's own keys begin with `jobs/<job id>/`."""

    url: str
    """The store's address, without a trailing slash. Settings may follow after a `?`."""

    def url_of(self, key: str) -> str:
        """An artifact's own address: the key follows the store's, before its settings."""
        place, mark, settings = self.url.partition("?")
        return f"{place}/{key}{mark}{settings}"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Let go of connections."""

    @abstractmethod
    async def put(self, key: str, source: Path, *, if_absent: bool = False) -> Artifact:
        """Store a file under a key, whole or not at all. With `if_absent`, what is there stays and is returned."""

    @abstractmethod
    async def get(self, key: str, destination: Path) -> Artifact:
        """Fetch a file; it appears whole and with the recorded digest, or not at all. Raises ArtifactError."""

    @abstractmethod
    async def stat(self, key: str) -> Artifact | None:
        """What is stored under a key, without its content."""

    @abstractmethod
    async def list(self, prefix: str = "") -> list[Artifact]:
        """All artifacts whose key begins with the prefix, by key."""

    @abstractmethod
    async def delete(self, prefix: str) -> int:
        """Delete all artifacts whose key begins with the prefix; returns how many there were."""


def input_key(sha256: str) -> str:
    """Where an input with this content lies, whichever jobs it belongs to."""
    return f"inputs/{sha256}"


def output_key(job_id: str, output_file: str, job_dir: str | os.PathLike[str] = "") -> str:
    """Where a chunk's output, a file of an output folder, or the film lies in an artifact store. `job_dir` is needed
    for an absolute path."""
    inside = os.path.relpath(output_file, job_dir) if os.path.isabs(output_file) else os.path.normpath(output_file)
    return f"jobs/{job_id}/{inside}"
