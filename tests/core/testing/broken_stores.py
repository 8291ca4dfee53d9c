"""Artifact stores that break one promise each, run by the contract suite in a process of its own
(see test_artifacts.py)."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from heliostat import Artifact
from heliostat.builtin.file_artifacts import FileArtifactOptions, FileArtifactStore
from heliostat.errors import ArtifactError
from heliostat.testing import ArtifactStoreContract


class Suite(ArtifactStoreContract):
    store = FileArtifactStore
    many = 60
    large = 1 << 20

    @pytest.fixture
    def under_test(self, tmp_path):
        return lambda: self.store(FileArtifactOptions(url=f"file://{tmp_path}/store"))


class Greedy(FileArtifactStore):
    """Does not know `if_absent`."""

    async def put(self, key: str, source: Path, *, if_absent: bool = False) -> Artifact:
        return await super().put(key, source)


class TestGreedy(Suite):
    store = Greedy


class Halving(FileArtifactStore):
    """Serves the first half of large artifacts, as if it were all."""

    async def get(self, key: str, destination: Path) -> Artifact:
        artifact = await super().get(key, destination)
        if artifact.size >= Suite.large:
            destination.write_bytes(destination.read_bytes()[: artifact.size // 2])
        return artifact


class TestHalving(Suite):
    store = Halving


class Paging(FileArtifactStore):
    """Lists the first page."""

    async def list(self, prefix: str = "") -> list[Artifact]:
        return (await super().list(prefix))[:50]


class TestPaging(Suite):
    store = Paging


class Foldered(FileArtifactStore):
    """Takes a prefix for the name of a folder."""

    async def list(self, prefix: str = "") -> list[Artifact]:
        folder = prefix.rstrip("/")
        found = await super().list(prefix)
        return [artifact for artifact in found if not folder or f"{artifact.key}/".startswith(f"{folder}/")]


class TestFoldered(Suite):
    store = Foldered


class Abrupt(FileArtifactStore):
    """Lets foreign errors through."""

    async def get(self, key: str, destination: Path) -> Artifact:
        try:
            return await super().get(key, destination)
        except ArtifactError:
            raise KeyError(key) from None


class TestAbrupt(Suite):
    store = Abrupt


class Direct(FileArtifactStore):
    """Writes at the destination itself."""

    async def get(self, key: str, destination: Path) -> Artifact:
        destination.parent.mkdir(parents=True, exist_ok=True)
        destination.write_bytes(b"")
        await asyncio.sleep(0)
        return await super().get(key, destination)


class TestDirect(Suite):
    store = Direct


class Leaving(FileArtifactStore):
    """Stores what arrived so far when a put is cancelled."""

    async def put(self, key: str, source: Path, *, if_absent: bool = False) -> Artifact:
        try:
            await asyncio.sleep(0)
            return await super().put(key, source, if_absent=if_absent)
        except asyncio.CancelledError:
            target = self._path(key)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.unlink(missing_ok=True)
            target.write_bytes(source.read_bytes()[:1000])
            raise


class TestLeaving(Suite):
    store = Leaving


class Trusting(FileArtifactStore):
    """Takes any key, and makes one of its own of it."""

    async def put(self, key: str, source: Path, *, if_absent: bool = False) -> Artifact:
        try:
            return await super().put(key, source, if_absent=if_absent)
        except ArtifactError:
            if not source.exists():
                raise
            return await super().put(f"root/{key.replace('/', '').replace('.', '')}", source)


class TestTrusting(Suite):
    store = Trusting
