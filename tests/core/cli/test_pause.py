"""`heliostat pause` and `heliostat cancel`, on jobs that another process runs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

Heliostat = Callable[..., Any]
JobFile = Callable[..., Path]
Until = Callable[[Callable[[], object]], None]

WAITS = 'touch "began$2"; while [ ! -e go ]; do sleep 0.05; done; echo done > "$1"'


def test_pausing_from_elsewhere_lets_running_chunks_finish(
    program: Callable[..., Any], heliostat: Heliostat, job_file: JobFile, tmp_path: Path, until: Until
) -> None:
    # The later chunks take a while, so that the job cannot be over before its process looks for wishes.
    job = job_file(f'{WAITS}; test "$2" -lt 2 || sleep 0.2', chunks=60)
    running = program("render", job, "--id", "j1", "-n", "2")
    until(lambda: (tmp_path / "began1").exists())
    asked = heliostat("pause", "j")
    assert (asked.status, asked.out) == (0, "job j1 pauses when its running chunks have finished\n")
    (tmp_path / "go").touch()
    assert heliostat("pause", "j1", "--wait").out == "job j1 is paused\n"
    done = running.end()
    assert done.status == 4
    assert "go on with: heliostat resume j1" in done.err
    counts = heliostat("show", "j1", "--json").json["chunks"]
    assert counts["running"] == 0
    assert counts["succeeded"] >= 2


def test_cancelling_from_elsewhere_ends_running_chunks(
    program: Callable[..., Any], heliostat: Heliostat, job_file: JobFile, tmp_path: Path, until: Until
) -> None:
    running = program("render", job_file(WAITS, chunks=5), "--id", "j1")
    until(lambda: (tmp_path / "began0").exists())
    asked = heliostat("cancel", "j1", "--wait")
    assert (asked.status, asked.out) == (0, "job j1 is cancelled\n")
    assert running.end().status == 3


def test_pending_jobs_are_paused_and_cancelled_at_once(heliostat: Heliostat, job_file: JobFile) -> None:
    for id_ in ("a", "b"):
        heliostat("submit", job_file(), "--id", id_)
    assert heliostat("pause", "a").out == "job a is paused\n"
    assert heliostat("cancel", "a", "b").out == "job a is cancelled\njob b is cancelled\n"


def test_asking_twice_changes_nothing(heliostat: Heliostat, job_file: JobFile) -> None:
    heliostat("submit", job_file(), "--id", "a")
    for verb, state in (("pause", "paused"), ("cancel", "cancelled")):
        for _ in range(2):
            asked = heliostat(verb, "a")
            assert (asked.status, asked.out) == (0, f"job a is {state}\n")


def test_what_has_ended_cannot_be_paused(heliostat: Heliostat, job_file: JobFile) -> None:
    heliostat("render", job_file(), "--id", "j1")
    done = heliostat("pause", "j1")
    assert done.status == 2
    assert done.err == "heliostat: error: job j1 is completed; only a pending or running job can be paused\n"
