"""Headers on every answer, and the scripts that a page may run."""

from __future__ import annotations

import re
from typing import Any

import httpx
import pytest
from jinja2 import DictLoader, Environment

from heliostat.studio.security.headers import NONCE
from heliostat.studio.security.page_scripts import sign_page_scripts


def directives(answer: httpx.Response) -> dict[str, list[str]]:
    parts = answer.headers["content-security-policy"].split(";")
    return {name: values for name, *values in map(str.split, parts)}


@pytest.mark.parametrize(
    ("path", "status"),
    [("/", 200), ("/nothing", 404), ("/api/v1/jobs", 200), ("/api/v1/jobs/x", 404), ("/api/v2", 404)],
)
def test_every_answer_has_them(path: str, status: int, studio: Any) -> None:
    answer = studio.request("GET", f"{studio.url}{path}")
    assert answer.status_code == status
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["cross-origin-resource-policy"] == "same-origin"
    assert directives(answer)["frame-ancestors"] == ["'none'"]
    assert "server" not in answer.headers


def test_refusals_have_them_too(studio: Any) -> None:
    answer = studio.request("GET", studio.url, headers={"Host": "evil.example"})
    assert answer.status_code == 421
    assert directives(answer)["frame-ancestors"] == ["'none'"]


def test_answers_of_the_api_run_nothing_and_are_not_kept(studio: Any) -> None:
    answer = studio.request("GET", f"{studio.api}/jobs")
    assert directives(answer)["default-src"] == ["'none'"]
    assert "script-src" not in directives(answer)
    assert answer.headers["cache-control"] == "no-store"


def test_only_the_pages_own_scripts_run(studio: Any) -> None:
    nonces = set()
    for _ in range(2):
        answer = studio.request("GET", studio.url)
        sources = directives(answer)["script-src"]
        assert "'unsafe-inline'" not in sources
        nonce = next(source[len("'nonce-") : -1] for source in sources if source.startswith("'nonce-"))
        nonces.add(nonce)
        scripts = re.findall(r"<script([^>]*)>", answer.text)
        assert len(scripts) >= 2
        assert all(f'nonce="{nonce}"' in attributes for attributes in scripts)
        assert not re.search(r"<[^>]+\son\w+=", answer.text), "handlers in attributes would not run"
    assert len(nonces) == 2, "another one for each answer"


def test_a_script_that_comes_into_a_page_by_a_value_is_not_signed() -> None:
    environment = Environment(loader=DictLoader({"page": "<script>own()</script>{{ value }}"}), autoescape=False)
    for _ in range(2):
        sign_page_scripts(environment)
    request = type("Request", (), {"scope": {NONCE: "secret"}})
    page = environment.get_template("page").render(request=request, value="<script>theirs()</script>")
    assert page == '<script nonce="secret">own()</script><script>theirs()</script>'
