"""The bucket used as a coordinator and a worker use it, and its rules."""

from __future__ import annotations

import asyncio
import secrets
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from heliostat_gcp.artifacts import GcsArtifactStore
from heliostat_gcp.deploy.findings import Failed
from heliostat_gcp.options import GcsOptions

if TYPE_CHECKING:
    from heliostat_gcp.deploy.google import Google


def check_bucket(url: str) -> str:
    """Write, read and delete. Raises ArtifactError and Misconfigured."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "source")
        source.write_bytes(b"hello")
        asyncio.run(_use(url, source))
    return f"{url} can be written to, read and cleared"


async def _use(url: str, source: Path) -> None:
    key = f"control/doctor/{secrets.token_hex(8)}"
    async with GcsArtifactStore(GcsOptions(url=url)) as store:
        await store.put(key, source)
        await store.get(key, source.with_name("again"))
        await store.delete(key)


def check_lifecycle(google: Google, url: str, again: str) -> str:
    """Raises Failed, and errors of Google's libraries."""
    name = url.partition("://")[2].partition("/")[0]
    bucket = google.storage.get_bucket(name)
    rules = [dict(rule) for rule in bucket.lifecycle_rules]
    if not any(_clears_messages(rule) for rule in rules):
        raise Failed(f"messages of dead coordinators stay in {url} for ever; {again}")
    if not bucket.iam_configuration.uniform_bucket_level_access_enabled:
        raise Failed(f"objects of {url} have access lists of their own; {again}")
    if bucket.iam_configuration.public_access_prevention != "enforced":
        raise Failed(f"{url} may be made public; {again}")
    return "messages expire, and nobody is let in but by the bucket's policy"


def _clears_messages(rule: dict[str, Any]) -> bool:
    """Under whatever prefix of the bucket a store may be."""
    return rule["action"]["type"] == "Delete" and set(rule.get("condition", {})) in ({"age"}, {"daysSinceCustomTime"})
