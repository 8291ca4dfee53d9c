"""Ctrl-C and SIGTERM, sent to a real process group."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

Heliostat = Callable[..., Any]
JobFile = Callable[..., Path]
Until = Callable[[Callable[[], object]], None]

WAITS = 'touch "began$2"; while [ ! -e go ]; do sleep 0.05; done; echo done > "$1"'


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_lets_running_chunks_finish_and_says_how_to_go_on(
    number: int, program: Callable[..., Any], heliostat: Heliostat, job_file: JobFile, tmp_path: Path, until: Until
) -> None:
    running = program("render", job_file(WAITS, chunks=5), "--id", "j1", "-n", "2")
    until(lambda: (tmp_path / "began0").exists() and (tmp_path / "began1").exists())
    running.interrupt(number)
    running.says("heliostat: pausing: 2 running chunks finish first; Ctrl-C again stops at once")
    (tmp_path / "go").touch()
    done = running.end()
    assert done.status == 4
    assert done.err.splitlines()[-1] == (
        "heliostat: paused at 40 %, 2 of 5 chunks done; go on with: heliostat resume j1"
    )
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["0.txt", "1.txt"]
    resumed = heliostat("resume", "j1")
    assert resumed.status == 0
    assert "5 chunks, 25 frames, 2 at once on local; 2 chunks are there already" in resumed.err
    assert not (tmp_path / "out/0.txt").stat().st_mtime > (tmp_path / "out/4.txt").stat().st_mtime


def test_the_second_stops_at_once(
    program: Callable[..., Any], heliostat: Heliostat, job_file: JobFile, tmp_path: Path, until: Until
) -> None:
    script = 'echo $$ > "began$2"; while :; do sleep 0.05; done'
    running = program("render", job_file(script, chunks=5), "--id", "j1", "-n", "2")
    until(lambda: all((tmp_path / f"began{n}").exists() and (tmp_path / f"began{n}").read_text() for n in (0, 1)))
    running.interrupt()
    running.says("pausing")
    running.interrupt()
    running.says("heliostat: stopping at once")
    done = running.end()
    assert done.status == 3
    assert done.err.splitlines()[-1] == (
        "heliostat: cancelled at 0 %, 0 of 5 chunks done; go on with: heliostat resume j1"
    )
    for chunk in (0, 1):
        pid = int((tmp_path / f"began{chunk}").read_text())
        until(partial(_is_gone, pid))
    assert heliostat("show", "j1", "--json").json["state"] == "cancelled"


def test_with_json_the_objects_stay_alone_on_stdout(
    program: Callable[..., Any], job_file: JobFile, tmp_path: Path, until: Until
) -> None:
    running = program("render", job_file(WAITS, chunks=5), "--progress", "json", "-n", "1")
    until(lambda: (tmp_path / "began0").exists())
    running.interrupt()
    running.says("pausing: 1 running chunk finishes first")
    (tmp_path / "go").touch()
    done = running.end()
    assert done.status == 4
    assert [json.loads(line) for line in done.out.splitlines()][-1]["state"] == "paused"


def test_the_database_is_part_of_the_command_to_go_on_with_where_it_was_given(
    program: Callable[..., Any], job_file: JobFile, tmp_path: Path, until: Until
) -> None:
    running = program("render", job_file(WAITS, chunks=2), "--id", "j1", "-n", "1", "--db", "my jobs.db")
    until(lambda: (tmp_path / "began0").exists())
    running.interrupt()
    running.says("pausing")
    (tmp_path / "go").touch()
    assert running.end().err.endswith("go on with: heliostat resume j1 --db 'my jobs.db'\n")


def test_a_killed_render_leaves_an_orphan_that_can_be_resumed(
    program: Callable[..., Any], heliostat: Heliostat, job_file: JobFile, tmp_path: Path, until: Until
) -> None:
    running = program("render", job_file(WAITS, chunks=3), "--id", "j1", "-n", "1")
    until(lambda: (tmp_path / "began0").exists())
    running.interrupt(signal.SIGKILL)
    assert running.end().status == -signal.SIGKILL
    (tmp_path / "go").touch()
    done = heliostat("resume", "j1")
    assert done.status == 0, done.err
    assert heliostat("show", "j1", "--json").json["state"] == "completed"


def test_run_pending_takes_no_further_job_after_the_first(
    program: Callable[..., Any], heliostat: Heliostat, job_file: JobFile, tmp_path: Path, until: Until
) -> None:
    for name in ("a", "b"):
        assert heliostat("submit", job_file(WAITS, name=name), "--id", name, "-n", "1").status == 0
    running = program("run-pending")
    until(lambda: (tmp_path / "began0").exists())
    running.interrupt()
    running.says("pausing")
    (tmp_path / "go").touch()
    assert running.end().status == 4
    assert {job["id"]: job["state"] for job in heliostat("jobs", "--json").json} == {"a": "paused", "b": "pending"}


def _is_gone(pid: int) -> bool:
    return not os.path.exists(f"/proc/{pid}")
