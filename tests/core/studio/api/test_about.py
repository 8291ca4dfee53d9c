"""What this Studio is, what is installed, and its figures."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

import heliostat


def test_the_version_is_told(jobs: Any) -> None:
    assert jobs.http.get("version").json() == {"version": heliostat.__version__}


def test_plugins_are_told_as_the_command_line_tells_them(jobs: Any) -> None:
    said = subprocess.run(
        [sys.executable, "-m", "heliostat", "plugins", "--json"],
        env={**os.environ, "HELIOSTAT_PLUGINS": ""},
        check=True,
        capture_output=True,
    )
    assert jobs.http.get("plugins").json()["plugins"] == json.loads(said.stdout)


def figures(jobs: Any) -> dict[tuple[str, str], float]:
    """By name and label."""
    answer = jobs.http.get("metrics")
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    return {
        (sample.name, next(iter(sample.labels.values()), "")): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def test_figures_tell_of_jobs_attempts_and_failures_and_never_fall(jobs: Any, waiting: str, until: Any) -> None:
    before = figures(jobs)
    jobs.submit("counted", waiting, chunks=3, options={"concurrency": 2})
    jobs.submit("broken", "exit 3", chunks=1, output="broken/{chunk}", options={"retries": 1, "retryDelay": 0})
    jobs.until("broken", "failed")
    jobs.let(0)
    until(lambda: jobs.get("counted").json()["chunks"] == {"pending": 0, "running": 2, "succeeded": 1, "failed": 0})
    during = figures(jobs)
    assert during["heliostat_coordinator_up", ""] == 1
    assert during["heliostat_jobs", "running"] >= 1
    assert during["heliostat_chunks", "running"] >= 2
    jobs.let()
    jobs.until("counted", "completed")
    after = figures(jobs)

    def rise(name: str, label: str = "") -> float:
        return after[name, label] - before.get((name, label), 0)

    assert rise("heliostat_attempts_total") >= 5
    assert rise("heliostat_frames_total") >= 15
    assert rise("heliostat_attempt_failures_total", "command_failed") >= 2
    assert rise("heliostat_jobs", "completed") >= 1
    for name in ("counted", "broken"):
        assert jobs.http.delete(f"jobs/{name}").status_code == 204
    deleted = figures(jobs)
    for (name, label), value in after.items():
        if name.endswith("_total"):
            assert deleted[name, label] >= value, name
