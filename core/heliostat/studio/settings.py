"""What a Studio was started with."""

from __future__ import annotations

from pathlib import Path

from msgspec import Struct


class StudioSettings(Struct, frozen=True, kw_only=True):
    db: str
    """The URL of the repository."""
    directory: Path
    """Uploads, and jobs that were submitted without a job directory, get folders of their own in it."""
    host: str = "127.0.0.1"
    """A name or an address to listen at."""
    port: int = 8470
    """0 for a free one."""
    jobs_at_once: int = 1
    token: str | None = None
    """What callers must show; None where none is asked for."""
    allow_submit: bool = False
    """Whether callers on other machines may submit jobs, which run commands on this one."""
    allow_hosts: tuple[str, ...] = ()
    """Further names under which callers may reach it."""
    max_upload: int = 256 << 20
    """Bytes that a submission may have."""
