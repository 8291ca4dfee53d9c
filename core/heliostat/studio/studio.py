"""What the pages and the API work on: the jobs, and the process that runs them."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from heliostat import JobManager, JobRepository
    from heliostat.studio.coordinator import Coordinator
    from heliostat.studio.settings import StudioSettings


@dataclass(frozen=True, kw_only=True)
class Studio:
    """One for the life of the web process."""

    settings: StudioSettings
    repository: JobRepository
    """Open."""
    manager: JobManager
    """Without an executor: it submits, watches and controls."""
    coordinator: Coordinator
    ending: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when the web process is about to end: whatever streams stops."""
