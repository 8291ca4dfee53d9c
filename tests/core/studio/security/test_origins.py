"""What pages of other sites ask for in a visitor's name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

ELSEWHERE = [
    "http://evil.example",
    "null",
    "http://127.0.0.1:1",
    "http://localhost",
    "https://127.0.0.1.evil.example",
    "http://[",
]


@pytest.mark.parametrize("origin", ELSEWHERE)
def test_another_sites_page_cannot_do_anything(origin: str, jobs: Any, studio: Any) -> None:
    jobs.submit(f"kept-{ELSEWHERE.index(origin)}", chunks=1)
    path = f"{studio.api}/jobs/kept-{ELSEWHERE.index(origin)}"
    for method, address in (("DELETE", path), ("POST", f"{path}/cancel"), ("POST", f"{studio.api}/jobs")):
        answer = studio.request(method, address, headers={"Origin": origin})
        assert answer.status_code == 403
        assert answer.json()["type"] == "urn:heliostat:problem:cross-site"
    assert jobs.until(f"kept-{ELSEWHERE.index(origin)}", "completed")


@pytest.mark.parametrize("origin", ELSEWHERE)
def test_another_sites_page_cannot_read_either(origin: str, studio: Any) -> None:
    assert studio.request("GET", f"{studio.api}/jobs", headers={"Origin": origin}).status_code == 403
    assert studio.request("OPTIONS", f"{studio.api}/jobs", headers={"Origin": origin}).status_code == 403


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_without_an_origin_the_browser_still_says_where_a_request_is_from(site: str, studio: Any) -> None:
    """As with a form that is sent, a picture, or a script."""
    said = {"Sec-Fetch-Site": site, "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"}
    assert studio.request("GET", f"{studio.api}/jobs", headers=said).status_code == 403
    framed = {"Sec-Fetch-Site": site, "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "iframe"}
    assert studio.request("GET", studio.url, headers=framed).status_code == 403
    form = {"Sec-Fetch-Site": site, "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
    assert studio.request("POST", f"{studio.api}/jobs", headers=form).status_code == 403


def test_a_link_on_another_site_may_lead_here(studio: Any) -> None:
    link = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
    assert studio.request("GET", studio.url, headers=link).status_code == 200


def test_its_own_pages_may_do_what_they_like(studio: Any) -> None:
    own = {"Origin": studio.url, "Sec-Fetch-Site": "same-origin"}
    assert studio.request("GET", f"{studio.api}/jobs", headers=own).status_code == 200
    assert studio.request("POST", f"{studio.api}/jobs/none/pause", headers=own).status_code == 404


@pytest.mark.parametrize("origin", ELSEWHERE)
def test_another_sites_page_cannot_open_the_socket(origin: str, studio: Any, websocket: Callable[..., int]) -> None:
    assert websocket(studio.port, f"Origin: {origin}") == 403
    assert websocket(studio.port, f"Origin: {studio.url}") == 101


def test_no_answer_lets_another_site_read_it(studio: Any) -> None:
    for path in ("/", "/api/v1/jobs", "/api/v1/openapi.json"):
        answer = studio.request("GET", f"{studio.url}{path}")
        assert "access-control-allow-origin" not in answer.headers


def test_such_a_link_writes_nothing_into_the_terminal_that_studio_was_started_in(
    studio: Any, raw: Callable[..., tuple[int, str]]
) -> None:
    before = len(studio.said)
    for path in ("/nowhere%1b%5d0;owned%07", "/jobs/nobody%1b%5d0;owned%07", "/api/v1/%1b%5d0;owned%07", "/a%0ab%1b"):
        assert raw(studio.port, f"GET {path} HTTP/1.1\nHost: 127.0.0.1")[0] == 404
    assert not [line for line in studio.said[before:] if "owned" in line or not line.rstrip("\n").isprintable()]
