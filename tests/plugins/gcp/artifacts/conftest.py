"""Stores on a Cloud Storage that is as strict as Google's."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from strict_gcs import StrictGcs

from heliostat_gcp import gcs_retries
from heliostat_gcp.artifacts import GcsArtifactStore
from heliostat_gcp.options import GcsOptions


@pytest.fixture
def server(fake_gcs: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[StrictGcs]:
    """Cloud Storage, at the address that Google's libraries take from the environment."""
    monkeypatch.setattr(gcs_retries, "LONGEST_WAIT", 0.01)
    with StrictGcs(fake_gcs) as server:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", server.url)
        yield server


@pytest.fixture
def open_store(server: StrictGcs, bucket: Any) -> Callable[..., GcsArtifactStore]:
    """A new handle of the store in a part of the bucket, by default of the same one."""
    return lambda prefix="/heliostat": GcsArtifactStore(GcsOptions(url=f"gs://{bucket.name}{prefix}"))


@pytest.fixture
async def store(open_store: Callable[[], GcsArtifactStore]) -> AsyncIterator[GcsArtifactStore]:
    async with open_store() as store:
        yield store


@pytest.fixture
def film(tmp_path: Path) -> Path:
    path = tmp_path / "film"
    path.write_bytes(b"film")
    return path


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> Iterator[None]:
    yield
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("heliostat gcs")]
