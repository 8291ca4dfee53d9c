"""`heliostat worker serve`, as whoever starts it sees it."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest

Heliostat = Callable[..., Any]


@pytest.fixture(autouse=True)
def no_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HELIOSTAT_WORKER_TOKEN", raising=False)


async def test_without_a_token_it_makes_one_and_prints_it(program: Callable[..., Any]) -> None:
    running = program("worker", "serve", "--port", 0, "-n", 2)
    said = running.says("serves at")
    found = re.search(r"the token of this worker: (\S+)\n.*serves at (\S+), 2 chunks at once\n", said)
    assert found is not None, said
    token, url = found.groups()
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"{url}/v1/worker", headers={"Authorization": f"Bearer {token}"}) as answer,
    ):
        assert (await answer.json())["slots"] == 2
    running.interrupt()
    assert running.end().status == 0


def test_an_address_that_is_taken_is_told(heliostat: Heliostat) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = heliostat("worker", "serve", "--port", port)
    assert done.status == 2
    assert f"error: 127.0.0.1:{port} cannot be served at (" in done.err
    assert done.err.endswith("choose another --port or --host\n")


def test_what_cannot_be_a_certificate_is_told(heliostat: Heliostat, tmp_path: Path) -> None:
    (tmp_path / "cert.pem").write_text("nothing")
    done = heliostat("worker", "serve", "--tls-cert", tmp_path / "cert.pem")
    assert done.status == 2
    assert "cannot be used with its key" in done.err
    done = heliostat("worker", "serve", "--tls-key", tmp_path / "cert.pem")
    assert done.status == 2
    assert "--tls-key is of no use without --tls-cert; give both" in done.err


def test_a_token_that_is_none_is_told(heliostat: Heliostat, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("a b\n")
    done = heliostat("worker", "serve", "--token-file", tmp_path / "token")
    assert done.status == 2
    assert "is to be 16 or more characters of ASCII without blanks; make another\n" in done.err
