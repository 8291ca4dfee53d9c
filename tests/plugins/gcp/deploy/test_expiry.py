"""What a deployed bucket deletes by itself, in stores with and without a prefix."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from heliostat_gcp.artifacts import GcsArtifactStore
from heliostat_gcp.mailbox import Mailbox, Slot
from heliostat_gcp.options import GcsOptions

from .conftest import BUCKET, Google


async def leave(url: str, film: Path) -> None:
    """What a job leaves whose coordinator and task are killed."""
    async with GcsArtifactStore(GcsOptions(url=url)) as store:
        mailbox, slot = Mailbox(store, "session"), Slot(store, "session/1", 0)
        await mailbox.live()
        await mailbox.post(1, [b"request\n"])
        await mailbox.cancel(1, [0])
        await slot.report(1.0, b"line\n")
        await slot.result(b"result\n")
        await store.put("jobs/job/film.mp4", film)


@pytest.mark.parametrize("prefix", ["", "/films/of ann"])
def test_messages_of_the_dead_expire_and_films_stay(deployed: Google, gcs: Any, tmp_path: Path, prefix: str) -> None:
    (tmp_path / "film").write_bytes(b"film")
    asyncio.run(leave(f"gs://{BUCKET}{prefix}", tmp_path / "film"))
    for days, left in ((6.9, 6), (7.1, 1)):
        deployed.buckets.pass_days(BUCKET, days)
        names = [blob.name for blob in gcs.list_blobs(BUCKET)]
        assert len(names) == left
    assert names == [f"{prefix}/jobs/job/film.mp4".lstrip("/")]
