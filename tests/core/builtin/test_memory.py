"""The repository in memory."""

from __future__ import annotations

from heliostat import open_repository
from heliostat.testing.repository import JobRepositoryContract


class TestMemoryRepository(JobRepositoryContract):
    shared = False

    def open_store(self, place):
        return open_repository("memory:")
