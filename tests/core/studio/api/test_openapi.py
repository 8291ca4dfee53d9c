"""The OpenAPI document: that it is complete, that answers are as it says, and that nothing makes the server fail."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator


def test_every_operation_answers_as_the_document_says(
    rendered: Any, jobs: Any, conformity: Any, waiting: str, until: Any
) -> None:
    """The fixtures hold each answer against it; here each operation is asked for once."""
    rendered.http.get("version")
    rendered.http.get("plugins")
    rendered.http.get("metrics")
    rendered.http.get("jobs")
    for path in ("", "/spec", "/chunks", "/attempts", "/poster", "/film", "/chunks/0/output", "/events?follow=false"):
        assert rendered.get("rendered", path).status_code == 200
    for path in ("film", "chunks/0/output"):
        assert rendered.http.head(f"jobs/rendered/{path}").status_code == 200
    jobs.submit("asked", f"echo words; {waiting}", chunks=1)
    until(lambda: jobs.begun)
    assert jobs.get("asked", "/chunks/0/attempts/1/log").text == "words\n"
    for asked in ("pause", "cancel"):
        assert jobs.post("asked", f"/{asked}").status_code == 202
    jobs.until("asked", "cancelled")
    jobs.let()
    assert jobs.post("asked", "/resume").status_code == 202
    jobs.until("asked", "completed")
    jobs.submit("failed", "exit 3", chunks=1, options={"retries": 0})
    jobs.until("failed", "failed")
    assert jobs.post("failed", "/retry").status_code == 202
    jobs.until("failed", "failed")
    assert jobs.http.delete("jobs/asked").status_code == 204

    document = jobs.studio.request("GET", f"{jobs.studio.api}/openapi.json").json()
    described = {(method, path) for path, methods in document["paths"].items() for method in methods}
    assert len(described) >= 20
    assert {(method, path) for method, path, status in conformity.seen if status < 400} >= described


def test_events_are_as_the_document_says(rendered: Any, conformity: Any) -> None:
    told = rendered.events("rendered")
    assert {event["type"] for event in told} >= {"job_started", "chunk_started", "chunk_succeeded", "job_ended"}
    for event in told:
        conformity.check({"$ref": "#/components/schemas/Event"}, event)


def test_job_documents_are_as_the_document_says(jobs: Any, conformity: Any) -> None:
    schema = {"$ref": "#/components/schemas/Submission"}
    conformity.check(schema, {"job": jobs.document("short")})
    jobs.submit("long")
    conformity.check(schema, {"job": jobs.get("long", "/spec").json(), "jobDir": "/x", "options": {"retries": 1}})


def test_it_is_valid_and_all_that_it_refers_to_is_there(studio: Any) -> None:
    document = studio.request("GET", f"{studio.api}/openapi.json").json()
    assert document["openapi"].startswith("3.1")
    OpenAPIV31SpecValidator(document).validate()
    for name, schema in document["components"]["schemas"].items():
        Draft202012Validator.check_schema(schema)
        assert "title" in schema or "anyOf" in schema, name
    text = json.dumps(document)
    for name in {part.split('"')[0] for part in text.split("#/components/schemas/")[1:]}:
        assert name in document["components"]["schemas"]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "nothing", 404),
        ("PUT", "jobs", 405),
        ("POST", "version", 405),
        ("GET", "jobs/", 404),
        ("GET", "jobs/a%0Ab", 404),
    ],
)
def test_what_is_not_there_is_told_as_a_problem(method: str, path: str, status: int, studio: Any, problem: Any) -> None:
    answer = studio.request(method, f"{studio.api}/{path}")
    assert problem(answer)[0] == status
    if path == "jobs":
        assert answer.headers["allow"] == "GET, POST"


def test_nothing_makes_the_server_fail(start_studio: Callable[..., Any], tmp_path: Path) -> None:
    """What schemathesis makes of the document, valid and not: the same in each run. Commands find no program there."""
    studio = start_studio(env={"PATH": "/nonexistent"})
    checks = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"
    done = subprocess.run(
        [
            *(Path(sys.executable).with_name("schemathesis"), "run", f"{studio.api}/openapi.json"),
            *("--checks", f"{checks},response_headers_conformance,unsupported_method,negative_data_rejection"),
            *("--phases", "coverage,fuzzing", "--max-examples", "3", "--generation-deterministic"),
            *("--exclude-path", "/jobs/{job_id}/events", "--request-timeout", "60", "--no-color"),
        ],
        cwd=tmp_path,
        env={**os.environ, "SCHEMATHESIS_HOOKS": ""},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout
    assert "No issues found" in done.stdout or " 0 failures" in done.stdout or "passed" in done.stdout, done.stdout
    assert not any("Traceback" in line for line in studio.said)


def test_the_readme_tells_of_every_route(studio: Any) -> None:
    document = studio.request("GET", f"{studio.api}/openapi.json").json()
    readme = Path(__file__).parents[4].joinpath("README.md").read_text()
    section = readme.partition("### API")[2].partition("### ")[0]
    told = set(re.findall(r"`(GET|HEAD|POST|DELETE) (/\S*)`", section))
    assert told == {(method.upper(), path) for path, methods in document["paths"].items() for method in methods}
