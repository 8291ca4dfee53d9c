"""`heliostat jobs`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

Heliostat = Callable[..., Any]
JobFile = Callable[..., Path]


def test_lists_the_newest_first_as_a_table(heliostat: Heliostat, job_file: JobFile) -> None:
    heliostat("render", job_file(name="first"), "--id", "a1")
    heliostat("submit", job_file(name="second", chunks=3), "--id", "b22")
    done = heliostat("jobs")
    assert done.status == 0
    rows = [line.split() for line in done.out.splitlines()]
    assert rows[0] == ["id", "name", "state", "frames", "chunks", "submitted"]
    assert [row[:6] for row in rows[1:]] == [
        ["b22", "second", "pending", "0", "%", "0/3"],
        ["a1", "first", "completed", "100", "%", "2/2"],
    ]


def test_json_has_the_same_and_more(heliostat: Heliostat, job_file: JobFile, tmp_path: Path) -> None:
    heliostat("submit", job_file(), "--id", "a1", "--retries", "7")
    (job,) = heliostat("jobs", "--json").json
    assert job["id"] == "a1"
    assert job["state"] == "pending"
    assert job["progress"] == 0
    assert job["orphaned"] is False
    assert job["settings"]["retries"] == 7
    assert job["spec"]["metadata"]["totalFrames"] == 10
    assert job["jobDir"] == str(tmp_path)


def test_by_state_and_up_to_a_limit(heliostat: Heliostat, job_file: JobFile) -> None:
    for id_ in ("a", "b", "c"):
        heliostat("submit", job_file(), "--id", id_)
    heliostat("cancel", "b")
    assert [job["id"] for job in heliostat("jobs", "--json", "--state", "pending").json] == ["c", "a"]
    states = ("--state", "cancelled", "--state", "pending")
    assert len(heliostat("jobs", "--json", *states).json) == 3
    assert [job["id"] for job in heliostat("jobs", "--json", "--limit", "1").json] == ["c"]
    assert heliostat("jobs", "--state", "lost").status == 2


def test_none_is_said(heliostat: Heliostat) -> None:
    assert heliostat("jobs").out == "no jobs\n"
    assert heliostat("jobs", "--json").json == []
