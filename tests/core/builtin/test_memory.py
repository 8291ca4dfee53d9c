"""The repository in memory."""

from __future__ import annotations

import pytest

from heliostat import open_repository
from heliostat.testing.repository import JobRepositoryContract, job_of


class TestMemoryRepository(JobRepositoryContract):
    @pytest.fixture
    def under_test(self, tmp_path):
        return lambda: open_repository(f"memory:{tmp_path}")


async def test_handles_without_a_name_share_nothing():
    async with open_repository("memory:") as one, open_repository("memory:") as other:
        await one.create(job_of(1))
        assert await other.list() == []


async def test_the_jobs_of_a_name_are_gone_with_its_last_handle():
    async with open_repository("memory:name") as one:
        await one.create(job_of(1))
        async with open_repository("memory:name") as other:
            assert len(await other.list()) == 1
    del one, other
    async with open_repository("memory:name") as another:
        assert await another.list() == []
