"""`heliostat show`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

from heliostat import ChunkRequest, JobExecutionOptions, JobExecutor, JobManager, JobSpec, open_repository
from heliostat.errors import CommandFailed
from heliostat.testing import ScriptedWorker

Heliostat = Callable[..., Any]
JobFile = Callable[..., Path]


def facts(out: str) -> dict[str, str]:
    return {line[:10].strip(): line[11:] for line in out.splitlines() if line[:10].strip()}


def test_tells_state_progress_counts_and_place(heliostat: Heliostat, job_file: JobFile, tmp_path: Path) -> None:
    heliostat("render", job_file(), "--id", "abc1")
    done = heliostat("show", "abc1")
    assert done.status == 0
    told = facts(done.out)
    assert told["job"] == "abc1"
    assert told["name"] == "film"
    assert told["state"] == "completed"
    assert told["chunks"] == "100 % done: 2 succeeded"
    assert told["frames"] == "100 % done: 10 of 10"
    assert told["work"].startswith("2 attempts, 0 retries, ")
    assert told["worker"] == "local"
    assert told["directory"] == str(tmp_path)
    assert "go on with" not in told


def test_tells_failures_by_cause_and_the_end_of_stderr(heliostat: Heliostat, job_file: JobFile) -> None:
    job = job_file("echo boom >&2; exit 3", chunks=2)
    heliostat("render", job, "--id", "j1", "--retries", "1", "--retry-delay", "0", "-k", "-n", "1")
    done = heliostat("show", "j1")
    told = facts(done.out)
    assert told["state"] == "failed"
    assert told["failures"] == "4 command_failed"
    assert told["chunks"] == "0 % done: 2 failed"
    assert told["error"].startswith("2 chunks failed; the first: chunk 0 failed after 2 attempts")
    assert told["go on with"] == "heliostat resume j1"
    assert "chunk 1, attempt 2: command_failed: exit status 3" in done.out
    assert "| boom" in done.out
    as_json = heliostat("show", "j1", "--json").json
    assert [failed["chunk"] for failed in as_json["failedChunks"]] == [0, 1]
    assert as_json["failedChunks"][0]["lastWords"] == ["boom"]
    assert as_json["chunks"] == {"pending": 0, "running": 0, "succeeded": 0, "failed": 2}
    assert as_json["metrics"]["failures"] == {"command_failed": 4}


def test_tells_the_last_words_of_a_worker_that_raised(
    heliostat: Heliostat, make_spec: Callable[..., JobSpec], tmp_path: Path
) -> None:
    def outcome(request: ChunkRequest) -> CommandFailed:
        return CommandFailed("the renderer crashed", stderr_tail="first\nno licence\n")

    async def fail() -> None:
        manager = JobManager(open_repository(f"sqlite:///{tmp_path}/jobs.db"), JobExecutor(ScriptedWorker(outcome)))
        async with manager:
            await manager.wait(
                await manager.submit(make_spec(1, id="j1"), JobExecutionOptions(job_dir=tmp_path, retries=0))
            )

    asyncio.run(fail())
    assert "| no licence" in heliostat("show", "j1").out
    assert heliostat("show", "j1", "--json").json["failedChunks"][0]["lastWords"] == ["first", "no licence"]


def test_an_id_may_be_abbreviated_as_long_as_it_is_clear(heliostat: Heliostat, job_file: JobFile) -> None:
    for id_ in ("abc1", "abd2", "ab"):
        heliostat("submit", job_file(), "--id", id_)
    assert heliostat("show", "abc", "--json").json["id"] == "abc1"
    assert heliostat("show", "ab", "--json").json["id"] == "ab"
    unclear = heliostat("show", "a")
    assert unclear.status == 2
    assert unclear.err.startswith("heliostat: error: 3 jobs have an id that begins with 'a': ")
    unknown = heliostat("show", "x")
    assert unknown.status == 2
    assert unknown.err == "heliostat: error: no job has an id that begins with 'x'; `heliostat jobs` lists them\n"
