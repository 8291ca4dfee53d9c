"""Names under which Studio may be reached."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from heliostat.studio.security.hosts import host_name

Raw = Callable[..., tuple[int, str]]


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost", "LOCALHOST.", "[::1]", "127.0.0.1:1"])
def test_it_is_reached_under_this_machines_own_names(name: str, studio: Any) -> None:
    assert studio.request("GET", f"{studio.api}/version", headers={"Host": name}).status_code == 200


@pytest.mark.parametrize("name", ["evil.example", "127.0.0.1.evil.example", "evil.example:8470", "10.0.0.1", "[::2]"])
@pytest.mark.parametrize("path", ["/", "/api/v1/jobs", "/nothing"])
def test_a_name_that_was_rebound_to_it_is_refused(name: str, path: str, studio: Any) -> None:
    answer = studio.request("GET", f"{studio.url}{path}", headers={"Host": name})
    assert answer.status_code == 421
    assert answer.json()["type"] == "urn:heliostat:problem:wrong-host"


def test_a_socket_under_a_rebound_name_is_refused(studio: Any, websocket: Callable[..., int]) -> None:
    """Also when the page's origin is of the same name, as it is with rebinding."""
    origin = f"Origin: http://evil.example:{studio.port}"
    assert websocket(studio.port, origin, host=f"evil.example:{studio.port}") == 403
    assert websocket(studio.port, f"Origin: {studio.url}") == 101


@pytest.mark.parametrize("hosts", ["", "Host: 127.0.0.1\nHost: evil.example\n", "Host: 127.0.0.1@evil.example\n"])
def test_a_request_that_does_not_say_one_name_is_refused(hosts: str, studio: Any, raw: Raw) -> None:
    status, _ = raw(studio.port, f"GET /api/v1/version HTTP/1.1\n{hosts}Accept: */*")
    assert status in (400, 421)


def test_bound_to_any_address_it_is_reached_under_any_and_under_names_that_were_allowed(guarded: Any) -> None:
    for name in ("127.0.0.1", "192.0.2.7:80", "[2001:db8::1]", "farm.example", "FARM.example:443", "localhost"):
        assert guarded.get("/api/v1/version", headers={"Host": name, **guarded.bearer}).status_code == 200, name
    answer = guarded.get("/api/v1/version", headers={"Host": "evil.example", **guarded.bearer})
    assert answer.status_code == 421


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("a.example", "a.example"),
        ("a.example:80", "a.example"),
        ("[::1]:80", "::1"),
        ("[::1]", "::1"),
        ("::1", None),
        ("[a.example]", None),
        ("a.example:b", None),
        ("", None),
        (":80", None),
    ],
)
def test_the_name_in_a_host_header(host: str, name: str | None) -> None:
    assert host_name(host) == name
