"""The coordinator process: it runs what is pending, is looked after, and ends with the web process."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from heliostat.studio.coordinator import Coordinator, CoordinatorState
from heliostat.studio.coordinator_process import CoordinatorTask

Until = Callable[..., None]


def succeeded(events: list[dict[str, Any]]) -> list[int]:
    return [event["completedChunks"] for event in events if event["type"] == "chunk_succeeded"]


def test_pending_jobs_are_run_and_several_at_once_when_asked_for(jobs: Any, waiting: str, until: Until) -> None:
    for name in ("one", "two"):
        jobs.submit(f"several-{name}", waiting, chunks=1, output=f"{name}/{{chunk}}")
    until(lambda: [jobs.state(f"several-{name}") for name in ("one", "two")] == ["running", "running"])
    jobs.let()
    for name in ("one", "two"):
        assert jobs.until(f"several-{name}", "completed")["progress"] == 100


def test_a_killed_web_process_takes_the_coordinator_and_its_commands_with_it(
    start_studio: Callable[..., Any],
    make_jobs: Callable[..., Any],
    waiting: str,
    until: Until,
    is_alive: Callable[[int], bool],
) -> None:
    studio = start_studio()
    jobs = make_jobs(studio)
    jobs.submit("killed", waiting, chunks=3, options={"concurrency": 2})
    jobs.let(0)
    until(lambda: jobs.get("killed").json()["completedChunks"] == 1)
    processes = [studio.coordinator(), *jobs.commands(1, 2)]
    assert all(map(is_alive, processes))
    studio.kill()
    until(lambda: not any(map(is_alive, processes)))

    studio.start()
    jobs.let()
    assert jobs.until("killed", "completed")["completedChunks"] == 3
    assert succeeded(jobs.events("killed")) == [1, 2, 3]
    assert jobs.begun[0] == 1, "what was done is done"


def test_a_killed_coordinator_is_started_again_and_its_job_goes_on_where_it_was(
    start_studio: Callable[..., Any],
    make_jobs: Callable[..., Any],
    waiting: str,
    until: Until,
    is_alive: Callable[[int], bool],
) -> None:
    studio = start_studio()
    jobs = make_jobs(studio)
    jobs.submit("orphan", waiting, chunks=4, options={"concurrency": 2})
    jobs.let(0, 1)
    until(lambda: jobs.get("orphan").json()["completedChunks"] == 2)
    commands, before = jobs.commands(2, 3), jobs.events("orphan")
    os.kill(studio.coordinator(), signal.SIGKILL)
    until(lambda: not any(map(is_alive, commands)))
    until(lambda: jobs.begun[2] == jobs.begun[3] == 2)
    jobs.let()
    jobs.until("orphan", "completed")
    after = jobs.events("orphan")
    assert after[: len(before)] == before
    assert succeeded(after) == [1, 2, 3, 4]
    assert jobs.begun == Counter({0: 1, 1: 1, 2: 2, 3: 2})
    assert "heliostat_coordinator_restarts_total 1.0" in studio.request("GET", f"{studio.api}/metrics").text
    until(lambda: any("has died (signal 9)" in line for line in studio.said))


@pytest.mark.parametrize("asked", ["pause", "cancel"])
@pytest.mark.parametrize("end", ["kill", "restart"])
def test_what_was_asked_for_before_an_end_holds_after_it(
    asked: str, end: str, start_studio: Callable[..., Any], make_jobs: Callable[..., Any], waiting: str, until: Until
) -> None:
    """The chunk goes on while its job is to pause, so that the wish is not yet carried out."""
    studio = start_studio()
    jobs = make_jobs(studio)
    jobs.submit("asked", waiting, chunks=2, options={"concurrency": 1})
    until(lambda: (jobs.folder / "pid 0").exists())
    if asked == "pause":
        assert studio.request("POST", f"{studio.api}/jobs/asked/pause").status_code == 202
        until(lambda: jobs.get("asked").json().get("wish") == "pause")
    else:  # is carried out at once, so the coordinator must not be able to

        def cancel_behind_its_back() -> bool:
            os.kill(studio.coordinator(), signal.SIGSTOP)
            if studio.request("POST", f"{studio.api}/jobs/asked/cancel").status_code == 202:
                return True
            os.kill(studio.coordinator(), signal.SIGCONT)  # it was stopped while it was writing
            return False

        until(cancel_behind_its_back)
    if end == "kill":
        os.kill(studio.coordinator(), signal.SIGKILL)
    else:
        os.kill(studio.coordinator(), signal.SIGCONT)
        studio.restart()
    assert jobs.until("asked", "paused" if asked == "pause" else "cancelled")["completedChunks"] == 0
    assert jobs.begun == Counter({0: 1})


def test_whatever_prints_in_the_coordinator_process_disturbs_nothing(tmp_path: Path) -> None:
    code = (
        "from heliostat.studio import coordinator_process as process; process._keep_news_apart();"
        " print('hello from a plugin', flush=True); process.tell(process.News())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "{}\n"
    assert done.stderr == "hello from a plugin\n"


def test_a_studio_that_ends_leaves_its_job_to_the_next_one(
    start_studio: Callable[..., Any],
    make_jobs: Callable[..., Any],
    waiting: str,
    until: Until,
    is_alive: Callable[[int], bool],
) -> None:
    studio = start_studio()
    jobs = make_jobs(studio)
    jobs.submit("left", waiting, chunks=3, options={"concurrency": 2})
    jobs.let(0)
    until(lambda: jobs.get("left").json()["completedChunks"] == 1)
    processes = [studio.coordinator(), *jobs.commands(1, 2)]
    assert studio.end(signal.SIGINT) == 0
    assert not any(map(is_alive, processes))

    studio.start()
    told = jobs.get("left").json()
    assert (told["state"], told["completedChunks"]) == ("running", 1)
    jobs.let()
    jobs.until("left", "completed")
    assert succeeded(jobs.events("left")) == [1, 2, 3]
    assert jobs.begun == Counter({0: 1, 1: 2, 2: 2})


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_several_studios_on_one_database_run_each_job_once_and_tell_the_same(
    database: str,
    start_studio: Callable[..., Any],
    make_jobs: Callable[..., Any],
    waiting: str,
    until: Until,
    request: pytest.FixtureRequest,
    tmp_path: Path,
) -> None:
    db: object = tmp_path / "shared.db"
    if database == "postgresql":
        db = request.getfixturevalue("postgresql_server").new_database("studios")
    one = start_studio("--db", db)
    two = start_studio("--db", db)
    first, second = make_jobs(one), make_jobs(two)
    names = [f"shared-{index}" for index in range(6)]
    for index, name in enumerate(names):
        (first, second)[index % 2].submit(
            name, f'echo {index} >>begun; echo >"$1"', chunks=1, output=f"{name}/{{chunk}}"
        )
    for name in names:
        first.until(name, "completed")
        until(lambda name=name: first.get(name).json().get("coordinator") is None)  # all of it has been written then
        assert first.get(name).json() == second.get(name).json()
        assert first.events(name) == second.events(name)
    assert sorted((first.folder / "begun").read_text().split()) == [str(index) for index in range(6)]

    first.submit("taken-over", waiting, chunks=2, options={"concurrency": 2})
    until(lambda: first.begun[0] and first.begun[1])
    runs = str(first.get("taken-over").json()["coordinator"])
    killed, left = (one, second) if str(one.coordinator()) in re.findall(r"\d+", runs) else (two, first)
    killed.kill()
    until(lambda: left.begun[0] == left.begun[1] == 2)
    left.let()
    left.until("taken-over", "completed")
    assert succeeded(left.events("taken-over")) == [1, 2]


async def test_a_coordinator_that_cannot_use_the_database_says_why_and_is_tried_again(tmp_path: Path) -> None:
    db = tmp_path / "jobs.db"
    db.mkdir()
    coordinator = Coordinator(CoordinatorTask(db=f"sqlite:///{db}", at_once=1))
    running = asyncio.create_task(coordinator.run())
    try:
        async with asyncio.timeout(60):
            await _until(coordinator, CoordinatorState.DOWN)
            problem = coordinator.status.problem
            assert problem is not None
            assert problem.startswith("the coordinator process has ended: ")
            assert str(db) in problem
            db.rmdir()
            await _until(coordinator, CoordinatorState.RUNNING)
            assert coordinator.alive
            assert coordinator.status.restarts >= 1
            coordinator.stop()
            await running
            assert coordinator.status.state is CoordinatorState.ENDED
    finally:
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running


async def _until(coordinator: Coordinator, state: CoordinatorState) -> None:
    while coordinator.status.state is not state:
        await coordinator.changed.wait()
