"""`heliostat logs`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

Heliostat = Callable[..., Any]
JobFile = Callable[..., Path]
Until = Callable[[Callable[[], object]], None]

TALKS = 'echo "try $2"; echo x >> "tries$2"; test $(wc -l < "tries$2") = 2 && echo done > "$1"'


def test_prints_the_newest_attempt_of_every_chunk_and_the_join(heliostat: Heliostat, job_file: JobFile) -> None:
    job = job_file(TALKS, mergeCommand="echo joined")
    assert heliostat("render", job, "--id", "j1", "--retry-delay", "0").status == 0
    done = heliostat("logs", "j1")
    assert done.status == 0
    assert done.out == (
        "==> chunk 0, attempt 2 <==\ntry 0\n\n==> chunk 1, attempt 2 <==\ntry 1\n\n==> the join <==\njoined\n"
    )


def test_prints_one_chunk_and_one_attempt_of_it(heliostat: Heliostat, job_file: JobFile) -> None:
    heliostat("render", job_file(TALKS), "--id", "j1", "--retry-delay", "0")
    assert heliostat("logs", "j1", "1").out == "==> chunk 1, attempt 2 <==\ntry 1\n"
    assert heliostat("logs", "j1", "1", "--attempt", "1").out == "try 1\n"


def test_what_was_written_is_printed_byte_for_byte_to_another_program(heliostat: Heliostat, job_file: JobFile) -> None:
    heliostat("render", job_file(r"""printf '\033[31mred\377\n'; echo done > "$1" """, chunks=1), "--id", "j1")
    assert "\x1b[31mred" in heliostat("logs", "j1", "0", "--attempt", "1").out


def test_what_is_not_there_is_said(heliostat: Heliostat, job_file: JobFile) -> None:
    heliostat("render", job_file(), "--id", "j1")
    for arguments, sentence in (
        (["j1", "7"], "job j1 has no chunk 7; it has 2, the first is 0"),
        (["j1", "1"], "chunk 1 has written nothing; looked in "),
        (["j1", "1", "--attempt", "3"], "chunk 1 has written nothing in attempt 3; looked in "),
        (["j2"], "no job has an id that begins with 'j2'"),
    ):
        done = heliostat("logs", *arguments)
        assert done.status == 2
        assert sentence in done.err


def test_following_prints_what_is_added_until_the_job_ends(
    program: Callable[..., Any], job_file: JobFile, tmp_path: Path, until: Until
) -> None:
    job = job_file(
        'echo one; while [ ! -e go ]; do sleep 0.05; done; echo two; test -e again && echo done > "$1"; touch again',
        chunks=1,
    )
    running = program("render", job, "--id", "j1", "--retry-delay", "0")
    log = tmp_path / ".heliostat/logs/j1/000000-1.log"
    until(lambda: log.exists() and log.read_text() == "one\n")
    following = program("logs", "j1", "--follow")
    assert following.read_line() == "==> chunk 0, attempt 1 <==\n"
    assert following.read_line() == "one\n"
    (tmp_path / "go").touch()
    done = following.end()
    assert done.status == 0
    assert done.out == "two\n\n==> chunk 0, attempt 2 <==\none\ntwo\n"
    assert running.end().status == 0
