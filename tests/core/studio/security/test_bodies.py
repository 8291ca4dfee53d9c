"""Bodies that are too large: the Studio of these tests takes submissions of two megabytes, and one of anything else."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

Raw = Callable[..., tuple[int, str]]
MEGABYTE = 1 << 20


def head(path: str, *headers: str) -> str:
    return "\n".join([f"POST {path} HTTP/1.1", "Host: 127.0.0.1", "Content-Type: application/json", *headers])


@pytest.mark.parametrize(
    ("path", "length"), [("/api/v1/jobs", 2 * MEGABYTE + 1), ("/api/v1/jobs/x/pause", MEGABYTE + 1), ("/", 10**15)]
)
def test_one_that_says_so_is_refused_before_any_of_it_was_sent(path: str, length: int, studio: Any, raw: Raw) -> None:
    status, text = raw(studio.port, head(path, f"Content-Length: {length}"))
    assert status == 413
    assert "urn:heliostat:problem:too-large" in text
    assert re.search(r"connection: close", text, re.IGNORECASE)


@pytest.mark.parametrize("kind", ["application/json", "multipart/form-data; boundary=x"])
def test_one_that_does_not_say_so_is_refused_when_it_gets_too_large(kind: str, studio: Any) -> None:
    sent = 0

    def pieces() -> Iterator[bytes]:
        nonlocal sent
        yield b'--x\r\nContent-Disposition: form-data; name="job"; filename="job.json"\r\n\r\n'
        while sent < 50 * MEGABYTE:
            sent += MEGABYTE // 4
            yield bytes(MEGABYTE // 4)

    try:
        answer = studio.request(
            "POST", f"{studio.api}/jobs", content=pieces(), headers={"Content-Type": kind}, timeout=60
        )
    except httpx.TransportError:
        pass  # the connection was closed in the middle of it
    else:
        assert answer.status_code == 413
        assert answer.json()["type"] == "urn:heliostat:problem:too-large"
    assert sent < 50 * MEGABYTE


def test_one_that_nobody_would_read_is_refused_too(jobs: Any, studio: Any) -> None:
    """And then nothing is done of what was asked for."""
    jobs.submit("heavy", 'until [ -e go ]; do sleep 0.02; done; echo >"$1"')
    answer = studio.request("POST", f"{studio.api}/jobs/heavy/cancel", content=iter([bytes(MEGABYTE), b"x"]))
    assert answer.status_code == 413
    assert jobs.get("heavy").json()["wish"] is None
    answer = studio.request("POST", f"{studio.api}/jobs/heavy/cancel", content=iter([bytes(MEGABYTE)]))
    assert answer.status_code == 202
    jobs.until("heavy", "cancelled")


def test_nothing_is_left_of_an_upload_that_was_too_large(studio: Any) -> None:
    before = set(studio.directory.iterdir()) if studio.directory.exists() else set()
    files = [("job", ("job.json", b"{}")), ("files", ("large", bytes(2 * MEGABYTE)))]
    assert studio.request("POST", f"{studio.api}/jobs", files=files, timeout=60).status_code == 413
    assert not {path for path in set(studio.directory.iterdir()) - before if (path / "large").exists()}


def test_one_that_just_fits_is_taken(jobs: Any, tmp_path: Path) -> None:
    document = {"job": jobs.document("fits", metadata={}), "jobDir": str(tmp_path)}
    answer = jobs.http.post("jobs", json={**document, "padding": "x" * (2 * MEGABYTE - 2000)})
    assert answer.status_code == 422, "read, and found to have something in it that does not belong there"
    assert "padding" in answer.json()["detail"]
