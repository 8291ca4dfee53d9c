"""The token that is asked for when other machines may reach Studio."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

HTML = {"Accept": "text/html"}


def cookie(guarded: Any) -> str:
    """As the browser has it after the link was opened."""
    return str(guarded.get(f"/?token={guarded.token}").headers["set-cookie"].partition(";")[0])


def test_bound_elsewhere_it_makes_a_token_and_prints_it_once_in_a_link(guarded: Any) -> None:
    said = "".join(guarded.studio.said)
    assert said.count(guarded.token) == 1
    assert said.count("\n") == 1


@pytest.mark.parametrize("path", ["/", "/api/v1/jobs", "/api/v1/metrics", "/api/v1/openapi.json", "/_nicegui/x.js"])
def test_nothing_is_told_without_a_token(path: str, guarded: Any) -> None:
    answer = guarded.get(path)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert answer.json()["type"] == "urn:heliostat:problem:no-token"


@pytest.mark.parametrize("wrong", ["", "x", "{token}x", "x{token}", "{upper}", "\xe9" * 32])
def test_a_wrong_token_is_none(wrong: str, guarded: Any, raw: Callable[..., tuple[int, str]]) -> None:
    token = wrong.format(token=guarded.token, upper=guarded.token.swapcase())
    for header in (f"Authorization: Bearer {token}", f"Cookie: heliostat-studio-{guarded.port}={token}"):
        status, _ = raw(guarded.port, f"GET /api/v1/jobs HTTP/1.1\nHost: 127.0.0.1\n{header}")
        assert status == 401, header
    assert guarded.studio.request("GET", f"{guarded.studio.url}/", params={"token": token}).status_code == 401


def test_the_token_is_taken_as_a_bearers(guarded: Any) -> None:
    assert guarded.get("/api/v1/jobs", headers=guarded.bearer).status_code == 200
    assert guarded.get("/api/v1/jobs", headers={"Authorization": f"Basic {guarded.token}"}).status_code == 401
    assert guarded.get(f"/api/v1/jobs?x={guarded.token}").status_code == 401


def test_the_link_sets_a_cookie_and_leads_to_an_address_without_the_token(guarded: Any) -> None:
    answer = guarded.get(f"/job/a%20b?token={guarded.token}&chunk=7")
    assert answer.status_code == 303
    assert answer.headers["location"] == "/job/a%20b?chunk=7"
    name, *flags = answer.headers["set-cookie"].split("; ")
    assert name == f"heliostat-studio-{guarded.port}={guarded.token}"
    assert {"HttpOnly", "SameSite=strict", "Path=/"} <= set(flags)
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert guarded.get("/api/v1/jobs", headers={"Cookie": name}).status_code == 200


def test_the_cookie_is_for_encrypted_connections_alone_behind_a_proxy_with_tls(guarded: Any) -> None:
    answer = guarded.get(f"/?token={guarded.token}", headers={"X-Forwarded-Proto": "https"})
    assert "Secure" in answer.headers["set-cookie"]


@pytest.mark.parametrize("path", ["//evil.example", "/\\evil.example", "///evil.example/x"])
def test_the_link_leads_nowhere_else(path: str, guarded: Any, raw: Callable[..., tuple[int, str]]) -> None:
    _, text = raw(guarded.port, f"GET {path}?token={guarded.token} HTTP/1.1\nHost: 127.0.0.1")
    location = re.search(r"location: (\S+)", text)
    assert location is not None, text
    assert re.match(r"/[^/\\]", location[1])


def test_a_link_on_another_site_finds_the_cookie_although_it_is_strict(guarded: Any) -> None:
    """A browser keeps it back from such a request, and sends it with what the page asks for that is answered."""
    link = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document", **HTML}
    answer = guarded.get('/?chunk=7&x="><script>', headers=link)
    assert answer.status_code == 200
    assert 'content="0; url=/?chunk=7' in answer.text
    assert "<script" not in answer.text


def test_a_visitor_without_a_token_is_asked_for_it(guarded: Any) -> None:
    answer = guarded.get("/", headers=HTML)
    assert answer.status_code == 401
    assert 'name="token"' in answer.text


def test_the_socket_of_pages_wants_the_token_too(guarded: Any, websocket: Callable[..., int]) -> None:
    origin = f"Origin: {guarded.studio.url}"
    assert websocket(guarded.port, origin) == 403
    assert websocket(guarded.port, origin, f"Cookie: {cookie(guarded)}") == 101


def test_a_token_of_ones_own_is_asked_for_on_this_machine_too(start_studio: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "token").write_text("my own, which is 16\n".replace(", ", "-").replace(" ", "-"))
    studio = start_studio("--token-file", tmp_path / "token")
    assert studio.link.endswith("/?token=my-own-which-is-16")
    assert studio.request("GET", f"{studio.api}/jobs").status_code == 401
    assert (
        studio.request("GET", f"{studio.api}/jobs", headers={"Authorization": "Bearer my-own-which-is-16"}).status_code
        == 200
    )
