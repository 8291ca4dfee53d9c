"""The list of jobs, one job, and its specification."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest


def test_jobs_are_listed_the_newest_first_filtered_and_in_pages(jobs: Any) -> None:
    for index in range(5):
        script = "exit 3" if index % 2 else 'echo >"$1"'
        more = {"name": f"Listed {index}", "output": f"{index}/{{chunk}}", "options": {"retries": 0}}
        jobs.submit(f"listed-{index}", script, chunks=1, **more)
    for index in range(5):
        jobs.until(f"listed-{index}", "failed" if index % 2 else "completed")

    def ids(**query: Any) -> tuple[list[str], int]:
        page = jobs.http.get("jobs", params={"name": "lIsTeD ", **query}).json()
        assert all("chunks" not in job["spec"] for job in page["jobs"])
        return [job["id"].removeprefix("listed-") for job in page["jobs"]], page["total"]

    assert ids() == (["4", "3", "2", "1", "0"], 5)
    assert ids(state="failed") == (["3", "1"], 2)
    assert ids(state=["failed", "completed"]) == (["4", "3", "2", "1", "0"], 5)
    assert ids(state="running") == ([], 0)
    assert ids(limit=2) == (["4", "3"], 5)
    assert ids(limit=2, offset=4) == (["0"], 5)
    assert ids(offset=9) == ([], 5)


@pytest.mark.parametrize(
    ("query", "path"),
    [({"state": "lost"}, "state.0"), ({"limit": 0}, "limit"), ({"limit": "x"}, "limit"), ({"offset": -1}, "offset")],
)
def test_what_is_asked_wrongly_is_told(query: dict[str, Any], path: str, jobs: Any, problem: Any) -> None:
    answer = jobs.http.get("jobs", params=query)
    assert problem(answer) == (422, "invalid")
    assert answer.json()["path"] == path


def test_a_job_is_shown_as_the_command_line_shows_it(jobs: Any, studio: Any) -> None:
    failing = 'if [ "$2" = 1 ]; then echo "the lens is cracked" >&2; exit 3; fi; echo >"$1"'
    jobs.submit("shown", failing, chunks=3, options={"retries": 0, "failFast": False})
    told = jobs.until("shown", "failed")
    said = subprocess.run(
        [sys.executable, "-m", "heliostat", "show", "shown", "--json", "--db", studio.db],
        env={**os.environ, "HELIOSTAT_PLUGINS": ""},
        check=True,
        capture_output=True,
    )
    assert told == json.loads(said.stdout)
    assert told["chunks"] == {"pending": 0, "running": 0, "succeeded": 2, "failed": 1}
    assert told["failedChunks"][0]["lastWords"] == ["the lens is cracked"]


def test_a_job_that_is_not_there_is_told(jobs: Any, problem: Any) -> None:
    for path in ("", "/spec", "/chunks", "/attempts", "/events", "/film", "/poster", "/chunks/0/output"):
        assert problem(jobs.get("nowhere", path)) == (404, "job-not-found"), path


def test_a_specification_is_given_back_whole(jobs: Any, studio: Any) -> None:
    jobs.submit("whole", chunks=7)
    spec = jobs.get("whole", "/spec").json()
    assert [chunk["startFrame"] for chunk in spec["chunks"]] == [0, 5, 10, 15, 20, 25, 30]
    assert spec["metadata"]["totalFrames"] == 35
    answer = jobs.http.post("jobs", json={"job": {**spec, "id": "again"}, "jobDir": str(jobs.folder)})
    assert answer.status_code == 201
    assert jobs.get("again", "/spec").json() == {**spec, "id": "again"}
