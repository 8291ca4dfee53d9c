"""`heliostat watch`: another process's job, told from the repository alone."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

Heliostat = Callable[..., Any]
JobFile = Callable[..., Path]
Until = Callable[[Callable[[], object]], None]

STEPS = (
    'touch "began$2"; echo openjd_progress: 40; while [ ! -e "go$2" ]; do sleep 0.05; done;'
    ' test "$2" = 1 && test ! -e second && touch second && exit 3; echo done > "$1"'
)


def test_shows_what_the_job_s_own_process_shows(
    program: Callable[..., Any], job_file: JobFile, tmp_path: Path, until: Until
) -> None:
    events = tmp_path / "seen.jsonl"
    job = job_file(STEPS, chunks=2, mergeCommand="sh -c 'while [ ! -e gomerge ]; do sleep 0.05; done'")
    running = program("render", job, "--id", "j1", "-n", "2", "--retry-delay", "0")
    until(lambda: (tmp_path / "began0").exists() and (tmp_path / "began1").exists())
    watching = program("watch", "j1", "--progress", "none", "--sink", "json", "--sink-set", f"json.path={events}")

    def told(**wanted: object) -> bool:
        seen = [json.loads(line) for line in events.read_text().splitlines()] if events.exists() else []
        return any(all(event.get(name) == value for name, value in wanted.items()) for event in seen)

    until(lambda: told(type="job_started", totalChunks=2, worker="local"))
    until(lambda: told(type="chunk_started", chunk=0) and told(type="chunk_started", chunk=1))
    until(lambda: told(type="chunk_progressed", chunk=0, framesDone=2))
    (tmp_path / "go0").touch()
    until(lambda: told(type="chunk_succeeded", chunk=0, completedChunks=1))
    (tmp_path / "go1").touch()
    until(lambda: told(type="merge_started"))
    (tmp_path / "gomerge").touch()
    done = watching.end()
    assert done.status == 0, done.err
    assert running.end().status == 0
    assert told(type="job_ended", state="completed", completedChunks=2)
    percents = [
        event["percent"] for line in events.read_text().splitlines() if "percent" in (event := json.loads(line))
    ]
    assert percents == sorted(percents)
    assert percents[-1] == 100


def test_who_comes_late_is_told_the_whole_run_as_its_own_process_was(
    program: Callable[..., Any], job_file: JobFile, tmp_path: Path, until: Until
) -> None:
    """The same events, equal to the last field and in the same order, with those of chunks that ended before."""
    script = (
        "if [ $2 = 1 ] && [ ! -e tried ]; then touch tried; echo boom >&2; exit 3; fi;"
        ' if [ $2 = 5 ]; then touch last; while [ ! -e go ]; do sleep 0.05; done; fi; echo done > "$1"'
    )
    render, watch = tmp_path / "render.jsonl", tmp_path / "watch.jsonl"
    sink = ("--progress", "none", "--sink", "json", "--sink-set")
    job = job_file(script, chunks=6)
    running = program("render", job, "--id", "j1", "-n", "2", "--retry-delay", "0", *sink, f"json.path={render}")
    until(lambda: (tmp_path / "last").exists())
    watching = program("watch", "j1", *sink, f"json.path={watch}")
    until(lambda: watch.exists() and '"chunk_started"' in watch.read_text())
    (tmp_path / "go").touch()
    assert watching.end().status == 0
    assert running.end().status == 0

    def told(path: Path) -> list[Any]:
        events = [json.loads(line) for line in path.read_text().splitlines()]
        return [event for event in events if not event["type"].endswith("progressed")]

    assert told(watch) == told(render)
    assert {event["type"] for event in told(watch)} == {
        "job_started", "chunk_started", "attempt_failed", "chunk_succeeded", "job_ended",
    }  # fmt: skip


def test_runs_before_the_newest_are_not_told_again(
    program: Callable[..., Any], heliostat: Heliostat, job_file: JobFile, tmp_path: Path, until: Until
) -> None:
    script = (
        "if [ ! -e once ]; then touch once; exit 3; fi;"
        ' touch began; while [ ! -e go ]; do sleep 0.05; done; echo done > "$1"'
    )
    assert heliostat("render", job_file(script, chunks=1), "--id", "j1", "--retries", "0").status == 1
    running = program("resume", "j1")
    until(lambda: (tmp_path / "began").exists())
    watch = tmp_path / "watch.jsonl"
    watching = program("watch", "j1", "--progress", "none", "--sink", "json", "--sink-set", f"json.path={watch}")
    until(lambda: watch.exists() and '"chunk_started"' in watch.read_text())
    (tmp_path / "go").touch()
    assert watching.end().status == 0
    assert running.end().status == 0
    told = [json.loads(line)["type"] for line in watch.read_text().splitlines()]
    assert [kind for kind in told if not kind.endswith("progressed")] == [
        "job_started", "chunk_started", "chunk_succeeded", "job_ended",
    ]  # fmt: skip


def test_failures_are_told_with_their_cause(
    program: Callable[..., Any], job_file: JobFile, tmp_path: Path, until: Until
) -> None:
    job = job_file("touch began; while [ ! -e go ]; do sleep 0.05; done; echo boom >&2; exit 3", chunks=1)
    program("render", job, "--id", "j1", "--retries", "0")
    until(lambda: (tmp_path / "began").exists())
    watching = program("watch", "j1", "--progress", "lines")
    watching.says("film: 1 chunk, 5 frames")
    (tmp_path / "go").touch()
    done = watching.end()
    assert done.status == 1
    assert "heliostat: error: chunk 0 failed after 1 attempt" in done.err


def test_a_pending_job_is_waited_for(program: Callable[..., Any], heliostat: Heliostat, job_file: JobFile) -> None:
    heliostat("submit", job_file(), "--id", "j1")
    watching = program("watch", "j1")
    watching.says("heliostat: job j1 is pending; waiting for somebody to run it")
    assert heliostat("run-pending").status == 0
    assert watching.end().status == 0


def test_ctrl_c_ends_the_watching_and_not_the_job(
    program: Callable[..., Any], heliostat: Heliostat, job_file: JobFile, tmp_path: Path, until: Until
) -> None:
    job = job_file('touch began; while [ ! -e go ]; do sleep 0.05; done; echo done > "$1"', chunks=1)
    running = program("render", job, "--id", "j1")
    until(lambda: (tmp_path / "began").exists())
    watching = program("watch", "j1", "--progress", "lines")
    watching.says("film: 1 chunk")
    watching.interrupt()
    done = watching.end()
    assert done.status == 130
    assert "Traceback" not in done.err
    assert heliostat("show", "j1", "--json").json["state"] == "running"
    (tmp_path / "go").touch()
    assert running.end().status == 0


def test_what_has_ended_is_said_at_once_with_its_exit_status(heliostat: Heliostat, job_file: JobFile) -> None:
    heliostat("render", job_file(), "--id", "good")
    heliostat("render", job_file("exit 3"), "--id", "bad", "--retries", "0")
    heliostat("submit", job_file(), "--id", "gone")
    heliostat("cancel", "gone")
    done = heliostat("watch", "good")
    assert (done.status, done.err) == (0, "heliostat: job good is completed\n")
    assert heliostat("watch", "bad").status == 1
    assert heliostat("watch", "gone").status == 3


def test_an_orphan_is_said_to_be_one(
    program: Callable[..., Any], heliostat: Heliostat, job_file: JobFile, tmp_path: Path, until: Until
) -> None:
    running = program("render", job_file("touch began; while :; do sleep 0.05; done", chunks=1), "--id", "j1")
    until(lambda: (tmp_path / "began").exists())
    running.kill()
    running.end()
    done = heliostat("watch", "j1", "--progress", "none")
    assert done.status == 1
    assert done.err == "heliostat: error: nobody runs job j1 any more; go on with: heliostat resume j1\n"
    assert heliostat("jobs").out.splitlines()[1].split()[2] == "orphaned"
    assert "state      orphaned\n" in heliostat("show", "j1").out
