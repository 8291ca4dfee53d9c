"""Who may submit jobs, which run commands."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from heliostat.studio.security.callers import is_remote

FORWARDED = [{"X-Forwarded-For": "192.0.2.7"}, {"Forwarded": "for=192.0.2.7"}, {"Via": "1.1 proxy"}, {"X-Real-IP": "x"}]


@pytest.mark.parametrize(
    ("client", "remote"),
    [
        (("127.0.0.1", 1), False),
        (("127.8.8.8", 1), False),
        (("::1", 1), False),
        (("::ffff:127.0.0.1", 1), False),
        (("192.0.2.7", 1), True),
        (("::ffff:192.0.2.7", 1), True),
        (("2001:db8::1", 1), True),
        (("", 1), True),
        (None, True),
    ],
)
def test_who_is_on_another_machine(client: tuple[str, int] | None, remote: bool) -> None:
    assert is_remote({"type": "http", "headers": [], "client": client}) is remote


@pytest.mark.parametrize("said", FORWARDED)
@pytest.mark.parametrize("form", ["json", "upload"])
def test_jobs_are_not_taken_from_other_machines(said: dict[str, str], form: str, studio: Any, tmp_path: Path) -> None:
    body: Any = {"json": {"job": {}}} if form == "json" else {"files": [("job", ("job.json", b"{}"))]}
    answer = httpx.post(f"{studio.api}/jobs", headers=said, **body)
    assert answer.status_code == 403
    assert answer.json()["type"] == "urn:heliostat:problem:submit-off"
    assert "--allow-submit" in answer.json()["detail"]


def test_other_machines_may_read(studio: Any) -> None:
    assert httpx.get(f"{studio.api}/jobs", headers=FORWARDED[0]).status_code == 200


def test_jobs_are_taken_from_other_machines_when_that_was_allowed(
    start_studio: Callable[..., Any], make_jobs: Callable[..., Any]
) -> None:
    jobs = make_jobs(start_studio("--allow-submit"))
    jobs.http.headers.update(FORWARDED[0])
    jobs.submit("from-afar")
    jobs.until("from-afar", "completed")
