"""`heliostat submit` and `heliostat run-pending`."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

from heliostat import JobExecutionOptions, JobManager, WorkerChoice, load_spec, open_repository

Heliostat = Callable[..., Any]
JobFile = Callable[..., Path]


def states(heliostat: Heliostat) -> dict[str, str]:
    return {job["id"]: job["state"] for job in heliostat("jobs", "--json").json}


def test_submit_prints_the_id_and_runs_nothing(heliostat: Heliostat, job_file: JobFile, tmp_path: Path) -> None:
    done = heliostat("submit", job_file())
    assert (done.status, done.err) == (0, "")
    assert states(heliostat) == {done.out.strip(): "pending"}
    assert not (tmp_path / "out").exists()
    assert heliostat("submit", job_file(), "--id", "x", "--json").json == {"id": "x"}


def test_submit_checks_what_it_stores(heliostat: Heliostat, job_file: JobFile) -> None:
    assert heliostat("submit", job_file(), "--worker", "moon").status == 2
    assert heliostat("submit", job_file(fps=0)).status == 2
    assert heliostat("jobs", "--json").json == []


def test_run_pending_runs_the_oldest_first_with_their_options(
    heliostat: Heliostat, job_file: JobFile, tmp_path: Path
) -> None:
    for name in ("a", "b", "c"):
        job = job_file('echo "$JOB" >> order; echo done > "$1"', name=name, chunks=1, env={"JOB": name})
        heliostat("submit", job, "--id", name)
    done = heliostat("run-pending")
    assert done.status == 0
    assert states(heliostat) == {"a": "completed", "b": "completed", "c": "completed"}
    assert (tmp_path / "order").read_text().split() == ["a", "b", "c"]


def test_run_pending_runs_several_at_once(heliostat: Heliostat, job_file: JobFile, tmp_path: Path) -> None:
    # Each waits for the other one, so that neither can end alone.
    for name, other in (("a", "b"), ("b", "a")):
        script = f'touch {name}; while [ ! -e {other} ]; do sleep 0.05; done; echo done > "$1"'
        heliostat("submit", job_file(script, name=name, chunks=1, output=name + "/{chunk}"), "--id", name)
    assert heliostat("run-pending", "--at-once", "2", "--progress", "bar").status == 0


def test_a_job_that_fails_does_not_hold_up_the_others(heliostat: Heliostat, job_file: JobFile) -> None:
    heliostat("submit", job_file("exit 3", name="bad"), "--id", "bad", "--retries", "0")
    heliostat("submit", job_file(name="good"), "--id", "good")
    done = heliostat("run-pending")
    assert done.status == 1
    assert states(heliostat) == {"bad": "failed", "good": "completed"}
    assert "heliostat: error: chunk " in done.err


def test_a_job_for_an_adapter_that_is_not_here_fails_and_holds_up_no_other(
    heliostat: Heliostat, job_file: JobFile, tmp_path: Path
) -> None:
    async def submit() -> None:
        async with JobManager(open_repository(f"sqlite:///{tmp_path}/jobs.db")) as manager:
            options = JobExecutionOptions(job_dir=tmp_path)
            await manager.submit(load_spec(job_file()), options, worker=WorkerChoice("moon"))

    asyncio.run(submit())
    heliostat("submit", job_file(), "--id", "good")
    done = heliostat("run-pending", "--progress", "none")
    assert done.status == 1
    assert "no worker adapter is called 'moon'" in done.err
    assert sorted(states(heliostat).values()) == ["completed", "failed"]


def test_without_pending_jobs_there_is_nothing_to_do(heliostat: Heliostat) -> None:
    assert heliostat("run-pending").status == 0


def test_watching_it_goes_on_waiting_until_it_is_interrupted(
    program: Callable[..., Any],
    heliostat: Heliostat,
    job_file: JobFile,
    tmp_path: Path,
    until: Callable[[Callable[[], object]], None],
) -> None:
    heliostat("submit", job_file(name="a"), "--id", "a")
    running = program("run-pending", "--watch")
    until(lambda: states(heliostat)["a"] == "completed")
    heliostat("submit", job_file('test -e mended && echo done > "$1"', name="b"), "--id", "b", "--retries", "0")
    until(lambda: states(heliostat)["b"] == "failed")

    async def put_back() -> None:  # as a web page does it
        async with JobManager(open_repository(f"sqlite:///{tmp_path}/jobs.db")) as manager:
            await manager.enqueue("b")

    (tmp_path / "mended").touch()
    asyncio.run(put_back())
    until(lambda: states(heliostat)["b"] == "completed")
    running.interrupt(signal.SIGTERM)
    assert running.end().status == 1  # what has failed is told
