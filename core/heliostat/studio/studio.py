"""What the pages and the API work on: the jobs, and the process that runs them."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from heliostat.studio.posters import Posters
from heliostat.studio.totals import Totals

if TYPE_CHECKING:
    from heliostat import JobManager, JobRepository
    from heliostat.studio.coordinator import Coordinator
    from heliostat.studio.feed import Feeds
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
    feeds: Feeds
    """What jobs tell, for the API."""
    posters: Posters = field(default_factory=Posters)
    totals: Totals = field(default_factory=Totals)
    ending: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when the web process is about to end: whatever streams stops."""
