"""`heliostat resume` and `heliostat retry`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

Heliostat = Callable[..., Any]
JobFile = Callable[..., Path]

FAILS_ONCE = 'echo x >> "tries$2"; test -e mended || test "$2" != 1 && echo done > "$1"'


def tries(tmp_path: Path) -> dict[str, int]:
    return {path.name.removeprefix("tries"): len(path.read_text().split()) for path in tmp_path.glob("tries*")}


def test_resume_renders_what_is_missing_and_nothing_else(
    heliostat: Heliostat, job_file: JobFile, tmp_path: Path
) -> None:
    job = job_file(FAILS_ONCE, chunks=3, mergeCommand="sh -c 'cat out/0.txt out/1.txt out/2.txt > film.txt'")
    assert heliostat("render", job, "--id", "j1", "--retries", "0", "-k", "-n", "1").status == 1
    (tmp_path / "mended").touch()
    done = heliostat("resume", "j1")
    assert done.status == 0
    assert tries(tmp_path) == {"0": 1, "1": 2, "2": 1}
    assert (tmp_path / "film.txt").exists()
    assert "2 chunks are there already" in done.err


def test_retry_runs_the_failed_chunks_alone(heliostat: Heliostat, job_file: JobFile, tmp_path: Path) -> None:
    job = job_file(FAILS_ONCE, chunks=3)
    assert heliostat("render", job, "--id", "j1", "--retries", "0", "-n", "1").status == 1
    (tmp_path / "mended").touch()
    done = heliostat("retry", "j1")
    assert done.status == 0
    assert tries(tmp_path) == {"0": 1, "1": 2}
    assert "the chunks that were asked for are done, 1 others are missing; go on with: heliostat resume j1" in done.err
    assert heliostat("resume", "j1").status == 0


def test_a_retry_that_fails_again_is_a_failure(heliostat: Heliostat, job_file: JobFile) -> None:
    heliostat("render", job_file(FAILS_ONCE), "--id", "j1", "--retries", "0")
    assert heliostat("retry", "j1").status == 1


def test_what_is_given_replaces_what_the_job_had(heliostat: Heliostat, job_file: JobFile, tmp_path: Path) -> None:
    job = job_file('test "$MENDED" && echo done > "$1"', env={"KEPT": "1"})
    heliostat("render", job, "--id", "j1", "--retries", "0", "--stall-timeout", "50", "-e", "A=1")
    assert heliostat("resume", "j1", "--env", "MENDED=yes", "--retries", "5", "-n", "1").status == 0
    settings = heliostat("show", "j1", "--json").json["settings"]
    assert settings["retries"] == 5
    assert settings["concurrency"] == 1
    assert settings["stallTimeout"] == 50
    assert settings["env"] == {"A": "1", "MENDED": "yes"}
    assert settings["jobDir"] == str(tmp_path)


def test_a_pending_job_can_be_run_by_its_id(heliostat: Heliostat, job_file: JobFile) -> None:
    heliostat("submit", job_file(), "--id", "j1")
    assert heliostat("resume", "j1").status == 0


def test_a_completed_job_has_nothing_to_resume(heliostat: Heliostat, job_file: JobFile) -> None:
    heliostat("render", job_file(), "--id", "j1")
    for verb in ("resume", "retry"):
        done = heliostat(verb, "j1")
        assert done.status == 2
        assert done.err.startswith("heliostat: error: job j1 is completed; ")


def test_a_job_that_somebody_runs_is_refused(
    program: Callable[..., Any],
    heliostat: Heliostat,
    job_file: JobFile,
    tmp_path: Path,
    until: Callable[[Callable[[], object]], None],
) -> None:
    script = 'touch began; while [ ! -e go ]; do sleep 0.05; done; echo done > "$1"'
    running = program("render", job_file(script), "--id", "j1")
    until(lambda: (tmp_path / "began").exists())
    done = heliostat("resume", "j1")
    assert done.status == 2
    assert done.err.startswith(f"heliostat: error: job j1 is being run by process {running.pid} on ")
    (tmp_path / "go").touch()
    assert running.end().status == 0


def test_a_wrong_option_changes_nothing(heliostat: Heliostat, job_file: JobFile) -> None:
    heliostat("submit", job_file(), "--id", "j1")
    done = heliostat("resume", "j1", "--only", "77", "--progress", "none")
    assert done.status == 2
    assert done.err == "heliostat: error: the job has no chunk 77; `heliostat plan` lists them\n"
    assert heliostat("resume", "j1").status == 0
