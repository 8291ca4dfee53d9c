"""Who may submit jobs, which run commands."""

from __future__ import annotations

from pathlib import Path
from typing import Any

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
    answer = studio.request("POST", f"{studio.api}/jobs", headers=said, **body)
    assert answer.status_code == 403
    assert answer.json()["type"] == "urn:heliostat:problem:submit-off"
    assert "--allow-submit" in answer.json()["detail"]


def test_other_machines_may_read(studio: Any) -> None:
    assert studio.request("GET", f"{studio.api}/jobs", headers=FORWARDED[0]).status_code == 200


def test_jobs_are_taken_from_other_machines_when_that_was_allowed(guarded: Any) -> None:
    headers = {**guarded.bearer, **FORWARDED[0]}
    answer = guarded.studio.request("POST", f"{guarded.studio.api}/jobs", headers=headers, json={"job": {}}, timeout=60)
    assert answer.status_code == 422, "it was read"
