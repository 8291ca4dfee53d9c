"""What an attempt has written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

LOG = "/chunks/0/attempts/1/log"
SCRIPT = """
printf 'first\\n<script>alert(1)</script>\\033[31m\\303\\274\\n'
until [ -e go ]; do sleep 0.02; done; echo last; echo >"$1"
"""
FIRST = "first\n<script>alert(1)</script>\x1b[31mü\n".encode()


@pytest.fixture
def logged(jobs: Any, until: Any) -> Any:
    jobs.submit("logged", SCRIPT, chunks=1)
    until(lambda: jobs.get("logged", LOG).content == FIRST)
    yield jobs
    jobs.let()
    jobs.until("logged", "completed")
    assert jobs.http.delete("jobs/logged").status_code == 204


def test_a_log_is_read_while_it_grows_as_text_that_nobody_interprets(
    logged: Any, until: Any, problem: Any, jobs: Any
) -> None:
    whole = logged.get("logged", LOG)
    assert whole.headers["content-type"] == "text/plain; charset=utf-8"
    assert whole.headers["x-content-type-options"] == "nosniff"

    rest = {"Range": f"bytes={len(FIRST)}-"}
    assert problem(logged.get("logged", LOG, headers=rest)) == (416, "no-such-range")
    logged.let()
    logged.until("logged", "completed")
    grown = logged.get("logged", LOG, headers=rest)
    assert (grown.status_code, grown.content) == (206, b"last\n")
    assert grown.headers["content-range"] == f"bytes {len(FIRST)}-{len(FIRST) + 4}/{len(FIRST) + 5}"

    for length, lines in ((0, b""), (5, b"last\n"), (7, b"last\n"), (1000, FIRST + b"last\n"), (4, b"ast\n")):
        tail = logged.get("logged", LOG, params={"tail": length})
        assert tail.content == lines, length
        assert int(tail.headers["log-start"]) == len(FIRST) + 5 - len(lines)

    assert problem(logged.get("logged", "/chunks/0/attempts/2/log")) == (404, "no-log")
    assert problem(logged.get("logged", "/chunks/7/attempts/1/log")) == (404, "no-log")
    assert problem(logged.get("logged", "/chunks/x/attempts/1/log")) == (422, "invalid")
    assert problem(logged.get("logged", "/chunks/0/attempts/0/log")) == (422, "invalid")


@pytest.mark.parametrize(
    ("text", "length", "expected"),
    [
        ("ü" * 90_000 + "\nlast\n", 150_000, "last\n"),
        ("ü" * 90_000, 150_001, "ü" * 75_000),
        ("ü" * 90_000 + "\n", 150_002, "ü" * 75_000 + "\n"),
    ],
)
def test_a_tail_begins_with_a_line_however_long_the_one_before_is_and_with_a_whole_character(
    text: str, length: int, expected: str, jobs: Any
) -> None:
    jobs.submit("long-lines", 'echo said; echo >"$1"', chunks=1)
    jobs.until("long-lines", "completed")
    Path(jobs.folder, ".heliostat/logs/long-lines/000000-1.log").write_text(text)
    tail = jobs.get("long-lines", LOG, params={"tail": length})
    assert tail.content.decode() == expected
    assert jobs.http.delete("jobs/long-lines").status_code == 204


def test_a_log_that_leads_out_of_the_job_directory_is_not_read(
    logged: Any, problem: Any, tmp_path_factory: pytest.TempPathFactory
) -> None:
    secret = tmp_path_factory.mktemp("elsewhere") / "secret"
    secret.write_text("secret")
    Path(logged.folder, ".heliostat/logs/logged/000000-9.log").symlink_to(secret)
    assert problem(logged.get("logged", "/chunks/0/attempts/9/log")) == (404, "no-log")
