"""`heliostat delete`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

Heliostat = Callable[..., Any]
JobFile = Callable[..., Path]


def test_forgets_the_job_and_its_logs_but_keeps_its_outputs(
    heliostat: Heliostat, job_file: JobFile, tmp_path: Path
) -> None:
    heliostat("render", job_file('echo hello; echo done > "$1"'), "--id", "j1")
    assert (tmp_path / ".heliostat/logs/j1").exists()
    done = heliostat("delete", "j1", "--yes")
    assert (done.status, done.out) == (0, "job j1 is deleted\n")
    assert heliostat("jobs", "--json").json == []
    assert not (tmp_path / ".heliostat/logs/j1").exists()
    assert (tmp_path / "out/0.txt").exists()


def test_deletes_several_or_none_when_one_is_unknown(heliostat: Heliostat, job_file: JobFile) -> None:
    for id_ in ("a", "b"):
        heliostat("submit", job_file(), "--id", id_)
    assert heliostat("delete", "a", "x", "--yes").status == 2
    assert len(heliostat("jobs", "--json").json) == 2
    assert heliostat("delete", "a", "b", "-y").status == 0


def test_where_nobody_can_answer_it_asks_for_yes(
    program: Callable[..., Any], heliostat: Heliostat, job_file: JobFile
) -> None:
    heliostat("submit", job_file(), "--id", "j1")
    done = program("delete", "j1").end()
    assert done.status == 2
    assert done.err == "heliostat: error: there is nobody to ask whether to delete; add --yes\n"


def test_a_running_job_is_not_deleted(
    program: Callable[..., Any],
    heliostat: Heliostat,
    job_file: JobFile,
    tmp_path: Path,
    until: Callable[[Callable[[], object]], None],
) -> None:
    script = 'touch began; while [ ! -e go ]; do sleep 0.05; done; echo done > "$1"'
    running = program("render", job_file(script), "--id", "j1")
    until(lambda: (tmp_path / "began").exists())
    done = heliostat("delete", "j1", "--yes")
    assert done.status == 2
    assert done.err == "heliostat: error: job j1 is running; cancel it first: heliostat cancel j1\n"
    (tmp_path / "go").touch()
    assert running.end().status == 0
