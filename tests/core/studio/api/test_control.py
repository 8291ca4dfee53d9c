"""What can be asked of a job."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def test_a_job_is_paused_and_resumed(jobs: Any, waiting: str, until: Any) -> None:
    chunks = 200
    jobs.submit("paused", waiting, chunks=chunks, options={"concurrency": 1})
    until(lambda: jobs.begun)
    assert jobs.post("paused", "/pause").status_code == 202
    # It is heard of within a second; until then chunks are begun, and those are let finish.
    until(lambda: jobs.let(*jobs.begun) or jobs.state("paused") == "paused")
    paused = jobs.get("paused").json()
    assert paused["completedChunks"] == len(jobs.begun) < chunks
    assert paused["chunks"]["running"] == 0
    jobs.let()
    resumed = jobs.post("paused", "/resume")
    assert resumed.status_code == 202
    assert resumed.json()["state"] == "pending"
    jobs.until("paused", "completed")
    assert jobs.begun == dict.fromkeys(range(chunks), 1)


def test_failed_chunks_are_retried(jobs: Any, problem: Any) -> None:
    script = 'echo "$2" >>runs; [ "$2" = 0 ] || [ -e fixed ] || exit 3; echo >"$1"'
    jobs.submit("retried", script, chunks=3, options={"retries": 0, "failFast": False})
    assert jobs.until("retried", "failed")["completedChunks"] == 1
    (jobs.folder / "fixed").touch()
    assert jobs.post("retried", "/retry").status_code == 202
    jobs.until("retried", "completed")
    assert jobs.begun == {0: 1, 1: 2, 2: 2}
    for asked in ("retry", "resume", "pause", "cancel"):
        assert problem(jobs.post("retried", f"/{asked}")) == (409, "wrong-state"), asked


def test_a_job_is_cancelled_with_its_commands_and_deleted_with_its_logs(
    jobs: Any, waiting: str, until: Any, is_alive: Any, problem: Any
) -> None:
    jobs.submit("ended", f"echo words; {waiting}", chunks=2)
    commands = jobs.commands(0, 1)
    logs = Path(jobs.folder, ".heliostat/logs/ended")
    until(logs.is_dir)
    assert problem(jobs.http.delete("jobs/ended")) == (409, "wrong-state")
    assert jobs.post("ended", "/cancel").status_code == 202
    jobs.until("ended", "cancelled")
    assert not any(map(is_alive, commands))
    assert jobs.http.delete("jobs/ended").status_code == 204
    assert jobs.get("ended").status_code == 404
    assert not logs.exists()
    assert problem(jobs.http.delete("jobs/ended")) == (404, "job-not-found")


def test_a_job_that_is_not_there_is_told(jobs: Any, problem: Any) -> None:
    for asked in ("pause", "resume", "retry", "cancel"):
        assert problem(jobs.post("nowhere", f"/{asked}")) == (404, "job-not-found")
