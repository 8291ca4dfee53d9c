"""Jobs that come as JSON, and as uploads."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest


def test_a_job_is_stored_and_run_and_its_address_is_told(jobs: Any) -> None:
    answer = jobs.submit("stored", options={"concurrency": 1, "retries": 4, "env": {"A": "b"}})
    assert answer.headers["location"] == "/api/v1/jobs/stored"
    assert answer.json()["settings"]["retries"] == 4
    done = jobs.until("stored", "completed")
    assert done["jobDir"] == str(jobs.folder)
    assert (jobs.folder / "out/1.txt").read_text() == "1\n"


@pytest.mark.parametrize("job_id", ["ü漢", "a?b#c", "50%25", "x\u202ey"])
def test_the_address_leads_to_a_job_of_any_name(job_id: str, jobs: Any, studio: Any) -> None:
    """Where a request's own header could not hold it either."""
    answer = jobs.submit(job_id)
    assert answer.status_code == 201
    assert studio.request("GET", studio.url + answer.headers["location"]).json()["id"] == job_id
    jobs.until(quote(job_id, safe=""), "completed")


def test_a_job_without_a_directory_gets_one_of_its_own(jobs: Any, studio: Any) -> None:
    answer = jobs.http.post("jobs", json={"job": jobs.document("own")})
    folder = Path(answer.json()["jobDir"])
    assert folder.parent == studio.directory
    jobs.until("own", "completed")
    assert (folder / "out/0.txt").exists()


@pytest.mark.parametrize("form", ["json", "toml", "yaml"])
def test_a_job_file_is_uploaded_with_the_files_that_it_reads(form: str, jobs: Any) -> None:
    texts = {
        "json": json.dumps(jobs.document(f"up-{form}", 'cat "parts/$2/text" >"$1"')),
        "toml": f"""
id = "up-{form}"
frames = 10
fps = 24
chunkCount = 2
output = "out/{{chunk}}.txt"
command = ["sh", "-c", 'cat "parts/$2/text" >"$1"', "sh", "{{output}}", "{{chunk}}"]
""",
        "yaml": f"""
id: up-{form}
frames: 10
fps: 24
chunkCount: 2
output: "out/{{chunk}}.txt"
command: [sh, -c, 'cat "parts/$2/text" >"$1"', sh, "{{output}}", "{{chunk}}"]
""",
    }
    files = [
        ("job", (f"job.{form}", texts[form].encode())),
        *(("files", (f"parts/{chunk}/text", f"part {chunk}".encode())) for chunk in range(2)),
    ]
    answer = jobs.http.post("jobs", files=files, data={"terms": json.dumps({"options": {"concurrency": 1}})})
    assert answer.status_code == 201, answer.text
    assert answer.json()["settings"]["concurrency"] == 1
    folder = Path(jobs.until(f"up-{form}", "completed")["jobDir"])
    assert (folder / "out/1.txt").read_text() == "part 1"


@pytest.mark.parametrize(
    "name",
    ["../evil", "/etc/evil", "a/../../evil", "a//evil", "./evil", "", ".heliostat/logs/x", "a\\..\\evil", "x" * 2000],
)
def test_an_uploaded_file_cannot_lie_outside_of_the_jobs_directory(
    name: str, jobs: Any, studio: Any, problem: Any
) -> None:
    before = sorted(studio.directory.rglob("*")) if studio.directory.exists() else []
    # By hand: a client would clean the name.
    parts = [
        ("job", "job.json", json.dumps(jobs.document("evil")).encode()),
        ("files", name, b"evil"),
    ]
    body = b"".join(
        f'--x\r\nContent-Disposition: form-data; name="{field}"; filename="{file}"\r\n\r\n'.encode() + data + b"\r\n"
        for field, file, data in parts
    )
    answer = jobs.http.post(
        "jobs", content=body + b"--x--\r\n", headers={"Content-Type": "multipart/form-data; boundary=x"}
    )
    assert problem(answer) == (422, "invalid")
    assert jobs.get("evil").status_code == 404
    assert [path for path in sorted(studio.directory.rglob("*")) if path not in before and "evil" in path.name] == []


def test_a_job_that_is_refused_leaves_no_files_behind(jobs: Any, studio: Any, problem: Any) -> None:
    jobs.submit("taken")
    files = [("job", ("unmistakable.json", json.dumps(jobs.document("taken")).encode()))]
    assert problem(jobs.http.post("jobs", files=files)) == (409, "job-exists")
    broken = [("job", ("unmistakable.json", b'{"frames": 0}'))]
    assert problem(jobs.http.post("jobs", files=broken)) == (422, "invalid")
    assert list(studio.directory.glob("unmistakable-*")) == []


@pytest.mark.parametrize(
    ("change", "status", "path"),
    [
        ({"job": {}}, 422, None),
        ({"job": None}, 422, "$.job"),
        ({"job": {"frames": 10, "fps": 24, "chunkCount": 2, "output": "../{chunk}", "command": "true"}}, 422, None),
        ({"job": {"frames": "ten", "fps": 24, "output": "{chunk}", "command": "true"}}, 422, "$.job.frames"),
        ({"job": {"id": " ", "frames": 1, "fps": 1, "output": "{chunk}", "command": "true"}}, 422, "$.job.id"),
        ({"options": {"retries": -1}}, 422, "$.options.retries"),
        ({"options": {"concurency": 1}}, 422, "$.options"),
        ({"worker": {"name": "nobody"}}, 422, None),
        ({"jobDir": "relative"}, 422, "$.jobDir"),
        ({"jobDir": "/no/such/place"}, 422, "$.jobDir"),
        ({"jobDir": "/a\0b"}, 422, "$.jobDir"),
    ],
)
def test_what_is_wrong_with_a_job_is_told_with_its_place(
    change: dict[str, Any], status: int, path: str | None, jobs: Any, problem: Any
) -> None:
    answer = jobs.http.post("jobs", json={"job": jobs.document("wrong"), **change})
    assert problem(answer)[0] == status, answer.text
    if path is not None:
        assert answer.json()["path"] == path
    assert jobs.get("wrong").status_code == 404


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b"{", "application/json", 400),
        (b"\xff", "application/json", 400),
        (b'{"job":' + b'{"a":' * 100_000, "application/json", 400),
        (b"[]", "application/json", 422),
        (b"{}", "text/plain", 415),
        (b"{}", "", 415),
        (b"nothing", "multipart/form-data", 400),
        (b"nothing", "multipart/form-data; boundary=x", 400),
        (b"--x--\r\n", "multipart/form-data; boundary=x", 422),
    ],
)
def test_what_cannot_be_read_is_told(body: bytes, kind: str, status: int, jobs: Any, problem: Any) -> None:
    assert problem(jobs.http.post("jobs", content=body, headers={"Content-Type": kind}))[0] == status


@pytest.mark.parametrize(
    ("more", "path"),
    [
        ({"files": [("file", ("light.txt", b"light"))]}, "file"),
        ({"data": {"files": "light"}}, "files"),
        ({"data": {"option": "{}"}}, "option"),
    ],
)
def test_what_does_not_belong_into_an_upload_is_refused_and_not_left_out(
    more: dict[str, Any], path: str, jobs: Any, problem: Any
) -> None:
    job = ("job", ("job.json", json.dumps(jobs.document("misspelt")).encode()))
    answer = jobs.http.post("jobs", **{**more, "files": [job, *more.get("files", [])]})
    assert problem(answer) == (422, "invalid")
    assert answer.json()["path"] == path
    assert jobs.get("misspelt").status_code == 404


@pytest.mark.parametrize("kind", ["application/json", "multipart/form-data; boundary=x"])
def test_a_client_that_leaves_in_the_middle_of_a_submission_is_no_fault(kind: str, studio: Any) -> None:
    head = f"POST /api/v1/jobs HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: {kind}\r\nContent-Length: 1000\r\n\r\n"
    before = len(studio.said)
    with socket.create_connection(("127.0.0.1", studio.port)) as connection:
        connection.sendall(head.encode() + b"--x")
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(1024):
            pass
    assert studio.request("GET", f"{studio.api}/version").status_code == 200
    assert not [line for line in studio.said[before:] if "Traceback" in line or "Disconnect" in line]


def test_an_upload_may_name_a_directory_that_is_there_but_brings_no_files_then(jobs: Any, problem: Any) -> None:
    job = ("job", ("job.json", json.dumps(jobs.document("there")).encode()))
    terms = {"terms": json.dumps({"jobDir": str(jobs.folder)})}
    assert problem(jobs.http.post("jobs", files=[job, ("files", ("a", b"b"))], data=terms)) == (422, "invalid")
    assert jobs.http.post("jobs", files=[job], data=terms).status_code == 201
    assert jobs.until("there", "completed")["jobDir"] == str(jobs.folder)
    assert not (jobs.folder / "job.json").exists()
