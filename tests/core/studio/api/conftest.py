"""Jobs whose every answer is held against the OpenAPI document."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from jsonschema import Draft202012Validator

from heliostat.worker import find_ffmpeg

FFMPEG = find_ffmpeg()
RENDER = (
    'exec "$0" -nostdin -v error -f lavfi -i "testsrc2=size=160x90:rate=24,trim=end_frame=5" -pix_fmt yuv420p'
    ' -qp 23 -y "$1"'
)
"""A chunk of 5 frames by ffmpeg, `$0`."""


class Conformity:
    """Checks answers against an OpenAPI document: address, status, media type and content."""

    def __init__(self, document: dict[str, Any]) -> None:
        self._components = document["components"]
        self._paths = [
            (re.compile(re.sub(r"\\{\w+\\}", "[^/]+", re.escape(path))), path, operations)
            for path, operations in document["paths"].items()
        ]
        self._validators: dict[str, Draft202012Validator] = {}
        self.seen: set[tuple[str, str, int]] = set()
        """Method, path and status of the answers so far."""

    def __call__(self, answer: httpx.Response) -> None:
        method = answer.request.method.lower()
        path = answer.request.url.raw_path.decode().partition("?")[0].removeprefix("/api/v1")
        template, operations = next(
            (template, operations) for pattern, template, operations in self._paths if pattern.fullmatch(path)
        )
        if method not in operations:
            assert answer.status_code == 405
            return
        self.seen.add((method, template, answer.status_code))
        responses = operations[method]["responses"]
        described = responses.get(str(answer.status_code))
        if described is None:
            assert answer.status_code >= 400, f"{method} {path} answers {answer.status_code}, which it does not say"
            described = responses["default"]
        kind = answer.headers.get("content-type", "").partition(";")[0]
        content = described.get("content", {})
        if kind == "text/event-stream":
            assert kind in content
            return
        answer.read()
        if not content or method == "head" or answer.status_code == 304:
            assert answer.content == b""
            return
        assert kind in content or "*/*" in content, f"{method} {path} answers with {kind}"
        if kind.endswith("json"):
            self.check(content[kind]["schema"], answer.json())

    def check(self, schema: dict[str, Any], content: object) -> None:
        key = str(schema)
        if key not in self._validators:
            self._validators[key] = Draft202012Validator({**schema, "components": self._components})
        self._validators[key].validate(content)


@pytest.fixture(scope="session")
def conformity(studio: Any) -> Conformity:
    return Conformity(studio.request("GET", f"{studio.api}/openapi.json").json())


@pytest.fixture
def jobs(studio: Any, tmp_path: Path, jobs_type: Any, conformity: Conformity) -> Iterator[Any]:
    made = jobs_type(studio, tmp_path, check=conformity)
    with made.http:
        yield made
        made.let()  # whatever still waits


@pytest.fixture(scope="session")
def render() -> list[str]:
    """The command of a chunk."""
    if FFMPEG is None:
        pytest.skip("needs ffmpeg: pip install heliostat[video]")
    return ["sh", "-c", RENDER, FFMPEG, "{output}"]


@pytest.fixture(scope="session")
def rendered(
    studio: Any, jobs_type: Any, render: list[str], conformity: Conformity, tmp_path_factory: pytest.TempPathFactory
) -> Any:
    """The jobs, with one of them rendered by ffmpeg: `rendered`, two chunks and a film. Nobody is to change it."""
    made = jobs_type(studio, tmp_path_factory.mktemp("rendered"), check=conformity)
    with made.http:
        if made.get("rendered").status_code == 404:
            film = {"output": "out/{chunk}.mp4", "merge": {"stitcher": "ffmpeg", "output": "film.mp4"}}
            made.submit("rendered", name="A test pattern", command=render, **film)
        made.until("rendered", "completed")
        yield made


@pytest.fixture(scope="session")
def problem() -> Callable[[httpx.Response], tuple[int, str]]:
    """Status and name of what an answer complains about."""

    def read(answer: httpx.Response) -> tuple[int, str]:
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["status"] == answer.status_code
        return answer.status_code, answer.json()["type"].removeprefix("urn:heliostat:problem:")

    return read
