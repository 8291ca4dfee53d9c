"""The chunks of a job and their attempts."""

from __future__ import annotations

from typing import Any

import pytest

SCRIPT = """
if [ "$2" = 3 ]; then exit 5; fi
if [ "$2" = 1 ] && [ ! -e again ]; then touch again; exit 4; fi
echo >"$1"
"""
"""Chunk 3 always fails, chunk 1 once."""


@pytest.fixture
def mixed(jobs: Any) -> Any:
    jobs.submit("mixed", SCRIPT, chunks=5, options={"retries": 1, "retryDelay": 0, "failFast": False, "concurrency": 1})
    jobs.until("mixed", "failed")
    yield jobs
    assert jobs.http.delete("jobs/mixed").status_code == 204


def test_chunks_and_attempts_are_listed_filtered_and_in_pages(mixed: Any, problem: Any) -> None:
    def chunks(**query: Any) -> tuple[list[int], int]:
        page = mixed.get("mixed", "/chunks", params=query).json()
        return [chunk["index"] for chunk in page["chunks"]], page["total"]

    assert chunks() == ([0, 1, 2, 3, 4], 5)
    assert chunks(state="failed") == ([3], 1)
    assert chunks(state="succeeded", limit=2, offset=1) == ([1, 2], 4)
    assert chunks(offset=5) == ([], 5)
    page = mixed.get("mixed", "/chunks", params={"limit": 1, "offset": 3}).json()["chunks"]
    assert page[0] | {"attempts": 2, "startFrame": 15, "frameCount": 5, "outputFile": "out/3.txt"} == page[0]

    def attempts(**query: Any) -> tuple[list[tuple[int, int]], bool]:
        page = mixed.get("mixed", "/attempts", params=query).json()
        return [(one["index"], one["number"]) for one in page["attempts"]], page["more"]

    assert attempts() == ([(0, 1), (1, 1), (1, 2), (2, 1), (3, 1), (3, 2), (4, 1)], False)
    assert attempts(chunk=1) == ([(1, 1), (1, 2)], False)
    assert attempts(state="failed") == ([(1, 1), (3, 1), (3, 2)], False)
    assert attempts(state="failed", chunk=3, limit=1) == ([(3, 1)], True)
    assert attempts(limit=3, offset=4) == ([(3, 1), (3, 2), (4, 1)], False)
    assert attempts(chunk=99) == ([], False)

    for query in ({"limit": 0}, {"limit": 10_001}, {"state": "lost"}, {"offset": 2**31}):
        assert problem(mixed.get("mixed", "/chunks", params=query)) == (422, "invalid")
